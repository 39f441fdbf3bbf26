"""The care path: what happens from the moment a message needs care until it is really over.

A small state machine over the conversation, recomputed from its turns, so nothing has to be stored:

* `calm` – nothing happened. A finding at medium or above opens the path.
* `open` – the first answer: what was said is met, one direct question is asked, a free line by region, a
  professional and trusted people are named; where it is imminent the emergency number, company and
  distance from means come first. A new or worse finding opens it again, and so does one that comes after a
  denial or a calm message.
* `staying` – the conversation goes on. The supporter answers, and the path adds a sentence: a question,
  and the line again on every third turn, never the same words twice running.
* `checkin` – after `CALM_TURNS` calm messages *and* an explicit word of safety, the path asks once more.
* `calm` again only if that check-in too is answered with safety and without a finding. One denial clears
  nothing.

It never ends a conversation, refuses the topic, asks a leading question, or asks for a promise.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from hearten.core.conversation import Conversation, Role
from hearten.safety.normal import normalise, table
from hearten.safety.resources import ELSEWHERE, Region, named_region, region
from hearten.safety.rules import SEVERITIES
from hearten.safety.screen import Finding, screen

State = Literal["calm", "open", "staying", "checkin"]
CALM_TURNS = 3
"""Calm messages needed, explicit safety among them, before the check-in."""
RESOURCE_EVERY = 3
"""Between mentions of the line while staying, so that it is neither forgotten nor a refrain."""
BODY = ("medical", "violence", "abuse", "minor", "third-party")
"""Kinds with their own words for what to do at once."""
SAFE = re.compile(
    r"\b(?:i'm|i am|feel|feeling|am)(?: \w+){0,3} (?:safe|better|okay|ok|fine|calmer|alright)\b|"
    r"\b(?:no|not|n't|never)(?: \w+){0,4} (?:suicid\w+|kill myself|hurt(?:ing)? myself|thinking (?:of|about)|"
    r"thoughts|plan\w*|die|do it)\b|"
    r"\b(?:called|talked to|spoke (?:to|with)|told|with) (?:\w+ )?(?:988|samaritans|lifeline|doctor|friend|"
    r"mum|mom|sister|brother|husband|wife|someone)\b"
)


@dataclass(slots=True)
class Care:
    """Where the path stands after the seeker's last message."""

    state: State = "calm"
    kinds: tuple[str, ...] = ()
    severity: str = "none"
    region: str | None = None
    minor: bool = False
    turn: int = 0
    """Seeker messages since the path opened, from 0."""
    calm: int = 0
    safe: bool = False
    reopened: bool = False
    denied: bool = False
    just_cleared: bool = False
    placed: bool = False
    """Whether the last message named the region for the first time."""
    finding: Finding = field(default_factory=lambda: Finding(crisis=False, severity="none"))

    @property
    def active(self) -> bool:
        """Whether the path has something to say."""
        return self.state != "calm" or self.just_cleared

    @property
    def leads(self) -> bool:
        """Whether its words replace the supporter's instead of following them."""
        return self.state in ("open", "checkin")


def follow(conversation: Conversation, *, default_region: str | None = None, minor: bool = False) -> Care:
    """The state after the conversation's last seeker message."""
    texts = [turn.text for turn in conversation.turns if turn.speaker is Role.SEEKER]
    return walk(texts, screen(texts), default_region=default_region, minor=minor)


def walk(
    texts: Sequence[str],
    findings: Sequence[Finding],
    *,
    default_region: str | None = None,
    minor: bool = False,
) -> Care:
    """The state after a seeker's messages and what the screen found in each."""
    care = Care(region=default_region, minor=minor)
    for text, finding in zip(texts, findings, strict=True):
        _step(care, normalise(text), finding)
        place = named_region(text)
        care.placed = place is not None and care.region is None
        care.region = place or care.region
    return care


