"""One self-contained page for a run or a comparison: the answer in the first screen, then the detail.

Nothing is fetched from anywhere: styles, script and plots stand in the file. What a run does not have is
said on its page instead of failing. Numbers come from `measures` and `compare`; this module only chooses
and arranges.

`hearten evaluate report RUN` and `hearten evaluate compare RUN RUN --out compare.html` write them.
"""

import json
import random
from collections.abc import Iterator, Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from hearten import __version__
from hearten.core.jsonl import read_lines, replacing
from hearten.core.palette import strategy_colour
from hearten.core.records import Prediction, Score
from hearten.core.runfolder import RunFolder
from hearten.core.taxonomy import LabelSet
from hearten.evaluate import compare as comparing
from hearten.evaluate import plots, strategytables
from hearten.evaluate.measures import Measures
from hearten.evaluate.tables import Table, factor, number, score_table, shown_interval

HEADLINES = (
    *(
        "ppl-token",
        "ppl-word",
        "BLEU-2",
        "BLEU-4",
        "ROUGE-L",
        "METEOR-1.5",
        "CIDEr",
        "Distinct-1",
        "Distinct-2",
    ),
    *("accuracy (used)", "macro-f1 (used)", "weighted-f1 (used)", "preference-bias (used)", "Length"),
)
"""What the first screen shows, of what there is: the columns of the papers' tables."""
HEADLINE_TITLE = "Shares times 100; 95% bootstrap intervals by conversation"
REPLIES = 20
CAPTION = (
    "Difference from the first run with 95% bootstrap interval, in the units of the table; filled where the "
    "interval leaves out zero. Perplexities are left out, since they are on another scale."
)
CONTEXT = 4
"""Turns of context beside a reply."""


def write_run(found: Measures, out: Path, *, seed: int = 13) -> Path:
    """Write a run's page; returns its path."""
    return _write("run.html", run_view(found, seed=seed), out)


def write_comparison(found: comparing.Comparison, out: Path, *, seed: int = 13) -> Path:
    """Write a comparison's page; returns its path."""
    return _write("comparison.html", comparison_view(found, seed=seed), out)


