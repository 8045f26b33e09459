"""Which ids of the host a jail runs under."""

import os

import pytest

from gradebox_engine.jail import ids
from gradebox_engine.jail.ids import NoIds, Range

WHOLE = "         0          0 4294967295\n"
NAMES = ("ada", "1000")


def test_reads_ranges_and_leaves_out_the_rest() -> None:
    text = "ada:100000:65536\n\n# a comment\n1000:300000:10\nbroken\nbob:x:1\nbob:5\neve:7:0\n:1:2\n  bob:400000:3 \n"
    assert ids.parse(text) == [Range("ada", 100000, 65536), Range("1000", 300000, 10), Range("bob", 400000, 3)]


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("ada:100000:65536\nbob:165536:65536", 100000),
        ("1000:100000:65536", 100000),
        ("ada:100000:2\nada:200000:3", 200000),
        ("bob:100000:65536\nada:165535:10\nada:300000:10", 300000),  # the first is bob's, too
        ("ada:999:10\nada:300000:10", 300000),  # an account is in it
        ("ada:100000:65536\nada:120000:10", 100000),  # twice one's own
    ],
)
def test_a_range_is_the_users_alone(text: str, first: int) -> None:
    assert ids.own_range("/etc/subuid", ids.parse(text), NAMES, [0, 1000, 1003]).first == first


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "/etc/subuid gives no ids to ada"),
        ("bob:100000:65536", "gives no ids"),
        ("ada:100000:2", "gives no ids"),
        ("ada:100000:65536\nbob:100000:65536", "somebody else's"),
        ("ada:1000:65536", "somebody else's"),
    ],
)
def test_no_range_is_an_error_that_says_why(text: str, says: str) -> None:
    with pytest.raises(NoIds, match=says):
        ids.own_range("/etc/subuid", ids.parse(text), NAMES, [0, 1000])


def test_the_range_to_ask_for_is_free() -> None:
    assert ids.free([]) == "100000-165535"
    assert ids.free(ids.parse("ada:100000:65536\nbob:265536:65536\neve:10:10")) == "331072-396607"


@pytest.mark.parametrize("count", [3, 4, 5, 6, 7, 1000, 65536])
def test_slots_do_not_meet_and_stay_in_their_range(count: int) -> None:
    found = Range("ada", 100000, count)
    taken = [ids.first_of(found, slot) + n for slot in range(ids.slots(found)) for n in range(3)]
    assert len(set(taken)) == len(taken) >= 3
    assert all(number in found for number in taken)


def test_a_slot_has_one_owner_until_it_ends() -> None:
    try:
        first, second = ids.claim(100), ids.claim(100)
        assert first != second
    finally:
        ids.give_back()
    with pytest.raises(NoIds, match="no ids left"):
        ids.claim(0)


def test_root_of_the_host_takes_ids_far_above_any_account() -> None:
    first, second = ids.first_for_root(0, WHOLE), ids.first_for_root(1, WHOLE)
    assert min(first, second) >= 1 << 30
    assert abs(first - second) >= 3


def test_root_of_a_namespace_takes_what_it_has() -> None:
    assert ids.first_for_root(0, "0 12345 1\n1 232768 3\n") == 1  # an ordinary user's worker
    try:
        container = ids.first_for_root(0, "0 1000 1\n1 100000 65536\n")
        assert 32768 < container <= 65536 - 2
    finally:
        ids.give_back()
        ids._own_slot.cache_clear()
    for few in ("0 1000 1\n", "0 100000 100\n", "0 1000 1\n1 100000 2\n"):
        with pytest.raises(NoIds, match="too few ids"):
            ids.first_for_root(0, few)


def test_this_process_finds_its_own_map() -> None:
    if os.geteuid() == 0:
        assert ids.of_jail(0) > 0
