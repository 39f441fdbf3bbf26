"""Sentence vectors of many texts, made once: what trains on a corpus reads them from the cache.

A set of texts is named by a hash of all of them and of the layers read, and cut into chunks, each a file of
half-precision numbers. A stop loses the chunk it was at; the same call goes on from there.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from hearten.core.jsonl import replacing
from hearten.core.places import cache_folder
from hearten.core.progress import progress
from hearten.knowledge.emotion import Floats

CHUNK = 4096
"""Texts a file."""


def kept_vectors(name: str, texts: Sequence[str], layers: Sequence[int], *, quiet: bool = False) -> Floats:
    """(N, 384 · layers) unit vectors, each layer's part by itself; see `lm.embed`.

    Args:
        name: what the texts are, in a word; it begins the files' names.
        texts: any texts; the same ones in the same order are found again.
        layers: of the sentence encoder.
        quiet: no progress bar.
    """
    from hearten.lm.embed import embed

    files = _files(name, texts, layers)
    starts = range(0, len(texts), CHUNK)
    left = [(file, start) for file, start in zip(files, starts, strict=True) if not file.is_file()]
    done = CHUNK * (len(files) - len(left))
    with progress(
        f"vectors of {name}", len(texts), done=min(done, len(texts)), quiet=quiet or not left
    ) as bar:
        for file, start in left:
            vectors = embed(texts[start : start + CHUNK], layers=layers).astype(np.float16)
            with replacing(file, "wb") as stream:
                np.save(stream, vectors)
            bar.advance(len(vectors))
    found: Floats = np.concatenate([np.load(file) for file in files]).astype(np.float32)
    return found


def _files(name: str, texts: Sequence[str], layers: Sequence[int]) -> list[Path]:
    """One file a chunk, named by everything that its numbers depend on."""
    told = hashlib.sha256(f"{tuple(layers)}".encode())
    for text in texts:
        told.update(text.encode() + b"\0")
    folder, count = cache_folder("vectors"), -(-len(texts) // CHUNK)
    return [folder / f"{name}-{told.hexdigest()[:12]}-{number:03d}.npy" for number in range(count)]
