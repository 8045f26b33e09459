"""`gradebox gateway` with requests as the clients of its protocols make them; the clients: tests/integrations."""

import concurrent.futures
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.gateway import Gateway
from tests.e2e.serving import Server
from tests.ports import free_port


@pytest.fixture(scope="module")
def behind(jails: None) -> Iterator[Server]:
    """The engine behind the gateway."""
    folder = Path(tempfile.mkdtemp(prefix="server-"))
    folder.chmod(0o755)
    with Server(folder).start() as server:
        yield server
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def gateway(behind: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with Gateway(tmp_path_factory.mktemp("gateway"), [behind.target]) as gateway:
        yield gateway


def run(gateway: Gateway, code: str, **more: Any) -> dict[str, Any]:
    status, answer = gateway.ask("/run_code", {"code": code, "language": "python", **more})
    assert status == 200, answer
    assert isinstance(answer, dict)
    return answer


def test_a_program_that_ends_well(gateway: Gateway) -> None:
    answer = run(gateway, "import sys\nprint(int(input()) + 1)\nprint('e', file=sys.stderr)", stdin="41\n")
    result = answer.pop("run_result")
    assert answer == {
        "status": "Success",
        "message": "",
        "compile_result": None,
        "executor_pod_name": None,
        "files": {},
    }
    assert 0 < result.pop("execution_time") < 10
    assert 0 < result.pop("cpu_time") < 10
    assert result == {"status": "Finished", "return_code": 0, "stdout": "42\n", "stderr": "e\n"}


@pytest.mark.parametrize(
    ("code", "return_code", "said"),
    [
        ("raise ValueError('no')", 1, "ValueError: no"),
        ("def f(:", 1, "SyntaxError"),
        ("import sys; sys.exit(3)", 3, ""),
        ("import ctypes; ctypes.string_at(0)", -11, "RUNTIME_ERROR"),
    ],
)
def test_a_program_that_fails(gateway: Gateway, code: str, return_code: int, said: str) -> None:
    answer = run(gateway, code)
    assert answer["status"] == "Failed"
    assert answer["run_result"]["status"] == "Finished"
    assert answer["run_result"]["return_code"] == return_code
    assert said in answer["run_result"]["stderr"]


def test_limits_are_the_requests(gateway: Gateway) -> None:
    assert run(gateway, "x = 'a' * (200 << 20)")["status"] == "Success"
    answer = run(gateway, "x = 'a' * (200 << 20)", memory_limit_MB=100)
    assert answer["status"] == "Failed"
    assert answer["run_result"]["return_code"] in (1, -9)  # a MemoryError, or the kernel's kill
    assert "MEMORY_LIMIT" in answer["run_result"]["stderr"]
    for code in ("while True: pass", "import time; time.sleep(60)"):
        answer = run(gateway, "print('begun', flush=True)\n" + code, run_timeout=0.5)
        assert answer["status"] == "Failed"
        assert answer["run_result"]["status"] == "TimeLimitExceeded"
        assert answer["run_result"]["return_code"] is None
        assert answer["run_result"]["stdout"] == "begun\n"


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"language": "cobol"}, "cobol"),
        ({"files": {"a.txt": "no base64"}}, "files"),
        ({"files": {"../a.txt": "YQ=="}}, "files[0].name"),
        ({"fetch_files": ["/etc/passwd"]}, "fetch_files[0]"),
        ({"args": ["-q"]}, "args"),
    ],
)
def test_what_is_not_offered_is_said_in_its_own_form(gateway: Gateway, more: dict[str, Any], said: str) -> None:
    answer = run(gateway, "print(1)", **more)
    assert answer["status"] == "SandboxError"
    assert said in answer["message"]
    assert answer["run_result"] is None


def test_files_go_in_and_come_out(gateway: Gateway) -> None:
    code = "open('b/c.txt', 'w').write(open('a.txt').read() * 2)"
    answer = run(gateway, code, files={"a.txt": "YWI=", "b/d": ""}, fetch_files=["b/c.txt", "missing"])
    assert answer["status"] == "Success", answer
    assert answer["files"] == {"b/c.txt": "YWJhYg=="}


def test_absent_files_are_none(gateway: Gateway) -> None:
    assert run(gateway, "print(1)", files={"a.txt": None})["status"] == "Success"


def test_jupyter_is_not_offered(gateway: Gateway) -> None:
    status, answer = gateway.ask("/run_jupyter", {"cells": ["1"]})
    assert status == 200
    assert answer["status"] == "SandboxError"
    assert answer["cells"] == []


