"""The supporters' school: eleven sub-tasks, an exam, limited attempts (Liu et al. 2021, section 4.1).

Content is data (`content/training-*.toml`): three stages and eight strategies, each with a definition, an
example, a quiz that answers back, and an exam question. This module draws an exam and marks it; who may try
again is decided by `attempts_left`, and the study leader's grants are simply more attempts.
"""

import random
import tomllib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from hearten.collect.study import Training
from hearten.core.config import Config, build, read_toml
from hearten.core.errors import UsageError, nearest
from hearten.core.taxonomy import Strategy, label_set

SHIPPED = ("esconv",)


class Question(Config):
    """One multiple-choice question; `right` counts from 1 in the file and is checked against the options."""

    ask: str
    options: Annotated[tuple[str, ...], Field(min_length=2)]
    right: Annotated[int, Field(ge=1)]
    why: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.right > len(self.options):
            raise UsageError(f"right = {self.right}, but there are {len(self.options)} options")
        if self.why and len(self.why) != len(self.options):
            raise UsageError("a quiz needs one word of feedback for each option")
        return self


class Task(Config):
    """One sub-task: about a stage or about a strategy."""

    key: str
    stage: str | None = None
    strategy: str | None = None
    definition: str = ""
    example: tuple[tuple[Literal["seeker", "supporter"], str], ...]
    quiz: Question
    exam: Question

    @property
    def title(self) -> str:
        """The stage's or the strategy's name."""
        return self.strategy or self.stage or self.key


class Tutorial(Config):
    """The sub-tasks in order."""

    label_set: str
    tasks: Annotated[tuple[Task, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _strategies_known(self) -> Self:
        known = label_set(self.label_set)
        for task in self.tasks:
            if task.strategy is not None:
                known.find(task.strategy)
            elif not task.definition:
                raise UsageError(f"task '{task.key}' has no definition", fix="add one, or name a strategy")
        return self

    def strategy_of(self, task: Task) -> Strategy | None:
        """The strategy a task teaches, or None for a stage."""
        return label_set(self.label_set).find(task.strategy) if task.strategy else None

    def definition_of(self, task: Task) -> str:
        """What the task explains."""
        strategy = self.strategy_of(task)
        return task.definition or (strategy.definition if strategy else "")

    def sentences(self) -> tuple[str, ...]:
        """Every supporter sentence a participant could copy: examples, quiz options and the label set's."""
        spoken = [text for task in self.tasks for who, text in task.example if who == "supporter"]
        quoted = [option.strip('"') for task in self.tasks for option in task.quiz.options]
        return (*spoken, *quoted, *(strategy.example for strategy in label_set(self.label_set)))


@cache
def tutorial(content: str) -> Tutorial:
    """A shipped tutorial by name, or the one a TOML file holds.

    Raises:
        UsageError: neither; or the file does not fit.
    """
    if content.endswith(".toml"):
        return build(Tutorial, read_toml(Path(content)), where=content)
    if content not in SHIPPED:
        raise UsageError(f"unknown tutorial '{content}'", fix=nearest(content, SHIPPED))
    source = files("hearten.collect") / "content" / f"training-{content}.toml"
    return build(Tutorial, tomllib.loads(source.read_text(encoding="utf-8")), where=source.name)


class ExamResult(Config):
    """A marked exam."""

    right: int
    asked: int
    passed: bool
    wrong: tuple[str, ...]
    """Keys of the tasks to read again."""


def draw_exam(school: Tutorial, rule: Training, seed: str) -> tuple[Task, ...]:
    """The tasks examined, in random order; the same `seed` (person and attempt) draws the same exam."""
    tasks = list(school.tasks)
    random.Random(seed).shuffle(tasks)
    return tuple(tasks[: rule.exam_questions])


def mark(exam: tuple[Task, ...], answers: Mapping[str, Any], rule: Training) -> ExamResult:
    """Mark an exam; `answers` maps a task's key to the chosen option, counted from 1 (text or number)."""
    wrong = tuple(task.key for task in exam if str(answers.get(task.key, "")) != str(task.exam.right))
    right = len(exam) - len(wrong)
    return ExamResult(right=right, asked=len(exam), passed=right >= rule.pass_share * len(exam), wrong=wrong)


def attempts_left(rule: Training, used: int, granted: int) -> int:
    """Attempts a person still has; `granted` are those the study leader added."""
    return max(0, rule.attempts + granted - used)
