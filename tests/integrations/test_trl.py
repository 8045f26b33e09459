"""TRL's own GRPOTrainer with rewards from a gradebox server: a tiny random model, on a CPU."""

import gzip
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from tests.e2e.serving import Server
from tests.integrations.conftest import BAD, GOOD, HALF, NONE, TESTS
from tokenizers import Tokenizer
from tokenizers.decoders import ByteLevel as ByteLevelDecoder
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast
from trl import GRPOConfig, GRPOTrainer

from gradebox.integrations.trl import (
    AsyncExecutionReward,
    ExecutionReward,
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


def tiny(tokenizer: PreTrainedTokenizerFast) -> GPT2Config:
    return GPT2Config(
        vocab_size=len(tokenizer),
        n_positions=512,
        n_embd=32,
        n_layer=2,
        n_head=2,
        bos_token_id=tokenizer.eos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.eos_token_id,
    )


class Scripted(GPT2LMHeadModel):  # type: ignore[misc]
    """A model that generates given answers, one after the other; all else is a GPT-2 with random weights."""

    answers: Sequence[torch.Tensor] = ()

    def generate(self, input_ids: torch.Tensor, **_: Any) -> torch.Tensor:
        """The prompts, each with the next answer, padded to one length."""
        rows = [self.answers[index % len(self.answers)] for index in range(len(input_ids))]
        return torch.cat([input_ids, torch.stack([row.to(input_ids.device) for row in rows])], dim=1)


def trainer(tmp_path: Path, tokenizer: PreTrainedTokenizerFast, rewards: Any, answers: Sequence[str]) -> GRPOTrainer:
    """One that has one prompt, for which the model gives these answers."""
    torch.manual_seed(0)
    model = Scripted(tiny(tokenizer))
    ids = [tokenizer(answer + END)["input_ids"] for answer in answers]
    longest = max(map(len, ids))
    model.answers = [torch.tensor(row + [tokenizer.eos_token_id] * (longest - len(row))) for row in ids]
    config = GRPOConfig(
        output_dir=str(tmp_path),
        per_device_train_batch_size=len(answers),
        num_generations=len(answers),
        max_completion_length=longest,
        max_steps=1,
        learning_rate=1e-2,
        beta=0.0,
        logging_steps=1,
        report_to=[],
        use_cpu=True,
        bf16=False,
        save_strategy="no",
        dataloader_num_workers=0,
    )
    rows = [{"prompt": "Write add(a, b).", "tests": TESTS, "entry_point": "add"}]
    return GRPOTrainer(
        model=model,
        args=config,
        reward_funcs=rewards,
        train_dataset=Dataset.from_list(rows),
        processing_class=tokenizer,
    )


@pytest.mark.parametrize("kind", [ExecutionReward, AsyncExecutionReward])
def test_a_grpo_step(
    tmp_path: Path, tokenizer: PreTrainedTokenizerFast, server: Server, kind: Callable[..., Any]
) -> None:
    training = trainer(tmp_path, tokenizer, kind(engine=server.target), ANSWERS)
    before = [parameter.detach().clone() for parameter in training.model.parameters()]
    training.train()
    log = next(entry for entry in training.state.log_history if "reward" in entry)
    assert log["reward"] == pytest.approx((1 + 0.5 + 0 + 0) / 4)
    assert log["rewards/gradebox_pass_rate/mean"] == pytest.approx(0.375)
    assert log["gradebox/no_program"] == 0.25
    assert log["gradebox/engine_error"] == 0
    assert math.isfinite(log["grad_norm"]) and log["grad_norm"] > 0
    after = list(training.model.parameters())
    assert any(not torch.equal(old, new) for old, new in zip(before, after, strict=True))
