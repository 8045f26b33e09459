"""The answer in what a model wrote: without its chat template and its thoughts. Rule 1 of `extract_code`."""

import re
from collections.abc import Iterator

_THOUGHT = re.compile(r"<(/?)(?:think|thinking|thought|reasoning)>|<\|channel\|>analysis<\|message\|>", re.IGNORECASE)
_ANSWER = re.compile(r"<(/?)answer>", re.IGNORECASE)
_ASSISTANT = re.compile(
    r"<\|im_start\|>assistant\b|<\|start_header_id\|>assistant<\|end_header_id\|>|<start_of_turn>model\b"
    r"|<\|assistant\|>|<\uff5cAssistant\uff5c>|\[/INST\]|<\|channel\|>final<\|message\|>"
)
_CONVERSATION = re.compile(
    r"\s*(?:(?:<s>|<bos>|<\|begin_of_text\|>|<\uff5cbegin\u2581of\u2581sentence\uff5c>)\s*)?"
    r"(?:<\|(?:im_start|start_header_id|start|channel|system|user|assistant)\|>|<start_of_turn>|<\uff5cUser\uff5c>|\[INST\])"
)
_END = re.compile(
    r"<\|(?:im_end|endoftext|eot_id|eom_id|end_of_text|end|return|im_start|start_header_id|user|system)\|>"
    r"|</s>|<eos>|<end_of_turn>|<\uff5cend\u2581of\u2581sentence\uff5c>|\[INST\]"
)


_QUOTES = ("'", '"')


def answer_of(text: str) -> str:
    """What the model says in the end, without the template around it and the thoughts before it."""
    if _CONVERSATION.match(text):
        start = 0
        for header in _unquoted(_ASSISTANT, text):
            start = header.end()
        text = text[start:]
    text = _without_thoughts(text)
    end = next(_unquoted(_END, text), None)
    return _inside_answer(text if end is None else text[: end.start()])


def _unquoted(pattern: re.Pattern[str], text: str) -> Iterator[re.Match[str]]:
    """Matches that are not quoted, as a program that prints a tag would have them."""
    for match in pattern.finditer(text):
        before, after = text[match.start() - 1 : match.start()], text[match.end() : match.end() + 1]
        if not (before in _QUOTES or after in _QUOTES or before == after == "`"):
            yield match


def _without_thoughts(text: str) -> str:
    kept: list[str] = []
    position = 0
    thinking = False
    for tag in _unquoted(_THOUGHT, text):
        if tag.group(1):
            if not thinking:  # opened in the prompt: all so far were thoughts
                kept.clear()
            thinking = False
        elif not thinking:
            kept.append(text[position : tag.start()])
            thinking = True
        position = tag.end()
    if not thinking:
        kept.append(text[position:])
    return "\n".join(kept)


def _inside_answer(text: str) -> str:
    start, end = 0, len(text)
    for tag in _unquoted(_ANSWER, text):
        if not tag.group(1):
            start, end = tag.end(), len(text)
        elif end == len(text):
            end = tag.start()
    return text[start:end]
