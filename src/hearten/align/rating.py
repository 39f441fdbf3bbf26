"""A rater's verdicts on candidates, and on the replies of a run.

Both are ledgers: a line a context, written when it is done, so that nothing is rated twice. What cannot be
rated (an empty reply) gets an open verdict, never a wrong one.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from hearten.align.records import CandidateSet, RatedSet, key_of
from hearten.align.sampling import refuse_other_context
from hearten.core.conversation import Role, Turn
from hearten.core.errors import Failure
from hearten.core.jsonl import Appender, cut_torn_line, read_records
from hearten.core.progress import progress
from hearten.core.rater import Rater, aggregate
from hearten.core.records import Example, FacetVerdict, Prediction


def rate_candidates(
    rater: Rater,
    examples: Sequence[Example],
    sampled: Sequence[CandidateSet],
    ledger: Path,
    *,
    quiet: bool = False,
) -> list[RatedSet]:
    """Write the verdicts that the ledger lacks; returns all of them.

    Raises:
        Failure: the ledger is another rater's, or candidates do not belong to these contexts.
    """
    by_turn = {(one.conversation_id, one.index): one for one in examples}
    done = read_verdicts(ledger, rater.name)
    with Appender(ledger) as book, progress("rating", len(sampled), done=len(done), quiet=quiet) as bar:
        for one in sampled:
            key = (one.conversation_id, one.index)
            if key in done:
                continue
            if key not in by_turn:
                what = f"turn {one.index} of '{one.conversation_id}' is no turn of this corpus"
                raise Failure(what, where="candidates", fix="use the corpus they were sampled from")
            refuse_other_context(by_turn[key], one.context, "candidates")
            verdicts = open_verdicts(rater, by_turn[key].context, [each.text for each in one.candidates])
            done[key] = RatedSet(
                conversation_id=one.conversation_id,
                index=one.index,
                context=one.context,
                rater=rater.name,
                verdicts=tuple(verdicts),
            )
            book.add(done[key])
            bar.advance()
    return list(done.values())


def open_verdicts(
    rater: Rater, context: Sequence[Turn], replies: Sequence[str]
) -> list[tuple[FacetVerdict, ...]]:
    """One tuple a reply; an empty reply's verdicts are open."""
    said = [reply for reply in replies if reply.strip()]
    found = iter(rater.rate(context, said))
    nothing = tuple(FacetVerdict(facet=name, label=None, helpful=None) for name in rater.facets)
    return [next(found) if reply.strip() else nothing for reply in replies]


def read_verdicts(ledger: Path, rater: str | None = None) -> dict[tuple[str, int], RatedSet]:
    """(conversation, turn) → verdicts of a ledger, none where it does not exist yet.

    Raises:
        Failure: it holds verdicts of another rater than `rater`.
    """
    if not ledger.is_file():
        return {}
    cut_torn_line(ledger)
    found = {(one.conversation_id, one.index): one for one in read_records(ledger, RatedSet)}
    strange = {one.rater for one in found.values()} - {rater}
    if rater is not None and strange:
        what = f"this ledger holds verdicts of '{strange.pop()}'"
        raise Failure(what, where=str(ledger), fix=f"name another file for those of '{rater}'")
    return found


@dataclass(frozen=True, slots=True)
class Shares:
    """How many replies are helpful."""

    items: int
    by_facet: dict[str, float]
    helpful: float
    """On all facets."""
    unscored: int


def shares(verdicts: Iterable[Sequence[FacetVerdict]]) -> Shares:
    """Shares of helpful replies, per facet and together; open verdicts are left out and counted."""
    rows = list(verdicts)
    seen: Counter[str] = Counter()
    good: Counter[str] = Counter()
    for row in rows:
        answers = {one.facet: one.helpful for one in row} | {"": aggregate(row)}
        seen.update(name for name, answer in answers.items() if answer is not None)
        good.update(name for name, answer in answers.items() if answer)
    by_facet = {name: good[name] / seen[name] for name in seen if name}
    return Shares(len(rows), by_facet, good[""] / seen[""] if seen[""] else 0.0, len(rows) - seen[""])


