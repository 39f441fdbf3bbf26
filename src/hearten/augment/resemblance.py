"""Whether a conversation is too near to one there is: the seeds, the test sets, all that was accepted before.

MinHash finds who might be near without comparing everyone with everyone; then the Jaccard index of three-word
runs is computed exactly, so a verdict never depends on a hash. With 64 bands of 2 rows a pair of Jaccard 0.3
is found with probability 1 - (1 - 0.3²)⁶⁴ = 0.998, and one unrelated pair (0.01) in 157 is looked at in vain.

Not thread-safe: whoever judges does so in order, which is also what makes a resumed run end the same.
"""

from collections.abc import Iterable
from hashlib import blake2b
from typing import NamedTuple

import numpy as np
from datasketch import MinHash, MinHashLSH

from hearten.core.conversation import Conversation
from hearten.core.shingles import NEAR, shingles

BANDS, ROWS = 64, 2
Hashes = frozenset[int]


class Near(NamedTuple):
    """The nearest conversation known."""

    id: str
    similarity: float
    """Jaccard index of three-word runs, 0 to 1."""


class Index:
    """Conversations that others are compared with."""

    def __init__(self, known: Iterable[Conversation] = ()) -> None:
        self._lsh = MinHashLSH(num_perm=BANDS * ROWS, params=(BANDS, ROWS))
        self._hashes: dict[str, Hashes] = {}
        for conversation in known:
            self.add(conversation)

    def __len__(self) -> int:
        return len(self._hashes)

    def add(self, conversation: Conversation, name: str = "") -> None:
        """Know this conversation from now on; one of the same name is known already."""
        name = name or conversation.id
        if name not in self._hashes:
            self._hashes[name] = hashes(conversation)
            self._lsh.insert(name, _signature(self._hashes[name]))

    def nearest(self, conversation: Conversation, threshold: float = NEAR) -> Near | None:
        """The most alike conversation known, if it is at or above `threshold`."""
        own = hashes(conversation)
        names = self._lsh.query(_signature(own))
        found = [Near(name, jaccard(own, self._hashes[name])) for name in names]
        best = max(found, key=lambda near: (near.similarity, near.id), default=None)
        return best if best is not None and best.similarity >= threshold else None


def hashes(conversation: Conversation) -> Hashes:
    """Four bytes for each three-word run, the same in every process."""
    return frozenset(
        int.from_bytes(blake2b("\x1f".join(run).encode(), digest_size=4).digest(), "little")
        for run in shingles(conversation)
    )


def jaccard(one: Hashes, other: Hashes) -> float:
    """Shared runs over all runs; 0 where there are none."""
    both = len(one & other)
    return both / (len(one) + len(other) - both or 1)


def _signature(found: Hashes) -> MinHash:
    signature = MinHash(num_perm=BANDS * ROWS, seed=1, hashfunc=int)
    if found:
        signature.update_batch(np.fromiter(found, dtype=np.uint64).tolist())
    return signature
