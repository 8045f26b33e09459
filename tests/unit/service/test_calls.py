"""What the log says of each call, its id, and what it never says."""

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pytest
import structlog

import gradebox
from gradebox_engine import calls
from gradebox_engine.families import by
from gradebox_engine.logs import configure_logging
from gradebox_engine.recent import KEPT, REASON_CHARACTERS, Recent
from gradebox_engine.tenants import new_token
from gradebox_proto.v1 import grading_pb2 as wire

from .conftest import StartFront

Lines = Callable[[str], list[dict[str, Any]]]
SECRET = "secret-of-a-program"


@pytest.fixture
def log(capsys: pytest.CaptureFixture[str]) -> Iterator[Lines]:
    """The lines of the engine's log with this event, since the last time; the level is info."""
    configure_logging("info")

    def lines(event: str) -> list[dict[str, Any]]:
        read = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
        return [line for line in read if line["event"] == event]

    yield lines
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


async def one_call(log: Lines) -> dict[str, Any]:
    """The line of the one call there was; it is written once the caller has its answer."""
    end_s = time.monotonic() + 10
    while not (lines := log("call")) and time.monotonic() < end_s:
        await asyncio.sleep(0.02)
    (line,) = lines
    return line


async def ask(
    target: str, method: str, request: Any, answer: Any, metadata: tuple[tuple[str, str], ...] = ()
) -> tuple[grpc.StatusCode, dict[str, str]]:
    """One call without the client: its status code, and what came with its end."""
    async with grpc.aio.insecure_channel(target) as channel:
        call: Any = channel.unary_unary(
            f"/gradebox.v1.Grading/{method}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=answer.FromString,
        )(request, metadata=metadata)
        code = await call.code()
        return code, {key: str(value) for key, value in await call.trailing_metadata()}


async def run(
    target: str, *, language: str = "", request_id: str | None = None, token: str = ""
) -> tuple[grpc.StatusCode, str]:
    """Run, and the request id that came back."""
    metadata: tuple[tuple[str, str], ...] = (("authorization", f"Bearer {token}"),) if token else ()
    metadata += ((calls.REQUEST_ID_KEY, request_id),) if request_id is not None else ()
    request = wire.RunRequest(source=SECRET.encode(), language=language)
    code, trailing = await ask(target, "Run", request, wire.RunResponse, metadata)
    return code, trailing[calls.REQUEST_ID_KEY]


async def test_one_line_a_call_with_its_id(start_front: StartFront, log: Lines) -> None:
    token, digest = new_token()
    front = await start_front(tenants={"team": {"tokens": [digest]}})
    assert await run(front.target, request_id="job-7/step:3", token=token) == (grpc.StatusCode.OK, "job-7/step:3")
    line = await one_call(log)
    assert {name: line[name] for name in ("method", "request_id", "tenant", "programs", "code", "level")} == {
        "method": "Run",
        "request_id": "job-7/step:3",
        "tenant": "team",
        "programs": 1,
        "code": "OK",
        "level": "info",
    }
    assert 0 <= line["duration_s"] < 60

    code, made = await run(front.target, language="cobol", token=token)
    line = await one_call(log)
    assert (code, line["code"]) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_ARGUMENT")
    assert line["request_id"] == made != "job-7/step:3"
    one, other = [(await run(front.target, request_id="", token=token), await one_call(log))[0] for _ in range(2)]
    assert one != other

    assert (await run(front.target, token="of-nobody", request_id="a"))[1] == "a"
    line = await one_call(log)
    assert (line["tenant"], line["code"], line["request_id"]) == ("", "UNAUTHENTICATED", "a")
    counted = by(front.meter.families(), "gradebox_grpc_calls_total", "tenant", "code")
    assert counted == {("team", "OK"): 3, ("team", "INVALID_ARGUMENT"): 1, ("", "UNAUTHENTICATED"): 1}
    assert by(front.meter.families(), "gradebox_submissions_total", "tenant") == {("team",): 3}


