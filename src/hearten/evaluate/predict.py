"""A run (or an untrained model) answers every test turn: `predictions.jsonl` and `likelihoods.jsonl`.

Two passes over the test part, both resumable conversation by conversation. The first, one forward pass a
conversation, gives the likelihood of every gold reply and the system's belief about every strategy: all
of perplexity and strategy accuracy, without generating a word. The second generates replies; `--replies N`
answers only the first N conversations, `--limit N` bounds both passes.

With `--transfer` the data is another corpus than the run learned from: its test part is answered, its
strategies mapped into the run's label set (ExTES Table 8).

A decoding policy other than the recipe's is another set of results, so it gets its own run folder with
the weights left where they are (`hearten evaluate predict RUN --policy gold --out runs/oracle`).
"""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TypeVar

from hearten.core.conversation import Conversation
from hearten.core.errors import Failure, UsageError
from hearten.core.jsonl import Appender, read_records, write_records
from hearten.core.progress import progress
from hearten.core.protocol import Part, Split, protocol, refuse_leaks, relabel, split
from hearten.core.records import Example, LikelihoodRow, Prediction, Reply
from hearten.core.runfolder import RunFolder, file_hash
from hearten.lm.decode import Decoding, StrategyPolicy
from hearten.models.planner.decoding import generate
from hearten.models.supporters import labels_of, load_system
from hearten.models.system import Likelihood, System

R = TypeVar("R", Prediction, LikelihoodRow)

CONTEXT_TURNS = 6
"""Turns of context kept in a prediction, for people who read it."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be predicted, and how."""

    data: Path
    part: Part = "test"
    policy: StrategyPolicy | None = None
    """None is the recipe's own policy."""
    limit: int | None = None
    """Only the first so many conversations of the part."""
    replies: int | None = None
    """Conversations that are also answered in words; None answers all, 0 none."""
    untrained: bool = False
    """The system as it is before training: the baseline."""
    transfer: bool = False
    """The data is not what the run was trained on."""


def predict(source: RunFolder, target: RunFolder, plan: Plan, *, quiet: bool = False) -> int:
    """Write the likelihoods and predictions of `source`'s system into `target`; returns the turns answered.

    Raises:
        UsageError: no such run, or `target` holds another run's results.
        Failure: the data is not what the run was trained on, or its split leaks.
    """
    manifest = source.manifest
    parts = _parts(source, plan)
    groups = _conversations(parts, plan)
    policy = plan.policy or StrategyPolicy.model_validate(manifest.recipe.get("policy", {}))
    decoding = Decoding.model_validate(manifest.recipe["decoding"])
    _claim(source, target, policy, plan, parts)
    system = load_system(source, untrained=plan.untrained)
    _write_likelihoods(system, target, groups, quiet)
    answered = groups[: plan.replies]
    _write_predictions(system, target, answered, decoding, policy, quiet)
    return sum(map(len, groups))


def _parts(source: RunFolder, plan: Plan) -> Split:
    """The corpus under the run's protocol; refused where it is not what the run was trained on."""
    manifest = source.manifest
    how = protocol(manifest.protocol)
    if plan.transfer:
        labels = labels_of(str(source.path))
        return split([relabel(talk, labels) for talk in read_records(plan.data, Conversation)], how)
    if manifest.inputs.get(plan.data.name) not in (None, file_hash(plan.data)):
        raise Failure(
            "this file has changed since the run was trained on it",
            where=str(plan.data),
            fix="use the file the run names, or train again",
        )
    parts = split(list(read_records(plan.data, Conversation)), how)
    refuse_leaks(parts, allow=bool(manifest.recipe.get("allow_leaks")))
    if plan.part == "test" and parts.hash != manifest.split_hash and plan.limit is None:
        raise Failure(
            f"the test part is {parts.hash}, the run's is {manifest.split_hash}",
            where=str(plan.data),
            fix="predict on the corpus (and --limit) the run was trained with, or say --transfer",
        )
    return parts


def _conversations(parts: Split, plan: Plan) -> list[list[Example]]:
    """The part's examples, conversation by conversation."""
    ordered = sorted(parts[plan.part], key=lambda example: (example.conversation_id, example.index))
    groups = [list(group) for _, group in groupby(ordered, key=lambda example: example.conversation_id)]
    return groups[: plan.limit]


