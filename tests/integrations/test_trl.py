"""TRL's own GRPOTrainer with rewards from a gradebox server: a tiny random model, on a CPU."""

import gzip
import math
import pickle
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from tests.e2e.serving import Server
from tests.integrations.conftest import BAD, GOOD, HALF, NONE, TESTS
from tests.ports import free_port
from tokenizers import Tokenizer
from tokenizers.decoders import ByteLevel as ByteLevelDecoder
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel
from transformers import GPT2Config, GPT2ForSequenceClassification, GPT2LMHeadModel, PreTrainedTokenizerFast
from trl import GRPOConfig, GRPOTrainer

from gradebox import InvalidRequest, Unavailable
from gradebox.integrations.trl import (
    AsyncExecutionReward,
    ExecutionReward,
    ModelReward,
    all_passed_reward,
    pass_rate_reward,
    sequence_classifier,
)

ANSWERS = [GOOD, HALF, BAD, NONE]
END = "<|endoftext|>"


@pytest.fixture(scope="module")
def tokenizer(repository: Path) -> PreTrainedTokenizerFast:
    """GPT-2's, where it lies beside the repository; else one of single bytes."""
    path = repository.parent / "shared" / "data" / "tokenizers" / "gpt2_tokenizer.json.gz"
    if path.exists():
        inner = Tokenizer.from_str(gzip.decompress(path.read_bytes()).decode())
    else:
        vocabulary = {letter: number for number, letter in enumerate(sorted(ByteLevel.alphabet()))}
        inner = Tokenizer(BPE(vocab=vocabulary | {END: len(vocabulary)}, merges=[]))
        inner.pre_tokenizer = ByteLevel(add_prefix_space=False)
        inner.decoder = ByteLevelDecoder()
    return PreTrainedTokenizerFast(tokenizer_object=inner, eos_token=END, pad_token=END, padding_side="left")


def tiny(tokenizer: PreTrainedTokenizerFast, **more: Any) -> GPT2Config:
    return GPT2Config(
        vocab_size=len(tokenizer),
        n_positions=512,
        n_embd=32,
        n_layer=2,
        n_head=2,
        bos_token_id=tokenizer.eos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.eos_token_id,
        **more,
    )


class Scripted(GPT2LMHeadModel):  # type: ignore[misc]
    """A model that generates given answers, one after the other; all else is a GPT-2 with random weights."""

    answers: Sequence[torch.Tensor] = ()

    def generate(self, input_ids: torch.Tensor, **more: Any) -> torch.Tensor:
        """The prompts, each with the next answer; its own tokens where there are no answers."""
        if not self.answers:
            return super().generate(input_ids, **more)
        rows = [self.answers[index % len(self.answers)] for index in range(len(input_ids))]
        return torch.cat([input_ids, torch.stack(rows)], dim=1)


def trainer(
    tmp_path: Path,
    tokenizer: PreTrainedTokenizerFast,
    rewards: Any,
    answers: Sequence[str],
    *,
    generations: int | None = None,
    prompt: Any = "Write add(a, b).",
    **columns: Any,
) -> GRPOTrainer:
    """One that has one prompt, for which the model gives these answers; without answers, what it likes."""
    torch.manual_seed(0)
    model = Scripted(tiny(tokenizer))
    ids = [tokenizer(answer + END)["input_ids"] for answer in answers]
    longest = max(map(len, ids), default=16)
    model.answers = [torch.tensor(row + [tokenizer.eos_token_id] * (longest - len(row))) for row in ids]
    config = GRPOConfig(
        output_dir=str(tmp_path),
        per_device_train_batch_size=generations or len(answers),
        num_generations=generations or len(answers),
        max_completion_length=longest,
        max_steps=1,
        learning_rate=1e-2,
        beta=0.0,
        logging_steps=1,
        report_to=[],
        use_cpu=True,
        bf16=False,
        save_strategy="no",
    )
    row = {"prompt": prompt, "tests": TESTS, "entry_point": "add", **columns}
    data = Dataset.from_list([row])
    return GRPOTrainer(model=model, args=config, reward_funcs=rewards, train_dataset=data, processing_class=tokenizer)


def step(training: GRPOTrainer) -> dict[str, Any]:
    """One step; its line of the log, and in `moved` whether the parameters changed."""
    before = [parameter.detach().clone() for parameter in training.model.parameters()]
    training.train()
    after = list(training.model.parameters())
    moved = any(not torch.equal(old, new) for old, new in zip(before, after, strict=True))
    log: dict[str, Any] = next(entry for entry in training.state.log_history if "reward" in entry)
    return log | {"moved": moved}


@pytest.mark.parametrize("kind", [ExecutionReward, AsyncExecutionReward])
def test_a_grpo_step(
    tmp_path: Path, tokenizer: PreTrainedTokenizerFast, server: Server, kind: Callable[..., Any]
) -> None:
    log = step(trainer(tmp_path, tokenizer, kind(engine=server.target), ANSWERS))
    assert log["reward"] == pytest.approx((1 + 0.5 + 0 + 0) / 4)
    assert log["rewards/gradebox_pass_rate/mean"] == pytest.approx(0.375)
    assert log["gradebox/no_program"] == 0.25
    assert log["gradebox/engine_error"] == 0
    assert log["moved"] and math.isfinite(log["grad_norm"]) and log["grad_norm"] > 0


