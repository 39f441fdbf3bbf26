"""From a corpus folder to a corpus: reviewers' decisions applied, the trail beside it, a card that tells all.

Written: `conversations.jsonl` (what every later stage reads), `provenance.jsonl` (where each comes from and
what was checked), `reviews.jsonl` (the audit trail) and `card.md`. Every conversation says that it is
synthetic: its source is `hearten-augment`.

    $ hearten augment export runs/grown
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hearten.augment.card import card
from hearten.augment.decisions import Standing, standing
from hearten.augment.ledger import Account, Ledger
from hearten.augment.plan import load_plan
from hearten.augment.records import CorpusFolder, Grown
from hearten.core.conversation import Conversation
from hearten.core.errors import Failure
from hearten.core.jsonl import replacing, write_records


@dataclass(frozen=True)
class Kept:
    """One conversation of the corpus."""

    conversation: Conversation
    grown: Grown
    standing: Standing | None

    def line(self) -> dict[str, Any]:
        """Its line of `provenance.jsonl`."""
        state = self.standing
        reviewed = {"state": state.state, "reviewers": len(state.reviewers)} if state else None
        checks = [check.model_dump() for check in self.grown.checks]
        provenance = self.grown.provenance.model_dump()
        return {"id": self.conversation.id, "provenance": provenance, "checks": checks, "review": reviewed}


def export(
    folder: CorpusFolder, target: Path, *, licence: str, reviewed_only: bool = False
) -> dict[str, Any]:
    """Write the corpus; returns counts.

    Args:
        folder: what was grown.
        target: folder to write.
        licence: for the card; what may be done with a model's output is for its terms to say.
        reviewed_only: leave out what nobody has looked at.

    Raises:
        Failure: no conversation is left.
    """
    decided = standing(folder.decisions())
    kept = list(_kept(folder, decided, reviewed_only))
    if not kept:
        raise Failure(
            "no conversation is left to export", where=str(folder.path), fix="hearten augment check shows why"
        )
    write_records(target / "conversations.jsonl", (one.conversation for one in kept))
    write_records(target / "provenance.jsonl", [one.line() for one in kept])
    write_records(target / "reviews.jsonl", folder.decisions())
    counts = _counts(folder, kept, decided)
    with replacing(target / "card.md") as stream:
        talks, grown = [one.conversation for one in kept], [one.grown for one in kept]
        stream.write(card(load_plan(folder.plan), talks, grown, counts, _account(folder), licence))
    return counts


def _kept(folder: CorpusFolder, decided: Mapping[str, Standing], reviewed_only: bool) -> Iterator[Kept]:
    for accepted, one in folder.grown():
        state = decided.get(one.id)
        if state is None and (reviewed_only or not accepted):
            continue
        if state is not None and state.state in ("discarded", "disputed"):
            continue
        conversation = state.conversation if state and state.conversation else one.conversation
        if conversation is not None:
            yield Kept(conversation, one, state)


def _counts(folder: CorpusFolder, kept: list[Kept], decided: Mapping[str, Standing]) -> dict[str, Any]:
    verdicts = Counter(accepted for accepted, _ in folder.grown())
    states = Counter(state.state for state in decided.values())
    return {
        "conversations": len(kept),
        "accepted": verdicts[True],
        "rejected": verdicts[False],
        "reviewed": len(decided),
        **{name: states[name] for name in ("edited", "discarded", "disputed")},
    }


def _account(folder: CorpusFolder) -> Account:
    with Ledger(folder.requests, lambda slot: False) as ledger:
        return ledger.account
