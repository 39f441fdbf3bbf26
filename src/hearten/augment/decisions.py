"""What people's reviews come to: one standing decision for each conversation, from an audit trail.

The trail (`reviews.jsonl`) is never rewritten. An `undo` takes back the same reviewer's last decision about
the item; of each reviewer the last decision counts; an adjudication outweighs all others. Where reviewers
disagree and nobody settled it, the conversation is disputed, and stays out of the corpus until somebody does.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from hearten.augment.records import Review
from hearten.core.conversation import Conversation

State = Literal["accepted", "edited", "discarded", "disputed"]


@dataclass(frozen=True)
class Standing:
    """Where a conversation stands after review."""

    state: State
    reviewers: tuple[str, ...]
    conversation: Conversation | None = None
    """How it reads after an edit; None where it stays as it was grown."""


def standing(trail: Iterable[Review]) -> dict[str, Standing]:
    """Conversation → where it stands; those nobody decided about are not in it."""
    about: defaultdict[str, list[Review]] = defaultdict(list)
    for review in trail:
        about[review.item].append(review)
    last = {item: in_force(lines) for item, lines in about.items()}
    return {item: _settled(reviews) for item, reviews in last.items() if reviews}


def in_force(about: Sequence[Review]) -> tuple[Review, ...]:
    """Of all lines about one conversation, each person's last decision that was not taken back."""
    last: defaultdict[str, list[Review]] = defaultdict(list)
    for line in about:
        stack = last[line.reviewer]
        if line.action != "undo":
            stack.append(line)
        elif stack:
            stack.pop()
    return tuple(stack[-1] for stack in last.values() if stack)


def _settled(reviews: Sequence[Review]) -> Standing:
    who = tuple(review.reviewer for review in reviews)
    deciding = [review for review in reviews if review.adjudication][-1:] or reviews
    discards = [review.action == "discard" for review in deciding]
    edits = [review.after for review in deciding if review.action == "edit" and review.after]
    if all(discards):
        return Standing("discarded", who)
    if any(discards) or any(edit.turns != edits[0].turns for edit in edits):
        return Standing("disputed", who)
    return Standing("edited", who, edits[0]) if edits else Standing("accepted", who)
