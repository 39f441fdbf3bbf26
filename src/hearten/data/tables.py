"""Statistics as tables, once for the terminal and once for Markdown, published figures beside ours."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from hearten.core.taxonomy import label_set
from hearten.data.statistics import published


@dataclass(frozen=True)
class Sheet:
    """One table."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""


def sheets(found: Mapping[str, Any]) -> list[Sheet]:
    """Every table that has rows."""
    printed = published(found["source"])
    made = [
        _overview(found, printed),
        *(
            _counts(found, kind, printed)
            for kind in ("problems", "emotions", "scenarios", "stars", "strategies")
        ),
        *_transitions(found, printed),
        _means(found, printed),
        _shares(found, "progress", "Strategies by progress (ESConv Figure 4)"),
        _shares(found, "phases", "Strategies by phase (ExTES Figure 2)"),
        _counted(found["intensity_change"], "Fall of emotional intensity", "fall"),
        _marks(found),
    ]
    return [sheet for sheet in made if sheet.rows]


def markdown(found: Mapping[str, Any]) -> str:
    """All tables as one Markdown text."""
    about = f"Format {found['format']}, label set {found['label_set']}. Licence: {found['licence']}."
    head = f"# {found['path']}\n\n{about}\n"
    return head + "".join(_markdown_table(sheet) for sheet in sheets(found))


def _markdown_table(sheet: Sheet) -> str:
    lines = [f"\n## {sheet.title}\n", _row(sheet.header), _row("---" for _ in sheet.header)]
    lines += [_row(row) for row in sheet.rows]
    return "\n".join(lines) + "\n" + (f"\n{sheet.note}\n" if sheet.note else "")


def _row(cells: Any) -> str:
    return f"| {' | '.join(cells)} |"


def _number(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:,}" if isinstance(value, int) else f"{value:,.2f}"


def _beside(printed: Mapping[str, Any], kind: str, name: str) -> tuple[str, ...]:
    return tuple(_number(table.get(kind, {}).get(name)) for table in printed.values())


def _note(printed: Mapping[str, Any]) -> str:
    return "; ".join(f"{name}: {table['source']}" for name, table in printed.items())


def _overview(found: Mapping[str, Any], printed: Mapping[str, Any]) -> Sheet:
    rows = [
        (name, _number(value), *_beside(printed, "overview", name))
        for name, value in found["overview"].items()
    ]
    return Sheet("Overview", ("what", "here", *printed), tuple(rows), _note(printed))


def _counts(found: Mapping[str, Any], kind: str, printed: Mapping[str, Any]) -> Sheet:
    counted: dict[str, int] = found[kind]
    total = sum(counted.values()) or 1
    named = {name: table for name, table in printed.items() if kind in table}
    rows = [
        (name, _number(count), f"{count / total:.1%}", *_beside(named, kind, name))
        for name, count in counted.items()
    ]
    if rows:
        sums = (_number(sum(table[kind].values())) for table in named.values())
        rows.append(("all", _number(sum(counted.values())), "", *sums))
    return Sheet(kind.capitalize(), (kind, "here", "share", *named), tuple(rows))


def _transitions(found: Mapping[str, Any], printed: Mapping[str, Any]) -> Iterator[Sheet]:
    named = {name: table for name, table in printed.items() if "transitions" in table}
    for hops, rows in found["transitions"].items():
        cells = [
            (
                row["chain"],
                _number(row["count"]),
                _number(row["per_mille"]),
                *_beside(named, "transitions", row["chain"]),
            )
            for row in rows
        ]
        header = ("strategies", "times", "here, ‰", *(f"{name}, ‰" for name in named))
        yield Sheet(f"Transitions, {hops}", header, tuple(cells))


def _means(found: Mapping[str, Any], printed: Mapping[str, Any]) -> Sheet:
    named = {name: table for name, table in printed.items() if "feedback_by_phase" in table}
    rows = [
        (name, _number(value), *_beside(named, "feedback_by_phase", name))
        for name, value in found["feedback_by_phase"].items()
    ]
    return Sheet("Mean stars by third of the conversation", ("third", "here", *named), tuple(rows))


def _shares(found: Mapping[str, Any], kind: str, title: str) -> Sheet:
    parts: dict[str, dict[str, float]] = found[kind]
    rows = [
        (strategy.abbreviation, strategy.name, *(f"{row[strategy.name]:.1%}" for row in parts.values()))
        for strategy in label_set(found["label_set"])
        if parts
    ]
    return Sheet(title, ("", "strategy", *parts), tuple(rows))


def _counted(counts: Mapping[str, int], title: str, what: str) -> Sheet:
    return Sheet(
        title, (what, "conversations"), tuple((name, _number(count)) for name, count in counts.items())
    )


def _marks(found: Mapping[str, Any]) -> Sheet:
    rows = [
        (strategy, ", ".join(f"{mark['term']} ({mark['z']:.1f})" for mark in marks))
        for strategy, marks in found["marks"].items()
    ]
    note = "Log odds ratio with informative Dirichlet prior, z in brackets (Monroe et al. 2008)."
    return Sheet("Words that mark a strategy (ESConv Figure 3)", ("strategy", "terms"), tuple(rows), note)
