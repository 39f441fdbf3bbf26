"""`hearten align …`: facets, rater, sample, rate, contrast, refine. Reads options and prints, learns nothing.

Every command is started again to go on where it stopped. Heavy libraries are imported inside.
"""

import json
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from hearten.align.rating import Gain, Shares
    from hearten.core.records import Example
    from hearten.core.runfolder import RunFolder

Data = Annotated[Path, typer.Option(help="the conversations.jsonl the run was trained on")]
Seed = Annotated[int, typer.Option(help="seed of every random draw")]
PartOf = Annotated[str, typer.Option(help="of the corpus: train to learn from, test to compare systems")]
Limit = Annotated[int | None, typer.Option(min=1, help="only so many items")]
Minutes = Annotated[float | None, typer.Option(min=0.01, help="stop after so long; start again to go on")]
Quiet = Annotated[bool, typer.Option("--quiet", help="no progress bar")]
AsJson = Annotated[bool, typer.Option("--json", help="one JSON object on standard output, nothing else")]


def build_facets(
    out: Annotated[Path, typer.Option(help="folder for train, valid, test and facets.json")],
    corpus: Annotated[
        Path | None, typer.Option(help="conversations.jsonl: coherence is made from its train part")
    ] = None,
    protocol: Annotated[str, typer.Option(help="how the corpus is split; only train is used")] = "seed13-910",
    epitome: Annotated[Path | None, typer.Option(help="EPITOME's folder; found by itself if here")] = None,
    mi: Annotated[Path | None, typer.Option(help="MI Gold's CSV; found by itself if here")] = None,
    counselchat: Annotated[Path | None, typer.Option(help="CounselChat's CSV with MI labels")] = None,
    pairs: Annotated[int, typer.Option(min=0, help="originals of the coherence facet; paper: 4000")] = 1500,
    balance: Annotated[
        float, typer.Option(min=1, help="largest class at most so many times the least")
    ] = 3.0,
    asked: Annotated[bool, typer.Option(help="information that was asked for is weak empathy")] = True,
    weak: Annotated[bool, typer.Option(help="train on automatic skill labels too")] = True,
    editor: Annotated[
        str | None, typer.Option(help="chat model that alters replies, instead of rules")
    ] = None,
    seed: Seed = 13,
    as_json: AsJson = False,
) -> None:
    """Collect labelled replies of three facets, clean, balance and split them by source conversation."""
    from hearten.align import facets as logic
    from hearten.core.places import find_corpus
    from hearten.core.runfolder import file_hash

    config = logic.FacetsConfig(pairs=pairs, balance=balance, asked=asked, weak=weak, seed=seed)
    sources = logic.Sources(
        epitome=epitome or find_corpus("epitome"),
        mi=mi or find_corpus("mi/mi_gold_test.csv", "mi/mi_gold_test.csv.gz"),
        counselchat=counselchat or find_corpus("mi/counselchat_mi.csv", "mi/counselchat_mi.csv.gz"),
        examples=_part(corpus, protocol, "train") if corpus else (),
    )
    built = logic.build(sources, config, _chat_model(editor))
    files = [path for path in (corpus, sources.mi, sources.counselchat) if path]
    logic.write(built, out, config, {path.name: file_hash(path) for path in files})
    if as_json:
        print(json.dumps({"counts": built.counts(), "left_out": dict(built.skipped)}))
        return
    for part, table in built.counts().items():
        for name, classes in table.items():
            print(f"{part:<6} {name:<10} " + " · ".join(f"{label} {n:,}" for label, n in classes.items()))
    _print_left_out(built.skipped)
    print(f"licences: EPITOME academic use, MI CC BY-NC-SA 3.0, the corpus its own; do not pass {out} on")
    print(f"wrote {out}; next: hearten align rater train {out} --out runs/rater")


