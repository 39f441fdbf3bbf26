"""Serving, measured from outside: first words, tokens per second, and who still gets an answer meanwhile.

`python benchmarks/serve.py` gives the embedded model strategy tokens, exports it to GGUF, and asks three ways
for the same conversations in the same run: the bare engine, `transformers.generate` in bf16, and a server of
its own process with the whole chain on, through its HTTP API. Goals, on two cores:

* one chat: first words in under 300 ms, at least 0.85 of the bare engine's tokens per second (each over a
  whole reply, prompt included);
* 16 chats at once: together at least the tokens per second of one chat, every first word within 3 s, and
  `/healthz` and the page still answering in under 100 ms.

Absolute times say something only on a quiet machine, so the load average is printed. `--quick` shows that the
script works, not a speed.
"""

import argparse
import http.client
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from hearten.core.chat import Sampling
from hearten.core.taxonomy import label_set
from hearten.data.seeds import seed_conversations
from hearten.lm.embedded import embedded_folder, quiet_libraries
from hearten.lm.engine import Engine, EngineConfig
from hearten.lm.render import Renderer
from hearten.lm.spelling import Spellings
from hearten.lm.waiting import sleep_soon

sleep_soon()
THREADS = 2
CONTEXT = 1024
LABELS = label_set("esconv")


@dataclass
class Turn:
    """What one request took, in seconds from its start."""

    first: float
    whole: float
    tokens: int
    text: str = ""

    @property
    def speed(self) -> float:
        """Tokens per second of the whole reply."""
        return self.tokens / self.whole


@dataclass
class Prober:
    """Asks for a path again and again and notes the longest wait."""

    port: int
    path: str
    waits: list[float] = field(default_factory=list)
    done: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> "Prober":
        self._thread = threading.Thread(target=self._ask)
        self._thread.start()
        return self

    def _ask(self) -> None:
        while not self.done.wait(0.1):
            start = time.perf_counter()
            line = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
            line.request("GET", self.path)
            assert line.getresponse().read() is not None
            line.close()
            self.waits.append(time.perf_counter() - start)

    def __exit__(self, *_: object) -> None:
        self.done.set()
        self._thread.join()

    @property
    def told(self) -> str:
        """The waits, for the table."""
        ordered = sorted(self.waits)
        median, late = statistics.median(ordered), ordered[int(0.95 * (len(ordered) - 1))]
        return f"median {1e3 * median:.0f} ms, p95 {1e3 * late:.0f} ms, longest {1e3 * ordered[-1]:.0f} ms"


def ask(port: int, messages: list[dict[str, str]], tokens: int) -> Turn:
    """One streamed reply over HTTP."""
    body = {
        "messages": messages,
        "stream": True,
        "max_tokens": tokens,
        "stream_options": {"include_usage": True},
    }
    start, first, text, count = time.perf_counter(), None, "", 0
    line = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    line.request("POST", "/v1/chat/completions", json.dumps(body), {"content-type": "application/json"})
    for event in events(line.getresponse()):
        for choice in event["choices"]:
            said = choice["delta"].get("content") or ""
            text += said
            first = first or (time.perf_counter() - start if said else None)
        if event.get("usage"):
            count = event["usage"]["completion_tokens"]
    line.close()
    whole = time.perf_counter() - start
    return Turn(first or whole, whole, count, text)


def events(answer: http.client.HTTPResponse) -> Iterator[dict]:
    assert answer.status == 200, answer.read()
    for raw in answer:
        if raw.startswith(b"data: {"):
            event = json.loads(raw[6:])
            assert "error" not in event, event
            yield event


def chat(port: int, asks: list[str], tokens: int) -> list[Turn]:
    """A conversation of several turns; every request carries what was said before, as a client's does."""
    messages: list[dict[str, str]] = []
    turns = []
    for text in asks:
        messages.append({"role": "user", "content": text})
        turns.append(ask(port, messages, tokens))
        messages.append({"role": "assistant", "content": turns[-1].text or "…"})
    return turns


