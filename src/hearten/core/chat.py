"""The one interface of whoever completes a chat: an embedded, local, remote or scripted model.

Messages, how to sample, and a Protocol; the models themselves live in `lm`. It stands in `core` because
stages (judges, augmentation, serving) speak these words without knowing who answers.
"""

from collections.abc import Generator, Iterator, Sequence
from typing import Annotated, Literal, Protocol, runtime_checkable

from pydantic import Field

from hearten.core.config import Config
from hearten.core.conversation import Record
from hearten.core.errors import Failure

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
    ids: tuple[int, ...] = ()
    """Its tokens, where the model tells; a few bytes of a character may be in the next piece."""


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


class Answer(Record):
    """One reply with what it took."""

    text: str
    finish: str | None = None
    """Why the model stopped, as the server puts it: `stop`, `length`, …"""
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


@runtime_checkable
class CountingChat(ChatModel, Protocol):
    """A chat model that counts its tokens and leaves it to the caller when to ask again."""

    def answer(
        self, messages: Sequence[Message], *, sampling: Sampling | None = None, stream: bool = False
    ) -> Answer:
        """One reply; `stream` receives it in pieces, so that no proxy's time limit cuts a long one.

        Raises:
            Unavailable: not now, perhaps later. Refused: never, for these messages. Failure: never at all.
        """
        ...


class Unavailable(Failure):
    """The model cannot answer now: busy, too slow, or cut off. Asking again may help.

    Args:
        what: one line saying what was wrong.
        where: the server.
        retry_after: seconds the server asks one to wait; None where it does not say.
        worked: whether the server may have done (and charged) the work: it was cut off or too slow.
    """

    def __init__(
        self, what: str, *, where: str = "", retry_after: float | None = None, worked: bool = False
    ) -> None:
        fix = "wait and run the same command again" if retry_after is None else f"wait {retry_after:.0f} s"
        super().__init__(what, where=where, fix=fix)
        self.retry_after, self.worked = retry_after, worked


class Refused(Failure):
    """The model will not answer these messages (too long, filtered); other messages may do."""
