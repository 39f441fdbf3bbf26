"""The plan of a corpus: which model, how many conversations, of which scenarios, at what price.

`hearten augment init` writes one with the values of Zheng et al. 2023; `hearten augment validate` says what
it would ask for and cost. A folder being grown keeps its plan: what decides the conversations may not change
under it, what only decides pace and price may.
"""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from hearten.core.chat import Sampling
from hearten.core.config import Config, load_toml
from hearten.core.errors import UsageError, nearest
from hearten.core.jsonl import replacing
from hearten.core.shingles import NEAR
from hearten.core.taxonomy import label_set, scenarios

Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]
LABEL_SET = "extes"


def table_1() -> dict[str, float]:
    """Scenario → dialogues in ExTES (its Table 1)."""
    return {scenario.name: scenario.dialogues for scenario in scenarios()}


class Limits(Config):
    """Pace and price: may differ from one run of a plan to the next."""

    concurrency: Count = 4
    """Conversations grown at the same time."""
    requests_per_minute: Annotated[float, Field(ge=0)] = 0
    """0 is no limit."""
    cost: Annotated[float, Field(ge=0)] = 0
    """Most to be spent in all, in the currency of `prices`; 0 is no limit."""
    tries: Count = 6
    """How often one request is sent while the server is busy, cut off or silent."""
    patience: Annotated[float, Field(gt=0)] = 60
    """Longest wait between two tries, in seconds, unless the server asks for more."""
    timeout: Annotated[float, Field(gt=0)] = 120
    """Seconds without a sign of life after which a request counts as lost."""


class Prices(Config):
    """What the model charges, per million tokens; the paper's whole corpus cost about 210 USD."""

    prompt: Annotated[float, Field(ge=0)] = 0
    completion: Annotated[float, Field(ge=0)] = 0
    currency: str = "USD"

    def of(self, prompt_tokens: int, completion_tokens: int) -> float:
        """The price of one request."""
        return (prompt_tokens * self.prompt + completion_tokens * self.completion) / 1e6


class Bounds(Config):
    """What a conversation must satisfy. Where the paper gives no number, the 87 seeds do."""

    utterances: tuple[Count, Count] = (8, 40)
    """Fewest and most turns; ExTES has 18.2 on average (Table 3), the seeds 12 to 24."""
    words: tuple[Count, Count] = (1, 150)
    """Fewest and most words of one turn; ExTES has 26.0 on average."""
    mean_words: tuple[float, float] = (5, 80)
    same_speaker: Count = 3
    """Most turns in a row by one person."""
    unlabelled: Share = 0.0
    """Largest share of supporter turns without a strategy, after greetings and goodbyes were given Others."""
    one_strategy: Share = 0.6
    """Largest share of supporter turns with one and the same strategy."""
    repeated_turns: Share = 0.1
    """Largest share of turns whose words an earlier turn of the conversation already had."""
    repeated_runs: Share = 0.25
    """Largest share of four-word runs that occur again in the conversation; no seed reaches 0.05."""
    near: Share = NEAR
    """Jaccard of three-word runs from which another conversation is too near."""
    against: tuple[str, ...] = ()
    """Files of conversations that nothing may resemble: test sets."""
    toxicity: Share = 0.95
    """Highest toxicity of a supporter's turn, by the local scorer. It gives honest supporters up to 0.88 for
    a word such as "stupid" (measured on the seeds); seekers may swear."""
    tolerated: tuple[str, ...] = ()
    """Kinds of the output screen that do not reject, e.g. `human-life` where people play supporters."""
    switched_off: tuple[str, ...] = ()
    """Names of checks that are not made."""


class Turns(Config):
    """Mode `turns`: two roles speak in turn, and the supporter's strategy is chosen before its words."""

    utterances: tuple[Count, Count] = (12, 24)
    """Fewest and most turns; drawn evenly. The seeds' own range."""
    shots: Annotated[int, Field(ge=0)] = 3
    """Exchanges shown before the conversation: for the supporter with the same strategy, for the seeker from
    the exemplars."""
    shown: Count = 6
    """Turns of the conversation so far that a request holds: a small model loses the thread of more."""
    sampling: Sampling = Sampling(temperature=0.6, max_tokens=60, repetition_penalty=1.1)
    """Of one turn."""