def test_small_routes(gateway: Gateway) -> None:
    assert gateway.ask("/v1/ping") == (200, "pong")
    assert gateway.ask("/list_datasets") == (200, [])
    assert gateway.ask("/get_metrics", {"dataset": "x", "config": {}, "results": []}) == (200, {})
    assert gateway.ask("/get_metrics_function", {"dataset": "x", "config": {}}) == (200, {"function": None})
    assert gateway.ask("/nothing")[0] == 404


def test_a_bad_request_says_which_field(gateway: Gateway) -> None:
    status, answer = gateway.ask("/run_code", {"language": "python", "run_timeout": "soon"})
    assert status == 422
    assert sorted(tuple(each["loc"]) for each in answer["detail"]) == [("body", "code"), ("body", "run_timeout")]
    assert gateway.ask("/run_code", b"{")[0] == 422
    assert gateway.ask("/run_code", b"[" * 100_000)[0] == 422
    assert gateway.ask("/run_code", b'{"code": "\\ud800", "language": "python"}')[0] == 422


def test_a_body_is_bounded(gateway: Gateway) -> None:
    status, answer = gateway.ask("/run_code", {"code": "#" * (33 << 20), "language": "python"})
    assert status == 413
    assert "33554432" in answer["detail"]
    assert run(gateway, "print(1)")["status"] == "Success"


ADD = "Here:\n```python\na, b = map(int, input().split())\nprint(a + b)\n```\n"
OJ = [
    {"input": {"stdin": "1 2\n"}, "output": {"stdout": "3\n"}},
    {"input": {"stdin": "2 2\n"}, "output": {"stdout": "4"}},
]


def submit(gateway: Gateway, completion: str, data: Any, **config: Any) -> tuple[int, Any]:
    asked = {"dataset": "mine", "id": 7, "completion": completion}
    return gateway.ask("/submit", {**asked, "config": {"language": "python", "provided_data": data, **config}})


def test_submit_whole_programs(gateway: Gateway) -> None:
    status, answer = submit(gateway, ADD, {"id": 7, "test": OJ}, dataset_type="CommonOJDataset")
    assert status == 200, answer
    assert (answer["id"], answer["accepted"], len(answer["tests"])) == (7, True, 2)
    assert answer["extracted_code"].startswith("a, b = ")
    assert answer["tests"][0]["test_info"] == {"input": {"stdin": "1 2\n"}, "output": {"stdout": "3\n"}}
    assert answer["tests"][0]["exec_info"]["status"] == "Success"

    wrong = ADD.replace("a + b", "3.000001")
    _, answer = submit(gateway, wrong, {"test": OJ, "labels": "{}"})
    assert [test["passed"] for test in answer["tests"]] == [True, False]
    assert not answer["accepted"]
    _, answer = submit(gateway, ADD.replace("a + b", "5"), {"test": OJ})
    assert [test["passed"] for test in answer["tests"]] == [False]  # the rest was not run
    _, answer = submit(gateway, ADD.replace("a + b", "5"), {"test": OJ}, extra={"run_all_cases": True})
    assert [test["passed"] for test in answer["tests"]] == [False, False]


def test_submit_functions(gateway: Gateway) -> None:
    good = "```python\ndef f(x):\n    return x + 1\n```"
    bad = good.replace("+ 1", "")
    shapes: list[dict[str, Any]] = [
        {"test": '["assert f(1) == 2", "assert f(2) == one"]', "labels": '{"test_setup_code": "one = 3"}'},
        {"test": {"code": "assert f(1) == 2\nassert f(2) == 3"}, "labels": {"programming_language": "python"}},
        {"tests": ["assert f(1) == 2"], "entry_point": "f"},
        {"tests": [{"call": {"args": [1]}, "expected": 2}], "entry_point": "f"},
    ]
    for shape in shapes:
        assert submit(gateway, good, shape)[1]["accepted"], shape
        assert not submit(gateway, bad, shape)[1]["accepted"], shape
    _, answer = submit(gateway, "I do not know.", shapes[0])
    assert (answer["accepted"], answer["extracted_code"], answer["extracted_type"]) == (False, "", "empty")


@pytest.mark.parametrize(
    ("data", "config", "said"),
    [
        (None, {}, "no data set 'mine'"),
        ([], {}, "no data set 'mine'"),
        ({"id": 1}, {}, "has neither tests"),
        ({"test": "["}, {}, "not JSON"),
        ({"tests": []}, {}, "tests"),
        ({"test": [{"input": {"a.txt": ""}, "output": {"stdout": ""}}]}, {}, "files"),
        ({"test": {"code": "#<INSERT>"}}, {}, "hold the program"),
        ({"test": {"code": "pass", "asset": {"a": "b"}}}, {}, "asset"),
        ({"tests": ["pass"]}, {"custom_extract_logic": "1"}, "custom_extract_logic"),
    ],
)
def test_what_submit_refuses(gateway: Gateway, data: Any, config: dict[str, Any], said: str) -> None:
    status, answer = submit(gateway, ADD, data, **config)
    assert status == 400
    assert said in answer["detail"]


