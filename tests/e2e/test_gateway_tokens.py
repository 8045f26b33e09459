"""Whose token goes on to the engine: the request's, else the gateway's."""

import hashlib
import json
from pathlib import Path

import pytest
from tests.e2e.gateway import Gateway
from tests.e2e.serving import Server

import gradebox
from gradebox.integrations import Grader

PRINT = {"code": "print(1)", "language": "python"}
ANSWER = "```python\ndef f(x):\n    return x\n```"
SUBMIT = {"dataset": "mine", "id": 1, "completion": ANSWER, "config": {"provided_data": {"tests": ["assert f(1)"]}}}
REWARD = {"query": [ANSWER], "prompts": [""], "labels": ['["assert f(1)"]']}


@pytest.fixture
def server(jails: None, folder: Path) -> Server:
    """An engine with one tenant, whose tokens are `good` and `spare`."""
    digests = ["sha256:" + hashlib.sha256(token).hexdigest() for token in (b"good", b"spare")]
    return Server(folder, environment={"GRADEBOX_TENANTS": json.dumps({"training": {"tokens": digests}})})


def test_a_requests_token_goes_on_and_another_stands_in(server: Server, tmp_path: Path) -> None:
    with server.start():
        with Gateway(tmp_path, [server.target], "--token", "spare") as gateway:
            for path, body in (("/run_code", PRINT), ("/submit", SUBMIT), ("/reward", REWARD)):
                for token, status in (("good", 200), (None, 200), ("bad", 401), ("white space", 401), ("good", 200)):
                    assert gateway.ask(path, body, token=token)[0] == status, (path, token)
            for number in range(100):  # more than clients are kept for
                assert gateway.ask("/run_code", PRINT, token=f"guess-{number}")[0] == 401
            assert gateway.ask("/run_code", PRINT, token="good")[1]["run_result"]["stdout"] == "1\n"
        with Gateway(tmp_path, [server.target]) as gateway:
            assert gateway.ask("/run_code", PRINT)[0] == 401
            assert gateway.ask("/run_code", PRINT, token="good")[0] == 200


def test_adapters_send_their_token(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    with server.start():
        with pytest.raises(gradebox.AccessDenied):
            Grader(engine=server.target).grade([ANSWER], [["assert f(1)"]])
        with pytest.raises(gradebox.AccessDenied):
            Grader(engine=server.target, token="bad").grade([ANSWER], [["assert f(1)"]])
        assert Grader(engine=server.target, token="good").grade([ANSWER], [["assert f(1)"]])[0].reward == 1.0
        monkeypatch.setenv("GRADEBOX_TOKEN", "spare")
        assert Grader(engine=server.target).grade([ANSWER], [["assert f(1)"]])[0].reward == 1.0
