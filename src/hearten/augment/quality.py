"""How good is the corpus, in people's eyes: five questions about conversations whose origin is hidden.

As in Table 4 of ExTES (Zheng et al. 2023): conversations drawn at random from two (or more) corpora, each
rated from 0 to 3 on five questions by at least two people who do not know where it comes from; the mean of
each corpus on each question, side by side, with Fleiss' kappa. The draw depends on the seed alone; every
rater meets the conversations in an order of their own, those with the fewest ratings first.

The answers (`ratings.jsonl`) are lines that `hearten evaluate agreement --kind likert` reads as they are.
"""

import random
import threading
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from statistics import fmean
from typing import Annotated

from pydantic import Field

from hearten.augment.reviewing import agreement
from hearten.core.config import Config, load_toml
from hearten.core.conversation import Conversation, Record, Text
from hearten.core.errors import Failure, UsageError
from hearten.core.jsonl import Appender, read_records
from hearten.core.locks import alone
from hearten.core.places import seeds_file


class Question(Config):
    """One thing to be rated."""

    name: str
    asks: str


TABLE_4 = (
    Question(name="informativeness", asks="How much does the seeker tell of what troubles them?"),
    Question(name="understanding", asks="How well does the supporter grasp what the seeker lives and feels?"),
    Question(name="helpfulness", asks="How far does the supporter ease the distress and lift the mood?"),
    Question(name="consistency", asks="Do both stay in their roles, without contradicting themselves?"),
    Question(name="coherence", asks="Does the talk stay on its subject, in depth, and move on smoothly?"),
)
"""The five of ExTES Table 4, asked in our own words."""
PAPER: Mapping[str, tuple[float, float, float]] = {
    "informativeness": (2.39, 2.53, 0.51),
    "understanding": (2.64, 2.52, 0.46),
    "helpfulness": (2.48, 2.61, 0.44),
    "consistency": (2.75, 2.67, 0.39),
    "coherence": (2.38, 2.45, 0.52),
}
"""ExTES Table 4: (seeds, ExTES, Fleiss' kappa)."""


class Quality(Config):
    """A quality study in one TOML file."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,39}$")] = "quality"
    """Part of the address."""
    title: str = "How good are these conversations?"
    corpora: Annotated[dict[str, Path], Field(min_length=1)]
    """Name → conversations.jsonl; The word `seeds` stands for hearten's own."""
    draw: Annotated[dict[str, int], Field()] = Field(default_factory=dict)
    """How many of each corpus are drawn; 100 where nothing is said (the paper: 50 seeds, 100 of ExTES)."""
    raters: Annotated[int, Field(ge=1)] = 2
    """How many people rate each conversation."""
    seed: int = 13
    questions: tuple[Question, ...] = TABLE_4
    highest: Annotated[int, Field(ge=1, le=9)] = 3
    """The scale goes from 0 to this."""
    out: Path = Path("ratings.jsonl")
    """Where the answers are written; beside the file if it is no absolute path."""


class Given(Record):
    """One answer: a line of `ratings.jsonl`."""

    item: Text
    rater: Text
    question: Text
    value: int
    system: Text
    """The corpus it was drawn from."""
    time: str


@dataclass(frozen=True, slots=True)
class Drawn:
    """A conversation to be rated."""

    item: str
    """Hides where it comes from."""
    corpus: str
    conversation: Conversation


@dataclass(frozen=True, slots=True)
class Row:
    """One question's result."""

    question: Question
    means: Mapping[str, float | None]
    """Corpus → mean rating; None where nobody has rated."""
    kappa: float | None
    paper: tuple[float, float, float] | None


def load_quality(path: Path) -> Quality:
    """A quality study from its file; paths in it are seen from there.

    Raises:
        UsageError: a key is wrong, or a corpus is missing.
    """
    study = load_toml(path, Quality)
    here = path.resolve().parent
    corpora = {
        name: seeds_file() if str(file) == "seeds" else here / file for name, file in study.corpora.items()
    }
    for name, file in corpora.items():
        if not file.is_file():
            raise UsageError(
                f"corpus '{name}' is not there", where=str(file), fix="correct its path in the file"
            )
    unknown = sorted(set(study.draw) - set(corpora))
    if unknown:
        raise UsageError(
            f"'draw' names no corpus: {', '.join(unknown)}", where=str(path), fix=", ".join(corpora)
        )
    return study.model_copy(update={"corpora": corpora, "out": here / study.out})


