"""Let a chat model judge: two replies against each other, one reply by rubric, a conversation by stage.

A step declares its prompt file, its questions and its parser. Every call is one line of a ledger with the
raw reply, so that a run which was stopped asks only for what is missing and a verdict can be read again
with another parser. A reply that cannot be read is unscored: it is counted and never becomes a zero. Pairs
are judged in both orders and averaged; a pair unscored in one order is unscored. How often the two orders
agree is printed, because a judge that prefers a position is no judge, and so is its agreement with people
when their ratings are given.

`hearten evaluate judge RUN RUN --model MODEL` runs it.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

import numpy as np
from scipy import stats

from hearten.core.chat import ChatModel, Message, Sampling
from hearten.core.conversation import Record
from hearten.core.errors import Failure
from hearten.core.jsonl import Appender, read_records
from hearten.core.progress import progress
from hearten.core.records import Prediction, Score
from hearten.evaluate.agreement import muffin_vote, outcomes
from hearten.evaluate.coefficients import cohen, krippendorff
from hearten.evaluate.ratings import Answer
from hearten.evaluate.signature import signature
from hearten.evaluate.significance import interval
from hearten.evaluate.statistics import Array, mean_of
from hearten.evaluate.tables import Table, number

Verdict = str | float | None
FACETS = ("fluency", "identification", "comforting", "suggestion", "helpfulness")
"""The five questions of Muffin's Figure 9, which are ESConv's with "overall" put as helpfulness."""
STAGES = ("exploration", "comforting", "action")
"""ESConv's three stages (its Figure 3)."""
STRICT = Sampling(temperature=0, top_p=1, top_k=0, repetition_penalty=1, max_tokens=400, seed=13)
"""A judge is asked for its most likely answer."""
POINTS = {"A": 1.0, "B": 0.0, "tie": 0.5}


@dataclass(frozen=True)
class Step:
    """One kind of question to a judge."""

    name: str
    prompt: str
    """File in `evaluate/prompts`."""
    questions: tuple[str, ...]
    parse: Callable[[str], Verdict]
    """What stands behind a question's colon → verdict, None when it cannot be read."""

    def messages(self, **inputs: str) -> list[Message]:
        """The prompt with its inputs filled in."""
        safe = {name: text.replace("</", "< /") for name, text in inputs.items()}  # a tag must not be closed
        return [Message(role="user", content=Template(prompt(self.prompt)).substitute(safe))]

    def read(self, raw: str) -> dict[str, Verdict]:
        """Question → verdict, from the last line that answers each question."""
        return {question: self._last(question, raw) for question in self.questions}

    def _last(self, question: str, raw: str) -> Verdict:
        found = re.findall(
            rf"^\W*(?:\d+\W+)?{question}\W*[:=]\s*(.+?)\s*$", raw, re.IGNORECASE | re.MULTILINE
        )
        return self.parse(found[-1].strip("*_`'\" .")) if found else None


def _choice(text: str) -> Verdict:
    return {"a": "A", "b": "B", "tie": "tie"}.get(text.casefold())


def _mark(text: str) -> Verdict:
    found = re.fullmatch(r"([1-5])(?:\s*/\s*5|\.0)?", text)
    return float(found[1]) if found else None


PAIRWISE = Step("pairwise", "pairwise.md", FACETS, _choice)
RUBRIC = Step("rubric", "rubric.md", FACETS, _mark)
STAGE = Step("stages", "stages.md", STAGES, _mark)


class Judgement(Record):
    """One call to a judge, as the ledger keeps it."""

    key: str
    """Hash of judge, prompt and inputs: the same question is asked once."""
    item: str
    step: str
    order: str
    """`AB`, `BA`, or nothing where there is one reply."""
    judge: str
    raw: str
    verdicts: dict[str, str | float | None]


@dataclass(frozen=True)
class Question:
    """One call to be made."""

    item: str
    order: str
    messages: tuple[Message, ...]


@dataclass(frozen=True)
class JudgeReport:
    """What a judge said."""

    step: str
    judge: str
    scores: tuple[Score, ...]
    tables: tuple[Table, ...]
    notes: tuple[str, ...]


@cache
def prompt(name: str) -> str:
    """The text of a prompt file."""
    return (files("hearten.evaluate") / "prompts" / name).read_text(encoding="utf-8")


