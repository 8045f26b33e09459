"""slime's hook. slime is on no package index: the hook is called as its `async_rm` and `batched_async_rm` call it."""

import asyncio
import importlib
import json
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
from tests.integrations.conftest import BAD, GOOD, HALF, NONE, TESTS

from gradebox import InvalidRequest

PATH = "gradebox.integrations.slime.custom_rm"  # --custom-rm-path
SCORES = [1.0, 0.5, 0.0, 0.0]


@dataclass
class Sample:
    """What slime.utils.types.Sample has that a reward function reads."""

    prompt: str = ""
    response: str = ""
    label: str | None = None
    metadata: dict[str, Any] = field(default_factory=dict)


def load(path: str) -> Any:
    """As slime.utils.misc.load_function."""
    module, _, name = path.rpartition(".")
    return getattr(importlib.import_module(module), name)


def samples(**more: Any) -> list[Sample]:
    return [Sample(prompt="Write add.", response=answer, **more) for answer in (GOOD, HALF, BAD, NONE)]


def test_one_sample_at_a_time(engine_in_environment: str) -> None:
    async def rewards() -> list[float]:
        label = json.dumps({"tests": TESTS, "entry_point": "add"})
        return list(await asyncio.gather(*(load(PATH)(SimpleNamespace(), each) for each in samples(label=label))))

    assert asyncio.run(rewards()) == SCORES


def test_a_group_of_samples(engine_in_environment: str) -> None:
    group = samples(metadata={"tests": TESTS, "entry_point": "add", "rm_type": "x"})
    assert asyncio.run(load(PATH)(SimpleNamespace(group_rm=True), group, evaluation=True)) == SCORES


def test_a_sample_without_tests(engine_in_environment: str) -> None:
    with pytest.raises(InvalidRequest, match="tests"):
        asyncio.run(load(PATH)(SimpleNamespace(), Sample(response=GOOD)))
