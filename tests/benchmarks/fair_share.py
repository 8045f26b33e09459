"""How long a small batch of one tenant takes beside the bulk job of another, against an idle engine.

    python -m tests.benchmarks.fair_share                      # as root, from the repository
    python -m tests.benchmarks.fair_share --bulk 100000 --bulk-loops 2000000

A server with two tenants of equal weight gets one request with all programs of the bulk job, which stay queued in it.
The batch may take twice what it takes on the idle engine, as if each tenant had half of the workers, and what the
programs in flight take when it comes: two chunks a worker, each of 50 ms, or of one program where that takes longer.
Exit status: 0 when the median batch was within that. The most is shown, too; other processes of the machine move it.
"""

import argparse
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path

import grpc
from tests.e2e.service_calls import GOOD, Caller, tenant
from tests.e2e.serving import Server

from gradebox_engine.scheduler import CHUNK_TARGET_S
from gradebox_proto.v1 import grading_pb2 as wire

CHUNKS_IN_FLIGHT = 2  # a worker


def program(number: int, loops: int) -> bytes:
    """One that is right, after some work; no two are the same."""
    return b"sum(i * i for i in range(%d))  # %d\n" % (loops, number) + GOOD


def batch_s(caller: Caller, size: int, loops: int, pause_s: float) -> float:
    """How long a batch takes, after a pause."""
    time.sleep(pause_s)
    begun_s = time.monotonic()
    verdicts = caller.grade(*(program(number, loops) for number in range(size)), timeout_s=600)
    assert verdicts == [wire.PASSED] * size
    return time.monotonic() - begun_s


def main() -> int:
    parser = argparse.ArgumentParser(description="A small batch beside a bulk job.")
    parser.add_argument("--bulk", type=int, default=100_000, help="programs of the bulk job")
    parser.add_argument("--bulk-loops", type=int, default=20_000, help="work of each")
    parser.add_argument("--batch", type=int, default=64, help="programs of the small batch")
    parser.add_argument("--batch-loops", type=int, default=20_000, help="work of each")
    parser.add_argument("--times", type=int, default=20, help="batches on the idle engine, and beside the bulk job")
    parser.add_argument("--pause", type=float, default=1.0, help="seconds between two batches, as between steps")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--fronts", type=int, default=1)
    options = parser.parse_args()

    bulk, one = tenant("bulk")
    step, two = tenant("step")
    with tempfile.TemporaryDirectory(prefix="fair-share-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        server = Server(folder, workers=options.workers, fronts=options.fronts, config=one + two)
        with server.start(), Caller(server.target, step) as small, Caller(server.target, bulk) as large:
            batch_s(small, options.batch, options.batch_loops, options.pause)  # what it costs is learned
            idle = sorted(
                batch_s(small, options.batch, options.batch_loops, options.pause) for _ in range(options.times)
            )
            begun_s = time.monotonic()
            large.grade(program(-1, options.bulk_loops))
            one_s = time.monotonic() - begun_s

            under_way = large.start(*(program(n, options.bulk_loops) for n in range(options.bulk)), timeout_s=None)
            done = [len(next(under_way).results)]

            def read() -> None:
                try:
                    done.extend(len(answer.results) for answer in under_way)
                except grpc.RpcError:
                    pass  # cancelled

            reader = threading.Thread(target=read)
            reader.start()
            busy = sorted(
                batch_s(small, options.batch, options.batch_loops, options.pause) for _ in range(options.times)
            )
            is_running = reader.is_alive()
            under_way.cancel()
            reader.join()

    in_flight_s = CHUNKS_IN_FLIGHT * max(CHUNK_TARGET_S, one_s)
    bound_s = 2 * statistics.median(idle) + in_flight_s
    print(f"{options.workers} workers, {options.fronts} front(s); a batch of {options.batch} programs, median / most:")
    print(f"  idle engine                    {statistics.median(idle):.3f} s / {idle[-1]:.3f} s")
    print(f"  beside {options.bulk} programs{'':<12} {statistics.median(busy):.3f} s / {busy[-1]:.3f} s")
    print(f"  bound: 2 x idle + in flight    {bound_s:.3f} s (in flight: {in_flight_s:.3f} s)")
    if not is_running:
        print("the bulk job ended before the last batch: give it more programs", file=sys.stderr)
        return 1
    return 0 if statistics.median(busy) <= bound_s else 1


if __name__ == "__main__":
    sys.exit(main())
