"""The tables that describe a corpus: ESConv Tables 2, 3, 6, Figures 3, 4; ExTES Tables 1 to 3, 5, Figure 2.

Any corpus, any label set. Where a paper or README prints a figure for the corpus, it stands beside ours
(`published.toml`). Words are counted by whitespace, and once more with punctuation apart.
"""

import re
import tomllib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from functools import cache
from importlib.resources import files
from statistics import fmean
from typing import Any

from hearten.core.conversation import Conversation, Role
from hearten.core.progress_intervals import INTERVAL_NAMES, interval, phase, shares
from hearten.core.taxonomy import LabelSet, label_set, scenarios
from hearten.data.corpus import Corpus
from hearten.data.log_odds import marks
from hearten.data.transitions import HOPS, transitions

TOKEN = re.compile(r"\w+(?:['’]\w+)?|[^\w\s]")
THIRDS = ("first third", "second third", "last third")
PHASES = 4
Numbers = dict[str, float]


@cache
def published(source: str) -> dict[str, Any]:
    """What is printed about a corpus: {"paper": {...}, "readme": {...}}, empty where we know of nothing."""
    tables = tomllib.loads((files("hearten.data") / "published.toml").read_text(encoding="utf-8"))
    found = tables.get(source, {})
    if source == "extes":
        found["paper"]["scenarios"] = {row.name: row.dialogues for row in scenarios()}
    return dict(found)


def statistics(corpus: Corpus) -> dict[str, Any]:
    """Every table as plain values."""
    conversations, known = corpus.conversations, label_set(corpus.label_set)
    strategies = Counter(str(turn.strategy) for one in conversations for turn in one.turns if turn.strategy)
    stars = Counter(str(turn.feedback) for one in conversations for turn in one.turns if turn.feedback)
    return {
        "path": str(corpus.path),
        "format": corpus.format,
        "source": Counter(one.source for one in conversations).most_common(1)[0][0],
        "licence": corpus.licence,
        "label_set": known.name,
        "overview": overview(conversations),
        "problems": _tally(one.profile.problem for one in conversations),
        "emotions": _tally(one.profile.emotion for one in conversations),
        "scenarios": _tally(one.profile.scenario for one in conversations),
        "stars": dict(sorted(stars.items())),
        "strategies": {name: strategies[name] for name in known.names} if strategies else {},
        "transitions": {
            f"{hops} hops": [
                {"chain": " → ".join(row.chain), "count": row.count, "per_mille": row.per_mille}
                for row in transitions(conversations, hops)
            ]
            for hops in HOPS
        },
        "progress": _progress(conversations, known),
        "phases": _phases(conversations, known),
        "feedback_by_phase": feedback_by_phase(conversations),
        "intensity_change": intensity_change(conversations),
        "marks": _marks(conversations, known),
    }


def overview(conversations: Sequence[Conversation]) -> Numbers:
    """Sizes and lengths (ESConv Table 2, ExTES Table 3) and mean intensities."""
    turns = [(turn.speaker, turn.text) for one in conversations for turn in one.turns]
    by_role = {role: [text for speaker, text in turns if speaker is role] for role in Role}
    groups = {
        "": [text for _, text in turns],
        "supporter ": by_role[Role.SUPPORTER],
        "seeker ": by_role[Role.SEEKER],
    }
    count = len(conversations)
    found: Numbers = {"conversations": count}
    found |= {f"{who}utterances": len(texts) for who, texts in groups.items()}
    found |= {
        f"{who}utterances per conversation": round(len(texts) / count, 2) for who, texts in groups.items()
    }
    found |= {
        f"words per {who}utterance": _mean(len(text.split()) for text in texts)
        for who, texts in groups.items()
    }
    found["tokens per utterance"] = _mean(len(TOKEN.findall(text)) for _, text in turns)
    surveys = [one.survey for one in conversations]
    before = [survey.initial_intensity for survey in surveys if survey.initial_intensity is not None]
    after = [survey.final_intensity for survey in surveys if survey.final_intensity is not None]
    if before:
        found["mean intensity before"] = _mean(before)
    if after:
        found["mean intensity after"] = _mean(after)
    return found


def _mean(values: Iterable[float]) -> float:
    listed = list(values)
    return round(fmean(listed), 2) if listed else 0.0


def _tally(values: Iterable[str | None]) -> dict[str, int]:
    return dict(Counter(value for value in values if value).most_common())


def strategy_places(conversations: Iterable[Conversation]) -> list[tuple[int, int, str]]:
    """(index, turns in all, strategy) of every labelled supporter turn."""
    return [
        (index, len(one.turns), turn.strategy.name)
        for one in conversations
        for index, turn in one.supporter_turns()
        if turn.strategy
    ]


def _progress(conversations: Sequence[Conversation], known: LabelSet) -> dict[str, Numbers]:
    """Shares of strategies in six progress intervals (ESConv Figure 4)."""
    placed = [(interval(index, total), name) for index, total, name in strategy_places(conversations)]
    found = shares(placed, known.names) if placed else []
    return dict(zip(INTERVAL_NAMES, map(_rounded, found), strict=False))


def _phases(conversations: Sequence[Conversation], known: LabelSet) -> dict[str, Numbers]:
    """Shares of strategies in four equal phases (ExTES Figure 2)."""
    placed = [(phase(index, total, PHASES), name) for index, total, name in strategy_places(conversations)]
    found = shares(placed, known.names, PHASES) if placed else []
    return {f"phase {number}": _rounded(row) for number, row in enumerate(found, 1)}


def _rounded(row: Numbers) -> Numbers:
    return {name: round(share, 4) for name, share in row.items()}


def feedback_by_phase(conversations: Iterable[Conversation]) -> Numbers:
    """Mean stars in each third of the conversation (ESConv section 4.2), by the turn that carries them."""
    stars: list[list[int]] = [[], [], []]
    for one in conversations:
        for index, turn in enumerate(one.turns):
            if turn.feedback is not None:
                stars[index * 3 // len(one.turns)].append(turn.feedback)
    return {name: _mean(given) for name, given in zip(THIRDS, stars, strict=True) if given}


def intensity_change(conversations: Iterable[Conversation]) -> dict[str, int]:
    """How many seekers' intensity fell by so much; negative is a rise."""
    falls = Counter(
        one.survey.initial_intensity - one.survey.final_intensity
        for one in conversations
        if one.survey.initial_intensity is not None and one.survey.final_intensity is not None
    )
    return {str(fall): falls[fall] for fall in sorted(falls)}


def _marks(conversations: Iterable[Conversation], known: LabelSet) -> dict[str, list[dict[str, Any]]]:
    """Terms that mark each strategy (ESConv Figure 3)."""
    said = ((str(turn.strategy), turn.text) for one in conversations for turn in one.turns if turn.strategy)
    found = marks(said)
    return {name: [asdict(mark) for mark in found[name]] for name in known.names if name in found}
