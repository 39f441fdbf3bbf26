"""`hearten evaluate …`: the doors to this stage. Reading options and printing, no measuring."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

Resamples = Annotated[int, typer.Option(min=20, help="bootstrap resamples")]
Seed = Annotated[int, typer.Option(help="seed of every random draw")]
Limit = Annotated[int | None, typer.Option(min=1, help="only the first items")]
AsJson = Annotated[bool, typer.Option("--json", help="one JSON object on standard output, nothing else")]
Out = Annotated[Path | None, typer.Option(help="also write the JSON object to this file")]
Quiet = Annotated[bool, typer.Option("--quiet", help="no progress bar")]


def strategies(
    source: Annotated[
        Path, typer.Argument(metavar="RUN|PREDICTIONS", help="run folder or predictions.jsonl")
    ],
    resamples: Resamples = 1000,
    seed: Seed = 13,
    limit: Limit = None,
    as_json: AsJson = False,
    out: Out = None,
) -> None:
    """Accuracy, averages, bias and distribution over progress of a system's strategies."""
    from hearten.evaluate import strategies as logic
    from hearten.evaluate.origin import open_origin
    from hearten.evaluate.strategytables import as_dict, tables

    found = logic.report(open_origin(source, limit=limit), resamples=resamples, seed=seed)
    _answer(as_dict(found), tables(found), as_json, out, f"hearten evaluate report {source}")


def compare(
    sources: Annotated[list[Path], typer.Argument(metavar="RUN RUN…", help="the first is compared with")],
    test: Annotated[str, typer.Option(help="bootstrap, randomisation or t")] = "bootstrap",
    resamples: Resamples = 1000,
    seed: Seed = 13,
    limit: Limit = None,
    as_json: AsJson = False,
    out: Annotated[Path | None, typer.Option(help="write a page (.html) or the JSON object")] = None,
) -> None:
    """One table of several runs, with markers where they may be compared and reasons where not."""
    from hearten.evaluate import compare as logic
    from hearten.evaluate.measures import measure
    from hearten.evaluate.origin import open_origin

    runs = [measure(open_origin(path, limit=limit), resamples=resamples, seed=seed) for path in sources]
    found = logic.compare(runs, test=test)
    page = out if out is not None and out.suffix == ".html" else None
    if page is not None:
        from hearten.evaluate.report import write_comparison

        write_comparison(found, page)
    told = "hearten evaluate report RUN" if page else "add --out compare.html for a page"
    written = None if page else out
    _answer(logic.as_dict(found), [logic.table(found)], as_json, written, told, also=page)


def _answer(
    value: dict[str, Any],
    tables: list[Any],
    as_json: bool,
    out: Path | None,
    then: str,
    also: Path | None = None,
) -> None:
    """Print tables or JSON; write the JSON if asked to; say what was written and what comes next."""
    from hearten.core.jsonl import write_json
    from hearten.evaluate.tables import show

    if out is not None:
        write_json(out, value)
    if as_json:
        print(json.dumps(value, ensure_ascii=False, allow_nan=False))
        return
    show(tables)
    wrote = also or out
    print(f"{f'wrote {wrote}; ' if wrote else ''}next: {then}")
