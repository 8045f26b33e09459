"""Runs programs and oracles in forked processes, without a jail."""

from __future__ import annotations

import atexit
import gc
import json
import os
import socket
import sys
import types
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from gradebox_inside import codec, frames, oracle, orders, program


def fork(run: Callable[[], None]) -> int:
    """A child process with nothing on its standard descriptors that runs a function and ends.

    As from a fork server, nothing of this process is at work in it: what tests left behind is not collected there,
    and pytest's functions for the end, which collect it and say so on the program's stderr, do not run.
    """
    pid = os.fork()
    if pid == 0:
        try:
            atexit._clear()
            gc.freeze()
            null = os.open(os.devnull, os.O_RDWR)
            for descriptor in (0, 1, 2):
                os.dup2(null, descriptor)
            run()
        finally:
            os._exit(0)
    return pid


class Process:
    """A program or oracle process and its channel."""

    def __init__(
        self, serve: Callable[..., None], peer: socket.socket | None = None, not_its: socket.socket | None = None
    ) -> None:
        self.channel, other = socket.socketpair()
        self.channel.settimeout(120)

        def run() -> None:
            self.channel.close()
            if not_its is not None:
                not_its.close()
            serve(other, peer)

        self.pid = fork(run)
        other.close()

    def send(self, *message: Any) -> None:
        frames.send_frame(self.channel, orders.pack(message))

    def receive(self) -> Any:
        payload = frames.recv_frame(self.channel, 1 << 28)
        return None if payload is None else codec.decode(payload, budget=codec.Budget(bytes=1 << 28))

    def ask(self, *message: Any) -> Any:
        self.send(*message)
        return self.receive()

    def close(self) -> None:
        self.channel.close()
        os.waitpid(self.pid, 0)


class Bench:
    """Grades tests on the general path or beside the program."""

    def __init__(self) -> None:
        self._open: list[Process] = []

    def program(self, source: str, peer: socket.socket | None = None, not_its: socket.socket | None = None) -> Process:
        process = Process(program.serve, peer, not_its)
        self._open.append(process)
        answer = process.ask("load", source.encode("utf-8", "surrogatepass"), {"name": "program"})
        if answer[0] == "noted":
            answer = process.receive()
        assert answer[0] == "loaded", answer
        return process

    def oracle(
        self, source: str, tests: list[str], kind: str = "code", setup: str = "", compared: bool = False, **options: Any
    ) -> list[dict[str, Any]]:
        ours, theirs = socket.socketpair()
        process = self.program(source, ours, theirs)
        judge = Process(oracle.serve, theirs, ours)
        self._open.append(judge)
        ours.close()
        theirs.close()
        process.send("serve")
        assert judge.ask("setup", setup, {"entry_point": None, **options})[0] == "ready"
        results = []
        for index, test in enumerate(tests):
            answer = judge.ask("test", index, kind, test, {"compared": compared})
            assert answer[:2] == ("tested", index)
            results.append(answer[4])
        return results

    def plainly(self, program: str, tests: list[str]) -> list[str]:
        """The outcomes of tests that are executed with their program in one namespace."""
        reading, writing = os.pipe()

        def run() -> None:
            module = types.ModuleType("program")
            sys.modules["program"] = module
            exec(compile(program, "/tmp/program.py", "exec", dont_inherit=True), module.__dict__)
            outcomes = []
            for test in tests:
                try:
                    exec(compile(test, "/tmp/test.py", "exec", dont_inherit=True), module.__dict__)
                    outcomes.append("passed")
                except AssertionError:
                    outcomes.append("failed")
                except BaseException:
                    outcomes.append("raised")
            os.write(writing, json.dumps(outcomes).encode())

        pid = fork(run)
        os.close(writing)
        with os.fdopen(reading) as pipe:
            outcomes: list[str] = json.load(pipe)
        os.waitpid(pid, 0)
        return outcomes

    def beside(self, source: str, tests: list[str], kind: str = "unittest", setup: str = "") -> list[dict[str, Any]]:
        process = self.program(source)
        return [process.ask("in_process", index, kind, setup, test)[4] for index, test in enumerate(tests)]

    def close(self) -> None:
        for process in reversed(self._open):
            process.close()


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.close()
