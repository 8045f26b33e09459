"""From a problem to what the model reads, in one of four formats; and whether an answer has the format asked for.

`plain`: the problem's own text. `complete`: the same, and the program is that text with what the model goes on
with (HumanEval's way with base models). `chat`: the tokenizer's chat template. `r1`: for base models, the template of
DeepSeek-R1 that AceCoder uses for RL from the base: thoughts in <think>, the program in <answer>.
"""

import re
from collections.abc import Mapping
from typing import Any

_R1 = (
    "A conversation between User and Assistant. The user asks a question, and the Assistant solves it. The assistant "
    "first thinks about the reasoning process in the mind and then provides the user with the answer. The reasoning "
    "process and answer are enclosed within <think> </think> and <answer> </answer> tags, respectively, i.e., <think> "
    "reasoning process here </think> <answer> answer here </answer>. User: {question}\nAssistant: <think>"
)
_R1_ANSWER = re.compile(r"\A(?:(?!</?think>).)*</think>\s*<answer>(?:(?!</?answer>).)*</answer>\s*\Z", re.DOTALL)
_NEW_THING = re.compile(r"^(?:def |class |if |print|@|#|```|assert |\"\"\"|''')", re.MULTILINE)
_FENCE = re.compile(r"^```[a-zA-Z]*\n.*?^```\s*$", re.DOTALL | re.MULTILINE)


def question(problem: Mapping[str, Any]) -> str:
    """A problem's text; "" where it has none."""
    return str(problem.get("prompt") or problem.get("question") or "")


def chosen_format(wanted: str, tokenizer: Any) -> str:
    """`auto` as chat or plain, by the tokenizer."""
    if wanted != "auto":
        return wanted
    return "chat" if getattr(tokenizer, "chat_template", None) else "plain"


def prompt_ids(problem: Mapping[str, Any], format: str, tokenizer: Any) -> list[int]:
    """The tokens that the model goes on from."""
    text = question(problem)
    if format == "chat":
        messages = [{"role": "user", "content": text}]
        shown = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        return list(tokenizer(shown, add_special_tokens=False)["input_ids"])
    return list(tokenizer(_R1.format(question=text) if format == "r1" else text)["input_ids"])


def has_format(answer: str, format: str) -> bool:
    """Whether an answer is in the form asked for: r1: thoughts closed, then one answer and nothing else; chat: a fenced
    block; plain: anything."""
    if format == "r1":
        return _R1_ANSWER.match(answer) is not None
    return format != "chat" or _FENCE.search(answer) is not None


def answer_text(answer: str, format: str, text: str) -> str:
    """The answer with what the prompt had begun for it, as `gradebox.extract_code` expects it.

    Args:
        text: the problem's. Of a completion, what comes after the first line that begins a new thing at the margin is
            left out, as evalplus does.
    """
    if format == "r1":
        return "<think>" + answer
    if format != "complete":
        return answer
    end = _NEW_THING.search(answer)
    return text + (answer if end is None else answer[: end.start()])
