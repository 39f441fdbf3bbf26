"""How conversations become examples, and how these are split: the named protocols.

Two published numbers compare only if turns were merged, windowed and split alike, so a protocol has a
name that goes into every signature. `split` answers with its examples and a hash of its test part;
`leaks` counts what the test part shares with train, and `refuse_leaks` stops a leaky split unless told
otherwise.
"""

import hashlib
import random
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

from hearten.core.config import Config
from hearten.core.conversation import Conversation, Role, Turn
from hearten.core.errors import Failure
from hearten.core.records import Example, Hindsight
from hearten.core.registry import lookup
from hearten.core.taxonomy import Strategy, label_set, mapping, read_table

Part = Literal["train", "valid", "test"]
PARTS: tuple[Part, ...] = ("train", "valid", "test")
SITUATION_TOLERANCE = 0.02
"""Share of test situations that may recur in train: the seed-13 split of ESConv has 2 of 195."""


class Protocol(Config):
    """A named way to make examples and to split them."""

    name: str
    source: str
    fractions: tuple[float, float, float]
    seed: int = 13
    merge: Literal["none", "speaker"] = "none"
    """`speaker`: adjacent turns of one speaker become one, with the first strategy."""
    window: int | None = None
    """How many turns of context an example keeps; None keeps all."""
    unit: Literal["conversation", "window"] = "conversation"
    """What is shuffled and split. `window` is what leaky published splits did."""
    label_set: str | None = None
    """Relabel strategies into this set; None keeps the corpus's own."""
    drop: tuple[str, ...] = ()
    """Strategies that are never a target (they stay in the context)."""
    min_context: int = 1
    """Turns that must come before a target; 0 also takes supporters' opening turns."""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Split:
    """Examples by part, under one protocol."""

    protocol: Protocol
    parts: dict[Part, tuple[Example, ...]]

    def __getitem__(self, part: Part) -> tuple[Example, ...]:
        return self.parts[part]

    @property
    def hash(self) -> str:
        """Twelve hex digits that name exactly this test part (conversations and turn positions)."""
        keys = sorted(f"{example.conversation_id}\t{example.index}" for example in self.parts["test"])
        return hashlib.sha256("\n".join(keys).encode()).hexdigest()[:12]


@dataclass(frozen=True, slots=True)
class Leaks:
    """What the test part shares with train."""

    conversations: int
    """Test conversations of which another window is in train."""
    situations: int
    """Test conversations whose situation text also stands in train."""
    test_conversations: int

    @property
    def leaky(self) -> bool:
        """More than the tolerated handful of repeated situations, or any shared conversation."""
        return self.conversations > 0 or self.situations > SITUATION_TOLERANCE * self.test_conversations

    def __str__(self) -> str:
        return (
            f"{self.conversations} of {self.test_conversations} test conversations have windows in train, "
            f"{self.situations} share their situation text with train"
        )


@cache
def protocols() -> dict[str, Protocol]:
    """Every named protocol, from `core/tables/protocols.toml`."""
    return {name: Protocol(name=name, **row) for name, row in read_table("protocols").items()}


def protocol(name: str) -> Protocol:
    """The protocol called `name`.

    Raises:
        UsageError: unknown; with the near matches.
    """
    return lookup(protocols(), name, "protocol")


def merge_speakers(conversation: Conversation) -> Conversation:
    """Join adjacent turns of one speaker by a space: first strategy kept, last stars kept."""
    merged: list[Turn] = []
    for turn in conversation.turns:
        if not merged or merged[-1].speaker is not turn.speaker:
            merged.append(turn)
            continue
        last = merged[-1]
        stars = last.feedback if turn.feedback is None else turn.feedback
        merged[-1] = last.model_copy(
            update={
                "text": f"{last.text} {turn.text}",
                "feedback": stars,
                "strategy": last.strategy or turn.strategy,
            }
        )
    return conversation.model_copy(update={"turns": tuple(merged)})


def relabel(conversation: Conversation, target: str) -> Conversation:
    """The conversation with its strategies mapped into label set `target`."""
    names, known = mapping(conversation.label_set, target), label_set(target)
    turns = tuple(
        turn.model_copy(update={"strategy": known.find(names[turn.strategy.name])}) if turn.strategy else turn
        for turn in conversation.turns
    )
    return conversation.model_copy(update={"turns": turns, "label_set": target})


