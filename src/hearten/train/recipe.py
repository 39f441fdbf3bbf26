"""What a recipe file may say: one system, one protocol, how it is trained and decoded, and the paper's row.

A recipe is a row of a published table made runnable. `[published]` carries the paper's own figures, so that
they can be printed beside ours. Unknown keys are refused with the nearest valid one.
"""

from typing import Any

from pydantic import Field, SerializeAsAny

from hearten.core.config import Config, build
from hearten.core.errors import UsageError
from hearten.core.protocol import protocol
from hearten.core.registry import lookup
from hearten.lm.decode import Decoding, StrategyPolicy
from hearten.models.fitting import Fitting
from hearten.models.system import SystemConfig
from hearten.models.systems import SYSTEMS


class Training(Fitting):
    """How the loop runs, and how much it takes at once."""

    batch_tokens: int = 8192
    """Padded ids per optimiser step, gathered over micro-batches."""
    micro_tokens: int = 2048
    """Padded ids per forward pass; bounds the memory."""
    valid_examples: int | None = Field(default=None, ge=1)
    """Score only the first so many validation conversations; None scores all."""


class Recipe(Config):
    """One run, fully described."""

    title: str
    system: str
    protocol: str = "seed13-910"
    seed: int = 13
    allow_leaks: bool = False
    model: SerializeAsAny[SystemConfig]
    """The system's own config; written with the system's own keys."""
    training: Training = Training()
    decoding: Decoding = Decoding()
    policy: StrategyPolicy = StrategyPolicy()
    published: dict[str, Any] = Field(default_factory=dict)
    """The paper's row: `table`, `note`, and figures by metric name."""


def parse_recipe(values: dict[str, Any], *, where: str = "") -> Recipe:
    """A recipe from plain values; the system's own config class checks `model`."""
    name = values.get("system")
    if not isinstance(name, str):
        raise UsageError("the recipe names no system", where=where, fix='add: system = "joint"')
    config_class = lookup(SYSTEMS, name, "system").config_class
    model = build(config_class, values.get("model", {}), where=f"{where}, [model]")
    recipe = build(Recipe, {**values, "model": model}, where=where)
    protocol(recipe.protocol)
    return recipe
