"""What a recipe file may say: one system, one protocol, how it is trained and decoded, and the paper's row.

A recipe is a row of a published table made runnable. `[paper]` carries the paper's own figures, so that they
can be printed beside ours. Unknown keys are refused with the nearest valid one.

A file may stand on another (`base = "../dialogpt.toml"`): what it says itself goes over what the base says,
table by table. `[embedded]` holds what changes, key by key, when the row runs on the embedded model.
"""

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, SerializeAsAny

from hearten.core.config import Config, build, read_toml
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
    learn: Literal["replies", "session"] = "replies"
    """`session`: the seeker's turns are learned like the supporter's, as one long text (ExTES's DialoGPT)."""


class Paper(Config):
    """The published row that a recipe reproduces."""

    table: str
    """Paper and table, such as `ESConv Table 4`."""
    row: str
    line: int = 0
    """Its place in the table, from 1."""
    figures: dict[str, float] = Field(default_factory=dict)
    """Our name of a metric → the printed number, shares times 100 as papers print them."""
    asks: tuple[str, ...] = ()
    """Metrics that the table shows besides those of `figures`; a row of no paper has only these."""
    protocol_notes: str = ""
    """How the paper's protocol differs from the recipe's, as far as it is known."""
    preset: str = "nlgeval"
    """Which family of text metrics the paper used."""
    trained_on: str = "esconv"
    tested_on: str = "esconv"
    measure: Literal["text", "toxicity"] = "text"
    """`toxicity` scores the replies for harm (ExTES Table 7); without a `system`, the whole corpus."""


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
    paper: Paper | None = None


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


def read_recipe(file: Path, *, seed: int | None = None, backbone: str | None = None) -> Recipe:
    """The recipe in `file` with the command line's changes."""
    return parse_recipe(recipe_values(file, seed=seed, backbone=backbone), where=str(file))


def recipe_values(file: Path, *, seed: int | None = None, backbone: str | None = None) -> dict[str, Any]:
    """What `read_recipe` would parse: the file over its base, and the command line's changes over both."""
    values = _over_its_base(file, ())
    embedded = values.pop("embedded", {})
    if seed is not None:
        values["seed"] = seed
    if backbone == "embedded":
        values = overlaid(values, embedded)
    if backbone is not None:
        values = overlaid(values, {"model": {"backbone": {"name": backbone}}})
    return values


def overlaid(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """`above` over `below`, table by table; a table that names another `kind` replaces the one below it."""
    replaced = "kind" in below and "kind" in above and below["kind"] != above["kind"]
    if replaced:
        return above
    both = below.keys() & above.keys()
    tables = {key for key in both if isinstance(below[key], dict) and isinstance(above[key], dict)}
    return {**below, **above, **{key: overlaid(below[key], above[key]) for key in tables}}


def _over_its_base(file: Path, above: tuple[Path, ...]) -> dict[str, Any]:
    values = read_toml(file)
    base = values.pop("base", None)
    if base is None:
        return values
    if file.resolve() in above:
        raise UsageError(f"'{file}' stands on itself", where=f"{above[-1]}, key base")
    return overlaid(_over_its_base(file.parent / base, (*above, file.resolve())), values)
