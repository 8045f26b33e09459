"""Programs that write on the engine's own channel, in every phase: each costs itself its verdict, and nobody else.

Honest submissions stand between the hostile ones, in the same batch and on the same workers.
"""

import time
from typing import Any

import psutil
import pytest

import gradebox

HONEST = "import sys\ndef f(x):\n    return x + 1\nif __name__ == '__main__':\n    print(f(int(input())))\n"
WRONG = HONEST.replace("x + 1", "x - 7")

# What the attacks below start with. `answer` is what an honest process would send for a call, if it knew the value.
PRELUDE = """
import os, socket, sys, time, array
inside = {name.split(".")[1]: module for name, module in sys.modules.items() if name.startswith("gradebox_inside.")}
encode = inside["encode"].encode
def frame(data): return len(data).to_bytes(4, "little") + data
def answer(index, value): return frame(inside["calls"].answer_head(index, 1, 1) + encode(value))
def send(data):
    while data:
        data = data[os.write(3, data):]
"""

# Quick ones: over as soon as they are seen.
ATTACKS = {
    "long_length": "send(b'\\xff' * 4)",
    "flood_of_noise": "while True: send(bytes(range(256)) * 256)",
    "flood_of_empty_frames": "while True: send(bytes(1 << 16))",
    "flood_of_answers": "while True: send(answer(0, 99) * 100)",
    "not_a_value": "send(frame(b'\\x01\\x02\\x03'))",
    "not_a_message": "send(frame(encode([1, 2])) + frame(encode((3,))))",
    "close": "os.close(3)",
    "flood_of_rings": "while True: os.write(4, bytes(1 << 12))",
    "no_bell": "os.close(4)",
    "deaf_and_dumb": "os.close(4); os.close(3)",
    "half_a_frame_and_death": "send(b'\\x09\\0\\0\\0half'); os._exit(0)",
    "loaded": "send(frame(encode(('loaded', []))) * 3)",
    "tested": "send(frame(encode(('tested', 0, 1, 1, {'outcome': 'passed', 'ran': 5}))) * 3)",
    "served": "send(frame(encode(('served',))) * 3)",
    "ended": "send(frame(encode(('ended', 0, None))) * 3); os._exit(3)",
    "answers_out_of_order": "send(b''.join(answer(index, 99) for index in (1, 0, 2)))",
    "answers_in_advance": "send(b''.join(answer(index, 99) for index in range(64)))",
    "answers_and_death": "send(b''.join(answer(index, 99) for index in range(64))); os._exit(0)",
    "signalling_nan": (
        "import decimal; nan = decimal.Decimal('sNaN')\n"
        "send(frame(encode(('tested', nan, nan, nan, nan))) + frame(encode(('answer', nan, nan, nan, nan))))"
    ),
    "report_of_anything": (
        "send(frame(encode(('failed', [1], {'type': [], 'mro': [[], {}], 'message': 10 ** 6000, 'line': {}}))))"
    ),
    "descriptors": (
        "channel = socket.socket(fileno=3)\n"
        "channel.sendmsg([answer(0, 99)], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', range(4)))])"
    ),
    "colliding_keys": (
        "import struct\n"
        "keys = b''.join(b'i' + struct.pack('<q', (k + 1) * (2 ** 61 - 1) if k < 3 else k) for k in range(40000))\n"
        "large = b''.join(encode((k + 5) * (2 ** 61 - 1)) for k in range(40000))\n"
        "send(frame(inside['calls'].answer_head(0, 1, 1) + b'el' + (80000).to_bytes(4, 'little') + keys + large))"
    ),
    "costly_numbers": (
        "big = lambda size: b'J' + size.to_bytes(4, 'little') + bytes(size - 1) + b'\\1'\n"
        "send(frame(inside['calls'].answer_head(0, 1, 1) + b'r' + encode(0) + big(8 << 20) + big(4 << 20)))"
    ),
    "many_classes": (
        "one = lambda k: b'V' + encode('n%d' % k) + encode(()) + encode(())\n"
        "send(frame(inside['calls'].answer_head(0, 1, 1) + b'l' + (60000).to_bytes(4, 'little') + "
        "b''.join(map(one, range(60000)))))"
    ),
}
# These take their wall time.
SLOW = {
    "half_a_frame_and_stall": "send(b'\\xff\\0\\0\\0half'); time.sleep(1000)",
    "a_byte_a_second": "for byte in answer(0, 99):\n    send(bytes([byte])); time.sleep(1)",
    "silence": "time.sleep(1000)",
}
TESTS: dict[str, list[Any]] = {
    "calls": ["assert f(1) == 2", "assert f(2) == 3"],
    "oracle": ["for i in range(3):\n    assert f(i) == i + 1"],
    "whole program": [{"stdin": "1\n", "expected_stdout": "2\n"}],
}


