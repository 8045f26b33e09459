"""How the workers of an engine are dealt out to its fronts, and whose a port is."""

import asyncio
import socket

import pytest
from tests.ports import free_port

import gradebox
from gradebox_engine.config import InvalidConfig, load_config
from gradebox_engine.fronts import Claim, Share, shares
from gradebox_engine.service import GradingService
from gradebox_proto.v1 import grading_pb2 as wire

from .conftest import StartFront


@pytest.mark.parametrize(
    ("workers", "fronts", "counts"), [(1, 1, [1]), (3, 2, [2, 1]), (64, 4, [16] * 4), (5, 5, [1] * 5), (17, 2, [9, 8])]
)
def test_every_worker_has_one_number_and_one_front(workers: int, fronts: int, counts: list[int]) -> None:
    dealt = shares(workers, fronts)
    assert [share.workers for share in dealt] == counts
    assert [share.number for share in dealt] == list(range(1, fronts + 1))
    numbers = [share.first_worker + place for share in dealt for place in range(share.workers)]
    assert numbers == list(range(workers))
    assert dealt[0] == Share(1, fronts, 0, counts[0])


@pytest.mark.parametrize(
    ("settings", "fronts"),
    [
        ({"workers": 1}, 1),
        ({"workers": 16}, 1),
        ({"workers": 17}, 2),
        ({"workers": 64}, 4),
        ({"workers": 64, "fronts": 1}, 1),
        ({"workers": 2, "fronts": 2}, 2),
        ({"workers": 2, "fronts": 8}, 2),  # each needs a worker
        ({"workers": 64, "listen": "unix:/s"}, 1),
        ({"workers": 64, "listen": "unix:/s", "fronts": 4, "embedded": True}, 1),
    ],
)
def test_how_many_fronts(settings: dict[str, object], fronts: int) -> None:
    assert load_config(settings).with_machine().fronts == fronts


def test_a_unix_socket_cannot_be_shared() -> None:
    with pytest.raises(InvalidConfig, match="fronts: 2 cannot share unix:/s"):
        load_config({"listen": "unix:/s", "fronts": 2})


def bound(address: str, *, reuse_port: bool) -> socket.socket:
    """A socket as gRPC makes them."""
    host, _, port = address.rpartition(":")
    made = socket.socket()
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, int(reuse_port))
        made.bind((host, int(port)))
        made.listen()
    except BaseException:
        made.close()
        raise
    return made


def test_a_claimed_port_is_for_its_fronts_alone() -> None:
    with Claim("127.0.0.1:0") as claim:
        with pytest.raises(OSError, match="in use"):
            bound(claim.address, reuse_port=False)
        with pytest.raises(RuntimeError, match="in use"):
            Claim(claim.address)  # before any of our fronts listens
        with bound(claim.address, reuse_port=True), bound(claim.address, reuse_port=True):
            with pytest.raises(RuntimeError, match="in use"):
                Claim(claim.address)
        with bound(claim.address, reuse_port=True):  # a front that was replaced
            pass
    with Claim(claim.address):
        pass


@pytest.mark.parametrize("reuse_port", [False, True])
def test_a_port_that_somebody_has_cannot_be_claimed(reuse_port: bool) -> None:
    with bound("127.0.0.1:0", reuse_port=reuse_port) as other:
        with pytest.raises(RuntimeError, match="in use"):
            Claim(f"127.0.0.1:{other.getsockname()[1]}")


@pytest.mark.parametrize("listen", ["localhost:0", ":0", "0.0.0.0:0", "[::]:0"])
def test_every_form_of_address(listen: str) -> None:
    with Claim(listen) as claim:
        port = claim.address.rpartition(":")[2]
        assert int(port) > 0
        with pytest.raises(OSError, match="in use"):
            bound(f"127.0.0.1:{port}", reuse_port=False)


@pytest.mark.parametrize("listen", ["no.such.host.invalid:1", "127.0.0.1:99999", "192.0.2.1:0"])
def test_an_address_that_is_not_ours(listen: str) -> None:
    with pytest.raises(RuntimeError, match="cannot listen on"):
        Claim(listen)


async def test_a_client_asks_for_the_fronts_when_it_has_more_than_one_call(
    start_front: StartFront, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = 0
    info = GradingService.info

    async def counted(self: GradingService, request: wire.InfoRequest, context: object) -> wire.InfoResponse:
        nonlocal asked
        asked += 1
        return await info(self, request, context)

    monkeypatch.setattr(GradingService, "info", counted)
    listen = f"127.0.0.1:{free_port()}"
    front = await start_front(listen=listen, fronts=1)
    async with gradebox.AsyncClient(front.target) as client:
        for _ in range(3):
            await client.grade(["a"], tests=["t"])
        assert asked == 0
        for _ in range(3):
            await asyncio.gather(*(client.grade(["a"], tests=["t"]) for _ in range(10)))
        assert asked == 1
