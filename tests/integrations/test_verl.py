"""verl's own reward managers, with gradebox's compute_score as their configuration names it."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from tests.e2e.serving import Server
from tests.integrations.conftest import BAD, GOOD, HALF, NONE, TESTS
from verl import DataProto
from verl.experimental.reward_loop.reward_manager import get_reward_manager_cls as loop_manager
from verl.trainer.ppo.reward import get_custom_reward_fn
from verl.workers.reward_manager import get_reward_manager_cls

from gradebox import InvalidRequest, Unavailable
from gradebox.integrations.verl import compute_score

ANSWERS = [GOOD, HALF, BAD, NONE]
PROMPT = "Write add."
SCORES = [1.0, 0.5, 0.0, 0.0]


class Letters:
    """A tokenizer of Unicode code points."""

    def decode(self, ids: Any, skip_special_tokens: bool = True) -> str:
        """The text."""
        return "".join(map(chr, ids.tolist() if hasattr(ids, "tolist") else ids))


def data(truth: Any, extra: dict[str, Any]) -> DataProto:
    """A batch of ANSWERS, as rollouts give it."""
    longest = max(map(len, ANSWERS))
    prompts = torch.tensor([[ord(letter) for letter in PROMPT]] * len(ANSWERS))
    responses = torch.zeros(len(ANSWERS), longest, dtype=torch.long)
    mask = torch.zeros(len(ANSWERS), len(PROMPT) + longest, dtype=torch.long)
    for row, answer in enumerate(ANSWERS):
        responses[row, : len(answer)] = torch.tensor([ord(letter) for letter in answer])
        mask[row, : len(PROMPT) + len(answer)] = 1
    return DataProto.from_dict(
        tensors={"prompts": prompts, "responses": responses, "attention_mask": mask},
        non_tensors={
            "data_source": np.array(["mine"] * len(ANSWERS), dtype=object),
            "reward_model": np.array([{"ground_truth": truth}] * len(ANSWERS), dtype=object),
            "extra_info": np.array([dict(extra) for _ in ANSWERS], dtype=object),
        },
    )


def configured(name: str, server: Server) -> Callable[..., Any]:
    """The function that verl loads for a configuration."""
    function = {"path": "pkg://gradebox.integrations.verl", "name": name, "reward_kwargs": {"engine": server.target}}
    return get_custom_reward_fn(OmegaConf.create({"reward": {"custom_reward_function": function}}))  # type: ignore[no-any-return]


@pytest.mark.parametrize(("manager", "name"), [("naive", "compute_score"), ("batch", "compute_score_batch")])
def test_a_reward_manager(server: Server, manager: str, name: str) -> None:
    rewards = get_reward_manager_cls(manager)(Letters(), num_examine=0, compute_score=configured(name, server))
    told = rewards(data(json.dumps(TESTS), {"entry_point": "add"}), return_dict=True)
    assert [float(row.sum()) for row in told["reward_tensor"]] == SCORES
    assert [int(row.nonzero()[0]) for row in told["reward_tensor"][:2]] == [len(GOOD) - 1, len(HALF) - 1]
    assert told["reward_extra_info"]["acc"] == [1, 0, 0, 0]
    assert told["reward_extra_info"]["no_program"] == [0, 0, 0, 1]


@pytest.mark.parametrize("name", ["compute_score", "compute_score_async"])
def test_a_manager_of_the_reward_loop(server: Server, name: str) -> None:
    async def scores() -> list[Any]:
        rewards = loop_manager("naive")(OmegaConf.create({}), Letters(), configured(name, server))
        batch = data({"tests": TESTS, "entry_point": "add"}, {})
        return await asyncio.gather(*(rewards.run_single(batch[row : row + 1]) for row in range(len(batch))))

    told = asyncio.run(scores())
    assert [each["reward_score"] for each in told] == SCORES
    assert [each["reward_extra_info"]["acc"] for each in told] == [1, 0, 0, 0]


SPELLINGS: list[Any] = [
    TESTS,
    np.array(TESTS, dtype=object),
    json.dumps(TESTS),
    "\n".join(TESTS),
    {"tests": np.array(TESTS, dtype=object), "limits": {"cpu_time_s": 2.0, "memory_bytes": None}},
    json.dumps({"tests": TESTS, "entry_point": "add"}),
    json.dumps({"inputs": ["1\n2", "2\n2"], "outputs": ["3", "4"], "fn_name": "add"}),
    json.dumps({"assert_case": TESTS}),
    {"tests": [{"call": {"args": [1, 2]}, "expected": 3}], "entry_point": "add"},
]


@pytest.mark.parametrize("truth", SPELLINGS, ids=range(len(SPELLINGS)))
def test_spellings_of_the_truth(server: Server, truth: Any) -> None:
    score = compute_score("mine", GOOD, truth, {"index": 3, "split": "train"}, engine=server.target)
    assert score == {"score": 1.0, "acc": 1.0, "no_program": 0.0, "evidence": 0.0}
    assert compute_score("mine", BAD, truth, engine=server.target)["score"] == 0


def test_whole_programs(server: Server) -> None:
    truth = json.dumps({"inputs": ["1\n", "2\n"], "outputs": ["2\n", "3\n"]})
    answer = "```python\nprint(int(input()) + 1)\n```"
    assert compute_score("mine", answer, truth, engine=server.target)["score"] == 1
    assert compute_score("mine", answer.replace("+ 1", "* 2"), truth, engine=server.target)["score"] == 0.5


def test_faults_are_exceptions() -> None:
    with pytest.raises(InvalidRequest, match="looks like JSON"):
        compute_score("mine", GOOD, '{"tests": [', engine="127.0.0.1:1")
    with pytest.raises(Unavailable):
        compute_score("mine", GOOD, TESTS, engine="127.0.0.1:1")