def _indented(code: str) -> str:
    return "\n".join("    " + line for line in code.splitlines())


def while_loading(code: str) -> str:
    """A program that attacks before it is asked anything, then answers wrongly."""
    return PRELUDE + code + "\n" + WRONG


def when_called(code: str) -> str:
    """A program that attacks in its first call, then answers wrongly."""
    return PRELUDE + WRONG.replace(
        "return", f"if not hasattr(os, 'done'):\n        os.done = 1\n{_indented(_indented(code))}\n    return"
    )


def workers() -> list[psutil.Process]:
    """The worker processes of the engines of this process: their fronts' children, not what a worker has forked."""
    found = []
    for front in psutil.Process().children():
        try:
            found += [process for process in front.children() if "gradebox_engine.worker" in process.cmdline()]
        except psutil.Error:
            continue
    return found


@pytest.mark.parametrize("kind", TESTS)
def test_each_costs_only_itself(jails: None, kind: str) -> None:
    limits = {"cpu_time_s": 1, "wall_time_s": 3}
    hostile = {}
    for name, code in (ATTACKS | (SLOW if kind == "calls" else {})).items():
        hostile[name + ", loading"] = while_loading(code)
        hostile[name + ", called"] = when_called(code)
    programs = [HONEST]
    for program in hostile.values():
        programs += [program, HONEST]
    with gradebox.Engine(workers=2) as engine:
        before = {process.pid for process in workers()}
        started_s = time.monotonic()
        results = engine.grade(programs, tests=TESTS[kind], limits=limits)
        took_s = time.monotonic() - started_s
        assert {process.pid for process in workers()} == before, "a worker died"
    verdicts = [result.verdict.name for result in results]
    assert verdicts[::2] == ["PASSED"] * len(verdicts[::2])
    got = dict(zip(hostile, verdicts[1::2], strict=True))
    refused = {"WRONG_ANSWER", "RUNTIME_ERROR", "TIME_LIMIT", "OUTPUT_LIMIT", "MEMORY_LIMIT"}
    assert {name: verdict for name, verdict in got.items() if verdict not in refused} == {}
    # Each at most its wall time and what the worker needs on top, on a machine that may be busy.
    assert took_s < len(hostile) * 10


def test_workers_do_not_grow(jails: None) -> None:
    hostile = [while_loading(code) for code in ATTACKS.values()] + [when_called(code) for code in ATTACKS.values()]
    others = {process.pid for process in workers()}
    with gradebox.Engine(workers=1) as engine:
        engine.grade([*hostile, HONEST], tests=TESTS["calls"], limits={"cpu_time_s": 1})
        (worker,) = (process for process in workers() if process.pid not in others)
        memory, descriptors = worker.memory_info().rss, worker.num_fds()
        for _ in range(-(-200 // len(hostile))):
            results = engine.grade([*hostile, HONEST], tests=TESTS["calls"], limits={"cpu_time_s": 1})
            assert results[-1].verdict.name == "PASSED"
        assert worker.is_running()
        assert worker.num_fds() == descriptors
        assert worker.memory_info().rss < memory + (64 << 20)


def test_a_child_that_keeps_the_channel_answers_nothing(jails: None) -> None:
    orphan = PRELUDE + (
        "if os.fork():\n    os._exit(0)\n"
        "while True:\n    send(frame(encode(('loaded', []))) + answer(0, 2) + answer(1, 3)); time.sleep(0.01)\n"
    )
    late = PRELUDE + (
        "def f(x):\n"
        "    if os.fork():\n        os._exit(0)\n"
        "    while True:\n        send(answer(0, 99)); time.sleep(0.01)\n"
    )
    with gradebox.Engine(workers=2) as engine:
        results = engine.grade(
            [HONEST, orphan, HONEST, late, HONEST], tests=TESTS["calls"], limits={"processes": 4, "wall_time_s": 5}
        )
        names = [result.verdict.name for result in results]
        assert names[::2] == ["PASSED"] * 3
        assert "PASSED" not in names[1::2]
        assert "ENGINE_ERROR" not in names


def test_one_that_does_not_read_does_not_hold_up_its_worker(jails: None) -> None:
    tests = [{"call": {"args": ["x" * 3_000_000]}, "expected": 3_000_000}]
    deaf = "import time\ntime.sleep(1000)\n"
    limits = {"cpu_time_s": 1, "wall_time_s": 3}
    with gradebox.Engine(workers=1) as engine:
        started_s = time.monotonic()
        results = engine.grade(["f = len", deaf, "f = len"], entry_point="f", tests=tests, limits=limits)
        took_s = time.monotonic() - started_s
    assert [result.verdict.name for result in results] == ["PASSED", "TIME_LIMIT", "PASSED"]
    assert took_s < 90
