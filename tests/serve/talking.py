"""A supporter with a script and a temper for the page's tests, and the app of `hearten serve` round it.

What the seeker says chooses what happens: at `stay` it begins and does not end for a minute unless it is
stopped, at `thunder` it fails, at `marmalade` it says what the output screen must take out, at `brackets` it
answers with markup. The host, the chain and the app are the real ones; run as a program, this file is a
server for the browser tests: `talking.py PORT [KEEP KEY_FILE]`.
"""

import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from hearten.core.conversation import Conversation
from hearten.core.records import FacetVerdict, Reply
from hearten.core.taxonomy import label_set

OPENINGS = (
    "You have been holding on to this for a while.",
    "It sounds as if you carry this alone.",
    "That is a lot for one day.",
    "I can hear how much this matters to you.",
)
UNSAFE = "You should stop taking your pills tonight."
HARM = '<img src=x onerror=alert(1)> <script>alert(2)</script> & "quoted" {{ 7 * 7 }}'


class Scripted:
    """The real interface; no model."""

    name = "scripted"

    def __init__(self, pause: float = 0.0) -> None:
        self.pause = pause
        self.heard: list[Conversation] = []

    def reply(self, conversation, *, strategy=None, n=1):
        return [list(self.stream(conversation, strategy=strategy))[-1]] * n

    def stream(self, conversation, *, strategy=None) -> Iterator[Reply]:
        self.heard.append(conversation)
        said = conversation.turns[-1].text
        strategies = label_set(conversation.label_set).strategies
        chosen = strategy or strategies[len(conversation.turns) // 2 % 3]
        beliefs = {row.name: 0.3 if row == chosen else 0.1 for row in strategies}
        text = self._text(said, len(self.heard))
        yield Reply(text="", strategy=chosen, probabilities=beliefs)
        if "thunder" in said:
            raise RuntimeError("the engine is gone")
        for end in [match.end() for match in re.finditer(r"\S+", text)]:
            time.sleep(self.pause)
            yield Reply(text=text[:end], strategy=chosen, probabilities=beliefs)
        for _ in range(600 if "stay" in said else 0):
            time.sleep(0.1)
            yield Reply(text=text, strategy=chosen, probabilities=beliefs)
        yield Reply(text=text, strategy=chosen, probabilities=beliefs, details=_details())

    def _text(self, said: str, number: int) -> str:
        if "marmalade" in said:
            return f"That sounds hard to carry. {UNSAFE} What would help tonight?"
        if "brackets" in said:
            return f"You wrote this. {HARM} What does it mean?"
        return f"{OPENINGS[number % len(OPENINGS)]} What weighs most right now?"


def _details() -> dict:
    raw = "unhelpful raw answer of the rater"
    return {
        "emotion": {"label": "sadness", "scores": {"sadness": 0.62, "anxiety": 0.21, "none": 0.1}},
        "verdicts": [FacetVerdict(facet="empathy", label="strong", helpful=True, raw=raw).model_dump()],
        "candidates": ["a text that was not chosen"],
    }


def server(folder: Path, supporter=None, *, at_once=4, queue=64, region=None, **page):
    """The app of `hearten serve` with a scripted supporter inside the real chain."""
    from hearten.app import serving
    from hearten.serve.keeping import PageSettings
    from hearten.serve.links import LinksConfig, build
    from hearten.serve.settings import ServeSettings
    from hearten.web.settings import Settings

    web = Settings(
        database=f"sqlite:///{folder / 'web.sqlite'}", forms_per_minute=100_000, tries_per_minute=100_000
    )
    links = LinksConfig(region=region)
    settings = ServeSettings(web=web, links=links, at_once=at_once, queue=queue, page=PageSettings(**page))
    return serving(settings, build(supporter or Scripted(), links))


def main() -> None:
    import tempfile

    import uvicorn

    from hearten.lm import embed

    embed.PACKAGE = "left_out_here"  # the crisis screen then works by its rules, and starts in no time
    port, *kept = sys.argv[1:]
    page = {"keep": Path(kept[0]), "key_file": Path(kept[1])} if kept else {}
    with tempfile.TemporaryDirectory() as folder:
        app = server(Path(folder), Scripted(0.02), at_once=2, queue=1, region="uk", **page)
        uvicorn.run(app, host="127.0.0.1", port=int(port), log_level="warning", timeout_graceful_shutdown=2)


if __name__ == "__main__":
    main()
