#!/usr/bin/env python3
"""Very many calls on one engine at the same time: none is lost, and the engine's memory is bounded.

usage: many_calls.py [--calls N] [--rounds N] [--clients N] [--programs N] [--workers N]

Every round makes so many calls at once, of some programs each, over all clients, and checks every answer. Prints the
resident memory of the engine's front, before, at its highest, and after. Exit status 1 when an answer is wrong, or the
memory grows from round to round.
"""

import argparse
import asyncio
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Self

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import psutil
from tests.e2e.serving import Server

import gradebox
from gradebox import Verdict

_EXPECTED = [Verdict.PASSED, Verdict.WRONG_ANSWER, Verdict.RUNTIME_ERROR]
GROWTH_BYTES = 32 << 20  # from the second round to the last one


class Memory(threading.Thread):
    """Watches the resident memory of a process."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self._process = psutil.Process(pid)
        self._ended = threading.Event()
        self.highest_bytes = 0

    def now_bytes(self) -> int:
        """What it has now."""
        return int(self._process.memory_info().rss)

    def run(self) -> None:
        """Until it is left."""
        while not self._ended.wait(0.05):
            self.highest_bytes = max(self.highest_bytes, self.now_bytes())

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self.join()


async def make_calls(clients: list[gradebox.AsyncClient], calls: int, programs: int, first: int) -> list[str]:
    """Makes all calls at once; what is wrong with the answers."""

    async def one(number: int) -> str | None:
        problem = gradebox.Problem([f"assert f({number}) == {number + 1}"], id=f"p{number}")
        kinds = ["def f(x):\n    return x + 1\n", "def f(x):\n    return x\n", "def f(x):\n    raise ValueError\n"]
        sources = [f"# {number} {place}\n{kinds[place % 3]}" for place in range(programs)]
        try:
            results = await clients[number % len(clients)].grade(sources, problem=problem)
        except gradebox.GradeboxError as error:
            return f"call {number}: {error!r}"
        got = [(result.problem_id, result.index, result.verdict) for result in results]
        right = [(f"p{number}", place, _EXPECTED[place % 3]) for place in range(programs)]
        return None if got == right else f"call {number}: {got}"

    answers = await asyncio.gather(*(one(number) for number in range(first, first + calls)))
    return [answer for answer in answers if answer is not None]


async def run(server: Server, *, calls: int, rounds: int, clients: int, programs: int) -> list[str]:
    """Makes the calls of all rounds; what is wrong."""
    several = [gradebox.AsyncClient(server.target) for _ in range(clients)]
    deviations = []
    after: list[int] = []
    with Memory(server.process.pid) as memory:
        print(f"front at rest: {memory.now_bytes() / 2**20:.0f} MiB", flush=True)
        for number in range(rounds):
            start_s = time.monotonic()
            deviations += await make_calls(several, calls, programs, number * calls)
            after.append(memory.now_bytes())
            took_s = time.monotonic() - start_s
            print(
                f"round {number + 1}: {calls} calls, {calls * programs} programs in {took_s:.1f} s; "
                f"front {after[-1] / 2**20:.0f} MiB, highest {memory.highest_bytes / 2**20:.0f} MiB",
                flush=True,
            )
        for client in several:
            await client.close()
    if rounds > 2 and after[-1] - after[1] > GROWTH_BYTES:
        deviations.append(f"the front grows: {[size >> 20 for size in after]} MiB")
    return deviations


def main() -> int:
    """Runs it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--calls", type=int, default=2000, help="at once")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--programs", type=int, default=3, help="of a call")
    parser.add_argument("--workers", type=int, default=2)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="many-calls-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # jails pass through it under an id that nobody has
        with Server(folder, workers=args.workers).start() as server:
            work = run(server, calls=args.calls, rounds=args.rounds, clients=args.clients, programs=args.programs)
            deviations = asyncio.run(work)
    for deviation in deviations[:30]:
        print("DEVIATION", deviation)
    print(f"{len(deviations)} deviations")
    return 1 if deviations else 0


if __name__ == "__main__":
    sys.exit(main())
