"""Who may call a server: tokens, certificates, quotas. Each refusal says why, and harms nobody."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import grpc
import pytest
from google.rpc import error_details_pb2
from tests.e2e.service_calls import GOOD, Authority, Caller, credentials, tenant
from tests.e2e.serving import Server
from tests.waiting import wait_until

import gradebox
from gradebox_proto.v1 import grading_pb2 as wire

pytestmark = pytest.mark.usefixtures("jails")


def is_said(server: Server, text: str, times: int) -> bool:
    return server.said(text) == times


@pytest.fixture
def authority(folder: Path) -> Authority:
    return Authority(folder)


def tls(pair: tuple[Path, Path], client_ca: Path | None = None) -> str:
    lines = [f'tls_certificate = "{pair[0]}"', f'tls_key = "{pair[1]}"']
    if client_ca is not None:
        lines.append(f'tls_client_ca = "{client_ca}"')
    return "\n".join(lines) + "\n"


# --- tokens -------------------------------------------------------------------------------------


@pytest.fixture
def team(folder: Path) -> Iterator[tuple[Server, str]]:
    """A server with the tenant `team`, and its token."""
    token, config = tenant("team")
    with Server(folder, workers=1, config=config).start() as server:
        yield server, token


def test_a_call_without_the_right_token_is_told_so(team: tuple[Server, str]) -> None:
    server, token = team
    for wrong, said in ((None, "authorization: Bearer TOKEN"), (token + "x", "does not know"), ("", "not 'Bearer")):
        with Caller(server.target, wrong) as caller:
            refused = caller.refused()
            assert (refused.code, refused.detail.code) == (grpc.StatusCode.UNAUTHENTICATED, 16)
            assert said in refused.text
            stub, sent = caller.stub, {"metadata": caller.metadata}
            with pytest.raises(grpc.RpcError, match="UNAUTHENTICATED"):
                stub.Info(wire.InfoRequest(), **sent)
            with pytest.raises(grpc.RpcError, match="UNAUTHENTICATED"):
                stub.Run(wire.RunRequest(source=b"1"), **sent)
            with pytest.raises(grpc.RpcError, match="UNAUTHENTICATED"):
                stub.Abandon(wire.AbandonRequest(), **sent)
            with pytest.raises(grpc.RpcError, match="UNAUTHENTICATED"):
                list(stub.GradeStream(iter(()), **sent))
    with Caller(server.target, token) as caller:
        assert caller.grade() == [wire.PASSED]
    assert token not in server.log.read_text()


def test_the_client_of_the_sdk_with_a_token(team: tuple[Server, str]) -> None:
    server, token = team
    with gradebox.Client(server.target, token=token) as client:
        assert client.grade([GOOD.decode()], tests=["assert f(1) == 2"])[0].verdict is gradebox.Verdict.PASSED
    with gradebox.Client(server.target, token="gbx_wrong") as client, pytest.raises(gradebox.AccessDenied):
        client.info()


def test_tenants_are_read_again_and_a_broken_file_changes_nothing(team: tuple[Server, str]) -> None:
    server, first = team
    old = server.config_file.read_text()
    second, config = tenant("other")
    with Caller(server.target, first) as of_first, Caller(server.target, second) as of_second:
        assert of_second.refused().code is grpc.StatusCode.UNAUTHENTICATED
        server.config_file.write_text(old + config)
        assert wait_until(lambda: server.said("tenants read again") == 1)
        assert of_second.grade() == of_first.grade() == [wire.PASSED]
        for number, broken in enumerate(("[tenants.x]\ntokens = 7\n", "][", ""), 1):  # the last would open it to all
            server.config_file.write_text(broken)
            assert wait_until(partial(is_said, server, "tenants not read again", number))
            assert of_second.grade() == of_first.grade() == [wire.PASSED]
        server.config_file.write_text(config)  # the first is withdrawn
        assert wait_until(lambda: server.said("tenants read again") == 2)
        assert of_first.refused().code is grpc.StatusCode.UNAUTHENTICATED
        assert of_second.grade() == [wire.PASSED]


def test_fronts_read_tenants_again_on_sighup(folder: Path) -> None:
    token, config = tenant("team")
    with Server(folder, workers=2, fronts=2, config=config).start() as server:
        server.process.send_signal(signal.SIGHUP)
        assert wait_until(lambda: server.said("tenants read again") == 2)
        for _ in range(4):
            with Caller(server.target, token) as caller:
                assert caller.grade() == [wire.PASSED]
        assert server.stop() == 0


def test_tokens_are_not_taken_in_the_clear_from_a_network(folder: Path) -> None:
    _, config = tenant("team")
    file = folder / "engine.toml"
    file.write_text(config)
    command = [sys.executable, "-P", "-m", "gradebox_engine", "serve", "--config", str(file)]
    refused = subprocess.run(
        [*command, "--listen", "0.0.0.0:1"], capture_output=True, text=True, timeout=60, check=False
    )
    assert refused.returncode == 2
    assert "allow_plain_tokens" in refused.stderr and refused.stderr.count("\n") == 1


# --- certificates -------------------------------------------------------------------------------


def test_clients_with_a_wrong_certificate_are_refused(folder: Path, authority: Authority) -> None:
    stranger = Authority(folder, "stranger")
    config = tls(authority.issue("server"), authority.file)
    # Its log is JSON alone otherwise.
    with Server(folder, workers=1, config=config, environment={"GRPC_VERBOSITY": "INFO"}).start() as server:
        good = credentials(authority.file, authority.issue("good"))
        cases = [  # what is shown, and what server and client say of it
            (authority.issue("expired", expired=True), "certificate has expired", "has expired, on 2020-01-01"),
            (stranger.issue("wrong"), "unable to get local issuer certificate", "does not know the authority"),
            (None, "PEER_DID_NOT_RETURN_A_CERTIFICATE", "asks for a certificate"),
        ]
        for pair, reason, hint in cases:
            with Caller(server.target, credentials=credentials(authority.file, pair)) as caller:
                assert caller.refused().code is grpc.StatusCode.UNAVAILABLE
            assert server.said(reason) > 0
            certificate, key = pair or (None, None)
            with gradebox.Client(
                server.target, ca_file=authority.file, cert_file=certificate, key_file=key, retry_s=0
            ) as client:
                with pytest.raises(gradebox.Unavailable, match=hint):
                    client.info()
            with Caller(server.target, credentials=good) as caller:
                assert caller.grade() == [wire.PASSED]
        with Caller(server.target, credentials=credentials(stranger.file, stranger.issue("s"))) as caller:
            assert "CERTIFICATE_VERIFY_FAILED" in caller.refused().text  # it does not trust the server
        with Caller(server.target) as caller:
            assert caller.refused().code is grpc.StatusCode.UNAVAILABLE
        with Caller(server.target, credentials=good) as caller:
            assert caller.grade() == [wire.PASSED]


def test_a_new_certificate_is_used_without_a_restart(folder: Path, authority: Authority) -> None:
    token, config = tenant("team")
    pair = authority.issue("server", expired=True)
    with Server(folder, workers=1, config=tls(pair) + config).start() as server:
        trusting = credentials(authority.file)
        with Caller(server.target, token, trusting) as caller:
            assert "CERTIFICATE_VERIFY_FAILED" in caller.refused().text
        pair[1].write_text("not a key")
        with Caller(server.target, token, trusting) as caller:
            assert caller.refused().code is grpc.StatusCode.UNAVAILABLE
        assert server.said("TLS files not read again") >= 1
        authority.issue("server")
        with Caller(server.target, token, trusting) as caller:
            assert caller.grade() == [wire.PASSED]
        with gradebox.Client(server.target, token=token, ca_file=authority.file) as client:
            assert client.info().workers == 1


def test_tls_files_that_cannot_be_used_are_said(folder: Path, authority: Authority) -> None:
    certificate, _ = authority.issue("one")
    _, key = authority.issue("two")
    command = [sys.executable, "-P", "-m", "gradebox_engine", "serve", "--listen", "127.0.0.1:0", "--workers", "1"]
    command += ["--tls-certificate", str(certificate), "--tls-key", str(key)]
    refused = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert refused.returncode == 1
    assert "TLS files cannot be used" in refused.stderr


# --- quotas -------------------------------------------------------------------------------------


def test_a_quota_that_is_passed_is_told_with_when_to_come_back(folder: Path) -> None:
    frequent, one = tenant("frequent", requests_per_minute=2)
    greedy, two = tenant("greedy", cpu_s_per_hour=0.2)
    wide, three = tenant("wide", programs_in_flight=4)
    free, four = tenant("free")
    with Server(folder, workers=1, config=one + two + three + four).start() as server:
        with Caller(server.target, frequent) as caller:
            assert caller.grade() == caller.grade() == [wire.PASSED]
            refused = caller.refused()
            assert refused.code is grpc.StatusCode.RESOURCE_EXHAUSTED
            assert "requests_per_minute" in refused.text
            assert 20 < refused.retry_s <= 30
            assert refused.detail.retry_after_s == pytest.approx(refused.retry_s)
            (violation,) = refused.has(error_details_pb2.QuotaFailure).violations
            assert violation.subject == "requests_per_minute"
        with Caller(server.target, greedy) as caller:
            busy = b"sum(i * i for i in range(3_000_000))\n" + GOOD
            assert caller.grade(busy, busy, busy) == [wire.PASSED] * 3
            refused = caller.refused()
            assert (refused.code, "cpu_s_per_hour" in refused.text) == (grpc.StatusCode.RESOURCE_EXHAUSTED, True)
            assert refused.retry_s > 10
        with Caller(server.target, wide) as caller:
            under_way = caller.start(*[b"import time; time.sleep(3)\n" + GOOD] * 4)
            assert wait_until(lambda: len(server.members("program")) > 0)
            refused = caller.refused()
            assert (refused.code, "programs_in_flight" in refused.text) == (grpc.StatusCode.RESOURCE_EXHAUSTED, True)
            assert refused.retry_s > 0
            refused = caller.refused(*[GOOD] * 5)  # which no waiting helps
            assert (refused.code, refused.detail.field) == (grpc.StatusCode.INVALID_ARGUMENT, "programs")
            assert refused.has(error_details_pb2.BadRequest).field_violations[0].field == "programs"
            with Caller(server.target, free) as other:
                assert other.grade() == [wire.PASSED]
            assert sum(len(answer.results) for answer in under_way) == 4
            assert caller.grade(*[GOOD] * 4) == [wire.PASSED] * 4


def test_a_stream_is_held_back_by_its_quota_and_loses_nothing(folder: Path) -> None:
    token, config = tenant("wide", programs_in_flight=3, requests_per_minute=600)
    with Server(folder, workers=1, config=config).start() as server:
        with gradebox.Client(server.target, token=token) as client:
            problem = gradebox.Problem(["assert f(1) == 2"])
            items = (gradebox.GradeItem(problem, [GOOD.decode()] * 2, key) for key in range(40))
            verdicts = {
                graded.key: {result.verdict for result in graded.results} for graded in client.grade_many(items)
            }
    assert verdicts == {key: {gradebox.Verdict.PASSED} for key in range(40)}
