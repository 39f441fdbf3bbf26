"""`hearten reproduce`: options in, a table or JSON out."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from hearten.reproduce.bench import Bench
    from hearten.reproduce.rows import Row


def reproduce(
    table: Annotated[str | None, typer.Argument(help="a table, such as esconv-4; --list names them")] = None,
    backbone: Annotated[
        str, typer.Option(help="embedded, published (the paper's), a short name or a folder")
    ] = "embedded",
    minutes: Annotated[float | None, typer.Option(min=0.05, help="of training for each system")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="only the first test conversations")] = None,
    replies: Annotated[
        int | None, typer.Option(min=0, help="of these, how many are answered in words")
    ] = None,
    policy: Annotated[
        str | None, typer.Option(help="who chooses every row's strategies: argmax, gold, planner:RUN, …")
    ] = None,
    row: Annotated[list[str] | None, typer.Option(help="only this row; may be said again")] = None,
    data: Annotated[
        list[str] | None, typer.Option(metavar="NAME=FILE", help="where a corpus is: esconv=FILE, extes=FILE")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="folder; default runs/reproduce/TABLE")] = None,
    show_list: Annotated[bool, typer.Option("--list", help="tables, or the rows of TABLE, and stop")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object on standard output")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="no progress")] = False,
) -> None:
    """Run the rows of a paper's table and print paper beside ours; run it again to go on."""
    from hearten.core.errors import UsageError
    from hearten.lm.decode import policy_of
    from hearten.reproduce.bench import Bench, Budget
    from hearten.reproduce.rows import rows_of, tables

    if show_list:
        _list(table, backbone, as_json)
        return
    if table is None:
        raise UsageError("which table?", fix=f"one of: {', '.join(tables())}")
    folder = out or Path("runs") / "reproduce" / table
    chosen, budget = policy_of(policy) if policy else None, Budget(minutes, limit, replies)
    bench = Bench(folder, budget, _files(data or []), policy=chosen, quiet=quiet)
    _run(table, rows_of(table, backbone, row), bench, as_json)


def _run(table: str, rows: "list[Row]", bench: "Bench", as_json: bool) -> None:
    """Run the rows, saying what became of each, then show and write the table."""
    from hearten.core.errors import Failure
    from hearten.core.jsonl import write_json
    from hearten.evaluate.tables import show
    from hearten.reproduce.table import as_dict, result_table

    found = {}
    for outcome in bench.run(rows):
        found[outcome.row] = outcome
        if not bench.quiet:
            print(f"{outcome.title}: {outcome.reason or outcome.status}", file=sys.stderr)
    outcomes = [found[row.name] for row in rows]
    written, file = as_dict(table, outcomes), bench.out / "table.json"
    write_json(file, written)
    if as_json:
        print(json.dumps(written, ensure_ascii=False))
    else:
        show([result_table(rows[0].paper.table, outcomes)])
        answered = next((one.answered for one in outcomes if one.answered), None)
        then = f"hearten evaluate report {answered}" if answered else "hearten reproduce --list"
        print(f"wrote {file}; next: {then}")
    if all(one.status != "done" for one in outcomes):
        raise Failure(f"no row of '{table}' could be run", fix=outcomes[0].reason)


def _list(table: str | None, backbone: str, as_json: bool) -> None:
    from hearten.evaluate.tables import show
    from hearten.reproduce.rows import rows_of
    from hearten.reproduce.table import list_of_rows, list_of_tables

    found = list_of_rows(rows_of(table, backbone)) if table else list_of_tables()
    if as_json:
        print(json.dumps([dict(zip(found.columns, row, strict=True)) for row in found.rows]))
        return
    show([found])
    print(f"next: hearten reproduce {table or 'TABLE'}{'' if table else ' --list'}")


def _files(pairs: list[str]) -> dict[str, Path]:
    """`esconv=FILE` as name and path."""
    from hearten.core.errors import UsageError
    from hearten.core.jsonl import require_file
    from hearten.core.registry import lookup
    from hearten.reproduce.bench import PLACES

    files = {}
    for pair in pairs:
        name, sign, path = pair.partition("=")
        if not sign:
            raise UsageError(f"'{pair}' names no corpus", fix=f"--data {next(iter(PLACES))}={pair}")
        lookup(PLACES, name, "corpus")
        files[name] = require_file(Path(path))
    return files
