"""The questions before and after a chat, for both roles (Liu et al. 2021, section 4.2 and Figure 8 b, e).

A survey is a list of `Item`s, so that a page draws it and `read_answers` checks it from the same table.
Answers are kept as plain strings by item name; `export.py` gives them their place in the core `Survey`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from hearten.collect.study import SeekerSurvey
from hearten.core.taxonomy import labels


@dataclass(frozen=True, slots=True)
class Item:
    """One question; its wording is in the strings file under `survey.NAME`."""

    name: str
    kind: Literal["stars", "choice", "words", "text", "email"]
    required: bool = True
    options: tuple[str, ...] = ()
    words: tuple[int, int] = (0, 0)


LONGEST_ANSWER = 4000
"""Characters of a free answer."""


def seeker_before(rule: SeekerSurvey) -> tuple[Item, ...]:
    """Problem, emotion, intensity, situation, origin."""
    return (
        Item("problem", "choice", options=rule.problems),
        Item("emotion", "choice", options=rule.emotions),
        Item("initial_intensity", "stars"),
        Item("situation", "words", words=rule.words),
        Item("experience", "choice", options=labels("experiences").names),
    )


SEEKER_AFTER = (
    Item("natural", "choice", options=("yes", "no")),
    Item("final_intensity", "stars"),
    Item("empathy", "stars"),
    Item("relevance", "stars"),
    Item("seeker_question1", "text", required=False),
    Item("seeker_question2", "text", required=False),
    Item("email", "email", required=False),
)
SUPPORTER_AFTER = (
    Item("natural", "choice", options=("yes", "no")),
    Item("detail", "stars"),
    Item("supporter_question1", "text", required=False),
    Item("supporter_question2", "text", required=False),
    Item("email", "email", required=False),
)


def after(role: str) -> tuple[Item, ...]:
    """The survey after the chat for `seeker` or `supporter`."""
    return SUPPORTER_AFTER if role == "supporter" else SEEKER_AFTER


def read_answers(items: tuple[Item, ...], form: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """(answers, problems): what is usable of a submitted form, and for each bad field the key of its
    message.
    """
    answers: dict[str, str] = {}
    problems: dict[str, str] = {}
    for item in items:
        value = str(form.get(item.name, "")).replace("\x00", "").strip()
        problem = _problem(item, value)
        if problem:
            problems[item.name] = problem
        elif value:
            answers[item.name] = value
    return answers, problems


def _problem(item: Item, value: str) -> str:
    """Which message a value deserves, or nothing."""
    if not value:
        return "missing" if item.required else ""
    if len(value) > LONGEST_ANSWER:
        return "too_long"
    if item.kind == "stars":
        return "" if value in {"1", "2", "3", "4", "5"} else "not_stars"
    if item.kind == "choice":
        return "" if value in item.options else "not_listed"
    if item.kind == "words":
        least, most = item.words
        return "" if least <= len(value.split()) <= most else "words"
    if item.kind == "email":
        return "" if "@" in value and " " not in value else "not_email"
    return ""
