"""The corpus of tiny problems: repeatable, held out as it says, of mixed quality, its tests right."""

import random
from itertools import islice
from typing import Any

from gradebox_trainer.rl.toy.problems import ToyProblem, corpus, mixed_program, problems, right_program, split_of
from gradebox_trainer.rl.toy.steps import STEPS


def passes(problem: ToyProblem, program: str) -> bool:
    """In this process: our own programs."""
    names: dict[str, Any] = {}
    try:
        exec(program, names)
        for test in problem.tests():
            exec(test, names)
    except Exception:
        return False
    return True


def test_right_programs_pass_and_slips_mostly_do_not() -> None:
    chosen = list(islice(problems(3, "train"), 300))
    assert all(passes(problem, right_program(problem)) for problem in chosen)
    rng = random.Random(1)
    share = sum(passes(problem, mixed_program(problem, rng)) for problem in chosen) / len(chosen)
    assert 0.25 < share < 0.5


def test_every_slip_of_every_step_fails_somewhere() -> None:
    """Else the corpus would call right what is not; a slip may pass by chance on a problem or two."""
    chosen = [problem for problem in islice(problems(4, "train"), 3000) if len(problem.chain) == 1]
    seen: dict[tuple[str, str], list[bool]] = {}
    for problem in chosen:
        step, k, _ = problem.chain[0]
        for text, _ in step.slips:
            program = right_program(problem).replace(step.right.format(k=k), text.format(k=k))
            seen.setdefault((step.name, text), []).append(passes(problem, program))
    assert len(seen) > 0.8 * sum(len(step.slips) for step in STEPS)
    assert not [slip for slip, passed in seen.items() if all(passed)]


def test_nothing_held_out_is_in_the_corpus() -> None:
    fitted = corpus(1, 3000)
    assert all(split_of(problem) == "train" for problem, _ in fitted)
    templates = {problem.template for problem, _ in fitted}
    ids = {problem.id for problem, _ in fitted}
    for problem in islice(problems(2, "held_out_template"), 200):
        assert problem.template not in templates
    for problem in islice(problems(2, "held_out_problem"), 200):
        assert problem.id not in ids


def test_it_follows_from_the_seed() -> None:
    assert corpus(5, 50) == corpus(5, 50)
    assert corpus(5, 50) != corpus(6, 50)
    row = next(problems(1, "train")).row()
    assert row == next(problems(1, "train")).row()
    assert len({problem.id for problem in islice(problems(1, "train"), 500)}) == 500
