"""How the model itself spelt what it said.

One text can be cut into ids in several ways. A model that writes id by id does not always choose the way its
tokenizer would (often it begins with a space that no reply keeps). A prompt cache knows ids, not words: at
the first id that differs, the rest of the conversation is read again. `Spellings` keeps the ids of replies
as they were written, so that the next prompt can say them the same way. A text that was changed since, or
written before the last few thousand, is spelt as the tokenizer does it; the words are the same either way.
"""

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from hearten.core.chat import Piece

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

REMEMBERED = 4096
"""Replies whose ids are kept."""


class Spellings:
    """Text of a reply → the ids it was written in; may be used from several threads.

    Args:
        tokenizer: says what ids mean.
        end: the id that ends a turn, which is no part of a reply.
        remembered: replies that are kept.
    """

    def __init__(self, tokenizer: "PreTrainedTokenizerFast", end: int, remembered: int = REMEMBERED) -> None:
        self._tokenizer, self._end, self._remembered = tokenizer, end, remembered
        self._ids: OrderedDict[bytes, tuple[int, ...]] = OrderedDict()
        self._lock = threading.Lock()

    def find(self, text: str) -> tuple[int, ...] | None:
        """The ids of a reply that was written here; None of any other text."""
        with self._lock:
            return self._ids.get(_key(text))

    def listen(self, pieces: Iterable[Piece]) -> Iterator[Piece]:
        """The same pieces; how they were spelt is remembered when they end, or are not asked for any more."""
        text, ids = "", list[int]()
        try:
            for piece in pieces:
                text += piece.text
                ids += piece.ids
                yield piece
        finally:
            self.keep(text.strip(), ids)

    def keep(self, text: str, ids: Iterable[int]) -> None:
        """Remember the spelling of a text, if it is one."""
        spelt = tuple(one for one in ids if one != self._end)
        if not text or str(self._tokenizer.decode(list(spelt))).strip() != text:
            return
        with self._lock:
            self._ids[_key(text)] = spelt
            self._ids.move_to_end(_key(text))
            while len(self._ids) > self._remembered:
                self._ids.popitem(last=False)


def _key(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "replace")).digest()
