"""The program in what a model wrote. One pass over the lines, standard library only.

First the answer is found in the text, then the fenced blocks in the answer, then one block is chosen. Nothing here
parses or runs the program: what a model writes may be built to hurt who reads it, so every step takes linear time.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from gradebox._answer import answer_of

_ALIASES = {
    "python": ("python", "python3", "py", "py3"),
    "cpp": ("cpp", "c++", "cc", "cxx"),
    "go": ("go", "golang"),
    "javascript": ("javascript", "js", "node", "nodejs"),
    "rust": ("rust", "rs"),
    "typescript": ("typescript", "ts"),
}
_MARKDOWN = ("markdown", "md")
_CLOSER = 4  # columns: a fence indented by so many more than the one that opened the block does not close it


def extract_code(text: str, *, language: str = "python", entry_point: str | None = None) -> str | None:
    """The program in a model's output, or None where there is none. Linear in the text; raises on no string.

    1. **The answer.** Of a whole conversation in a chat template (ChatML, Llama, Gemma, Mistral, DeepSeek, harmony)
       the assistant's last turn; of a bare output what stands before its first end-of-turn token. Thoughts are no
       part of it: what is in `<think>…</think>` (`thinking`, `thought`, `reasoning` too), all before a closing tag
       that was never opened, all after an opening tag that is never closed. Where there is an `<answer>`, the
       inside of the last one counts. A tag or token in quotation marks or single backticks is text, not a tag.
    2. **Blocks** are fenced with three or more backticks or tildes at any indentation, which their lines lose. As
       in CommonMark a fence is closed by one of the same character, at least as long, with no word after it and
       indented by less than four columns more: the fences of an indented docstring close nothing. Unlike there, a
       fence *with* a word after it ends an open block and starts the next; a fence may be glued to the end of a
       line; and a block of Markdown is looked into. The word is the block's language.
    3. **The choice.** Blocks in the language asked for, else blocks in none; never blocks in another. Closed ones
       go before one that the end of the text cut off. Of what is left the last wins: the last that defines
       `entry_point`, if one does.
    4. **No fence** (Python only). An answer that starts with code and has its first fence, a bare one, later is
       the inside of a block that the prompt opened. An answer with no fence at all is a program from the first
       line that can start one to the last before prose goes on; with no such line there is none.

    Args:
        language: what the program is to be written in, as in a problem's `language`.
        entry_point: the name that the tests call, where one is known.
    """
    language = language.lower()
    words = _ALIASES.get(language, (language,))
    lines = answer_of(text).split("\n")
    blocks = list(_blocks(lines, words))
    if language == "python":
        if not blocks:
            return _unfenced(lines)
        first = blocks[0]
        if not first.word and _looks_like_code(head := lines[: first.at]):
            return _text(head)
    return _choose(blocks, words, entry_point)


# --- blocks -----------------------------------------------------------------------------------------------------

_FENCE = re.compile(r"([ \t]*)(`{3,}|~{3,})(.*)", re.DOTALL)
_WORD = re.compile(r"[\s{.]*([\w+#-]*)")


@dataclass(slots=True)
class _Block:
    at: int  # number of the line with its fence
    word: str  # its language, "" for none
    fence: str
    indent: int
    lines: list[str]
    closed: bool = False
    glued: int | None = None  # how many lines there were when one ended in a fence


def _blocks(lines: list[str], words: tuple[str, ...]) -> Iterator[_Block]:
    """The blocks that have something in them, in their order; one of Markdown is transparent."""
    block: _Block | None = None
    around: list[str] = []  # fences of the blocks of Markdown that are open
    for number, line in enumerate(lines):
        fence = _FENCE.match(line)
        if block is None:
            if fence is not None and "`" not in fence[3]:
                word = _word(fence[3])
                if word in _MARKDOWN:
                    around.append(fence[2])
                elif around and not word and _closes(fence, around[-1]):
                    around.pop()
                else:
                    block = _Block(number, word, fence[2], _columns(fence[1]), [])
            elif fence is not None:
                yield from _one_line(number, fence)
            elif _glued_opening(line, words):
                block = _Block(number, words[0], "```", 0, [])
        elif fence is not None and _columns(fence[1]) < block.indent + _CLOSER and _closes(fence, block.fence):
            block.closed = True
            yield from _if_any(block)
            block = None
        elif (
            fence is not None
            and fence[2][0] == block.fence[0]
            and "`" not in fence[3]
            and _columns(fence[1]) < block.indent + _CLOSER
            and (word := _word(fence[3]))
        ):
            yield from _if_any(_cut(block))
            block = _Block(number, word, fence[2], _columns(fence[1]), [])
        else:
            block.lines.append(line)
            if block.glued is None and fence is None and _glued_closing(line, block.fence):
                block.glued = len(block.lines)
    if block is not None:
        yield from _if_any(_cut(block))


def _word(info: str) -> str:
    """The language in what follows a fence: `python`, `{.python}`, `Python title="x"`, `python:main.py`."""
    match = _WORD.match(info)
    return match[1].lower() if match else ""


def _columns(indentation: str) -> int:
    return len(indentation.expandtabs(_CLOSER))


def _closes(fence: re.Match[str], opening: str) -> bool:
    return fence[2][0] == opening[0] and len(fence[2]) >= len(opening) and not fence[3].strip()


def _glued_opening(line: str, words: tuple[str, ...]) -> bool:
    """`Here it is:```python`."""
    head, fence, word = line.rpartition("```")
    return bool(fence) and word.strip().lower() in words and "`" not in head


