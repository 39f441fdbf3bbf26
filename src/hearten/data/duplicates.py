"""Conversations that say the same: exactly, or nearly by the words they share.

Likeness of two conversations is the Jaccard index of their sets of three-word shingles, computed exactly:
shared shingles are counted by a sparse matrix product, block by block, which takes about a second for
ESConv and needs no hashing tricks up to some ten thousand conversations.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from hearten.core.conversation import Conversation
from hearten.core.shingles import NEAR, Shingle, shingles, words

Ints = NDArray[np.int64]
SENTENCE_END = re.compile(r"(?<=[.!?])\s+")
BLOCK = 256


@dataclass(frozen=True)
class Pair:
    """Two conversations and how alike they are."""

    first: str
    second: str
    similarity: float
    """Jaccard index of their shingles, 0 to 1."""


def exact_duplicates(conversations: Sequence[Conversation]) -> list[Pair]:
    """Each conversation whose speakers and words repeat an earlier one's, with that one."""
    first: dict[tuple[tuple[str, tuple[str, ...]], ...], str] = {}
    found = []
    for conversation in conversations:
        key = tuple((turn.speaker.value, tuple(words(turn.text))) for turn in conversation.turns)
        if key in first:
            found.append(Pair(first[key], conversation.id, 1.0))
        first.setdefault(key, conversation.id)
    return found


@dataclass(frozen=True)
class Likeness:
    """What comparing every two conversations found."""

    near: tuple[Pair, ...]
    """Pairs at or above the threshold, most alike first; exact duplicates among them."""
    closest: tuple[Pair, ...]
    """The most alike pairs, whatever their likeness: how close a corpus comes to repeating itself."""


def likeness(conversations: Sequence[Conversation], near: float = NEAR, closest: int = 5) -> Likeness:
    """Compare every two conversations."""
    matrix, sizes = _membership(conversations)
    names = [conversation.id for conversation in conversations]
    found = [
        Pair(names[i], names[j], round(value, 4)) for i, j, value in _alike(matrix, sizes, near, closest)
    ]
    found.sort(key=lambda pair: (-pair.similarity, pair.first, pair.second))
    return Likeness(tuple(pair for pair in found if pair.similarity >= near), tuple(found[:closest]))


def _membership(conversations: Sequence[Conversation]) -> tuple[sparse.csr_matrix, Ints]:
    """(conversation × shingle) with ones, and each conversation's number of shingles."""
    columns: defaultdict[Shingle, int] = defaultdict(lambda: len(columns))
    indices: list[int] = []
    ends = [0]
    for conversation in conversations:
        indices.extend(columns[shingle] for shingle in shingles(conversation))
        ends.append(len(indices))
    ones = np.ones(len(indices), dtype=np.int32)
    shape = (len(conversations), max(1, len(columns)))
    matrix = sparse.csr_matrix((ones, np.array(indices, dtype=np.int64), np.array(ends)), shape=shape)
    return matrix, np.diff(np.array(ends))


def _alike(
    matrix: sparse.csr_matrix, sizes: Ints, near: float, closest: int
) -> Iterator[tuple[int, int, float]]:
    """(i, j > i, Jaccard) of every near pair, and of at least the `closest` pairs of each block of rows."""
    across = matrix.T.tocsr()
    for start in range(0, matrix.shape[0], BLOCK):
        shared = (matrix[start : start + BLOCK] @ across).tocoo()
        rows = shared.row + start
        later = shared.col > rows
        rows, columns, both = rows[later], shared.col[later], shared.data[later]
        jaccard = both / (sizes[rows] + sizes[columns] - both)
        floor = np.partition(jaccard, -closest)[-closest] if len(jaccard) > closest else 0.0
        for k in np.flatnonzero(jaccard >= min(near, floor)):
            yield int(rows[k]), int(columns[k]), float(jaccard[k])


def repeated_openings(conversations: Sequence[Conversation], count: int = 10) -> list[tuple[str, int]]:
    """The first sentences with which most conversations open, (sentence, how many), repeated ones only."""
    openings = Counter(_opening(conversation) for conversation in conversations if conversation.turns)
    return [(sentence, times) for sentence, times in openings.most_common(count) if times > 1]


def _opening(conversation: Conversation) -> str:
    first = SENTENCE_END.split(conversation.turns[0].text)[0]
    return " ".join(words(first)) or first
