"""Which thresholds agree best with people? The search of Appendix D and Table 7.

Every candidate rule is an annotator: it says yes or no to each judged conversation, and its agreement with
each human annotator is Cohen's kappa. The candidates are the base rule and its neighbours, one threshold
moved at a time, as Table 7 lists them. The paper then takes the *second* highest mean, because the highest
was stricter and kept fewer conversations; `choose` does the same and says so. `hearten collect calibrate`.
"""

from collections.abc import Iterable, Sequence
from statistics import fmean
from typing import Any

from hearten.collect.quality import judge
from hearten.collect.study import Thresholds
from hearten.core.conversation import Conversation, Record
from hearten.core.errors import Failure
from hearten.core.records import Rating

QUESTION = "qualified"
MOVES: dict[str, tuple[float, ...]] = {
    "improvement": (1, 2),
    "supporter_length": (7, 8, 9),
    "empathy": (2, 3, 4),
    "relevance": (3, 4, 5),
    "detail": (2, 3, 4),
    "seeker_length": (5, 6, 7),
}
"""The values Table 7 tries for each threshold."""


class Trial(Record):
    """One rule and its agreement."""

    thresholds: dict[str, float | None]
    kappas: dict[str, float | None]
    """By annotator; None where kappa is undefined (someone says always the same)."""
    mean: float | None
    accepted: int
    judged: int


def human_votes(ratings: Iterable[Rating]) -> dict[str, dict[str, bool]]:
    """{annotator: {conversation id: qualified}} from `Rating` lines whose question is `qualified`.

    Raises:
        Failure: a value that is neither yes nor no, or no such line at all.
    """
    votes: dict[str, dict[str, bool]] = {}
    for rating in ratings:
        if rating.question == QUESTION:
            votes.setdefault(rating.rater, {})[rating.item] = _yes(rating)
    if not votes:
        raise Failure(
            f"no rating asks '{QUESTION}'",
            fix=f'lines like {{"item": ID, "rater": "A", "question": "{QUESTION}", "value": "yes"}}',
        )
    return votes


def _yes(rating: Rating) -> bool:
    known = {
        "yes": True,
        "1": True,
        "1.0": True,
        "true": True,
        "no": False,
        "0": False,
        "0.0": False,
        "false": False,
    }
    value = known.get(str(rating.value).casefold())
    if value is None:
        raise Failure(
            f"'{rating.value}' is neither yes nor no", where=f"item {rating.item}, rater {rating.rater}"
        )
    return value


def neighbours(base: Thresholds) -> list[Thresholds]:
    """The base rule first, then one threshold moved at a time."""
    rules = [base]
    for field, values in MOVES.items():
        rules += [base.model_copy(update={field: value}) for value in values if value != getattr(base, field)]
    return rules


def kappa(ours: Sequence[bool], theirs: Sequence[bool]) -> float | None:
    """Cohen's kappa of two yes-or-no annotators; None where both always say the same, and it is undefined."""
    observed = fmean(a == b for a, b in zip(ours, theirs, strict=True))
    share_a, share_b = fmean(ours), fmean(theirs)
    expected = share_a * share_b + (1 - share_a) * (1 - share_b)
    return None if expected == 1 else (observed - expected) / (1 - expected)


def search(
    conversations: Sequence[Conversation], votes: dict[str, dict[str, bool]], base: Thresholds
) -> list[Trial]:
    """Every neighbouring rule against every annotator, the base rule first.

    Raises:
        Failure: no annotator judged any of these conversations.
    """
    judged = [row for row in conversations if any(row.id in votes[rater] for rater in votes)]
    if not judged:
        raise Failure("no judged conversation is in the file", fix="a rating's item is a conversation's id")
    return [_trial(rule, judged, votes) for rule in neighbours(base)]


def _trial(rule: Thresholds, judged: Sequence[Conversation], votes: dict[str, dict[str, bool]]) -> Trial:
    ours = {row.id: judge(row, rule).accepted for row in judged}
    kappas: dict[str, float | None] = {}
    for rater, theirs in votes.items():
        both = [name for name in theirs if name in ours]
        kappas[rater] = (
            kappa([ours[name] for name in both], [theirs[name] for name in both]) if both else None
        )
    known = [value for value in kappas.values() if value is not None]
    return Trial(
        thresholds={field: getattr(rule, field) for field in MOVES},
        kappas=kappas,
        mean=fmean(known) if known else None,
        accepted=sum(ours.values()),
        judged=len(judged),
    )


def choose(trials: Sequence[Trial]) -> Trial:
    """The paper's choice: the second highest mean agreement, the highest where there is only one value.

    Raises:
        Failure: no rule has a defined agreement.
    """
    known = sorted({trial.mean for trial in trials if trial.mean is not None}, reverse=True)
    if not known:
        raise Failure(
            "no agreement is defined: every annotator gave one answer only", fix="judge more conversations"
        )
    wanted = known[min(1, len(known) - 1)]
    return max((trial for trial in trials if trial.mean == wanted), key=lambda trial: trial.accepted)


def as_rows(trials: Sequence[Trial]) -> list[dict[str, Any]]:
    """Trials as flat rows, for a table or `--json`."""
    return [
        {**trial.thresholds, **trial.kappas, "mean": trial.mean, "accepted": trial.accepted}
        for trial in trials
    ]
