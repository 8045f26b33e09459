"""A fork server that has been warmed holds nothing of its training, works on, and costs its children fewer pages."""

import subprocess
import sys

import pytest

CODE = """
import gc, os, resource, socket, sys
from gradebox_inside import program, stdio, warm
from gradebox_inside.frames import Channel
from gradebox_inside.orders import pack
if "alone" not in sys.argv:
    before = sys.getrecursionlimit(), list(sys.argv), set(sys.modules)
    stdio._opened = True  # the streams of this process are its own
    warm.train()
    assert (sys.getrecursionlimit(), sys.argv) == before[:2]
    assert "program" not in sys.modules
    warm.settle()
    assert not gc.isenabled()
    gc.unfreeze()
    gc.collect()  # whatever is looked at now is whole
    gc.freeze()
kept = [object() for _ in range(1000)] + [str(n) * 9 for n in range(1000)]
read_fd, write_fd = os.pipe()
if os.fork() == 0:
    values = [[n] for n in range(20_000)] + [bytearray(3000) for _ in range(100)]
    assert sum(value[0] for value in values[:20_000]) == 199_990_000
    assert compile("def f(x):\\n    return [x for x in range(x)]", "a", "exec")
    os.write(write_fd, str(resource.getrusage(resource.RUSAGE_SELF).ru_minflt).encode())
    os._exit(0)
assert os.waitstatus_to_exitcode(os.wait()[1]) == 0
assert kept[1500] == "500" * 9
print(os.read(read_fd, 99).decode())
"""


def faults(*arguments: str) -> int:
    """Page faults of a fork, in a process of its own."""
    done = subprocess.run([sys.executable, "-c", CODE, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


@pytest.mark.parametrize("attempt", range(3))
def test_whole_afterwards(attempt: int) -> None:
    assert faults() > 0


def test_children_copy_fewer_pages() -> None:
    assert faults() < faults("alone")
