"""Verdicts of test cases → verdict and pass rate of a submission."""

from gradebox_engine.judge.result import pass_rate, submission_verdict
from gradebox_engine.judge.suite import Verdict

P, W, S, E = Verdict.PASSED, Verdict.WRONG_ANSWER, Verdict.SKIPPED, Verdict.ENGINE_ERROR


def test_submission_verdict() -> None:
    assert submission_verdict([P, P]) is P
    assert submission_verdict([P, W, Verdict.TIME_LIMIT]) is W
    assert submission_verdict([P, E]) is E
    assert submission_verdict([]) is E


def test_pass_rate() -> None:
    assert pass_rate([P, W, P, W]) == 0.5
    assert pass_rate([P, E]) == 1.0
    assert pass_rate([P, S]) == 0.5
    assert pass_rate([E, E]) is None
    assert pass_rate([S, E]) is None
    assert pass_rate([]) is None
