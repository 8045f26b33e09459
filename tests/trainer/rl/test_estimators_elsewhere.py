"""Our advantages and losses against OpenRLHF's (REINFORCE++ by its authors), verl's and TRL's, on the same numbers."""

import __future__

import ast
import importlib.util
import itertools
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from gradebox_trainer.rl.advantages import advantages
from gradebox_trainer.rl.estimators import ESTIMATORS
from gradebox_trainer.rl.losses import clipped_loss, kl_loss, log_ratio, token_weights

pytestmark = pytest.mark.filterwarnings("ignore")  # frameworks warn of each other

PROMPTS, ANSWERS, TOKENS = 5, 4, 7
COUNT = PROMPTS * ANSWERS
OPENRLHF = {
    "reinforce++": "reinforce",
    "reinforce++-baseline": "reinforce_baseline",
    "grpo": "group_norm",
    "dr_grpo": "dr_grpo",
    "rloo": "rloo",
}


@pytest.fixture(scope="module")
def openrlhf() -> Any:
    """OpenRLHF's functions, as they stand in the files of its package.

    Its modules cannot be imported without packages for GPUs (deepspeed, flash-attn), of which these make no use.
    """
    found = importlib.util.find_spec("openrlhf")
    assert found is not None and found.submodule_search_locations
    package = Path(found.submodule_search_locations[0])
    names: dict[str, Any] = {"torch": torch, "nn": torch.nn, "itertools": itertools}
    for file, wanted in (
        ("models/utils.py", ("compute_approx_kl", "compute_reward", "masked_mean")),
        ("models/loss.py", ("aggregate_loss", "PolicyLoss")),
        ("trainer/ppo_utils/length_penalty.py", ("apply_length_penalties",)),
        ("trainer/ppo_utils/experience_maker.py", ("compute_advantages_and_returns", "get_cumulative_returns")),
    ):
        tree = ast.parse((package / file).read_text())
        tree.body = [
            node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name in wanted
        ]
        assert len(tree.body) == len(wanted), file
        flag = __future__.annotations.compiler_flag  # their annotations name classes that are not here
        exec(compile(tree, str(package / file), "exec", flags=flag, dont_inherit=True), names)
    return SimpleNamespace(**names)


def numbers() -> dict[str, Tensor]:
    """Twenty answers to five prompts: rewards, masks, log-probabilities of three policies."""
    generator = torch.Generator().manual_seed(3)
    lengths = torch.randint(1, TOKENS + 1, (COUNT,), generator=generator)
    mask = torch.arange(TOKENS)[None] < lengths[:, None]
    return {
        "rewards": torch.rand(COUNT, generator=generator).mul(4).round() / 4,
        "mask": mask,
        "groups": torch.arange(PROMPTS).repeat_interleave(ANSWERS),
        "old": -torch.rand(COUNT, TOKENS, generator=generator) * 3,
        "new": -torch.rand(COUNT, TOKENS, generator=generator) * 3,
        "reference": -torch.rand(COUNT, TOKENS, generator=generator) * 3,
    }


def by_openrlhf(openrlhf: Any, estimator: str, given: dict[str, Tensor], kl_coef: float) -> Tensor:
    """OpenRLHF's advantages: its own method, on one experience."""
    advantage = SimpleNamespace(estimator=OPENRLHF[estimator], gamma=1.0, no_std_norm=False)
    args = SimpleNamespace(
        algo=SimpleNamespace(advantage=advantage),
        rollout=SimpleNamespace(n_samples_per_prompt=ANSWERS),
        reward=SimpleNamespace(clip_range=None),
    )
    owner = SimpleNamespace(
        strategy=SimpleNamespace(args=args),
        kl_ctl=SimpleNamespace(value=kl_coef),
        advantage_estimator=OPENRLHF[estimator],
        get_cumulative_returns=lambda *given: openrlhf.get_cumulative_returns(None, *given),
    )
    experience = SimpleNamespace(
        index=list(range(COUNT)),
        rewards=given["rewards"].clone(),
        kl=openrlhf.compute_approx_kl(given["old"], given["reference"], kl_estimator="k1"),
        action_mask=given["mask"],
        info={},
    )
    done = openrlhf.compute_advantages_and_returns(owner, [experience])[0]
    result: Tensor = done.advantages * given["mask"]
    return result


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("kl_coef", [0.0, 0.1])
def test_openrlhf_has_the_same_advantages(openrlhf: Any, estimator: str, kl_coef: float) -> None:
    given = numbers()
    theirs = by_openrlhf(openrlhf, estimator, given, kl_coef)
    ours = advantages(
        given["rewards"],
        given["mask"],
        given["groups"],
        ESTIMATORS[estimator],
        kl=log_ratio(given["old"], given["reference"]),
        kl_coef=kl_coef,
    )
    # Where GRPO divides by a deviation, they add 1e-9 to it and we TRL's 1e-4.
    tolerance = 2e-3 if estimator == "grpo" else 1e-5
    torch.testing.assert_close(ours, theirs, atol=tolerance, rtol=tolerance)


