"""From a recipe and a corpus to a run folder: everything is checked before anything is started."""

import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from hearten.core.conversation import Conversation, Role
from hearten.core.errors import Failure, UsageError
from hearten.core.jsonl import read_records
from hearten.core.protocol import Split, protocol, refuse_leaks, split, with_whole_sessions
from hearten.core.records import Example
from hearten.core.runfolder import Manifest, RunFolder, file_hash, git_revision, now, versions
from hearten.core.taxonomy import label_set
from hearten.models.system import System
from hearten.models.systems import SYSTEMS
from hearten.train.loop import Material, train
from hearten.train.recipe import Recipe, read_recipe


def start(
    recipe: Path | Recipe,
    data: Path,
    out: Path,
    *,
    command: str,
    minutes: float | None = None,
    seed: int | None = None,
    limit: int | None = None,
    backbone: str | None = None,
    quiet: bool = False,
) -> RunFolder:
    """Train what a recipe (or its file) says; an existing run folder of the same recipe and data is resumed.

    `seed` and `backbone` change a recipe that is read from a file.

    Raises:
        UsageError: bad recipe, or `out` holds another run.
        Failure: bad data, leaky split, a loss that is not a number, a full disk.
    """
    if isinstance(recipe, Path):
        recipe = read_recipe(recipe, seed=seed, backbone=backbone)
    parts = read_split(recipe, data, limit)
    require_annotations(recipe, parts["train"], data)
    run = RunFolder(out)
    manifest = describe(recipe, parts, data, command)
    _refuse_another(run, manifest)
    system = build_system(recipe, parts["train"])
    material = Material(parts["train"], _first_conversations(parts["valid"], recipe.training.valid_examples))
    if not run.manifest_file.is_file():  # only now: a run that cannot start must not claim its folder
        run.write_manifest(manifest)
    train(system, material, recipe.training, run, seed=recipe.seed, minutes=minutes, quiet=quiet)
    return run


def read_split(recipe: Recipe, data: Path, limit: int | None = None) -> Split:
    """The corpus under the recipe's protocol, refused if it leaks; in train what the recipe learns."""
    conversations = list(read_records(data, Conversation))[:limit]
    parts = split(conversations, protocol(recipe.protocol))
    refuse_leaks(parts, allow=recipe.allow_leaks)
    return with_whole_sessions(parts, conversations) if recipe.training.learn == "session" else parts


def require_annotations(recipe: Recipe, examples: Sequence[Example], data: Path) -> None:
    """Make sure that every conversation carries the annotations the system reads.

    Raises:
        Failure: one kind is missing; with the command that adds it.
    """
    needed = SYSTEMS[recipe.system].required(recipe.model)
    kinds: dict[str, set[str]] = {}
    for example in examples:
        found = kinds.setdefault(example.conversation_id, set())
        for turn in example.context:
            found.update(turn.annotations or ())
    for kind in sorted(needed):
        lacking = [name for name, found in kinds.items() if kind not in found]
        if lacking:
            raise Failure(
                f"'{recipe.system}' needs '{kind}', which {len(lacking)} of {len(kinds)} conversations lack",
                where=f"{data}, conversation {lacking[0]}",
                fix=f"hearten annotate {kind} {data}",
            )


def build_system(recipe: Recipe, examples: Sequence[Example]) -> System:
    """The recipe's system for the label set of the examples; its random start depends on the seed alone.

    Raises:
        Failure: there is nothing to train on, or strategies are missing for a system that needs them.
    """
    if not examples:
        raise Failure("no supporter turns to train on", fix="check the corpus: hearten data check")
    chosen = SYSTEMS[recipe.system]
    replies = [example for example in examples if example.speaker is Role.SUPPORTER]
    unlabelled = sum(example.strategy is None for example in replies)
    if chosen.uses_strategies and unlabelled:
        what = (
            f"{unlabelled} of {len(replies)} supporter turns have no strategy; '{recipe.system}' needs them"
        )
        raise Failure(what, fix='label the corpus, or use system = "vanilla"')
    torch.manual_seed(recipe.seed)
    return chosen(chosen.fitted(recipe.model, examples), label_set(examples[0].label_set))


def describe(recipe: Recipe, parts: Split, data: Path, command: str) -> Manifest:
    """What `run.json` will say."""
    return Manifest(
        system=recipe.system,
        recipe=recipe.model_dump(mode="json"),
        seed=recipe.seed,
        command=command,
        created=now(),
        revision=git_revision(),
        versions=versions(),
        machine=f"{platform.machine()}, {torch.get_num_threads()} threads",
        inputs={data.name: file_hash(data)},
        protocol=parts.protocol.name,
        split_hash=parts.hash,
    )


def _refuse_another(run: RunFolder, manifest: Manifest) -> None:
    """Make sure that the run in this folder, if there is one, is this one."""
    if not run.manifest_file.is_file():
        return
    there = run.manifest
    for what, old, new in (
        ("recipe", there.recipe, manifest.recipe),
        ("data", there.inputs, manifest.inputs),
        ("split", there.split_hash, manifest.split_hash),
    ):
        if old != new:
            raise UsageError(
                f"'{run.path}' holds a run with another {what}{_first_difference(old, new)}",
                fix="choose another --out, or remove that folder",
            )


def _first_difference(old: Any, new: Any, path: str = "") -> str:
    if isinstance(old, dict) and isinstance(new, dict):
        for key in [*old, *(k for k in new if k not in old)]:
            if old.get(key) != new.get(key):
                return _first_difference(old.get(key), new.get(key), f"{path}.{key}".lstrip("."))
    return f" ({path}: {old!r}, now {new!r})" if path else ""


def _first_conversations(examples: Sequence[Example], count: int | None) -> tuple[Example, ...]:
    """The examples of the first `count` conversations.

    Raises:
        Failure: there are none.
    """
    if not examples:
        raise Failure("no supporter turns to validate on", fix="more conversations, or a larger --limit")
    chosen = list(dict.fromkeys(example.conversation_id for example in examples))[:count]
    wanted = set(chosen)
    return tuple(example for example in examples if example.conversation_id in wanted)
