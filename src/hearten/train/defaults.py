"""A recipe for a system of which nothing is said but its name: `hearten train --system NAME`.

The system's own options, its losses and its decoding are its paper's (`Paper` in `models/systems/*.py`).
How it is trained depends on the backbone: an encoder–decoder is fine-tuned as a whole with the paper's
settings; a decoder-only model, such as the embedded one, gets low-rank adapters with the settings of
`recipes/esconv/joint.toml`, because a full fine-tuning's learning rate would hardly move them.
"""

import json
from typing import Any

from hearten.core.errors import UsageError
from hearten.lm.backbone import model_folder
from hearten.lm.decode import POLICIES
from hearten.models.catalogue import entry
from hearten.models.systems import SYSTEMS
from hearten.train.recipe import Recipe, parse_recipe

ADAPTED: dict[str, Any] = {
    "epochs": 1,
    "learning_rate": 1e-3,
    "batch_tokens": 4096,
    "validations": 3,
    "valid_examples": 40,
}
"""How adapters are trained here."""
LORA: dict[str, Any] = {"kind": "lora", "rank": 16, "alpha": 32, "layers": 15}


def default_recipe(name: str, *, backbone: str | None = None, seed: int | None = None) -> Recipe:
    """The recipe of the system called `name`, on `backbone` (the embedded model unless told otherwise).

    Raises:
        UsageError: unknown name, or one that is not trained.
    """
    chosen = entry(name)
    if chosen.system is None:
        raise UsageError(f"'{name}' is not trained", fix=f"hearten {chosen.note}")
    model, training = _shape(chosen.system, backbone or "embedded", dict(chosen.paper.training))
    values = {
        "title": f"{chosen.paper.citation}: {name}",
        "system": chosen.system,
        "seed": 13 if seed is None else seed,
        "model": model,
        "training": training,
        "decoding": dict(chosen.paper.decoding),
        "policy": POLICIES[chosen.policy].model_dump(),
    }
    return parse_recipe(values, where=f"defaults of {name}")


def _shape(system: str, backbone: str, paper: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """(model, training) of the recipe."""
    if SYSTEMS[system].paper.backbone == "scratch":
        return {}, paper
    if encoder_decoder(backbone):
        return {"backbone": {"name": backbone, "adapter": {"kind": "full"}}}, paper
    return {"backbone": {"name": backbone, "adapter": LORA}}, ADAPTED


def encoder_decoder(backbone: str) -> bool:
    """Whether the weights called `backbone` are an encoder–decoder's.

    Raises:
        UsageError: unknown name; Failure: the weights are not on this machine.
    """
    config = json.loads((model_folder(backbone) / "config.json").read_text(encoding="utf-8"))
    return bool(config.get("is_encoder_decoder"))
