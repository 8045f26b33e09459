"""What is made immortal is not counted any more, and everything goes on working. In processes of its own."""

import subprocess
import sys

CODE = """
import collections, gc, os, sys
from gradebox_inside.immortal import immortalise
shared = ["kept", {"a": (1, 2)}]
before = sys.getrefcount(shared)
count = immortalise()
assert count > 1000, count
assert sys.getrefcount(shared) > 2**31 > before
more = [shared] * 100
del more
assert sys.getrefcount(shared) > 2**31
own = []
assert sys.getrefcount(own) == 2  # what is made later is counted as ever
shared.append(own)
gc.collect()
if os.fork() == 0:
    class Program(dict): pass
    p = Program(shared[1]); p["b"] = collections.Counter("aab")
    del p; gc.collect()
    os._exit(7)
print(os.waitstatus_to_exitcode(os.wait()[1]), shared[1]["a"])
"""


def test_objects_are_shared_and_usable() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr, done.returncode) == ("7 (1, 2)\n", "", 0)
