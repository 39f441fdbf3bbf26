"""A model's reply → a conversation in ExTES's layout, mended where that is safe, with a note of every mend.

Readers are tried from strict to lenient: JSON, a Python dict, the turns picked out by their keys (which reads
broken quotes, missing brackets and replies that were cut off), lines of a transcript. A turn that was cut in
the middle is left out. Strategies get their canonical name: known aliases, then the nearest name; a greeting
or goodbye without one gets Others. What could not be mended is a complaint: the model may be asked again.
"""

import ast
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import zip_longest
from typing import Any

from hearten.augment.plan import LABEL_SET
from hearten.core.conversation import Conversation, Role
from hearten.core.errors import Failure
from hearten.core.extes import Said, turns_of
from hearten.core.taxonomy import label_set

FENCE = re.compile(r"^```[\w-]*[ \t]*\n|\n?```[ \t]*$", re.MULTILINE)
QUOTE = "[\"'“”‘’]"
KEYS = re.compile(
    rf"{QUOTE}(?P<key>AI[ _]strategy|scene|description|content|user|AI){QUOTE}\s*:\s*(?P<open>{QUOTE}?)",
    re.IGNORECASE,
)
CLOSED = re.compile(rf"(?<!\\){QUOTE}[\s,{{}}\[\]]*$")
"""How a value ends that was not cut off."""
LINE = re.compile(
    r"^\W*(?P<who>user|seeker|ai|assistant|supporter)\b\W*?(?:[(\[](?P<strategy>[^)\]]+)[)\]])?\s*:\W*\s(?P<text>.+)$",
    re.IGNORECASE | re.MULTILINE,
)
ESCAPE = re.compile(r"(?:\\u[0-9a-fA-F]{4})+|\\(.)", re.DOTALL)
ESCAPED = {"n": " ", "t": " ", "r": " "}
NUMBER = re.compile(r"^(?:AI strategy\s*:)?\s*\d{0,2}[.)]?\s*", re.IGNORECASE)
NEAR_NAME = 0.75
GREETING_ENDS = 1
"""Supporter turns at either end that may lack a strategy: greetings and goodbyes."""


@dataclass(frozen=True)
class Reading:
    """What a reply turned out to be."""

    turns: tuple[dict[str, Any], ...] = ()
    """Drafts of turns, as `Conversation` reads them."""
    scene: str = ""
    situation: str = ""
    mended: tuple[str, ...] = ()
    """What was put right in the form."""
    cut: bool = False
    """It ended in the middle."""
    renamed: tuple[str, ...] = ()
    """Strategies that got another name, or one at all."""
    unreadable: str = ""
    """Why there is no conversation at all."""
    unlabelled: tuple[str, ...] = ()
    """Supporter turns whose strategy is missing or unknown."""

    def conversation(self, identifier: str, scenario: str) -> Conversation:
        """The record; there must be turns."""
        profile = {"scenario": scenario} | ({"situation": self.situation} if self.situation else {})
        draft = {"id": identifier, "source": "hearten-augment", "label_set": LABEL_SET, "profile": profile}
        return Conversation.model_validate({**draft, "turns": list(self.turns)})


@dataclass(frozen=True)
class _Record:
    """One dialogue object and what was done to get it."""

    value: dict[str, Any]
    mended: tuple[str, ...] = ()
    cut: bool = False


def read(reply: str) -> Reading:
    """Read a reply; never raises."""
    record = _record(reply)
    if record is None:
        return Reading(unreadable="no conversation was found in it" if reply.strip() else "it is empty")
    said, lost = _said(record.value)
    mended = [*record.mended, *(f"{lost} unusable turns left out" for _ in range(bool(lost)))]
    if len(said) < 2:
        return Reading(unreadable="it holds fewer than two turns", mended=tuple(mended))
    turns, renamed, unlabelled = _labelled(said)
    fields = {str(key).strip().casefold(): value for key, value in record.value.items()}
    return Reading(
        turns=tuple(turns),
        scene=_plain(fields.get("scene")),
        situation=_plain(fields.get("description")),
        mended=tuple(mended),
        cut=record.cut,
        renamed=tuple(renamed),
        unlabelled=tuple(unlabelled),
    )


