"""Ids of the host that jails run under: nobody's, and another three for every worker.

Root of the host takes them far above any account. An ordinary user has a range of subordinate ids (see `rootless`).
Root of a container with a user namespace (rootless podman, docker with userns-remap) takes the highest that it was
given.
"""

import functools
import os
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

IDS_PER_JAIL = 3  # the jail's root, its programs, its oracles
_FAR_ABOVE = 1 << 30
_MOST_WORKERS = 4096
_FEW = 1024
_FIRST_SUBORDINATE = 100_000

_claimed: list[socket.socket] = []  # held open as long as the process lives


class NoIds(RuntimeError):
    """There are no ids for a jail; the text says why."""


@dataclass(frozen=True)
class Range:
    """`count` ids from `first` on, and whose they are."""

    owner: str
    first: int
    count: int

    def overlaps(self, other: "Range") -> bool:
        """Whether an id is in both."""
        return self.first < other.first + other.count and other.first < self.first + self.count

    def __contains__(self, number: object) -> bool:
        return isinstance(number, int) and self.first <= number < self.first + self.count


def parse(text: str) -> list[Range]:
    """The ranges of a file like /etc/subuid, `owner:first:count` a line. What is not of this form is left out."""
    ranges = []
    for line in text.splitlines():
        owner, _, rest = line.strip().partition(":")
        first, _, count = rest.partition(":")
        if owner and not owner.startswith("#") and first.isdecimal() and count.isdecimal() and int(count):
            ranges.append(Range(owner, int(first), int(count)))
    return ranges


def own_range(file: str, everyone: list[Range], names: tuple[str, str], accounts: Iterable[int]) -> Range:
    """The subordinate ids of a user, by name and by number, in which no other user and no account has a part.

    everyone: the ranges in `file`. Raises NoIds when there are none.
    """
    taken = list(accounts)
    own = [found for found in everyone if found.owner in names and found.count >= IDS_PER_JAIL]
    others = [found for found in everyone if found.owner not in names]
    for found in own:
        if not any(found.overlaps(other) for other in others) and not any(number in found for number in taken):
            return found
    if own:
        raise NoIds(f"{file} gives {names[0]} ids that are somebody else's, too")
    raise NoIds(f"{file} gives no ids to {names[0]}")


def free(everyone: Iterable[Range]) -> str:
    """A range that nobody has yet, as usermod takes it."""
    first = max([_FIRST_SUBORDINATE, *(found.first + found.count for found in everyone)])
    return f"{first}-{first + 65535}"


def slots(found: Range) -> int:
    """How many jails can have ids of their own in a range."""
    return min(_MOST_WORKERS, max(1, (found.count - found.count // 2) // IDS_PER_JAIL))


def first_of(found: Range, slot: int) -> int:
    """The first of the ids in this slot of a range.

    From its middle on: containers of the same user mostly use its ends, for accounts and for nobody (65534).
    """
    half = found.count // 2
    return found.first + (half if found.count - half >= IDS_PER_JAIL else 0) + slot * IDS_PER_JAIL


def claim(count: int) -> int:
    """A slot below `count` that no other process of this user has. The kernel gives it back when this process ends.

    A name in the abstract socket name space stands for it; a stranger who takes one only makes us take the next.
    Raises NoIds when all are taken.
    """
    for slot in range(count):
        holder = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            holder.bind(f"\0gradebox-ids-{os.getuid()}-{slot}")
        except OSError:
            holder.close()
            continue
        _claimed.append(holder)
        return slot
    raise NoIds(f"uid {os.getuid()} has no ids left: {count} workers have them")


def give_back() -> None:
    """Gives back the slots that this process has claimed."""
    while _claimed:
        _claimed.pop().close()


def first_for_root(index: int, uid_map: str) -> int:
    """The first of a jail's ids, for a worker that is root of the namespace with this map. Raises NoIds."""
    extents = [Range("", *map(int, (inside, count))) for inside, _, count in map(str.split, uid_map.splitlines())]
    first = _FAR_ABOVE + (os.getpid() * 8 + index % 8) * 4
    if any(first in extent and first + IDS_PER_JAIL - 1 in extent for extent in extents):
        return first
    highest = max(extents, key=lambda extent: extent.first)
    room = highest.count // 2 // IDS_PER_JAIL  # the lower half is its accounts'
    if room == 0 and highest.count == IDS_PER_JAIL and highest.first > 0:
        return highest.first  # made by `rootless` for this very jail
    if room == 0 or (highest.first == 0 and highest.count < _FEW):
        raise NoIds("this user namespace has too few ids for a jail; give its container 65536 of them")
    return highest.first + highest.count - IDS_PER_JAIL * (1 + _own_slot(min(_MOST_WORKERS, room)))


@functools.cache
def _own_slot(count: int) -> int:
    return claim(count)


def of_jail(index: int) -> int:
    """The first of the three ids that a jail of this process runs under, as this process counts them. Raises NoIds.

    The process is root: of the host, of a container's user namespace, or of the one that `rootless` made for it.
    """
    return first_for_root(index, Path("/proc/self/uid_map").read_text())
