"""`gradebox bench-rm`: optimiser steps of one model on the same pairs, in every way, in interleaved rounds."""

import copy
import gc
import json
import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch

from gradebox_command.errors import DONE, BadArgument
from gradebox_command.terminal import console
from gradebox_trainer.reward import bench_ways
from gradebox_trainer.reward.bench_data import Shape, pair_tokens, random_groups
from gradebox_trainer.reward.encode import EncodedGroup
from gradebox_trainer.training.distributed import Processes

MODELS: dict[str, dict[str, int]] = {
    "tiny": {"hidden_size": 256, "intermediate_size": 704, "num_hidden_layers": 4, "num_attention_heads": 8,
             "num_key_value_heads": 4, "vocab_size": 8192},
    "0.5b": {"hidden_size": 896, "intermediate_size": 4864, "num_hidden_layers": 24, "num_attention_heads": 14,
             "num_key_value_heads": 2, "vocab_size": 151_936},
    "1.5b": {"hidden_size": 1536, "intermediate_size": 8960, "num_hidden_layers": 28, "num_attention_heads": 12,
             "num_key_value_heads": 2, "vocab_size": 151_936},
    "7b": {"hidden_size": 3584, "intermediate_size": 18_944, "num_hidden_layers": 28, "num_attention_heads": 28,
           "num_key_value_heads": 4, "vocab_size": 152_064},
}  # fmt: skip
"""Shapes of Qwen2(.5), and one for a CPU. Weights are random: what a step costs does not depend on them."""


@dataclass(frozen=True, slots=True)
class Options:
    """The arguments of the command."""

    model: str
    questions: int
    steps: int
    rounds: int
    token_budget: int
    compile: bool
    only: Sequence[str]
    shape: Shape
    as_json: bool


@dataclass(frozen=True, slots=True)
class Line:
    """One way: medians over the rounds.

    Attributes:
        computed: tokens computed for a step, padding included.
        mfu: the model's floating-point operations for the tokens computed, over the machine's measured matrix rate.
        peak_bytes: of the device's memory; None on a CPU.
    """

    name: str
    pairs_s: float
    tokens_s: float
    computed: int
    mfu: float
    peak_bytes: int | None
    rounds: tuple[float, ...]


def bench(options: Options) -> int:
    """Measures, prints the table, returns the exit status.

    Raises:
        BadArgument: there is no such model or way.
    """
    if options.model not in MODELS:
        raise BadArgument(f"--model must be one of {', '.join(MODELS)}, is {options.model!r}")
    lines, rate, groups = measure(options)
    result = {
        "model": options.model,
        "device": torch.cuda.get_device_name()
        if torch.cuda.is_available()
        else f"CPU, {torch.get_num_threads()} threads",
        "seconds": "of the clock" if torch.cuda.is_available() else "of CPU time, all threads",
        "matrix_flops_s": rate,
        "pairs_a_step": sum(len(group.weight) for group in groups),
        "tree_tokens_a_step": sum(group.tree.size for group in groups),
        "pair_tokens_a_step": pair_tokens(groups),
        "lines": [asdict(line) for line in lines],
    }
    if options.as_json:
        print(json.dumps(result))
    else:
        _show(result, lines)
    return DONE


def measure(options: Options) -> tuple[list[Line], float, list[EncodedGroup]]:
    """(a line for each way, the machine's matrix rate, a step's groups)."""
    device = torch.device("cuda") if torch.cuda.is_available() else torch.device("cpu")
    here = Processes(0, 1, device)
    ways = _ways(options, here)
    if unknown := set(options.only) - set(ways):
        raise BadArgument(f"--only must be of {', '.join(ways)}, is {min(unknown)!r}")
    ways = {name: way for name, way in ways.items() if not options.only or name in options.only}
    model = _model(options.model, device)
    vocabulary = MODELS[options.model]["vocab_size"]
    steps = [random_groups(options.questions, vocabulary, options.shape, seed=seed) for seed in range(options.steps)]
    pairs = sum(len(group.weight) for groups in steps for group in groups)
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    computed: dict[str, int] = {}
    peak: dict[str, int | None] = dict.fromkeys(ways)
    rate = matrix_rate(device)
    for _ in range(options.rounds):
        for name, way in ways.items():
            own = copy.deepcopy(model)
            gc.collect()
            if device.type == "cuda":
                torch.cuda.empty_cache()
                torch.cuda.reset_peak_memory_stats()
            time_s, computed[name] = way(own, steps)
            seconds[name].append(time_s)
            if device.type == "cuda":
                peak[name] = torch.cuda.max_memory_allocated()
            del own
        rate = max(rate, matrix_rate(device))
    weights = sum(w.numel() for name, w in model.named_parameters() if "embed" not in name)
    lines = []
    for name, times in seconds.items():
        middle = statistics.median(times)
        flops = computed[name] * (6 * weights + _attention_flops(options))
        lines.append(
            Line(
                name,
                pairs / middle,
                computed[name] / middle,
                computed[name] // len(steps),
                flops / middle / rate,
                peak[name],
                tuple(times),
            )
        )
    return lines, rate, steps[0]


