#!/usr/bin/env python3
"""Two engines behind one client, one of them killed (SIGKILL) and started again, over and over, while it grades.

usage: two_engines.py [--submissions N] [--data DIR] [--kill-every-s S] [--seed N] [--workers N]

Every submission has to be answered once, in bulk or by a call of its own (one in eight), and to have the verdict that
it has to have. Exit status 1 when one deviates. DIR: labelled data (default: ../shared/data beside the repository, if
it is there; else the shipped sample).
"""

import argparse
import collections
import itertools
import random
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.e2e import footprint, rows, truth
from tests.e2e.rows import Row
from tests.e2e.serving import Server

import gradebox

CALLERS = 4
DOWN_S = 0.5, 3.0
GROUPS = "^((humaneval|mbpp)_mixed|humaneval_codegen16b|solutions_(humaneval|mbpp|quixbugs_py|stdin))$"
_SHOWN = 30


class Check:
    """What has been sent and what came back; safe for several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sent: dict[int, Sequence[Row]] = {}
        self.verdicts: collections.Counter[str] = collections.Counter()
        self.deviations: list[str] = []

    def sent(self, key: int, piece: Sequence[Row]) -> None:
        """These are under way."""
        with self._lock:
            self._sent[key] = piece

    def answered(self, key: object, results: Sequence[gradebox.SubmissionResult] | Exception) -> None:
        """That came back for them."""
        with self._lock:
            piece = self._sent.pop(key, None) if isinstance(key, int) else None
        if piece is None:
            self.deviates(f"answered twice: {key}")
        elif isinstance(results, Exception) or [r.index for r in results] != list(range(len(piece))):
            self.deviates(f"{piece[0].where}: {results!r}"[:400])
        else:
            for row, result in zip(piece, results, strict=True):
                with self._lock:
                    self.verdicts[result.verdict.name] += 1
                if (deviation := row.deviation(result)) is not None:
                    self.deviates(deviation)

    def deviates(self, text: str) -> None:
        """Something is not as it should be."""
        self.deviations.append(text)
        if len(self.deviations) <= _SHOWN:
            print("DEVIATION", text, flush=True)

    def ended(self) -> None:
        """Whatever has no answer now is lost."""
        for piece in self._sent.values():
            self.deviates(f"lost: {piece[0].where}, {len(piece)} programs")


class Killer(threading.Thread):
    """Kills one engine, the other one, the first one again, until `ended` is set; and starts each again."""

    def __init__(self, servers: Sequence[Server], every_s: float, seed: int) -> None:
        super().__init__(daemon=True)
        self._servers = itertools.cycle(servers)
        self._random = random.Random(seed)
        self._every_s = every_s
        self.kills = 0
        self.ended = threading.Event()
        self.failure: Exception | None = None

    def run(self) -> None:
        """The first one is killed soon."""
        pause_s = self._every_s / 4
        try:
            while not self.ended.wait(pause_s * self._random.uniform(0.5, 1.5)):
                server = next(self._servers)
                server.kill()
                self.kills += 1
                time.sleep(self._random.uniform(*DOWN_S))
                server.start()
                pause_s = self._every_s
        except Exception as error:
            self.failure = error


def some_rows(data: Path | None, seed: int) -> list[list[Row]]:
    """Pieces of one problem each, shuffled; data: None is the shipped sample."""
    found = rows.of_data(data, GROUPS) if data is not None else rows.of_samples()
    pieces = rows.items(found)
    random.Random(seed).shuffle(pieces)
    return pieces


def work(client: gradebox.Client, pieces: Sequence[list[Row]], submissions: int, check: Check) -> None:
    """Grades so many submissions, taken from `pieces` as often as it needs."""
    lock = threading.Lock()
    source = enumerate(itertools.cycle(pieces))
    left = submissions

    def take() -> gradebox.GradeItem | None:
        nonlocal left
        with lock:
            if left <= 0:
                return None
            key, piece = next(source)
            piece = piece[:left]
            left -= len(piece)
        check.sent(key, piece)
        return gradebox.GradeItem(piece[0].problem, [row.program for row in piece], key)

    def bulk() -> Iterator[gradebox.GradeItem]:
        while (item := take()) is not None:
            yield item
            if isinstance(item.key, int) and item.key % 7 == 0:
                lone.release()

    lone = threading.Semaphore(0)
    over = threading.Event()

    def one_by_one() -> None:
        while not over.is_set():
            if lone.acquire(timeout=0.2) and (item := take()) is not None:
                try:
                    check.answered(item.key, client.grade(item.programs, problem=item.problem))
                except Exception as error:
                    check.answered(item.key, error)

    callers = [threading.Thread(target=one_by_one) for _ in range(CALLERS)]
    for caller in callers:
        caller.start()
    try:
        for graded in client.grade_many(bulk()):
            check.answered(graded.key, graded.error or list(graded.results))
    except Exception as error:
        check.deviates(f"raised: {error!r}")
    finally:
        over.set()
        for caller in callers:
            caller.join()
    check.ended()


def run(
    folder: Path, data: Path | None, *, submissions: int, kill_every_s: float, seed: int, workers: int = 1
) -> tuple[list[str], Killer]:
    """Grades under the killer; what deviates, and what the killer did."""
    folders = [folder / name for name in ("one", "two")]
    for each in folders:
        each.mkdir(mode=0o755)
    servers = [Server(each, workers=workers) for each in folders]
    check = Check()
    before = footprint.take([], folders[0] / "tmp")
    with servers[0].start(), servers[1].start():
        pieces = some_rows(data, seed)
        killer = Killer(servers, kill_every_s, seed)
        with gradebox.Client([server.target for server in servers]) as client:
            start_s = time.monotonic()
            killer.start()
            work(client, pieces, submissions, check)
            took_s = time.monotonic() - start_s
        killer.ended.set()
        killer.join()
    if killer.failure is not None:
        check.deviates(f"the killer failed: {killer.failure!r}")
    pids = [pid for server in servers for pid in server.pids]
    for leak in footprint.settled(pids, before, folders[0] / "tmp"):
        check.deviates(f"left behind: {leak}")
    counts = ", ".join(f"{count} {verdict}" for verdict, count in check.verdicts.most_common())
    print(f"{check.verdicts.total()} submissions answered in {took_s:.0f} s, {killer.kills} kills: {counts}")
    return check.deviations, killer


def main() -> int:
    """Runs it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--submissions", type=int, default=20_000)
    parser.add_argument("--data", type=Path, default=truth.DEFAULT_DATA)
    parser.add_argument("--kill-every-s", type=float, default=15.0, help="on average, after a first one that is sooner")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=1, help="of each engine")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="two-engines-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # jails pass through it under an id that nobody has
        deviations, _ = run(
            folder,
            args.data if (args.data / "truth").is_dir() else None,
            submissions=args.submissions,
            kill_every_s=args.kill_every_s,
            seed=args.seed,
            workers=args.workers,
        )
    print(f"{len(deviations)} deviations")
    return 1 if deviations else 0


if __name__ == "__main__":
    sys.exit(main())
