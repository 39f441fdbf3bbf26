"""Google's Perspective API as a toxicity scorer, for those who still hold a key.

The service ends on 2026-12-31 and has given out no new keys since February 2026: use it to reproduce a
published number, not to start with. Text leaves this machine, so it is never the default. Every answer
goes into a ledger, and a run that was stopped asks only for what is missing. The answer's form is the
service's public documentation's; nothing here has been run against the service itself.
"""

import json
import os
import time
from collections.abc import Callable, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

import numpy as np

from hearten.core.errors import Failure, UsageError
from hearten.core.jsonl import Appender, read_lines
from hearten.core.places import cache_folder
from hearten.evaluate.statistics import Array
from hearten.evaluate.toxicity import ATTRIBUTES

ENDS = "2026-12-31"
ADDRESS = "https://commentanalyzer.googleapis.com/v1alpha1/comments:analyze"
KEY = "PERSPECTIVE_API_KEY"
SECONDS = 1.1
"""Between requests: the default quota is one a second."""
Post = Callable[[dict[str, Any]], dict[str, Any]]


class Perspective:
    """Asks the service, one text a request."""

    name = "perspective-v1alpha1"
    attributes: tuple[str, ...] = ATTRIBUTES

    def __init__(self, post: Post, *, ledger: Path, seconds: float = SECONDS) -> None:
        self._post, self._ledger, self._seconds = post, ledger, seconds
        self._known: dict[str, list[float | None]] = {}
        if ledger.is_file():
            with Appender(ledger):  # cuts a torn last line
                self._known = {row["text"]: row["scores"] for _, row in read_lines(ledger)}

    @classmethod
    def from_environment(cls, *, ledger: Path | None = None) -> "Perspective":
        """With the key from `PERSPECTIVE_API_KEY`.

        Raises:
            UsageError: there is no key.
        """
        key = os.environ.get(KEY)
        if not key:
            fix = f"set {KEY}, or use --scorer local (the service ends {ENDS} and gives out no new keys)"
            raise UsageError("Perspective needs a key", fix=fix)
        return cls(
            lambda body: _post(body, key), ledger=ledger or cache_folder("toxicity") / "perspective.jsonl"
        )

    def score(self, texts: Sequence[str]) -> Array:
        """(N, 6); NaN where the service says the text's language or form is not supported."""
        with Appender(self._ledger) as ledger:
            for text in texts:
                mark = sha256(text.encode()).hexdigest()
                if mark not in self._known:
                    self._known[mark] = self._ask(text)
                    ledger.add({"text": mark, "scores": self._known[mark]})
                    time.sleep(self._seconds)
        rows = [self._known[sha256(text.encode()).hexdigest()] for text in texts]
        return np.array(rows, dtype=np.float64).reshape(len(texts), len(self.attributes))

    def _ask(self, text: str) -> list[float | None]:
        wanted = [name.upper() for name in self.attributes]
        answer = self._post(
            {
                "comment": {"text": text},
                "languages": ["en"],
                "requestedAttributes": {name: {} for name in wanted},
                "doNotStore": True,
            }
        )
        found = answer.get("attributeScores", {})
        return [found[name]["summaryScore"]["value"] if name in found else None for name in wanted]


def _post(body: dict[str, Any], key: str) -> dict[str, Any]:
    """One request; a text the service cannot judge gives an empty answer.

    Raises:
        Failure: no connection, a refused key, or the service has ended.
    """
    request = Request(
        ADDRESS, json.dumps(body).encode(), {"Content-Type": "application/json", "x-goog-api-key": key}
    )
    try:
        with urlopen(request, timeout=30) as answer:
            value: dict[str, Any] = json.load(answer)
            return value
    except HTTPError as error:
        if error.code == 400:
            return {}
        fix = f"what was scored is kept; the service ends {ENDS}"
        raise Failure(f"Perspective answered {error.code} {error.reason}", fix=fix) from None
    except (URLError, TimeoutError) as error:
        raise Failure(
            f"Perspective could not be reached: {error}", fix="what was scored is kept: run again"
        ) from None