type Way = Callable[[Any, Sequence[Sequence[EncodedGroup]]], tuple[float, int]]


def _ways(options: Options, here: Processes) -> dict[str, Way]:
    budget = options.token_budget
    fast = "flex" if here.device.type == "cuda" else "branches"
    # As many padded pairs a pass as fit the same budget.
    longest = options.shape.prompt[1] + options.shape.program[1]
    at_once = max(1, min(options.shape.pairs, budget // (2 * longest)))
    while options.shape.pairs % at_once:
        at_once -= 1

    def ours(make: Callable[[Any], bench_ways.Backward]) -> Way:
        def way(model: Any, steps: Sequence[Sequence[EncodedGroup]]) -> tuple[float, int]:
            if options.compile:
                for layer in model.model.layers:
                    layer.compile()
            return bench_ways.timed_steps(model, make(model), steps)

        return way

    return {
        "TRL RewardTrainer": lambda model, steps: bench_ways.trl_steps(model, steps, pairs_at_once=at_once),
        "padded pairs": ours(lambda model: bench_ways.pairwise(model, budget, here)),
        "+ each program once": ours(lambda model: bench_ways.once(model, budget, here)),
        "+ no padding": ours(lambda model: bench_ways.without_padding(model, here, fast)),  # type: ignore[arg-type]
        "+ prompt once": ours(lambda model: bench_ways.trees(model, budget, here, "dense", whole_last_layer=True)),
        "+ attention without what is masked": ours(
            lambda model: bench_ways.trees(model, budget, here, fast, whole_last_layer=True)  # type: ignore[arg-type]
        ),
        "+ last layer where it is read": ours(lambda model: bench_ways.trees(model, budget, here, fast)),  # type: ignore[arg-type]
    }


def _model(name: str, device: torch.device) -> Any:
    from transformers import AutoModelForSequenceClassification, Qwen2Config

    torch.manual_seed(0)
    config = Qwen2Config(**MODELS[name], num_labels=1, pad_token_id=0, eos_token_id=1, bos_token_id=1, use_cache=False)
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    with torch.device(device):
        model = AutoModelForSequenceClassification.from_config(config, dtype=dtype)
    return model.to(device)


def _attention_flops(options: Options) -> float:
    """Of one token, forward and backward: its scores and sums over half of a prompt and a program."""
    size = MODELS[options.model]
    seen = (sum(options.shape.prompt) + sum(options.shape.program)) / 4
    return 12.0 * size["num_hidden_layers"] * size["hidden_size"] * seen


def matrix_rate(device: torch.device) -> float:
    """Operations a second of a large matrix product, the best of a few, in the type that is trained in."""
    size = 8192 if device.type == "cuda" else 1024
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    left, right = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    best = 0.0
    for _ in range(8):
        started = bench_ways.now()
        left @ right
        best = max(best, 2 * size**3 / (bench_ways.now() - started))
    return best


def _show(result: dict[str, Any], lines: Sequence[Line]) -> None:
    from rich.table import Table

    out = console()
    out.print(
        f"{result['model']} on {result['device']}: {result['pairs_a_step']} pairs a step, "
        f"{result['tree_tokens_a_step']:,} tokens as trees, {result['pair_tokens_a_step']:,} as pairs; matrix product "
        f"{result['matrix_flops_s'] / 1e12:.3g} TFLOP/s; seconds {result['seconds']}"
    )
    columns = ("pairs/s", "of TRL", "computed tokens/s", "tokens a step", "MFU", "peak memory")
    table = Table("way", *columns)
    base = lines[0].pairs_s
    for line in lines:
        peak = f"{line.peak_bytes / 2**30:.1f} GiB" if line.peak_bytes else "-"
        table.add_row(
            line.name, f"{line.pairs_s:.2f}", f"{line.pairs_s / base:.2f}", f"{line.tokens_s:,.0f}",
            f"{line.computed:,}", f"{line.mfu:.1%}", peak,
        )  # fmt: skip
    out.print(table)
