"""The API that everybody speaks: `/v1/chat/completions`, `/v1/models`, `/healthz`, `/metrics`.

OpenAI's clients and any chat program that speaks to them work unchanged. The chain is on, as on the page: the
care path is worked out from the messages sent, so it holds over stateless calls. A caller that goes away ends
its reply. Nothing of what is said is logged or kept.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Depends, Request
from fastapi.responses import PlainTextResponse, Response, StreamingResponse
from prometheus_client import CONTENT_TYPE_LATEST

from hearten.serve.admission import caller
from hearten.serve.answering import Answer
from hearten.serve.asking import understand
from hearten.serve.refusals import CLIENT_GONE, ApiRoute, Refusal
from hearten.serve.state import Serving, serving
from hearten.serve.wire import ChatRequest, Completion, ErrorAnswer, Model, Models

REFUSALS: dict[int | str, dict[str, Any]] = {
    status: {"model": ErrorAnswer} for status in (400, 401, 403, 404, 405, 413, 422, 429, 500, 503)
}
METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]
router = APIRouter(route_class=ApiRoute)
Caller = Annotated[str, Depends(caller)]
T = TypeVar("T")


@router.get("/healthz")
async def healthy() -> dict[str, str]:
    """Whether the server answers."""
    return {"status": "ok"}


@router.get("/metrics", response_class=PlainTextResponse, responses=REFUSALS)
async def metrics(request: Request, _: Caller) -> Response:
    """Counts in Prometheus' format; numbers only."""
    return Response(serving(request).meters.text(), media_type=CONTENT_TYPE_LATEST)


@router.get("/v1/models", responses=REFUSALS)
async def models(request: Request, _: Caller) -> Models:
    """The one model that is served."""
    return Models(data=[_model(serving(request))])


@router.get("/v1/models/{name:path}", responses=REFUSALS)
async def model(request: Request, name: str, _: Caller) -> Model:
    """The model called `name`."""
    _must_be_served(serving(request), name)
    return _model(serving(request))


@router.post("/v1/chat/completions", responses=REFUSALS, response_model=Completion)
async def complete(request: Request, body: ChatRequest, owner: Caller) -> Any:
    """A reply to the conversation, whole or as server-sent events."""
    state = serving(request)
    _must_be_served(state, body.model)
    asked = understand(body, state.settings, state.recall)
    answer = Answer(state, asked, body, owner)
    if body.stream:
        return await _streamed(request, answer)
    replies = [reply async for reply in _while_there(request, answer.whole())]
    if len(replies) < answer.choices:
        raise Refusal(CLIENT_GONE, "the client went away")
    return answer.completion(replies)


@router.api_route(
    "/v1/{rest:path}", methods=["GET", "POST", "PUT", "PATCH", "DELETE"], include_in_schema=False
)
async def unknown(rest: str, _: Caller) -> None:
    """Everything else that OpenAI has and we have not."""
    raise Refusal(404, f"there is no such thing here: /v1/{rest[:100]}", code="unknown_url")


def _model(state: Serving) -> Model:
    return Model(id=state.settings.model, created=state.started)


def _must_be_served(state: Serving, name: str | None) -> None:
    if name is not None and name != state.settings.model:
        raise Refusal(
            404, f"the model here is '{state.settings.model}'", param="model", code="model_not_found"
        )


async def _streamed(request: Request, answer: Answer) -> Response:
    """Server-sent events; the first is waited for, so that a full queue is still a proper 429."""
    events = _while_there(request, answer.events())
    first = await anext(events, None)
    if first is None:
        raise Refusal(CLIENT_GONE, "the client went away")

    async def lines() -> AsyncGenerator[str]:
        async with aclosing(events):
            yield first
            async for event in events:
                yield event

    return StreamingResponse(lines(), media_type="text/event-stream", headers={"x-accel-buffering": "no"})


async def _while_there(request: Request, news: AsyncGenerator[T]) -> AsyncGenerator[T]:
    """What comes, until the client has gone; then what it comes from is closed at once."""
    gone = asyncio.create_task(_gone(request))
    try:
        async with aclosing(news):
            while True:
                step = asyncio.ensure_future(anext(news))
                await asyncio.wait({step, gone}, return_when=asyncio.FIRST_COMPLETED)
                if not step.done():
                    step.cancel()
                    await asyncio.wait({step})
                    return
                try:
                    item = step.result()
                except StopAsyncIteration:
                    return
                yield item
    finally:
        gone.cancel()


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
