"""TLS, tokens, and which errors are tried again: a client against a small service that behaves as told."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from tests.certificates import Authority

import gradebox
from gradebox_proto.v1 import grading_pb2 as wire
from gradebox_proto.v1 import routing_pb2 as routed

TOKEN = "a-token"


class Service:
    """Answers Info, and Run with what `refusals` say, one after the other, before it answers."""

    def __init__(self) -> None:
        self.tokens: list[str | None] = []
        self.times_s: list[float] = []
        self.refusals: list[Callable[[Any], Awaitable[None]]] = []

    async def info(self, request: wire.InfoRequest, context: Any) -> wire.InfoResponse:
        metadata = dict(context.invocation_metadata())
        self.tokens.append(metadata.get("authorization"))
        return wire.InfoResponse(version="1", workers=1)

    async def run(self, request: wire.RunRequest, context: Any) -> wire.RunResponse:
        self.times_s.append(asyncio.get_running_loop().time())
        if self.refusals:
            await self.refusals.pop(0)(context)
        return wire.RunResponse(verdict=wire.PASSED)

    async def serve(self, credentials: grpc.ServerCredentials | None = None) -> tuple[grpc.aio.Server, str]:
        server = grpc.aio.server()
        handlers: dict[str, grpc.RpcMethodHandler[Any, Any]] = {
            "Info": grpc.unary_unary_rpc_method_handler(
                self.info, wire.InfoRequest.FromString, wire.InfoResponse.SerializeToString
            ),
            "Run": grpc.unary_unary_rpc_method_handler(
                self.run, wire.RunRequest.FromString, wire.RunResponse.SerializeToString
            ),
        }
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("gradebox.v1.Grading", handlers),))
        if credentials is None:
            port = server.add_insecure_port("127.0.0.1:0")
        else:
            port = server.add_secure_port("127.0.0.1:0", credentials)
        await server.start()
        return server, f"127.0.0.1:{port}"


@pytest.fixture
def service() -> Service:
    return Service()


@pytest.fixture
async def plain(service: Service) -> AsyncIterator[str]:
    server, target = await service.serve()
    yield target
    await server.stop(0)


# --- TLS ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"), "authority")


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("stranger"), "stranger")


def server_credentials(authority: Authority, *, days: int = 1, mutual: bool = False) -> grpc.ServerCredentials:
    certificate, key = authority.sign(f"server{days}", days)
    return grpc.ssl_server_credentials(
        [(key.read_bytes(), certificate.read_bytes())],
        root_certificates=authority.file.read_bytes() if mutual else None,
        require_client_auth=mutual,
    )


async def test_tls_with_a_token(service: Service, authority: Authority) -> None:
    server, target = await service.serve(server_credentials(authority))
    async with gradebox.AsyncClient(target, ca_file=authority.file, token=TOKEN) as client:
        assert (await client.info()).version == "1"
    assert service.tokens == [f"Bearer {TOKEN}"]
    await server.stop(0)


async def test_the_synchronous_client_and_a_name(
    service: Service, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The certificate is the name's, and not the address's that it was looked up to."""
    server, target = await service.serve(server_credentials(authority))
    port = target.rpartition(":")[2]
    found = [(2, 1, 6, "", ("127.0.0.1", int(port)))]
    monkeypatch.setattr("gradebox._targets.socket.getaddrinfo", lambda *_, **__: found)

    def call(name: str) -> None:
        with gradebox.Client(f"dns:///{name}:{port}", ca_file=authority.file, token=TOKEN) as client:
            client.info()

    await asyncio.to_thread(call, "engines.test")
    with pytest.raises(gradebox.Unavailable):
        await asyncio.to_thread(call, "elsewhere.test")
    assert service.tokens == [f"Bearer {TOKEN}"]
    await server.stop(0)


async def test_mutual_tls(service: Service, authority: Authority, stranger: Authority) -> None:
    server, target = await service.serve(server_credentials(authority, mutual=True))
    certificate, key = authority.sign("client")
    async with gradebox.AsyncClient(target, ca_file=authority.file, cert_file=certificate, key_file=key) as client:
        assert (await client.info()).version == "1"
    other, other_key = stranger.sign("client")
    async with gradebox.AsyncClient(target, ca_file=authority.file, cert_file=other, key_file=other_key) as client:
        with pytest.raises(gradebox.Unavailable):
            await client.info()
    async with gradebox.AsyncClient(target, ca_file=authority.file) as client:
        with pytest.raises(gradebox.Unavailable):
            await client.info()
    await server.stop(0)