def train(
    data: Annotated[Path, typer.Argument(help="folder of `align facets build`")],
    out: Annotated[Path, typer.Option(help="run folder of the rater")],
    kind: Annotated[
        str, typer.Option(help="language (scored class names) or embedding (light)")
    ] = "language",
    backbone: Annotated[str, typer.Option(help="language: any causal model")] = "embedded",
    layers: Annotated[
        int | None, typer.Option(min=1, help="language: adapt so many of the last layers")
    ] = None,
    depth: Annotated[
        int | None, typer.Option(min=1, help="language: keep only the first so many layers")
    ] = None,
    epochs: Annotated[float, typer.Option(min=0.01, help="language: passes over the data")] = 1.0,
    minutes: Annotated[float | None, typer.Option(min=0.01, help="language: shorten the schedule")] = None,
    pause: Annotated[float | None, typer.Option(min=0.01, help="save and stop after so many minutes")] = None,
    limit: Limit = None,
    seed: Seed = 13,
    quiet: Quiet = False,
) -> None:
    """Train a rater on facet data: low-rank adapters on a language model, or a head on sentence vectors."""
    from hearten.core.registry import lookup

    told: dict[str, Callable[..., None]] = {"language": _train_language, "embedding": _train_light}
    options = {"backbone": backbone, "layers": layers, "depth": depth, "epochs": epochs, "minutes": minutes,
               "pause": pause, "limit": limit, "seed": seed, "quiet": quiet}  # fmt: skip
    lookup(told, kind, "kind of rater")(data, out, **options)


def _train_light(data: Path, out: Path, *, limit: int | None, seed: int, **_: Any) -> None:
    from hearten.align.facets import read_part
    from hearten.align.light import LightConfig, fit_light

    rater = fit_light(read_part(data, "train")[:limit], LightConfig(seed=seed))
    rater.save(out)
    _decide(out, out, data)
    print(f"wrote {out}; next: hearten align rater evaluate {out} {data}")


def _train_language(data: Path, out: Path, *, backbone: str, layers: int | None, depth: int | None,
                    epochs: float, seed: int, **rest: Any) -> None:  # fmt: skip
    from hearten.align.raters import RaterConfig, RaterTraining, train_rater
    from hearten.lm.adapters import AdapterConfig
    from hearten.lm.backbone import BackboneConfig
    from hearten.models.raters.language import LanguageRaterConfig

    adapter = AdapterConfig(rank=16, alpha=16, dropout=0.05, modules="attention", layers=layers)
    config = RaterConfig(
        rater=LanguageRaterConfig(backbone=BackboneConfig(name=backbone, depth=depth, adapter=adapter)),
        training=RaterTraining(epochs=epochs),
        seed=seed,
    )
    state = train_rater(config, data, out, command=_command(), **rest)
    if (out / "model").is_dir() and state.validated == state.step:
        _decide(out, out / "model", data)
        print(f"wrote {out}; next: hearten align rater evaluate {out} {data}")
    else:
        print(f"paused after step {state.step}; the same command goes on")


def _decide(rater: Path, weights: Path, data: Path) -> None:
    """Choose from which P(unhelpful) on the new rater calls a reply unhelpful; keep it with its weights."""
    from hearten.align import measure
    from hearten.align.facets import read_part
    from hearten.models.raters import open_rater
    from hearten.models.raters.threshold import write_thresholds

    chosen = measure.thresholds(measure.judged(open_rater(str(rater)), read_part(data, "valid")))
    write_thresholds(weights, chosen)
    told = " · ".join(f"{name} {place:.2f}" for name, place in chosen.items())
    print(f"unhelpful from P = {told} on (best macro-F1 in validation)")


def evaluate(
    rater: Annotated[str, typer.Argument(help="FOLDER, asked:CHAT-MODEL, or ONE+OTHER")],
    data: Annotated[Path, typer.Argument(help="folder of `align facets build`")],
    part: Annotated[str, typer.Option(help="test or valid")] = "test",
    out: Annotated[Path | None, typer.Option(help="folder for scores.json and calibration.svg")] = None,
    limit: Limit = None,
    as_json: AsJson = False,
) -> None:
    """Accuracy and macro-F1 of a rater, unhelpful or not, beside the paper's; and its calibration."""
    from hearten.align import measure
    from hearten.align.facets import read_part
    from hearten.align.raters import even
    from hearten.core.jsonl import write_json
    from hearten.core.runfolder import file_hash
    from hearten.models.raters import open_rater

    items = even(read_part(data, part), limit)
    found = measure.judged(open_rater(rater), items)
    scores = measure.scores(found, rater, file_hash(data / f"{part}.jsonl")[:12])
    sources = measure.by_source(found)
    record = {"scores": [one.model_dump() for one in scores], "by_source": sources}
    if out:
        write_json(out / "scores.json", record)
        measure.plot(found, out / "calibration.svg")
    if as_json:
        print(json.dumps(record))
        return
    _print_quality(scores, sources)
    print(
        f"wrote {out}" if out else "nothing written; --out FOLDER keeps the figures and the calibration plot"
    )


