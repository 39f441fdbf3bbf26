"""Labelled replies from the public corpora that Muffin trains its rater on.

EPITOME (Sharma et al. 2020) marks three empathy mechanisms in three files whose rows are the same pairs;
the facet is the strongest of the three, and a reply that gives what was asked for is not empty of empathy
(Muffin, Appendix A.1; there GPT-4 and people decided, here the phrases of `tables/edits.toml` do). MI Gold
(Welivita and Pu 2022) labels sentences with motivational-interviewing codes, without their context;
CounselChat's labels are a program's and only ever train.

Rows that cannot be used are counted by reason; a label nobody knows stops the work.
"""

import csv
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import cache
from importlib.resources import files
from pathlib import Path
from tomllib import loads
from typing import Any

from hearten.align.records import FacetItem, seeker
from hearten.core.errors import Failure, nearest
from hearten.core.jsonl import open_text
from hearten.core.rater import facet
from hearten.core.taxonomy import labels

MECHANISMS = ("emotional-reactions", "interpretations", "explorations")
ADHERENT = {"Advise with Permission", "Affirm", "Emphasize Autonomy", "Support"}
NON_ADHERENT = {"Advise without Permission", "Confront", "Direct", "Warn"}
"""MITI codes 5–8 and 9–12; every other code is Other (Muffin, Figure 7)."""


@cache
def tables() -> dict[str, Any]:
    """The word tables of `tables/edits.toml`."""
    return loads((files("hearten.align") / "tables" / "edits.toml").read_text(encoding="utf-8"))


@cache
def _pattern(name: str) -> re.Pattern[str]:
    return re.compile(rf"\b(?:{'|'.join(tables()[name])})\b", re.IGNORECASE)


def asked_for(post: str, reply: str) -> bool:
    """Whether the post asks for ideas or information and the reply gives some."""
    if _pattern("harm").search(post):
        return False  # what is asked for may be a way to die: no reply is helpful for giving that
    return bool(_pattern("asked").search(post) and _pattern("gives").search(reply))


def _rows(path: Path, wanted: Iterable[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """(line, row) of a CSV file that has the `wanted` columns."""
    csv.field_size_limit(2**24)
    with open_text(path) as stream:
        reader = csv.DictReader(stream)
        missing = [name for name in wanted if name not in (reader.fieldnames or ())]
        if missing:
            fix = nearest(missing[0], reader.fieldnames or ())
            raise Failure(f"there is no column '{missing[0]}'", where=str(path), fix=fix)
        for row in reader:
            yield reader.line_num, row


def epitome(folder: Path, skipped: Counter[str], *, asked: bool = True) -> list[FacetItem]:
    """Empathy items of EPITOME's Reddit part.

    Args:
        folder: holds the three `*-reddit.csv` files, plain or `.gz`.
        skipped: counts what was left out, by reason.
        asked: count a reply that gives what the post asks for as weak empathy.

    Raises:
        Failure: a file is missing or misses a column, a level is not 0, 1 or 2, or the rows differ.
    """
    parts = [list(_rows(_found(folder, name), _EPITOME)) for name in MECHANISMS]
    if len({len(part) for part in parts}) > 1:
        raise Failure("the three EPITOME files have different numbers of rows", where=str(folder))
    best: dict[tuple[str, str], tuple[int, str, str]] = {}
    for rows in zip(*parts, strict=True):
        keys = {(row["sp_id"], row["rp_id"]) for _, row in rows}
        line, first = rows[0]
        if len(keys) > 1:
            raise Failure("the three EPITOME files do not hold the same pairs", where=f"line {line}")
        (key,) = keys
        level = max(
            _level(row["level"], folder, name, at) for name, (at, row) in zip(MECHANISMS, rows, strict=True)
        )
        if not first["seeker_post"].strip() or not first["response_post"].strip():
            skipped["empathy: empty text"] += 1
            continue
        if key in best:
            skipped["empathy: pair repeated, higher level kept"] += 1
            level = max(level, best[key][0])
        best[key] = (level, first["seeker_post"], first["response_post"])
    return [_empathy(key, *found, asked=asked) for key, found in best.items()]


_EPITOME = ("sp_id", "rp_id", "seeker_post", "response_post", "level")


def _found(folder: Path, mechanism: str) -> Path:
    plain = folder / f"{mechanism}-reddit.csv"
    return plain if plain.is_file() else plain.with_name(plain.name + ".gz")


def _level(value: str, folder: Path, mechanism: str, line: int) -> int:
    if value not in ("0", "1", "2"):
        raise Failure(
            f"unknown empathy level '{value}'",
            where=f"{folder}, {mechanism}, line {line}",
            fix="a level is 0 (none), 1 (weak) or 2 (strong)",
        )
    return int(value)


def _empathy(key: tuple[str, str], level: int, post: str, reply: str, *, asked: bool) -> FacetItem:
    given = asked and level == 0 and asked_for(post, reply)
    return FacetItem(
        id=f"epitome-{key[0]}-{key[1]}",
        facet="empathy",
        context=(seeker(post),),
        reply=reply,
        label=facet("empathy").classes[1 if given else level],
        source="epitome-asked" if given else "epitome",
        group=f"epitome-{key[0]}",
    )


def mi_gold(path: Path, skipped: Counter[str]) -> list[FacetItem]:
    """Skill items of MI Gold: single sentences with a human MITI code.

    Raises:
        Failure: the file misses a column, or a code is unknown.
    """
    items = []
    for line, row in _rows(path, ("Text", "Ground truth")):
        text = row["Text"].strip()
        if not text:
            skipped["skill: empty text"] += 1
            continue
        label = skill_of(row["Ground truth"], where=f"{path}, line {line}")
        items.append(_skill(f"mi-{line}", text, label, "mi", group=f"mi-{text.casefold()}"))
    return items


def counselchat(path: Path, skipped: Counter[str]) -> list[FacetItem]:
    """Skill items of CounselChat whose automatic codes agree on one of the three classes: weak labels."""
    wanted = ("dialog_id", "author", "text", _UNION)
    items = []
    for line, row in _rows(path, wanted):
        if row["author"] != "listener" or not row["text"].strip():
            continue
        if not row[_UNION]:
            skipped["skill: CounselChat sentence without one label"] += 1
            continue
        label = skill_of(row[_UNION], where=f"{path}, line {line}")
        items.append(
            _skill(f"counselchat-{line}", row["text"].strip(), label, "counselchat", group=row["dialog_id"])
        )
    return items


_UNION = "Union (without disambiguities)"


def skill_of(code: str, *, where: str) -> str:
    """The skill class of a MITI code.

    Raises:
        Failure: the code is unknown.
    """
    known = labels("miti").names
    if code not in known:
        raise Failure(
            f"unknown motivational-interviewing code '{code}'", where=where, fix=nearest(code, known)
        )
    adherent, non_adherent, other = facet("skill").classes
    return adherent if code in ADHERENT else non_adherent if code in NON_ADHERENT else other


def _skill(name: str, text: str, label: str, source: str, group: str) -> FacetItem:
    return FacetItem(
        id=name,
        facet="skill",
        context=(),
        reply=text,
        label=label,
        source=source,
        group=group,
        weak=source == "counselchat",
    )
