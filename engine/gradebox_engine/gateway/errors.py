"""How errors are told over HTTP: `{"detail": …}`, as FastAPI tells them, which the clients of these protocols know."""

from typing import Any

from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse

import gradebox


class Refused(Exception):
    """A request that gets no answer but this status and these details."""

    def __init__(self, status: int, detail: Any) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail


def refused_by(error: gradebox.GradeboxError) -> Refused:
    """What an error of the SDK comes to, where the caller's protocol has no word for it."""
    text = f"{type(error).__name__}: {error}"
    if isinstance(error, gradebox.AccessDenied):
        return Refused(401, text)
    if isinstance(error, gradebox.InvalidRequest):
        return Refused(401 if error.field == "token" else 400, text)
    if isinstance(error, gradebox.DeadlineExceeded):
        return Refused(504, text)
    if isinstance(error, gradebox.Overloaded | gradebox.Unavailable):
        return Refused(503, text)
    return Refused(502, text)


def not_valid(error: ValidationError) -> Refused:
    """422 with FastAPI's list of what is wrong where, without what was sent."""
    found = error.errors(include_url=False, include_context=False, include_input=False)
    return Refused(422, [{**each, "loc": ["body", *each["loc"]]} for each in found])


async def tell(_: Request, error: Exception) -> JSONResponse:
    """The response for a Refused."""
    assert isinstance(error, Refused)
    return JSONResponse({"detail": error.detail}, status_code=error.status)