def ask(
    step: Step, questions: Sequence[Question], judge: ChatModel, ledger: Path, *, quiet: bool = False
) -> list[Judgement]:
    """Every question's judgement in order; those in the ledger are not asked again."""
    known = {row.key: row for row in read_ledger(ledger)}
    keys = [_key(judge.name, step, question) for question in questions]
    done = sum(key in known for key in keys)
    with (
        Appender(ledger) as book,
        progress(f"judging ({step.name})", len(keys), done=done, quiet=quiet) as bar,
    ):
        for key, question in zip(keys, questions, strict=True):
            if key in known:
                continue
            raw = judge.complete(question.messages, sampling=STRICT)[0]
            known[key] = Judgement(
                key=key,
                item=question.item,
                step=step.name,
                order=question.order,
                judge=judge.name,
                raw=raw,
                verdicts=step.read(raw),
            )
            book.add(known[key])
            bar.advance()
    # the ledger leaves out what is None, and a better parser may read an old reply: read the raw text again
    return [known[key].model_copy(update={"verdicts": step.read(known[key].raw)}) for key in keys]


def read_ledger(path: Path) -> Iterator[Judgement]:
    """The judgements of a ledger, none when it is not there; a torn last line is cut."""
    if path.is_file():
        Appender(path).close()
        yield from read_records(path, Judgement)


def _key(judge: str, step: Step, question: Question) -> str:
    said = "\x1f".join(
        [judge, step.name, question.item, question.order, *(m.content for m in question.messages)]
    )
    return sha256(said.encode()).hexdigest()[:24]


def item_of(prediction: Prediction) -> str:
    """How an item is called in ledgers and in people's ratings: `conversation:turn`."""
    return f"{prediction.conversation_id}:{prediction.index}"


# --- pairs --------------------------------------------------------------------------------------------------


def pairs(first: Sequence[Prediction], second: Sequence[Prediction]) -> list[Question]:
    """Both orders of every pair of replies to the same turn.

    Raises:
        Failure: the two have different items, or a context that differs.
    """
    if [item_of(one) for one in first] != [item_of(two) for two in second]:
        raise Failure("the two runs have different items", fix="predict both on the same test part")
    questions = []
    for one, two in zip(first, second, strict=True):
        for order, (left, right) in {"AB": (one, two), "BA": (two, one)}.items():
            told = PAIRWISE.messages(context=_context(one), first=left.hypothesis, second=right.hypothesis)
            questions.append(Question(item_of(one), order, tuple(told)))
    return questions


def points(judgements: Sequence[Judgement], question: str) -> dict[str, tuple[float | None, bool | None]]:
    """Item → (points of the first system, whether both orders said the same).

    1 is a win in both orders, 0 a loss in both, ½ a tie or a win in each position; None when an order is
    unscored.
    """
    by_item: dict[str, dict[str, Verdict]] = {}
    for row in judgements:
        by_item.setdefault(row.item, {})[row.order] = row.verdicts.get(question)
    found: dict[str, tuple[float | None, bool | None]] = {}
    for item, orders in by_item.items():
        there, back = orders.get("AB"), orders.get("BA")
        if there is None or back is None:
            found[item] = (None, None)
            continue
        one, two = POINTS[str(there)], 1 - POINTS[str(back)]
        found[item] = ((one + two) / 2, one == two)
    return found


def pairwise_report(
    judgements: Sequence[Judgement], judge: str, humans: Sequence[Answer] = (), *, seed: int = 13
) -> JudgeReport:
    """Wins, position consistency and agreement with people (ratings of kind `votes`)."""
    scores: list[Score] = []
    lines, counts = [], {}
    for question in FACETS:
        found = points(judgements, question)
        rated = np.array([np.nan if value is None else value for value, _ in found.values()])
        same = [agree for _, agree in found.values() if agree is not None]
        counts[question] = Counter(_outcome(value) for value in rated[~np.isnan(rated)])
        person = _with_votes(found, [row for row in humans if row.question == question])
        win = _mean(f"{question}/points", rated, judge, PAIRWISE, seed)
        consistent = float(np.mean(same)) if same else None
        extra = {"position-consistency": consistent, **person}
        scores += [win, *_plain(question, judge, PAIRWISE, extra, len(same))]
        unscored = int(np.isnan(rated).sum())
        shown = (number(win.value, digits=1), number(consistent, digits=1), str(unscored))
        lines.append(
            (
                question,
                *shown,
                number(person["human-agreement"], digits=1),
                number(person["human-kappa"], "kappa"),
            )
        )
    told = {question: count for question, count in counts.items() if count}
    more, tables, _ = outcomes("Judge: win, tie, lose of the first", told, "item,both-orders")
    heads = ("question", "points %", "same in both orders %", "unscored", "agrees with people %", "κ")
    table = Table(f"Judge: {judge}", heads, tuple(lines), "Points: win 1, tie ½, averaged over both orders.")
    return JudgeReport("pairwise", judge, (*scores, *more), (*tables, table), tuple(_unscored(judgements)))


def _outcome(value: float) -> str:
    return "win" if value > 0.5 else "lose" if value < 0.5 else "tie"


