"""What a grading costs. Not part of `make test`: run it on a machine that does nothing else."""

import pytest

from gradebox_engine.bench import BenchResult, run_bench


@pytest.fixture(scope="module")
def result(jails: None) -> BenchResult:
    return run_bench(seconds=5)


def test_full_isolation_costs_a_third_of_an_interpreter(result: BenchResult) -> None:
    gradebox = next(v for v in result.variants if v.name == "gradebox")
    assert result.ratio(gradebox) <= 1 / 3, result.to_dict()


def test_every_variant_was_measured_in_every_round(result: BenchResult) -> None:
    assert {v.name for v in result.variants} >= {"python", "fork_harness", "floor", "gradebox"}
    for measured in result.variants:
        assert len(measured.cpu_ms) == len(measured.rate) == 5
        assert min(measured.cpu_ms) > 0
