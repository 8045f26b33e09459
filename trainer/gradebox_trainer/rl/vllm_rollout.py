"""Answers from vLLM in the training's own process and on its GPU: one engine for each data-parallel process.

vLLM keeps a share of the GPU's memory. Its weights are the policy's, copied parameter by parameter after every step;
its prefix cache, which the old weights made, is dropped with them.
"""

import os
from collections.abc import Iterator, Sequence
from typing import Any

import torch

from gradebox_command.errors import BadArgument
from gradebox_trainer.rl.answers import Answer
from gradebox_trainer.rl.rollout import Sampling, end_tokens, make_answer
from gradebox_trainer.training.distributed import Processes

_PARTS = 8
"""Prompts of a step are given to vLLM at once; answers are handed on as they end, in about so many parts."""
_ADAPTER_PARTS = ("lora_", "modules_to_save")


class VllmSampler:
    """A sampler (see `rollout.Sampler`).

    Raises:
        BadArgument: vLLM is not installed, or there is no GPU.
    """

    def __init__(
        self,
        name: str,
        model: Any,
        tokenizer: Any,
        processes: Processes,
        *,
        memory_share: float,
        max_tokens: int,
        dtype: str,
        seed: int,
    ) -> None:
        if processes.device.type != "cuda":
            raise BadArgument('rollout = "vllm" needs a GPU; "transformers" does without')
        os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"  # so that its weights are in this process
        try:
            import vllm
        except ModuleNotFoundError:
            raise BadArgument("rollout = \"vllm\" needs vllm: pip install 'gradebox[vllm]'") from None
        self._vllm = vllm
        self._tokenizer = tokenizer
        self._ends = end_tokens(model, tokenizer)
        self._engine = vllm.LLM(
            name,
            gpu_memory_utilization=memory_share,
            max_model_len=max_tokens,
            dtype=dtype,
            distributed_executor_backend="external_launcher" if processes.world > 1 else None,
            seed=seed + processes.rank,
            enable_prefix_caching=True,
        )

    def generate(
        self, prompts: Sequence[Sequence[int]], count: int, sampling: Sampling, seed: int
    ) -> Iterator[list[list[Answer]]]:
        """See `Sampler`."""
        drawn = sampling.temperature > 0
        at_once = max(1, -(-len(prompts) // _PARTS))
        engine = self._engine.llm_engine
        for place, prompt in enumerate(prompts):
            engine.add_request(
                str(place),
                {"prompt_token_ids": list(prompt)},
                self._vllm.SamplingParams(
                    n=count if drawn else 1,
                    temperature=sampling.temperature,
                    top_p=sampling.top_p,
                    max_tokens=sampling.max_tokens,
                    seed=seed + place,
                    stop_token_ids=sorted(self._ends),
                    output_kind=self._vllm.sampling_params.RequestOutputKind.FINAL_ONLY,
                ),
            )
        ended: dict[int, list[Answer]] = {}
        next_place = 0
        while engine.has_unfinished_requests() or ended:
            for output in engine.step() if engine.has_unfinished_requests() else []:
                if output.finished:
                    place = int(output.request_id)
                    answers = [
                        make_answer(prompts[place], completion.token_ids, self._ends, self._tokenizer)
                        for completion in sorted(output.outputs, key=lambda completion: completion.index)
                    ]
                    ended[place] = answers * (1 if drawn else count)
            ready = 0
            while next_place + ready in ended:
                ready += 1
            if ready >= at_once or (ready and not engine.has_unfinished_requests()):
                yield [ended.pop(next_place + offset) for offset in range(ready)]
                next_place += ready

    def update(self, model: Any) -> None:
        """Copies the policy's weights. Gathering sharded ones is collective: all processes call this."""
        target = self._engine.llm_engine.model_executor.driver_worker.model_runner.model
        for name, weight in policy_weights(model):
            target.load_weights([(name, weight)])
        self._engine.reset_prefix_cache()


def policy_weights(model: Any) -> Iterator[tuple[str, torch.Tensor]]:
    """(name in the model without adapters, whole weight with the adapters merged in), one at a time."""
    adapters = hasattr(model, "peft_config")
    if adapters:
        model.merge_adapter()
    try:
        for name, weight in model.named_parameters():
            if adapters and any(part in name for part in _ADAPTER_PARTS):
                continue
            plain = name.removeprefix("base_model.model.").replace(".base_layer", "")
            full = getattr(weight, "full_tensor", None)  # a DTensor, where the weights are sharded
            yield plain, (full() if full is not None else weight).detach()
    finally:
        if adapters:
            model.unmerge_adapter()
