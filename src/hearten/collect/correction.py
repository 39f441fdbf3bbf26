"""Correcting labels after the fact: strategies by vote, intensities by a second look (section 4.3).

Reviewers vote for the strategy of an utterance. Where more than 75% of them disagree with the supporter's own
label the leader decides; anything less stands. An intensity is looked at again when
`Verdict.recheck_intensity` says so. Votes and decisions are core `Rating`s, on the web and in files alike:
item `CONVERSATION#TURN` (turn from 0) and question `strategy`, or item `CONVERSATION` and question
`final_intensity`. `hearten collect correct`.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from hearten.core.conversation import Conversation, Record, Turn
from hearten.core.errors import Failure
from hearten.core.records import Rating

DISAGREEING = 0.75
"""More than this share of reviewers must disagree before the leader is asked."""


class Dispute(Record):
    """One utterance's votes."""

    conversation_id: str
    turn: int
    text: str
    label: str
    votes: dict[str, int]
    disagreeing: float
    to_leader: bool


def turn_item(conversation_id: str, turn: int) -> str:
    """How a rating names one utterance."""
    return f"{conversation_id}#{turn}"


def tally(conversations: Iterable[Conversation], votes: Iterable[Rating]) -> list[Dispute]:
    """Every utterance someone voted on, with its share of disagreement.

    Raises:
        Failure: a vote names a strategy the conversation's label set does not have.
    """
    by_item: dict[str, dict[str, str]] = {}
    for vote in votes:
        if vote.question == "strategy":
            by_item.setdefault(vote.item, {})[vote.rater] = str(vote.value)
    found = []
    for conversation in conversations:
        for index, turn in conversation.supporter_turns():
            cast = by_item.get(turn_item(conversation.id, index))
            if cast and turn.strategy is not None:
                names = [conversation.labels.find(name).name for name in cast.values()]
                found.append(_dispute(conversation, index, turn, names))
    return found


def _dispute(conversation: Conversation, index: int, turn: Turn, names: Sequence[str]) -> Dispute:
    label = str(turn.strategy)
    disagreeing = sum(name != label for name in names) / len(names)
    return Dispute(
        conversation_id=conversation.id,
        turn=index,
        text=turn.text,
        label=label,
        votes=dict(Counter(names).most_common()),
        disagreeing=disagreeing,
        to_leader=disagreeing > DISAGREEING,
    )


def decide(conversation: Conversation, decisions: Mapping[tuple[str, str], Rating]) -> Conversation:
    """The conversation with the leader's decisions applied, unchanged where there are none.

    Args:
        decisions: by (item, question).

    Raises:
        Failure: a strategy that is not in the label set, or an intensity outside 1 to 5.
    """
    turns = tuple(
        _relabelled(conversation, index, turn, decisions.get((turn_item(conversation.id, index), "strategy")))
        for index, turn in enumerate(conversation.turns)
    )
    intensity = decisions.get((conversation.id, "final_intensity"))
    survey = conversation.survey
    if intensity is not None:
        survey = survey.model_copy(update={"final_intensity": _stars(intensity)})
    return conversation.model_copy(update={"turns": turns, "survey": survey})


def _relabelled(conversation: Conversation, index: int, turn: Turn, decision: Rating | None) -> Turn:
    if decision is None or turn.strategy is None:
        return turn
    return turn.model_copy(update={"strategy": conversation.labels.find(str(decision.value))})


def _stars(decision: Rating) -> int:
    try:
        value = int(float(decision.value))
    except ValueError:
        value = 0
    if not 1 <= value <= 5:
        raise Failure(f"'{decision.value}' is not an intensity", where=f"item {decision.item}", fix="1 to 5")
    return value


def by_item(decisions: Iterable[Rating]) -> dict[tuple[str, str], Rating]:
    """Decisions by (item, question); the last of several counts."""
    return {(rating.item, rating.question): rating for rating in decisions}
