"""The worker process: `python -m gradebox_engine.worker --fd N --config-json JSON`, started by the front.

Theory of operation. Root of the host, or, for an ordinary user, of a user namespace of its own; one thread works (and,
without a control group, one looks after the jail: see jail.tree). It owns one jail, in a private mount namespace, and
takes jobs from the front over the socket N, one submission at a time; answers leave as they are ready. When the front
goes (end of file), the worker ends its jail and itself; when the worker is killed, the kernel ends the jail (nsjail's
processes are told by PR_SET_PDEATHSIG and by the end of the control socket). A jail that fails is replaced, the job
that met it is handed back to the front as a fault, and no program is blamed for it. So is a job under which the worker
itself fails (out of memory or of descriptors, a bug): whatever state that leaves in the jail is thrown away with it.
"""

import argparse
import contextlib
import ctypes
import functools
import gc
import hashlib
import json
import os
import signal
import socket
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import cast

from google.protobuf.message import DecodeError

from gradebox_engine import images
from gradebox_engine.convert import InvalidSuite, limits_from_wire, suite_from_wire, suite_key
from gradebox_engine.images.catalog import built_image, image_name
from gradebox_engine.jail import cgroup, rootfs, rootless
from gradebox_engine.jail.launch import JailDied, sweep_folders
from gradebox_engine.judge.result import pass_rate, submission_verdict
from gradebox_engine.judge.suite import Verdict
from gradebox_engine.lately import Lately
from gradebox_engine.limits import Ceilings
from gradebox_engine.tier import Tier
from gradebox_engine.work import SUITES_BYTES, SUITES_PER_WORKER
from gradebox_engine.worker.compiler import Compiler
from gradebox_engine.worker.grader import Grader, Prepared
from gradebox_engine.worker.jails import Jails
from gradebox_engine.worker.link import FrameType, FrontGone, Link
from gradebox_engine.worker.outcome import Graded
from gradebox_engine.worker.session import Cancelled
from gradebox_engine.worker.stdio import Ran
from gradebox_engine.worker.watch import Fault
from gradebox_proto.v1 import grading_pb2 as wire
from gradebox_proto.v1 import routing_pb2 as routed

_PR_SET_PDEATHSIG = 1
# Results of one chunk leave together when they come faster than this, so that small ones do not cost a message each.
_FLUSH_RESULTS = 8


def _why(error: Exception) -> str:
    if isinstance(error, JailDied):
        return str(error)[:2000]
    if isinstance(error, MemoryError):
        return "the worker ran out of memory"
    frames = traceback.extract_tb(error.__traceback__)  # its message may quote a program
    where = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    return f"the worker failed: {type(error).__name__}{where}"


def _verdict(verdict: Verdict) -> "wire.Verdict":
    return cast("wire.Verdict", int(verdict))  # the same numbers


def _result(index: int, source: bytes, graded: Graded) -> wire.SubmissionResult:
    verdicts = [outcome.verdict for outcome in graded.outcomes]
    rate = pass_rate(verdicts)
    result = wire.SubmissionResult(
        index=index,
        program_sha256=hashlib.sha256(source).digest(),
        verdict=_verdict(submission_verdict(verdicts)),
        tests=[
            wire.TestResult(
                verdict=_verdict(o.verdict),
                seal=cast("wire.Seal", int(o.seal)),
                cpu_time_s=o.cpu_time_s,
                wall_time_s=o.wall_time_s,
                memory_bytes=o.memory_bytes,
                message=o.message,
            )
            for o in graded.outcomes
        ],
        evidence=[cast("wire.Evidence", int(e)) for e in graded.evidence],
        cpu_time_s=sum(outcome.cpu_time_s for outcome in graded.outcomes),
    )
    if rate is not None:
        result.pass_rate = rate
    return result


def _run_response(ran: Ran | Fault) -> wire.RunResponse:
    if isinstance(ran, Fault):  # it did not compile
        return wire.RunResponse(verdict=_verdict(ran.verdict), message=ran.message)
    return wire.RunResponse(
        verdict=_verdict(ran.fault.verdict if ran.fault else Verdict.PASSED),
        exit_code=ran.exit_code,
        stdout=ran.stdout,
        stderr=ran.stderr,
        cpu_time_s=ran.cpu_time_s,
        wall_time_s=ran.wall_time_s,
        memory_bytes=ran.memory_bytes,
        message=ran.fault.message if ran.fault else "",
        files=[wire.File(name=name, content=content) for name, content in ran.files.items()],
    )


