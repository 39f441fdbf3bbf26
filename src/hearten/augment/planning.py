"""What a plan would do, before anything is paid: requests, tokens, cost, time, and what it lacks.

Every seed's prompt is filled in, so that a broken prompt file, a scenario without an exemplar or a price of
nothing is seen here and not after the first thousand requests.

    $ hearten augment validate plan.toml
"""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hearten.augment.asking import tokens_of
from hearten.augment.checks import Checker
from hearten.augment.plan import Plan, apportion, strategy_names
from hearten.augment.prompting import prompt_mark, prompt_text, strategy_list, whole_conversation
from hearten.augment.run import seeds_of
from hearten.core.conversation import Conversation
from hearten.core.jsonl import require_file
from hearten.core.shingles import words

WORDS_TO_TOKENS = 1.35
"""Tokens for a word of English in usual vocabularies, about."""
LAYOUT = 1.6
"""How much longer a conversation is in its JSON layout than its words."""


def validate(plan: Plan) -> dict[str, Any]:
    """A plan's report as JSON values; what stops a plan is raised, what it may regret is in `warnings`.

    Raises:
        UsageError: a file is missing, or a blank of the prompt.
    """
    seeds = seeds_of(plan)
    prompt_text(plan)
    Checker(plan.checks, None)
    for path in plan.checks.against:
        require_file(Path(path))
    requests = _requests(plan, seeds)
    tokens = _tokens(plan, seeds)
    cost = plan.prices.of(tokens["prompt"] * plan.wanted, tokens["completion"] * plan.wanted)
    return {
        "conversations": plan.wanted,
        "rounds": list(plan.rounds),
        "requests_at_least": requests,
        "tokens_a_conversation": tokens,
        "cost_about": round(cost, 2),
        "currency": plan.prices.currency,
        "minutes_at_least": _minutes(plan, requests),
        "prompt": f"{plan.prompt}@{prompt_mark(plan)}",
        "strategies_in_prompt": sum(name in strategy_list() for name in strategy_names()),
        "quotas": [dict(apportion(size, plan.quotas)) for size in plan.rounds],
        "exemplars": dict(Counter(seed.profile.scenario or "" for seed in seeds)),
        "warnings": list(_warnings(plan, seeds, cost)),
    }


def _requests(plan: Plan, seeds: list[Conversation]) -> int:
    """One a conversation, or one a turn and one for the situation."""
    if plan.mode == "conversation":
        return plan.wanted
    return round(plan.wanted * (1 + _mean([len(seed.turns) for seed in seeds])))


def _tokens(plan: Plan, seeds: list[Conversation]) -> dict[str, int]:
    """Prompt and completion tokens of one conversation, estimated from the seeds."""
    said = [sum(len(words(turn.text)) for turn in seed.turns) for seed in seeds]
    completion = _mean(said) * WORDS_TO_TOKENS * (LAYOUT if plan.mode == "conversation" else 1.0)
    if plan.mode == "conversation":
        prompts = [
            tokens_of(whole_conversation(plan, s.profile.scenario or "", [s] * plan.exemplars)) for s in seeds
        ]
        return {"prompt": round(_mean(prompts)), "completion": round(completion)}
    turns = _mean([len(seed.turns) for seed in seeds])
    return {"prompt": round(turns * (120 + 8 * 30)), "completion": round(completion)}


def _minutes(plan: Plan, requests: int) -> float:
    pace = plan.limits.requests_per_minute
    return round(requests / pace, 1) if pace else 0.0


def _mean(values: list[int]) -> float:
    return sum(values) / len(values)


def _warnings(plan: Plan, seeds: list[Conversation], cost: float) -> Iterator[str]:
    shown = {seed.profile.scenario for seed in seeds}
    missing = [name for name, weight in plan.quotas.items() if weight and name not in shown]
    if missing:
        yield f"{len(missing)} scenarios have no exemplar of their own: {', '.join(missing[:3])}"
    small = min(plan.rounds) < len(plan.quotas)
    if small:
        yield f"a round of {min(plan.rounds)} cannot hold all {len(plan.quotas)} scenarios"
    remote = plan.model.startswith("openai:")
    if remote and not (plan.prices.prompt or plan.prices.completion):
        yield "the model is remote and prices are 0: no cost can be counted or limited"
    if remote and not plan.limits.cost:
        yield "no cost limit is set"
    if plan.limits.cost and cost > plan.limits.cost:
        yield f"about {cost:.2f} {plan.prices.currency} will be needed; the limit is {plan.limits.cost:.2f}"
    if plan.mode == "conversation" and plan.model == "embedded":
        yield 'the embedded model cannot write a whole conversation in form: use mode = "turns"'
    if not plan.checks.against:
        yield "no test set is named in checks.against: a leak into one would not be seen"
