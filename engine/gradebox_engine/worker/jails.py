"""The jails of one worker: one for each image that it works with, and one more for judge programs.

Where an image has heavy modules there is a second jail, in which these are warm, so that who does not use such a module
pays nothing for it: a fork costs what its parent holds. A submission runs in one jail from its first test to its last,
and while one works the others are idle.

The engine's own image is there from the start. Other jails are started when the queue first brings their image, and
the one that has been idle longest is put away when there are more than MOST_JAILS.
"""

import contextlib
import re
from collections import OrderedDict
from collections.abc import Callable

from gradebox_engine.images.image import Image
from gradebox_engine.jail.launch import Jail
from gradebox_engine.judge.suite import CodeTest, Suite, UnittestTest

MOST_JAILS = 6  # a worker has ids for eight

type _Key = tuple[str, str]
_LIGHT, _HEAVY, _JUDGE = "light", "heavy", "judge"


class Jails:
    """Starts them; `close` ends them. Raises JailDied, also for a heavy module that cannot be imported.

    own: the engine's own image. more: the others, by name, each made when it is first needed.
    """

    def __init__(self, own: Image, more: dict[str, Callable[[], Image]] | None = None, *, with_cgroup: bool) -> None:
        self._with_cgroup = with_cgroup
        self._own = own
        self._more = more or {}
        self._images: dict[str, Image] = {own.name: own}
        self._patterns: dict[str, re.Pattern[bytes]] = {}
        self._jails: OrderedDict[_Key, tuple[Jail, int]] = OrderedDict()
        self._used: set[_Key] = set()
        try:
            self._jail((own.name, _LIGHT))
            if own.heavy_modules:
                self._jail((own.name, _HEAVY))
        except BaseException:
            self.close()
            raise

    @property
    def protections(self) -> tuple[str, ...]:
        """The protections that are active: the same in all."""
        return self._jails[(self._own.name, _LIGHT)][0].protections

    def image(self, name: str) -> Image:
        """The image called `name`; "" is the engine's own. Raises KeyError."""
        if not name:
            return self._own
        if name not in self._images:
            self._images[name] = self._more[name]()
        return self._images[name]

    def imports_heavy(self, image: Image, *texts: bytes) -> bool:
        """Whether one of these sources looks as if it imported a heavy module. A wrong guess costs time, no more."""
        if not image.heavy_modules:
            return False
        pattern = self._patterns.get(image.name)
        if pattern is None:
            names = "|".join(sorted({re.escape(name.partition(".")[0]) for name in image.heavy_modules}))
            text = rf"^[ \t]*(?:import|from)\b[^\n]*\b(?:{names})\b"
            pattern = self._patterns[image.name] = re.compile(text.encode(), re.MULTILINE)
        return any(pattern.search(text) for text in texts)

    def tests_import_heavy(self, image: Image, suite: Suite) -> bool:
        """The same, of a suite's own code."""
        if not image.heavy_modules:
            return False
        sources = [test.source for test in suite.tests if isinstance(test, CodeTest | UnittestTest)]
        return self.imports_heavy(image, *(text.encode("utf-8", "replace") for text in (suite.test_setup, *sources)))

    def choose(self, image: Image, *, heavy: bool) -> Jail:
        """The jail for the next submission."""
        self._used.clear()
        return self._jail((image.name, _HEAVY if heavy else _LIGHT))

    def judge(self) -> Jail:
        """The jail for a judge program of the submission that the last one was chosen for: no program runs in it."""
        return self._jail((self._own.name, _JUDGE))

    def replace(self) -> None:
        """Ends the jails that the last submission ran in; the engine's own are started anew. Raises JailDied."""
        for key in self._used:
            self._end(key)
        for key in self._used:
            if key[0] == self._own.name:
                self._jail(key)

    def close(self) -> None:
        """Ends them."""
        for key in list(self._jails):
            self._end(key)

    def _jail(self, key: _Key) -> Jail:
        self._used.add(key)
        found = self._jails.get(key)
        if found is None:
            found = self._jails[key] = self._started(key)
        self._jails.move_to_end(key)
        return found[0]

    def _started(self, key: _Key) -> tuple[Jail, int]:
        idle = [each for each in self._jails if each[0] != self._own.name and each not in self._used]
        if len(self._jails) >= MOST_JAILS and idle:
            self._end(idle[0])
        image = self._images[key[0]]
        slots = {slot for _, slot in self._jails.values()}
        slot = next(number for number in range(len(slots) + 1) if number not in slots)
        jail = Jail(image.with_heavy_modules() if key[1] == _HEAVY else image, slot, with_cgroup=self._with_cgroup)
        jail.start()
        return jail, slot

    def _end(self, key: _Key) -> None:
        found = self._jails.pop(key, None)
        if found is not None:
            with contextlib.suppress(OSError):
                found[0].close()
