"""The words a text turns on: its content words, the rarest in ordinary speech first.

A keyword is a word that is no function word, at least three letters long. Rarity is counted on a corpus
given with `Keywords.learn` (inverse document frequency over turns); without one, longer words come first.
Nothing is reduced to a root form: a supporter can say the word back as it was said.
"""

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from importlib.resources import files

LIMIT = 5
_WORD = re.compile(r"[a-z]+(?:['’-][a-z]+)*")


@cache
def function_words() -> frozenset[str]:
    """Words that carry no topic (our own list, `tables/function_words.txt`)."""
    text = (files("hearten.knowledge") / "tables" / "function_words.txt").read_text(encoding="utf-8")
    return frozenset(text.split())


def content_words(text: str) -> list[str]:
    """The words of a text that are no function words, in lower case, in order, doubles kept."""
    words = (word.replace("’", "'") for word in _WORD.findall(text.lower()))
    return [word for word in words if len(word) > 2 and word.split("'")[0] not in function_words()]


class Keywords:
    """Chooses the keywords of texts."""

    def __init__(self, frequencies: Mapping[str, int] | None = None, texts: int = 0) -> None:
        self._seen, self._texts = dict(frequencies or {}), texts

    @classmethod
    def learn(cls, texts: Iterable[str]) -> "Keywords":
        """Count in how many of `texts` each word stands."""
        counts: Counter[str] = Counter()
        total = 0
        for text in texts:
            counts.update(set(content_words(text)))
            total += 1
        return cls(counts, total)

    def rarity(self, word: str) -> float:
        """Inverse document frequency, smoothed; without a corpus, a word's length."""
        if not self._texts:
            return float(len(word))
        return math.log((1 + self._texts) / (1 + self._seen.get(word, 0)))

    def choose(self, texts: Sequence[str], limit: int = LIMIT) -> list[list[str]]:
        """At most `limit` keywords of each text, the highest count × rarity first."""
        chosen = []
        for text in texts:
            counts = Counter(content_words(text))
            order = sorted(counts, key=lambda word: (-counts[word] * self.rarity(word), word))
            chosen.append(order[:limit])
        return chosen
