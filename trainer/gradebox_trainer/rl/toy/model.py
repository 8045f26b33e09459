"""A small language model made from nothing: its tokenizer, trained on the corpus, and its fit to the corpus."""

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
)

PAD, END = "<pad>", "<end>"
_VOCABULARY = 512
_WORDS = r"\n *| ?[A-Za-z_]+|\d| ?[^\w\s]+|\s"
"""What may become one token: a word with the space before it, one digit (the same wherever it stands), signs."""


@dataclass(frozen=True, slots=True)
class FitConfig:
    """The model's size and how it is fitted.

    `examples` are pairs of problem and program, each met `epochs` times; `batch_size` is in examples.
    """

    hidden_size: int = 128
    layers: int = 3
    heads: int = 4
    intermediate_size: int = 352
    examples: int = 12_000
    epochs: int = 2
    batch_size: int = 16
    learning_rate: float = 3e-3
    warmup: float = 0.05
    seed: int = 1


def make_tokenizer(texts: Sequence[str]) -> PreTrainedTokenizerFast:
    """A byte-level BPE trained on `texts`: any text can be written with it, theirs in few tokens."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_WORDS), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=_VOCABULARY,
        special_tokens=[PAD, END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        eos_token=END,
        padding_side="left",
        clean_up_tokenization_spaces=False,
        model_max_length=1024,
    )


def make_model(config: FitConfig, tokenizer: PreTrainedTokenizerBase) -> PreTrainedModel:
    """A Qwen2 of `config`'s size with random weights."""
    torch.manual_seed(config.seed)
    return Qwen2ForCausalLM(
        Qwen2Config(
            vocab_size=len(tokenizer),
            hidden_size=config.hidden_size,
            intermediate_size=config.intermediate_size,
            num_hidden_layers=config.layers,
            num_attention_heads=config.heads,
            num_key_value_heads=config.heads,
            max_position_embeddings=1024,
            tie_word_embeddings=True,
            pad_token_id=tokenizer.pad_token_id,
            eos_token_id=tokenizer.eos_token_id,
            bos_token_id=None,
            use_sliding_window=False,
        )
    )


def fit(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    examples: Sequence[tuple[str, str]],
    config: FitConfig,
    progress: Callable[[int, int, float], Any] = lambda step, steps, loss: None,
) -> float:
    """Fits the model to (prompt, program) pairs: cross-entropy of the program and the end, given the prompt.

    Returns the mean loss (nats a token) of the last tenth.
    """
    rng = random.Random(f"fit {config.seed}")
    prompts = tokenizer([prompt for prompt, _ in examples])["input_ids"]
    programs = tokenizer([program + END for _, program in examples])["input_ids"]
    steps = config.epochs * math.ceil(len(examples) / config.batch_size)
    warmup = max(1, int(config.warmup * steps))
    optimizer = torch.optim.AdamW(model.parameters(), lr=config.learning_rate, betas=(0.9, 0.95), weight_decay=0.1)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min((step + 1) / warmup, 0.5 * (1 + math.cos(math.pi * step / steps)))
    )
    model.train()
    losses: list[float] = []
    for _ in range(config.epochs):
        for batch in _batches(prompts, programs, config.batch_size, rng):
            loss = _loss(model, [(prompts[i], programs[i]) for i in batch])
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad(set_to_none=True)
            losses.append(loss.item())
            progress(len(losses), steps, losses[-1])
    tail = losses[-max(1, len(losses) // 10) :]
    return sum(tail) / len(tail)


def _batches(
    prompts: Sequence[Sequence[int]], programs: Sequence[Sequence[int]], size: int, rng: random.Random
) -> list[list[int]]:
    """Batches of about one length each, in random order: little padding."""
    order = list(range(len(prompts)))
    rng.shuffle(order)
    order.sort(key=lambda i: (len(prompts[i]) + len(programs[i])) // 4)  # stable: random within a length
    batches = [order[start : start + size] for start in range(0, len(order), size)]
    rng.shuffle(batches)
    return batches


def _loss(model: PreTrainedModel, pairs: list[tuple[list[int], list[int]]]) -> torch.Tensor:
    width = max(len(prompt) + len(program) for prompt, program in pairs)
    ids = torch.full((len(pairs), width), model.config.pad_token_id)
    labels = torch.full((len(pairs), width), -100)
    for row, (prompt, program) in enumerate(pairs):
        ids[row, : len(prompt) + len(program)] = torch.tensor(prompt + program)
        labels[row, len(prompt) : len(prompt) + len(program)] = torch.tensor(program)
    logits = model(input_ids=ids).logits[:, :-1]  # padding is at the end: nothing before it sees it
    return torch.nn.functional.cross_entropy(logits.flatten(0, 1), labels[:, 1:].flatten(), ignore_index=-100)
