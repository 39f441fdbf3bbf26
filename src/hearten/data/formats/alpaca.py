"""Instruction records with a history: `{"instruction", "input", "output", "history": [[user, reply], …]}`.

Third parties pass ExTES and others on in this layout, without strategies. Read only.
"""

from collections.abc import Iterator
from typing import Any

from hearten.core.conversation import Role
from hearten.core.errors import Failure
from hearten.data.formats.draft import Draft, Format, Raw, clean, present, require
from hearten.data.source import Source


def recognise(source: Source) -> bool:
    """A record has an instruction and an output."""
    return {"instruction", "output"} <= source.first_record.keys()


def records(source: Source) -> Iterator[Raw]:
    """One record a conversation."""
    return source.records()


def draft(record: Any, number: int) -> Draft:
    """History first, then the instruction and its output."""
    pairs = [
        *(record.get("history") or ()),
        [require(record, "instruction", str), require(record, "output", str)],
    ]
    turns = [turn for n, pair in enumerate(pairs, 1) for turn in _exchange(pair, n)]
    profile = present(situation=record.get("input"))
    return {"id": f"dialogue-{number:05d}", "source": "unknown", "profile": profile, "turns": turns}


def _exchange(pair: Any, number: int) -> Iterator[Draft]:
    """What both said; an empty first message means that the supporter opened."""
    where = f"exchange {number}"
    if not isinstance(pair, list) or len(pair) != 2:
        raise Failure("a history entry is not [user, reply]", where=where)
    if not (number == 1 and pair[0] == ""):
        yield {"speaker": Role.SEEKER, "text": clean(pair[0], where)}
    yield {"speaker": Role.SUPPORTER, "text": clean(pair[1], where)}


ALPACA = Format("alpaca", "instruction records with a history", recognise, records, draft)