def examples(
    conversation: Conversation, how: Protocol, speakers: Collection[Role] = (Role.SUPPORTER,)
) -> list[Example]:
    """One example per turn of `speakers` that the protocol lets be a target."""
    if how.label_set and how.label_set != conversation.label_set:
        conversation = relabel(conversation, how.label_set)
    if how.merge == "speaker":
        conversation = merge_speakers(conversation)
    turns, later = conversation.turns, hindsights(conversation)
    return [
        Example.model_construct(
            conversation_id=conversation.id,
            index=index,
            turns_total=len(turns),
            context=turns[max(0, index - how.window) if how.window else 0 : index],
            profile=conversation.profile,
            response=turn.text,
            strategy=turn.strategy,
            label_set=conversation.label_set,
            hindsight=later.get(index),
            speaker=turn.speaker,
        )
        for index, turn in enumerate(turns)
        if turn.speaker in speakers and index >= how.min_context and str(turn.strategy) not in how.drop
    ]


def open_example(conversation: Conversation, strategy: Strategy | None = None) -> Example:
    """The supporter turn that comes next in a conversation that is going on.

    Its response is a placeholder that decoding never reads; `strategy` is for a policy that obeys it.
    """
    turns = conversation.turns
    return Example.model_construct(
        conversation_id=conversation.id,
        index=len(turns),
        turns_total=len(turns) + 1,
        context=turns,
        profile=conversation.profile,
        response="…",
        strategy=strategy,
        label_set=conversation.label_set,
    )


def hindsights(conversation: Conversation) -> dict[int, Hindsight]:
    """What is known afterwards of every supporter turn, by its index."""
    turns = conversation.turns
    stars = {index: given for given, rated in conversation.rated_turns() for index in rated}
    places = [index for index, _ in conversation.supporter_turns()]
    return {
        index: Hindsight.model_construct(
            annotations=turns[index].annotations,
            reaction=next((t.annotations for t in turns[index + 1 :] if t.speaker is Role.SEEKER), None),
            stars=stars.get(index),
            following=tuple(turns[later].strategy for later in places[number + 1 :]),
            survey=conversation.survey,
        )
        for number, index in enumerate(places)
    }


def split(conversations: Sequence[Conversation], how: Protocol) -> Split:
    """Examples of all conversations in train, valid and test.

    Raises:
        Failure: two conversations share an id, or there are too few to split.
    """
    _require_unique_ids(conversations)
    if len(conversations) < 3:
        raise Failure(f"{len(conversations)} conversations cannot be split", fix="three are the least")
    groups = [examples(conversation, how) for conversation in conversations]
    if how.unit == "window":
        groups = [[example] for group in groups for example in group]
    order = list(range(len(groups)))
    random.Random(how.seed).shuffle(order)
    valid = max(1, int(how.fractions[1] * len(order)))
    test = max(1, int(how.fractions[2] * len(order)))
    chosen = {"valid": order[:valid], "test": order[valid : valid + test], "train": order[valid + test :]}
    return Split(how, {part: tuple(ex for i in chosen[part] for ex in groups[i]) for part in PARTS})


def with_whole_sessions(parts: Split, conversations: Sequence[Conversation]) -> Split:
    """The same split with every speaker's turns to learn in train (ExTES's DialoGPT: one long text).

    Raises:
        Failure: the protocol does not split by conversation.
    """
    if parts.protocol.unit != "conversation":
        what = f"protocol '{parts.protocol.name}' splits windows, so a whole session has no part of its own"
        raise Failure(what, fix='a protocol that splits by conversation, such as "seed13-910"')
    inside = {example.conversation_id for example in parts["train"]}
    talks = (talk for talk in conversations if talk.id in inside)
    learned = tuple(one for talk in talks for one in examples(talk, parts.protocol, tuple(Role)))
    return Split(parts.protocol, {**parts.parts, "train": learned})


def leaks(parts: Split) -> Leaks:
    """Count what the test part shares with train."""
    train_ids = {example.conversation_id for example in parts["train"]}
    train_situations = {_folded(example) for example in parts["train"]} - {""}
    test = {example.conversation_id: _folded(example) for example in parts["test"]}
    return Leaks(
        conversations=sum(name in train_ids for name in test),
        situations=sum(situation in train_situations for situation in test.values()),
        test_conversations=len(test),
    )


def refuse_leaks(parts: Split, *, allow: bool = False) -> Leaks:
    """The leak count; a leaky split is refused unless `allow`.

    Raises:
        Failure: the split leaks and nobody allowed it.
    """
    found = leaks(parts)
    if found.leaky and not allow:
        raise Failure(
            f"protocol '{parts.protocol.name}' leaks: {found}",
            fix="use 'seed13-910', or pass --allow-leaks to reproduce a published number",
        )
    return found


def _folded(example: Example) -> str:
    return " ".join((example.profile.situation or "").casefold().split())


def _require_unique_ids(conversations: Sequence[Conversation]) -> None:
    seen: set[str] = set()
    for conversation in conversations:
        if conversation.id in seen:
            raise Failure(f"two conversations are called '{conversation.id}'", fix="give each its own id")
        seen.add(conversation.id)
