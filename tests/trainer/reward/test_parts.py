"""Packing, splitting, weights, optimiser, diagnosis: the parts that need no training."""

import numpy as np
import pytest
import torch
from tests.trainer.reward.models import edge_cases, group

from gradebox_trainer.packing import Tree, balance, first_fit, pack, pack_trees, split_tree, visible
from gradebox_trainer.reward import diagnosis
from gradebox_trainer.reward.baselines import Ngrams, baseline, better_programs, length
from gradebox_trainer.reward.encode import some_programs
from gradebox_trainer.reward.groups import Group, GroupBuilder, Pair, split_by_problem
from gradebox_trainer.reward.loss import PairIndex, pair_loss, score_gradient
from gradebox_trainer.reward.validate import compare
from gradebox_trainer.training.optimizer import KahanAdamW, learning_rate_at


def test_a_pack_shows_each_branch_its_prompt_and_itself() -> None:
    trees = [Tree(7, np.arange(2), (np.arange(2), np.arange(1)), (4, 9)), Tree(8, np.arange(0), (np.arange(1),), (0,))]
    packed = pack(trees, pad_to_multiple_of=4)
    assert packed.keys == ((7, 4), (7, 9), (8, 0))
    assert packed.position_ids.tolist() == [0, 1, 2, 3, 2, 0, 0, 0]
    assert packed.reads.tolist() == [3, 4, 5]
    rows = ["".join(map(str, row.astype(int))) for row in visible(packed)]
    assert rows == [
        "10000000", "11000000", "11100000", "11110000", "11001000", "00000100", "00000010", "00000001",
    ]  # fmt: skip


def test_split_trees_hold_every_branch_once_within_the_budget() -> None:
    (tree,) = [g.tree for g in edge_cases() if g.id == "5"]
    parts = split_tree(tree, 45)
    assert sorted(key for part in parts for key in part.branch_keys) == list(range(6))
    assert all(part.size <= 45 for part in parts) and len(parts) > 1
    assert split_tree(tree, tree.size) == [tree]
    assert [len(part.branches) for part in split_tree(tree, 5)] == [1] * 6  # more than the budget: alone, not lost


def test_bins_and_shares() -> None:
    assert first_fit([5, 4, 3, 2], 7) == [[0, 3], [1, 2]]
    assert first_fit([9, 1], 7) == [[0], [1]]
    assert balance([5, 4, 3, 2], 2) == [[0, 3], [1, 2]]
    shares = pack_trees([g.tree for g in edge_cases()], 90, parts=2)
    assert len(shares) == 2 and len(shares[0]) == len(shares[1])
    keys = sorted(tree.key for share in shares for part in share for tree in part)
    assert keys == list(range(6))


def test_the_gradient_of_scores_is_that_of_the_loss() -> None:
    torch.manual_seed(0)
    scores = torch.randn(5, requires_grad=True)
    pairs = PairIndex(torch.tensor([0, 1, 0]), torch.tensor([2, 3, 4]), torch.tensor([1.0, 2.0, 0.5]))
    pair_loss(scores, pairs, 3.5).backward()
    assert scores.grad is not None
    assert torch.allclose(score_gradient(scores.detach(), pairs, 3.5), scores.grad, atol=1e-7)


def test_the_rule_of_pairs() -> None:
    builder = GroupBuilder("p", "")
    for text, rate in (("a", 1.0), ("b", 0.8), ("c", 0.4), ("d", 0.0), ("e", None), ("f", 0.41)):
        builder.program(text, rate)
    builder.apply_rule(better_at_least=0.8, gap_at_least=0.4, worse_above=0.0)
    made = builder.build()
    assert {(made.programs[p.better], made.programs[p.worse]) for p in made.pairs} == {
        ("a", "c"),
        ("a", "f"),
        ("b", "c"),
    }
    assert "d" not in made.programs and made.pass_rates[0] == 1.0


def test_problems_are_on_one_side() -> None:
    groups = [Group(str(i), "", ("a", "b"), (Pair(0, 1),), (None, None)) for i in range(50)]
    train, held_out = split_by_problem(groups, 0.2)
    assert len(held_out) == 10 and not {g.id for g in train} & {g.id for g in held_out}
    others = split_by_problem(groups, 0.2, 1)[1]
    assert len(others) == len(held_out) and others != held_out
    again = split_by_problem([*groups[::-1]], 0.2)[1]
    assert {g.id for g in again} == {g.id for g in held_out}


