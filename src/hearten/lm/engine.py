"""The fast way to talk on a CPU: llama.cpp inside the process, with its prompt cache.

An `Engine` holds one GGUF model and several slots. It takes token ids, so the one renderer stays in charge,
and keeps what a conversation has already said: a turn costs only its new words. The strategy is chosen from
the engine's own probabilities at the first position (`first_choice`), then the words are streamed.

Several threads may ask at once: requests share every forward pass of the model (continuous batching). A
request takes the free slot that has read most of its prompt already (`seats`). What a slot held of another
conversation is set aside in memory first and brought back when that one goes on, so a conversation keeps its
prompt cache even when more people talk than there are slots. What all prompts begin with is read once, before
the first person comes (`warm`). A long prompt is read in portions, so that replies go on meanwhile.

A reader that stops early ends the generation: at the next token the slot is free.

llama.cpp's server also opens a port on this machine. Nothing here uses it, so it is locked with a key that
nobody knows.

It knows ids and texts, not conversations.
"""

import queue
import secrets
import threading
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from hearten.core.chat import Piece, Sampling
from hearten.core.config import Config
from hearten.core.errors import Failure
from hearten.lm.seats import ANY, Seat, Seats
from hearten.lm.waiting import sleep_soon

REMEMBERED = 4096
"""Ids that the repetition penalty looks back on: a whole chat, as in `decode`; llama.cpp's default is 64."""
PORTION = 128
"""Ids of prompts that are read between two tokens of the replies that are being written."""
BAN = -1e9
FAVOUR = 200.0
"""Logit shifts that leave, or remove, a token for certain."""


class TooLong(Failure):
    """A prompt that does not fit even with only its last message."""


class EngineConfig(Config):
    """How much an engine may take of the machine."""

    context: Annotated[int, Field(ge=64)] = 4096
    """Ids one conversation may hold."""
    slots: Annotated[int, Field(ge=1)] = 1
    """Conversations that are answered at the same time."""
    threads: Annotated[int, Field(ge=1)] | None = None
    """Processor threads; None takes every core."""
    set_aside: Annotated[int, Field(ge=0)] = 512
    """Megabytes for what conversations without a slot have read."""


class Engine:
    """One GGUF model, ready to answer from several threads.

    Args:
        gguf: the model file.
        config: slots, context, threads.
    """

    def __init__(self, gguf: Path, config: EngineConfig | None = None) -> None:
        self.config = config or EngineConfig()
        self.context = self.config.context
        self._server = _xllamacpp().Server(_settings(gguf, self.config))
        self._seats = Seats(self.config.slots)

    @property
    def address(self) -> str:
        """Where llama.cpp's own (locked) server listens."""
        return str(self._server.listening_address)

    def warm(self, beginning: Sequence[int]) -> None:
        """Read what all prompts begin with into every slot; from the third on they are copies."""
        for _ in range(self.config.slots):
            next_one = Seat(list(beginning), ANY, ANY)
            self._ask({"prompt": next_one.prompt, "max_tokens": 1, "temperature": 0}, next_one)

    def first_choice(self, prompt: Sequence[int], allowed: Sequence[int]) -> np.ndarray:
        """P(token) at the first position over the `allowed` ids alone, in their order; sums to 1."""
        answer = self._ask(
            {
                "prompt": list(prompt),
                "max_tokens": 1,
                "logprobs": len(allowed),
                "n_probs": len(allowed),
                "post_sampling_probs": True,
                "logit_bias": [[token, FAVOUR] for token in allowed],
                "samplers": ["temperature"],
                "temperature": 1.0,
            }
        )
        rows = answer["choices"][0]["logprobs"]["content"][0]["top_probs"]
        found = {row["id"]: row["prob"] for row in rows}
        chances = np.array([found.get(token, 0.0) for token in allowed])
        share: np.ndarray = chances / max(chances.sum(), 1e-12)
        return share

    def pieces(
        self, prompt: Sequence[int], sampling: Sampling, *, banned: Sequence[int] = ()
    ) -> Generator[Piece]:
        """The reply as it is made; the last piece says why it ended and what was read and written."""
        arrived: queue.Queue[Any] = queue.Queue()
        request = _request(prompt, sampling, banned) | {"stream": True}
        stopped = threading.Event()

        def take(piece: Any) -> bool:
            arrived.put(piece)
            return stopped.is_set()  # true ends the generation

        def work() -> None:
            try:
                with self._seated(request) as sitting:
                    self._server.handle_completions(sitting.request, lambda piece: take(sitting.note(piece)))
            except Exception as error:
                arrived.put({"error": {"message": str(error)}})
            arrived.put(None)

        worker = threading.Thread(target=work)  # not a daemon: leaving in the middle of native work aborts
        worker.start()
        try:
            while (answer := arrived.get()) is not None:
                for one in answer if isinstance(answer, list) else [answer]:
                    yield _piece(_checked(one))
        finally:
            stopped.set()
            worker.join()  # so that the slot is free

    def stream(
        self, prompt: Sequence[int], sampling: Sampling, *, banned: Sequence[int] = ()
    ) -> Iterator[str]:
        """The texts of `pieces`; joined they are the reply."""
        with closing(self.pieces(prompt, sampling, banned=banned)) as pieces:
            for piece in pieces:
                yield piece.text

    def complete(self, prompt: Sequence[int], sampling: Sampling, *, banned: Sequence[int] = ()) -> str:
        """The whole reply at once."""
        answer = self._ask(_request(prompt, sampling, banned))
        return str(answer["choices"][0]["text"])

    def _ask(self, request: dict[str, Any], seat: Seat | None = None) -> Any:
        """The whole answer to a request, checked."""
        with self._seated(request, seat) as sitting:
            return _checked(sitting.note(self._server.handle_completions(sitting.request)))

    @contextmanager
    def _seated(self, request: dict[str, Any], seat: Seat | None = None) -> Iterator["_Sitting"]:
        """A request with the slot that suits its prompt."""
        seat = seat or self._seats.take(request["prompt"])
        where = {"id_slot": seat.slot, "cache_prompt": True, "verbose": True, "return_tokens": True}
        sitting = _Sitting(request | where)
        try:
            yield sitting
        finally:
            self._seats.leave(seat, slot=sitting.slot, written=sitting.written)


