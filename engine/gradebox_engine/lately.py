"""What was used last, within bounds."""

from collections import OrderedDict


class Lately[K, V]:
    """Values by key: the `most` that were used last, of `most_bytes` in all; the newest is kept whatever its size.

    Two of them with the same bounds that see the same uses hold the same keys, and one that began later holds no key
    that the other does not.
    """

    def __init__(self, most: int, most_bytes: int | None = None) -> None:
        self._most = most
        self._most_bytes = most_bytes
        self._kept: OrderedDict[K, tuple[V, int]] = OrderedDict()
        self._bytes = 0

    def __contains__(self, key: K) -> bool:
        return key in self._kept

    def __len__(self) -> int:
        return len(self._kept)

    def use(self, key: K) -> V | None:
        """The value, which is the newest from now on; None where there is none."""
        if key not in self._kept:
            return None
        self._kept.move_to_end(key)
        return self._kept[key][0]

    def put(self, key: K, value: V, size_bytes: int = 0) -> None:
        """A value that is used; the oldest leave for it."""
        self._bytes += size_bytes - self._kept.pop(key, (None, 0))[1]
        self._kept[key] = value, size_bytes
        while len(self._kept) > self._most or (
            self._most_bytes is not None and self._bytes > self._most_bytes and len(self._kept) > 1
        ):
            self._bytes -= self._kept.popitem(last=False)[1][1]

    def clear(self) -> None:
        """Forgets everything."""
        self._kept.clear()
        self._bytes = 0
