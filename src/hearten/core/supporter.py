"""One interface for whoever supports: a trained system, a prompted model, a person, or a wrapper.

Evaluation, collection, human studies and serving know nothing else. A wrapper (a safety screen, a refine
loop) holds a Supporter and is one.
"""

from collections.abc import Iterator
from typing import Annotated, Protocol, TypeVar, runtime_checkable

from pydantic import Field

from hearten.core.chat import Sampling
from hearten.core.conversation import Conversation, Record
from hearten.core.records import Reply
from hearten.core.taxonomy import Strategy

S = TypeVar("S", bound=Sampling)


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


class Wishes(Record):
    """What one request wants of whoever answers, beside a strategy; None leaves it as it is."""

    temperature: Annotated[float, Field(ge=0)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    seed: int | None = None
    stop: tuple[str, ...] | None = None
    avoid: tuple[str, ...] = ()
    """Names of strategies that must not be chosen: masked where the strategy is decoded."""
    instructions: str = ""
    """Further words for a model that is prompted; a trained one knows its task."""
    refine: bool | None = None
    """Whether a reply judged unhelpful is written again."""

    def sampling(self, usual: S) -> S:
        """`usual` with what is wished of it changed."""
        names = ("temperature", "top_p", "max_tokens", "seed", "stop")
        changed = {name: getattr(self, name) for name in names if getattr(self, name) is not None}
        return usual.model_copy(update=changed)


@runtime_checkable
class Adjustable(StreamingSupporter, Protocol):
    """A supporter that can heed a request's wishes."""

    def wished(self, wishes: Wishes) -> "Adjustable":
        """The same supporter under these wishes; cheap, and the original stays as it was."""
        ...
