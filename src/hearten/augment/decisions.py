"""What people's reviews come to: one standing decision for each conversation, from an audit trail.

The trail (`reviews.jsonl`) is never rewritten. An `undo` takes back the same reviewer's last decision about
the item; of each reviewer the last decision counts; an adjudication outweighs all others. Where reviewers
disagree and nobody settled it, the conversation is disputed, and stays out of the corpus until somebody does.
"""

from collections import defaultdict
from collections.abc import Iterable
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
    stacks: defaultdict[str, dict[str, list[Review]]] = defaultdict(lambda: defaultdict(list))
    for review in trail:
        stack = stacks[review.item][review.reviewer]
        if review.action == "undo":
            if stack:
                stack.pop()
        else:
            stack.append(review)
    last = {item: [stack[-1] for stack in by.values() if stack] for item, by in stacks.items()}
    return {item: _settled(reviews) for item, reviews in last.items() if reviews}


def _settled(reviews: list[Review]) -> Standing:
    who = tuple(review.reviewer for review in reviews)
    deciding = [review for review in reviews if review.adjudication][-1:] or reviews
    discards = [review.action == "discard" for review in deciding]
    edits = [review.after for review in deciding if review.action == "edit" and review.after]
    if all(discards):
        return Standing("discarded", who)
    if any(discards) or any(edit.turns != edits[0].turns for edit in edits):
        return Standing("disputed", who)
    return Standing("edited", who, edits[0]) if edits else Standing("accepted", who)
