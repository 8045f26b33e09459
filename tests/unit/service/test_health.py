"""The health service over real gRPC, with fake workers: what makes an engine NOT_SERVING, and SERVING again."""

import asyncio

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from gradebox_engine import health

from .conftest import Front, StartFront

SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING


async def status(front: Front) -> set[int]:
    """Of the engine as a whole and of the service: one and the same, but at the moment of a change."""
    async with grpc.aio.insecure_channel(front.target) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        return {(await stub.Check(health_pb2.HealthCheckRequest(service=name))).status for name in ("", health.SERVICE)}


async def becomes(expected: int, front: Front) -> bool:
    for _ in range(200):
        if await status(front) == {expected}:
            return True
        await asyncio.sleep(0.05)
    return False


async def test_not_serving_until_a_canary_has_come_back(start_front: StartFront) -> None:
    front = await start_front()
    assert await status(front) == {NOT_SERVING}
    front.server.watch()
    assert await becomes(SERVING, front)


@pytest.mark.parametrize("program", [b"error", b"die"])
async def test_a_canary_that_fails_is_told(
    start_front: StartFront, program: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    front = await start_front(canary_s=1)
    front.server.watch()
    assert await becomes(SERVING, front)
    with monkeypatch.context() as broken:
        broken.setattr(health, "PROGRAM", program)
        assert await becomes(NOT_SERVING, front)
    assert await becomes(SERVING, front)


async def test_without_workers_it_is_not_serving(start_front: StartFront, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "NO_WORKER_S", 0.1)
    front = await start_front(canary_s=1)
    front.server.watch()
    assert await becomes(SERVING, front)

    def refuse(*_: object, **__: object) -> None:
        raise OSError(24, "Too many open files")

    with monkeypatch.context() as broken:
        broken.setattr("gradebox_engine.pool.subprocess.Popen", refuse)
        for connection in front.pool._connections.values():
            connection.kill("the test")
        assert await becomes(NOT_SERVING, front)
    assert await becomes(SERVING, front)
