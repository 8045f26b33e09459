"""A worker without a jail, to test what the front makes of workers: it obeys the programs' text.

`sleep 0.1`, `die`, `fault`, `error` (an ENGINE_ERROR), `half` (an ENGINE_ERROR behind a test that failed), `long N` (a
message of N characters), `silent`; anything else passes. Started like
the real one; what it does is appended to the file named in its configuration, if there is one.
"""

import argparse
import hashlib
import json
import os
import socket
import struct
import sys
import time

from gradebox_proto.v1 import grading_pb2 as wire


class FakeWorker:
    def __init__(self, connection: socket.socket, config: dict[str, str]) -> None:
        self.connection = connection
        self.log = open(config["log"], "a") if "log" in config else None
        self.index = config["index"]
        self.tests: dict[bytes, int] = {}
        self.cancelled: set[int] = set()
        self.queue: list[tuple[int, bytes]] = []

    def note(self, *words: object) -> None:
        if self.log:
            self.log.write(" ".join(map(str, words)) + "\n")
            self.log.flush()

    def send(self, kind: int, payload: bytes) -> None:
        self.connection.sendall(struct.pack("<IB", len(payload) + 1, kind) + payload)

    def exactly(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            part = self.connection.recv(size - len(data))
            if not part:
                self.note("eof")
                sys.exit(0)
            data += part
        return data

    def read(self) -> None:
        length, kind = struct.unpack("<IB", self.exactly(5))
        payload = self.exactly(length - 1)
        if kind == 3:
            self.cancelled.add(struct.unpack("<Q", payload)[0])
            self.note("cancel")
        else:
            self.queue.append((kind, payload))

    def read_waiting(self) -> None:
        self.connection.setblocking(False)
        try:
            while self.connection.recv(1, socket.MSG_PEEK):
                self.connection.setblocking(True)
                self.read()
                self.connection.setblocking(False)
        except BlockingIOError:
            pass
        finally:
            self.connection.setblocking(True)

    def serve(self) -> None:
        hello = {"pid": os.getpid(), "python": "3", "image": "python@sha256:0", "protections": []}
        self.send(4, json.dumps(hello).encode())
        while True:
            while not self.queue:
                self.read()
            kind, payload = self.queue.pop(0)
            if kind == 2:
                request = wire.RunRequest.FromString(payload[8:])
                if request.source.startswith(b"sleep "):
                    time.sleep(float(request.source.split()[1]))
                response = wire.RunResponse(verdict=wire.PASSED, stdout=request.stdin, exit_code=0)
                self.send(2, payload[:8] + response.SerializeToString())
            else:
                self.grade(wire.GradeRequest.FromString(payload))

    def grade(self, request: wire.GradeRequest) -> None:
        if request.WhichOneof("suite_ref") == "suite":
            data = request.suite.SerializeToString(deterministic=True)
            self.tests[hashlib.sha256(data).digest()] = tests = len(request.suite.tests)
        else:
            tests = self.tests[request.suite_sha256]
        inline = request.WhichOneof("suite_ref") == "suite"
        self.note("chunk", self.index, len(request.programs), "suite" if inline else "sha")
        number = int(request.request_id)
        for offset, source in enumerate(request.programs):
            self.read_waiting()
            if number in self.cancelled:
                break
            verdict: wire.Verdict = wire.PASSED
            last: wire.Verdict | None = None
            message = ""
            match source.decode().split():
                case ["sleep", seconds, *_]:
                    time.sleep(float(seconds))
                case ["die"]:
                    os._exit(1)
                case ["fault"]:
                    self.send(5, json.dumps({"job": number, "message": "jail gone"}).encode())
                    return
                case ["error"]:
                    verdict = wire.ENGINE_ERROR
                case ["half"]:
                    verdict, last = wire.WRONG_ANSWER, wire.ENGINE_ERROR
                case ["long", size, *_]:
                    message = "x" * int(size)
                case ["silent"]:
                    time.sleep(1000)
            self.note("program", self.index, source.decode())
            test = wire.TestResult(verdict=verdict, seal=wire.SEALED, cpu_time_s=0.001, message=message)
            result = wire.SubmissionResult(
                index=request.first_index + offset,
                program_sha256=hashlib.sha256(source).digest(),
                verdict=verdict,
                pass_rate=1.0,
                tests=[test] * tests,
            )
            if last is not None:
                result.tests[-1].verdict = last
            response = wire.GradeResponse(request_id=request.request_id, results=[result])
            self.send(1, response.SerializeToString())
        self.send(1, wire.GradeResponse(request_id=request.request_id, done=True).SerializeToString())


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--fd", type=int)
    parser.add_argument("--config-json")
    args = parser.parse_args()
    config = json.loads(args.config_json)
    if config.get("broken"):
        sys.exit(3)
    FakeWorker(socket.socket(fileno=args.fd), config).serve()
