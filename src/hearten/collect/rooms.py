"""The rules of a chat, apart from sockets and storage: what a room's events add up to, and what may happen
next.

A room is a list of `Entry`s numbered from 1. `RoomState.apply` folds them in order, so every process and
every restart arrives at the same state. `refusal` is asked before something is written. An *exchange* is one
run of the seeker's messages and one of the supporter's; ESConv's "10 turns" is read as ten of them, for its
filter wants at least 16 utterances. End states 00 to 03 are those of the paper's Figure 8.
"""

from dataclasses import dataclass, field
from typing import Any

from hearten.collect.study import Chat
from hearten.core.taxonomy import LabelSet

SEEKER, SUPPORTER = "seeker", "supporter"
OTHER = {SEEKER: SUPPORTER, SUPPORTER: SEEKER}
END_REASONS = ("finished", "left", "silent", "care")
CARE = "care"
"""The kind of event that shows both sides where help is; see `watch`."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One event of a room as everyone passes it around."""

    seq: int
    kind: str
    role: str
    client_id: str
    at: float
    text: str | None = None
    strategy: str | None = None
    stars: int | None = None
    data: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Draft:
    """An event that someone wants to happen; it becomes an `Entry` when it is durable."""

    room_id: int
    kind: str
    role: str
    client_id: str
    text: str | None = None
    strategy: str | None = None
    stars: int | None = None
    data: dict[str, Any] | None = None


@dataclass(slots=True)
class RoomState:
    """What has happened so far, in the few numbers the rules need."""

    opened: float
    seq: int = 0
    ended: str | None = None
    """The reason, once it has ended."""
    runs: dict[str, int] = field(default_factory=lambda: {SEEKER: 0, SUPPORTER: 0})
    last_speaker: str | None = None
    spoke: dict[str, float] = field(default_factory=dict)
    unrated: int = 0
    """Supporter messages since the last stars."""
    said: dict[str, list[str]] = field(default_factory=lambda: {SEEKER: [], SUPPORTER: []})

    @property
    def exchanges(self) -> int:
        """Runs of messages both sides have made."""
        return min(self.runs.values())

    def apply(self, entry: Entry) -> None:
        """Take in the next entry."""
        self.seq = entry.seq
        if entry.kind == "message":
            self._spoken(entry)
        elif entry.kind == "stars":
            self.unrated = 0
        elif entry.kind == "end":
            self.ended = str((entry.data or {}).get("reason", "left"))

    def _spoken(self, entry: Entry) -> None:
        if entry.role != self.last_speaker:
            self.runs[entry.role] += 1
        self.last_speaker = entry.role
        self.spoke[entry.role] = entry.at
        self.said[entry.role].append(entry.text or "")
        self.unrated += entry.role == SUPPORTER

    def stars_due(self, rule: Chat) -> bool:
        """Whether the seeker is to be asked for stars."""
        return bool(rule.feedback_every) and self.unrated >= rule.feedback_every and self.ended is None

    def may_finish(self, rule: Chat, now: float) -> bool:
        """Whether the conversation is long enough to end naturally."""
        return self.exchanges >= rule.end_turns and now - self.opened >= 60 * rule.end_minutes

    def silent(self, role: str, rule: Chat, now: float) -> bool:
        """Whether `role` has said nothing for so long that the other may leave."""
        return now - self.spoke.get(role, self.opened) >= 60 * rule.silence_minutes


def refusal(state: RoomState, rule: Chat, draft: Draft, labels: LabelSet, now: float) -> str | None:
    """Why `draft` cannot happen now (a key of the strings file), or None if it can."""
    if state.ended is not None:
        return "ended"
    if draft.kind == "message":
        return _message_refusal(state, rule, draft, labels)
    if draft.kind == "stars":
        return None if draft.role == SEEKER and state.stars_due(rule) else "not_due"
    return _end_refusal(state, rule, draft, now)


def _message_refusal(state: RoomState, rule: Chat, draft: Draft, labels: LabelSet) -> str | None:
    text = draft.text or ""
    if not text.strip():
        return "empty"
    if len(text) > rule.longest_message:
        return "too_long"
    if draft.role == SUPPORTER and draft.strategy not in labels.names:
        return "no_strategy"
    return "stars_first" if draft.role == SEEKER and state.stars_due(rule) else None


def _end_refusal(state: RoomState, rule: Chat, draft: Draft, now: float) -> str | None:
    reason = (draft.data or {}).get("reason")
    if reason == "finished":
        if draft.role != SEEKER:
            return "seeker_ends"
        if state.stars_due(rule):
            return "stars_first"
        return None if state.may_finish(rule, now) else "too_early"
    if reason == "silent":
        return None if state.silent(OTHER[draft.role], rule, now) else "not_silent"
    return None if reason in END_REASONS else "unreadable"


def statuses(role: str, reason: str) -> dict[str, str]:
    """The end state of each side when `role` ends a room for `reason`.

    Whoever stops because they do not feel well, and their partner, count as having finished: nobody is paid
    less for it. The room's reason keeps such a conversation out of the corpus.
    """
    other = OTHER[role]
    if reason in ("finished", "care"):
        return {role: "03", other: "03"}
    return {role: "02", other: "01"} if reason == "silent" else {role: "01", other: "02"}
