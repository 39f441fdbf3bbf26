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
Preset = Annotated[str, typer.Option(help="recipe of the text metrics: nlgeval, zcj or clean")]
Quiet = Annotated[bool, typer.Option("--quiet", help="no progress bar")]


def predict(
    run: Annotated[Path, typer.Argument(help="run folder")],
    data: Annotated[Path, typer.Option(help="the conversations.jsonl the run was trained on")],
    out: Annotated[Path | None, typer.Option(help="another run folder for these results")] = None,
    policy: Annotated[
        str | None, typer.Option(help="sampled, argmax, gold (Oracle), random or planner:RUN[@macro-f1]")
    ] = None,
    part: Annotated[str, typer.Option(help="test or valid")] = "test",
    untrained: Annotated[bool, typer.Option("--untrained", help="the system before any training")] = False,
    transfer: Annotated[
        bool, typer.Option("--transfer", help="the data is another corpus than the run learned from")
    ] = False,
    limit: Annotated[int | None, typer.Option(min=1, help="only the first conversations")] = None,
    replies: Annotated[
        int | None, typer.Option(min=0, help="conversations also answered in words; 0: none")
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Replies and likelihoods of a run for every test turn; run it again to go on where it stopped."""
    from hearten.core.protocol import PARTS
    from hearten.core.registry import lookup
    from hearten.core.runfolder import RunFolder
    from hearten.evaluate import predict as logic
    from hearten.lm.decode import policy_of

    source, target = RunFolder.open(run), RunFolder(out or run)
    plan = logic.Plan(
        data=data,
        part=lookup({name: name for name in PARTS}, part, "part"),
        policy=policy_of(policy) if policy else None,
        limit=limit,
        replies=replies,
        untrained=untrained,
        transfer=transfer,
    )
    count = logic.predict(source, target, plan, quiet=quiet)
    print(f"scored {count:,} turns in {target.path}; next: hearten evaluate report {target.path}")


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


def calibration(
    source: Annotated[
        Path, typer.Argument(metavar="RUN|PREDICTIONS", help="run folder or predictions.jsonl")
    ],
    bins: Annotated[int, typer.Option(min=2, help="how many bins of equal size")] = 10,
    resamples: Resamples = 1000,
    seed: Seed = 13,
    limit: Limit = None,
    as_json: AsJson = False,
    out: Annotated[Path | None, typer.Option(help="write the plot (.svg) or the JSON object")] = None,
) -> None:
    """Whether a system's belief in its strategies is what comes true."""
    from hearten.core.jsonl import replacing
    from hearten.evaluate import calibration as logic
    from hearten.evaluate.origin import open_origin

    found = logic.report(open_origin(source, limit=limit), bins=bins, resamples=resamples, seed=seed)
    plot = out if out is not None and out.suffix == ".svg" else None
    if plot is not None:
        from hearten.evaluate import plots

        with replacing(plot) as stream:
            stream.write(plots.standalone(plots.calibration(found.points)))
    written = None if plot else out
    then = f"hearten evaluate strategies {source}"
    _answer(logic.as_dict(found), logic.tables(found), as_json, written, then, also=plot)


def compare(
    sources: Annotated[list[Path], typer.Argument(metavar="RUN RUN…", help="the first is compared with")],
    test: Annotated[str, typer.Option(help="bootstrap, randomisation or t")] = "bootstrap",
    preset: Preset = "nlgeval",
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

    runs = [
        measure(open_origin(path, limit=limit), preset=preset, resamples=resamples, seed=seed)
        for path in sources
    ]
    found = logic.compare(runs, test=test)
    page = out if out is not None and out.suffix == ".html" else None
    if page is not None:
        from hearten.evaluate.report import write_comparison

        write_comparison(found, page)
    told = "hearten evaluate report RUN" if page else "add --out compare.html for a page"
    written = None if page else out
    _answer(logic.as_dict(found), [logic.table(found)], as_json, written, told, also=page)


def agreement(
    source: Annotated[
        Path, typer.Argument(metavar="FILE", help="CSV or JSON Lines: item, rater, question, value")
    ],
    kind: Annotated[str, typer.Option(help="likert, winlose, votes, categories or thresholds")],
    scale: Annotated[str | None, typer.Option(help="allowed Likert values, such as 1-5")] = None,
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="leave bad rows out and count them")] = False,
    resamples: Resamples = 1000,
    seed: Seed = 13,
    as_json: AsJson = False,
    out: Out = None,
) -> None:
    """What raters preferred, how sure that is, and how well they agree."""
    from hearten.evaluate import agreement as logic
    from hearten.evaluate import ratings, thresholds
    from hearten.evaluate.tables import Table

    if kind == "thresholds":
        found = thresholds.search(thresholds.read_judged(source))
        then = "put the thresholds into the study's settings"
        return _answer(thresholds.as_dict(found), [thresholds.table(found)], as_json, out, then)
    answers = ratings.read_answers(source, kind, scale=ratings.parse_scale(scale), skip_bad=skip_bad)
    study = logic.study(answers, kind, resamples=resamples, seed=seed)
    title = f"{study.items} items, {study.raters} raters"
    notes = [Table(title, (), (), "\n".join(study.notes))]
    return _answer(
        logic.as_dict(study), [*study.tables, *notes], as_json, out, "add --json for the signatures"
    )


def toxicity(
    source: Annotated[
        Path, typer.Argument(metavar="CORPUS|RUN", help="conversations.jsonl, predictions or run")
    ],
    scorer: Annotated[str, typer.Option(help="local, or perspective (ends 2026-12-31)")] = "local",
    show: Annotated[int, typer.Option(min=0, help="also print this many of the highest utterances")] = 0,
    resamples: Resamples = 1000,
    seed: Seed = 13,
    limit: Limit = None,
    as_json: AsJson = False,
    out: Out = None,
    quiet: Quiet = False,
) -> None:
    """Six attributes of harm, averaged over utterances (ExTES Table 7)."""
    from hearten.evaluate import toxicity as logic
    from hearten.evaluate.tables import Table

    said = logic.read_utterances(source, limit=limit)
    judge = logic.scorer(scorer)
    found = logic.report(said, judge, resamples=resamples, seed=seed, quiet=quiet, show=show)
    rows = tuple((one.text[:70], one.column, f"{value:.3f}") for one, _, value in found.highest)
    highest = [Table("Highest by toxicity", ("utterance", "whose", "score"), rows)] if rows else []
    tables = [logic.table(found), logic.paper_table(), *highest]
    _answer(
        logic.as_dict(found), tables, as_json, out, "read docs/evaluation.md on what this scorer cannot see"
    )


def judge(
    sources: Annotated[
        list[Path], typer.Argument(metavar="RUN [RUN]", help="one run is judged against its references")
    ],
    model: Annotated[str, typer.Option(help="the chat model that judges (and plays seekers)")],
    kind: Annotated[str, typer.Option(help="pairwise, rubric or seekers")] = "pairwise",
    humans: Annotated[
        Path | None, typer.Option(help="people's ratings of the same items, to agree with")
    ] = None,
    roles: Annotated[Path | None, typer.Option(help="seekers: role cards, JSON lines with a 'role'")] = None,
    turns: Annotated[int, typer.Option(min=2, help="seekers: messages a conversation")] = 16,
    ledger: Annotated[
        Path | None, typer.Option(help="where answers are kept; beside the run if not said")
    ] = None,
    seed: Seed = 13,
    limit: Limit = None,
    as_json: AsJson = False,
    out: Out = None,
    quiet: Quiet = False,
) -> None:
    """Let a chat model judge replies, or play seekers and judge whole conversations."""
    from hearten.core.registry import lookup
    from hearten.evaluate import judge as logic
    from hearten.evaluate import judging
    from hearten.evaluate.tables import Table

    steps = {"pairwise": judging.pairwise, "rubric": judging.rubric, "seekers": judging.seekers}
    task = judging.Task(
        sources=tuple(sources),
        model=model,
        humans=humans,
        roles=roles,
        turns=turns,
        ledger=ledger,
        seed=seed,
        limit=limit,
        quiet=quiet,
    )
    found = lookup(steps, kind, "kind of judging")(task)
    notes = [Table("Notes", (), (), "\n".join(found.notes))] if found.notes else []
    then = f"every raw answer is in {task.book}: read some before you believe a judge"
    _answer(logic.as_dict(found), [*found.tables, *notes], as_json, out, then)


def report(
    source: Annotated[
        Path, typer.Argument(metavar="RUN|PREDICTIONS", help="run folder or predictions.jsonl")
    ],
    preset: Preset = "nlgeval",
    resamples: Resamples = 1000,
    seed: Seed = 13,
    limit: Limit = None,
    out: Annotated[Path | None, typer.Option(help="the page; report.html beside the run if not said")] = None,
) -> None:
    """One HTML page for a run: the answer first, then curves, strategies, replies and signatures."""
    from hearten.evaluate import report as logic
    from hearten.evaluate.measures import measure
    from hearten.evaluate.origin import open_origin

    found = measure(open_origin(source, limit=limit), preset=preset, resamples=resamples, seed=seed)
    page = out or (source / "report.html" if source.is_dir() else source.with_suffix(".html"))
    logic.write_run(found, page, seed=seed)
    for line in found.missing:
        print(f"missing: {line}")
    print(f"wrote {page}; next: open it in a browser, or hearten evaluate compare {source} RUN")


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