def test_drawn_programs_keep_the_questions_weight() -> None:
    import random

    one = group(0, 4, [3] * 10, [(i, j) for i in range(5) for j in range(5, 10)])
    some = some_programs(one, 4, random.Random(0))
    assert len(some.tree.branches) == 4 and some.total_weight == pytest.approx(one.total_weight)
    assert set(some.better.tolist()) | set(some.worse.tolist()) == {0, 1, 2, 3}


def test_compensation_keeps_what_bf16_would_lose() -> None:
    """A weight of 1 and a thousand steps of 1e-4: bf16 alone would stay at 1."""
    weight = torch.nn.Parameter(torch.ones(4, dtype=torch.bfloat16))
    exact = torch.nn.Parameter(torch.ones(4))
    ours = KahanAdamW([weight], lr=1e-4, weight_decay=0.1)
    theirs = torch.optim.AdamW([exact], lr=1e-4, weight_decay=0.1)
    for step in range(1000):
        for parameter, optimizer in ((weight, ours), (exact, theirs)):
            parameter.grad = torch.full_like(parameter, 1.0 + 0.5 * (step % 2))
            optimizer.step()
    compensation = ours.state[weight]["compensation"].float()
    assert torch.allclose(weight.float() + compensation, exact, rtol=1e-3)
    assert abs(float(weight.detach()[0]) - 0.9) < 0.01


def test_the_schedule() -> None:
    rates = [learning_rate_at(step, 100, peak=1.0, warmup=0.1) for step in range(100)]
    assert rates[0] == pytest.approx(0.1) and rates[9] == 1.0 and rates[55] == pytest.approx(0.5) and rates[99] < 0.01


def test_figures_of_given_scores() -> None:
    groups = edge_cases()
    perfect = [np.zeros(len(g.tree.branches), np.float32) for g in groups]
    for g, scores in zip(groups, perfect, strict=True):
        scores[g.better] += 1
        scores[g.worse] -= 1
    good = compare(groups, perfect)
    assert good.accuracy == good.problem_accuracy == 1.0 and good.low == 1.0 and good.problems == 6
    coin = compare(groups, [scores * 0 for scores in perfect])
    assert coin.accuracy == 0.5 and coin.loss == pytest.approx(np.log(2))
    assert diagnosis.worst_pairs(groups, perfect, 3) == []
    worst = diagnosis.worst_pairs(groups, [-scores for scores in perfect], 3)
    assert len({pair.group for pair in worst}) == 3 and worst[0].gap == -2.0
    found = diagnosis.reliability(groups, perfect, bins=2)
    assert found.right.tolist() == [1.0, 1.0] and found.error == pytest.approx(float(1 - found.said.mean()), abs=0.1)


def test_length_bias_is_seen() -> None:
    groups = [group(i, 3, [4, 8, 12], [(2, 0), (1, 0)]) for i in range(5)]
    by_length = [length(g) for g in groups]
    bias = diagnosis.length_bias(groups, by_length)
    assert bias.correlation == pytest.approx(1.0)
    assert bias.longer_better == 1.0 and np.isnan(bias.shorter_better)
    assert baseline(length, groups, groups).problem_accuracy == 1.0
    shorter = [group(i, 3, [4, 8, 12], [(0, 2), (0, 1)]) for i in range(5)]
    assert baseline(length, shorter, shorter).problem_accuracy == 1.0  # the sign is chosen on the training pairs


def test_ngrams_are_probabilities_that_follow_what_they_saw() -> None:
    seen = [np.array([1, 2, 3, 1, 2, 3])]
    model = Ngrams(seen, order=3, vocabulary=5)
    assert sum(model.probability([1, 2], token) for token in range(5)) == pytest.approx(1.0)
    assert sum(model.probability([4, 4], token) for token in range(5)) == pytest.approx(1.0)
    assert model.mean_log_probability(seen[0]) > model.mean_log_probability(np.array([3, 2, 1, 3, 2, 1]))
    assert len(list(better_programs(edge_cases()))) == 11
