"""Candidates for every training context: a system's own replies, by diverse beam search (Muffin 2024, 4.2).

A conversation is the unit of work: its contexts share one pass, and the line of each context is written when
that is done. So a run that was stopped, for whatever reason, goes on with the next conversation and says
nothing twice. `shard` 1/4 … 4/4 parts the conversations among machines; their ledgers are put together.
"""

import random
import time
from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path

from hearten.align.records import CandidateSet, context_key
from hearten.core.errors import Failure, UsageError
from hearten.core.jsonl import Appender, cut_torn_line, read_records
from hearten.core.progress import progress
from hearten.core.records import Candidate, Example, Reply
from hearten.lm.decode import DiverseDecoding, StrategyPolicy
from hearten.models.system import System

LEDGER = "candidates.jsonl"


def chosen_conversations(
    examples: Sequence[Example], *, seed: int, shard: str = "1/1", limit: int | None = None
) -> list[list[Example]]:
    """Conversations in the order a seed gives, those of one shard, cut after `limit` contexts.

    Raises:
        UsageError: `shard` is not i/n.
    """
    part, _, parts = shard.partition("/")
    if not (part.isdigit() and parts.isdigit() and 1 <= int(part) <= int(parts)):
        raise UsageError(f"'{shard}' is no shard", fix="write 1/4 … 4/4")
    order = sorted(examples, key=lambda one: (one.conversation_id, one.index))
    talks = [list(group) for _, group in groupby(order, key=lambda one: one.conversation_id)]
    random.Random(f"sample/{seed}").shuffle(talks)
    kept: list[list[Example]] = []
    for talk in talks[int(part) - 1 :: int(parts)]:
        room = len(talk) if limit is None else limit - sum(map(len, kept))
        if room <= 0:
            break
        kept.append(talk[:room])
    return kept


def sample(
    system: System,
    talks: Sequence[Sequence[Example]],
    decoding: DiverseDecoding,
    policy: StrategyPolicy,
    ledger: Path,
    *,
    minutes: float | None = None,
    quiet: bool = False,
) -> int:
    """Write the candidates of every context that the ledger lacks; returns how many it holds now.

    Raises:
        Failure: the ledger was made from other contexts.
    """
    done = {(one.conversation_id, one.index): one for one in read_ledger([ledger])}
    total = sum(map(len, talks))
    began = time.monotonic()
    with Appender(ledger) as book, progress("sampling", total, done=len(done), quiet=quiet) as bar:
        for talk in talks:
            left = [one for one in talk if not _known(one, done, ledger)]
            if not left or (minutes is not None and time.monotonic() - began > 60 * minutes):
                continue
            found = system.generate(left, decoding, policy)
            for example, replies in zip(left, found, strict=True):
                book.add(candidates_of(example, replies))
            bar.advance(len(left))
    return sum(1 for _ in read_ledger([ledger]))


def _known(example: Example, done: dict[tuple[str, int], CandidateSet], ledger: Path) -> bool:
    there = done.get((example.conversation_id, example.index))
    if there is None:
        return False
    refuse_other_context(example, there.context, str(ledger))
    return True


def refuse_other_context(example: Example, key: str, where: str) -> None:
    """Stop when what a file holds was made for other words than the corpus has now.

    Raises:
        Failure: it was.
    """
    if key != context_key(example):
        what = f"turn {example.index} of '{example.conversation_id}' has another context than its candidates"
        raise Failure(
            what, where=where, fix="use the corpus and protocol that the candidates were sampled from"
        )


def candidates_of(example: Example, replies: Sequence[Reply]) -> CandidateSet:
    """One line of the ledger."""
    return CandidateSet(
        conversation_id=example.conversation_id,
        index=example.index,
        context=context_key(example),
        candidates=tuple(
            Candidate(
                conversation_id=example.conversation_id,
                index=example.index,
                rank=rank,
                text=reply.text,
                strategy=reply.strategy.name if reply.strategy else None,
                logprob=None if reply.score is None else round(reply.score, 5),
            )
            for rank, reply in enumerate(replies)
        ),
    )


def read_ledger(paths: Iterable[Path]) -> list[CandidateSet]:
    """Every line of the ledgers that exist; a torn last line is cut."""
    found: list[CandidateSet] = []
    for path in paths:
        if path.is_file():
            cut_torn_line(path)
            found += read_records(path, CandidateSet)
    return found
