"""Quality control: which conversations are kept, and why, criterion by criterion.

Liu et al. 2021, section 4.3, Table 1, Appendix D. A conversation passes through three gates: the preliminary
filter (finished, at least 16 utterances), then the criteria of Table 1 where the seeker answered the survey,
or the no-survey rule (lengths, and the last two stars) where not. Every verdict lists every criterion with
its value, so that an acceptance can be explained and a share per criterion counted. Thresholds are
`study.Thresholds`.

`hearten collect approve`; thresholds are searched in `calibration.py`, labels corrected in `correction.py`.
"""

from collections.abc import Iterable, Sequence
from statistics import fmean
from typing import Any

from hearten.collect.study import Thresholds
from hearten.core.conversation import Conversation, Record, Role


class Criterion(Record):
    """One criterion of one conversation."""

    name: str
    value: float | None
    """None: nobody answered."""
    threshold: float
    met: bool | None

    def words(self) -> str:
        """The criterion as a reader wants it: `empathy 2 (at least 3)`."""
        value = "not answered" if self.value is None else f"{self.value:.3g}"
        return f"{self.name.replace('_', ' ')} {value} (at least {self.threshold:.3g})"


class Verdict(Record):
    """Why a conversation was accepted or not."""

    conversation_id: str
    accepted: bool
    path: str
    """`filtered`, `survey` or `no survey`: which gate decided."""
    criteria: tuple[Criterion, ...]
    reasons: tuple[str, ...]
    """What failed, in words; empty when accepted."""
    recheck_intensity: bool = False
    """Improvement fell short though the other three supporter criteria hold: the seeker may have read the
    intensity scale upside down (section 4.3; 92% of 130 such conversations were revised)."""


def mean_words(conversation: Conversation, role: Role) -> float | None:
    """Mean words per utterance of one side, None if it never spoke."""
    lengths = [len(turn.text.split()) for turn in conversation.turns if turn.speaker is role]
    return fmean(lengths) if lengths else None


def improvement(conversation: Conversation) -> float | None:
    """Intensity before minus after."""
    survey = conversation.survey
    if survey.initial_intensity is None or survey.final_intensity is None:
        return None
    return survey.initial_intensity - survey.final_intensity


def _criterion(name: str, value: float | None, threshold: float) -> Criterion:
    return Criterion(
        name=name, value=value, threshold=threshold, met=None if value is None else value >= threshold
    )


def supporter_criteria(conversation: Conversation, rule: Thresholds) -> tuple[Criterion, ...]:
    """The four of Table 1 in its order."""
    survey = conversation.survey
    return (
        _criterion("empathy", survey.empathy, rule.empathy),
        _criterion("relevance", survey.relevance, rule.relevance),
        _criterion("supporter_length", mean_words(conversation, Role.SUPPORTER), rule.supporter_length),
        _criterion("improvement", improvement(conversation), rule.improvement),
    )


def seeker_criteria(conversation: Conversation, rule: Thresholds) -> tuple[Criterion, ...]:
    """The seeker's length, and detail where a study requires it."""
    length = _criterion("seeker_length", mean_words(conversation, Role.SEEKER), rule.seeker_length)
    if rule.detail is None:
        return (length,)
    return (_criterion("detail", conversation.survey.detail, rule.detail), length)


def judge(conversation: Conversation, rule: Thresholds, *, finished: bool | None = None) -> Verdict:
    """The verdict on one conversation.

    Args:
        finished: whether the seeker ended it naturally; None where a file does not say.
    """
    short = _criterion("utterances", len(conversation.turns), rule.minimum_utterances)
    if finished is False or not short.met:
        reasons = ["not finished by the seeker"] if finished is False else []
        reasons += [] if short.met else [short.words()]
        return _verdict(conversation, "filtered", (short,), reasons)
    if conversation.survey.complete:
        return _by_survey(conversation, rule)
    return _by_feedback(conversation, rule)


def _by_survey(conversation: Conversation, rule: Thresholds) -> Verdict:
    supporter, seeker = supporter_criteria(conversation, rule), seeker_criteria(conversation, rule)
    met = sum(criterion.met is True for criterion in supporter)
    reasons = [criterion.words() for criterion in seeker if not criterion.met]
    if met < rule.supporter_needed:
        missed = "; ".join(criterion.words() for criterion in supporter if not criterion.met)
        reasons.append(f"{met} of 4 supporter criteria, {rule.supporter_needed} needed: {missed}")
    recheck = supporter[-1].met is False and all(criterion.met for criterion in supporter[:-1])
    return _verdict(conversation, "survey", (*supporter, *seeker), reasons, recheck=recheck)


def _by_feedback(conversation: Conversation, rule: Thresholds) -> Verdict:
    """Without a survey: both lengths, and the last two stars (section 4.3)."""
    stars = [turn.feedback for turn in conversation.turns if turn.feedback is not None][-2:]
    criteria = (
        _criterion("supporter_length", mean_words(conversation, Role.SUPPORTER), rule.supporter_length),
        _criterion("seeker_length", mean_words(conversation, Role.SEEKER), rule.seeker_length),
        _criterion("last_two_feedback", min(stars) if len(stars) == 2 else None, rule.last_feedback),
    )
    return _verdict(conversation, "no survey", criteria, [row.words() for row in criteria if not row.met])


def _verdict(
    conversation: Conversation,
    path: str,
    criteria: tuple[Criterion, ...],
    reasons: list[str],
    recheck: bool = False,
) -> Verdict:
    return Verdict(
        conversation_id=conversation.id,
        accepted=not reasons,
        path=path,
        criteria=criteria,
        reasons=tuple(reasons),
        recheck_intensity=recheck,
    )


class Share(Record):
    """How many conversations met one criterion."""

    path: str
    criterion: str
    threshold: float
    asked: int
    met: int
    unanswered: int

    @property
    def share(self) -> float | None:
        """Met, of those it was asked of."""
        return self.met / self.asked if self.asked else None


def shares(verdicts: Sequence[Verdict]) -> list[Share]:
    """One row for each gate and criterion, in the order of first appearance."""
    groups: dict[tuple[str, str], list[Criterion]] = {}
    for verdict in verdicts:
        for criterion in verdict.criteria:
            groups.setdefault((verdict.path, criterion.name), []).append(criterion)
    return [
        Share(
            path=path,
            criterion=name,
            threshold=rows[0].threshold,
            asked=len(rows),
            met=sum(row.met is True for row in rows),
            unanswered=sum(row.met is None for row in rows),
        )
        for (path, name), rows in groups.items()
    ]


def summary(verdicts: Iterable[Verdict]) -> dict[str, Any]:
    """Counts per gate: {path: {conversations, accepted}}, and over all."""
    table: dict[str, dict[str, int]] = {}
    for verdict in verdicts:
        for path in (verdict.path, "all"):
            row = table.setdefault(path, {"conversations": 0, "accepted": 0, "recheck_intensity": 0})
            row["conversations"] += 1
            row["accepted"] += verdict.accepted
            row["recheck_intensity"] += verdict.recheck_intensity
    return table | {"all": table.pop("all")} if table else table
