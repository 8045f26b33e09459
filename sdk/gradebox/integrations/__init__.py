"""Rewards for RL frameworks. Each framework has a module here with the hooks that it calls, and imports it by itself:

| framework | module | hook |
|---|---|---|
| TRL | `trl` | reward functions of GRPOTrainer |
| verl | `verl` | `compute_score`, `compute_score_batch` |
| OpenRLHF | `openrlhf` | `reward_func`; over HTTP: `gradebox gateway` |
| slime | `slime` | `custom_rm` |
| verifiers | `verifiers` | a taskset |

They share `Grader`, which any other framework can use as well. An engine's fault never becomes a reward: it is None
where the framework knows rewards that are None, else an exception.
"""

from gradebox.integrations._grader import Grader, Outcome

__all__ = ["Grader", "Outcome"]
