"""Words, word pairs and pieces of words as hashed counts: what a sentence vector blurs.

A vector says what a text is about; whether somebody writes of `pills` or `the pills`, and what a slip of
spelling was meant to be, stays better visible in the letters. Every run of one to three words and of three to
five letters of a word (its ends marked) falls in one of `SIZE` slots, by a checksum, so that there is no
vocabulary to ship.

The counts are damped (1 + log), weighted by rarity and brought to length 1: the usual tf-idf.
"""

import math
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

SIZE = 1 << 15
WORDS = (1, 2, 3)
LETTERS = (3, 4, 5)
MOST_WORDS = 400
"""Words read of one text; the pieces of a longer message are read as well, so nothing is lost."""


def grams(text: str) -> Iterator[str]:
    """Runs of words (they start with a space), then runs of letters in each word (its ends are ^ and $)."""
    words = text.split()[:MOST_WORDS]
    for length in WORDS:
        for start in range(len(words) - length + 1):
            yield " " + " ".join(words[start : start + length])
    for word in words:
        marked = f"^{word}$"
        for length in LETTERS:
            for start in range(len(marked) - length + 1):
                yield marked[start : start + length]


def slots(text: str) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Which slots a normalised text falls in, and the damped count of each."""
    counts = Counter(zlib.crc32(gram.encode()) % SIZE for gram in grams(text))
    damped = [1 + math.log(count) for count in counts.values()]
    return np.fromiter(counts, dtype=np.int64), np.array(damped, dtype=np.float32)


def sums(texts: Sequence[str], rarity: NDArray[Any], weights: NDArray[Any]) -> NDArray[np.float32]:
    """(N,) dot product of each text's unit-length tf-idf with `weights` (SIZE,)."""
    result = np.zeros(len(texts), dtype=np.float32)
    for row, text in enumerate(texts):
        where, counts = slots(text)
        values = counts * rarity[where]
        result[row] = values @ weights[where] / max(float(np.linalg.norm(values)), 1e-9)
    return result


def matrix(texts: Sequence[str]) -> tuple["csr_matrix", NDArray[np.float32]]:
    """(N, SIZE) unit-length tf-idf rows, and the rarity (SIZE,) learned from these texts."""
    from scipy.sparse import csr_matrix, diags

    cells = [slots(text) for text in texts]
    ends = np.cumsum([0, *(len(where) for where, _ in cells)])
    columns = np.concatenate([where for where, _ in cells])
    counts = csr_matrix((np.concatenate([n for _, n in cells]), columns, ends), (len(texts), SIZE))
    rarity = np.log((1 + len(texts)) / (1 + np.bincount(columns, minlength=SIZE))) + 1
    rarity = rarity.astype(np.float16).astype(np.float32)  # as it will be stored
    rows = counts @ diags(rarity)
    lengths = np.sqrt(np.asarray(rows.multiply(rows).sum(1)).ravel())
    return csr_matrix(diags(1 / np.maximum(lengths, 1e-9)) @ rows, dtype=np.float32), rarity
