"""Human evaluation in the same rooms: hidden supporters talked to, or replies seen side by side, then
questions.

In a `chat` study a participant describes one problem and talks about it with two or three models in an order
of their own (Liu et al. 2021, section 6.3; Table 5), not knowing which is which, and then says for every pair
and every question which was better, or that neither was. In a `pairs` study two replies to the same context
are compared (Muffin, Figure 9). Answers are core `Rating`s: item `WHAT|SYSTEM|SYSTEM`, value the better
system or `tie`.
"""

import random
from functools import cache
from itertools import combinations
from pathlib import Path
from typing import Annotated, NamedTuple

from pydantic import Field

from hearten.collect.study import Chat, Judge, Study
from hearten.core.conversation import Record, Text
from hearten.core.jsonl import read_records

TIE = "tie"


class PairItem(Record):
    """One context and the replies of two or more systems to it: a line of `judge.items`."""

    id: Text
    context: tuple[str, ...]
    """Turns as `role: text`."""
    replies: Annotated[dict[str, str], Field(min_length=2)]


class Comparison(NamedTuple):
    """Two hidden systems to be compared, in the order they are shown."""

    item: str
    """What is stored: it names the systems in alphabetical order."""
    shown: tuple[str, str]


def order(judge: Judge, pseudonym: str) -> tuple[str, ...]:
    """The order in which one participant meets the supporters; the same on every request."""
    names = list(judge.supporters)
    random.Random(f"order/{pseudonym}").shuffle(names)
    return tuple(names)


def chat_rule(study: Study) -> Chat:
    """The rules of a chat with a hidden model: no stars, no clock, as many exchanges as the study wants."""
    if study.judge is None:
        return study.chat
    changes = {"feedback_every": 0, "end_turns": study.judge.minimum_turns, "end_minutes": 0.0}
    return study.chat.model_copy(update=changes)


def comparison(what: str, shown: tuple[str, str]) -> Comparison:
    """The comparison of two systems about `what`."""
    return Comparison("|".join((what, *sorted(shown))), shown)


def chat_comparisons(judge: Judge, pseudonym: str) -> list[Comparison]:
    """Every pair of the supporters a participant has met, in the order they were met."""
    return [comparison(pseudonym, pair) for pair in combinations(order(judge, pseudonym), 2)]


@cache
def pair_items(path: Path) -> tuple[PairItem, ...]:
    """The items of a `pairs` study.

    Raises:
        UsageError: no such file.
        Failure: a line does not fit.
    """
    return tuple(read_records(path, PairItem))


def pair_comparisons(judge: Judge, pseudonym: str) -> list[tuple[PairItem, Comparison]]:
    """Every item and pair, in an order and with sides of this participant's own."""
    dice = random.Random(f"pairs/{pseudonym}")
    found = []
    for item in pair_items(Path(judge.items)):
        for pair in combinations(sorted(item.replies), 2):
            left, right = dice.sample(pair, 2)
            found.append((item, comparison(item.id, (left, right))))
    dice.shuffle(found)
    return found


def value(shown: tuple[str, str], answer: str) -> str | None:
    """The stored value of an answer `first`, `second` or `tie`; None if it is none of them."""
    return {"first": shown[0], "second": shown[1], TIE: TIE}.get(answer)
