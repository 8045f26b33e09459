"""The routes. All answers are made of an Overview; GET alone; nothing is read of a request but its path."""

from collections.abc import Awaitable, Callable
from importlib.resources import files

import structlog
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from gradebox_engine.overview import Overview

METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_PAGE = {
    "/": ("page.html", "text/html"),
    "/page.css": ("page.css", "text/css"),
    "/page.js": ("page.js", "text/javascript"),
    "/page.svg": ("page.svg", "image/svg+xml"),
}
# Whatever gets into the page, it runs no script but ours, loads nothing from elsewhere, and stands in no frame.
SECURITY_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_log = structlog.get_logger("http")


def make_app(overview: Overview) -> Starlette:
    """The application for one engine."""

    async def metrics(_: Request) -> Response:
        return _answer(Response(overview.metrics, media_type=METRICS_TYPE))

    async def state(_: Request) -> Response:
        return _answer(Response(overview.state, media_type="application/json"))

    async def healthz(_: Request) -> Response:
        return _answer(PlainTextResponse("alive\n"))

    async def readyz(_: Request) -> Response:
        readiness = overview.readiness
        text = "ready\n" if readiness.ready else f"not ready: {readiness.reason}\n"
        return _answer(PlainTextResponse(text, 200 if readiness.ready else 503))

    async def fault(_: Request, error: Exception) -> Response:
        _log.error("fault", exc_info=error)
        return _answer(PlainTextResponse("the engine failed\n", 500))

    async def refused(_: Request, error: Exception) -> Response:
        status = int(getattr(error, "status_code", 400))
        return _answer(PlainTextResponse({404: "no such page\n", 405: "GET only\n"}.get(status, "refused\n"), status))

    routes = {"/metrics": metrics, "/api/state": state, "/healthz": healthz, "/readyz": readyz}
    return Starlette(
        routes=[
            *(Route(path, endpoint, methods=["GET"]) for path, endpoint in routes.items()),
            *(Route(path, _file(*file), methods=["GET"]) for path, file in _PAGE.items()),
        ],
        exception_handlers={404: refused, 405: refused, Exception: fault},
    )


def _file(name: str, media_type: str) -> Callable[[Request], Awaitable[Response]]:
    body = files("gradebox_engine.http").joinpath(name).read_bytes()

    async def serve(_: Request) -> Response:
        return _answer(Response(body, media_type=media_type))

    return serve


def _answer(response: Response) -> Response:
    response.headers.update(SECURITY_HEADERS)
    return response
