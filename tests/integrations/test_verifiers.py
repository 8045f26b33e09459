"""verifiers' own single-agent environment on gradebox's taskset, with a model behind an OpenAI-compatible endpoint.

verifiers runs a harness as a script that uv sets up from the network; here a harness of two lines asks instead.
"""

import asyncio
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import verifiers.v1 as vf
from tests.e2e.serving import Server
from tests.integrations.conftest import BAD, GOOD, HALF, NONE, TESTS
from verifiers.v1.utils.loaders import load_environment, resolve_env_config

ANSWERS = {"add good": GOOD, "add half": HALF, "add bad": BAD, "add none": NONE}
REWARDS = [1.0, 0.5, 0.0, 0.0]


class Model(BaseHTTPRequestHandler):
    """Answers a prompt by ANSWERS."""

    def do_POST(self) -> None:
        """POST /v1/chat/completions."""
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        text = ANSWERS[asked["messages"][-1]["content"]]
        choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}
        usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
        answer = {
            "id": "1",
            "object": "chat.completion",
            "created": 0,
            "model": "m",
            "choices": [choice],
            "usage": usage,
        }
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Says nothing."""


@pytest.fixture
def endpoint() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Model) as model:
        threading.Thread(target=model.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{model.server_port}/v1"
        model.shutdown()


HARNESS = """
import verifiers.v1 as vf
from openai import AsyncOpenAI

class AskConfig(vf.HarnessConfig):
    pass

class Ask(vf.Harness[AskConfig]):
    NEEDS_CONTAINER = False
    EXECUTES_CODE = False

    async def launch(self, ctx, trace, runtime, endpoint, secret, mcp_urls, data, tool_interception_url=None):
        async with AsyncOpenAI(base_url=endpoint, api_key=secret) as client:
            await client.chat.completions.create(model=ctx.model, messages=[{"role": "user", "content": data.prompt}])
        return vf.ProgramResult(0, "", "")

__all__ = ["Ask"]
"""
TASKSET = "from gradebox.integrations.verifiers import CodeTaskset\n__all__ = ['CodeTaskset']\n"


@pytest.fixture
def problems(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "ask_once.py").write_text(HARNESS)
    (tmp_path / "code_tasks.py").write_text(TASKSET)
    monkeypatch.syspath_prepend(str(tmp_path))
    file = tmp_path / "problems.jsonl"
    rows = [{"id": prompt, "prompt": prompt, "tests": TESTS, "entry_point": "add"} for prompt in ANSWERS]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


def evaluated(problems: Path, endpoint: str, engine: str, **task: Any) -> list[Any]:
    """The traces of one rollout of each task."""
    config = resolve_env_config(
        {
            "taskset": {"id": "code_tasks", "problems": str(problems), "task": {"engine": engine, **task}},
            "agent": {"harness": {"id": "ask_once"}, "runtime": {"type": "subprocess"}},
        }
    )
    environment = load_environment(config)
    client = vf.EvalClientConfig(base_url=endpoint, api_key_var="NOBODYS_KEY")
    context = vf.ModelContext(client=client, model="m", sampling=vf.SamplingConfig())

    async def run() -> list[Any]:
        async with environment.serving():
            slots = [slot for one in environment.taskset for slot in environment.slots(one)]
            episodes = await asyncio.gather(*(environment.run_slot(slot, context) for slot in slots))
        return [episode.traces[0] for episode in episodes]

    return asyncio.run(run())


def test_an_evaluation(server: Server, problems: Path, endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOBODYS_KEY", "x")
    traces = evaluated(problems, endpoint, server.target)
    assert [trace.last_error for trace in traces] == [None] * 4
    assert [trace.reward for trace in traces] == REWARDS
    assert [trace.metrics["no_program"] for trace in traces] == [0, 0, 0, 1]


def test_without_a_result_the_trace_has_an_error(
    problems: Path, endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOBODYS_KEY", "x")
    traces = evaluated(problems, endpoint, "127.0.0.1:1")
    assert [trace.rewards["tests"] is None for trace in traces] == [True, True, True, False]  # the last has no program
    assert [trace.last_error.type for trace in traces[:3]] == ["TaskError"] * 3
    assert "Unavailable" in traces[0].last_error.message