class Plan(Config):
    """A corpus to be grown."""

    model: str = "embedded"
    """Any chat model: `embedded`, a .gguf file, a folder, `openai:MODEL@URL`, `scripted:FILE`."""
    seeker: str = ""
    """The model that plays the seeker in mode `turns`; empty is the same model."""
    mode: Literal["conversation", "turns"] = "conversation"
    """The whole conversation in one reply, as in the paper, or turn by turn between two roles."""
    prompt: str = "extes"
    """The prompt of mode `conversation`: a name in this package, or a file."""
    seeds: str = ""
    """File of seed conversations; empty is the 87 that ship with hearten."""
    exemplars: Count = 1
    """Conversations shown with each request; the paper shows one."""
    seed: int = 13
    rounds: tuple[Count, ...] = (1000, 10177)
    """Conversations wanted of each round; those accepted become the next one's exemplars (section 3.2)."""
    surplus: Annotated[float, Field(ge=1)] = 1.5
    """Most conversations tried for one wanted, in each round."""
    attempts: Annotated[int, Field(ge=1, le=9)] = 3
    """How often a conversation (or turn) is asked for while the reply cannot be used."""
    stream: bool = False
    """Receive replies piece by piece."""
    sampling: Sampling = Sampling(
        temperature=1.0, top_p=1.0, top_k=0, repetition_penalty=1.0, max_tokens=3000
    )
    """The paper states no decoding values: these are the service's defaults with room for a long reply."""
    turns: Turns = Turns()
    limits: Limits = Limits()
    prices: Prices = Prices()
    checks: Bounds = Bounds()
    quotas: dict[str, Annotated[float, Field(ge=0)]] = Field(default_factory=table_1)
    """Scenario → weight; only the proportions count. Table 1 by default."""

    @field_validator("quotas")
    @classmethod
    def _known(cls, value: dict[str, float]) -> dict[str, float]:
        for name in value:
            if name not in table_1():
                raise UsageError(f"unknown scenario '{name}'", fix=nearest(name, table_1()))
        if not sum(value.values()):
            raise UsageError("no scenario has a share", fix="give one a weight above 0")
        return value

    @property
    def wanted(self) -> int:
        """Conversations wanted in all."""
        return sum(self.rounds)

    def essence(self) -> dict[str, Any]:
        """What decides the conversations: all but pace and price."""
        return self.model_dump(mode="json", exclude={"limits", "prices"})

    def resized(self, conversations: int) -> "Plan":
        """The same plan for so many conversations, its rounds in proportion."""
        sizes = apportion(conversations, dict(enumerate(self.rounds)))
        return self.model_copy(update={"rounds": tuple(size for size in sizes.values() if size)})


def apportion(total: int, weights: Mapping[Any, float]) -> dict[Any, int]:
    """Whole numbers that sum to `total`, in proportion, by largest remainder (the first wins a tie).

    >>> apportion(10, {"a": 2, "b": 1})
    {'a': 7, 'b': 3}
    """
    scale = total / sum(weights.values())
    exact = {name: weight * scale for name, weight in weights.items()}
    whole = {name: math.floor(value) for name, value in exact.items()}
    order = sorted(exact, key=lambda name: whole[name] - exact[name])
    for name in order[: total - sum(whole.values())]:
        whole[name] += 1
    return whole


def load_plan(path: Path) -> Plan:
    """The plan in a TOML file.

    Raises:
        UsageError: missing file, unknown key (with the nearest valid one) or bad value.
    """
    return load_toml(path, Plan)


def write_plan(plan: Plan, path: Path) -> None:
    """Write a plan as TOML, every value in the open."""
    with replacing(path) as stream:
        stream.write("# A corpus to be grown with hearten augment; docs/augment.md explains every key.\n")
        stream.write(_toml(plan.model_dump(mode="json", exclude_none=True)))


def _toml(table: Mapping[str, Any], *path: str) -> str:
    plain = [f"{_key(key)} = {_value(value)}" for key, value in table.items() if not isinstance(value, dict)]
    inner = [_toml(value, *path, key) for key, value in table.items() if isinstance(value, dict)]
    head = [f"\n[{'.'.join(map(_key, path))}]"] if path else []
    return "\n".join([*head, *plain, ""]) + "".join(inner)


def _key(name: str) -> str:
    return name if name.replace("_", "").isalnum() and name.isascii() else json.dumps(name)


def _value(value: str | float | Sequence[Any]) -> str:
    return json.dumps(value, ensure_ascii=False)


def strategy_names() -> tuple[str, ...]:
    """The 16 strategies, in the paper's order."""
    return label_set(LABEL_SET).names