def crowd(port: int, scripts: list[list[str]], tokens: int) -> tuple[list[Turn], float]:
    """Everybody at once; every turn, and the seconds it all took."""
    found: list[list[Turn]] = [[] for _ in scripts]

    def one(number: int) -> None:
        found[number] = chat(port, scripts[number], tokens)

    threads = [threading.Thread(target=one, args=(number,)) for number in range(len(scripts))]
    start = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [turn for row in found for turn in row], time.perf_counter() - start


def bare(engine: Engine, renderer: Renderer, asks: list[str], tokens: int, like: list[Turn]) -> list[Turn]:
    """The engine alone on the same questions, as many tokens a reply as the server made.

    It goes on from its own replies, which stand in its prompt cache as the server's stand in the server's.
    """
    from hearten.core.conversation import Profile, Role
    from hearten.core.conversation import Turn as Said

    said, turns, spellings = [], [], Spellings(renderer.tokenizer, renderer.end_id)
    renderer.spelt = spellings.find
    for text, served in zip(asks, like, strict=True):
        said.append(Said(speaker=Role.SEEKER, text=text))
        prompt = renderer.context(said, Profile())
        sampling = Sampling(temperature=0.7, max_tokens=max(1, served.tokens or tokens), seed=1)
        start, first = time.perf_counter(), None
        reply = ""
        pieces = engine.pieces(prompt, sampling, banned=[*renderer.strategy_ids, renderer.end_id])
        for piece in spellings.listen(pieces):
            first = first or time.perf_counter() - start
            reply += piece.text
        turns.append(Turn(first or 0.0, time.perf_counter() - start, sampling.max_tokens))
        said.append(Said(speaker=Role.SUPPORTER, text=reply.strip() or "…"))
    return turns


def by_transformers(model: object, renderer: Renderer, asks: list[str], tokens: int) -> Turn:
    """`generate` in bf16 on the conversation's last prompt."""
    import torch

    from hearten.core.conversation import Profile, Role
    from hearten.core.conversation import Turn as Said

    ids = torch.tensor([renderer.context([Said(speaker=Role.SEEKER, text=" ".join(asks))], Profile())])
    start = time.perf_counter()
    how = {"do_sample": False, "min_new_tokens": tokens, "max_new_tokens": tokens, "pad_token_id": 2}
    with torch.inference_mode():
        made = model.generate(ids, attention_mask=torch.ones_like(ids), **how)
    seconds = time.perf_counter() - start
    return Turn(seconds, seconds, made.shape[1] - ids.shape[1])


def scripts(number: int, turns: int) -> list[list[str]]:
    """What `number` seekers say, from the project's own conversations; none that the care path answers."""
    from hearten.core.conversation import Role
    from hearten.safety.notice import asks
    from hearten.safety.screen import screen

    found = []
    for talk in seed_conversations():
        said = [turn.text for turn in talk.turns if turn.speaker is Role.SEEKER][:turns]
        calm = not any(finding.crisis for finding in screen(said)) and not any(map(asks, said))
        if len(said) == turns and calm:
            found.append(said)
        if len(found) == number:
            return found
    return [found[place % len(found)] for place in range(number)]


def with_strategies() -> tuple[object, Renderer]:
    """The embedded model with a token for every strategy, as before training."""
    from hearten.lm.backbone import AdapterConfig, BackboneConfig, open_backbone

    backbone = open_backbone(BackboneConfig(adapter=AdapterConfig(kind="full")), LABELS)
    return backbone.model, backbone.renderer


def serve(gguf: Path, port: int, slots: int) -> None:
    """The child: the same file behind the whole chain and the real server."""
    import uvicorn
    from transformers import AutoTokenizer

    from hearten.app import serving
    from hearten.lm.decode import Decoding, StrategyPolicy
    from hearten.lm.hardware import one_thread
    from hearten.models.supporters import EngineSupporter
    from hearten.serve.links import LinksConfig, build
    from hearten.serve.settings import ServeSettings
    from hearten.web.settings import Settings

    quiet_libraries()
    one_thread()
    renderer = Renderer(AutoTokenizer.from_pretrained(embedded_folder()), LABELS)
    engine = Engine(gguf, EngineConfig(context=CONTEXT, slots=slots, threads=THREADS))
    supporter = EngineSupporter("bench", engine, renderer, Decoding(temperature=0.7), StrategyPolicy())
    supporter.warm()  # as `hearten serve` does
    web = Settings(port=port, database=f"sqlite:///{gguf.parent}/chats.sqlite")
    settings = ServeSettings(web=web, model="bench", at_once=slots, notices=False, requests_per_minute=10**6)
    app = serving(settings, build(supporter, LinksConfig()))
    uvicorn.run(app, port=port, log_level="warning", access_log=False)


