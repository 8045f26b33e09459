"""OpenRLHF's own executor, which loads the reward file and asks the reward server; only the generation is given."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from openrlhf.utils.agent import SingleTurnAgentExecutor
from tests.e2e.gateway import Gateway
from tests.e2e.serving import Server
from tests.integrations.conftest import BAD, GOOD, HALF, NONE, TESTS

PROMPT = "<|im_start|>user\nWrite add:\n```python\ndef add(a, b): ...\n```<|im_end|>\n<|im_start|>assistant\n"
END = "<|im_end|>"


class Letters:
    """A tokenizer of Unicode code points."""

    def __call__(self, text: str, **_: Any) -> dict[str, torch.Tensor]:
        return {"input_ids": torch.tensor([[ord(letter) for letter in text]])}

    def decode(self, ids: list[int], skip_special_tokens: bool) -> str:
        """The text, special tokens and all, as OpenRLHF asks for it."""
        assert not skip_special_tokens
        return "".join(map(chr, ids))


class Says:
    """A generation engine that has one answer."""

    def __init__(self, answer: str) -> None:
        self._ids = [ord(letter) for letter in answer]

    async def generate(self, *_: Any, **__: Any) -> Any:
        """The answer, as vLLM gives it."""
        output = SimpleNamespace(token_ids=self._ids, finish_reason="stop", logprobs=None, text="")
        return SimpleNamespace(outputs=[output])


def rollout(reward_url: Any, answer: str, label: Any) -> dict[str, Any]:
    """What OpenRLHF makes of one sample."""
    sampling = SimpleNamespace(max_tokens=512, logprobs=None)
    executor = SingleTurnAgentExecutor(reward_url)
    return asyncio.run(executor.execute(PROMPT, label, sampling, 4096, Letters(), Says(answer + END)))


LABEL = '{"tests": ["assert add(1, 2) == 3", "assert add(2, 2) == 4"], "entry_point": "add"}'
CASES = [(GOOD, 1.0), (HALF, 0.5), (BAD, 0.0), (NONE, 0.0)]


@pytest.mark.parametrize(("answer", "reward"), CASES)
def test_the_reward_file(tmp_path: Path, engine_in_environment: str, answer: str, reward: float) -> None:
    file = tmp_path / "reward.py"
    file.write_text("from gradebox.integrations.openrlhf import reward_func\n")
    sample = rollout(str(file), answer, LABEL)
    assert sample["reward"].tolist() == sample["scores"].tolist() == [reward]
    assert sample["extra_logs"]["no_program"].tolist() == [float(answer == NONE)]


@pytest.fixture(scope="module")
def gateway(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with Gateway(tmp_path_factory.mktemp("gateway"), [server.target]) as gateway:
        yield gateway


@pytest.mark.parametrize(("answer", "reward"), CASES)
def test_the_reward_server(gateway: Gateway, answer: str, reward: float) -> None:
    sample = rollout([f"{gateway.url}/reward"], answer, LABEL)
    assert sample["reward"] == sample["scores"] == [reward]
    assert sample["extra_logs"]["no_program"] == [float(answer == NONE)]


def test_a_batch_over_several_servers(gateway: Gateway) -> None:
    executor = SingleTurnAgentExecutor([f"{gateway.url}/reward"] * 2)
    queries = [PROMPT + answer + END for answer, _ in CASES]
    answers = asyncio.run(executor._fetch_rewards_via_http(queries, [PROMPT] * 4, [LABEL] * 4))
    assert [reward for each in answers for reward in each["rewards"]] == [1.0, 0.5, 0.0, 0.0]


def test_without_a_result_there_is_no_reward(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenRLHF catches what a reward function raises, and goes on without a reward."""
    file = tmp_path / "reward.py"
    file.write_text(
        "from gradebox.integrations import openrlhf\n"
        "def reward_func(queries, prompts, labels):\n"
        "    openrlhf._grader.cache_clear()\n"
        "    return openrlhf.reward_func(queries, prompts, labels)\n"
    )
    monkeypatch.setenv("GRADEBOX_ENGINE", "127.0.0.1:1")
    assert rollout(str(file), GOOD, str(TESTS).replace("'", '"'))["reward"] is None