class Panel:
    """A quality study under way.

    Args:
        study: what is rated, and how.
    """

    def __init__(self, study: Quality) -> None:
        self.study, self._lock = study, threading.Lock()

    @cached_property
    def drawn(self) -> dict[str, Drawn]:
        """What is rated, by its hidden name."""
        found: list[tuple[str, Conversation]] = []
        for name, path in sorted(self.study.corpora.items()):
            talks = list(read_records(path, Conversation))
            dice = random.Random(f"{self.study.seed}/{name}")
            count = min(self.study.draw.get(name, 100), len(talks))
            found += [(name, talk) for talk in dice.sample(talks, count)]
        random.Random(self.study.seed).shuffle(found)
        rows = (Drawn(f"q{place:04d}", *pair) for place, pair in enumerate(found, 1))
        return {row.item: row for row in rows}

    def given(self) -> list[Given]:
        """Every answer until now."""
        return list(read_records(self.study.out, Given)) if self.study.out.is_file() else []

    def next_for(self, rater: str) -> tuple[Drawn | None, int]:
        """What this person rates next, and how many are left for them."""
        people: defaultdict[str, set[str]] = defaultdict(set)
        for answer in self.given():
            people[answer.item].add(answer.rater)
        left = [
            name for name in self.drawn if rater not in people[name] and len(people[name]) < self.study.raters
        ]
        random.Random(f"{self.study.seed}/{rater}").shuffle(left)
        chosen = max(left, key=lambda name: len(people[name]), default=None)
        return (self.drawn[chosen] if chosen else None), len(left)

    def rate(self, item: str, rater: str, values: Mapping[str, int], time: str) -> None:
        """Write one person's answers about one conversation.

        Raises:
            Failure: an answer is missing or off the scale, or this person has rated it.
        """
        drawn = self.drawn.get(item)
        names = [question.name for question in self.study.questions]
        if drawn is None or sorted(values) != sorted(names):
            raise Failure("an answer is missing", fix="answer every question")
        if any(not 0 <= value <= self.study.highest for value in values.values()):
            raise Failure("an answer is off the scale", fix=f"0 to {self.study.highest}")
        lock = self.study.out.with_name(f".{self.study.out.name}.lock")
        with self._lock, alone(lock):
            if any(answer.item == item and answer.rater == rater for answer in self.given()):
                raise Failure("you have rated this conversation already", fix="go on to the next")
            with Appender(self.study.out) as file:
                for name in names:
                    told = {"item": item, "rater": rater, "question": name, "value": values[name]}
                    file.add(Given(**told, system=drawn.corpus, time=time))
                file.sync()

    def results(self) -> list[Row]:
        """Means and agreement, question by question."""
        answers = self.given()
        return [self._row(question, answers) for question in self.study.questions]

    def rated(self) -> Counter[int]:
        """Number of raters → conversations that have so many."""
        people: defaultdict[str, set[str]] = defaultdict(set)
        for answer in self.given():
            people[answer.item].add(answer.rater)
        return Counter(len(people[name]) for name in self.drawn)

    def _row(self, question: Question, answers: list[Given]) -> Row:
        values: defaultdict[str, list[int]] = defaultdict(list)
        by_item: defaultdict[str, list[int]] = defaultdict(list)
        for answer in answers:
            if answer.question == question.name:
                values[answer.system].append(answer.value)
                by_item[answer.item].append(answer.value)
        means = {name: fmean(values[name]) if values[name] else None for name in sorted(self.study.corpora)}
        several = [
            row[: self.study.raters] for row in by_item.values() if len(row) >= max(2, self.study.raters)
        ]
        return Row(question, means, agreement(several), PAPER.get(question.name))
