"""`hearten train RECIPE` or `--system NAME`: one run folder per run; the same command resumes it."""

import json
import shlex
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from hearten.core.errors import UsageError


def train(
    recipe: Annotated[
        Path | None, typer.Argument(help="A TOML file, e.g. recipes/esconv/joint.toml; or use --system.")
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="conversations.jsonl; `hearten data convert` makes one.")
    ] = None,
    system: Annotated[
        str | None, typer.Option(help="A published system with its defaults: `hearten systems` lists them.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Run folder; default runs/<recipe or system>.")] = None,
    minutes: Annotated[
        float | None, typer.Option(min=0.05, help="Shorten the schedule to end after so long.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Instead of the recipe's.")] = None,
    limit: Annotated[int | None, typer.Option(help="Use only the first so many conversations.")] = None,
    backbone: Annotated[
        str | None, typer.Option(help="Instead of the recipe's: a short name or a folder.")
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress bar.")] = False,
) -> None:
    """Train a system from a recipe, or by its name, into a run folder; run it again to go on."""
    from hearten.train.defaults import default_recipe
    from hearten.train.recipe import Recipe
    from hearten.train.run import start

    if data is None:
        raise UsageError("no corpus", fix="--data conversations.jsonl (hearten data convert makes one)")
    if system == "planner":  # no language model and no recipe: it has its own door
        from hearten.train import planner

        planner.train(data, out or Path("runs/planner"), seed=seed, limit=limit, quiet=quiet)
        return
    chosen: Path | Recipe
    if system is not None and recipe is None:
        chosen, name = default_recipe(system, backbone=backbone, seed=seed), system
    elif recipe is not None and system is None:
        chosen, name = recipe, recipe.stem
    else:
        raise UsageError("one recipe file or one --system is needed", fix="hearten train --system joint …")
    run = start(
        chosen,
        data,
        out or Path("runs") / name,
        command=shlex.join(["hearten", *sys.argv[1:]]),
        minutes=minutes,
        seed=seed,
        limit=limit,
        backbone=backbone,
        quiet=quiet,
    )
    print(f"wrote {run.path}; next: hearten evaluate predict {run.path} --data {data}")


def systems(
    as_json: Annotated[bool, typer.Option("--json", help="The list as JSON.")] = False,
) -> None:
    """List the published systems: paper, backbone, annotations they read, weights that are here."""
    rows = listing()
    if as_json:
        print(json.dumps(rows, indent=1))
        return
    print(f"{'system':<15} {'paper':<20} {'backbone':<17} {'here':<5} annotations it reads")
    for row in rows:
        told = ", ".join(row["needs"]) or row["note"] or "none"
        here = "yes" if row["weights_here"] else "no"
        print(f"{row['name']:<15} {row['paper']:<20} {row['backbone']:<17} {here:<5} {told}")
    print("\nThe embedded backbone serves every system. next: hearten train --system joint --data FILE")


def listing() -> list[dict[str, Any]]:
    """What `hearten systems` prints, one record a system."""
    from hearten.core.errors import HeartenError
    from hearten.lm.backbone import model_folder
    from hearten.models.catalogue import CATALOGUE, UNTRAINED

    def here(backbone: str) -> bool:
        try:
            return backbone in ("scratch", *UNTRAINED) or bool(model_folder(backbone))
        except HeartenError:
            return False

    return [
        {
            "name": name,
            "paper": entry.paper.citation,
            "title": entry.paper.title,
            "backbone": entry.paper.backbone,
            "weights_here": here(entry.paper.backbone),
            "trains": entry.system,
            "policy": entry.policy,
            "needs": sorted(entry.needs),
            "note": entry.note,
        }
        for name, entry in CATALOGUE.items()
    ]
