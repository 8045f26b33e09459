#!/usr/bin/env python3
"""Chaos: an engine over gRPC grades submissions of known verdict while its processes are killed at random.

usage: chaos.py [--gradings N] [--seed N] [--kill-every-s S] [--restart-every-s S] [--workers N] [--keep-log FILE]

SIGKILL for a worker, an nsjail, a fork server, each at a random moment; SIGSTOP for a fork server, now and then for
longer than the engine waits for one; and SIGKILL for the whole server, which is then started again on the same port
under clients that go on. A program's own process is never the target: killed from outside, it looks as if it had
killed itself, and its RUNTIME_ERROR would be right.

Exit status 1 when a submission got no answer or two, a verdict other than its known one (ENGINE_ERROR is another
one), or anything was left behind: processes, mounts, control groups, namespaces, descriptors, files, IPC objects.
"""

import argparse
import collections
import random
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.e2e import footprint, mix
from tests.e2e.serving import Server, send

import gradebox

# What is done to the engine, and how often one happens beside the others.
DEEDS = {"kill worker": 3.0, "kill nsjail": 3.0, "kill forkserver": 3.0, "stop forkserver": 1.0, "stop long": 0.03}
STOPPED_S, STOPPED_LONG_S = (0.2, 3.0), (21.0, 23.0)  # the engine waits 20 s for a fork server
ONE_BY_ONE = 0.1  # of the gradings: by calls of `grade`
RETRY_S = 600.0  # for what is graded must not depend on how long a loaded machine takes to start an engine
SHOWN = 40


class Killer(threading.Thread):
    """Does the deeds until `ended` is set."""

    def __init__(self, server: Server, seed: int, every_s: float, restart_every_s: float) -> None:
        super().__init__(daemon=True)
        self._server = server
        self._random = random.Random(seed)
        self._every_s = every_s
        self._restart_every_s = restart_every_s
        self._stopped: list[tuple[float, footprint.Process]] = []
        self.done: collections.Counter[str] = collections.Counter()
        self.ended = threading.Event()
        self.failure: Exception | None = None

    def run(self) -> None:
        """A deed after random pauses; the server's end at fixed ones."""
        try:
            restart_s = time.monotonic() + self._restart_every_s
            while not self.ended.wait(self._random.expovariate(1 / self._every_s)):
                self._wake(time.monotonic())
                if self._restart_every_s and time.monotonic() > restart_s:
                    self._restart()
                    restart_s = time.monotonic() + self._restart_every_s
                else:
                    self._deed()
        except Exception as error:
            self.failure = error
        finally:
            self._wake(float("inf"))

    def _deed(self) -> None:
        (deed,) = self._random.choices([*DEEDS], [*DEEDS.values()])
        verb, role = deed.split()
        targets = self._server.members("forkserver" if verb == "stop" else role)
        if not targets:
            return
        target = self._random.choice(targets)
        if send(target, signal.SIGSTOP if verb == "stop" else signal.SIGKILL):
            self.done[deed] += 1
            if verb == "stop":
                stopped_s = self._random.uniform(*(STOPPED_LONG_S if role == "long" else STOPPED_S))
                self._stopped.append((time.monotonic() + stopped_s, target))

    def _wake(self, now_s: float) -> None:
        for end_s, process in self._stopped:
            if end_s <= now_s:
                send(process, signal.SIGCONT)
        self._stopped = [(end_s, process) for end_s, process in self._stopped if end_s > now_s]

    def _restart(self) -> None:
        self._server.kill()
        self.done["kill server"] += 1
        time.sleep(self._random.uniform(0, 2))
        self._server.start()


class Grading(threading.Thread):
    """Grades until `count` submissions are answered, in bulk or one item a call, and checks every answer."""

    def __init__(self, target: str, seed: int, cases: list[mix.Case], count: int, *, bulk: bool) -> None:
        super().__init__(daemon=True)
        self._target = target
        self._items = self._taken(mix.endless(seed, cases), count)
        self._bulk = bulk
        self._sent: dict[int, list[mix.Case]] = {}
        self.verdicts: collections.Counter[str] = collections.Counter()
        self.answered = 0
        self.deviations: list[str] = []

    def _taken(self, items: Iterator[list[mix.Case]], count: int) -> Iterator[gradebox.GradeItem]:
        for number, cases in enumerate(items):
            if count <= 0:
                return
            self._sent[number] = cases
            count -= len(cases)
            yield mix.item(cases, number)

    def run(self) -> None:
        """What is raised is a deviation, too."""
        try:
            with gradebox.Client(self._target, retry_s=RETRY_S) as client:
                if self._bulk:
                    for graded in client.grade_many(self._items, max_in_flight=256):
                        self._check(graded.key, graded.error or list(graded.results))
                else:
                    for item in self._items:
                        self._check(item.key, client.grade(item.programs, problem=item.problem))
        except Exception as error:
            self._deviates(f"raised: {error!r}")
        for cases in self._sent.values():
            self._deviates(f"lost: {cases[0].name}, {len(cases)} times")

    def _deviates(self, text: str) -> None:
        self.deviations.append(text)
        if len(self.deviations) <= SHOWN:
            print("DEVIATION", text, flush=True)

    def _check(self, key: object, results: list[gradebox.SubmissionResult] | Exception) -> None:
        cases = self._sent.pop(key, None) if isinstance(key, int) else None
        if cases is None:
            self._deviates(f"answered twice: {key}")
            return
        if isinstance(results, Exception) or [r.index for r in results] != list(range(len(cases))):
            self._deviates(f"{cases[0].name}: {results!r}"[:400])
            return
        for case, result in zip(cases, results, strict=True):
            self.answered += 1
            self.verdicts[result.verdict.name] += 1
            if (deviation := case.deviation(result)) is not None:
                self._deviates(deviation)


