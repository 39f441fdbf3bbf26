"""The words two conversations share, as sets of three-word runs: what every comparison of them counts.

Likeness is the Jaccard index of two such sets. `data` compares every two conversations of a corpus exactly;
`augment` looks for what a new one resembles. Both must mean the same by "near".
"""

import re

from hearten.core.conversation import Conversation

WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)?")
SHINGLE = 3
NEAR = 0.3
"""Jaccard from which two conversations count as near-duplicates: unrelated ones stay under 0.05."""

Shingle = tuple[str, ...]


def words(text: str) -> list[str]:
    """Lower-cased words, apostrophes kept inside."""
    return WORD.findall(text.casefold())


def shingles(conversation: Conversation) -> set[Shingle]:
    """Three-word runs inside turns; a turn of one or two words is a shingle by itself."""
    found: set[Shingle] = set()
    for turn in conversation.turns:
        said = words(turn.text)
        found.update(tuple(said[i : i + SHINGLE]) for i in range(max(1, len(said) - SHINGLE + 1)))
    return found - {()}