def started(port: int, child: "subprocess.Popen[bytes]") -> None:
    while child.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.2)
    raise SystemExit("the server did not start")


def row(what: str, value: str, goal: str = "", good: bool | None = None) -> None:
    verdict = "" if good is None else "   held" if good else "   MISSED"
    print(f"  {what:<46} {value:<44} {goal}{verdict}")


def report(one: list[Turn], own: list[Turn], peer: list[Turn], many: list[Turn], seconds: float) -> None:
    first = statistics.median(turn.first for turn in one)
    speed, engine = (statistics.median(turn.speed for turn in turns) for turns in (one, own))
    row("one chat: first words, median", f"{1e3 * first:.0f} ms", "< 300 ms", first < 0.3)
    row("  the bare engine's first token", f"{1e3 * statistics.median(t.first for t in own):.0f} ms")
    row("one chat: tokens/s of whole replies", f"{speed:.1f}")
    row("  the bare engine's", f"{engine:.1f}; ratio {speed / engine:.2f}", ">= 0.85", speed >= 0.85 * engine)
    generate = statistics.median(turn.speed for turn in peer)
    row("  transformers.generate, bf16", f"{generate:.1f}; ratio {speed / generate:.2f}")
    total, latest = sum(turn.tokens for turn in many) / seconds, max(turn.first for turn in many)
    row(
        "all at once: tokens/s together",
        f"{total:.1f}; ratio to one {total / speed:.2f}",
        ">= 1",
        total >= speed,
    )
    row("all at once: latest first words", f"{latest:.2f} s", "< 3 s", latest < 3)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a smoke test: few chats, few tokens")
    parser.add_argument("--chats", type=int, default=16)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--tokens", type=int, default=40)
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.child:
        serve(Path(chosen.child[0]), int(chosen.child[1]), int(chosen.child[2]))
        return
    if chosen.quick:
        chosen.chats, chosen.turns, chosen.rounds, chosen.tokens = 3, 2, 1, 6
    with tempfile.TemporaryDirectory() as folder:
        measure(Path(folder), chosen)


def measure(folder: Path, chosen: argparse.Namespace) -> None:
    import torch

    from hearten.lm.gguf_export import export_gguf

    quiet_libraries()
    model, renderer = with_strategies()
    gguf = export_gguf(model, renderer.tokenizer, folder / "bench.gguf", quantisation="q8_0")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    child = subprocess.Popen(
        [sys.executable, __file__, "--child", str(gguf), str(port), str(chosen.chats)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    try:
        started(port, child)
        torch.set_num_threads(THREADS)
        engine = Engine(gguf, EngineConfig(context=CONTEXT, threads=THREADS))
        talks = scripts(chosen.chats + chosen.rounds + 1, chosen.turns)
        chat(port, talks[-1], 4)
        one, own, peer = [], [], []
        for talk in talks[chosen.chats : chosen.chats + chosen.rounds]:  # the ways take turns
            one += chat(port, talk, chosen.tokens)
            own += bare(engine, renderer, talk, chosen.tokens, one[-len(talk) :])
            peer.append(by_transformers(model.bfloat16(), renderer, talk, chosen.tokens))
        with Prober(port, "/healthz") as health, Prober(port, "/") as page:
            many, seconds = crowd(port, talks[: chosen.chats], chosen.tokens)
    finally:
        child.terminate()
        child.wait(30)
    load = os.getloadavg()[0]
    print(
        f"{chosen.rounds} conversations of {chosen.turns} turns, then {chosen.chats} at once; load {load:.1f}"
    )
    report(one, own, peer, many, seconds)
    for name, probe in (("/healthz", health), ("page", page)):
        row(f"all at once: {name}", probe.told, "< 100 ms", max(probe.waits) < 0.1)


if __name__ == "__main__":
    main()
