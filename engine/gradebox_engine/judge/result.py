"""Verdicts of test cases → verdict and pass rate of a submission."""

from collections.abc import Iterable

from gradebox_engine.judge.suite import Verdict


def submission_verdict(verdicts: Iterable[Verdict]) -> Verdict:
    """PASSED when every test case passed, else the verdict of the first, in index order, that did not.

    Nothing passed where nothing was tested: no verdicts at all is an ENGINE_ERROR.
    """
    tested = False
    for verdict in verdicts:
        if verdict is not Verdict.PASSED:
            return verdict
        tested = True
    return Verdict.PASSED if tested else Verdict.ENGINE_ERROR


def pass_rate(verdicts: Iterable[Verdict]) -> float | None:
    """Passed test cases / test cases, those with an ENGINE_ERROR in neither number.

    None when no test case got a real verdict. A test case that was SKIPPED counts as not passed: a
    request that stops early asks for a lower bound.
    """
    counted = [v for v in verdicts if v is not Verdict.ENGINE_ERROR]
    if all(v is Verdict.SKIPPED for v in counted):
        return None
    return sum(v is Verdict.PASSED for v in counted) / len(counted)
