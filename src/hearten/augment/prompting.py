"""From a plan and exemplars to messages: the prompt files with their blanks filled in.

The prompt of mode `conversation` follows the paper's template (Zheng et al. 2023, Appendix C) in our words,
with all 16 strategies: the paper's list skips number 11, Reframe Negative Thoughts. A plan may name a
prompt file of its own; it must have the same blanks.
"""

import json
import tomllib
from collections.abc import Sequence
from functools import cache
from hashlib import sha256
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

from hearten.augment.plan import LABEL_SET, Plan
from hearten.core.chat import Message
from hearten.core.conversation import Conversation
from hearten.core.errors import UsageError, nearest
from hearten.core.extes import layout
from hearten.core.jsonl import require_file
from hearten.core.taxonomy import label_set

BLANKS = frozenset({"strategies", "examples", "scene", "least", "most"})
"""What a prompt for whole conversations may leave blank."""
NEEDED = frozenset({"strategies", "examples", "scene"})


@cache
def built_in(name: str) -> str:
    """The text of a prompt that ships with hearten."""
    return (files("hearten.augment") / "prompts" / f"{name}.md").read_text(encoding="utf-8").strip()


@cache
def built_in_table(name: str) -> dict[str, Any]:
    """A table that prompts draw from."""
    return tomllib.loads((files("hearten.augment") / "prompts" / f"{name}.toml").read_text(encoding="utf-8"))


def prompt_text(plan: Plan) -> str:
    """The text of the plan's prompt.

    Raises:
        UsageError: no such file, or a blank that nothing fills or that is missing.
    """
    ships = plan.prompt == "extes"
    text = built_in(plan.prompt) if ships else require_file(Path(plan.prompt)).read_text(encoding="utf-8")
    found = set(Template(text).get_identifiers())
    for name in sorted(found - BLANKS):
        raise UsageError(
            f"the prompt has an unknown blank '${name}'", where=plan.prompt, fix=nearest(name, BLANKS)
        )
    for name in sorted(NEEDED - found):
        raise UsageError(
            f"the prompt has no blank '${name}'", where=plan.prompt, fix=f"write ${name} where it goes"
        )
    return text


def prompt_mark(plan: Plan) -> str:
    """First 12 hex digits of the sha256 of every text the plan's mode puts into a prompt."""
    turns = ("situation", "seeker", "supporter")
    texts = (
        [built_in(name) for name in turns] if plan.mode == "turns" else [prompt_text(plan), built_in("again")]
    )
    return sha256("\0".join(texts).encode()).hexdigest()[:12]


def strategy_list() -> str:
    """The 16 strategies, numbered, with their definitions."""
    rows = enumerate(label_set(LABEL_SET), 1)
    return "\n".join(f"{number}. {strategy.name}: {strategy.definition}" for number, strategy in rows)


def whole_conversation(plan: Plan, scenario: str, exemplars: Sequence[Conversation]) -> list[Message]:
    """The request for one conversation of a scenario."""
    least, most = plan.checks.utterances
    shown = (json.dumps(layout(one), ensure_ascii=False, indent=1) for one in exemplars)
    text = Template(prompt_text(plan)).substitute(
        strategies=strategy_list(),
        examples="\n\n".join(shown),
        scene=scenario,
        least=max(least, 12),
        most=min(most, 24),
    )
    return [Message(role="user", content=text)]


def once_more(messages: Sequence[Message], reply: str, complaint: str) -> list[Message]:
    """The request to put one reply right."""
    names = ", ".join(label_set(LABEL_SET).names)
    text = Template(built_in("again")).substitute(complaint=complaint, names=names)
    return [*messages, Message(role="assistant", content=reply), Message(role="user", content=text)]
