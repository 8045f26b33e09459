"""Labelled programs that we wrote: small, real, and enough for a model to learn one thing."""

import hashlib
import json
from pathlib import Path
from typing import Any

NAMES = ("add", "sub", "mul", "top", "low", "mean", "dist", "join", "head", "last", "size", "both")
CONFIG = {
    "model_type": "qwen2",
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
}


def good(name: str, number: int) -> str:
    return f"def {name}(a, b):\n    result_{number} = a + b\n    return result_{number}\n"


def bad(name: str, number: int) -> str:
    return f"def {name}(a, b):\n    result_{number} = a + b\n    print(result_{number})\n"


def pair_rows(problems: int = 12, programs: int = 3) -> list[dict[str, Any]]:
    """TRL's preference format with pass rates: the better program returns, the worse one prints."""
    return [
        {
            "id": f"p/{i}",
            "prompt": f"Write {NAMES[i % len(NAMES)]}_{i}.",
            "chosen": good(NAMES[i % len(NAMES)], k),
            "rejected": bad(NAMES[i % len(NAMES)], k),
            "chosen_pass_rate": 1.0,
            "rejected_pass_rate": 0.25,
        }
        for i in range(problems)
        for k in range(programs)
    ]


def write_rows(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def labelled(folder: Path, problems: int = 6) -> tuple[Path, Path, Path]:
    """(labels, programs, problems) files, as gradebox grade has and writes them."""
    rates = (1.0, 0.9, 0.5, 0.0, None)
    texts = {i: [good("f", i), good("f", i + 100), bad("f", i), "pass\n", "import os\n"] for i in range(problems)}
    labels = [
        {
            "id": f"p/{i}",
            "program_index": k,
            "program_sha256": hashlib.sha256(text.encode()).hexdigest(),
            "verdict": "PASSED" if rates[k] == 1.0 else "WRONG_ANSWER" if rates[k] is not None else "ENGINE_ERROR",
            "pass_rate": rates[k],
        }
        for i, programs in texts.items()
        for k, text in enumerate(programs)
    ]
    return (
        write_rows(folder / "labels.jsonl", labels),
        write_rows(
            folder / "programs.jsonl",
            [{"id": f"p/{i}", "programs": programs, "generator": f"g{i % 2}"} for i, programs in texts.items()],
        ),
        write_rows(
            folder / "problems.jsonl", [{"id": f"p/{i}", "prompt": f"Write f {i}.", "tests": []} for i in texts]
        ),
    )


def small_tokenizer(path: Path) -> Path:
    """A byte-level BPE tokenizer.json trained on the programs above."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=["<|endoftext|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([text for row in pair_rows() for text in (row["chosen"], row["rejected"])], trainer)
    tokenizer.save(str(path))
    return path
