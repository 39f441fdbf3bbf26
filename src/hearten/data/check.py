"""What `hearten data check` finds: counts, repeats, leaks, hints of personal data, warnings.

Everything is one plain dict of JSON values, so that a script reads what a person sees.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from typing import Any

from hearten.core.conversation import Conversation, Role, Turn
from hearten.core.errors import Failure
from hearten.core.protocol import leaks, protocol, split
from hearten.core.taxonomy import label_set, scenarios
from hearten.data.corpus import Corpus
from hearten.data.duplicates import exact_duplicates, likeness, repeated_openings
from hearten.data.pii import PATTERNS, hints

LEAK_PROTOCOL = "seed13-910"
PLACES = 20
"""Pairs, places and complaints shown of each kind; the counts are of all."""


def check(corpus: Corpus) -> dict[str, Any]:
    """The whole report on a corpus."""
    conversations = corpus.conversations
    return {
        "path": str(corpus.path),
        "format": corpus.format,
        "licence": corpus.licence,
        "label_set": corpus.label_set,
        **_counts(conversations),
        **_labels(conversations, corpus.label_set),
        **_repeats(conversations),
        "leaks": _leaks(conversations),
        "pii_hints": _pii(conversations),
        "skipped": len(corpus.skipped),
        "complaints": [" · ".join((error.what, error.where)) for error in corpus.skipped[:PLACES]],
        "warnings": list(_warnings(conversations)),
    }


def _turns(conversations: Sequence[Conversation]) -> Iterator[Turn]:
    return (turn for conversation in conversations for turn in conversation.turns)


def _counts(conversations: Sequence[Conversation]) -> dict[str, Any]:
    speakers = Counter(turn.speaker for turn in _turns(conversations))
    lengths = [len(conversation.turns) for conversation in conversations]
    return {
        "conversations": len(conversations),
        "utterances": sum(lengths),
        "supporter_utterances": speakers[Role.SUPPORTER],
        "seeker_utterances": speakers[Role.SEEKER],
        "utterances_per_conversation": {
            "least": min(lengths),
            "mean": round(sum(lengths) / len(lengths), 2),
            "most": max(lengths),
        },
        "stars": sum(turn.feedback is not None for turn in _turns(conversations)),
        "complete_seeker_surveys": sum(one.survey.complete for one in conversations),
    }


def _labels(conversations: Sequence[Conversation], labels_of: str) -> dict[str, Any]:
    used = Counter(str(turn.strategy) for turn in _turns(conversations) if turn.strategy)
    names = [*label_set(labels_of).names, *(name for name in used if name not in label_set(labels_of).names)]
    unlabelled = sum(turn.speaker is Role.SUPPORTER and not turn.strategy for turn in _turns(conversations))
    profiles = [conversation.profile for conversation in conversations]
    return {
        "strategies": {name: used[name] for name in names} if used else {},
        "unlabelled_supporter_utterances": unlabelled,
        "problems": _tally(profile.problem for profile in profiles),
        "emotions": _tally(profile.emotion for profile in profiles),
        "scenarios": _tally(profile.scenario for profile in profiles),
        "experiences": _tally(profile.experience for profile in profiles),
    }


def _tally(values: Iterable[str | None]) -> dict[str, int]:
    return dict(Counter(value for value in values if value).most_common())


def _repeats(conversations: Sequence[Conversation]) -> dict[str, Any]:
    exact, alike = exact_duplicates(conversations), likeness(conversations)
    same = {(pair.first, pair.second) for pair in exact}
    near = [pair for pair in alike.near if (pair.first, pair.second) not in same]
    return {
        "duplicates": len(exact),
        "near_duplicates": len({pair.second for pair in near}),
        "duplicate_pairs": [asdict(pair) for pair in [*exact[:PLACES], *near[:PLACES]]],
        "most_similar": [asdict(pair) for pair in alike.closest],
        "repeated_openings": [
            {"opening": opening, "conversations": times}
            for opening, times in repeated_openings(conversations)
        ],
    }


def _leaks(conversations: Sequence[Conversation]) -> dict[str, Any]:
    try:
        found = leaks(split(conversations, protocol(LEAK_PROTOCOL)))
    except Failure as error:
        return {"protocol": LEAK_PROTOCOL, "not_checked": error.what}
    return {"protocol": LEAK_PROTOCOL, **asdict(found), "leaky": found.leaky}


def _pii(conversations: Sequence[Conversation]) -> dict[str, Any]:
    found = hints(conversations)
    kinds = Counter(hint.kind for hint in found)
    return {**{kind: kinds[kind] for kind in PATTERNS}, "places": [asdict(hint) for hint in found[:PLACES]]}


def _warnings(conversations: Sequence[Conversation]) -> Iterator[str]:
    ids = Counter(conversation.id for conversation in conversations)
    listed = {scenario.name for scenario in scenarios()}
    doubts = {
        "share their id with another": [n for n, times in ids.items() if times > 1],
        "have only one speaker": [one.id for one in conversations if len({t.speaker for t in one.turns}) < 2],
        "have fewer than four utterances": [one.id for one in conversations if len(one.turns) < 4],
        "have stars before any supporter spoke": [one.id for one in conversations if _early_stars(one)],
        "name a scenario that is not one of ExTES's 36": [
            one.id for one in conversations if one.profile.scenario and one.profile.scenario not in listed
        ],
        "have no strategy although others do": _unlabelled(conversations),
    }
    for doubt, names in doubts.items():
        if names:
            examples = ", ".join(names[:3]) + (", …" if len(names) > 3 else "")
            yield f"{len(names)} of {len(conversations)} conversations {doubt} ({examples})"


def _early_stars(conversation: Conversation) -> bool:
    return any(not rated for _, rated in conversation.rated_turns())


def _unlabelled(conversations: Sequence[Conversation]) -> list[str]:
    without = [one.id for one in conversations if not any(turn.strategy for turn in one.turns)]
    return without if len(without) < len(conversations) else []
