"""A visitor's conversation as it grows, with its branches.

Messages form a tree: to edit a message is to say another one after the same predecessor, and to retry is to
answer the same message again, so nothing that was said is overwritten. `head` is the message the page shows
last; the way to it from the beginning is the conversation that the supporter sees. A `Talk` becomes a core
`Conversation` at the edge: towards the host, and in an export.
"""

import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from hearten.core.conversation import Conversation, Record, Role, Stars, Text, Turn
from hearten.core.taxonomy import label_set
from hearten.serve.why import Why

SOURCE = "hearten-serve"
TITLE_LENGTH = 60


class Message(Record):
    """One message of a talk."""

    id: str
    parent: str | None = None
    """The message it follows; None begins the talk."""
    speaker: Role
    text: Text
    at: float
    """Seconds since 1970."""
    strategy: str | None = None
    stars: Stars | None = None
    stopped: bool = False
    """Whether a reply was cut off: by its reader, a lost connection or the end of the server."""
    why: Why | None = None


class Talk(Record):
    """One conversation of one visitor."""

    id: str
    label_set: str = "esconv"
    created: float
    updated: float
    head: str | None = None
    messages: tuple[Message, ...] = ()
    """In the order in which they were said."""

    def find(self, message_id: str) -> Message | None:
        """The message with this id."""
        return next((message for message in self.messages if message.id == message_id), None)

    def path(self, to: str | None = None) -> tuple[Message, ...]:
        """From the first message to `to`, or to the head."""
        known = {message.id: message for message in self.messages}
        found: list[Message] = []
        place = to or self.head
        while place is not None and place in known:
            found.append(known[place])
            place = known[place].parent
        return tuple(reversed(found))

    def tip(self, message_id: str) -> str:
        """Where a branch that goes through this message ends: always along the newest answer."""
        newest = {message.parent: message.id for message in self.messages}
        while message_id in newest:
            message_id = newest[message_id]
        return message_id

    def tips(self) -> Iterator[str]:
        """The end of every branch, the shown one first."""
        if self.head is not None:
            yield self.head
        parents = {message.parent for message in self.messages}
        for message in self.messages:
            if message.id not in parents and message.id != self.head:
                yield message.id

    def after(self, message: Message) -> "Talk":
        """The talk after `message` was said, or said again."""
        others = tuple(one for one in self.messages if one.id != message.id)
        return self.model_copy(update={"messages": (*others, message), "head": message.id})

    @property
    def title(self) -> str:
        """The first words of the shown branch, for a list that others may glance at: not those of a message
        that opened the care path. Empty where there are no others.
        """
        path = self.path()
        open_ = {one.parent for one in path if one.why is not None and one.why.care == "open"}
        said = (one.text for one in path if one.speaker is Role.SEEKER and one.id not in open_)
        words = " ".join(next(said, "").split())
        return words if len(words) <= TITLE_LENGTH else words[: TITLE_LENGTH - 1].rstrip() + "…"

    def mentions(self, text: str) -> bool:
        """Whether any message holds `text`, whatever the case."""
        wanted = text.casefold()
        return any(wanted in message.text.casefold() for message in self.messages)

    def conversation(self, to: str | None = None, *, id: str = "", source: str = SOURCE) -> Conversation:
        """One branch as the record every stage speaks."""
        known = label_set(self.label_set)
        turns = tuple(_turns(self.path(to), known.find))
        return Conversation(id=id or self.id, source=source, label_set=self.label_set, turns=turns)

    def conversations(self) -> Iterator[Conversation]:
        """Every branch as a record: the shown one under the talk's id, the others as `ID~2` and so on."""
        for number, tip in enumerate(self.tips(), 1):
            name, source = (self.id, SOURCE) if number == 1 else (f"{self.id}~{number}", f"{SOURCE}-branch")
            yield self.conversation(tip, id=name, source=source)


def _turns(path: tuple[Message, ...], strategy: Any) -> Iterator[Turn]:
    """Stars move onto the seeker's next message, as in ESConv; the last ones stay as an annotation."""
    for place, message in enumerate(path):
        if message.speaker is Role.SEEKER:
            before = path[place - 1].stars if place else None
            yield Turn(speaker=Role.SEEKER, text=message.text, feedback=before)
            continue
        notes: dict[str, Any] = {"stopped": True} if message.stopped else {}
        if message.stars is not None and place == len(path) - 1:
            notes["feedback"] = message.stars
        chosen = strategy(message.strategy) if message.strategy else None
        yield Turn(speaker=Role.SUPPORTER, text=message.text, strategy=chosen, annotations=notes or None)


def as_text(talk: Talk, words: Mapping[str, str]) -> str:
    """The shown branch for reading.

    Args:
        words: `you`, `ai`, `stopped`, `notice` in the reader's language.
    """
    day = datetime.fromtimestamp(talk.created, UTC).strftime("%Y-%m-%d %H:%M UTC")
    lines = [talk.title, day, words["notice"], ""]
    for message in talk.path():
        who = words["you" if message.speaker is Role.SEEKER else "ai"]
        lines += [f"{who}: {message.text}{' ' + words['stopped'] if message.stopped else ''}", ""]
    return "\n".join(lines)


def now() -> float:
    """The time a message is said, in seconds since 1970."""
    return time.time()