class Worker:
    """Takes jobs from the link and grades them in its jail."""

    def __init__(
        self,
        link: Link,
        image: images.Image,
        more: dict[str, Callable[[], images.Image]],
        ceilings: Ceilings,
        tier: Tier,
    ) -> None:
        self._link = link
        self._image = image
        self._ceilings = ceilings
        self._problems: Lately[bytes, Prepared] = Lately(SUITES_PER_WORKER, SUITES_BYTES)
        self._jails = Jails(image, more, with_cgroup=tier == "full")
        self._compiler = Compiler(ceilings)

    def serve(self) -> None:
        """Works until the front closes the link."""
        self._link.send_json(
            FrameType.HELLO,
            {
                "pid": os.getpid(),
                "python": sys.version.split()[0],
                "image": f"{self._image.name}@sha256:{self._image.digest}",
                "protections": self._jails.protections,
            },
        )
        while True:
            kind, payload = self._link.next()
            if kind is FrameType.GRADE:
                self._grade(payload)
            elif kind is FrameType.RUN:
                self._run(payload)

    def close(self) -> None:
        """Ends the jails."""
        self._jails.close()

    def _replace_jail(self, job: int, error: Exception) -> None:
        """A jail that failed is never used again. The front hears of it, and gives the work to another."""
        if not isinstance(error, JailDied):
            traceback.print_tb(error.__traceback__)
        self._link.send_json(FrameType.FAULT, {"job": job, "message": _why(error)})
        self._jails.replace()

    def _problem(self, request: routed.RoutedGradeRequest) -> Prepared:
        """The problem of a request, planned once; later requests name it by its key."""
        inline = request.WhichOneof("suite_ref") == "suite"
        key = suite_key(request.suite) if inline else request.suite_sha256
        entry = self._problems.use(key)
        if entry is None:
            suite = suite_from_wire(wire.Suite.FromString(request.suite), self._ceilings)
            image = self._jails.image(image_name(suite.image or ""))
            entry = Prepared(suite, heavy=self._jails.tests_import_heavy(image, suite))
            self._problems.put(key, entry, len(request.suite))
        return entry

    def _grade(self, payload: bytes) -> None:
        request = routed.RoutedGradeRequest.FromString(payload)
        job = int(request.request_id)
        response = wire.GradeResponse(request_id=request.request_id)
        cancelled = functools.partial(self._link.is_cancelled, job)
        try:
            problem = self._problem(request)
            for offset, source in enumerate(request.programs):
                if cancelled():
                    break
                image = self._jails.image(image_name(problem.suite.image or ""))
                jail = self._jails.choose(image, heavy=problem.heavy or self._jails.imports_heavy(image, source))
                grader = Grader(jail, cancelled, self._jails.judge, self._compiler)
                graded = grader.grade(problem, source, request.stop_early)
                response.results.append(_result(request.first_index + offset, source, graded))
                if len(response.results) >= _FLUSH_RESULTS or any(o.wall_time_s > 0.01 for o in graded.outcomes):
                    self._link.send(FrameType.GRADE, response.SerializeToString())
                    del response.results[:]
        except Cancelled:
            pass
        except JailDied as error:
            if response.results:
                self._link.send(FrameType.GRADE, response.SerializeToString())
            self._replace_jail(job, error)
            return
        except (InvalidSuite, DecodeError) as error:
            self._link.send_json(
                FrameType.FAULT, {"job": job, "message": f"the front sent what it should not: {error!r}"}
            )
            return
        except FrontGone:
            raise
        except Exception as error:
            response.Clear()
            self._replace_jail(job, error)
            return
        response.done = True
        self._link.send(FrameType.GRADE, response.SerializeToString())
        self._link.forget(job)

    def _run(self, payload: bytes) -> None:
        job = int.from_bytes(payload[:8], "little")
        request = wire.RunRequest.FromString(payload[8:])
        try:
            limits = limits_from_wire(request.limits, self._ceilings)
            image = self._jails.image(image_name(request.image))
            jail = self._jails.choose(image, heavy=self._jails.imports_heavy(image, request.source))
            cancelled = functools.partial(self._link.is_cancelled, job)
            grader = Grader(jail, cancelled, self._jails.judge, self._compiler)
            files = [(file.name, file.content) for file in request.files]
            ran = grader.run(request.language, request.source, request.stdin, limits, files, request.fetch_files)
        except Cancelled:
            response = wire.RunResponse(verdict=wire.SKIPPED, message="cancelled")
        except FrontGone:
            raise
        except Exception as error:
            self._replace_jail(job, error)
            return
        else:
            response = _run_response(ran)
        self._link.send(FrameType.RUN, payload[:8] + response.SerializeToString())
        self._link.forget(job)


def main() -> int:
    """Runs one worker. Returns the exit status."""
    parser = argparse.ArgumentParser(description="gradebox worker; started by the engine")
    parser.add_argument("--fd", type=int, required=True)
    parser.add_argument("--config-json", required=True)
    args = parser.parse_args()
    config = json.loads(args.config_json)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's Ctrl-C is the front's to handle
    os.set_inheritable(args.fd, False)
    link = Link(socket.socket(fileno=args.fd))
    # Never an exception of its own: it comes when the front dies, perhaps while that is being dealt with already.
    signal.signal(signal.SIGTERM, lambda *_: link.hang_up())
    try:
        if os.geteuid() != 0:
            rootless.enter()
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)  # now: a change of identity clears it
        rootfs.enter_private_mounts()
        cgroup.sweep()
        sweep_folders()
        packages = config.get("packages")
        image = images.host_python(packages and Path(packages), tuple(config.get("warm_modules", ())))
        ceilings = Ceilings(**config["ceilings"])
        more: dict[str, Callable[[], images.Image]] = {
            one["name"]: functools.partial(built_image, one) for one in config.get("images", ())
        }
        worker = Worker(link, image, more, ceilings, config["tier"])
    except Exception as error:
        traceback.print_exception(error)
        with contextlib.suppress(FrontGone):
            link.send_json(FrameType.FAULT, {"job": None, "message": str(error)[:2000] or repr(error)})
        return 1
    gc.collect()
    gc.freeze()
    try:
        with contextlib.suppress(FrontGone):
            worker.serve()
    except MemoryError:  # not even to read the job
        link.send_json(FrameType.FAULT, {"job": None, "message": "the worker ran out of memory"})
        return 1
    finally:
        worker.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
