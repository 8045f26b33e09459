"""The sandbox-fusion client of PyPI, and verl's reward by SandboxFusion, with a gradebox gateway at the URL."""

import base64
import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import sandbox_fusion
from sandbox_fusion import CommandRunStatus, RunCodeRequest, RunStatus, SubmitRequest, SummaryMapping, TestConfig
from tests.e2e.gateway import Gateway
from tests.e2e.serving import Server
from verl.utils.reward_score import default_compute_score
from verl.utils.reward_score import sandbox_fusion as verls


@pytest.fixture(scope="module")
def gateway(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with Gateway(tmp_path_factory.mktemp("gateway"), [server.target]) as gateway:
        sandbox_fusion.set_endpoint(gateway.url)
        yield gateway


def python(code: str, **more: Any) -> RunCodeRequest:
    return RunCodeRequest(code=code, language="python", **more)


def test_run_code(gateway: Gateway) -> None:
    answer = sandbox_fusion.run_code(python("print(input())", stdin="hello"), client_timeout=60)
    assert answer.status is RunStatus.Success
    assert answer.run_result.status is CommandRunStatus.Finished
    assert (answer.run_result.stdout, answer.run_result.return_code) == ("hello\n", 0)


@pytest.mark.parametrize(
    ("code", "summary"),
    [
        ("print(1)", "good"),
        ("1/0", "bad"),
        ("def f(:", "bad"),
        ("while True: pass", "slow"),
        ("import os; os.abort()", "bad"),
    ],
)
def test_summaries(gateway: Gateway, code: str, summary: str) -> None:
    answer = sandbox_fusion.run_code(python(code, run_timeout=1))
    mapping = SummaryMapping(Success="good", Failed="failed", RunFailed="bad", RunTimeout="slow")
    assert sandbox_fusion.summary_run_code_result(answer, mapping) == summary


async def test_asynchronous(gateway: Gateway) -> None:
    answer = await sandbox_fusion.run_code_async(python("print(2)"))
    assert answer.run_result.stdout == "2\n"
    config = TestConfig(provided_data=[{"id": 1, "content": "Do.", "labels": {}}])
    prompts = await sandbox_fusion.get_prompts_async(sandbox_fusion.GetPromptsRequest(dataset="mine", config=config))
    assert [(prompt.id, prompt.prompt) for prompt in prompts] == [(1, "Do.")]
    assert (await sandbox_fusion.submit_async(submission("a + b"))).accepted
    assert not (await sandbox_fusion.submit_safe_async(submission("a - b"))).accepted


def test_concurrently(gateway: Gateway) -> None:
    requests = [[python(f"print({number})")] for number in range(60)]
    answers = sandbox_fusion.run_concurrent(sandbox_fusion.run_code, args=requests, concurrency=20)
    assert [answer.run_result.stdout for answer in answers] == [f"{number}\n" for number in range(60)]
    calls = (lambda number=number: sandbox_fusion.run_code(python(f"print({number})")) for number in range(3))
    answers = sandbox_fusion.run_concurrent_pure(calls)
    assert [answer.run_result.stdout for answer in answers] == ["0\n", "1\n", "2\n"]


def test_files_go_in_and_come_out(gateway: Gateway) -> None:
    source = "open('out.txt', 'w').write(open('in.txt').read().upper())"
    files = {"in.txt": base64.b64encode(b"text").decode()}
    answer = sandbox_fusion.run_code(python(source, files=files, fetch_files=["out.txt"]))
    assert {name: base64.b64decode(content) for name, content in answer.files.items()} == {"out.txt": b"TEXT"}


def test_what_is_not_offered(gateway: Gateway) -> None:
    with pytest.raises(Exception, match=r"Sandbox responded with error: .*php"):
        sandbox_fusion.run_code(RunCodeRequest(code="<?php", language="php"), max_attempts=1)
    with pytest.raises(Exception, match=r"Sandbox responded with error: .*run_jupyter"):
        sandbox_fusion.run_jupyter(sandbox_fusion.RunJupyterRequest(cells=["1"]), max_attempts=1)


def submission(expression: str) -> SubmitRequest:
    completion = f"```python\na, b = map(int, input().split())\nprint({expression})\n```"
    tests = [
        {"input": {"stdin": "1 2"}, "output": {"stdout": "3"}},
        {"input": {"stdin": "5 0"}, "output": {"stdout": "5"}},
    ]
    config = TestConfig(dataset_type="CommonOJDataset", language="python", provided_data={"id": 1, "test": tests})
    return SubmitRequest(dataset="mine", id=1, completion=completion, config=config)


def test_submit(gateway: Gateway) -> None:
    good = sandbox_fusion.submit(submission("a + b"))
    assert good.accepted and [test.passed for test in good.tests] == [True, True]
    bad = sandbox_fusion.submit_safe(submission("a - b"))
    assert not bad.accepted and [test.passed for test in bad.tests] == [False]
    prompt = sandbox_fusion.get_prompt_by_id(
        sandbox_fusion.GetPromptByIdRequest(dataset="mine", id=1, config=TestConfig(provided_data={"content": "Do."}))
    )
    assert prompt.prompt == "Do."


STDIO = {"inputs": ["1 2\n", "2 2\n", "9 9\n"], "outputs": ["3\n", "4\n", "0\n"]}
FUNCTION = {"fn_name": "add", "inputs": ["1\n2", "2\n2"], "outputs": ["3", "4"]}
ASSERTS = {"assert_case": ["assert add(1, 2) == 3", "assert add(2, 2) == 5"]}
PROGRAM = "```python\na, b = map(int, input().split())\nprint(a + b)\n```"
ADD = "```python\ndef add(a, b):\n    return a + b\n```"


@pytest.mark.parametrize(
    ("completion", "cases", "score"),
    [(PROGRAM, STDIO, 2 / 3), (ADD, FUNCTION, 1.0), (ADD, ASSERTS, 0.5), ("```python\n1/0\n```", STDIO, 0.0)],
)
def test_verls_reward(gateway: Gateway, completion: str, cases: dict[str, Any], score: float) -> None:
    """verl.utils.reward_score.sandbox_fusion as it is, and as verl chooses it for a data source."""
    url = f"{gateway.url}/run_code"
    got, details = verls.compute_score(url, None, 1024, completion, json.dumps(cases))
    assert got == pytest.approx(score)
    assert not [detail for detail in details if detail["status"] in ("api_error", "sandbox_error")]
    chosen = default_compute_score(
        "codecontests",
        completion,
        json.dumps(cases),
        sandbox_fusion_url=url,
        concurrent_semaphore=threading.Semaphore(8),
        memory_limit_mb=1024,
    )
    assert chosen == pytest.approx(score)


def test_verls_reward_of_a_slow_program(gateway: Gateway) -> None:
    url = f"{gateway.url}/run_code"
    cases = {"inputs": ["", ""], "outputs": ["", ""]}
    for code in ("while True: pass", "import time\ntime.sleep(99)"):
        score, details = verls.compute_score(url, None, 1024, f"```python\n{code}\n```", cases, timeout=1)
        assert score == 0
        assert [detail["status"] for detail in details] == ["timeout", "timeout"]
