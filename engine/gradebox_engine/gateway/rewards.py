"""The protocol of OpenRLHF's remote reward models: queries in, rewards out.

A label holds the problem or its tests. There is no reward for an engine's fault: the whole request fails then, and
the caller asks again.
"""

from typing import Any

from pydantic import BaseModel

import gradebox
from gradebox.integrations import openrlhf
from gradebox.integrations._grader import grade_all
from gradebox.integrations._settings import Settings


class RewardRequest(BaseModel):
    """Three lists of one length; a query is a prompt with the response after it."""

    query: list[str]
    prompts: list[str]
    labels: list[Any]


async def rewards(client: gradebox.AsyncClient, asked: RewardRequest, settings: Settings) -> dict[str, Any]:
    """`rewards`, `scores` and `extra_logs`. Raises GradeboxError."""
    responses = openrlhf.responses(asked.query, asked.prompts)
    return openrlhf.answer_of(await grade_all(client, responses, openrlhf.tasks(asked.labels), settings))
