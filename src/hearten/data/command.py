"""The door of the data stage: `hearten data get · check · convert · split · stats · figures · export`."""

import json as json_module
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from hearten.core.errors import Failure, UsageError
from hearten.core.jsonl import replacing, write_json

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of tables.")]
SkipBad = Annotated[bool, typer.Option("--skip-bad", help="Leave bad records out, count and list them.")]
Limit = Annotated[int | None, typer.Option(help="Read only this many records.", min=1)]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress bar.")]
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


def get(
    corpus: Annotated[str | None, typer.Argument(help="Name of a corpus; leave out to list them.")] = None,
    accept_licence: Annotated[
        bool, typer.Option("--accept-licence", help="I have read it and accept.")
    ] = False,
    offline: Annotated[Path | None, typer.Option("--from", help="Take it from this file or folder.")] = None,
    out: Annotated[Path | None, typer.Option(help="Data folder (else HEARTEN_DATA, else ./data).")] = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Fetch a public corpus into the data folder, its licence shown first."""
    from hearten.data.catalogue import catalogue, entry
    from hearten.data.fetch import get as fetch

    if corpus is None:
        _list_corpora([row.model_dump() for row in catalogue().values()], json=json)
        return
    wanted = entry(corpus)
    print(f"{wanted.title}\nlicence:  {wanted.licence}\ncite:     {wanted.citation}", file=sys.stderr)
    _require_acceptance(accept_licence)
    written = fetch(wanted, offline=offline, root=out, quiet=quiet)
    if json:
        print(
            json_module.dumps(
                {"corpus": corpus, "licence": wanted.licence, "files": [str(p) for p in written]}
            )
        )
        return
    following = f"hearten data check {written[0]}" if wanted.conversations else "hearten doctor"
    print(f"Wrote {', '.join(map(str, written))}. Next: {following}")


def _require_acceptance(accepted: bool) -> None:
    """Ask a person; refuse a script that did not say it."""
    if accepted:
        return
    if not sys.stdin.isatty():
        raise UsageError("the licence was not accepted", fix="read it above, then pass --accept-licence")
    if not typer.confirm("Do you accept this licence?", err=True):
        raise UsageError("the licence was not accepted", fix="nothing was fetched")


def _list_corpora(rows: list[dict[str, Any]], *, json: bool) -> None:
    if json:
        print(json_module.dumps(rows, ensure_ascii=False, indent=2))
        return
    table = Table("corpus", "what", "licence", box=None, pad_edge=False)
    for row in rows:
        table.add_row(row["name"], row["title"], row["licence"])
    Console(width=100).print(table, markup=False)
    print("Next: hearten data get CORPUS")


def convert(
    path: CorpusPath,
    out: Annotated[Path, typer.Argument(help="The conversations.jsonl to write.")],
    skip_bad: SkipBad = False,
    limit: Limit = None,
    format: FormatName = None,
) -> None:
    """Read any known format and write conversations.jsonl."""
    from hearten.data.corpus import read_corpus
    from hearten.data.writing import write_corpus

    corpus = read_corpus(path, format=format, skip_bad=skip_bad, limit=limit)
    write_corpus(corpus.conversations, "conversations", out)
    _say_skipped(corpus.skipped)
    print(f"Wrote {len(corpus.conversations):,} conversations to {out}. Next: hearten data check {out}")


def export(
    path: CorpusPath,
    to: Annotated[str, typer.Option("--format", help="esconv, convokit, chat, csv or conversations.")],
    out: Annotated[Path, typer.Option(help="File to write; a folder for convokit.")],
    skip_bad: SkipBad = False,
    limit: Limit = None,
) -> None:
    """Write a corpus as ESConv JSON, ConvoKit folder, chat JSON Lines or a table."""
    from hearten.data.corpus import read_corpus
    from hearten.data.writing import write_corpus

    corpus = read_corpus(path, skip_bad=skip_bad, limit=limit)
    lost = write_corpus(corpus.conversations, to, out)
    _say_skipped(corpus.skipped)
    if lost:
        print(f"warning: the format '{to}' has no place for: {', '.join(lost)}", file=sys.stderr)
    print(
        f"Wrote {len(corpus.conversations):,} conversations to {out} as {to}. Next: hearten data check {out}"
    )


def _say_skipped(skipped: Sequence[Failure]) -> None:
    if skipped:
        print(f"warning: {len(skipped)} bad records left out; the first: {skipped[0].what}", file=sys.stderr)
        print(f"  where: {skipped[0].where}", file=sys.stderr)


def split(
    path: CorpusPath,
    out: Annotated[Path, typer.Option(help="Folder for train, valid, test and split.json.")],
    protocol: Annotated[str, typer.Option(help="A named protocol.")] = "seed13-910",
    allow_leaks: Annotated[
        bool, typer.Option("--allow-leaks", help="Write a leaky split all the same.")
    ] = False,
    json: Json = False,
    skip_bad: SkipBad = False,
    limit: Limit = None,
) -> None:
    """Write train, valid and test parts under a named protocol."""
    from hearten.data.corpus import read_corpus
    from hearten.data.splitting import write_split

    summary = write_split(
        read_corpus(path, skip_bad=skip_bad, limit=limit), protocol, out, allow_leaks=allow_leaks
    )
    if json:
        print(json_module.dumps(summary, ensure_ascii=False, indent=2))
        return
    table = Table("part", summary["holds"], "targets", box=None, pad_edge=False)
    for part, count in summary["records"].items():
        table.add_row(part, f"{count:,}", f"{summary['examples'][part]:,}")
    Console(width=100).print(table)
    leaks = {**summary["leaks"], "protocol": protocol}
    print(f"split hash {summary['hash']}; {_leak_line(leaks)}")
    print(f"Wrote {out}. Next: hearten train RECIPE")


def stats(
    path: CorpusPath,
    json: Json = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print Markdown instead of tables.")] = False,
    out: Annotated[Path | None, typer.Option(help="Folder for stats.json, stats.md and the figures.")] = None,
    skip_bad: SkipBad = False,
    limit: Limit = None,
) -> None:
    """Tables that describe a corpus, published figures beside ours."""
    from hearten.data.corpus import read_corpus
    from hearten.data.statistics import statistics
    from hearten.data.tables import markdown as as_markdown

    found = statistics(read_corpus(path, skip_bad=skip_bad, limit=limit))
    if json:
        print(json_module.dumps(found, ensure_ascii=False, indent=2))
    elif markdown:
        print(as_markdown(found))
    else:
        _show_stats(found)
    if out:
        written = _write_stats(found, out)
        print(f"Wrote {len(written)} files to {out}. Next: open {written[-1]}", file=sys.stderr)
    elif not (json or markdown):
        print(f"Next: hearten data figures {path} --out figures")


def _show_stats(found: dict[str, Any]) -> None:
    from hearten.data.tables import sheets

    console = Console(width=100)
    console.print(f"licence: {found['licence']}", markup=False, highlight=False)
    for sheet in sheets(found):
        table = Table(*sheet.header, title=sheet.title, title_justify="left", box=None, pad_edge=False)
        for row in sheet.rows:
            table.add_row(*row)
        console.print(table)
        console.print(sheet.note, markup=False, highlight=False)


def _write_stats(found: dict[str, Any], out: Path) -> list[Path]:
    from hearten.data.figures import draw_figures
    from hearten.data.tables import markdown

    write_json(out / "stats.json", found)
    with replacing(out / "stats.md") as stream:
        stream.write(markdown(found))
    return [out / "stats.json", *draw_figures(found, out), out / "stats.md"]


def figures(
    path: CorpusPath,
    out: Annotated[Path, typer.Option(help="Folder for the SVG files.")],
    skip_bad: SkipBad = False,
    limit: Limit = None,
) -> None:
    """Strategies over progress and phases, words that mark them, stars and intensity, as SVG."""
    from hearten.data.corpus import read_corpus
    from hearten.data.figures import draw_figures
    from hearten.data.statistics import statistics

    written = draw_figures(statistics(read_corpus(path, skip_bad=skip_bad, limit=limit)), out)
    if not written:
        raise Failure(
            f"'{path}' has neither strategies nor stars nor surveys to draw", fix="hearten data stats"
        )
    print(f"Wrote {', '.join(p.name for p in written)} to {out}. Next: hearten data stats {path} --markdown")
