"""What a grown corpus is like: what the checks said, and how it differs from its seeds.

`hearten augment check` prints the first part; it also checks a plain file of conversations, such as a corpus
from elsewhere, under the same bounds. The second goes into the data card.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from hearten.augment.checks import Checker, local_scorer, tally
from hearten.augment.plan import Bounds, load_plan
from hearten.augment.records import Check, CorpusFolder
from hearten.augment.resemblance import Index
from hearten.augment.run import TOGETHER
from hearten.core.conversation import Conversation, Role
from hearten.core.jsonl import read_records
from hearten.core.progress import progress
from hearten.core.shingles import words

COMPARED_WORDS = 20_000
"""Words on which variety is compared: it falls with the size of a text, so both sides get equally many."""


def report_on(path: Path, plan: Path | None = None, *, show: int = 3, quiet: bool = False) -> dict[str, Any]:
    """Check → how many it rejected and remarked on, with examples.

    Args:
        path: a corpus folder (what was found while it grew), or a file of conversations (checked now).
        plan: whose bounds to use for a file; the defaults otherwise.
        show: examples of each check.
        quiet: no progress bar.
    """
    if path.is_dir():
        rows = [(one.id, one.checks) for _, one in CorpusFolder.open(path).grown()]
    else:
        rows = checked(list(read_records(path, Conversation)), plan, quiet=quiet)
    rejected = sum(any(not check.passed for check in checks) for _, checks in rows)
    counts = tally(checks for _, checks in rows)
    found: dict[str, Any] = {name: {**row, "examples": []} for name, row in counts.items()}
    for identifier, checks in rows:
        for check in checks:
            examples = found[check.check]["examples"]
            if not check.passed and len(examples) < show:
                examples.append({"id": identifier, "reason": check.reason})
    return {"path": str(path), "accepted": len(rows) - rejected, "rejected": rejected, "checks": found}


def checked(
    talks: Sequence[Conversation], plan: Path | None, *, quiet: bool
) -> list[tuple[str, tuple[Check, ...]]]:
    """(id, checks) of conversations that were not grown here; near-duplicates are looked for among them."""
    bounds = load_plan(plan).checks if plan else Bounds()
    checker, index = Checker(bounds, local_scorer()), Index()
    found: list[tuple[str, tuple[Check, ...]]] = []
    with progress("checking", len(talks), quiet=quiet) as bar:
        for start in range(0, len(talks), TOGETHER):
            some = talks[start : start + TOGETHER]
            for talk, toxic in zip(some, checker.toxicity(some), strict=True):
                near = index.nearest(talk, bounds.near)
                told = f"{near.similarity:.2f} of its three-word runs are those of {near.id}" if near else ""
                own = (*checker.of_conversation(talk), toxic)
                found.append(
                    (talk.id, (*own, Check(check="near-duplicate", passed=near is None, reason=told)))
                )
                index.add(talk)
            bar.advance(len(some))
    return found


def figures(talks: Sequence[Conversation], compared: int = COMPARED_WORDS) -> dict[str, float]:
    """A corpus in numbers; means are over turns or conversations, shares from 0 to 1."""
    turns = [turn for talk in talks for turn in talk.turns]
    said = [words(turn.text) for turn in turns]
    supported = [row for row, turn in zip(said, turns, strict=True) if turn.speaker is Role.SUPPORTER]
    openings = Counter(" ".join(words(talk.turns[0].text)[:4]) for talk in talks)
    asking = ["?" in turn.text for turn in turns if turn.speaker is Role.SUPPORTER]
    used = Counter(str(turn.strategy) for turn in turns if turn.strategy)
    return {
        "conversations": len(talks),
        "utterances": len(turns),
        "utterances a conversation": _mean([len(talk.turns) for talk in talks]),
        "words an utterance": _mean([len(row) for row in said]),
        "words a supporter turn": _mean([len(row) for row in supported]),
        "supporter turns with a question": _mean(asking),
        "strategies used": len(used),
        "share of the commonest strategy": max(used.values(), default=0) / max(1, used.total()),
        "share of the commonest four-word opening": max(openings.values(), default=0) / max(1, len(talks)),
        "different two-word runs": _variety(said, compared),
    }


def side_by_side(
    grown: Sequence[Conversation], seeds: Sequence[Conversation]
) -> dict[str, tuple[float, float]]:
    """Figure → (grown, seeds), variety on equally many words of both."""
    sizes = (sum(len(words(turn.text)) for talk in talks for turn in talk.turns) for talks in (grown, seeds))
    compared = min(*sizes, COMPARED_WORDS)
    one, other = figures(grown, compared), figures(seeds, compared)
    return {name: (one[name], other[name]) for name in one}


def _variety(said: Iterable[Sequence[str]], compared: int) -> float:
    """Share of two-word runs that are different ones, among the first `compared` words."""
    runs: list[tuple[str, ...]] = []
    for row in said:
        runs.extend(pairwise(row))
        if len(runs) >= compared:
            break
    return len(set(runs[:compared])) / max(1, len(runs[:compared]))


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0