def _record(reply: str) -> _Record | None:
    bare = FENCE.sub("", reply).strip()
    start, end = bare.find("{"), bare.rfind("}")
    body = bare[start : end + 1] if 0 <= start < end else bare
    around = ("text around the object left out",) if body != bare else ()
    fenced = ("code fence removed",) if bare != reply.strip() else ()
    for reader in (_strict, _python):
        value = _dialogue(reader(body))
        if value is not None:
            notes = ("read as a Python dict",) if reader is _python else ()
            return _Record(value, (*fenced, *around, *notes))
    lenient: tuple[Callable[[str], _Record | None], ...] = (_by_keys, _transcript)
    found = next((record for read_it in lenient if (record := read_it(bare))), None)
    return None if found is None else _Record(found.value, (*fenced, *found.mended), found.cut)


def _strict(body: str) -> Any:
    try:
        return json.loads(body, strict=False)
    except (json.JSONDecodeError, RecursionError):
        return None


def _python(body: str) -> Any:
    try:
        return ast.literal_eval(body)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None


def _dialogue(value: Any, depth: int = 2) -> dict[str, Any] | None:
    """The object that has a list of turns, which models like to wrap."""
    if isinstance(value, list) and len(value) == 1:
        return _dialogue(value[0], depth - 1) if depth else None
    if not isinstance(value, dict):
        return None
    fields = {str(key).strip().casefold(): inner for key, inner in value.items()}
    for name in ("content", "conversation", "dialogue", "dialog"):
        if isinstance(fields.get(name), list):
            return {**fields, "content": fields[name]}
        if isinstance(fields.get(name), dict) and depth:
            return _dialogue(fields[name], depth - 1)
    return _dialogue(next(iter(value.values())), depth - 1) if len(value) == 1 and depth else None


def _by_keys(text: str) -> _Record | None:
    """Every value between one known key and the next: reads what no parser accepts."""
    keys = list(KEYS.finditer(text))
    fields: dict[str, Any] = {"content": []}
    cut = False
    strategy = ""
    for key, following in zip_longest(keys, keys[1:]):
        name = " ".join(key["key"].casefold().split("_"))
        raw = text[key.end() : following.start() if following else len(text)]
        if name == "content":
            continue
        if key["open"] and not CLOSED.search(raw):
            cut = True  # no quote closes it: it ended in the middle
            continue
        value = _unquoted(raw)
        if name == "ai strategy":
            strategy = value
        elif name == "user":
            fields["content"].append({"User": value})
        elif name == "ai":
            fields["content"].append({"AI Strategy": strategy, "AI": value})
            strategy = ""
        else:
            fields.setdefault(name, value)
    if len(fields["content"]) < 2:
        return None
    cut = cut or not text.rstrip().endswith(("}", "]"))
    told = ("broken JSON: turns picked out by their keys",)
    return _Record(fields, (*told, "cut off in the middle") if cut else told, cut)


def _unquoted(raw: str) -> str:
    """A value without its closing quote and brackets, escapes undone."""
    inner = CLOSED.sub("", raw.strip())
    return ESCAPE.sub(_unescaped, inner).strip()


def _unescaped(match: re.Match[str]) -> str:
    """What one backslash escape stands for; of a code point written in two halves, both."""
    return str(json.loads(f'"{match[0]}"')) if match[0].startswith("\\u") else ESCAPED.get(match[1], match[1])


def _transcript(text: str) -> _Record | None:
    """Lines such as `User: …` and `AI (Clarification): …`, as in the paper's Figure 4."""
    content: list[dict[str, Any]] = []
    for line in LINE.finditer(text):
        if line["who"].casefold() in ("user", "seeker"):
            content.append({"User": line["text"]})
        else:
            content.append({"AI Strategy": line["strategy"] or "", "AI": line["text"]})
    return _Record({"content": content}, ("read as a transcript",)) if len(content) >= 2 else None


