"""The one interface of whoever completes a chat: an embedded, local, remote or scripted model.

Messages, how to sample, and a Protocol; the models themselves live in `lm`. It stands in `core` because
stages (judges, augmentation, serving) speak these words without knowing who answers.
"""

from collections.abc import Generator, Iterator, Sequence
from typing import Annotated, Literal, Protocol, runtime_checkable

from pydantic import Field

from hearten.core.config import Config
from hearten.core.conversation import Record

Author = Literal["system", "user", "assistant"]


class Message(Record):
    """One message of a chat with a model."""

    role: Author
    content: str


class Sampling(Config):
    """How a chat model chooses its words; the defaults are ESConv's (Liu et al. 2021, Appendix C)."""

    temperature: Annotated[float, Field(ge=0)] = 0.7
    """0 is greedy."""
    top_p: Annotated[float, Field(gt=0, le=1)] = 0.9
    top_k: Annotated[int, Field(ge=0)] = 30
    """0 keeps every token."""
    repetition_penalty: Annotated[float, Field(gt=0)] = 1.03
    min_tokens: Annotated[int, Field(ge=0)] = 0
    max_tokens: Annotated[int, Field(ge=1)] = 120
    seed: int | None = None
    """None lets the model choose; the same seed and messages give the same text where the model can."""
    stop: tuple[str, ...] = ()
    """Strings that end the reply; they are not part of it."""


class Piece(Record):
    """A few words of a reply as it is made."""

    text: str
    finish: Literal["", "stop", "length"] = ""
    """Why the reply ended here; empty while it goes on."""
    read: int | None = None
    """With the last piece: tokens of the prompt, those in the cache included."""
    cached: int | None = None
    """With the last piece: tokens of the prompt that had been read before."""
    written: int | None = None
    """With the last piece: tokens of the reply."""


@runtime_checkable
class ChatModel(Protocol):
    """Completes a chat."""

    name: str

    def complete(
        self, messages: Sequence[Message], *, sampling: Sampling | None = None, n: int = 1
    ) -> list[str]:
        """`n` texts that the assistant could say next."""
        ...

    def stream(self, messages: Sequence[Message], *, sampling: Sampling | None = None) -> Iterator[str]:
        """The assistant's next text piece by piece; the pieces joined are the text."""
        ...


@runtime_checkable
class CountingModel(ChatModel, Protocol):
    """A chat model that also says how much it read and wrote."""

    def pieces(self, messages: Sequence[Message], *, sampling: Sampling | None = None) -> Generator[Piece]:
        """As `stream`; the last piece carries the counts."""
        ...
