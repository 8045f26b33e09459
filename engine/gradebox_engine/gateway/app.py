"""The routes. Each reads a body, checks it against its schema, and waits for the engines while its caller does."""

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from pydantic import BaseModel, ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

import gradebox
from gradebox.integrations._settings import Settings
from gradebox_engine.gateway import submit as datasets
from gradebox_engine.gateway.bodies import Bodies, while_there
from gradebox_engine.gateway.clients import Clients
from gradebox_engine.gateway.config import GatewayConfig
from gradebox_engine.gateway.errors import Refused, not_valid, refused_by, tell
from gradebox_engine.gateway.rewards import RewardRequest, rewards
from gradebox_engine.gateway.run_code import run_code, sandbox_error
from gradebox_engine.gateway.schemas import (
    Anything,
    GetPromptByIdRequest,
    GetPromptsRequest,
    RunCodeRequest,
    SubmitRequest,
)

type Answer[T] = Callable[[gradebox.AsyncClient, T], Awaitable[Any]]


def make_app(config: GatewayConfig) -> Starlette:
    """The gateway as an ASGI application. An embedded engine starts with it."""
    clients = Clients(config)
    bodies = Bodies(config.max_body_bytes, config.max_bodies_bytes)
    settings = Settings(timeout_s=config.timeout_s, reward=config.reward)

    def post[T: BaseModel](path: str, schema: type[T], answer: Answer[T]) -> Route:
        async def endpoint(request: Request) -> Response:
            async with bodies.of(request) as body:
                try:
                    asked = schema.model_validate_json(body)
                    async with clients.of(request) as client:
                        said = await while_there(request, _awaited(answer(client, asked)))
                except ValidationError as error:
                    raise not_valid(error) from None
                except gradebox.GradeboxError as error:
                    raise refused_by(error) from None
            return JSONResponse(_plain(said))

        return Route(path, endpoint, methods=["POST"])

    async def run(client: gradebox.AsyncClient, asked: RunCodeRequest) -> Any:
        return await run_code(client, asked, config.timeout_s)

    async def no_jupyter(_: gradebox.AsyncClient, __: Anything) -> Any:
        return {**sandbox_error("run_jupyter: not offered").model_dump(), "driver": None, "cells": []}

    async def submit(client: gradebox.AsyncClient, asked: SubmitRequest) -> Any:
        return await datasets.submit(client, asked, config.timeout_s)

    async def prompts(_: gradebox.AsyncClient, asked: GetPromptsRequest) -> Any:
        return datasets.prompts(asked)

    async def ids(_: gradebox.AsyncClient, asked: GetPromptsRequest) -> Any:
        return [prompt.id for prompt in datasets.prompts(asked)]

    async def prompt_by_id(_: gradebox.AsyncClient, asked: GetPromptByIdRequest) -> Any:
        return datasets.prompt_by_id(asked)

    async def no_metrics(_: gradebox.AsyncClient, __: Anything) -> Any:
        return {}

    async def no_metrics_function(_: gradebox.AsyncClient, __: Anything) -> Any:
        return {"function": None}

    async def reward(client: gradebox.AsyncClient, asked: RewardRequest) -> Any:
        return await rewards(client, asked, settings)

    async def ping(_: Request) -> Response:
        return JSONResponse("pong")

    async def no_data_sets(_: Request) -> Response:
        return JSONResponse([])

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        try:
            if not config.engines:
                await clients.start()
            yield
        finally:
            await clients.close()

    return Starlette(
        routes=[
            Route("/v1/ping", ping),
            Route("/list_datasets", no_data_sets),
            post("/run_code", RunCodeRequest, run),
            post("/run_jupyter", Anything, no_jupyter),
            post("/submit", SubmitRequest, submit),
            post("/get_prompts", GetPromptsRequest, prompts),
            post("/get_prompt_by_id", GetPromptByIdRequest, prompt_by_id),
            post("/list_ids", GetPromptsRequest, ids),
            post("/get_metrics", Anything, no_metrics),
            post("/get_metrics_function", Anything, no_metrics_function),
            post("/reward", RewardRequest, reward),
        ],
        exception_handlers={Refused: tell},
        lifespan=lifespan,
    )


async def _awaited(answer: Awaitable[Any]) -> Any:
    return await answer


def _plain(said: Any) -> Any:
    """An answer as JSON's types."""
    if isinstance(said, BaseModel):
        return said.model_dump(mode="json")
    if isinstance(said, list):
        return [_plain(each) for each in said]
    return said
