"""The model card of a reward model, from the run's own figures."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

_CARD = """---
library_name: transformers
pipeline_tag: text-classification
tags: [reward-model, code, gradebox]
{base}---

# Reward model for programs

Trained with `gradebox train-rm`: one scalar for a program that answers a prompt; the higher, the more likely that it
passes its tests. Bradley-Terry loss on pairs of programs of one problem, whose order comes from running them.

```python
from transformers import AutoModelForSequenceClassification, AutoTokenizer

model = AutoModelForSequenceClassification.from_pretrained(FOLDER)
tokenizer = AutoTokenizer.from_pretrained(FOLDER)
{usage}
model(**tokenizer(text, return_tensors="pt", add_special_tokens=False)).logits[0, 0]
```

| | |
|---|---|
{rows}

The score orders programs of one prompt; it says nothing between prompts, and it is no verdict: where programs can be
run, run them.
"""


def write(path: Path, figures: Mapping[str, Any]) -> None:
    """Writes the card."""
    settings = figures["settings"]
    rows = {
        "training pairs": f"{figures['pairs']:,} of {figures['problems']:,} problems",
        "optimiser steps": f"{figures['steps']:,}, {settings['questions_per_step']} problems each",
        "weights": f"{figures['parameters']:,}, {settings['precision']}"
        + (", LoRA merged" if settings["lora"] else ""),
        "learning rate": f"{settings['learning_rate']:g}, cosine, warm-up {settings['warmup']:g}",
        "longest input": f"{settings['max_length']:,} tokens",
    }
    if (held_out := figures["validation"]) is not None:
        rows["held-out problems"] = f"{held_out['problems']:,} ({held_out['pairs']:,} pairs)"
        rows["pair accuracy there"] = f"{held_out['accuracy']:.3f}"
        rows["the same, mean over problems"] = (
            f"{held_out['problem_accuracy']:.3f}, 95 % interval {held_out['low']:.3f} to {held_out['high']:.3f}"
        )
    template = settings["prompt_template"]
    usage = (
        "text = tokenizer.apply_chat_template([user, assistant], tokenize=False)"
        if figures.get("chat")
        else f"text = {template!r}.replace('{{prompt}}', prompt) + program + tokenizer.eos_token"
    )
    base = f"base_model: {settings['model']}\n" if settings["model"] and "/" in settings["model"][1:] else ""
    table = "\n".join(f"| {name} | {value} |" for name, value in rows.items())
    path.write_text(
        _CARD.format(
            base=base if not settings["model"] or not Path(settings["model"]).exists() else "", usage=usage, rows=table
        )
    )