def _said(record: dict[str, Any]) -> tuple[list[Said], int]:
    """The turns that can be used, and how many cannot."""
    found: list[Said] = []
    lost = 0
    for number, item in enumerate(record["content"], 1):
        try:
            for said in turns_of(_plain_item(item), f"item {number}"):
                if _plain(said.text):
                    found.append(said)
                else:
                    lost += 1
        except Failure:
            lost += 1
    return found, lost


def _plain_item(item: Any) -> Any:
    """`{"UserAI": "User", "text": …}`, as the paper's template also words it, → `{"User": …}`."""
    if not isinstance(item, dict):
        return item
    fields = {str(key).strip().casefold(): value for key, value in item.items()}
    who = next((fields[key] for key in ("userai", "role", "speaker") if key in fields), None)
    text = next((fields[key] for key in ("text", "content", "utterance", "message") if key in fields), None)
    if who is None or text is None:
        return item
    if str(who).strip().casefold() in ("user", "seeker"):
        return {"User": text}
    return {"AI Strategy": fields.get("ai strategy", fields.get("strategy")), "AI": text}


def _labelled(said: list[Said]) -> tuple[list[dict[str, Any]], list[str], list[str]]:
    """(drafts of turns, what was renamed, what has no strategy)."""
    spoken = [place for place, one in enumerate(said) if one.speaker is Role.SUPPORTER]
    ends = {*spoken[:GREETING_ENDS], *spoken[-GREETING_ENDS:]}
    turns: list[dict[str, Any]] = []
    renamed: list[str] = []
    unlabelled: list[str] = []
    for place, one in enumerate(said):
        turn: dict[str, Any] = {"speaker": one.speaker, "text": _plain(one.text)}
        if one.speaker is Role.SUPPORTER:
            name, note = strategy(one.strategies[0] if one.strategies else "", end=place in ends)
            if name:
                turn["strategy"] = name
            (renamed if name else unlabelled).extend(f"turn {place + 1}: {text}" for text in note)
        turns.append(turn)
    return turns, renamed, unlabelled


def strategy(name: str, *, end: bool = False) -> tuple[str, tuple[str, ...]]:
    """(canonical name or "", what there is to say about it) of what a model wrote.

    Args:
        name: what stands in the strategy field.
        end: the supporter's first or last turn, where none means a greeting or goodbye.
    """
    known = label_set(LABEL_SET)
    bare = NUMBER.sub("", name.strip().strip(".:*\"'")).strip()
    if not bare:
        others = known.names[-1]
        return (
            (others, (f"a greeting or goodbye without a strategy is {others}",))
            if end
            else ("", ("no strategy",))
        )
    try:
        return known.find(bare).name, ()
    except Failure:
        pass
    folded = {one.casefold(): one for one in known.names}
    close = get_close_matches(bare.casefold(), list(folded), n=1, cutoff=NEAR_NAME)
    if close:
        return folded[close[0]], (f"'{bare}' read as '{folded[close[0]]}'",)
    return "", (f"unknown strategy '{bare[:60]}'",)


def _plain(value: Any) -> str:
    """Text on one line that can be written as UTF-8 (half an emoji cannot); nothing of what is no text."""
    return " ".join(value.encode(errors="ignore").decode().split()) if isinstance(value, str) else ""


def complaints(reading: Reading, least: int = 2) -> Iterator[str]:
    """What a model should be told to put right.

    Args:
        reading: what its reply turned out to be.
        least: turns below which a reply that was cut off is of no use.
    """
    if reading.unreadable:
        yield reading.unreadable
    elif reading.cut and len(reading.turns) < least:
        yield f"it was cut off after {len(reading.turns)} turns: keep the turns short, so that it fits"
    yield from reading.unlabelled[:5]