async def test_an_engine_that_cannot_show_who_it_is(
    service: Service, authority: Authority, stranger: Authority
) -> None:
    server, target = await service.serve(server_credentials(stranger))
    async with gradebox.AsyncClient(target, ca_file=authority.file, token=TOKEN) as client:
        with pytest.raises(gradebox.Unavailable, match=r"(?i)certificate|handshake"):
            await client.info()
    await server.stop(0)
    server, target = await service.serve(server_credentials(authority, days=-1))
    async with gradebox.AsyncClient(target, ca_file=authority.file, token=TOKEN) as client:
        with pytest.raises(gradebox.Unavailable, match="expired"):
            await client.info()
    await server.stop(0)
    assert service.tokens == []


async def test_tls_to_an_engine_without(service: Service, plain: str, authority: Authority) -> None:
    async with gradebox.AsyncClient(plain, ca_file=authority.file, token=TOKEN) as client:
        with pytest.raises(gradebox.Unavailable):
            await client.info()
    assert service.tokens == []


# --- tokens ---------------------------------------------------------------------------------------


async def test_a_token_in_the_clear_stays_on_this_machine(service: Service, plain: str) -> None:
    async with gradebox.AsyncClient(plain, token=TOKEN) as client:
        await client.info()
    assert service.tokens == [f"Bearer {TOKEN}"]


LOCAL = ["127.0.0.1:1", "127.1.2.3:1", "[::1]:1", "localhost:1", "unix:/x", "ipv4:127.0.0.1:1", "dns:///localhost:1"]
REMOTE = [
    *("engine:1", "10.0.0.1:1", "[fe80::1]:1", "dns:///engine:1", "dns://1.1.1.1/localhost.evil:1", "ipv4:10.0.0.1:1"),
    *("localhost.evil:1", "127.0.0.1.evil:1", "127.0.0.1:1,10.0.0.1:1", "ipv4:127.0.0.1:1,10.0.0.1:1", "::1"),
]


@pytest.mark.parametrize("target", LOCAL)
def test_what_is_this_machine(target: str) -> None:
    gradebox.AsyncClient(target, token=TOKEN)


@pytest.mark.parametrize("target", REMOTE)
def test_a_token_does_not_leave_this_machine_in_the_clear(target: str, authority: Authority) -> None:
    with pytest.raises(gradebox.InvalidRequest) as caught:
        gradebox.Client(["127.0.0.1:1", target], token=TOKEN)
    assert caught.value.field == "token"
    assert TOKEN not in str(caught.value)
    gradebox.Client(target, token=TOKEN, tls=False)
    gradebox.Client(target, token=TOKEN, tls=True)
    gradebox.Client(target, token=TOKEN, ca_file=authority.file)


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({"token": ""}, "token"),
        ({"token": "a\nb"}, "token"),
        ({"token": b"a"}, "token"),
        ({"ca_file": "/nowhere"}, "ca_file"),
        ({"cert_file": "/dev/null"}, "key_file"),
        ({"key_file": "/dev/null"}, "cert_file"),
        ({"tls": "yes"}, "tls"),
        ({"tls": False, "ca_file": "/dev/null"}, "tls"),
    ],
)
def test_a_bad_argument_is_named(arguments: dict[str, Any], field: str) -> None:
    for kind in (gradebox.Client, gradebox.AsyncClient):
        with pytest.raises(gradebox.InvalidRequest) as caught:
            kind("127.0.0.1:1", **arguments)
        assert caught.value.field == field


def test_a_token_is_not_shown(plain: str) -> None:
    client = gradebox.AsyncClient(plain, token=TOKEN)
    assert TOKEN not in repr(vars(client)) + repr(vars(client._targets))
    place = client._targets._places[0]
    assert TOKEN not in repr(vars(place))


