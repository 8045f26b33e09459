"""Tenants, their tokens and their quotas, without a server; and what of them is refused in a configuration."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from gradebox_engine import quotas as module
from gradebox_engine.access import TenantConfig
from gradebox_engine.config import EngineConfig, InvalidConfig, load_config
from gradebox_engine.quotas import Allowance, QuotaPassed, Quotas
from gradebox_engine.tenants import Tenants, Unauthenticated, new_token
from gradebox_engine.work import Call, Share


class Clock:
    """`time.monotonic` of a module."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def monotonic(self) -> float:
        return self.now_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


def configured(**settings: Any) -> TenantConfig:
    return TenantConfig(tokens=(new_token()[1],), **settings)


def with_tenants(*names: str, **settings: Any) -> tuple[EngineConfig, list[str]]:
    """A configuration with these tenants, and their tokens."""
    made = [new_token() for _ in names]
    tenants = {name: {"tokens": [digest]} for name, (_, digest) in zip(names, made, strict=True)}
    return load_config({"tenants": tenants, **settings}), [token for token, _ in made]


# --- tokens -------------------------------------------------------------------------------------


def test_a_token_names_its_tenant() -> None:
    config, (one, two) = with_tenants("one", "two")
    tenants = Tenants(config)
    assert tenants.of([("authorization", f"Bearer {one}")]).name == "one"
    assert tenants.of([("x", "y"), ("authorization", f"bearer {two}")]).name == "two"
    assert one not in config.model_dump_json()
    for wrong in (one[:-1], one + "x", "", f"{one} {two}", "é"):
        with pytest.raises(Unauthenticated):
            tenants.of([("authorization", f"Bearer {wrong}")])
    for metadata in ([], [("authorization", one)], [("authorization", f"Basic {one}")], [("authorization", b"Bearer")]):
        with pytest.raises(Unauthenticated):
            tenants.of(metadata)


def test_an_engine_without_tenants_is_open() -> None:
    tenants = Tenants(load_config({}))
    first = tenants.of([])
    assert (first.name, first) == ("", tenants.of([("authorization", "Bearer anything")]))
    first.quotas.request()
    first.quotas.programs(10**9)


def test_a_tenant_that_stays_keeps_what_it_used(tmp_path: Path) -> None:
    _, digest = new_token()
    file = tmp_path / "engine.toml"
    text = '[tenants.{}]\ntokens = ["{}"]\nweight = {}\n'
    file.write_text(text.format("one", digest, 1))
    tenants = Tenants(load_config({}, file))
    one = tenants._tenants["one"]
    one.share.used_s = 7.0
    assert one.share.part == 1.0
    file.write_text(text.format("one", digest, 3) + text.format("two", new_token()[1], 1))
    tenants.reload()
    assert tenants._tenants["one"] is one
    assert (one.share.weight, one.share.part, one.share.used_s) == (3.0, 0.75, 7.0)
    for broken in (text.format("one", digest, -1), "[tenants", text.format("a b", digest, 1), ""):
        file.write_text(broken)
        tenants.reload()
        assert set(tenants._tenants) == {"one", "two"}
    file.unlink()
    tenants.reload()
    assert set(tenants._tenants) == {"one", "two"}


def test_tenants_can_be_read_into_an_open_engine_only_where_tokens_are_safe(tmp_path: Path) -> None:
    file = tmp_path / "engine.toml"
    file.write_text("")
    local, public = (Tenants(load_config({"listen": f"{host}:1"}, file)) for host in ("127.0.0.1", "0.0.0.0"))
    file.write_text(f'[tenants.one]\ntokens = ["{new_token()[1]}"]\n')
    local.reload()
    public.reload()
    assert (set(local._tenants), set(public._tenants)) == ({"one"}, set())


# --- configuration ------------------------------------------------------------------------------


@pytest.mark.parametrize("listen", ["0.0.0.0:1", "[::]:1", ":1", "10.0.0.1:1", "example.org:1"])
def test_tokens_in_the_clear_are_for_this_machine(listen: str) -> None:
    with pytest.raises(InvalidConfig, match="allow_plain_tokens"):
        with_tenants("one", listen=listen)
    with_tenants("one", listen=listen, allow_plain_tokens=True)
    assert load_config({"listen": listen}).tenants == {}


