"""Every chat model behind `core.chat.ChatModel`, opened by name.

`embedded` (the engine on the model in the wheel), a `.gguf` file or a LLaMA-class folder (the engine),
`openai:MODEL` or `openai:MODEL@URL` (any OpenAI-compatible server, through the official client), and
`scripted:FILE` (replays a JSON Lines file of replies, for rehearsals and tests). Nothing remote is reached
unless its name was given.
"""

import hashlib
import os
import re
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from hearten.core.chat import ChatModel, Message, Piece, Sampling
from hearten.core.errors import Failure, UsageError, nearest
from hearten.core.jsonl import read_lines, require_file
from hearten.core.places import cache_folder
from hearten.lm.embedded import embedded_folder, embedded_gguf, quiet_libraries
from hearten.lm.engine import Engine, EngineConfig
from hearten.lm.render import first_kept


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
    """A model on an OpenAI-compatible server; retries with backoff are the client's."""

    def __init__(self, model: str, url: str | None) -> None:
        try:
            from openai import OpenAI
        except ImportError:
            raise Failure("the openai client is not installed", fix='pip install "hearten[lm]"') from None
        key = os.environ.get("OPENAI_API_KEY") or ("none" if url else None)
        if key is None:
            raise UsageError(
                "no key for the remote model", fix="set OPENAI_API_KEY, or name a server: openai:MODEL@URL"
            )
        self.name, self._model = f"openai:{model}", model
        self._client = OpenAI(base_url=url, api_key=key, max_retries=5)
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

    @contextmanager
    def _understood(self) -> Iterator[None]:
        """What the server or the way to it complains of, as a `Failure`."""
        from openai import OpenAIError

        try:
            yield
        except OpenAIError as error:
            fix = "check the address, the key and the model's name"
            raise Failure(f"the remote model failed: {error}", where=self._place, fix=fix) from error


class ScriptedChat:
    """Replays replies from a file, in order, each used once: `{"reply": "…"}` a line."""

    def __init__(self, file: Path) -> None:
        self.name, self._file = f"scripted:{file.name}", file
        self._replies = [_scripted_reply(file, number, row) for number, row in read_lines(file)]
        self._next = 0

    def complete(
        self, messages: Sequence[Message], *, sampling: Sampling | None = None, n: int = 1
    ) -> list[str]:
        """The next `n` replies of the script."""
        chosen = self._replies[self._next : self._next + n]
        if len(chosen) < n:
            raise Failure("the script has no more replies", where=str(self._file), fix="add lines to it")
        self._next += n
        return chosen

    def stream(self, messages: Sequence[Message], *, sampling: Sampling | None = None) -> Iterator[str]:
        """The next reply, word by word."""
        yield from re.findall(r"\s*\S+\s*", self.complete(messages)[0])


def _scripted_reply(file: Path, number: int, row: Any) -> str:
    if not isinstance(row, dict) or not isinstance(row.get("reply"), str):
        raise Failure("no reply in this line", where=f"{file}, line {number}", fix='write {"reply": "…"}')
    return str(row["reply"])


def open_chat_model(name: str, engine: EngineConfig | None = None) -> ChatModel:
    """The chat model called `name` (see the module's first lines); `engine` for those that run in one.

    Raises:
        UsageError: no such kind, file or key; Failure: the engine or its weights are missing.
    """
    kind, _, rest = name.partition(":")
    if rest and kind in _KINDS:
        return _KINDS[kind](rest)
    if name == "embedded":
        return _embedded(engine)
    if Path(name).suffix == ".gguf":
        from hearten.lm.embedded import tokenizer_from_gguf

        return EngineChat(name, Engine(require_file(Path(name)), engine), tokenizer_from_gguf(Path(name)))
    if (Path(name) / "config.json").is_file():
        return _folder(Path(name), engine)
    kinds = ["embedded", "FILE.gguf", "FOLDER", *(f"{kind}:…" for kind in _KINDS)]
    raise UsageError(f"unknown chat model '{name}'", fix=nearest(name, kinds))


def _remote(rest: str) -> ChatModel:
    model, _, url = rest.partition("@")
    return RemoteChat(model, url or None)


_KINDS: dict[str, Callable[[str], ChatModel]] = {
    "openai": _remote,
    "scripted": lambda rest: ScriptedChat(Path(rest)),
}


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
