"""`gradebox score`: programs to scores, each prompt computed once for all of its programs."""

import itertools
import json
import signal
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from gradebox_command.errors import DONE, BadArgument, InputError
from gradebox_command.terminal import progress_bar
from gradebox_command.writing import write_rows
from gradebox_trainer.packing import Tree
from gradebox_trainer.reward.encode import Encoder
from gradebox_trainer.reward.read import PROMPT_FIELDS, ProgramsRow, digest, program_rows, prompt_of, read_prompts
from gradebox_trainer.reward.saving import read_encoding
from gradebox_trainer.training.distributed import Processes
from gradebox_trainer.transformer import loading
from gradebox_trainer.transformer.scorer import TreeScorer, UnsupportedModel, check
from gradebox_trainer.transformer.scoring import score_trees

_ROWS_AT_ONCE = 512


@dataclass(frozen=True, slots=True)
class Options:
    """The arguments of the command."""

    programs: Path
    problems: Sequence[Path]
    model: str
    output: Path
    token_budget: int
    precision: str
    as_json: bool


class RewardModel:
    """A trained model, ready to score.

    Args:
        name: a folder that `gradebox train-rm` wrote, or any classifier with one label in transformers' format.
        precision: fp32 or bf16.
        token_budget: of one forward pass.

    Raises:
        BadArgument: there is no such model, or it cannot be used with packed trees.
    """

    def __init__(self, name: str, *, precision: str = "fp32", token_budget: int = 16_384) -> None:
        loading.hide_progress()
        device = torch.device("cuda") if torch.cuda.is_available() else torch.device("cpu")
        tokenizer = loading.load_tokenizer(name)
        dtype = torch.float32 if precision == "fp32" else torch.bfloat16
        model = loading.load_classifier(name, tokenizer, dtype=dtype)
        self._encoder = Encoder(tokenizer, **read_encoding(Path(name)))
        self._budget = token_budget
        self._processes = Processes(0, 1, device)
        try:
            self._scorer = TreeScorer(model.to(device).eval())
            check(self._scorer, tolerance=1e-3 if precision == "fp32" else 5e-2)
        except UnsupportedModel as error:
            raise BadArgument(str(error)) from None

    def score(self, questions: Sequence[tuple[str, Sequence[str]]]) -> list[list[float | None]]:
        """Scores of each prompt's programs; None for those that are too long for the model.

        Equal programs of one question are computed once.
        """
        trees: list[Tree] = []
        places: list[dict[str, int | None]] = []
        for prompt, programs in questions:
            distinct = list(dict.fromkeys(programs))
            tree = self._encoder.tree(0, prompt, distinct) if distinct else None
            place: dict[str, int | None] = dict.fromkeys(distinct)
            if tree is not None:
                room = self._encoder.max_length - len(tree.prompt)
                kept = [number for number, branch in enumerate(tree.branches) if len(branch) <= room]
                place |= {distinct[old]: new for new, old in enumerate(kept)}
                if kept:
                    branches = tuple(tree.branches[number] for number in kept)
                    trees.append(Tree(len(places), tree.prompt, branches, tuple(range(len(kept)))))
            places.append(place)
        found = dict(zip((tree.key for tree in trees), self._scores(trees), strict=True))
        return [
            [None if (at := place[program]) is None else float(found[number][at]) for program in programs]
            for number, ((_, programs), place) in enumerate(zip(questions, places, strict=True))
        ]

    def _scores(self, trees: list[Tree]) -> list[Any]:
        return list(score_trees(self._scorer, trees, self._budget, self._processes)) if trees else []


def score(options: Options) -> int:
    """Writes one row a program, in the order of the input; returns the exit status.

    Raises:
        InputError, BadArgument: bad input, or no such model.
        CommandError: the output cannot be written.
    """
    prompts = read_prompts(options.problems)
    total = sum(len(row.programs) for row in program_rows([options.programs]) if _prompt(row, prompts) is not None)
    model = RewardModel(options.model, precision=options.precision, token_budget=options.token_budget)
    counts = {"programs": 0, "too_long": 0}
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with progress_bar(total, what="scoring") as advance:

        def rows() -> Iterator[Mapping[str, Any]]:
            for batch in itertools.batched(program_rows([options.programs]), _ROWS_AT_ONCE):
                scores = model.score([(_prompt(row, prompts), row.programs) for row in batch])
                for row, values in zip(batch, scores, strict=True):
                    yield from _labelled(row, values)
                    counts["programs"] += len(values)
                    counts["too_long"] += values.count(None)
                    advance(len(values))

        write_rows(options.output, rows())
    if options.as_json:
        print(json.dumps({"scores": str(options.output), **counts}))
    else:
        left_out = f"; {counts['too_long']:,} too long for the model: null" if counts["too_long"] else ""
        print(f"{options.output}: {counts['programs']:,} scores{left_out}")
    return DONE


def _labelled(row: ProgramsRow, values: Sequence[float | None]) -> Iterator[dict[str, Any]]:
    generator = {"generator": row.row["generator"]} if isinstance(row.row.get("generator"), str) else {}
    for index, (program, value) in enumerate(zip(row.programs, values, strict=True)):
        yield {"id": row.id, "program_index": index, "program_sha256": digest(program), "score": value, **generator}


def _prompt(row: ProgramsRow, prompts: Mapping[str, str]) -> str:
    if row.id in prompts:
        return prompts[row.id]
    if any(row.row.get(field) is not None for field in PROMPT_FIELDS):
        return prompt_of(row.path, row.line, row.row)
    raise InputError(row.path, row.line, "id", f"no prompt for {row.id!r}: give its problem with --problems")
