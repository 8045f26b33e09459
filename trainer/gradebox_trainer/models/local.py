"""Models in this process: vLLM on a GPU, transformers on a CPU (or a GPU without vLLM).

Both are imported when they are used. Answers come conversation by conversation with transformers, in batches with
vLLM; in both the seed of an answer follows from the settings' seed and the answer's number.
"""

import itertools
from collections.abc import AsyncIterator, Iterable
from functools import cached_property
from typing import Any

from gradebox_trainer.models import Answer, Refusal, Request, Settings

_VLLM_BATCH = 256  # conversations: enough to keep a GPU busy, few enough that little is lost with the process


class Vllm:
    """vLLM in this process. Needs a GPU."""

    def __init__(self, name: str, settings: Settings) -> None:
        self.name = name
        self._settings = settings

    @cached_property
    def _model(self) -> Any:
        """Loaded when the first answer is missing."""
        import torch
        import vllm

        return vllm.LLM(self.name, tensor_parallel_size=torch.cuda.device_count(), enable_prefix_caching=True)

    async def ask(self, requests: Iterable[Request]) -> AsyncIterator[tuple[Request, list[Answer] | Refusal]]:
        """See `Model.ask`."""
        for batch in itertools.batched(requests, _VLLM_BATCH):
            outputs = self._model.chat(
                [list(request.messages) for request in batch],
                [self._parameters(request) for request in batch],
                use_tqdm=False,
            )
            for request, output in zip(batch, outputs, strict=True):
                yield (
                    request,
                    [
                        Answer(
                            text=completion.text,
                            finish_reason=str(completion.finish_reason),
                            prompt_tokens=0 if number else len(output.prompt_token_ids),
                            completion_tokens=len(completion.token_ids),
                        )
                        for number, completion in enumerate(output.outputs)
                    ],
                )

    def _parameters(self, request: Request) -> Any:
        from vllm import SamplingParams
        from vllm.sampling_params import StructuredOutputsParams

        structured = StructuredOutputsParams(json=request.schema) if request.schema is not None else None
        return SamplingParams(
            n=request.count,
            temperature=self._settings.temperature,
            top_p=self._settings.top_p,
            max_tokens=self._settings.max_tokens,
            seed=self._settings.seed + request.first,
            structured_outputs=structured,
        )


class Transformers:
    """transformers' `generate`: for small models and for tests. It cannot hold answers to a schema."""

    def __init__(self, name: str, settings: Settings) -> None:
        self.name = name
        self._settings = settings

    @cached_property
    def _model(self) -> Any:
        """Loaded when the first answer is missing."""
        import torch
        from transformers import AutoModelForCausalLM

        device = "cuda" if torch.cuda.is_available() else "cpu"
        return AutoModelForCausalLM.from_pretrained(self.name).to(device).eval()

    @cached_property
    def _tokenizer(self) -> Any:
        from transformers import AutoTokenizer

        return AutoTokenizer.from_pretrained(self.name)

    async def ask(self, requests: Iterable[Request]) -> AsyncIterator[tuple[Request, list[Answer] | Refusal]]:
        """See `Model.ask`."""
        for request in requests:
            yield request, self._answers(request)

    def _answers(self, request: Request) -> list[Answer] | Refusal:
        import torch

        prompt = self._prompt(request)
        length = int(prompt["input_ids"].shape[1])
        room = getattr(self._model.config, "max_position_embeddings", None)
        if room is not None and length >= room:
            return Refusal(f"the prompt has {length} tokens, the model takes {room}")
        settings = self._settings
        drawn = settings.temperature > 0
        sampling = {"temperature": settings.temperature, "top_p": settings.top_p, "top_k": 0} if drawn else {}
        torch.manual_seed(settings.seed + request.first)
        with torch.inference_mode():
            outputs = self._model.generate(
                **prompt,
                do_sample=drawn,
                num_return_sequences=request.count if drawn else 1,
                max_new_tokens=min(settings.max_tokens, room - length if room is not None else settings.max_tokens),
                pad_token_id=self._end(),
                **sampling,
            )
        answers = [
            self._answer(tokens[length:].tolist(), 0 if number else length) for number, tokens in enumerate(outputs)
        ]
        return answers if drawn else answers * request.count

    def _prompt(self, request: Request) -> Any:
        messages = [dict(message) for message in request.messages]
        if self._tokenizer.chat_template is None:  # a base model goes on with the text
            text = "\n\n".join(message["content"] for message in messages) + "\n"
        else:
            text = self._tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        return self._tokenizer(text, return_tensors="pt", add_special_tokens=self._tokenizer.chat_template is None).to(
            self._model.device
        )

    def _answer(self, tokens: list[int], prompt_tokens: int) -> Answer:
        end = self._end()
        ended = end in tokens
        kept = tokens[: tokens.index(end)] if ended else tokens
        return Answer(
            text=self._tokenizer.decode(kept, skip_special_tokens=True),
            finish_reason="stop" if ended else "length",
            prompt_tokens=prompt_tokens,
            completion_tokens=len(kept) + ended,
        )

    def _end(self) -> int:
        ends = self._model.generation_config.eos_token_id
        end = ends[0] if isinstance(ends, list) else ends
        return int(end if end is not None else self._tokenizer.eos_token_id)
