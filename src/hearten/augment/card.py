"""The data card of a grown corpus: what it is, how it was made, what was left out, what it is not fit for."""

from collections import Counter
from collections.abc import Mapping, Sequence

from hearten.augment.ledger import Account
from hearten.augment.plan import Plan
from hearten.augment.records import Grown
from hearten.augment.report import side_by_side
from hearten.augment.run import seeds_of
from hearten.core.conversation import Conversation
from hearten.core.runfolder import now

WHAT = "A synthetic corpus of emotional support conversations"
NOT_FIT_FOR = """Both sides were written by a language model. Nobody was helped by these conversations, and
nobody needed to be: they tell what a model takes for support. Do not estimate from them how people talk or
how often supporters do something; do not train a system that talks to people in distress on them alone; do
not treat telephone numbers or facts in them as checked. No clinician has reviewed them."""
OUR_SEEDS = "the 87 seed conversations of hearten (Apache-2.0)"


def card(
    plan: Plan,
    talks: Sequence[Conversation],
    grown: Sequence[Grown],
    counts: Mapping[str, int],
    account: Account,
    licence: str,
) -> str:
    """The card as Markdown.

    Args:
        plan: the corpus folder's.
        talks: the conversations as exported.
        grown: the record of each.
        counts: what the checks and people decided.
        account: of the ledger.
        licence: what the exporter states.
    """
    utterances = sum(len(talk.turns) for talk in talks)
    strategies = Counter(str(turn.strategy) for talk in talks for turn in talk.turns if turn.strategy)
    sections = {
        WHAT: f"Grown with hearten, exported {now()[:10]}. {len(talks):,} conversations, {utterances:,} "
        "utterances, labelled with ExTES's 16 strategies. **Synthetic: a language model wrote every word.**",
        "Licence": f"{licence}. The terms of the model's provider may bind what is done with its output.",
        "How it was made": _making(plan, grown),
        "What it cost": _cost(plan, account),
        "What the checks left out": _checks(counts, grown),
        "What people decided": _people(counts),
        "Scenarios": _table("conversations", Counter(talk.profile.scenario or "–" for talk in talks)),
        "Strategies": _table("turns", strategies),
        "Beside its seeds": _beside(plan, talks),
        "Not fit for": NOT_FIT_FOR,
    }
    return "# " + "\n## ".join(f"{title}\n\n{text}\n" for title, text in sections.items())


def _making(plan: Plan, grown: Sequence[Grown]) -> str:
    origins = [one.provenance for one in grown]
    lines = {
        "after": "Zheng et al. 2023 (ExTES), section 3",
        "models": _list(Counter(one.model for one in origins)),
        "mode": plan.mode,
        "prompts": _list(Counter(one.prompt for one in origins)),
        "rounds": _list(Counter(str(one.round) for one in origins)),
        "exemplars of the first round": plan.seeds or OUR_SEEDS,
        "seed": str(plan.seed),
    }
    return "\n".join(f"- {name}: {value}" for name, value in lines.items())


def _list(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} ({count:,})" for name, count in counts.items())


def _cost(plan: Plan, account: Account) -> str:
    told = account.as_dict()
    kinds = ", ".join(f"{told[name]:,.0f} {name}" for name in ("answered", "refused", "failed", "lost"))
    tokens = f"{told['prompt_tokens']:,.0f} in, {told['completion_tokens']:,.0f} out"
    more = told["uncertain_cost"]
    lost = f"; up to {more:.2f} more for requests without an answer" if more else ""
    return f"Requests: {kinds}. Tokens: {tokens}. {told['cost']:.2f} {plan.prices.currency}{lost}."


def _checks(counts: Mapping[str, int], grown: Sequence[Grown]) -> str:
    form = ("format", "strategies")
    mended = sum(any(check.reason for check in one.checks if check.check in form) for one in grown)
    judged = counts["accepted"] + counts["rejected"]
    return (
        f"{counts['rejected']:,} of {judged:,} were rejected; `rejected.jsonl` of the corpus folder holds "
        f"each with its reason. {mended:,} of those exported were mended in form or label."
    )


def _people(counts: Mapping[str, int]) -> str:
    if not counts["reviewed"]:
        return "Nobody has reviewed it. The paper's authors reviewed every round."
    return (
        f"{counts['reviewed']:,} reviewed: {counts['edited']:,} edited, {counts['discarded']:,} discarded, "
        f"{counts['disputed']:,} disputed and left out."
    )


def _beside(plan: Plan, talks: Sequence[Conversation]) -> str:
    found = side_by_side(talks, seeds_of(plan))
    rows = [f"| {name} | {_number(a)} | {_number(b)} |" for name, (a, b) in found.items()]
    return "\n".join(("| figure | this corpus | seeds |", "|---|---:|---:|", *rows))


def _table(what: str, counts: Counter[str]) -> str:
    rows = [f"| {name} | {count:,} |" for name, count in counts.most_common()]
    return "\n".join((f"| | {what} |", "|---|---:|", *rows))


def _number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:,.2f}"
