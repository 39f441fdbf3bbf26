"""Which strategy an earlier reply stood under, for callers that send back only its words.

The API is stateless: the caller returns the conversation as plain text. A trained system has learned that a
strategy stands before each supporter turn, and its prompt cache holds that token; so what we said is
remembered by a hash of the conversation up to it. No text is kept.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Sequence

from hearten.core.conversation import Role, Turn
from hearten.core.taxonomy import LabelSet

REMEMBERED = 16_384
"""Replies whose strategy is kept."""


class Recall:
    """Hash of a conversation that ends with a reply → the reply's strategy."""

    def __init__(self, remembered: int = REMEMBERED) -> None:
        self._remembered = remembered
        self._names: OrderedDict[bytes, str] = OrderedDict()

    def keep(self, turns: Sequence[Turn]) -> None:
        """Remember the strategy of the last turn, if it has one."""
        if turns and turns[-1].strategy is not None:
            self._names[_digests(turns)[-1]] = turns[-1].strategy.name
            while len(self._names) > self._remembered:
                self._names.popitem(last=False)

    def fill(self, turns: Sequence[Turn], labels: LabelSet) -> tuple[Turn, ...]:
        """The turns, with the strategies that we remember."""
        return tuple(
            turn.model_copy(update={"strategy": labels.find(self._names[digest])})
            if turn.speaker is Role.SUPPORTER and turn.strategy is None and digest in self._names
            else turn
            for turn, digest in zip(turns, _digests(turns), strict=True)
        )


def _digests(turns: Sequence[Turn]) -> list[bytes]:
    """A hash of the conversation up to each turn."""
    running, found = hashlib.sha256(), []
    for turn in turns:
        running.update(f"{turn.speaker}\0{turn.text.strip()}\0".encode("utf-8", "replace"))
        found.append(running.copy().digest())
    return found
