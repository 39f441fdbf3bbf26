"""One API request being answered: whole, or as server-sent events while it grows.

Every event is a line of OpenAI's format; a place in the queue is told as a comment, which clients pass over.
"""

import json
import secrets
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from hearten.core.conversation import Role, Turn
from hearten.core.records import Reply
from hearten.serve.asking import Asked
from hearten.serve.host import Busy, Waiting
from hearten.serve.refusals import refusal
from hearten.serve.state import Serving
from hearten.serve.wire import ChatRequest, Choice, Completion, Said, extension, finish, usage


class Answer:
    """What is answered to one request.

    Args:
        state: the server.
        asked: the request understood.
        body: the request as it came.
        owner: whose it is.
    """

    def __init__(self, state: Serving, asked: Asked, body: ChatRequest, owner: str) -> None:
        self._state, self._asked, self._body, self._owner = state, asked, body, owner
        self.choices = body.n or 1
        self._told = f"{asked.notice}\n\n" if asked.notice else ""
        self._id, self._created = f"chatcmpl-{secrets.token_hex(12)}", int(time.time())

    async def whole(self) -> AsyncGenerator[Reply]:
        """Every choice, complete."""
        for number in range(self.choices):
            last = Reply(text="")
            async with aclosing(self._growing(number)) as growing:
                async for news in growing:
                    last = news if isinstance(news, Reply) else last
            self._remember(last)
            yield last

    def completion(self, replies: list[Reply]) -> Completion:
        """The answer to a request that does not stream."""
        choices = [
            Choice(
                index=number,
                message=Said(content=self._told + reply.text),
                finish_reason=finish(reply),
                hearten=extension(reply),
            )
            for number, reply in enumerate(replies)
        ]
        return Completion(
            id=self._id,
            created=self._created,
            model=self._state.settings.model,
            choices=choices,
            usage=usage(replies),
            hearten=choices[0].hearten,
        )

    async def events(self) -> AsyncGenerator[str]:
        """The lines of a stream. A fault in the middle is one more event, as OpenAI sends it.

        Raises:
            Busy: before the first line.
        """
        replies: list[Reply] = []
        try:
            for number in range(self.choices):
                async with aclosing(self._lines(number, replies)) as lines:
                    async for line in lines:
                        yield line
        except Busy:
            if not replies:
                raise
            yield _line({"error": {"message": "too many are talking at once", "code": "server_busy"}})
        except Exception as error:
            yield _line(refusal(error).body)
        else:
            if self._body.stream_options is not None and self._body.stream_options.include_usage:
                yield self._chunk([], usage=usage(replies).model_dump())
        yield "data: [DONE]\n\n"

    def _growing(self, number: int) -> AsyncGenerator[Waiting | Reply]:
        """The `number`-th choice as it grows; each draws from its own seed where one was given."""
        wishes, asked = self._asked.wishes, self._asked
        if wishes.seed is not None:
            wishes = wishes.model_copy(update={"seed": (wishes.seed + number) % 2**32})
        return self._state.host.stream(
            asked.conversation, strategy=asked.strategy, owner=self._owner, wishes=wishes
        )

    async def _lines(self, number: int, replies: list[Reply]) -> AsyncGenerator[str]:
        """The lines of one choice; its reply is added to `replies` at the end."""
        shown, last = "", None
        async with aclosing(self._growing(number)) as growing:
            async for news in growing:
                if isinstance(news, Waiting):
                    yield f": waiting, position {news.position}\n\n"
                    continue
                if last is None:
                    first = {"role": "assistant", "content": self._told}
                    yield self._delta(number, first, hearten=extension(news))
                if news.text.startswith(shown) and len(news.text) > len(shown):
                    yield self._delta(number, {"content": news.text[len(shown) :]})
                    shown = news.text
                last = news
        done = last or Reply(text="")
        self._remember(done)
        replies.append(done)
        yield self._delta(number, {}, reason=finish(done), hearten=extension(done))

    def _remember(self, reply: Reply) -> None:
        if reply.text.strip():
            turn = Turn(speaker=Role.SUPPORTER, text=reply.text, strategy=reply.strategy)
            self._state.recall.keep((*self._asked.conversation.turns, turn))

    def _delta(self, number: int, delta: dict[str, Any], *, reason: str | None = None, **more: Any) -> str:
        choice = {"index": number, "delta": delta, "finish_reason": reason, "logprobs": None}
        return self._chunk([choice], **more)

    def _chunk(self, choices: list[Any], **more: Any) -> str:
        head = {"id": self._id, "object": "chat.completion.chunk", "created": self._created}
        return _line({**head, "model": self._state.settings.model, "choices": choices, **more})


def _line(event: dict[str, Any]) -> str:
    return f"data: {json.dumps(event, ensure_ascii=False, separators=(',', ':'))}\n\n"