def test_prompts_come_from_the_request(gateway: Gateway) -> None:
    rows = [{"id": number, "content": f"Do {number}", "labels": '{"a": 1}'} for number in range(3)]
    config = {"provided_data": rows}
    status, answer = gateway.ask("/get_prompts", {"dataset": "mine", "config": config, "offset": 1, "limit": 1})
    assert (status, answer) == (200, [{"id": 1, "prompt": "Do 1", "labels": {"a": 1}}])
    assert gateway.ask("/list_ids", {"dataset": "mine", "config": config}) == (200, [0, 1, 2])
    status, answer = gateway.ask(
        "/get_prompt_by_id", {"dataset": "m", "id": "x", "config": {"provided_data": {"prompt": "P"}}}
    )
    assert (status, answer) == (200, {"id": "x", "prompt": "P", "labels": {}})
    assert gateway.ask("/get_prompts", {"dataset": "mine", "config": {}})[0] == 400


def test_rewards(gateway: Gateway) -> None:
    prompt = "<|im_start|>user\nWrite add.<|im_end|>\n<|im_start|>assistant\n"
    good = prompt + "```python\ndef add(a, b):\n    return a + b\n```<|im_end|>"
    label = '{"tests": ["assert add(1, 2) == 3", "assert add(2, 2) == 4"], "entry_point": "add"}'
    queries = [good, good.replace("a + b", "3"), prompt + "No."]
    status, answer = gateway.ask("/reward", {"query": queries, "prompts": [prompt] * 3, "labels": [label] * 3})
    assert status == 200, answer
    assert answer["rewards"] == answer["scores"] == [1.0, 0.5, 0.0]
    assert answer["extra_logs"] == {"no_program": [0.0, 0.0, 1.0], "evidence": [0.0, 0.0, 0.0]}
    assert gateway.ask("/reward", {"query": queries, "prompts": [prompt], "labels": [label] * 3})[0] == 400
    assert gateway.ask("/reward", {"query": [good], "prompts": [prompt], "labels": ["{"]})[0] == 400


def test_many_at_once(gateway: Gateway) -> None:
    def one(number: int) -> str:
        return str(run(gateway, f"print({number})")["run_result"]["stdout"])

    with concurrent.futures.ThreadPoolExecutor(64) as threads:
        assert list(threads.map(one, range(300))) == [f"{number}\n" for number in range(300)]


def test_a_caller_that_goes_away_takes_its_program_along(gateway: Gateway, behind: Server) -> None:
    body = b'{"code": "while True: pass", "language": "python", "run_timeout": 50}'
    head = f"POST /run_code HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n\r\n".encode()
    with socket.create_connection(("127.0.0.1", gateway.port)) as caller:
        caller.sendall(head + body)
        _until(lambda: bool(behind.members("program")))
    _until(lambda: not behind.members("program"))


def _until(condition: Any) -> None:
    end_s = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end_s
        time.sleep(0.05)


def test_an_engine_that_is_gone_is_no_programs_fault(tmp_path: Path) -> None:
    nobody = f"127.0.0.1:{free_port()}"
    with Gateway(tmp_path, [nobody]) as gateway:
        answer = run(gateway, "print(1)")
        assert (answer["status"], answer["run_result"]) == ("SandboxError", None)
        assert answer["message"].startswith("Unavailable")
        assert submit(gateway, ADD, {"test": OJ})[0] == 503
        assert gateway.ask("/reward", {"query": ["```\n1\n```"], "prompts": [""], "labels": ['["pass"]']})[0] == 503
        assert gateway.stop() == 0


def test_an_embedded_engine(jails: None, tmp_path: Path) -> None:
    with Gateway(tmp_path, (), "--workers", "1") as gateway:
        assert run(gateway, "print(1)")["run_result"]["stdout"] == "1\n"
        assert gateway.stop() == 0


@pytest.mark.parametrize(
    "arguments", [["--listen", "x"], ["--listen", "a:99999"], ["--reward", "x"], ["--engine", "a:1", "--workers", "1"]]
)
def test_bad_arguments(arguments: list[str]) -> None:
    command = [sys.executable, "-m", "gradebox_engine", "gateway", *arguments]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 2
    assert len(ran.stderr.splitlines()) == 1