def _print_quality(scores: Any, sources: dict[str, tuple[float, int]]) -> None:
    from hearten.align.measure import published

    print(f"{'unhelpful or not, ×100':<34} accuracy  macro-F1  items")
    values = {score.name: score for score in scores}
    for name in dict.fromkeys(score.name.split()[0] for score in scores):
        first, second = values[f"{name} accuracy"], values.get(f"{name} macro-F1")
        if first.value is None or second is None or second.value is None:
            print(f"{name:<34} nothing could be read ({first.note})")
            continue
        print(f"{name:<34} {100 * first.value:8.1f} {100 * second.value:9.1f} {first.items:6}")
        for who, (accuracy, f1) in published().get(name, {}).items():
            print(f"  {who:<32} {accuracy:8.1f} {f1:9.1f}")
    for name, (share, count) in sources.items():
        print(f"  of those from {name:<18} {100 * share:8.1f} {'':>9} {count:6}")
    errors = [f"{one.name.split()[0]} {one.value:.3f}" for one in scores if one.name.endswith("error")]
    print(f"calibration error: {' · '.join(errors) or 'this rater gives no probabilities'}")


def rate_runs(
    rater: Annotated[str, typer.Argument(help="FOLDER, asked:CHAT-MODEL, or ONE+OTHER")],
    runs: Annotated[list[Path], typer.Argument(help="run folders with predictions; the first is the base")],
    limit: Limit = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Share of helpful replies of one or more runs, and whether the last differs from the first."""
    from hearten.align import rating
    from hearten.align.records import file_stem
    from hearten.core.jsonl import read_records
    from hearten.core.records import Prediction
    from hearten.core.runfolder import RunFolder
    from hearten.models.raters import open_rater

    chosen = open_rater(rater)
    found = []
    for run in runs:
        predictions = list(read_records(RunFolder(run).predictions, Prediction))[:limit]
        ledger = run / f"verdicts-{file_stem(rater)}.jsonl"
        found.append(rating.rate_predictions(chosen, predictions, ledger, quiet=quiet))
    tables = {
        str(run): rating.shares(one.verdicts[0] for one in each)
        for run, each in zip(runs, found, strict=True)
    }
    lost, won, p = rating.paired(found[0], found[-1])
    if as_json:
        rows = {name: {"helpful": t.helpful, "items": t.items, **t.by_facet} for name, t in tables.items()}
        print(json.dumps({"rater": rater, "runs": rows, "lost": lost, "won": won, "p": p}))
        return
    for name, table in tables.items():
        print(f"{name}: {_told(table)} of {table.items}, {table.unscored} unscored")
    if len(runs) > 1:
        print(f"on the same turns: {won} became helpful, {lost} no longer are; exact McNemar p = {p:.3g}")
        _print_gain(rating.gain(found[0], found[-1]))
    print("verdicts are kept beside each run's predictions")


def sample(
    run: Annotated[Path, typer.Argument(help="run folder of a trained system")],
    data: Data,
    out: Annotated[Path, typer.Option(help="ledger of candidates, one line a context")],
    beams: Annotated[int, typer.Option(min=1, help="candidates a context")] = 10,
    groups: Annotated[int | None, typer.Option(min=1, help="groups of beams; default as many")] = None,
    penalty: Annotated[float, typer.Option(min=0, help="Hamming diversity")] = 1.0,
    policy: Annotated[str, typer.Option(help="strategy of a candidate: gold or argmax")] = "gold",
    part: PartOf = "train",
    shard: Annotated[str, typer.Option(help="part of the conversations, e.g. 2/4")] = "1/1",
    limit: Limit = None,
    minutes: Minutes = None,
    seed: Seed = 13,
    quiet: Quiet = False,
) -> None:
    """Sample candidate replies for every context of a part by diverse beam search; resumes."""
    from hearten.align import sampling
    from hearten.core.runfolder import RunFolder
    from hearten.lm.decode import DiverseDecoding, policy_of
    from hearten.models.supporters import load_system

    source = RunFolder.open(run)
    decoding = DiverseDecoding(n=beams, groups=groups or beams, penalty=penalty)
    examples = _trained_on(source, data, part)
    talks = sampling.chosen_conversations(examples, seed=seed, shard=shard, limit=limit)
    total = sum(map(len, talks))
    count = sampling.sample(
        load_system(source), talks, decoding, policy_of(policy), out, minutes=minutes, quiet=quiet
    )
    told = "" if part == "train" else f"--part {part} "
    print(f"{count:,} of {total:,} contexts have candidates in {out}; next: hearten align rate RATER {out} "
          f"--data {data} {told}--out verdicts.jsonl")  # fmt: skip


def rate(
    rater: Annotated[str, typer.Argument(help="FOLDER, asked:CHAT-MODEL, or ONE+OTHER")],
    candidates: Annotated[list[Path], typer.Argument(help="ledgers of `align sample`")],
    data: Data,
    out: Annotated[Path, typer.Option(help="ledger of verdicts, one line a context")],
    protocol: Annotated[str, typer.Option(help="how the corpus was split")] = "seed13-910",
    part: PartOf = "train",
    against: Annotated[
        Path | None, typer.Option(help="verdicts of the same rater on another system's candidates")
    ] = None,
    limit: Limit = None,
    quiet: Quiet = False,
) -> None:
    """Rate candidates on every facet, each context's with its text read once; resumes."""
    from hearten.align import rating
    from hearten.align.sampling import read_ledger
    from hearten.core.jsonl import require_file
    from hearten.models.raters import open_rater

    sampled, judging = read_ledger(candidates)[:limit], open_rater(rater)
    others = list(rating.read_verdicts(require_file(against), judging.name).values()) if against else None
    examples = _part(data, protocol, part)
    found = rating.rate_candidates(judging, examples, sampled, out, quiet=quiet)
    table = rating.shares(row for one in found for row in one.verdicts)
    print(f"{table.items:,} candidates of {len(found):,} contexts: {_told(table)}")
    if others is not None:
        _print_gain(rating.gain(others, found))
    if part != "train":
        print(f"wrote {out}")
        return
    print(f"wrote {out}; next: hearten align contrast RUN --candidates {candidates[0]} --verdicts {out} "
          f"--data {data} --out runs/muffin")  # fmt: skip


def contrast(
    run: Annotated[Path, typer.Argument(help="run folder of the system to improve")],
    candidates: Annotated[list[Path], typer.Option(help="ledgers of `align sample`")],
    verdicts: Annotated[Path, typer.Option(help="ledger of `align rate`")],
    data: Data,
    out: Annotated[Path, typer.Option(help="another run folder")],
    variant: Annotated[
        str, typer.Option(help="muffin, paper, printed, released, list, dpo, simpo or gold")
    ] = "muffin",
    facet: Annotated[
        list[str] | None, typer.Option(help="only this facet tells (Table 3); repeatable")
    ] = None,
    learning_rate: Annotated[float, typer.Option(min=0, help="highest rate")] = 2e-4,
    epochs: Annotated[float, typer.Option(min=0.01, help="passes over the contexts")] = 1.0,
    minutes: Annotated[float | None, typer.Option(min=0.01, help="shorten the schedule")] = None,
    pause: Annotated[float | None, typer.Option(min=0.01, help="save and stop after so many minutes")] = None,
    seed: Seed = 13,
    quiet: Quiet = False,
) -> None:
    """Lift a system's helpful replies above its unhelpful ones, into a run folder of its own; resumes."""
    from hearten.align import contrast as logic
    from hearten.align.losses import VARIANTS
    from hearten.align.rating import read_verdicts
    from hearten.align.sampling import read_ledger
    from hearten.core.rater import facet as facet_of
    from hearten.core.registry import lookup
    from hearten.core.runfolder import RunFolder
    from hearten.models.supporters import load_system

    training = logic.ContrastTraining(
        learning_rate=learning_rate, epochs=epochs, released_schedule=variant == "released"
    )
    only = tuple(facet_of(name).name for name in facet or ())
    objective = lookup(VARIANTS, variant, "variant")
    config = logic.ContrastConfig(objective=objective, training=training, facets=only, seed=seed)
    source, target = RunFolder.open(run), RunFolder(out)
    examples = _trained_on(source, data)
    found, left_out = logic.lessons(
        examples, read_ledger(candidates), list(read_verdicts(verdicts).values()), only
    )
    _print_left_out(left_out)
    logic.claim(source, target, config, _command(), [*candidates, verdicts])
    logic.write_counts(out / "contexts.json", len(found), left_out)
    system = load_system(source, learning=True)
    state = logic.learn(system, found, config, target, minutes=minutes, pause=pause, quiet=quiet)
    if state.validated < state.step:
        print(f"paused after step {state.step}; the same command goes on")
        return
    print(f"learned from {len(found):,} contexts")
    print(f"wrote {out}; next: hearten evaluate predict {out} --data {data}")


def refine(
    model: Annotated[str, typer.Argument(help="answers first: whatever hearten chat talks to")],
    rater: Annotated[str, typer.Option(help="FOLDER, asked:CHAT-MODEL, or ONE+OTHER")],
    data: Annotated[Path, typer.Option(help="conversations.jsonl; its test part is answered")],
    out: Annotated[Path, typer.Option(help="ledger of replies and rewrites, one line a turn")],
    writer: Annotated[str, typer.Option(help="chat model that rewrites")] = "embedded",
    rounds: Annotated[int, typer.Option(min=1, help="most rewrites of a reply; the paper's two")] = 2,
    protocol: Annotated[str, typer.Option(help="how the corpus is split")] = "seed13-910",
    limit: Limit = None,
    quiet: Quiet = False,
) -> None:
    """Helpful shares after no, one and two rewrites of a prompted model's replies (Appendix C); resumes."""
    from hearten.align import refining
    from hearten.lm.chat import open_chat_model
    from hearten.models.raters import open_rater
    from hearten.models.refine import Refined
    from hearten.models.supporters import open_supporter

    supporter = open_supporter(model)
    refined = Refined(supporter, open_rater(rater), open_chat_model(writer), rounds)
    examples = _part(data, protocol, "test")[:limit]
    by = f"{model}, {rater}, {writer}, {rounds} rewrites"
    found = refining.refine(supporter, refined, examples, out, by=by, quiet=quiet)
    for rewrites, table in enumerate(refining.by_rewrites(found, rounds)):
        print(f"at most {rewrites} rewrites: {_told(table)} of {table.items}, {table.unscored} unscored")
    print(f"wrote {out}")


def _told(table: "Shares") -> str:
    facets = " · ".join(f"{facet} {100 * share:.1f}" for facet, share in table.by_facet.items())
    return f"helpful {100 * table.helpful:.1f}% ({facets})"


def _print_gain(gained: "Gain") -> None:
    print(f"on the {gained.contexts:,} contexts both have: {100 * gained.before:.1f}% helpful, then "
          f"{100 * gained.after:.1f}%; p = {gained.p:.3g} (signs of {gained.conversations} conversations' "
          "differences turned at random)")  # fmt: skip


def _part(corpus: Path, name: str, part: str) -> "tuple[Example, ...]":
    from hearten.core.conversation import Conversation
    from hearten.core.jsonl import read_records
    from hearten.core.protocol import protocol, split
    from hearten.core.registry import lookup

    parts = split(list(read_records(corpus, Conversation)), protocol(name))
    return lookup({"train": parts["train"], "valid": parts["valid"], "test": parts["test"]}, part, "part")


def _trained_on(run: "RunFolder", data: Path, part: str = "train") -> "tuple[Example, ...]":
    """A part of the corpus that a run was trained on, refused where the corpus is another one."""
    from hearten.core.errors import Failure
    from hearten.core.runfolder import file_hash

    manifest = run.manifest
    if manifest.inputs and file_hash(data) not in manifest.inputs.values():
        what = "this is not the corpus the run was trained on, or it has changed since"
        raise Failure(what, where=str(data), fix=f"use {', '.join(manifest.inputs)}")
    return _part(data, manifest.protocol, part)


def _chat_model(name: str | None) -> Any:
    if name is None:
        return None
    from hearten.lm.chat import open_chat_model

    return open_chat_model(name)


def _print_left_out(counts: Any) -> None:
    for reason, count in sorted(counts.items()):
        print(f"left out: {count:,} × {reason}")


def _command() -> str:
    return shlex.join(["hearten", *sys.argv[1:]])
