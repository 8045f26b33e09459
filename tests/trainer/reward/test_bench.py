"""`gradebox bench-rm` runs every way, and every way takes the same step. What it costs is never tested."""

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest
import torch
from tests.trainer.reward.models import tiny

from gradebox_trainer.reward import bench, bench_ways
from gradebox_trainer.reward.bench_data import Shape, pair_tokens, random_groups
from gradebox_trainer.training.distributed import Processes

SMALL = Shape(prompt=(5, 9), program=(3, 8), programs=4, pairs=4)


def test_acecodepairs_shape() -> None:
    groups = random_groups(20, 1000, Shape())
    tree, pairs = sum(group.tree.size for group in groups), pair_tokens(groups)
    assert 4.0 < pairs / tree < 6.0
    assert all(len(g.weight) == 14 and len(g.tree.branches) == 11 for g in groups)


def test_every_way_gives_the_same_gradient() -> None:
    here = Processes(0, 1, torch.device("cpu"))
    groups = random_groups(3, 60, SMALL)
    model = tiny("qwen2")
    ways: list[Callable[[Any], bench_ways.Backward]] = [
        lambda m: bench_ways.pairwise(m, 100, here),
        lambda m: bench_ways.once(m, 100, here),
        lambda m: bench_ways.without_padding(m, here, "branches"),
        lambda m: bench_ways.trees(m, 100, here, "dense", whole_last_layer=True),
        lambda m: bench_ways.trees(m, 100, here, "branches"),
    ]
    gradients = []
    for way in ways:
        own = copy.deepcopy(model)
        way(own)(groups)
        gradients.append(torch.cat([w.grad.flatten() for w in own.parameters()]))
    for gradient in gradients[1:]:
        assert torch.allclose(gradient, gradients[0], atol=1e-5)


def test_all_lines_are_measured(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(bench.MODELS, "least", {**bench.MODELS["tiny"], "hidden_size": 32, "intermediate_size": 32,
                                                "num_hidden_layers": 1, "vocab_size": 64})  # fmt: skip
    options = bench.Options("least", 1, 1, 1, 4096, False, (), SMALL, True)
    assert bench.bench(options) == 0
    result = json.loads(capsys.readouterr().out)
    assert [line["name"] for line in result["lines"]][:2] == ["TRL RewardTrainer", "padded pairs"]
    assert len(result["lines"]) == 7 and all(line["pairs_s"] > 0 for line in result["lines"])
