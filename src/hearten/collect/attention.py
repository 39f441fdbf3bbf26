"""Is a supporter paying attention? Copied tutorial sentences and perfunctory messages are noticed.

ESConv's platform told supporters not to copy the examples and that it would see perfunctory behaviour (Figure
8 d); how it looked is not published. Ours: a message is *copied* when most of its word triples occur in one
taught sentence; *repeated* when the same words were sent before in this chat; *short* when three messages in
a row have fewer than three words. Flags are shown to the sender at once, stored with the message, and counted
for the leader; nothing is blocked.
"""

import re
from collections.abc import Sequence
from functools import lru_cache

COPIED_SHARE = 0.7
"""Share of a message's word triples that must stand in one taught sentence."""
SHORT_WORDS = 3
SHORT_RUN = 3


@lru_cache(maxsize=8192)
def words(text: str) -> tuple[str, ...]:
    """Lower-case words, punctuation aside."""
    return tuple(re.findall(r"[\w'’]+", text.casefold()))


def triples(text: str) -> frozenset[tuple[str, ...]]:
    """The word triples of a text; of a text of fewer than five words none, for greetings are everyone's."""
    found = words(text)
    return frozenset(zip(found, found[1:], found[2:], strict=False)) if len(found) >= 5 else frozenset()


class Attention:
    """Looks at messages with one tutorial's sentences in mind."""

    def __init__(self, taught: Sequence[str]) -> None:
        self._taught = [grams for grams in map(triples, taught) if grams]
        self._anywhere = frozenset().union(*self._taught)

    def copied(self, text: str) -> bool:
        """Whether `text` is (mostly) a taught sentence."""
        grams = triples(text)
        enough = COPIED_SHARE * len(grams)
        if not grams or len(grams & self._anywhere) < enough:
            return False
        return any(len(grams & known) >= enough for known in self._taught)

    def flags(self, text: str, earlier: Sequence[str]) -> tuple[str, ...]:
        """What is wrong with `text`, given the same person's `earlier` messages in order."""
        found = ["copied"] if self.copied(text) else []
        if len(words(text)) >= SHORT_WORDS and words(text) in [words(other) for other in earlier]:
            found.append("repeated")
        run = [*earlier, text][-SHORT_RUN:]
        if len(run) == SHORT_RUN and all(len(words(other)) < SHORT_WORDS for other in run):
            found.append("short")
        return tuple(found)
