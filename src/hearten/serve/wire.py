"""What OpenAI's chat completions look like on the wire: requests that are read, answers that are written.

Unknown fields are ignored, as every compatible server does, except those whose silence would mislead: tools,
log-probabilities, other outputs than text. Our own inputs are `strategy`, `refine` and `situation`; our own
output is the field `hearten`, in the answer or in the first and last chunk of a stream.
"""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from hearten.core.records import Reply

MOST_CHOICES = 8


class Wire(BaseModel):
    """Base of what comes in: other fields are ignored, numbers are numbers."""

    model_config = ConfigDict(extra="ignore", allow_inf_nan=False)


class TextPart(Wire):
    """One part of a message's content."""

    type: Literal["text", "input_text"]
    text: str


class ChatMessage(Wire):
    """One message of the conversation."""

    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[TextPart] | None = None

    @property
    def text(self) -> str:
        """The words, parts joined by line breaks."""
        if isinstance(self.content, list):
            return "\n".join(part.text for part in self.content)
        return self.content or ""


class StreamOptions(Wire):
    """What a stream carries besides its chunks."""

    include_usage: bool = False


class ChatRequest(Wire):
    """The body of `POST /v1/chat/completions`."""

    messages: Annotated[list[ChatMessage], Field(min_length=1)]
    model: str | None = None
    stream: bool | None = False
    stream_options: StreamOptions | None = None
    n: Annotated[int, Field(ge=1, le=MOST_CHOICES)] | None = 1
    stop: str | list[str] | None = None
    max_tokens: Annotated[int, Field(ge=1, le=100_000)] | None = None
    max_completion_tokens: Annotated[int, Field(ge=1, le=100_000)] | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    seed: Annotated[int, Field(ge=-(2**63), lt=2**63)] | None = None
    strategy: Annotated[str, Field(max_length=100)] | None = None
    """Ours: the support strategy of the reply, by name or abbreviation."""
    refine: bool | None = None
    """Ours: whether a reply judged unhelpful is written again."""
    situation: str | None = None
    """Ours: what the seeker is going through, as told before the conversation."""
    tools: list[Any] | None = None
    functions: list[Any] | None = None
    logprobs: bool | None = None
    response_format: dict[str, Any] | None = None
    modalities: list[str] | None = None

    @field_validator("stop")
    @classmethod
    def _few_and_not_empty(cls, value: str | list[str] | None) -> str | list[str] | None:
        stops = [value] if isinstance(value, str) else value or []
        if len(stops) > 4 or not all(0 < len(stop) <= 200 for stop in stops):
            raise ValueError("up to 4 strings of 1 to 200 characters")
        return value

    @property
    def stops(self) -> tuple[str, ...] | None:
        """The strings that end the reply."""
        return (self.stop,) if isinstance(self.stop, str) else tuple(self.stop) if self.stop else None

    @property
    def unsupported(self) -> str | None:
        """The first field that asks for what this server cannot do."""
        kind = (self.response_format or {}).get("type", "text")
        asked = {
            "tools": bool(self.tools),
            "functions": bool(self.functions),
            "logprobs": bool(self.logprobs),
            "response_format": kind != "text",
            "modalities": bool(self.modalities) and self.modalities != ["text"],
        }
        return next((name for name, wanted in asked.items() if wanted), None)


class ErrorBody(BaseModel):
    """What went wrong, in OpenAI's shape."""

    message: str
    type: str
    param: str | None = None
    code: str | None = None


class ErrorAnswer(BaseModel):
    """The body of every answer that is not 200."""

    error: ErrorBody


class Usage(BaseModel):
    """Tokens read and written."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: dict[str, int]


class Said(BaseModel):
    """The reply."""

    role: Literal["assistant"] = "assistant"
    content: str
    refusal: None = None


class Choice(BaseModel):
    """One of `n` replies."""

    index: int
    message: Said
    finish_reason: Literal["stop", "length"]
    logprobs: None = None
    hearten: dict[str, Any]
    """Ours: strategy, probabilities, stage, emotion, safety and links of this reply."""


class Completion(BaseModel):
    """The answer to a request that does not stream."""

    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    model: str
    choices: list[Choice]
    usage: Usage | None = None
    hearten: dict[str, Any]
    """Ours: as in the first choice."""


class Model(BaseModel):
    """A model that can be asked."""

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str = "hearten"


class Models(BaseModel):
    """All of them."""

    object: Literal["list"] = "list"
    data: list[Model]


def extension(reply: Reply) -> dict[str, Any]:
    """Our field for a reply: everything that is known of it but its words and tokens."""
    known = {key: value for key, value in (reply.details or {}).items() if key not in ("tokens", "finish")}
    strategy = reply.strategy.name if reply.strategy else None
    return {"strategy": strategy, "probabilities": reply.probabilities, **known}


def finish(reply: Reply) -> Literal["stop", "length"]:
    """Why a reply ended."""
    return "length" if (reply.details or {}).get("finish") == "length" else "stop"


def usage(replies: Sequence[Reply]) -> Usage:
    """Tokens of all choices; the prompt counts once, and what the chain says by itself costs none."""
    counts = [(reply.details or {}).get("tokens") or {} for reply in replies]
    read = max((row.get("prompt") or 0 for row in counts), default=0)
    cached = max((row.get("cached") or 0 for row in counts), default=0)
    written = sum(row.get("completion") or 0 for row in counts)
    return Usage(
        prompt_tokens=read,
        completion_tokens=written,
        total_tokens=read + written,
        prompt_tokens_details={"cached_tokens": cached},
    )
