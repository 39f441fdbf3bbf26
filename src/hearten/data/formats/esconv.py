"""ESConv.json as released, and FailedESConv.json with its older names; read and written.

Schema: docs/data.md. Scores are strings "1" to "5"; a missing answer is an absent key; stars stand in the
annotation of a seeker's turn and rate the supporter's messages before it. Text is stripped and its
whitespace collapsed, as every published preprocessing does. `hearten data export PATH --format esconv`.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from hearten.core.conversation import Conversation, Profile, Survey, Turn
from hearten.core.jsonl import write_json
from hearten.core.taxonomy import labels
from hearten.data.formats.draft import (
    ROLES,
    Draft,
    Format,
    Raw,
    clean,
    present,
    refuse_unknown,
    require,
    role,
)
from hearten.data.source import Source

QUESTIONS = ("seeker_question1", "seeker_question2", "supporter_question1", "supporter_question2")
KEYS = (
    "experience_type", "emotion_type", "problem_type", "situation", "survey_score", "dialog", *QUESTIONS,
)  # fmt: skip
TURN_KEYS, ANNOTATION_KEYS = {"speaker", "annotation", "content"}, {"strategy", "feedback"}
SEEKER_SCORES = {
    "initial_intensity": "initial_emotion_intensity",
    "empathy": "empathy",
    "relevance": "relevance",
    "final_intensity": "final_emotion_intensity",
}
"""Our field → the file's key, in the file's order."""


def recognise(source: Source) -> bool:
    """A record has a `dialog` whose turns have a speaker and content."""
    return bool(_first_turns(source)) and not recognise_failed(source)


def recognise_failed(source: Source) -> bool:
    """As ESConv, but its speakers are called speaker and listener."""
    return any(turn.get("speaker") in ("speaker", "listener") for turn in _first_turns(source))


def _first_turns(source: Source) -> list[dict[str, Any]]:
    dialog = source.first_record.get("dialog")
    turns = dialog if isinstance(dialog, list) else []
    return [turn for turn in turns if isinstance(turn, dict) and "speaker" in turn]


def records(source: Source) -> Iterator[Raw]:
    """One record a conversation."""
    return source.records()


def draft(record: Any, number: int) -> Draft:
    """One record of ESConv.json."""
    return _draft(record, f"esconv-{number:04d}", "esconv")


def draft_failed(record: Any, number: int) -> Draft:
    """One record of FailedESConv.json."""
    return _draft(record, f"esconv-failed-{number:04d}", "esconv-failed")


def _draft(record: Any, name: str, source: str) -> Draft:
    dialog = require(record, "dialog", list)
    refuse_unknown(record, KEYS)
    profile = present(
        problem=record.get("problem_type"),
        emotion=record.get("emotion_type"),
        situation=record.get("situation"),
        experience=record.get("experience_type"),
    )
    turns = [_turn(turn, number) for number, turn in enumerate(dialog, 1)]
    return {"id": name, "source": source, "profile": profile, "survey": _survey(record), "turns": turns}


def _turn(turn: Any, number: int) -> Draft:
    """One turn; what is as it should be takes the short way, for a corpus has 38,365 of them."""
    try:
        speaker, text, annotation = (
            ROLES[turn["speaker"]],
            " ".join(turn["content"].split()),
            turn["annotation"],
        )
        if text and turn.keys() == TURN_KEYS and annotation.keys() <= ANNOTATION_KEYS:
            return {"speaker": speaker, "text": text, **annotation}
    except (KeyError, TypeError, AttributeError):
        pass
    return _doubtful_turn(turn, f"dialog turn {number}")


def _doubtful_turn(turn: Any, where: str) -> Draft:
    """The same, slowly: a complaint with its place, or what can still be understood."""
    text = clean(require(turn, "content", str, where), f"{where}, field content")
    annotation = turn.get("annotation") or {}
    refuse_unknown(turn, TURN_KEYS, where)
    refuse_unknown(annotation, ANNOTATION_KEYS, f"{where}, field annotation")
    return {"speaker": role(turn.get("speaker"), f"{where}, field speaker"), "text": text, **annotation}


def _survey(record: Draft) -> Draft:
    scores = record.get("survey_score") or {}
    refuse_unknown(scores, ("seeker", "supporter"), "field survey_score")
    seeker, supporter = scores.get("seeker") or {}, scores.get("supporter") or {}
    refuse_unknown(seeker, SEEKER_SCORES.values(), "field survey_score.seeker")
    refuse_unknown(supporter, ("relevance",), "field survey_score.supporter")
    answers = {key: record[key] for key in QUESTIONS if key in record}
    found = {ours: seeker.get(theirs) for ours, theirs in SEEKER_SCORES.items()}
    return present(**found, detail=supporter.get("relevance"), answers=answers or None)


def write(conversations: Sequence[Conversation], path: Path) -> None:
    """Write the released layout: absent answers are absent keys, scores are strings."""
    write_json(path, [to_record(conversation) for conversation in conversations])


def to_record(conversation: Conversation) -> dict[str, Any]:
    """One conversation as a record of ESConv.json; ids and annotations have no place there."""
    return {
        **_profile_record(conversation.profile),
        "survey_score": _score_record(conversation.survey),
        "dialog": [_turn_record(turn) for turn in conversation.turns],
        **{key: text for key, text in (conversation.survey.answers or {}).items() if key in QUESTIONS},
    }


def _profile_record(profile: Profile) -> dict[str, str]:
    return present(
        experience_type=profile.experience and _released("experiences", profile.experience),
        emotion_type=profile.emotion,
        problem_type=profile.problem and _released("problems", profile.problem),
        situation=profile.situation,
    )


def _released(kind: str, name: str) -> str:
    """The spelling of the released file for a canonical label."""
    return next((theirs for theirs, ours in labels(kind).aliases.items() if ours == name), name)


def _score_record(survey: Survey) -> dict[str, dict[str, str]]:
    scores = ((theirs, getattr(survey, ours)) for ours, theirs in SEEKER_SCORES.items())
    detail = {} if survey.detail is None else {"relevance": str(survey.detail)}
    return {"seeker": {key: str(score) for key, score in scores if score is not None}, "supporter": detail}


def _turn_record(turn: Turn) -> dict[str, Any]:
    annotation = present(
        strategy=turn.strategy and turn.strategy.name,
        feedback=None if turn.feedback is None else str(turn.feedback),
    )
    return {"speaker": turn.speaker.value, "annotation": annotation, "content": turn.text}


ESCONV = Format(
    "esconv", "ESConv.json, 1,300 conversations", recognise, records, draft, write=write, source="esconv"
)
FAILED = Format(
    "esconv-failed",
    "FailedESConv.json, 196 conversations that did not help",
    recognise_failed,
    records,
    draft_failed,
    source="esconv-failed",
)
