"""AceCode-87K and AceCodePair-300K, both ways.

AceCode-87K: id, source, question, test_cases (texts), inferences (model_name, completion_id, completion, pass_rate,
test_results), context_messages (content, role). AceCodePair-300K: instruction, input, chosen, rejected, id. Read from
the authors' scripts and the card of the pairs; of context_messages these say both a list of messages and a list of
such lists: a list of messages is written, and on the way in the question says the same.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import gradebox
from gradebox_command.problem_rows import FieldError
from gradebox_trainer.labelled import LabelledProblem
from gradebox_trainer.published import Imported, Row, text, texts

if TYPE_CHECKING:
    import pyarrow as pa


def problem(row: Row) -> Imported:
    """A row of AceCode-87K; the programs of each model are a row, in the order of completion_id."""
    id = text(row, "id")
    tests = texts(row, "test_cases")
    if not tests:
        raise FieldError("test_cases", "empty: there is nothing to grade with")
    programs: dict[str, list[str]] = {}
    rates: dict[str, list[Any]] = {}
    for place, inference in enumerate(row.get("inferences") or []):
        if not isinstance(inference, dict) or not isinstance(inference.get("completion"), str):
            raise FieldError(f"inferences[{place}].completion", "must be a string")
        model = str(inference.get("model_name") or "unnamed")
        programs.setdefault(model, []).append(program_of(inference["completion"]))
        rates.setdefault(model, []).append(inference.get("pass_rate"))
    made = {
        "id": id,
        "question": text(row, "question"),
        "tests": tests,
        "meta": {"source": str(row.get("source") or "")},
    }
    return Imported(
        made,
        [
            {"id": id, "programs": found, "generator": model, "meta": {"published_pass_rates": rates[model]}}
            for model, found in programs.items()
        ],
    )


def pair(row: Row) -> Imported:
    """A row of AceCodePair-300K, to TRL's preference format."""
    instruction, given = text(row, "instruction"), text(row, "input", default="")
    prompt = f"{instruction}\n\n{given}" if given else instruction
    chosen, rejected = program_of(text(row, "chosen")), program_of(text(row, "rejected"))
    return Imported({"id": str(row.get("id", "")), "prompt": prompt, "chosen": chosen, "rejected": rejected})


def program_of(completion: str) -> str:
    """The program in a completion; one without a Markdown block is a program as it stands."""
    if "```" not in completion:
        return completion
    return gradebox.extract_code(completion) or completion


def rows(problems: Iterable[LabelledProblem], left_out: list[str]) -> Iterable[dict[str, Any]]:
    """AceCode-87K's rows of labelled problems. Those with other tests than texts go to `left_out`, by id."""
    for labelled in problems:
        tests = labelled.row.get("tests")
        if not isinstance(tests, list) or not all(isinstance(test, str) for test in tests):
            left_out.append(labelled.id)
            continue
        yield {
            "id": labelled.id,
            "source": str((labelled.row.get("meta") or {}).get("source") or labelled.row.get("source") or ""),
            "question": labelled.prompt,
            "test_cases": tests,
            "inferences": [
                {
                    "model_name": each.generator,
                    "completion_id": place,
                    "completion": each.program,
                    "pass_rate": each.label["pass_rate"],
                    "test_results": [_result(test["verdict"]) for test in each.label["tests"]],
                }
                for place, each in enumerate(labelled.programs)
            ],
            "context_messages": [{"content": labelled.prompt, "role": "user"}],
        }


def _result(verdict: str) -> int | None:
    """1 passed, 0 not; null where the engine failed."""
    return None if verdict == "ENGINE_ERROR" else int(verdict == "PASSED")


def schema() -> "pa.Schema":
    """AceCode-87K's columns in Parquet."""
    import pyarrow as pa

    inference = [
        ("model_name", pa.string()),
        ("completion_id", pa.int64()),
        ("completion", pa.string()),
        ("pass_rate", pa.float64()),
        ("test_results", pa.list_(pa.int64())),
    ]
    return pa.schema(
        [
            ("id", pa.string()),
            ("source", pa.string()),
            ("question", pa.string()),
            ("test_cases", pa.list_(pa.string())),
            ("inferences", pa.list_(pa.struct(inference))),
            ("context_messages", pa.list_(pa.struct([("content", pa.string()), ("role", pa.string())]))),
        ]
    )
