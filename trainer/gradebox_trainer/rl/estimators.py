"""The advantage estimators by name, and what each of them says of baseline, scale, KL and the loss's mean.

| name | baseline | scale | KL | mean of the loss |
|---|---|---|---|---|
| `reinforce++` | none | whitened over all tokens | k1 in the reward | over tokens |
| `reinforce++-baseline` | mean of the prompt's group | whitened over all tokens | k2 in the loss | over tokens |
| `grpo` | mean of the group | std of the group | k3 in the loss | over answers, of each one's mean |
| `dr_grpo` | mean of the group | none | k3 in the loss | over answers, of each one's sum / max tokens |
| `rloo` | mean of the group's others | none | k1 in the reward | over tokens |

Sources: REINFORCE++ and its baseline arXiv:2501.03262 and the authors' code (OpenRLHF), GRPO arXiv:2402.03300,
Dr.GRPO arXiv:2503.20783, RLOO arXiv:2402.14740. Departures: GRPO adds 1e-4 to the std, as TRL does (OpenRLHF: 1e-9);
RLOO's loss is over tokens, as OpenRLHF's is (the paper and TRL take whole answers as actions).
"""

from dataclasses import dataclass
from typing import Literal

type Baseline = Literal["none", "group", "others"]
type Scale = Literal["none", "group", "whiten"]
type Kl = Literal["k1_reward", "k2_loss", "k3_loss"]
type Mean = Literal["tokens", "answers", "max_tokens"]


@dataclass(frozen=True, slots=True)
class Estimator:
    """What one name stands for; see the table."""

    baseline: Baseline
    scale: Scale
    kl: Kl
    mean: Mean


ESTIMATORS: dict[str, Estimator] = {
    "reinforce++": Estimator("none", "whiten", "k1_reward", "tokens"),
    "reinforce++-baseline": Estimator("group", "whiten", "k2_loss", "tokens"),
    "grpo": Estimator("group", "group", "k3_loss", "answers"),
    "dr_grpo": Estimator("group", "none", "k3_loss", "max_tokens"),
    "rloo": Estimator("others", "none", "k1_reward", "tokens"),
}