# --- what is tried again --------------------------------------------------------------------------


def refusal(code: grpc.StatusCode, metadata: tuple[tuple[str, bytes], ...] = ()) -> Callable[[Any], Awaitable[None]]:
    async def refuse(context: Any) -> None:
        await context.abort(code, "no", metadata)

    return refuse


def retry_info(delay_s: float) -> tuple[tuple[str, bytes], ...]:
    """As google.rpc has it."""
    delay = routed.RetryInfo(retry_delay=Duration(seconds=int(delay_s), nanos=int(delay_s % 1 * 1e9)))
    detail = AnyMessage(type_url="type.googleapis.com/google.rpc.RetryInfo", value=delay.SerializeToString())
    other = AnyMessage(type_url="type.googleapis.com/google.rpc.Help", value=b"\xff")
    return (("grpc-status-details-bin", routed.StatusDetails(details=[other, detail]).SerializeToString()),)


@pytest.fixture
async def client(plain: str) -> AsyncIterator[gradebox.AsyncClient]:
    async with gradebox.AsyncClient(plain) as client:
        yield client


async def test_unavailable_is_tried_again(service: Service, client: gradebox.AsyncClient) -> None:
    service.refusals = [refusal(grpc.StatusCode.UNAVAILABLE)] * 3
    assert (await client.run("x")).verdict is gradebox.Verdict.PASSED
    assert len(service.times_s) == 4
    pauses_s = [later - sooner for sooner, later in zip(service.times_s, service.times_s[1:], strict=False)]
    assert pauses_s[0] >= 0.05 and pauses_s[2] >= 0.2  # they grow


@pytest.mark.parametrize("delay_s", [0.7, 1.25])
async def test_an_overloaded_engine_says_when(service: Service, client: gradebox.AsyncClient, delay_s: float) -> None:
    service.refusals = [refusal(grpc.StatusCode.RESOURCE_EXHAUSTED, retry_info(delay_s))]
    await client.run("x")
    assert service.times_s[1] - service.times_s[0] >= delay_s


async def test_an_overloaded_engine_is_not_waited_for_where_there_is_another(service: Service, plain: str) -> None:
    second = Service()
    server, target = await second.serve()
    service.refusals = [refusal(grpc.StatusCode.RESOURCE_EXHAUSTED, retry_info(20))]
    async with gradebox.AsyncClient([plain, target]) as client:
        await client.run("x", timeout_s=10)
    assert (len(service.times_s), len(second.times_s)) == (1, 1)
    await server.stop(0)


async def test_the_engine_s_wish_is_in_the_error(service: Service, plain: str) -> None:
    service.refusals = [refusal(grpc.StatusCode.RESOURCE_EXHAUSTED, retry_info(2.5))]
    async with gradebox.AsyncClient(plain, retry_s=0) as client:
        with pytest.raises(gradebox.Overloaded) as caught:
            await client.run("x")
    assert caught.value.retry_after_s == 2.5


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (grpc.StatusCode.UNAUTHENTICATED, gradebox.AccessDenied),
        (grpc.StatusCode.PERMISSION_DENIED, gradebox.AccessDenied),
        (grpc.StatusCode.INVALID_ARGUMENT, gradebox.InvalidRequest),
        (grpc.StatusCode.INTERNAL, gradebox.EngineFault),
        (grpc.StatusCode.UNIMPLEMENTED, gradebox.EngineFault),
        (grpc.StatusCode.DEADLINE_EXCEEDED, gradebox.DeadlineExceeded),
    ],
)
async def test_nothing_else_is_tried_again(
    service: Service, client: gradebox.AsyncClient, code: grpc.StatusCode, error: type[Exception]
) -> None:
    service.refusals = [refusal(code)]
    with pytest.raises(error):
        await client.run("x")
    assert len(service.times_s) == 1


def test_a_file_is_read_when_the_client_is_made(authority: Authority, tmp_path: Path) -> None:
    copy = tmp_path / "ca.pem"
    copy.write_bytes(authority.file.read_bytes())
    client = gradebox.Client("127.0.0.1:1", ca_file=copy)
    copy.unlink()
    with client, pytest.raises(gradebox.Unavailable):
        client.info()
