"""`hearten planner train · predict · sets`: the strategy policy of our own, from a corpus to a run folder.

Training takes minutes of CPU: the sentence vectors are made once and kept, the networks are small. Every
supporter turn is a target here, also an opening one. `predict` writes `predictions.jsonl` without
replies, which `hearten evaluate strategies` and `hearten evaluate calibration` read.
"""

import platform
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hearten.core.errors import Failure, UsageError

if TYPE_CHECKING:
    from hearten.core.protocol import Split
    from hearten.core.records import Example
    from hearten.models.planner import Planner

Data = Annotated[Path, typer.Option(help="conversations.jsonl; `hearten data convert` makes one")]
Quiet = Annotated[bool, typer.Option("--quiet", help="no progress bar")]
Part = Annotated[str, typer.Option(help="test or valid")]
Limit = Annotated[int | None, typer.Option(min=3, help="only the first conversations of the corpus")]


def train(
    data: Data,
    out: Annotated[Path, typer.Option(help="run folder")] = Path("runs/planner"),
    protocol: Annotated[
        str, typer.Option(help="how conversations become examples and are split")
    ] = "seed13-910",
    config: Annotated[Path | None, typer.Option(help="a TOML file of PlannerConfig's keys")] = None,
    seed: Annotated[int | None, typer.Option(help="instead of the config's")] = None,
    members: Annotated[int | None, typer.Option(min=1, help="instead of the config's")] = None,
    limit: Limit = None,
    quiet: Quiet = False,
) -> None:
    """Train the planner on the train part and make its choices on the validation part (minutes)."""
    from hearten.core.config import load_toml
    from hearten.core.jsonl import Appender
    from hearten.core.runfolder import RunFolder
    from hearten.core.taxonomy import label_set
    from hearten.models.planner.fitting import fit
    from hearten.models.planner.planner import PlannerConfig

    told = load_toml(config, PlannerConfig) if config else PlannerConfig()
    changes = {"seed": seed, "members": members}
    told = told.model_copy(update={name: value for name, value in changes.items() if value is not None})
    parts, run = _parts(data, protocol, limit), RunFolder(out)
    if run.manifest_file.is_file():
        raise UsageError(f"'{out}' already holds a run", fix="choose another --out, or remove that folder")
    _need_strategies(parts["train"])
    run.metrics.unlink(missing_ok=True)
    with Appender(run.metrics) as log:
        labels = label_set(parts["train"][0].label_set)
        planner = fit(labels, parts["train"], parts["valid"], told, note=log.add, quiet=quiet)
    planner.save(run.model)
    run.write_manifest(_manifest(parts, data, told.model_dump(mode="json")))
    found = planner.choice.validation
    print(
        f"validation (where its choices were made): accuracy {found['accuracy']:.3f}, "
        f"macro-F1 {found['macro_f1']:.3f}"
    )
    print(f"wrote {out}; next: hearten planner predict {out} --data {data}")


def predict(
    run: Annotated[Path, typer.Argument(help="a planner's run folder")],
    data: Data,
    out: Annotated[Path | None, typer.Option(help="another run folder for these results")] = None,
    point: Annotated[str, typer.Option(help="accuracy or macro-f1")] = "accuracy",
    history: Annotated[str, typer.Option(help="gold, or own: its own earlier choices")] = "gold",
    part: Part = "test",
    quiet: Quiet = False,
) -> None:
    """The planner's strategy and belief for every supporter turn of a part."""
    from hearten.core.jsonl import write_records
    from hearten.core.registry import lookup
    from hearten.core.runfolder import RunFolder
    from hearten.models.planner import Planner

    points: dict[str, Any] = {"accuracy": "accuracy", "macro-f1": "macro-f1"}
    wanted = lookup(points, point, "operating point")
    lookup({"gold": 0, "own": 0}, history, "history")
    source, target = RunFolder.open(run), RunFolder(out or run)
    planner = Planner.load(run)
    parts = _parts(data, source.manifest.protocol, None)
    examples = list(_part(parts, part, source.manifest.split_hash))
    planner.reader.remember([turn.text for one in examples for turn in one.context], quiet=quiet)
    beliefs = planner.own_history(examples, wanted) if history == "own" else planner.beliefs(examples)
    chosen = planner.choose(beliefs, wanted)
    write_records(target.predictions, _predictions(examples, chosen, beliefs, planner))
    manifest = source.manifest
    recipe = {**manifest.recipe, "point": point, "history": history, "part": part}
    target.write_manifest(manifest.model_copy(update={"recipe": recipe}))
    print(_told(planner, beliefs, examples))
    print(f"wrote {target.predictions}; next: hearten evaluate strategies {target.path}")


def _parts(data: Path, name: str, limit: int | None) -> "Split":
    """The corpus under a protocol in which opening turns are targets too."""
    from hearten.core.conversation import Conversation
    from hearten.core.jsonl import read_records
    from hearten.core.protocol import protocol, refuse_leaks, split

    how = protocol(name).model_copy(update={"min_context": 0})
    parts = split(list(read_records(data, Conversation))[:limit], how)
    refuse_leaks(parts)
    return parts


def _part(parts: "Split", name: str, hash_: str) -> "Sequence[Example]":
    from hearten.core.protocol import PARTS
    from hearten.core.registry import lookup

    if name == "test" and parts.hash != hash_:
        raise Failure(f"the test part is {parts.hash}, the run's is {hash_}", fix="use the run's corpus")
    return parts[lookup({part: part for part in PARTS}, name, "part")]


def _need_strategies(examples: "Sequence[Example]") -> None:
    missing = sum(example.strategy is None for example in examples)
    if missing or not examples:
        what = f"{missing} of {len(examples)} supporter turns have no strategy; a planner learns from them"
        raise Failure(what, fix="label the corpus")


def _predictions(
    examples: "Sequence[Example]", chosen: Sequence[Any], beliefs: Any, planner: "Planner"
) -> list[Any]:
    from hearten.core.records import Prediction

    return [
        Prediction(
            conversation_id=example.conversation_id,
            index=example.index,
            turns_total=example.turns_total,
            context=(),
            reference="",
            hypothesis="",
            gold_strategy=example.strategy.name if example.strategy else None,
            strategy=strategy.name,
            probabilities={n: round(float(p), 5) for n, p in zip(planner.labels.names, row, strict=True)},
        )
        for example, strategy, row in zip(examples, chosen, beliefs, strict=True)
    ]


def _told(planner: "Planner", beliefs: Any, examples: "Sequence[Example]") -> str:
    """Accuracy of the likeliest strategy, and how well the acceptable sets cover."""
    sets = planner.acceptable(beliefs)
    gold = [example.strategy for example in examples]
    inside = sum(one in kept for one, kept in zip(gold, sets, strict=True)) / len(gold)
    size = sum(map(len, sets)) / len(sets)
    return (
        f"{len(gold):,} turns; acceptable sets of {size:.2f} hold the gold strategy {inside:.3f} of the time"
    )


def _manifest(parts: "Split", data: Path, recipe: dict[str, Any]) -> Any:
    from hearten.core.runfolder import Manifest, file_hash, git_revision, now, versions

    return Manifest(
        system="planner",
        recipe=recipe,
        seed=recipe["seed"],
        command=shlex.join(["hearten", *sys.argv[1:]]),
        created=now(),
        revision=git_revision(),
        versions=versions(("hearten", "torch", "scikit-learn")),
        machine=platform.machine(),
        inputs={data.name: file_hash(data)},
        protocol=parts.protocol.name,
        split_hash=parts.hash,
    )
