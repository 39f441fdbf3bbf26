"""A room's events as core's `Conversation`: what is exported, judged, and shown to a supporting model.

Stars move onto the seeker's next message, as in the released ESConv file, so that `Conversation.rated_turns`
finds the supporter's messages they rate. Stars after which the seeker wrote nothing have no such message:
they are kept in `annotations.feedback` of the supporter's last one.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from hearten.collect.rooms import SEEKER, Entry
from hearten.core.conversation import Conversation

SCORES = ("initial_intensity", "final_intensity", "empathy", "relevance", "detail")
PROFILE = ("problem", "emotion", "situation", "experience")


def conversation(
    id: str,
    entries: Sequence[Entry],
    *,
    label_set: str,
    before: Mapping[str, Any],
    after: Mapping[str, Any] | None = None,
    source: str = "collected",
) -> Conversation:
    """The conversation a room holds.

    Args:
        before: the seeker's answers before the chat.
        after: both sides' answers afterwards, merged.
    """
    answers = {**before, **(after or {})}
    questions = {name: value for name, value in answers.items() if "_question" in name}
    survey = {name: int(answers[name]) for name in SCORES if answers.get(name)}
    return Conversation.model_validate(
        {
            "id": id,
            "source": source,
            "label_set": label_set,
            "profile": {name: before.get(name) or None for name in PROFILE},
            "survey": {**survey, "answers": questions or None},
            "turns": turns(entries),
        }
    )


def turns(entries: Sequence[Entry]) -> list[dict[str, Any]]:
    """Messages in order, stars on the seeker's next message."""
    found: list[dict[str, Any]] = []
    pending: int | None = None
    for entry in entries:
        if entry.kind == "stars":
            pending = entry.stars
        elif entry.kind == "message" and (entry.text or "").strip():
            turn: dict[str, Any] = {"speaker": entry.role, "text": entry.text, "strategy": entry.strategy}
            if entry.role == SEEKER and pending is not None:
                turn["feedback"], pending = pending, None
            found.append(turn)
    last = next((turn for turn in reversed(found) if turn["speaker"] != SEEKER), None)
    if pending is not None and last is not None:
        last["annotations"] = {"feedback": pending}
    return found
