"""The door of the data stage: `hearten data get · check · convert · split · stats · figures · export`."""

import json as json_module
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from hearten.core.jsonl import write_json

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of tables.")]
SkipBad = Annotated[bool, typer.Option("--skip-bad", help="Leave bad records out, count and list them.")]
Limit = Annotated[int | None, typer.Option(help="Read only this many records.", min=1)]
FormatName = Annotated[
    str | None, typer.Option("--format", help="Name the format instead of recognising it.")
]
CorpusPath = Annotated[Path, typer.Argument(help="A corpus: file (plain, .gz, .zip) or ConvoKit folder.")]


def check(
    path: CorpusPath,
    json: Json = False,
    out: Annotated[Path | None, typer.Option(help="Also write the report as JSON here.")] = None,
    skip_bad: SkipBad = False,
    limit: Limit = None,
    format: FormatName = None,
) -> None:
    """Recognise a corpus, validate every record, and count what is in it."""
    from hearten.data.check import check as report_on
    from hearten.data.corpus import read_corpus

    report = report_on(read_corpus(path, format=format, skip_bad=skip_bad, limit=limit))
    if out:
        write_json(out, report)
    if json:
        print(json_module.dumps(report, ensure_ascii=False, indent=2))
        return
    _show_check(report)
    print(f"{f'Report: {out}. ' if out else ''}Next: hearten data stats {path}")


def _show_check(report: dict[str, Any]) -> None:
    console = Console(width=100)
    console.print(f"{report['path']}: {report['format']}, label set {report['label_set']}", highlight=False)
    console.print(f"licence: {report['licence']}\n", highlight=False, markup=False)
    table = Table("what", "how many", box=None, pad_edge=False)
    for name, value in _figures(report):
        table.add_row(name, value)
    console.print(table)
    for kind in ("strategies", "problems", "emotions", "scenarios"):
        if report[kind]:
            console.print(
                f"\n{kind}: " + " · ".join(f"{n} {c:,}" for n, c in report[kind].items()), highlight=False
            )
    openings = [f"“{row['opening']}” {row['conversations']}" for row in report["repeated_openings"][:5]]
    if openings:
        console.print("\nrepeated openings: " + " · ".join(openings), highlight=False, markup=False)
    for line in [*report["warnings"], *report["complaints"]]:
        console.print(f"warning: {line}", highlight=False, markup=False)


def _figures(report: dict[str, Any]) -> list[tuple[str, str]]:
    names = ("conversations", "utterances", "supporter_utterances", "seeker_utterances", "stars")
    more = (
        "complete_seeker_surveys",
        "unlabelled_supporter_utterances",
        "duplicates",
        "near_duplicates",
        "skipped",
    )
    rows = [(name.replace("_", " "), f"{report[name]:,}") for name in (*names, *more)]
    pii = " · ".join(
        f"{kind.replace('_', ' ')} {n}" for kind, n in report["pii_hints"].items() if kind != "places"
    )
    return [
        *rows,
        (f"leaks under {report['leaks']['protocol']}", _leak_line(report["leaks"])),
        ("PII hints", pii),
    ]


def _leak_line(leaks: dict[str, Any]) -> str:
    if "not_checked" in leaks:
        return f"not checked: {leaks['not_checked']}"
    return (
        f"{leaks['situations']} of {leaks['test_conversations']} test situations recur in train, "
        f"{leaks['conversations']} conversations"
    )