def _claim(source: RunFolder, target: RunFolder, policy: StrategyPolicy, plan: Plan, parts: Split) -> None:
    """Give `target` a manifest that says what these results are, or make sure it already says so."""
    wanted = source.manifest
    own = StrategyPolicy.model_validate(wanted.recipe.get("policy", {}))
    if target.path == source.path and (policy != own or plan.untrained or plan.transfer):
        what = "another corpus" if plan.transfer else f"policy '{policy.kind}'"
        what = "the untrained system" if plan.untrained else what
        fix = "give them a folder of their own: --out RUN"
        raise UsageError(f"results of {what} are not this run's own ('{own.kind}')", fix=fix)
    if target.path != source.path:
        name = f"{wanted.system}-untrained" if plan.untrained else f"{wanted.system}-{policy.kind}"
        recipe = {**wanted.recipe, "policy": policy.model_dump(mode="json")}
        wanted = wanted.model_copy(update={"system": name, "recipe": recipe})
    if plan.transfer:
        inputs = {plan.data.name: file_hash(plan.data)}
        wanted = wanted.model_copy(update={"inputs": inputs, "split_hash": parts.hash})
    if not target.manifest_file.is_file():
        target.write_manifest(wanted)
    elif any(
        getattr(target.manifest, key) != getattr(wanted, key) for key in ("recipe", "system", "split_hash")
    ):
        raise UsageError(f"'{target.path}' holds other results", fix="choose another --out")


def _write_likelihoods(
    system: System, run: RunFolder, groups: Sequence[Sequence[Example]], quiet: bool
) -> None:
    def rows(group: Sequence[Example]) -> Iterator[LikelihoodRow]:
        for likelihood, example in system.measure(system.rows(group), group):
            yield _likelihood_row(system, likelihood, example)

    _write(run.likelihoods, LikelihoodRow, "likelihoods", groups, rows, quiet)


def _write_predictions(
    system: System,
    run: RunFolder,
    groups: Sequence[Sequence[Example]],
    decoding: Decoding,
    policy: StrategyPolicy,
    quiet: bool,
) -> None:
    def rows(group: Sequence[Example]) -> Iterator[Prediction]:
        for example, replies in zip(group, generate(system, group, decoding, policy), strict=True):
            yield _prediction(example, replies[0])

    _write(run.predictions, Prediction, "replies", groups, rows, quiet)


def _write(
    path: Path,
    record: type[R],
    label: str,
    groups: Sequence[Sequence[Example]],
    rows: Callable[[Sequence[Example]], Iterable[R]],
    quiet: bool,
) -> None:
    """Add `rows` of every conversation that the ledger at `path` does not hold whole."""
    done = _done(path, record, groups)
    with Appender(path) as ledger, progress(label, len(groups), done=len(done), quiet=quiet) as bar:
        for group in groups:
            if group[0].conversation_id in done:
                continue
            for row in rows(group):
                ledger.add(row)
            bar.advance()


def _likelihood_row(system: System, likelihood: Likelihood, example: Example) -> LikelihoodRow:
    beliefs, gold = likelihood.strategy_logprobs, example.strategy
    spent = -beliefs[system.labels.position(gold)] if beliefs and gold else None
    return LikelihoodRow.model_validate(
        {
            "conversation_id": example.conversation_id,
            "index": example.index,
            "nll": likelihood.nll,
            "tokens": likelihood.tokens,
            "words": len(example.response.split()),
            "strategy_nll": spent,
            "strategy_fed": system.strategy_fed,
            "tokenizer": system.backbone.config.name,
            "turns_total": example.turns_total,
            "gold_strategy": gold.name if gold else None,
            "probabilities": _believed(system, beliefs),
        }
    )


def _believed(system: System, logprobs: Sequence[float] | None) -> dict[str, float] | None:
    if logprobs is None:
        return None
    return {s.name: round(math.exp(v), 5) for s, v in zip(system.labels, logprobs, strict=True)}


def _prediction(example: Example, reply: Reply) -> Prediction:
    return Prediction(
        conversation_id=example.conversation_id,
        index=example.index,
        turns_total=example.turns_total,
        context=tuple(f"{turn.speaker}: {turn.text}" for turn in example.context[-CONTEXT_TURNS:]),
        reference=example.response,
        hypothesis=reply.text,
        gold_strategy=example.strategy.name if example.strategy else None,
        strategy=reply.strategy.name if reply.strategy else None,
        probabilities=reply.probabilities,
    )


def _done(path: Path, record: type[R], groups: Sequence[Sequence[Example]]) -> set[str]:
    """Conversations already answered whole; what a stop left of a half-answered one is dropped."""
    if not path.is_file():
        return set()
    Appender(path).close()  # cuts a half-written line
    rows = list(read_records(path, record))
    answered = Counter(row.conversation_id for row in rows)
    sizes = {group[0].conversation_id: len(group) for group in groups}
    whole = {name for name, count in answered.items() if count == sizes.get(name, count)}
    if len(whole) < len(answered):
        write_records(path, [row for row in rows if row.conversation_id in whole])
    return whole