def chaos(server: Server, args: argparse.Namespace) -> list[str]:
    """Grades under chaos, prints how it went, and returns what deviates."""
    cases = [*mix.KINDS, *mix.of_sample()]
    warm = Grading(server.target, args.seed, cases, 300, bulk=True)  # caches that are bounded, threads
    warm.run()
    if warm.deviations:
        return ["there were deviations before any deed"]
    time.sleep(1)
    at_rest = footprint.take(server.pids, server.temporary)
    print(f"at rest: {at_rest.text()}", flush=True)

    alone = int(args.gradings * ONE_BY_ONE)
    gradings = [
        Grading(server.target, args.seed + 1, cases, args.gradings - alone, bulk=True),
        Grading(server.target, args.seed + 2, cases, alone, bulk=False),
    ]
    killer = Killer(server, args.seed, args.kill_every_s, args.restart_every_s)
    begun_s = time.monotonic()
    for thread in (*gradings, killer):
        thread.start()
    shown_s = begun_s
    while any(grading.is_alive() for grading in gradings):
        time.sleep(0.5)
        if time.monotonic() - shown_s >= args.every_s:
            shown_s = time.monotonic()
            print(
                f"{shown_s - begun_s:6.0f} s: {sum(g.answered for g in gradings)} graded, "
                f"{sum(killer.done.values())} deeds, {sum(len(g.deviations) for g in gradings)} deviations",
                flush=True,
            )
    took_s = time.monotonic() - begun_s
    killer.ended.set()
    killer.join()
    last = Grading(server.target, args.seed, cases, 100, bulk=True)  # an idle worker learns of its dead jail by work
    last.run()
    gradings.append(last)

    answered = sum(grading.answered for grading in gradings)
    verdicts = sum((grading.verdicts for grading in gradings), collections.Counter[str]())
    print(f"\n{answered} graded in {took_s:.0f} s")
    for name, counts in (("deeds", killer.done), ("verdicts", verdicts)):
        print(f"{name}: " + ", ".join(f"{count} {key}" for key, count in counts.most_common()))
    for text in ("worker ready", "jail died", "worker ended", "Traceback"):
        print(f"log: {server.said(text)} {text!r}")
    deviations = [deviation for grading in gradings for deviation in grading.deviations]
    others = [f"the killer failed: {killer.failure!r}"] if killer.failure else []
    leaks = footprint.settled(server.pids, at_rest, server.temporary)
    print(f"at rest again: {footprint.take(server.pids, server.temporary).text()}")
    return [*deviations, *told(others), *told(f"leaked: {leak}" for leak in leaks)]


def told(deviations: Iterable[str]) -> list[str]:
    """Prints deviations and gives them back."""
    found = list(deviations)
    for deviation in found:
        print("DEVIATION", deviation, flush=True)
    return found


def main() -> int:
    """Runs the chaos."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--gradings", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kill-every-s", type=float, default=1.0, help="on average")
    parser.add_argument("--restart-every-s", type=float, default=60.0, help="the whole server; 0 is never")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--every-s", type=float, default=10.0, help="between two lines of progress")
    parser.add_argument("--keep-log", type=Path, metavar="FILE", help="where the engine's log goes")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="chaos-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # jails pass through it under an id that nobody has
        (folder / "tmp").mkdir()
        before = footprint.take([], folder / "tmp")
        server = Server(folder, workers=args.workers)
        try:
            with server.start():
                deviations = chaos(server, args)
                if status := server.stop():
                    deviations += told([f"the engine ended with status {status}"])
        finally:
            if args.keep_log:
                args.keep_log.write_bytes(server.log.read_bytes())
        leaks = footprint.settled(server.pids, before, folder / "tmp")
        deviations += told(f"left behind: {leak}" for leak in leaks)
        print(f"after its end: {footprint.take(server.pids, folder / 'tmp').text()}")
    print(f"{len(deviations)} deviations")
    return 1 if deviations else 0


if __name__ == "__main__":
    sys.exit(main())