def rate_predictions(
    rater: Rater, predictions: Sequence[Prediction], ledger: Path, *, quiet: bool = False
) -> list[RatedSet]:
    """Verdicts on the replies of a run, in their order; those that the ledger has are not asked again."""
    done = read_verdicts(ledger, rater.name)
    with Appender(ledger) as book, progress("rating", len(predictions), done=len(done), quiet=quiet) as bar:
        for one in predictions:
            key = (one.conversation_id, one.index)
            turns = turns_of(one)
            known = done.get(key)
            if known is not None and known.context == key_of((*turns, _said(one.hypothesis))):
                continue
            (verdicts,) = open_verdicts(rater, turns, [one.hypothesis])
            done[key] = RatedSet(
                conversation_id=one.conversation_id,
                index=one.index,
                context=key_of((*turns, _said(one.hypothesis))),
                rater=rater.name,
                verdicts=(verdicts,),
            )
            book.add(done[key])
            bar.advance()
    return [done[one.conversation_id, one.index] for one in predictions]


def _said(text: str) -> Turn:
    return Turn.model_construct(
        speaker=Role.SUPPORTER, text=text, strategy=None, feedback=None, annotations=None
    )


def turns_of(prediction: Prediction) -> tuple[Turn, ...]:
    """The context of a prediction, which stands there as `role: text` lines."""
    pairs = [line.partition(": ") for line in prediction.context]
    return tuple(Turn(speaker=Role(role), text=text) for role, _, text in pairs if text.strip())


def paired(before: Sequence[RatedSet], after: Sequence[RatedSet]) -> tuple[int, int, float]:
    """(only before helpful, only after helpful, exact two-sided p) over the turns both have (McNemar)."""
    from scipy.stats import binomtest

    first = {(one.conversation_id, one.index): aggregate(one.verdicts[0]) for one in before}
    second = {(one.conversation_id, one.index): aggregate(one.verdicts[0]) for one in after}
    pairs = [(first[key], second[key]) for key in first.keys() & second.keys()]
    lost, won = pairs.count((True, False)), pairs.count((False, True))
    p = float(binomtest(won, lost + won).pvalue) if lost + won else 1.0
    return lost, won, p


@dataclass(frozen=True, slots=True)
class Gain:
    """Several replies a context, before and after."""

    contexts: int
    conversations: int
    before: float
    """Mean share of helpful replies of a context."""
    after: float
    p: float
    """Two-sided: how often differences are as large when each conversation's sign is drawn."""


def gain(before: Sequence[RatedSet], after: Sequence[RatedSet], *, seed: int = 13) -> Gain:
    """Shares of helpful replies over the contexts both have (Muffin, Table 2 B), compared by conversation.

    Raises:
        Failure: they share no context.
    """
    from scipy.stats import permutation_test

    first, second = _by_context(before), _by_context(after)
    both = sorted(first.keys() & second.keys())
    if not both:
        what = "the two ledgers of verdicts have no context in common"
        raise Failure(what, fix="sample both from the same part, with the same --seed and --limit")
    differences: defaultdict[str, float] = defaultdict(float)
    for talk, turn in both:
        differences[talk] += second[talk, turn] - first[talk, turn]
    p = 1.0
    if any(differences.values()):
        tested = permutation_test(
            (list(differences.values()),), sum, permutation_type="samples", n_resamples=9999, rng=seed
        )
        p = float(tested.pvalue)
    means = [sum(table[key] for key in both) / len(both) for table in (first, second)]
    return Gain(len(both), len(differences), means[0], means[1], p)


def _by_context(rated: Sequence[RatedSet]) -> dict[tuple[str, int], float]:
    """The helpful share among the replies of each context that could be rated."""
    found = {}
    for one in rated:
        answers = [answer for answer in map(aggregate, one.verdicts) if answer is not None]
        if answers:
            found[one.conversation_id, one.index] = sum(answers) / len(answers)
    return found
