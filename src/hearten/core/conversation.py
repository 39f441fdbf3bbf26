"""Conversation, Turn and who speaks: the one record that goes through every stage.

A conversation knows its label set, so a turn's strategy is a `Strategy`, never a loose string; in JSON it
is the strategy's name. Everything is frozen: a stage that changes something makes a new record
(`model_copy`). Stars sit on the seeker turn that carries them, as in the released ESConv file; which
supporter turns they rate is answered by `rated_turns`.
"""

from collections.abc import Iterator
from enum import StrEnum
from typing import Annotated, Any, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PlainSerializer,
    StringConstraints,
    field_validator,
    model_validator,
)

from hearten.core.errors import Failure
from hearten.core.taxonomy import LabelSet, Strategy, label_set, labels

Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
Stars = Annotated[int, Field(ge=1, le=5)]
StrategyField = Annotated[Strategy, PlainSerializer(lambda strategy: strategy.name, return_type=str)]


class Record(BaseModel):
    """Base of what stages exchange: frozen, unknown fields refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Role(StrEnum):
    """Who speaks."""

    SEEKER = "seeker"
    SUPPORTER = "supporter"


class Turn(Record):
    """One message.

    `strategy` belongs to supporters and `feedback` (1 to 5 stars) to seekers; a role out of place is
    refused. `annotations` holds what `hearten annotate` found, by kind.
    """

    speaker: Role
    text: Text
    strategy: StrategyField | None = None
    feedback: Stars | None = None
    annotations: dict[str, Any] | None = None

    @model_validator(mode="after")
    def _roles_in_place(self) -> Self:
        if self.strategy is not None and self.speaker is Role.SEEKER:
            raise Failure(
                "a seeker turn carries a strategy", fix="only supporters have one: check the speaker"
            )
        if self.feedback is not None and self.speaker is Role.SUPPORTER:
            raise Failure("a supporter turn carries feedback stars", fix="stars belong to the seeker's turn")
        return self


class Profile(Record):
    """What the seeker said about themselves before the conversation."""

    problem: str | None = None
    emotion: str | None = None
    situation: str | None = None
    experience: str | None = None
    scenario: str | None = None

    @field_validator("problem", "emotion", "experience")
    @classmethod
    def _canonical(cls, value: str | None, info: Any) -> str | None:
        return None if value is None else labels(f"{info.field_name}s").find(value)


class Survey(Record):
    """Answers after the conversation, 1 to 5; absent where nobody answered.

    In ESConv 150 of 1,300 conversations lack the seeker's part; `complete` tells.
    """

    initial_intensity: Stars | None = None
    final_intensity: Stars | None = None
    empathy: Stars | None = None
    relevance: Stars | None = None
    detail: Annotated[int, Field(ge=0, le=5)] | None = None
    """The supporter's rating of how much detail the seeker gave (0 occurs in the released file)."""
    answers: dict[str, str] | None = None
    """Free text by question, e.g. `seeker_question1`."""

    @property
    def complete(self) -> bool:
        """Whether the seeker answered both intensities, empathy and relevance."""
        answers = (self.initial_intensity, self.final_intensity, self.empathy, self.relevance)
        return all(answer is not None for answer in answers)


class Conversation(Record):
    """One conversation between a seeker and a supporter."""

    id: Text
    source: str = "unknown"
    label_set: str = "esconv"
    profile: Profile = Profile()
    survey: Survey = Survey()
    turns: tuple[Turn, ...]

    @model_validator(mode="before")
    @classmethod
    def _name_strategies(cls, value: Any) -> Any:
        """Turn strategy names into `Strategy`, so that a turn is checked against the right table."""
        if not isinstance(value, dict) or not isinstance(value.get("turns"), list | tuple):
            return value
        known = label_set(str(value.get("label_set", "esconv")))
        turns = [_with_strategy(turn, known, number) for number, turn in enumerate(value["turns"])]
        return {**value, "turns": turns}

    @property
    def labels(self) -> LabelSet:
        """The strategies this conversation is labelled with."""
        return label_set(self.label_set)

    def supporter_turns(self) -> Iterator[tuple[int, Turn]]:
        """(index, turn) of every supporter turn."""
        return ((i, turn) for i, turn in enumerate(self.turns) if turn.speaker is Role.SUPPORTER)

    def rated_turns(self) -> Iterator[tuple[int, tuple[int, ...]]]:
        """(stars, indices of the last one or two supporter turns before them) for every feedback."""
        for index, turn in enumerate(self.turns):
            if turn.feedback is not None:
                before = [i for i in range(index) if self.turns[i].speaker is Role.SUPPORTER]
                yield turn.feedback, tuple(before[-2:])


def _with_strategy(turn: Any, known: LabelSet, number: int) -> Any:
    if not isinstance(turn, dict) or not isinstance(turn.get("strategy"), str):
        return turn
    try:
        return {**turn, "strategy": known.find(turn["strategy"])}
    except Failure as error:
        raise Failure(f"{error.what} (turn {number + 1})", fix=error.fix) from None