def _step(care: Care, text: str, finding: Finding) -> None:
    care.finding, care.just_cleared = finding, False
    care.minor = care.minor or "minor" in finding.kinds
    safe = bool(SAFE.search(text)) and not finding.crisis
    if finding.crisis:
        _open(care, finding)
        return
    if care.state == "calm":
        return
    care.turn, care.calm, care.denied = care.turn + 1, care.calm + 1, safe
    if care.state == "checkin":
        care.state, care.just_cleared = ("calm", True) if safe else ("staying", False)
        care.calm, care.safe = 0, False
        return
    care.safe = care.safe or safe
    care.state = "checkin" if care.safe and care.calm >= CALM_TURNS else "staying"


def _open(care: Care, finding: Finding) -> None:
    worse = SEVERITIES.index(finding.severity) > SEVERITIES.index(care.severity)
    new = bool(set(finding.kinds) - set(care.kinds))
    again = care.calm > 0  # after a denial or a calm message it is said again: that is asked about again
    care.reopened = care.state != "calm"
    opens = worse or new or again or not care.reopened or finding.severity == "imminent"
    care.state = "open" if opens else "staying"
    care.severity = finding.severity if worse or not care.reopened else care.severity
    care.kinds = tuple(dict.fromkeys((*finding.kinds, *care.kinds)))
    care.turn, care.calm, care.safe = (care.turn + 1 if care.reopened else 0), 0, False


def words(care: Care, *, before: Sequence[str] = ()) -> str:
    """What the path says in this state; `before` are earlier supporter texts, whose wordings are avoided.

    While `open` and in the `checkin` this is the whole reply; while `staying` it follows the supporter's own.
    """
    said, here = _Picker(care.turn, tuple(before)), region(care.region or ELSEWHERE)
    if care.just_cleared:
        return said.one("stay", "cleared").format(line=here.best("crisis"))
    if care.state == "checkin":
        return said.one("stay", "checkin")
    if care.state == "open":
        return _opening(care, said, here)
    return _staying(care, said, here) if care.state == "staying" else ""


def _opening(care: Care, said: "_Picker", here: Region) -> str:
    kind = care.kinds[0] if care.kinds else "active-ideation"
    parts = [said.one("lead", kind)]
    if care.finding.severity == "imminent":
        urgent = "minor" if care.minor and kind not in ("medical",) else kind if kind in BODY else "self"
        parts.append(said.one("imminent", urgent).format(emergency=here.emergency))
    parts.append(said.one("ask", kind if kind in table("care")["ask"] else "self"))
    parts.append(_line(care, said, here, kind))
    if not (care.reopened and care.finding.severity == "imminent"):
        parts.append(said.one("people", "minor" if care.minor else kind if kind == "third-party" else "all"))
    parts.append(said.one("stay", "first"))
    return " ".join(parts)


def _line(care: Care, said: "_Picker", here: Region, kind: str) -> str:
    if care.region is None:
        return said.one("resource", "unknown")
    topic = "minor" if care.minor else {"abuse": "abuse", "medical": "poison"}.get(kind, "crisis")
    return said.one("resource", "known").format(line=here.best(topic), place=here.name)


def _staying(care: Care, said: "_Picker", here: Region) -> str:
    parts = [said.one("stay", "denied")] if care.denied and care.calm == 1 else []
    if care.placed:
        parts.append(_line(care, said, here, care.kinds[0]))
    elif care.turn % RESOURCE_EVERY == 0 or care.finding.crisis:
        parts.append(
            said.one("resource", "later").format(line=here.best("minor" if care.minor else "crisis"))
        )
    if not parts or care.finding.crisis:
        parts.append(said.one("stay", "quiet"))
    return " ".join(parts)


class _Picker:
    """Chooses a wording by the turn, passing over those that were used in earlier replies."""

    def __init__(self, turn: int, before: tuple[str, ...]) -> None:
        self.turn, self.before = turn, " ".join(before)

    def one(self, section: str, name: str) -> str:
        wordings: list[str] = table("care")[section][name]
        fresh = [text for text in wordings if text.split("{")[0][:40] not in self.before]
        return (fresh or wordings)[self.turn % len(fresh or wordings)]
