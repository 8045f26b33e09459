"""One update of a small policy, alone or as one of several processes (torchrun), and its weights to a file.

python -m torch.distributed.run --nproc-per-node 2 sharded_update.py OUT ESTIMATOR
"""

import sys
from pathlib import Path

import torch
from transformers import Qwen2Config, Qwen2ForCausalLM

from gradebox_trainer.rl.advantages import advantages
from gradebox_trainer.rl.answers import Answer
from gradebox_trainer.rl.estimators import ESTIMATORS
from gradebox_trainer.rl.policy import all_logps
from gradebox_trainer.rl.saving import restore, state_writer
from gradebox_trainer.rl.settings import RLSettings
from gradebox_trainer.rl.update import Experience, Updater, answer_mask
from gradebox_trainer.training.checkpoint import STATE, load_state
from gradebox_trainer.training.distributed import Processes, processes, shard
from gradebox_trainer.training.optimizer import make_optimizer

PROMPTS, ANSWERS = 4, 3


def answers() -> list[Answer]:
    """The same everywhere; of many lengths, so that processes have different numbers of pieces."""
    generator = torch.Generator().manual_seed(11)
    made = []
    for prompt in range(PROMPTS):
        for _ in range(ANSWERS):
            length = int(torch.randint(1, 12 if prompt % 2 else 4, (), generator=generator))
            tokens = torch.randint(2, 60, (length,), generator=generator).tolist()
            made.append(Answer((2, 3 + prompt), tuple(tokens), "", False))
    return made


def update(estimator: str, here: Processes, out: Path) -> None:
    """Two updates with a checkpoint in between; each process has every second prompt."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=64, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=2, tie_word_embeddings=True, pad_token_id=0, eos_token_id=1, bos_token_id=None,
    )  # fmt: skip
    model = Qwen2ForCausalLM(config)
    settings = RLSettings.model_validate(
        {
            "model": "m", "estimator": estimator, "train_tokens": 24, "max_answer_tokens": 12, "precision": "fp32",
            "prompts_per_step": PROMPTS, "answers_per_prompt": ANSWERS, "kl_coef": 0.1,
        }
    )  # fmt: skip
    if here.world > 1:
        shard(model, model.model.layers)
    optimizer = make_optimizer(model, learning_rate=1e-2, weight_decay=0.0)
    updater = Updater(model, optimizer, settings, ESTIMATORS[estimator], 0, here)
    everything = answers()
    rewards = torch.rand(len(everything), generator=torch.Generator().manual_seed(2)).round()
    rewards[4] = torch.nan
    owner = torch.arange(len(everything)) // ANSWERS
    mine = torch.nonzero(owner % here.world == here.rank)[:, 0].tolist()
    own = [everything[index] for index in mine]
    how = {"padding": 0, "temperature": 1.0, "token_budget": 24, "processes": here}
    reference = all_logps(model, own, **how)
    for number in range(2):
        old = all_logps(model, own, **how)
        worth = advantages(
            rewards[mine],
            answer_mask(own),
            owner[mine],
            ESTIMATORS[estimator],
            kl=old - reference,
            kl_coef=0.1,
            sum_over_processes=lambda values: here.sum(values),
        )
        updater.update(Experience(own, rewards[mine], worth, old, reference), 1e-2)
        write = state_writer(model, optimizer, _NoTokenizer(), {"step": number})
        if here.first:
            out.mkdir(parents=True, exist_ok=True)
            write(out)
        here.wait()
        restore(model, optimizer, load_state(out), here)


class _NoTokenizer:
    def save_pretrained(self, folder: Path) -> None:
        """There is none."""


if __name__ == "__main__":
    with processes() as here:
        update(sys.argv[2], here, Path(sys.argv[1]))
    assert (Path(sys.argv[1]) / STATE).exists()