@pytest.mark.parametrize("bad", ["x" * 129, 'a"b', "a b", "<script>"])
async def test_an_id_that_could_do_harm_is_replaced(start_front: StartFront, log: Lines, bad: str) -> None:
    front = await start_front()
    code, made = await run(front.target, request_id=bad)
    assert code is grpc.StatusCode.OK
    assert len(made) == 32 and made.isalnum()
    assert (await one_call(log))["request_id"] == made


async def test_a_stream_is_one_line_and_a_flood_of_calls_is_few(
    start_front: StartFront, log: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calls, "LINES_PER_S", 2)
    front = await start_front()
    begun_s = time.monotonic()
    for _ in range(60):
        await run(front.target)
    took_s = time.monotonic() - begun_s
    await asyncio.sleep(1.1)  # another second
    await run(front.target)
    lines = log("call")
    assert len(lines) <= 2 * (took_s + 2) + 1
    assert len(lines) + sum(line.get("calls_not_logged", 0) for line in lines) == 61

    async with gradebox.AsyncClient(front.target) as client:
        items = [gradebox.GradeItem(gradebox.Problem(["t"]), ["a"], key) for key in range(50)]
        assert len([graded async for graded in client.grade_many(items)]) == 50
    await front.server.stop(5)
    assert [line["programs"] for line in log("call") if line["method"] == "GradeStream"] == [50]


async def test_what_only_asks_is_not_told_of(start_front: StartFront, log: Lines) -> None:
    front = await start_front()
    assert (await ask(front.target, "Info", wire.InfoRequest(), wire.InfoResponse))[0] is grpc.StatusCode.OK
    assert log("call") == []


async def test_a_call_that_its_caller_gives_up(start_front: StartFront, log: Lines) -> None:
    front = await start_front()
    async with gradebox.AsyncClient(front.target, retry_s=0) as client:
        with pytest.raises(gradebox.DeadlineExceeded):
            await client.grade(["sleep 0.6"], tests=["t"], timeout_s=0.2)
    await front.server.stop(5)
    assert {line["code"] for line in log("call")} <= {"CANCELLED", "DEADLINE_EXCEEDED"}
    counted = next(family for family in front.meter.families() if family.name == "gradebox_grpc_calls").samples
    assert any(dict(labels)["code"] in ("CANCELLED", "DEADLINE_EXCEEDED") for _, labels, _ in counted)


@pytest.mark.parametrize("asked_for", [False, True])
async def test_programs_are_in_the_log_when_asked_for(
    start_front: StartFront, capsys: pytest.CaptureFixture[str], asked_for: bool
) -> None:
    configure_logging("debug")
    front = await start_front(log_programs=asked_for, log_level="debug")
    async with gradebox.AsyncClient(front.target) as client:
        await client.grade([f"print('{SECRET}')", f"error {SECRET}"], tests=[f"assert '{SECRET}'"])
        await client.run(f"# {SECRET}")
    text = capsys.readouterr().err
    structlog.reset_defaults()
    programs = [line for line in map(json.loads, text.splitlines()) if line["event"] == "program"]
    assert (SECRET in text) == asked_for
    assert [line["index"] for line in programs] == ([0, 1, 0] if asked_for else [])
    assert all(line["request_id"] for line in programs)


def test_the_last_errors_are_kept_without_what_an_exception_quotes() -> None:
    recent = Recent()
    for number in range(KEPT + 10):
        event = {"level": "error", "timestamp": f"{number:03}", "event": "fault", "exc_info": ValueError(SECRET)}
        assert recent(None, "error", event) is event
    recent(None, "info", {"level": "info", "event": "worker ready"})
    recent(None, "warning", {"level": "warning", "event": "jail died", "reason": "x" * 10_000, "pid": 3, "front": 2})
    recent(None, "error", {"level": "error", "event": "other", "source": SECRET})
    taken = recent.take()
    assert len(taken) == KEPT
    assert taken[-3].detail == "ValueError"
    assert (taken[-2].front, len(taken[-2].detail)) == (2, REASON_CHARACTERS)
    assert SECRET not in repr(taken)
    assert recent.take() == []