def test_verl_has_the_same_advantages() -> None:
    from verl.trainer.ppo import core_algos

    given = numbers()
    mask = given["mask"].float()
    last = mask.sum(1).long() - 1
    token_rewards = torch.zeros(COUNT, TOKENS)
    token_rewards[torch.arange(COUNT), last] = given["rewards"]
    index = given["groups"].numpy().astype(object)
    config = SimpleNamespace(gamma=1.0)
    theirs = {
        "reinforce++": core_algos.compute_reinforce_plus_plus_outcome_advantage(
            token_rewards.clone(), mask, config=config
        ),
        "reinforce++-baseline": core_algos.compute_reinforce_plus_plus_baseline_outcome_advantage(
            token_rewards.clone(), mask, index=index
        ),
        "grpo": core_algos.compute_grpo_outcome_advantage(token_rewards.clone(), mask, index, epsilon=1e-4),
        "dr_grpo": core_algos.compute_grpo_outcome_advantage(
            token_rewards.clone(), mask, index, norm_adv_by_std_in_grpo=False
        ),
        "rloo": core_algos.compute_rloo_outcome_advantage(token_rewards.clone(), mask, index=np.array(index)),
    }
    tokens = float(mask.sum())
    for name, (expected, _) in theirs.items():
        ours = advantages(given["rewards"], given["mask"], given["groups"], ESTIMATORS[name])
        if ESTIMATORS[name].scale == "whiten":  # verl has the sample's variance where the authors have the population's
            ours = ours * ((tokens - 1) / tokens) ** 0.5
        torch.testing.assert_close(ours, expected, atol=1e-5, rtol=1e-5, msg=lambda text, name=name: f"{name}: {text}")


def test_openrlhf_has_the_same_loss_and_kl(openrlhf: Any) -> None:
    given = numbers()
    worth = advantages(given["rewards"], given["mask"], given["groups"], ESTIMATORS["reinforce++"])
    for low, high, mean in ((0.2, 0.2, "tokens"), (0.1, 0.3, "answers")):
        policy_loss = openrlhf.PolicyLoss(low, high, token_level_loss=mean == "tokens")
        theirs = policy_loss(given["new"], given["old"], worth, action_mask=given["mask"])[0]
        weights = token_weights(given["mask"], mean, max_tokens=TOKENS)  # type: ignore[arg-type]
        ours = clipped_loss(given["new"], given["old"], worth, weights, clip_low=low, clip_high=high).loss
        torch.testing.assert_close(ours, theirs)
    weights = token_weights(given["mask"], "tokens", max_tokens=TOKENS)
    for estimator in ("k2", "k3"):
        kl = openrlhf.compute_approx_kl(given["new"], given["reference"], kl_estimator=estimator)
        theirs = openrlhf.masked_mean(kl, given["mask"], dim=None)
        ours = kl_loss(given["new"], given["reference"], weights, f"{estimator}_loss")  # type: ignore[arg-type]
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize(
    ("loss_type", "estimator"), [("grpo", "grpo"), ("dr_grpo", "dr_grpo"), ("bnpo", "reinforce++")]
)
def test_trl_has_the_same_loss(loss_type: str, estimator: str) -> None:
    """GRPOTrainer's own loss, with its KL (k3), given the same log-probabilities."""
    from trl import GRPOTrainer

    given = numbers()
    worth = torch.randn(COUNT, generator=torch.Generator().manual_seed(5))
    beta, mask = 0.07, given["mask"].float()
    trainer = _Trl(loss_type, beta, given["new"])
    inputs = {
        "prompt_ids": torch.zeros(COUNT, 1, dtype=torch.long),
        "prompt_mask": torch.ones(COUNT, 1, dtype=torch.long),
        "completion_ids": torch.zeros(COUNT, TOKENS, dtype=torch.long),
        "completion_mask": given["mask"].long(),
        "advantages": worth,
        "old_per_token_logps": given["old"],
        "ref_per_token_logps": given["reference"],
        "num_items_in_batch": mask.sum(),
    }
    theirs = GRPOTrainer._compute_loss(trainer, trainer.model, inputs)
    spread = worth[:, None].expand(COUNT, TOKENS)
    weights = token_weights(given["mask"], ESTIMATORS[estimator].mean, max_tokens=TOKENS)
    ours = clipped_loss(given["new"], given["old"], spread, weights, clip_low=0.2, clip_high=0.2).loss
    ours = ours + beta * kl_loss(given["new"], given["reference"], weights, "k3_loss")
    torch.testing.assert_close(ours, theirs)


class _Trl:
    """What GRPOTrainer._compute_loss reads of its trainer, with given log-probabilities instead of a model's."""

    def __init__(self, loss_type: str, beta: float, logps: Tensor) -> None:
        from collections import defaultdict

        from trl import GRPOConfig

        self.args = GRPOConfig(
            loss_type=loss_type,
            beta=beta,
            use_bias_correction_kl=False,  # k3 as it was published, without the importance ratio
            report_to=[],
            bf16=False,
            use_cpu=True,
        )
        self.loss_type, self.beta = loss_type, beta
        self.epsilon_low = self.epsilon_high = 0.2
        self.importance_sampling_level = "token"
        self.max_completion_length = TOKENS
        self.current_gradient_accumulation_steps = 1
        self.use_vllm = self.vllm_importance_sampling_correction = self.mask_truncated_completions = False
        self.off_policy_mask_threshold = self.tools = None
        self.top_entropy_quantile = 1.0
        self.aux_loss_enabled = self._entropy_bonus_enabled = False
        self.entropy_coef = 0.0
        self.model = torch.nn.Identity()
        self._metrics: Any = {"train": defaultdict(list), "eval": defaultdict(list)}
        self.accelerator = SimpleNamespace(
            gather=lambda value: value, num_processes=1, reduce=lambda value, reduction: value
        )
        self._logps = logps

    def _get_per_token_logps_and_entropies(self, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor, None]:
        return self._logps, torch.zeros_like(self._logps), None

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"TRL asks for {name}")
