"""The jails of one worker: one, and a second where the image has heavy modules, in which these are warm.

Two, so that who does not use such a module pays nothing for it: a fork costs what its parent holds. A submission runs
in one of them from its first test to its last, and while one works the other is idle.
"""

import contextlib
import re

from gradebox_engine.images import Image
from gradebox_engine.jail.launch import Jail
from gradebox_engine.judge.suite import CodeTest, Suite, UnittestTest


class Jails:
    """Starts them; `close` ends them. Raises JailDied, also for a heavy module that cannot be imported."""

    def __init__(self, image: Image, index: int, *, with_cgroup: bool) -> None:
        self._index = index
        self._with_cgroup = with_cgroup
        self._images = [image] + ([image.with_heavy_modules()] if image.heavy_modules else [])
        names = sorted({re.escape(name.partition(".")[0]) for name in image.heavy_modules})
        self._imports = re.compile(rf"^[ \t]*(?:import|from)\b[^\n]*\b(?:{'|'.join(names)})\b".encode(), re.MULTILINE)
        self._used = 0
        self._jails: list[Jail] = []
        try:
            for place in range(len(self._images)):
                self._jails.append(self._started(place))
        except BaseException:
            self.close()
            raise

    def _started(self, place: int) -> Jail:
        jail = Jail(self._images[place], self._index + place, with_cgroup=self._with_cgroup)
        jail.start()
        return jail

    @property
    def protections(self) -> tuple[str, ...]:
        """The protections that are active: the same in both."""
        return self._jails[0].protections

    def imports_heavy(self, *texts: bytes) -> bool:
        """Whether one of these sources looks as if it imported a heavy module. A wrong guess costs time, no more."""
        return len(self._images) > 1 and any(self._imports.search(text) for text in texts)

    def tests_import_heavy(self, suite: Suite) -> bool:
        """The same, of a suite's own code."""
        sources = [test.source for test in suite.tests if isinstance(test, CodeTest | UnittestTest)]
        return self.imports_heavy(*(text.encode("utf-8", "replace") for text in (suite.test_setup, *sources)))

    def choose(self, *, heavy: bool) -> Jail:
        """The jail for the next submission."""
        self._used = int(heavy)
        return self._jails[self._used]

    def replace(self) -> None:
        """Ends the jail that was chosen last, and starts another in its place. Raises JailDied."""
        with contextlib.suppress(OSError):
            self._jails[self._used].close()
        self._jails[self._used] = self._started(self._used)

    def close(self) -> None:
        """Ends them."""
        for jail in self._jails:
            jail.close()
