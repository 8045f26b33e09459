"""What workers remember, and what the front believes that they do."""

import random

from gradebox_engine.lately import Lately


def test_the_oldest_leave_by_number_and_by_size() -> None:
    kept: Lately[str, int] = Lately(3, 10)
    for key, size in [("a", 1), ("b", 1), ("c", 1)]:
        kept.put(key, size, size)
    assert kept.use("a") == 1  # "b" is the oldest now
    kept.put("d", 1, 1)
    assert [key in kept for key in "abcd"] == [True, False, True, True]
    assert kept.use("b") is None
    kept.put("e", 8, 8)  # 11 bytes with the three others, of which one leaves by number
    assert [key in kept for key in "acde"] == [True, False, True, True]
    kept.put("e", 9, 9)  # in its own place
    assert [key in kept for key in "ade"] == [False, True, True]
    kept.put("f", 100, 100)
    assert len(kept) == 1 and kept.use("f") == 100
    kept.put("g", 1, 1)
    assert "f" not in kept
    kept.clear()
    kept.put("h", 10, 10)
    assert len(kept) == 1


def test_what_the_front_believes_to_be_there_is_there() -> None:
    """The front forgets all at a worker's fault, the worker does not: the front sends a suite once more, at most."""
    choose = random.Random(1)
    sizes = {key: choose.choice([1, 10, 60, 200]) for key in range(40)}
    front: Lately[int, None] = Lately(12, 300)
    worker: Lately[int, int] = Lately(12, 300)
    for step in range(20_000):
        if step % 500 == 499:
            front.clear()
        key = choose.randrange(40)
        if key in front:
            assert worker.use(key) == key
        elif worker.use(key) is None:
            worker.put(key, key, sizes[key])
        front.put(key, None, sizes[key])
