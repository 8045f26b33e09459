"""Whose token goes on to the engine: an engine that looks at nothing else stands behind the gateway."""

import asyncio
import inspect
from pathlib import Path
from typing import Any

import grpc
import pytest
from tests.e2e.gateway import Gateway

import gradebox
from gradebox_proto.v1 import grading_pb2 as wire

pytestmark = pytest.mark.skipif(
    "token" not in inspect.signature(gradebox.AsyncClient).parameters, reason="NOT TESTED: clients send no tokens yet"
)

PRINT = {"code": "print(1)", "language": "python"}


class Engine:
    """Run for who has the token `good`; remembers what it was shown."""

    def __init__(self) -> None:
        self.seen: list[Any] = []

    async def run(self, request: wire.RunRequest, context: Any) -> wire.RunResponse:
        """Run."""
        self.seen.append(dict(context.invocation_metadata()).get("authorization"))
        if self.seen[-1] != "Bearer good":
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, "no such token")
        return wire.RunResponse(verdict=wire.PASSED, exit_code=0, stdout=b"1\n")


async def test_a_requests_token_goes_on_and_another_stands_in(tmp_path: Path) -> None:
    engine = Engine()
    server = grpc.aio.server()
    method = grpc.unary_unary_rpc_method_handler(
        engine.run, wire.RunRequest.FromString, wire.RunResponse.SerializeToString
    )
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("gradebox.v1.Grading", {"Run": method}),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()

    def ask() -> None:
        with Gateway(tmp_path, [f"127.0.0.1:{port}"], "--token", "standby") as gateway:
            assert gateway.ask("/run_code", PRINT, token="good")[1]["run_result"]["stdout"] == "1\n"
            assert gateway.ask("/run_code", PRINT, token="bad")[0] == 401
            assert gateway.ask("/run_code", PRINT)[0] == 401
            assert gateway.ask("/run_code", PRINT, token="white space")[0] == 401
            for number in range(200):  # more than clients are kept for
                assert gateway.ask("/run_code", PRINT, token=f"guess-{number}")[0] == 401
            assert gateway.ask("/run_code", PRINT, token="good")[0] == 200

    try:
        await asyncio.to_thread(ask)
    finally:
        await server.stop(None)
    assert engine.seen[:3] == ["Bearer good", "Bearer bad", "Bearer standby"]
    assert engine.seen[-1] == "Bearer good"