def _write(template: str, view: dict[str, Any], out: Path) -> Path:
    with replacing(out) as stream:
        stream.write(_environment().get_template(template).render(view))
    return out


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("hearten.evaluate"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    folder = files("hearten.evaluate") / "templates"
    for name, file in (("css", "tokens.css"), ("js", "tables.js")):
        environment.globals[name] = Markup((folder / file).read_text(encoding="utf-8"))
    environment.globals["version"] = __version__
    return environment


# --- a run


def run_view(found: Measures, *, seed: int = 13) -> dict[str, Any]:
    """Everything the page of a run shows; plots are markup, all else is plain text."""
    run, missing = found.origin.run, list(found.missing)
    loss = _losses(run, missing)
    strategies = _strategies(found)
    view = {
        "title": f"Run {found.origin.name}",
        "summary": _summary(found),
        "headline": headline(found.scores),
        "first_plots": _first_plots(found, loss),
        "loss_plots": loss,
        "strategies": strategies,
        "replies": list(_replies(found, seed)),
        "replies_total": len(found.origin.predictions),
        "seed": seed,
        "all_scores": score_table("Every score of this run", found.scores)
        if found.scores
        else Table("", (), ()),
        "facts": list(_facts(found)),
        "recipe": json.dumps(found.origin.manifest.recipe, indent=2) if found.origin.manifest else "",
        "missing": missing,
    }
    return {**view, "sections": list(_sections(view))}


def headline(scores: Sequence[Score]) -> Table:
    """The few scores of the first screen, in the order of HEADLINES."""
    known = {score.name: score for score in scores}
    rows = tuple(
        (name, number(known[name].value, name), shown_interval(known[name]))
        for name in HEADLINES
        if name in known
    )
    return Table(
        "Shares times 100; 95% bootstrap intervals by conversation", ("score", "value", "95% interval"), rows
    )


def _summary(found: Measures) -> str:
    origin = found.origin
    told = [f"{len(origin.predictions):,} replies" if origin.predictions else "no replies yet"]
    if origin.manifest:
        told = [f"system {origin.manifest.system}", f"protocol {origin.protocol}", *told]
        told += [
            "the whole test part" if origin.whole_test_part else "NOT the whole test part of its protocol"
        ]
    return " · ".join([*told, f"items {origin.split}"])


def _first_plots(found: Measures, loss: list[Markup]) -> dict[str, Any] | None:
    own = found.strategies
    if own is None:
        return {"drawn": loss, "caption": "Training, from metrics.jsonl."} if loss else None
    drawn = plots.progress(own.labels, own.gold_progress, own.choice_progress, own.choice)
    names = ", ".join(f"{strategy.abbreviation} {strategy.name}" for strategy in own.labels)
    told = "Strategies over the progress of a conversation, people above model (as ESConv, Figures 4 and 5)"
    return {"drawn": list(map(_markup, drawn)), "caption": f"{told}. {names}."}


def _strategies(found: Measures) -> dict[str, Any] | None:
    own = found.strategies
    if own is None:
        return None
    skipped = (
        f" {own.skipped} replies without a gold strategy or a choice are left out." if own.skipped else ""
    )
    return {
        "classes": strategytables.class_table(own),
        "note": f"Preference: Bradley–Terry strength in the model's confusions; 1 is even.{skipped}",
        "confusion": _markup(plots.confusion(own.labels, own.confusion, own.choice)),
        "progress": strategytables.progress_tables(own),
    }


def _losses(run: RunFolder | None, missing: list[str]) -> list[Markup]:
    """Loss curves from `metrics.jsonl`; says what is missing when there are none."""
    if run is None:
        return []
    if not run.metrics.is_file():
        missing.append("training curves: the run has no metrics.jsonl (hearten train writes it)")
        return []
    series, validation = curves(run.metrics)
    if not series and not validation:
        missing.append("training curves: metrics.jsonl holds neither losses nor validation perplexity")
    return list(map(_markup, plots.losses(series, validation)))


def curves(path: Path) -> tuple[dict[str, list[tuple[float, float]]], list[tuple[float, float]]]:
    """(name → (step, loss) of training, (step, perplexity) of validation); other lines are passed over."""
    series: dict[str, list[tuple[float, float]]] = {}
    validation: list[tuple[float, float]] = []
    for _, row in read_lines(path):
        if not isinstance(row, dict) or not isinstance(row.get("step"), int | float):
            continue
        named = row.get("losses") if isinstance(row.get("losses"), dict) else {}
        values = {"total": row.get("loss"), **(named or {})}
        for name, value in values.items():
            if isinstance(value, int | float) and value == value:
                series.setdefault(name, []).append((row["step"], value))
        if isinstance(row.get("valid_perplexity"), int | float):
            validation.append((row["step"], row["valid_perplexity"]))
    return series, validation


def _replies(found: Measures, seed: int) -> Iterator[dict[str, Any]]:
    labels = found.strategies.labels if found.strategies else None
    for one in chosen_replies(found.origin.predictions, seed):
        yield {
            "context": one.context[-CONTEXT:],
            "hypothesis": one.hypothesis,
            "reference": one.reference,
            "chosen": _strategy(labels, one.strategy),
            "gold": _strategy(labels, one.gold_strategy),
            "where": _where(one),
        }


def chosen_replies(predictions: Sequence[Prediction], seed: int) -> list[Prediction]:
    """Replies to show: one each from as many conversations as possible, drawn with the seed."""
    order = list(predictions)
    random.Random(seed).shuffle(order)
    first = {one.conversation_id: one for one in reversed(order)}
    fresh = [one for one in order if first[one.conversation_id] is one]
    return sorted(fresh[:REPLIES], key=lambda one: (one.conversation_id, one.index))


def _strategy(labels: LabelSet | None, name: str | None) -> dict[str, str] | None:
    if labels is None or name is None:
        return None
    strategy = labels.find(name)
    return {
        "name": strategy.name,
        "abbreviation": strategy.abbreviation,
        "colour": strategy_colour(labels.position(strategy)),
    }


def _where(one: Prediction) -> str:
    return f"conversation {one.conversation_id}, turn {one.index + 1} of {one.turns_total}"


def _facts(found: Measures) -> Iterator[tuple[str, str]]:
    manifest = found.origin.manifest
    if manifest is None:
        yield "source", f"{found.origin.name}: a file of predictions, without a run folder"
        return
    yield "command", manifest.command
    yield (
        "made",
        f"{manifest.created}, seed {manifest.seed}, revision {manifest.revision}, on {manifest.machine}",
    )
    yield "protocol", f"{manifest.protocol}, test part {manifest.split_hash}"
    yield "versions", ", ".join(f"{name} {version}" for name, version in manifest.versions.items())
    for path, mark in manifest.inputs.items():
        yield "input", f"{path} (sha256 {mark[:16]}…)"


def _sections(view: dict[str, Any]) -> Iterator[tuple[str, str]]:
    names = {
        "training": "loss_plots",
        "strategies": "strategies",
        "replies": "replies",
        "scores": "all_scores",
    }
    titles = {"scores": "All scores"}
    for section, needs in names.items():
        needed = view[needs]
        if needed and getattr(needed, "rows", True):
            yield section, titles.get(section, section.capitalize())
    yield "run", "The run"


# --- a comparison


def comparison_view(found: comparing.Comparison, *, seed: int = 13) -> dict[str, Any]:
    """Everything the page of a comparison shows."""
    full = comparing.table(found)
    short = tuple(row for name in HEADLINES for row in full.rows if row[0] == name)
    drawn = list(_drawn(found))
    plot = plots.differences(drawn, f"difference from {found.names[0]}", "differences") if drawn else None
    return {
        "title": " · ".join(found.names),
        "summary": f"{len(found.runs)} runs; the first is what the others are compared with",
        "first": found.names[0],
        "refusals": found.refusals,
        "headline": Table("Shares times 100", full.columns, short or full.rows),
        "legend": f"{comparing.LEGEND}. ≠: the signatures differ.",
        "plot": _markup(plot) if plot else None,
        "caption": CAPTION,
        "full": full,
        "tests": _tests(found),
        "replies": list(_side_by_side(found, seed)),
        "runs": [
            {
                "name": name,
                "signatures": [f"{score.name}: {score.signature}" for score in run.scores],
                "missing": run.missing,
            }
            for name, run in zip(found.names, found.runs, strict=True)
        ],
    }


def _drawn(found: comparing.Comparison) -> Iterator[tuple[str, float, float, float]]:
    """Differences of the headline shares, with interval."""
    for score in HEADLINES:
        for name, cell in zip(found.names, found.rows.get(score, ()), strict=False):
            one = cell.difference
            if one and one.interval and factor(score) == 100:
                label = f"{score}, {name}" if len(found.runs) > 2 else score
                yield label, 100 * one.value, 100 * one.interval[0], 100 * one.interval[1]


def _tests(found: comparing.Comparison) -> Table:
    """Every test with its p-value, plain and corrected."""
    from hearten.evaluate.tables import p_value

    rows = tuple(
        (
            f"{score}, {name}",
            number(cell.difference.value, score),
            p_value(cell.difference.p),
            p_value(cell.p_holm),
            p_value(cell.also.p) if cell.also else "",
            str(cell.difference.items),
        )
        for score, cells in found.rows.items()
        for name, cell in zip(found.names, cells, strict=True)
        if cell.difference
    )
    note = (
        "p (Holm) is corrected for all tests of this table; the markers above are not, as in the papers. "
        "McNemar treats replies as independent, the others resample conversations (n)."
    )
    return Table("Tests", ("score", "difference", "p", "p (Holm)", "McNemar", "n"), rows, note)


def _side_by_side(found: comparing.Comparison, seed: int) -> Iterator[dict[str, Any]]:
    """The same turns answered by every run that has them."""
    by_run = [{(one.conversation_id, one.index): one for one in run.origin.predictions} for run in found.runs]
    labels = next((run.strategies.labels for run in found.runs if run.strategies), None)
    for gold in chosen_replies(found.runs[0].origin.predictions, seed):
        key = (gold.conversation_id, gold.index)
        answers = [
            {"name": name, "text": known[key].hypothesis, "strategy": _own(run, known[key])}
            for name, run, known in zip(found.names, found.runs, by_run, strict=True)
            if key in known
        ]
        person = {"name": "Person", "text": gold.reference, "strategy": _strategy(labels, gold.gold_strategy)}
        yield {"context": gold.context[-CONTEXT:], "sides": [*answers, person], "where": _where(gold)}


def _own(run: Measures, one: Prediction) -> dict[str, str] | None:
    return _strategy(run.strategies.labels if run.strategies else None, one.strategy)


def _markup(svg: str) -> Markup:
    """Our own drawing, safe to put into a page: text in it was escaped by matplotlib."""
    return Markup(svg)
