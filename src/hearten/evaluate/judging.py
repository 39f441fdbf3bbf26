"""What `hearten evaluate judge` does with runs, people's ratings and role cards: opens, asks, sums up.

Chat models are opened by `lm` and supporters by `models`, which know their kinds; everything else here
is given to `judge` and `seekers`, which know neither files of runs nor where models come from.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from hearten.core.chat import ChatModel
from hearten.core.errors import UsageError
from hearten.core.supporter import Supporter
from hearten.evaluate import judge
from hearten.evaluate.origin import Origin, need_predictions, open_origin
from hearten.evaluate.ratings import Answer, read_answers
from hearten.evaluate.seekers import read_cards, simulate, stage_questions


@dataclass(frozen=True)
class Task:
    """What was asked for on the command line."""

    sources: tuple[Path, ...]
    model: str
    humans: Path | None = None
    roles: Path | None = None
    turns: int = 16
    ledger: Path | None = None
    seed: int = 13
    limit: int | None = None
    quiet: bool = False

    @property
    def book(self) -> Path:
        """The ledger: the one named, else `judgements.jsonl` beside the first source's files."""
        first = self.sources[0]
        return self.ledger or (first if first.is_dir() else first.parent) / "judgements.jsonl"


def chat_model(name: str) -> ChatModel:
    """The chat model called `name`.

    Raises:
        UsageError: language models are not installed, or none is called so.
    """
    with _installed():
        from hearten.lm.chat import open_chat_model

        return open_chat_model(name)


def supporter(name: str) -> Supporter:
    """The supporter that a run folder or a chat model's name stands for.

    Raises:
        UsageError: language models are not installed, or there is no such run or model.
    """
    with _installed():
        from hearten.models.supporters import open_supporter

        return open_supporter(name)


def pairwise(task: Task) -> judge.JudgeReport:
    """Two runs against each other, or one against its references."""
    if len(task.sources) > 2:
        raise UsageError(
            f"{len(task.sources)} runs: pairs are judged two at a time", fix="name one run or two"
        )
    first = _origin(task, 0)
    second = _origin(task, 1) if len(task.sources) == 2 else references(first)
    asked = judge.pairs(first.predictions, second.predictions)
    model = chat_model(task.model)
    found = judge.ask(judge.PAIRWISE, asked, model, task.book, quiet=task.quiet)
    people = _people(task, "votes")
    report = judge.pairwise_report(found, model.name, people, seed=task.seed)
    return replace(report, notes=(*report.notes, f"first: {first.name}; second: {second.name}"))


def rubric(task: Task) -> judge.JudgeReport:
    """Marks for one run's replies."""
    asked = judge.singles(_only(task).predictions)
    model = chat_model(task.model)
    found = judge.ask(judge.RUBRIC, asked, model, task.book, quiet=task.quiet)
    return judge.marks_report(judge.RUBRIC, found, model.name, _people(task, "likert"), seed=task.seed)


def seekers(task: Task) -> judge.JudgeReport:
    """Whole conversations of one run with simulated seekers, rated by stage."""
    if len(task.sources) != 1:
        raise UsageError("seekers talk to one run at a time", fix="name one run")
    cards = read_cards(task.roles)[: task.limit]
    model, talker = chat_model(task.model), supporter(str(task.sources[0]))
    kept = task.book.with_name("simulated.jsonl")
    talks = simulate(talker, model, cards, kept, turns=task.turns, seed=task.seed, quiet=task.quiet)
    found = judge.ask(judge.STAGE, stage_questions(talks), model, task.book, quiet=task.quiet)
    report = judge.marks_report(judge.STAGE, found, model.name, _people(task, "likert"), seed=task.seed)
    told = f"conversations held: {len(talks)}, in {kept}; {model.name} played the seekers and judged"
    return replace(report, notes=(*report.notes, told))


def references(origin: Origin) -> Origin:
    """The gold replies as if a system called `references` had said them."""
    gold = tuple(one.model_copy(update={"hypothesis": one.reference}) for one in origin.predictions)
    return replace(origin, name="references", predictions=gold)


def _origin(task: Task, place: int) -> Origin:
    return need_predictions(open_origin(task.sources[place], limit=task.limit))


def _only(task: Task) -> Origin:
    if len(task.sources) != 1:
        raise UsageError("marks are given to one run at a time", fix="name one run")
    return _origin(task, 0)


def _people(task: Task, kind: str) -> tuple[Answer, ...]:
    return read_answers(task.humans, kind).answers if task.humans else ()


@contextmanager
def _installed() -> Iterator[None]:
    """A missing package becomes an error with its cure."""
    try:
        yield
    except ImportError as error:
        told = f"language models are not installed ({error.name} is missing)"
        raise UsageError(told, fix='pip install "hearten[lm]"') from None
