"""One interface for whoever supports: a trained system, a prompted model, a person, or a wrapper.

Evaluation, collection, human studies and serving know nothing else. A wrapper (a safety screen, a refine
loop) holds a Supporter and is one.
"""

from collections.abc import Iterator
from typing import Protocol, runtime_checkable

from hearten.core.conversation import Conversation
from hearten.core.records import Reply
from hearten.core.taxonomy import Strategy


@runtime_checkable
class Supporter(Protocol):
    """Answers a conversation."""

    name: str

    def reply(
        self, conversation: Conversation, *, strategy: Strategy | None = None, n: int = 1
    ) -> list[Reply]:
        """`n` replies to the conversation so far; `strategy` forces one instead of choosing."""
        ...


@runtime_checkable
class StreamingSupporter(Supporter, Protocol):
    """A supporter that can show its reply while it is being made."""

    def stream(self, conversation: Conversation, *, strategy: Strategy | None = None) -> Iterator[Reply]:
        """Replies of growing `text`; the first may hold only the strategy, the last is complete."""
        ...