@pytest.mark.parametrize("listen", ["127.0.0.1:1", "[::1]:1", "localhost:1", "unix:/tmp/x"])
def test_tokens_on_this_machine_need_no_tls(listen: str) -> None:
    assert with_tenants("one", listen=listen)[0].listen == listen


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"tls_certificate": "{file}"}, "tls_key: missing"),
        ({"tls_key": "{file}"}, "tls_certificate: missing"),
        ({"tls_client_ca": "{file}"}, "tls_client_ca: needs"),
        ({"tls_certificate": "{file}", "tls_key": "{file}", "listen": "unix:/tmp/x"}, "no TLS"),
        ({"tls_certificate": "/no/such/file"}, "tls_certificate"),
        ({"tenants": {"one": {"tokens": []}}}, "tenants.one.tokens"),
        ({"tenants": {"one": {"tokens": ["secret"]}}}, "tenants.one.tokens"),
        ({"tenants": {"one": {}}}, "tenants.one"),
        ({"tenants": {"o/ne": {"tokens": ["sha256:" + "0" * 64]}}}, "tenants"),
        ({"tenants": {n: {"tokens": ["sha256:" + "0" * 64]} for n in ("one", "two")}}, "has a token of one"),
        ({"drain_s": -1}, "drain_s"),
    ],
)
def test_what_makes_no_sense_is_named(settings: dict[str, Any], said: str, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    filled = {name: str(file) if value == "{file}" else value for name, value in settings.items()}
    with pytest.raises(InvalidConfig, match=said):
        load_config(filled)


def test_an_embedded_engine_has_no_tokens() -> None:
    config, _ = with_tenants("one", listen="unix:/tmp/x", embedded=True)
    assert config.tenants == {}


# --- quotas -------------------------------------------------------------------------------------


def test_an_allowance_comes_with_time(clock: Clock) -> None:
    allowance = Allowance(60.0, 60.0)
    assert allowance.wait_s(60.0) == 0.0
    allowance.take(60.0)
    assert allowance.wait_s(1.0) == pytest.approx(1.0)
    clock.now_s += 0.5
    assert allowance.wait_s(1.0) == pytest.approx(0.5)
    clock.now_s += 1e6
    assert allowance.wait_s(60.0) == 0.0
    assert allowance.wait_s(61.0) == pytest.approx(1.0)  # no more than one period's is kept
    allowance.change(120.0)
    assert allowance.wait_s(120.0) == 0.0
    assert Allowance(None, 60.0).wait_s(1e9) == 0.0


def test_an_allowance_below_one_is_enough_for_one_in_time(clock: Clock) -> None:
    allowance = Allowance(0.5, 60.0)  # as of one request a minute, of one front of two
    wait_s = allowance.wait_s(1.0)
    assert wait_s == pytest.approx(60.0)
    clock.now_s += wait_s
    assert allowance.wait_s(1.0) == 0.0


def test_cpu_seconds_are_charged_afterwards(clock: Clock) -> None:
    share = Share()
    quotas = Quotas(configured(cpu_s_per_hour=3600), share)
    quotas.programs(10)
    Call("one", share).charge(4000.0)
    with pytest.raises(QuotaPassed) as caught:
        quotas.programs(1)
    assert caught.value.quota == "cpu_s_per_hour"
    assert caught.value.retry_s == pytest.approx(400.0)
    quotas.request()  # what needs no run is answered
    clock.now_s += 401.0
    quotas.programs(1)


def test_each_front_has_its_part(clock: Clock) -> None:
    share = Share()
    quotas = Quotas(configured(requests_per_minute=8, programs_in_flight=8), share, fronts=4)
    quotas.request()
    quotas.request()
    with pytest.raises(QuotaPassed) as caught:
        quotas.request()
    assert caught.value.retry_s == pytest.approx(30.0)
    quotas.programs(2)
    with pytest.raises(QuotaPassed, match="programs_in_flight"):
        quotas.programs(3)


async def test_streams_wait_for_programs_in_flight_in_their_turn() -> None:
    share = Share()
    call = Call("one", share)
    quotas = Quotas(configured(programs_in_flight=2), share)
    call.count(2)
    let_in = []

    async def stream(number: int) -> None:
        await quotas.wait(lambda: quotas.programs(1))
        let_in.append(number)
        call.count(1)

    streams = [asyncio.create_task(stream(number)) for number in range(4)]
    await asyncio.sleep(0.01)
    assert let_in == []
    for expected in ([0], [0, 1], [0, 1, 2], [0, 1, 2, 3]):
        call.count(-1)
        await asyncio.sleep(0.01)
        assert let_in == expected
    await asyncio.gather(*streams)


async def test_a_stream_waits_for_the_clock_but_not_long() -> None:
    quotas = Quotas(configured(requests_per_minute=600), Share())
    for _ in range(600):
        quotas.request()
    await quotas.wait(quotas.request)  # a tenth of a second
    slow = Quotas(configured(requests_per_minute=1), Share())
    slow.request()
    with pytest.raises(QuotaPassed):
        await slow.wait(slow.request)