def _glued_closing(line: str, fence: str) -> bool:
    """`    return x` with a fence right after it."""
    line = line.rstrip()
    return fence[0] == "`" and line.endswith(fence) and "`" not in line.rstrip("`")


def _one_line(number: int, fence: re.Match[str]) -> Iterator[_Block]:
    """A whole block on one line."""
    rest = fence[3].rstrip()
    if rest.endswith(fence[2]) and "`" not in (inside := rest[: -len(fence[2])]):
        word, _, code = inside.partition(" ")
        is_word = word.isalnum() and bool(code)
        yield _Block(number, word.lower() if is_word else "", fence[2], 0, [code if is_word else inside], True)


def _cut(block: _Block) -> _Block:
    """A block that no fence of its own closed: it ends where a fence is glued to a line, or was cut off."""
    if block.glued is not None:
        last = block.lines[block.glued - 1].rstrip().rstrip("`")
        block.lines[block.glued - 1 :] = [last]
        block.closed = True
    return block


def _if_any(block: _Block) -> Iterator[_Block]:
    if any(line.strip() for line in block.lines):
        yield block


def _choose(blocks: list[_Block], words: tuple[str, ...], entry_point: str | None) -> str | None:
    """The program among the blocks, by rule 3."""
    for wanted in (words, ("",)):
        for closed in (True, False):
            programs = [_code(block) for block in blocks if block.word in wanted and block.closed is closed]
            if not programs:
                continue
            names = re.findall(r"\w+", entry_point or "")
            if names:
                name = re.escape(names[-1])
                defines = re.compile(
                    rf"^(?:[ \t]*(?:async[ \t]+def|def|class)[ \t]+{name}\b|{name}[ \t]*=)", re.MULTILINE
                )
                programs = [program for program in programs if defines.search(program)] or programs
            return programs[-1]
    return None


def _code(block: _Block) -> str:
    """A block's text, without its fence's indentation, and without what more all its lines have."""
    lines = block.lines
    if _margin(lines) and block.indent:
        lines = [_unindented(line, block.indent) for line in lines]
    if (margin := _margin(lines)) and all(line.startswith(margin) for line in lines if line.strip()):
        lines = [line.removeprefix(margin) for line in lines]
    return _text(lines)


def _margin(lines: list[str]) -> str:
    """The white space before the first line that is not blank."""
    first = next(line for line in lines if line.strip())
    return first[: len(first) - len(first.lstrip(" \t"))]


def _unindented(line: str, columns: int) -> str:
    start = 0
    while columns > 0 and line[start : start + 1] in (" ", "\t"):
        columns -= 1 if line[start] == " " else _CLOSER
        start += 1
    return line[start:]


def _text(lines: list[str]) -> str:
    start, end = 0, len(lines)
    while start < end and not lines[start].strip():
        start += 1
    while end > start and not lines[end - 1].strip():
        end -= 1
    return "\n".join(lines[start:end]) + "\n"


# --- no fence ---------------------------------------------------------------------------------------------------

_STARTS = re.compile(  # a line that can start a program and is hardly prose
    r"from [\w.]+ import\b|import [\w.]+(?: as \w+)?\s*(?:[,;#]|$)|(?:async )?def \w+\s*[(\[]|class \w+\s*[(:\[]"
    r"|@[\w.]+\s*(?:\(|$)|(?:try|else):|print\(|[A-Za-z_][\w.]*(?:, ?[A-Za-z_][\w.]*)*\s*[-+*/%]?=(?!=)"
    r"|#!|# ?\w|\"\"\"|'''"
)
_STARTS_BLOCK = re.compile(r"(?:if|for|while|with|async for|async with|match)\b")
_GOES_ON = re.compile(  # a line that belongs to a program that has started
    r"[A-Za-z_][\w.]*[(\[.=:]|[)\]}({\[\"'#@]|\d+(?![.)\d]\s)"
    r"|(?:return|assert|raise|del|global|nonlocal|pass|break|continue|yield|await|elif|except|finally|else|case)\b"
)


def _starts(line: str) -> bool:
    return bool(_STARTS.match(line)) or (bool(_STARTS_BLOCK.match(line)) and line.rstrip().endswith(":"))


def _goes_on(line: str) -> bool:
    return _starts(line) or bool(_GOES_ON.match(line)) or bool(_STARTS_BLOCK.match(line) and ":" in line)


def _looks_like_code(lines: list[str]) -> bool:
    """Whether the first line that is not blank is code, at whatever indentation."""
    return next((_goes_on(line.strip()) for line in lines if line.strip()), False)


def _unfenced(lines: list[str]) -> str | None:
    start = next((number for number, line in enumerate(lines) if _starts(line)), None)
    if start is None:
        return None
    end = start
    quoted = False  # inside a string of three quotation marks
    for number in range(start, len(lines)):
        line = lines[number]
        if line.strip():
            if not (quoted or line[0] in " \t" or _goes_on(line)):
                break
            end = number + 1
        quoted ^= (line.count('"""') + line.count("'''")) % 2 == 1
    return _text(lines[start:end])
