"""Any system's replies under the planner's strategies: its own head is not asked.

`generate` is what a caller uses in place of `system.generate`: under the policy `planner` the strategy is
chosen here, from the conversation, and the system is told to say it; under every other policy nothing
changes.
"""

from collections.abc import Collection, Sequence
from functools import cache
from pathlib import Path

from hearten.core.conversation import Conversation
from hearten.core.errors import UsageError
from hearten.core.protocol import open_example
from hearten.core.records import Example, Reply
from hearten.core.taxonomy import Strategy
from hearten.lm.decode import Decoding, StrategyPolicy
from hearten.models.planner.members import Beliefs
from hearten.models.planner.planner import Planner
from hearten.models.system import System


@cache
def open_planner(folder: str) -> Planner:
    """The planner of a run folder, loaded once a process.

    Raises:
        UsageError: there is none.
    """
    return Planner.load(Path(folder))


def planner_of(policy: StrategyPolicy) -> Planner:
    """The planner that a policy names.

    Raises:
        UsageError: it names none, or there is none.
    """
    if not policy.planner:
        raise UsageError("the policy names no planner", fix="planner:RUN, or planner = 'runs/planner'")
    return open_planner(policy.planner)


def generate(
    system: System, asked: Sequence[Example], decoding: Decoding, policy: StrategyPolicy
) -> list[list[Reply]]:
    """`decoding.n` replies to each example, under any policy."""
    if policy.kind != "planner":
        return system.generate(asked, decoding, policy)
    planner = planner_of(policy)
    beliefs = planner.beliefs(asked)
    chosen = planner.choose(beliefs, policy.point)
    told = [one.model_copy(update={"strategy": own}) for one, own in zip(asked, chosen, strict=True)]
    replies = system.generate(told, decoding, StrategyPolicy(kind="gold"))
    return [
        [reply.model_copy(update={"probabilities": named(planner, row)}) for reply in group]
        for group, row in zip(replies, beliefs, strict=True)
    ]


def plan(
    policy: StrategyPolicy, conversation: Conversation, *, avoid: Collection[str] = ()
) -> tuple[Strategy, dict[str, float]]:
    """The next strategy of a conversation that is going on, and the belief behind it.

    `avoid` names strategies that may not be chosen; what they were believed is shared among the others.
    """
    planner = planner_of(policy)
    beliefs = planner.beliefs([open_example(conversation)])
    beliefs[:, [planner.labels.position(name) for name in avoid]] = 0
    beliefs /= beliefs.sum(axis=1, keepdims=True)
    return planner.choose(beliefs, policy.point)[0], named(planner, beliefs[0])


def named(planner: Planner, row: Beliefs) -> dict[str, float]:
    """A row of beliefs by canonical name."""
    return {name: round(float(p), 5) for name, p in zip(planner.labels.names, row, strict=True)}
