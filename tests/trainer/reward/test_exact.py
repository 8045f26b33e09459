"""Tree packing gives the loss and the gradients of TRL's RewardTrainer on the same pairs, padded."""

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.trainer.reward.models import END, FAMILIES, PAD, VOCABULARY, edge_cases, tiny

from gradebox_trainer.reward.objective import PairScorer, PairwiseObjective, TreeObjective
from gradebox_trainer.training.distributed import Processes
from gradebox_trainer.transformer.attention import Attention
from gradebox_trainer.transformer.scorer import TreeScorer, UnsupportedModel, check

ALONE = Processes(0, 1, torch.device("cpu"))
LOSS, GRADIENT = 1e-5, 1e-4


def trl_gradients(model: Any, folder: Path) -> tuple[float, dict[str, torch.Tensor]]:
    """Loss and gradients of a real RewardTrainer for all pairs in one batch."""
    from datasets import Dataset
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast
    from trl import RewardConfig, RewardTrainer

    words = {str(i): i for i in range(VOCABULARY)}
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.WordLevel(words, unk_token="2")), pad_token=str(PAD), eos_token=str(END)
    )
    rows = [
        dict(zip(("chosen_ids", "rejected_ids"), ([*map(int, ids)] for ids in group.pair_ids(pair)), strict=True))
        for group in edge_cases()
        for pair in range(len(group.weight))
    ]
    trainer = RewardTrainer(
        model=model,
        args=RewardConfig(
            output_dir=str(folder),
            max_length=None,
            report_to=[],
            use_cpu=True,
            gradient_checkpointing=False,
            bf16=False,
        ),
        train_dataset=Dataset.from_list(rows),
        processing_class=tokenizer,
    )
    model.train()
    loss = trainer.compute_loss(model, trainer.data_collator(rows))
    loss.backward()
    return loss.item(), gradients(model)


def gradients(model: Any) -> dict[str, torch.Tensor]:
    return {name: weight.grad.clone() for name, weight in model.named_parameters() if weight.grad is not None}


def difference(ours: dict[str, torch.Tensor], theirs: dict[str, torch.Tensor]) -> float:
    """The largest, over all weights; a gradient of nothing but zeros may be missing."""
    names = ours.keys() | theirs.keys()
    zero = torch.zeros(())
    return max(float((ours.get(name, zero) - theirs.get(name, zero)).abs().max()) for name in names)


@pytest.fixture(scope="module", params=[name for name in FAMILIES if name not in ("mistral", "gemma")])
def family(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, float, Any]:
    """A model without gradients, TRL's loss, TRL's gradients."""
    model = tiny(request.param)
    loss, wanted = trl_gradients(copy.deepcopy(model), tmp_path_factory.mktemp("trl"))
    return model, loss, wanted


@pytest.mark.parametrize(
    ("kind", "budget"),
    [("branches", 4096), ("branches", 60), ("branches", 30), ("dense", 4096), ("dense", 30)],
    ids=["one pack", "packs", "split", "dense", "dense split"],
)
def test_trees_give_trls_loss_and_gradients(family: tuple[Any, float, Any], kind: Attention, budget: int) -> None:
    model, loss, wanted = family
    model = copy.deepcopy(model).train()
    sums, tokens = TreeObjective(TreeScorer(model, kind), budget, ALONE).backward(edge_cases(), seed=1)
    assert abs(float(sums[0]) - loss) < LOSS
    assert difference(gradients(model), wanted) < GRADIENT
    if budget == 4096:  # each token once
        assert tokens == sum(g.tree.size for g in edge_cases())


def test_padded_pairs_give_trls_loss_and_gradients(family: tuple[Any, float, Any]) -> None:
    model, loss, wanted = family
    model = copy.deepcopy(model).train()
    sums, _ = PairwiseObjective(PairScorer(model, PAD), 300, ALONE).backward(edge_cases(), seed=1)
    assert abs(float(sums[0]) - loss) < LOSS
    assert difference(gradients(model), wanted) < GRADIENT


@pytest.mark.parametrize("kind", FAMILIES)
def test_scores_are_those_of_transformers_own_forward(kind: str) -> None:
    model = tiny(kind).eval()
    groups = edge_cases()
    wanted = [
        model(input_ids=torch.tensor([[*g.tree.prompt, *branch]])).logits.item()
        for g in groups
        for branch in g.tree.branches
    ]
    scorer = TreeScorer(model)
    check(scorer, tolerance=1e-4)
    assert scorer.reads_only == (kind in ("qwen2", "llama", "qwen3", "mistral"))
    ways: list[tuple[Attention, int]] = [("branches", 4096), ("branches", 25), ("dense", 4096)]
    if kind == "qwen2":  # uncompiled it is slow, and has no gradients on a CPU
        ways.append(("flex", 4096))
    for scorer.kind, budget in ways:
        scores = torch.cat([torch.from_numpy(s) for s in TreeObjective(scorer, budget, ALONE).scores(groups)])
        assert torch.allclose(scores, torch.tensor(wanted), atol=1e-5)
    restored: Any = scorer.restore()
    ids = torch.tensor([[*groups[0].tree.prompt, *groups[0].tree.branches[0]]])
    assert abs(restored(input_ids=ids).logits.item() - wanted[0]) < 1e-6


def test_gradient_checkpointing_changes_nothing() -> None:
    results = []
    for checkpointing in (False, True):
        model = tiny("qwen2").train()
        if checkpointing:
            model.gradient_checkpointing_enable({"use_reentrant": False})
        TreeObjective(TreeScorer(model), 60, ALONE).backward(edge_cases(), seed=1)
        results.append(gradients(model))
    assert difference(*results) < 1e-6


def test_split_trees_are_exact_with_dropout() -> None:
    """Both passes over a split tree draw the same noise: the loss is that of the scores the gradient is taken at."""
    model = tiny("llama", attention_dropout=0.5).train()
    groups = edge_cases()[5:]
    objective = TreeObjective(TreeScorer(model), 30, ALONE)
    first, _ = objective.backward(groups, seed=1)
    before = {name: weight.detach().clone() for name, weight in model.named_parameters()}
    grads = gradients(model)
    step = 1e-3
    size = sum(float((g**2).sum()) for g in grads.values())
    with torch.no_grad():
        for name, weight in model.named_parameters():
            weight.copy_(before[name] - step * grads.get(name, torch.zeros(())))
    second, _ = objective.backward(groups, seed=1)
    assert float(first[0] - second[0]) == pytest.approx(step * size, rel=0.1)


@pytest.mark.parametrize("kind", ["bloom", "stablelm"])
def test_models_that_cannot_be_packed_are_refused(kind: str) -> None:
    with pytest.raises(UnsupportedModel):
        check(TreeScorer(tiny(kind)), tolerance=1e-3)


def test_a_sliding_window_has_to_hold_the_programs() -> None:
    scorer = TreeScorer(tiny("mistral", sliding_window=16))
    with pytest.raises(NotImplementedError, match="sliding window"):
        TreeObjective(scorer, 4096, ALONE).scores(edge_cases())
