"""The columns of a preference pair, for whom it is meant. Every format has prompt, chosen and rejected in its own way.

| format | columns |
|---|---|
| trl | TRL's standard preference format: prompt, chosen, rejected, texts; a program as it was graded |
| conversational | TRL's conversational one: lists of messages; a program in a Markdown block |
| acecode | AceCodePair-300K's: instruction, input (empty), chosen, rejected, id (a number); Markdown blocks, too |

The first two also say where a pair comes from: `id` is the problem's, then pass rates, generators and SHA-256s.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from gradebox_trainer.pairing import Candidate

if TYPE_CHECKING:
    import pyarrow as pa

type Row = dict[str, Any]
type Format = Callable[[int, str, str, Candidate, Candidate], Row]
"""(number of the pair from 0, problem's id, prompt, chosen, rejected) to the pair's row."""


def trl(number: int, id: str, prompt: str, chosen: Candidate, rejected: Candidate) -> Row:
    """TRL's standard preference format, with the pair's provenance."""
    texts = {"prompt": prompt, "chosen": chosen.program, "rejected": rejected.program}
    return {"id": id, **texts, **_provenance(chosen, rejected)}


def conversational(number: int, id: str, prompt: str, chosen: Candidate, rejected: Candidate) -> Row:
    """TRL's conversational preference format, with the pair's provenance."""
    messages = {
        "prompt": [{"role": "user", "content": prompt}],
        "chosen": [{"role": "assistant", "content": in_block(chosen.program)}],
        "rejected": [{"role": "assistant", "content": in_block(rejected.program)}],
    }
    return {"id": id, **messages, **_provenance(chosen, rejected)}


def acecode(number: int, id: str, prompt: str, chosen: Candidate, rejected: Candidate) -> Row:
    """AceCodePair-300K's columns, and no others."""
    return {
        "instruction": prompt,
        "input": "",
        "chosen": in_block(chosen.program),
        "rejected": in_block(rejected.program),
        "id": number,
    }


FORMATS: dict[str, Format] = {"trl": trl, "conversational": conversational, "acecode": acecode}


def in_block(program: str) -> str:
    """A program as a model would answer with it: in a Markdown block, whose fence is longer than any in the program."""
    fence = "```"
    while fence in program:
        fence += "`"
    return f"{fence}python\n{program.rstrip()}\n{fence}"


def _provenance(chosen: Candidate, rejected: Candidate) -> Row:
    return {
        f"{side}_{name}": getattr(candidate, field)
        for name, field in (("pass_rate", "pass_rate"), ("generator", "generator"), ("sha256", "sha256"))
        for side, candidate in (("chosen", chosen), ("rejected", rejected))
    }


def schema(name: str) -> "pa.Schema":
    """The Parquet columns of a format."""
    import pyarrow as pa

    text = pa.string()
    if name == "acecode":
        return pa.schema(
            [*((column, text) for column in ("instruction", "input", "chosen", "rejected")), ("id", pa.int64())]
        )
    if name == "conversational":
        text = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))
    return pa.schema(
        [
            ("id", pa.string()),
            *((column, text) for column in ("prompt", "chosen", "rejected")),
            *((f"{side}_pass_rate", pa.float64()) for side in ("chosen", "rejected")),
            *((f"{side}_generator", pa.string()) for side in ("chosen", "rejected")),
            *((f"{side}_sha256", pa.string()) for side in ("chosen", "rejected")),
        ]
    )
