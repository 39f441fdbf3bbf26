"""What rewriting brings: the helpful share of a prompted model's replies after none, one, two rewrites.

Muffin (2024, Appendix C, Table 8). A turn is the unit of work: its reply, how it stood after each rewrite and
the verdicts are one line, written when it is done, so that a run that was stopped goes on with the next.
"""

from collections.abc import Sequence
from pathlib import Path

from hearten.align.rating import Shares, shares
from hearten.align.records import RefinedSet, context_key
from hearten.align.sampling import refuse_other_context
from hearten.core.conversation import Conversation
from hearten.core.errors import Failure
from hearten.core.jsonl import Appender, cut_torn_line, read_records
from hearten.core.progress import progress
from hearten.core.records import Example
from hearten.core.supporter import Supporter
from hearten.models.refine import Refined


def refine(
    supporter: Supporter,
    refined: Refined,
    examples: Sequence[Example],
    ledger: Path,
    *,
    by: str,
    quiet: bool = False,
) -> list[RefinedSet]:
    """Answer and refine every turn that the ledger lacks; returns all, in the order of `examples`.

    Args:
        supporter: answers first.
        refined: refines what it answered.
        examples: turns to answer.
        ledger: one line a turn.
        by: who answers, judges and rewrites, and how often: a ledger holds one such combination.
        quiet: no progress bar.

    Raises:
        Failure: the ledger is another refinement's, or was made from other contexts.
    """
    done = _read(ledger, by)
    with Appender(ledger) as book, progress("refining", len(examples), done=len(done), quiet=quiet) as bar:
        for example in examples:
            key = (example.conversation_id, example.index)
            if key in done:
                refuse_other_context(example, done[key].context, str(ledger))
                continue
            talk = Conversation(
                id=example.conversation_id,
                label_set=example.label_set,
                profile=example.profile,
                turns=example.context,
            )
            states = list(refined.states(talk, supporter.reply(talk)[0]))
            done[key] = RefinedSet(
                conversation_id=example.conversation_id,
                index=example.index,
                context=context_key(example),
                by=by,
                replies=tuple(state.reply.text for state in states),
                verdicts=tuple(state.verdicts for state in states),
            )
            book.add(done[key])
            bar.advance()
    return [done[one.conversation_id, one.index] for one in examples]


def _read(ledger: Path, by: str) -> dict[tuple[str, int], RefinedSet]:
    if not ledger.is_file():
        return {}
    cut_torn_line(ledger)
    found = {(one.conversation_id, one.index): one for one in read_records(ledger, RefinedSet)}
    strange = {one.by for one in found.values()} - {by}
    if strange:
        what = f"this ledger holds replies of '{strange.pop()}'"
        raise Failure(what, where=str(ledger), fix=f"name another file for those of '{by}'")
    return found


def by_rewrites(found: Sequence[RefinedSet], rounds: int) -> list[Shares]:
    """Shares of helpful replies after at most 0, 1, …, `rounds` rewrites."""
    return [
        shares(one.verdicts[min(most, len(one.verdicts) - 1)] for one in found) for most in range(rounds + 1)
    ]
