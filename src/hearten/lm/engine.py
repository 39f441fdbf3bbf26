"""The fast way to talk on a CPU: llama.cpp inside the process, with its prompt cache.

An `Engine` holds one GGUF model and several slots. It takes token ids, so the one renderer stays in charge,
and keeps what a conversation has already said: a turn costs only its new words. The strategy is chosen from
the engine's own probabilities at the first position (`first_choice`), then the words are streamed.

It knows ids and texts, not conversations.
"""

import queue
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hearten.core.chat import Sampling
from hearten.core.errors import Failure

REMEMBERED = 4096
"""Ids that the repetition penalty looks back on: a whole chat, as in `decode`; llama.cpp's default is 64."""
BAN = -1e9
FAVOUR = 200.0
"""Logit shifts that leave, or remove, a token for certain."""


class Engine:
    """One GGUF model, ready to answer from several threads.

    Args:
        gguf: the model file.
        context: ids one conversation may hold.
        slots: conversations that are answered at the same time.
        threads: processor threads; leave one free when a web server runs beside it.
    """

    def __init__(
        self, gguf: Path, *, context: int = 4096, slots: int = 1, threads: int | None = None
    ) -> None:
        try:
            import xllamacpp
        except ImportError:
            raise Failure("the chat engine is not installed", fix='pip install "hearten[lm]"') from None
        settings = xllamacpp.CommonParams()
        settings.model.path = str(gguf)
        settings.n_ctx = context * slots
        settings.n_parallel = slots
        settings.verbosity = -1
        settings.warmup = False
        if threads:
            settings.cpuparams.n_threads = threads
            settings.cpuparams_batch.n_threads = threads
        self.context = context
        self._server = xllamacpp.Server(settings)

    def first_choice(self, prompt: Sequence[int], allowed: Sequence[int]) -> np.ndarray:
        """P(token) at the first position over the `allowed` ids alone, in their order; sums to 1."""
        answer = self._server.handle_completions(
            {
                "prompt": list(prompt),
                "max_tokens": 1,
                "logprobs": len(allowed),
                "n_probs": len(allowed),
                "post_sampling_probs": True,
                "logit_bias": [[token, FAVOUR] for token in allowed],
                "samplers": ["temperature"],
                "temperature": 1.0,
                "cache_prompt": True,
            }
        )
        rows = _checked(answer)["choices"][0]["logprobs"]["content"][0]["top_probs"]
        found = {row["id"]: row["prob"] for row in rows}
        chances = np.array([found.get(token, 0.0) for token in allowed])
        share: np.ndarray = chances / max(chances.sum(), 1e-12)
        return share

    def stream(
        self, prompt: Sequence[int], sampling: Sampling, *, banned: Sequence[int] = ()
    ) -> Iterator[str]:
        """Pieces of the reply as they are made; the pieces joined are the reply."""
        pieces: queue.Queue[Any] = queue.Queue()
        request = _request(prompt, sampling, banned) | {"stream": True}

        def work() -> None:
            try:
                self._server.handle_completions(request, pieces.put)
            except Exception as error:
                pieces.put({"error": {"message": str(error)}})
            pieces.put(None)

        worker = threading.Thread(target=work)  # not a daemon: leaving in the middle of native work aborts
        worker.start()
        try:
            while (piece := pieces.get()) is not None:
                for one in piece if isinstance(piece, list) else [piece]:
                    yield str(_checked(one)["choices"][0]["text"])
        finally:
            worker.join()  # a reader that stops early waits for the slot to be free

    def complete(self, prompt: Sequence[int], sampling: Sampling, *, banned: Sequence[int] = ()) -> str:
        """The whole reply at once."""
        answer = _checked(self._server.handle_completions(_request(prompt, sampling, banned)))
        return str(answer["choices"][0]["text"])


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
        "cache_prompt": True,
    }
    if sampling.seed is not None:
        request["seed"] = sampling.seed
    return request


def _checked(answer: Any) -> Any:
    """The engine's answer, or its complaint as a `Failure`."""
    if isinstance(answer, dict) and "error" in answer:
        message = answer["error"].get("message", answer["error"])
        raise Failure(
            f"the chat engine refused: {message}", fix="a shorter conversation, or a larger context"
        )
    return answer
