"""A worker's jails: started when they are needed, put away when there are too many."""

import ctypes
from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import psutil
import pytest

from gradebox_engine.images import host_python
from gradebox_engine.jail.launch import Jail
from gradebox_engine.worker import jails as module
from gradebox_engine.worker.jails import MOST_JAILS, Jails

_PR_SET_CHILD_SUBREAPER = 36


@pytest.fixture
def jails(private_mounts: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Jails]:
    # This process has a jail already, of other tests: number 0.
    monkeypatch.setattr(module, "Jail", lambda image, slot, **how: Jail(image, slot + 1, **how))
    own = host_python()
    more = {f"other{number}": partial(replace, own, name=f"other{number}") for number in range(MOST_JAILS + 2)}
    made = Jails(own, more, with_cgroup=True)  # type: ignore[arg-type]
    yield made
    made.close()


def test_many_images(jails: Jails) -> None:
    own = jails.image("")
    first = jails.choose(own, heavy=False)
    chosen = [jails.choose(jails.image(f"other{number}"), heavy=False) for number in range(MOST_JAILS + 2)]
    assert len(set(map(id, [first, *chosen]))) == MOST_JAILS + 3
    assert len(jails._jails) == MOST_JAILS
    assert jails.choose(own, heavy=False) is first  # never put away
    assert jails.choose(jails.image(f"other{MOST_JAILS + 1}"), heavy=False) is chosen[-1]
    assert jails.choose(jails.image("other0"), heavy=False) is not chosen[0]


def test_no_submission_runs_where_judges_do(jails: Jails) -> None:
    program = jails.choose(jails.image(""), heavy=False)
    judge = jails.judge()
    assert judge is not program
    assert jails.judge() is judge


def test_all_that_a_submission_ran_in_is_replaced(jails: Jails) -> None:
    own = jails.choose(jails.image(""), heavy=False)
    other = jails.choose(jails.image("other0"), heavy=False)
    judge = jails.judge()
    jails.replace()
    assert jails.choose(jails.image(""), heavy=False) is own  # it had no part in it
    assert jails.choose(jails.image("other0"), heavy=False) is not other
    assert jails.judge() is not judge


@pytest.fixture
def adopts() -> Iterator[None]:
    """In a test with it, this process is what process 1 is: whoever loses its parent becomes a child of it."""
    prctl = ctypes.CDLL(None).prctl
    assert prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0
    yield
    assert prctl(_PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0) == 0


def test_a_closed_jail_leaves_nobody_for_process_1_to_reap(private_mounts: None, adopts: None) -> None:
    jail = Jail(host_python(), 1)
    jail.start()
    assert jail._process is not None
    family = [psutil.Process(jail._process.pid), *psutil.Process(jail._process.pid).children(recursive=True)]
    assert len(family) >= 2
    jail.close()
    assert [process for process in family if process.is_running()] == []  # a zombie is one that does


def test_an_image_that_nobody_knows(jails: Jails) -> None:
    with pytest.raises(KeyError):
        jails.image("moon")
