"""Every chat model behind `core.chat.ChatModel`, opened by name.

`embedded` (the engine on the model in the wheel), a `.gguf` file or a LLaMA-class folder (the engine),
`openai:MODEL` or `openai:MODEL@URL` (any OpenAI-compatible server, through the official client), and
`scripted:FILE` (replays a JSON Lines file of replies, for rehearsals and tests). Nothing remote is reached
unless its name was given.
"""

import hashlib
import json
import os
import re
import threading
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hearten.core.chat import Answer, ChatModel, Message, Piece, Refused, Sampling, Unavailable
from hearten.core.errors import Failure, UsageError, nearest
from hearten.core.jsonl import read_lines, require_file
from hearten.core.places import cache_folder
from hearten.lm.embedded import embedded_folder, embedded_gguf, quiet_libraries
from hearten.lm.engine import Engine, EngineConfig
from hearten.lm.render import first_kept
from hearten.lm.seats import shared

if TYPE_CHECKING:
    from openai import APIStatusError

PASSING = (408, 409, 425, 429)
"""Statuses below 500 that may be gone a moment later."""
ABOUT_THE_TEXT = (400, 413, 422)
"""Statuses that complain of these messages and not of who asks."""


class EngineChat:
    """A GGUF model spoken to in its own chat template."""

    def __init__(self, name: str, engine: Engine, tokenizer: Any) -> None:
        self.name, self._engine, self._tokenizer = name, engine, tokenizer

    def complete(
        self, messages: Sequence[Message], *, sampling: Sampling | None = None, n: int = 1
    ) -> list[str]:
        """`n` replies; with a seed, reply k uses seed + k."""
        wanted = sampling or Sampling()
        prompt = self._prompt(messages, wanted)
        return [self._engine.complete(prompt, reseeded(wanted, k)).strip() for k in range(n)]

    def stream(self, messages: Sequence[Message], *, sampling: Sampling | None = None) -> Iterator[str]:
        """The reply piece by piece."""
        wanted = sampling or Sampling()
        return self._engine.stream(self._prompt(messages, wanted), wanted)

    def pieces(self, messages: Sequence[Message], *, sampling: Sampling | None = None) -> Generator[Piece]:
        """The reply piece by piece, with what was read and written."""
        wanted = sampling or Sampling()
        return self._engine.pieces(self._prompt(messages, wanted), wanted)

    def warm(self, lead: Sequence[Message]) -> None:
        """Read the beginning of every chat that opens with `lead` before the first one comes."""
        first, second = (self._ids([*lead, Message(role="user", content=text)]) for text in ("a", "b"))
        self._engine.warm(first[: shared(first, second)])

    def _prompt(self, messages: Sequence[Message], sampling: Sampling) -> list[int]:
        """Ids of the chat; what leads it (the system's words) is kept, the oldest of the rest goes first."""
        lead = next((n for n, one in enumerate(messages) if one.role != "system"), len(messages))
        context = self._engine.context
        room = context - min(sampling.max_tokens, context // 2) - len(self._ids(messages[:lead]))
        first = lead + first_kept([len(self._ids([one])) for one in messages[lead:]], room, context // 4)
        return self._ids([*messages[:lead], *messages[first:]], answer=True)

    def _ids(self, messages: Sequence[Message], *, answer: bool = False) -> list[int]:
        if not messages:
            return []
        plain = [message.model_dump() for message in messages]
        template = self._tokenizer.apply_chat_template
        return list(template(plain, add_generation_prompt=answer, return_dict=True)["input_ids"])


class RemoteChat:
    """A model on an OpenAI-compatible server.

    Args:
        model: its name there.
        url: the server's address; None is OpenAI's.
        retries: how often the client itself asks again, with backoff; 0 leaves it to the caller.
        timeout: seconds without a sign of life after which the server counts as gone.
    """

    def __init__(
        self, model: str, url: str | None, *, retries: int = 5, timeout: float | None = None
    ) -> None:
        try:
            from openai import NOT_GIVEN, OpenAI
        except ImportError:
            raise Failure("the openai client is not installed", fix='pip install "hearten[lm]"') from None
        key = os.environ.get("OPENAI_API_KEY") or ("none" if url else None)
        if key is None:
            raise UsageError(
                "no key for the remote model", fix="set OPENAI_API_KEY, or name a server: openai:MODEL@URL"
            )
        self.name, self._model = f"openai:{model}", model
        wait = NOT_GIVEN if timeout is None else timeout
        self._client = OpenAI(base_url=url, api_key=key, max_retries=retries, timeout=wait)
        self._place = str(self._client.base_url)

    def complete(
        self, messages: Sequence[Message], *, sampling: Sampling | None = None, n: int = 1
    ) -> list[str]:
        """`n` replies."""
        arguments = _openai_arguments(self._model, messages, sampling or Sampling())
        with self._understood():
            answer = self._client.chat.completions.create(n=n, stream=False, **arguments)
        return [choice.message.content or "" for choice in answer.choices]

    def stream(self, messages: Sequence[Message], *, sampling: Sampling | None = None) -> Iterator[str]:
        """The reply piece by piece."""
        arguments = _openai_arguments(self._model, messages, sampling or Sampling())
        with self._understood():
            for event in self._client.chat.completions.create(stream=True, **arguments):
                if event.choices and event.choices[0].delta.content:
                    yield event.choices[0].delta.content

    def answer(
        self, messages: Sequence[Message], *, sampling: Sampling | None = None, stream: bool = False
    ) -> Answer:
        """One reply with its tokens.

        With a seed the request carries an `Idempotency-Key`: a server or gateway that honours it charges
        the same request once, however often it had to be sent.
        """
        arguments = _openai_arguments(self._model, messages, sampling or Sampling())
        if arguments["seed"] is not None:
            mark = hashlib.sha256(json.dumps(arguments, sort_keys=True).encode()).hexdigest()
            arguments["extra_headers"] = {"Idempotency-Key": f"hearten-{mark[:32]}"}
        with self._understood():
            return self._streamed(arguments) if stream else self._whole(arguments)

    def _whole(self, arguments: dict[str, Any]) -> Answer:
        found = self._client.chat.completions.create(stream=False, **arguments)
        if not found.choices:
            raise Unavailable("the remote model answered without a choice", where=self._place)
        choice, usage = found.choices[0], found.usage
        return Answer(
            text=choice.message.content or "",
            finish=choice.finish_reason,
            prompt_tokens=usage.prompt_tokens if usage else None,
            completion_tokens=usage.completion_tokens if usage else None,
        )

    def _streamed(self, arguments: dict[str, Any]) -> Answer:
        pieces: list[str] = []
        finish, usage = None, None
        arguments["stream_options"] = {"include_usage": True}
        for event in self._client.chat.completions.create(stream=True, **arguments):
            usage = event.usage or usage
            for choice in event.choices:
                pieces.append(choice.delta.content or "")
                finish = choice.finish_reason or finish
        if finish is None:  # a connection that closes politely looks like an end: only this tells
            raise Unavailable("the remote model's answer was cut off", where=self._place, worked=True)
        return Answer(
            text="".join(pieces),
            finish=finish,
            prompt_tokens=usage.prompt_tokens if usage else None,
            completion_tokens=usage.completion_tokens if usage else None,
        )

    @contextmanager
    def _understood(self) -> Iterator[None]:
        """What the server or the way to it complains of, as a `Failure`."""
        from openai import APIConnectionError, APIStatusError, OpenAIError

        try:
            yield
        except APIStatusError as error:
            raise _complaint(error, self._place) from error
        except APIConnectionError as error:  # time-outs are among them
            what = f"the remote model failed: {error}"
            raise Unavailable(what, where=self._place, worked=True) from error
        except OpenAIError as error:
            fix = "check the address, the key and the model's name"
            raise Failure(f"the remote model failed: {error}", where=self._place, fix=fix) from error
        except json.JSONDecodeError as error:
            what = f"the remote model's answer was cut off: {error}"
            raise Unavailable(what, where=self._place, worked=True) from error


def _complaint(error: "APIStatusError", where: str) -> Failure:
    """A server's refusal as what a caller can do about it: wait, ask something else, or give up."""
    what, status = f"the remote model failed: {error}", error.status_code
    if error.code == "insufficient_quota":
        return Failure(what, where=where, fix="add credit to the account, then run the same command again")
    if status in PASSING or status >= 500:
        return Unavailable(what, where=where, retry_after=_retry_after(error.response.headers))
    if status in ABOUT_THE_TEXT:
        return Refused(what, where=where, fix="shorten the messages, or leave this one out")
    return Failure(what, where=where, fix="check the address, the key and the model's name")


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that `Retry-After` names, as a number or as a date (RFC 9110, section 10.2.3)."""
    value = headers.get("retry-after", "")
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):
        return None


class ScriptedChat:
    """Replays replies from a file, each used once: `{"reply": "…"}` a line, in order.

    A line with a `seed` is kept for the request with that seed, so that threads and a second process that
    goes on where the first was killed are told the same.
    """

    def __init__(self, file: Path) -> None:
        self.name, self._file = f"scripted:{file.name}", file
        rows = [_scripted_reply(file, number, row) for number, row in read_lines(file)]
        self._replies = [reply for seed, reply in rows if seed is None]
        self._seeded = {seed: reply for seed, reply in rows if seed is not None}
        self._next = 0
        self._turn = threading.Lock()

    def complete(
        self, messages: Sequence[Message], *, sampling: Sampling | None = None, n: int = 1
    ) -> list[str]:
        """The next `n` replies of the script, or the one for this seed."""
        if n == 1 and sampling is not None and sampling.seed in self._seeded:
            return [self._seeded[sampling.seed]]
        with self._turn:
            chosen = self._replies[self._next : self._next + n]
            if len(chosen) < n:
                raise Failure("the script has no more replies", where=str(self._file), fix="add lines to it")
            self._next += n
        return chosen

    def stream(self, messages: Sequence[Message], *, sampling: Sampling | None = None) -> Iterator[str]:
        """The next reply, word by word."""
        yield from re.findall(r"\s*\S+\s*", self.complete(messages, sampling=sampling)[0])


def _scripted_reply(file: Path, number: int, row: Any) -> tuple[int | None, str]:
    if not isinstance(row, dict) or not isinstance(row.get("reply"), str):
        raise Failure("no reply in this line", where=f"{file}, line {number}", fix='write {"reply": "…"}')
    seed = row.get("seed")
    if seed is not None and not isinstance(seed, int):
        raise Failure("the seed is not a whole number", where=f"{file}, line {number}")
    return seed, str(row["reply"])


def open_chat_model(
    name: str, engine: EngineConfig | None = None, *, retries: int = 5, timeout: float | None = None
) -> ChatModel:
    """The chat model called `name` (see the module's first lines).

    Args:
        name: its name.
        engine: how it is loaded, where it runs in our engine.
        retries: how often a remote model's client asks again by itself.
        timeout: seconds that a remote model may stay silent; None leaves it to the client (ten minutes).

    Raises:
        UsageError: no such kind, file or key; Failure: the engine or its weights are missing.
    """
    kind, _, rest = name.partition(":")
    if rest and kind == "openai":
        model, _, url = rest.partition("@")
        return RemoteChat(model, url or None, retries=retries, timeout=timeout)
    if rest and kind == "scripted":
        return ScriptedChat(Path(rest))
    if name == "embedded":
        return _embedded(engine)
    if Path(name).suffix == ".gguf":
        from hearten.lm.embedded import tokenizer_from_gguf

        return EngineChat(name, Engine(require_file(Path(name)), engine), tokenizer_from_gguf(Path(name)))
    if (Path(name) / "config.json").is_file():
        return _folder(Path(name), engine)
    kinds = ["embedded", "FILE.gguf", "FOLDER", "openai:…", "scripted:…"]
    raise UsageError(f"unknown chat model '{name}'", fix=nearest(name, kinds))


@cache
def _embedded(engine: EngineConfig | None) -> ChatModel:
    from transformers import AutoTokenizer

    quiet_libraries()
    tokenizer = AutoTokenizer.from_pretrained(embedded_folder())
    return EngineChat("embedded", Engine(embedded_gguf(), engine), tokenizer)


def _folder(folder: Path, engine: EngineConfig | None) -> ChatModel:
    """A Hugging Face folder, exported once to GGUF in the cache."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from hearten.lm.gguf_export import export_gguf

    quiet_libraries()
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    gguf = cache_folder("gguf") / f"{folder.resolve().name}-{_stamp(folder)}.gguf"
    if not gguf.is_file():
        export_gguf(AutoModelForCausalLM.from_pretrained(folder, local_files_only=True), tokenizer, gguf)
    return EngineChat(str(folder), Engine(gguf, engine), tokenizer)


def _stamp(folder: Path) -> str:
    """Twelve hex digits that change when the folder, or a file in it, is another one."""
    files = [
        (f.name, f.stat().st_size, f.stat().st_mtime_ns) for f in sorted(folder.iterdir()) if f.is_file()
    ]
    return hashlib.sha256(repr((str(folder.resolve()), files)).encode()).hexdigest()[:12]


def reseeded(sampling: Sampling, number: int) -> Sampling:
    """`sampling` for the `number`-th of several replies: its seed moves on, where it has one."""
    if sampling.seed is None or number == 0:
        return sampling
    return sampling.model_copy(update={"seed": sampling.seed + number})


def _openai_arguments(model: str, messages: Sequence[Message], sampling: Sampling) -> dict[str, Any]:
    return {
        "model": model,
        "messages": [message.model_dump() for message in messages],
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "max_tokens": sampling.max_tokens,
        "seed": sampling.seed,
        "stop": list(sampling.stop) or None,
    }