def test_a_step_with_what_the_model_generates_itself(
    tmp_path: Path, tokenizer: PreTrainedTokenizerFast, engine_in_environment: str
) -> None:
    log = step(trainer(tmp_path, tokenizer, [pass_rate_reward, all_passed_reward], [], generations=2))
    assert log["rewards/pass_rate_reward/mean"] == log["rewards/all_passed_reward/mean"] == 0
    assert not log["moved"]  # a random model writes no programs, so all rewards of the group are 0


def test_a_step_of_a_conversation_with_all_flavours(
    tmp_path: Path, tokenizer: PreTrainedTokenizerFast, server: Server
) -> None:
    tokenizer.chat_template = "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}"
    classifier = GPT2ForSequenceClassification(tiny(tokenizer, num_labels=1))
    scorer = sequence_classifier(classifier, tokenizer, batch_size=2)
    rewards = [
        ExecutionReward(engine=server.target),
        ExecutionReward(engine=server.target, reward="all_passed"),
        ModelReward(scorer),
        ModelReward(scorer, execution_weight=1, engine=server.target),
    ]
    prompt = [{"role": "user", "content": "Write add(a, b)."}]
    log = step(trainer(tmp_path, tokenizer, rewards, ANSWERS, prompt=prompt, limits={"cpu_time_s": 2.0}))
    tokenizer.chat_template = None
    assert log["rewards/gradebox_pass_rate/mean"] == pytest.approx(0.375)
    assert log["rewards/gradebox_all_passed/mean"] == pytest.approx(0.25)
    assert log["moved"]


def test_mixed_with_a_reward_model(server: Server) -> None:
    asked: list[tuple[list[str], list[str]]] = []

    def scorer(prompts: list[str], programs: list[str]) -> list[float]:
        asked.append((prompts, programs))
        return [2.0] * len(programs)

    columns: dict[str, Any] = {"tests": [TESTS] * 4, "prompts": ["P"] * 4, "completions": ANSWERS}
    mixed = ModelReward(scorer, execution_weight=0.25, engine=server.target, no_program=-1)
    assert mixed(**columns) == pytest.approx([1.75, 1.625, 1.5, -1])
    assert asked[0][0] == ["P"] * 3
    assert asked[0][1][0] == "def add(a, b):\n    return a + b\n"
    assert ModelReward(scorer)(**columns) == [2, 2, 2, 0]
    with pytest.raises(InvalidRequest, match="scorer"):
        ModelReward(lambda prompts, programs: [])(**columns)


SLOW = "```python\nimport time\ntime.sleep(100)\n```"


def test_an_answer_that_the_engine_could_not_grade_leaves_its_group(
    tmp_path: Path, tokenizer: PreTrainedTokenizerFast, server: Server
) -> None:
    """TRL itself takes None out of the mean: a 0 would make it 0.333."""
    reward = ExecutionReward(engine=server.target, timeout_s=12)
    log = step(trainer(tmp_path, tokenizer, reward, [GOOD, BAD, SLOW], limits={"wall_time_s": 50.0}))
    assert log["reward"] == pytest.approx(0.5)
    assert log["gradebox/engine_error"] == pytest.approx(1 / 3)
    assert log["moved"]


def test_an_engine_that_goes_away_stops_no_training(
    jails: None, tmp_path: Path, tokenizer: PreTrainedTokenizerFast
) -> None:
    folder = tmp_path / "engine"
    folder.mkdir()
    with Server(folder, workers=1).start() as server:
        reward = ExecutionReward(engine=server.target, timeout_s=8)
        assert reward(prompts=[""], completions=[GOOD], tests=[TESTS]) == [1.0]
        server.kill()
        log = step(trainer(tmp_path, tokenizer, reward, [GOOD, BAD]))
    assert log["reward"] is None
    assert log["gradebox/engine_error"] == 1
    assert not log["moved"]


def test_what_is_wrong_is_said_at_the_first_call(server: Server) -> None:
    nobody = f"127.0.0.1:{free_port()}"
    with pytest.raises(Unavailable):
        ExecutionReward(engine=nobody)(prompts=[""], completions=[GOOD], tests=[TESTS])
    with pytest.raises(InvalidRequest, match="no such column"):
        ExecutionReward(engine=server.target)(prompts=[""], completions=[GOOD])
    with pytest.raises(InvalidRequest, match="nothing to grade"):
        ExecutionReward(engine=server.target)(prompts=[""], completions=[GOOD], tests=[[]])


def test_reward_functions_can_be_pickled(server: Server) -> None:
    reward = pickle.loads(pickle.dumps(ExecutionReward(engine=server.target, reward="all_passed")))
    assert reward.__name__ == "gradebox_all_passed"
    assert reward(prompts=["", ""], completions=[GOOD, HALF], tests=[TESTS] * 2) == [1.0, 0.0]
