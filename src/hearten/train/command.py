"""`hearten train RECIPE --data conversations.jsonl`: one run folder per run; the same command resumes it."""

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer


def train(
    recipe: Annotated[Path, typer.Argument(help="A TOML file, e.g. recipes/esconv/joint.toml.")],
    data: Annotated[Path, typer.Option(help="conversations.jsonl; `hearten data convert` makes one.")],
    out: Annotated[Path | None, typer.Option(help="Run folder; default runs/<recipe name>.")] = None,
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
    """Train a system from a recipe into a run folder; run it again to go on where it stopped."""
    from hearten.train.run import start

    run = start(
        recipe,
        data,
        out or Path("runs") / recipe.stem,
        command=shlex.join(["hearten", *sys.argv[1:]]),
        minutes=minutes,
        seed=seed,
        limit=limit,
        backbone=backbone,
        quiet=quiet,
    )
    print(f"wrote {run.path}; next: hearten evaluate predict {run.path} --data {data}")