def _with_votes(
    found: dict[str, tuple[float | None, bool | None]], humans: Sequence[Answer]
) -> dict[str, float | None]:
    """Agreement of the judge's outcome with people's joined votes, on the items both have."""
    names = {"win": 1.0, "tie": 0.5, "lose": 0.0}
    both = [
        (names[_outcome(value)], names[muffin_vote(str(row.value) for row in humans if row.item == item)])
        for item, (value, _) in found.items()
        if value is not None and any(row.item == item for row in humans)
    ]
    if not both:
        return {"human-agreement": None, "human-kappa": None}
    one, two = (np.array(column) for column in zip(*both, strict=True))
    return {"human-agreement": float((one == two).mean()), "human-kappa": cohen(one, two)}


# --- marks --------------------------------------------------------------------------------------------------


def singles(predictions: Sequence[Prediction]) -> list[Question]:
    """One rubric question a reply."""
    return [
        Question(item_of(one), "", tuple(RUBRIC.messages(context=_context(one), first=one.hypothesis)))
        for one in predictions
    ]


def marks_report(
    step: Step, judgements: Sequence[Judgement], judge: str, humans: Sequence[Answer] = (), *, seed: int = 13
) -> JudgeReport:
    """Mean marks and agreement with people (ratings of kind `likert`)."""
    scores: list[Score] = []
    lines = []
    for question in step.questions:
        marks = {row.item: _float(row.verdicts.get(question)) for row in judgements}
        values = np.array(list(marks.values()))
        mean = _mean(f"mean {question}", values, judge, step, seed)
        person = _with_marks(marks, [row for row in humans if row.question == question])
        scores += [mean, *_plain(question, judge, step, person, mean.items)]
        ends = "" if mean.interval is None else f"{mean.interval[0]:.2f}–{mean.interval[1]:.2f}"
        shown = (number(mean.value, "mean"), ends, str(int(np.isnan(values).sum())))
        lines.append((question, *shown, *(number(value, "mean") for value in person.values())))
    heads = ("question", "mean", "95% interval", "unscored", "Spearman with people", "α ordinal with people")
    table = Table(f"Judge: {judge}", heads, tuple(lines))
    return JudgeReport(step.name, judge, tuple(scores), (table,), tuple(_unscored(judgements)))


def _with_marks(marks: dict[str, float], humans: Sequence[Answer]) -> dict[str, float | None]:
    """Rank correlation and alpha of the judge's marks and the mean of people's."""
    both = [
        (mark, float(np.mean([float(row.value) for row in humans if row.item == item])))
        for item, mark in marks.items()
        if mark == mark and any(row.item == item for row in humans)
    ]
    found: dict[str, float | None] = {"human-spearman": None, "human-alpha": None}
    if len(both) < 3:
        return found
    one, two = (np.array(column) for column in zip(*both, strict=True))
    if np.ptp(one) and np.ptp(two):
        found["human-spearman"] = float(stats.spearmanr(one, two).statistic)
    found["human-alpha"] = krippendorff(np.vstack([one, two]), "ordinal")
    return found


# --- shared by both ---------------------------------------------------------------------------------------


def _mean(name: str, values: Array, judge: str, step: Step, seed: int) -> Score:
    scored = values[~np.isnan(values)]
    statistic = mean_of(name, scored)
    return Score(
        name=name,
        value=statistic.value if scored.size else None,
        items=int(scored.size),
        interval=interval(statistic, seed=seed) if scored.size else None,
        signature=_signature(name, judge, step),
        note=f"{values.size - scored.size} unscored" if scored.size < values.size else None,
    )


def _plain(
    question: str, judge: str, step: Step, values: dict[str, float | None], items: int
) -> Iterator[Score]:
    for name, value in values.items():
        if value is not None:
            told = _signature(name, judge, step)
            yield Score(name=f"{question}/{name}", value=value, signature=told, items=items)


def _signature(metric: str, judge: str, step: Step) -> str:
    mark = sha256(prompt(step.prompt).encode()).hexdigest()[:8]
    orders = "both,averaged" if step is PAIRWISE else None
    return signature(
        metric=metric, judge=judge, step=step.name, prompt=mark, orders=orders, unscored="left-out"
    )


def _unscored(judgements: Sequence[Judgement]) -> Iterator[str]:
    silent = sum(all(value is None for value in row.verdicts.values()) for row in judgements)
    if silent:
        yield f"{silent} of {len(judgements)} answers could not be read at all; the ledger keeps them"


def _context(prediction: Prediction) -> str:
    return "\n".join(line[:1].upper() + line[1:] for line in prediction.context)


def _float(value: Verdict) -> float:
    return float(value) if isinstance(value, int | float) else float("nan")


def as_dict(found: JudgeReport) -> dict[str, Any]:
    """The report as one JSON object."""
    return {
        "step": found.step,
        "judge": found.judge,
        "scores": [score.model_dump() for score in found.scores],
        "notes": list(found.notes),
    }