@dataclass(slots=True)
class _Sitting:
    """A request in its slot, and what its answers tell of it."""

    request: dict[str, Any]
    slot: int = ANY
    """Where llama.cpp put it, once it has told."""
    written: int = 0

    def note(self, answer: Any) -> Any:
        """The same answer."""
        for one in answer if isinstance(answer, list) else [answer]:
            self.slot = one.get("__verbose", {}).get("id_slot", self.slot)
            self.written = one.get("timings", {}).get("predicted_n", self.written + 1)
        return answer


def _xllamacpp() -> Any:
    sleep_soon()
    try:
        import xllamacpp
    except ImportError:
        raise Failure("the chat engine is not installed", fix='pip install "hearten[lm]"') from None
    return xllamacpp


def _settings(gguf: Path, config: EngineConfig) -> Any:
    settings = _xllamacpp().CommonParams()
    settings.model.path = str(gguf)
    settings.n_ctx = config.context * config.slots
    settings.n_parallel = config.slots
    settings.n_batch = PORTION
    settings.cache_ram_mib = config.set_aside
    settings.slot_prompt_similarity = 0.0  # `seats` knows better which slot begins alike
    settings.verbosity = -1
    settings.warmup = False
    settings.api_keys = [secrets.token_urlsafe(32)]
    settings.ui = settings.endpoint_slots = settings.endpoint_props = False
    if config.threads:
        settings.cpuparams.n_threads = config.threads
        settings.cpuparams_batch.n_threads = config.threads
    return settings


def _request(prompt: Sequence[int], sampling: Sampling, banned: Sequence[int]) -> dict[str, Any]:
    request: dict[str, Any] = {
        "prompt": list(prompt),
        "max_tokens": sampling.max_tokens,
        "temperature": sampling.temperature,
        "top_k": sampling.top_k,
        "top_p": sampling.top_p,
        "min_p": 0.0,
        "repeat_penalty": sampling.repetition_penalty,
        "repeat_last_n": REMEMBERED,
        "stop": list(sampling.stop),
        "logit_bias": [[token, BAN] for token in banned],
    }
    if sampling.seed is not None:
        request["seed"] = sampling.seed
    return request


def _piece(answer: Any) -> Piece:
    choice, times = answer["choices"][0], answer.get("timings")
    text, ids = str(choice["text"]), tuple(answer.get("__verbose", {}).get("tokens", ()))
    if times is None or not choice.get("finish_reason"):
        return Piece(text=text, ids=ids)
    return Piece(
        text=text,
        ids=ids,
        finish=choice["finish_reason"],
        read=times["cache_n"] + times["prompt_n"],
        cached=times["cache_n"],
        written=times["predicted_n"],
    )


def _checked(answer: Any) -> Any:
    """The engine's answer, or its complaint as a `Failure`."""
    if isinstance(answer, dict) and "error" in answer:
        message = answer["error"].get("message", answer["error"])
        kind = TooLong if answer["error"].get("type") == "exceed_context_size_error" else Failure
        raise kind(f"the chat engine refused: {message}", fix="a shorter message, or a larger context")
    return answer
