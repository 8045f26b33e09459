"""Step time of our loop against TRL's GRPOTrainer: one model, the same prompts, batch, lengths and rewards, one GPU.

python -m tests.benchmarks.rl_gpu PROBLEMS --model NAME_OR_PATH -o FOLDER [--engine HOST:PORT] [--steps 12]

Both roll out with vLLM in the training's process and take GRPO's loss with the same KL; the engine's cache is off for
neither, so give different folders' runs a fresh engine. Prints a Markdown table: seconds a step without the first two
(compilation), rollout and training tokens per second, and the share of grading that was hidden (ours).
"""

import argparse
import time
from pathlib import Path
from statistics import median
from typing import Any

import torch

from gradebox_command.session import Engines
from gradebox_trainer.rl.command import Options, train_rl
from gradebox_trainer.rl.settings import read_settings
from gradebox_trainer.rl.tasks import read_problem_rows
from gradebox_trainer.training.metrics import read_metrics

WARM_STEPS = 2


def ours(options: argparse.Namespace) -> dict[str, float]:
    """Figures of `gradebox train-rl`."""
    flags = {
        "model": options.model,
        "estimator": "grpo",
        "steps": options.steps,
        "prompts_per_step": options.prompts,
        "answers_per_prompt": options.answers,
        "max_answer_tokens": options.tokens,
        "rollout": "vllm",
        "vllm_memory_share": options.memory,
        "eval_every": options.steps,
        "report_to": (),
    }
    folder = options.output / "gradebox"
    engines = Engines(tuple(options.engine or ()))
    status = train_rl(Options(options.problems, None, folder, read_settings(None, flags), engines, False, True))
    assert status == 0
    rows = [row for row in read_metrics(folder) if "step_time" in row][WARM_STEPS:]
    tokens = options.prompts * options.answers * median(row["completions/mean_length"] for row in rows)
    return {
        "step_s": median(row["step_time"] for row in rows),
        "rollout": median(row["gradebox/rollout_tokens_per_s"] for row in rows),
        "train": tokens / median(row["gradebox/update_s"] for row in rows),
        "hidden": median(row["gradebox/hidden_fraction"] for row in rows),
    }


def trl(options: argparse.Namespace) -> dict[str, float]:
    """TRL's step time with our reward function."""
    from datasets import Dataset
    from transformers import TrainerCallback
    from trl import GRPOConfig, GRPOTrainer

    from gradebox.integrations.trl import AsyncExecutionReward

    seconds: list[float] = []

    class Clock(TrainerCallback):  # type: ignore[misc]
        def on_step_begin(self, *args: Any, **kwargs: Any) -> None:
            torch.cuda.synchronize()
            self.start_s = time.monotonic()

        def on_step_end(self, *args: Any, **kwargs: Any) -> None:
            torch.cuda.synchronize()
            seconds.append(time.monotonic() - self.start_s)

    rows = read_problem_rows(options.problems)
    data = Dataset.from_list(
        [
            {
                "prompt": [{"role": "user", "content": str(row.get("prompt") or row.get("question"))}],
                "tests": row["tests"],
                "entry_point": row.get("entry_point"),
            }
            for row in rows
        ]
    )
    config = GRPOConfig(
        output_dir=str(options.output / "trl"),
        max_steps=options.steps,
        per_device_train_batch_size=options.micro,
        gradient_accumulation_steps=options.prompts * options.answers // options.micro,
        num_generations=options.answers,
        max_completion_length=options.tokens,
        learning_rate=5e-7,
        beta=0.01,
        bf16=True,
        use_vllm=True,
        vllm_mode="colocate",
        vllm_gpu_memory_utilization=options.memory,
        report_to=[],
        save_strategy="no",
    )
    reward = AsyncExecutionReward(engine=options.engine, timeout_s=300)
    GRPOTrainer(model=options.model, reward_funcs=reward, args=config, train_dataset=data, callbacks=[Clock()]).train()
    return {"step_s": median(seconds[WARM_STEPS:])}


def main() -> None:
    """Ours, then TRL's."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("problems", type=Path)
    parser.add_argument("--model", required=True)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--engine", action="append")
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--prompts", type=int, default=16)
    parser.add_argument("--answers", type=int, default=8)
    parser.add_argument("--tokens", type=int, default=512)
    parser.add_argument("--micro", type=int, default=16, help="TRL's batch on the device")
    parser.add_argument("--memory", type=float, default=0.3, help="vLLM's share of the GPU")
    parser.add_argument("--only", choices=("gradebox", "trl"), help="one of them, each in a process of its own")
    options = parser.parse_args()
    print("| loop | s a step | rollout tokens/s | training tokens/s | grading hidden |\n|---|---|---|---|---|")
    if options.only != "trl":
        found = ours(options)
        print(
            f"| gradebox | {found['step_s']:.2f} | {found['rollout']:,.0f} | {found['train']:,.0f} | "
            f"{found['hidden']:.0%} |",
            flush=True,
        )
    if options.only != "gradebox":
        print(f"| TRL | {trl(options)['step_s']:.2f} | | | |")


if __name__ == "__main__":
    main()
