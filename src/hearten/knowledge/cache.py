"""One cache for all knowledge: what a text implies is asked once, whatever corpus it stands in.

An entry's key is a hash of the text; the file it stands in is named after the kind of knowledge and a hash
of whoever answers and how it was asked (model, format, decoding). So another model never finds another's
answers, and no text of a conversation is stored: only hashes and what was answered. A ledger that a killed
process left half written loses its last line and nothing else (`core.jsonl.Appender`).
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hearten.core.jsonl import Appender, cut_torn_line, read_lines
from hearten.core.places import cache_folder


def text_key(text: str) -> str:
    """Sixteen hex digits that name exactly this text."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


class KnowledgeCache:
    """Answers by text for one kind of knowledge from one answerer."""

    def __init__(self, kind: str, signature: str, folder: Path | None = None) -> None:
        """Open the ledger.

        Args:
            kind: such as `emotion`.
            signature: everything that could change an answer, as one line.
            folder: where the ledgers stand; the cache folder unless told otherwise.
        """
        stamp = hashlib.sha256(signature.encode()).hexdigest()[:12]
        self.file = (folder or cache_folder("knowledge")) / f"{kind}-{stamp}.jsonl"
        cut_torn_line(self.file)
        rows = read_lines(self.file) if self.file.is_file() else iter(())
        self._known: dict[str, Any] = {row["key"]: row["value"] for _, row in rows}

    def __contains__(self, text: str) -> bool:
        return text_key(text) in self._known

    def __getitem__(self, text: str) -> Any:
        return self._known[text_key(text)]

    def __len__(self) -> int:
        return len(self._known)

    def add(self, texts: Sequence[str], values: Sequence[Any]) -> None:
        """Keep the answers of a batch; each is durable when this returns."""
        with Appender(self.file) as ledger:
            for text, value in zip(texts, values, strict=True):
                key = text_key(text)
                self._known[key] = value
                ledger.add({"key": key, "value": value})
