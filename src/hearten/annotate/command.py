"""`hearten annotate emotion · commonsense · keywords · cause · distress · fit`: options in, lines out."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hearten.core.errors import UsageError

if TYPE_CHECKING:
    from hearten.core.conversation import Conversation
    from hearten.knowledge.kinds import Annotator

File = Annotated[Path, typer.Argument(metavar="FILE", help="conversations.jsonl")]
Out = Annotated[Path | None, typer.Option(help="default: FILE.annotated.jsonl, which grows kind by kind")]
Turns = Annotated[str, typer.Option(help="whose turns: seeker, supporter or all")]
Detector = Annotated[str, typer.Option(help="embedded, or the folder of a 28-label GoEmotions classifier")]
Limit = Annotated[int | None, typer.Option(min=1, help="only the first conversations")]
AsJson = Annotated[bool, typer.Option("--json", help="one JSON object on standard output, nothing else")]
Quiet = Annotated[bool, typer.Option("--quiet", help="no progress bar")]


def emotion(
    file: File,
    out: Out = None,
    model: Detector = "embedded",
    turns: Turns = "all",
    raw: Annotated[
        bool, typer.Option("--raw", help="keep the 28 probabilities too (kind goemotions)")
    ] = False,
    limit: Limit = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Which of ESConv's seven emotions each turn shows, or none."""
    from hearten.knowledge import kinds
    from hearten.knowledge.emotion import open_detector

    talks = _read(file, limit)
    annotator = kinds.emotion(open_detector(model), _stamp(model), raw=raw)
    _run(talks, annotator, file, out, turns, as_json, quiet)


def commonsense(
    file: File,
    out: Out = None,
    model: Annotated[
        str, typer.Option(help="events (Event2Mind), the folder of a COMET, or chat:MODEL")
    ] = "events",
    turns: Turns = "seeker",
    limit: Limit = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """What each seeker turn, and the situation, imply: ATOMIC's relations as short phrases."""
    from hearten.knowledge import kinds

    talks = _read(file, limit)
    source, _, chat = model.partition(":") if model.startswith("chat:") else (model, "", None)
    annotator = kinds.commonsense(source, _stamp(source), chat=chat)
    _run(talks, annotator, file, out, turns, as_json, quiet)


def keywords(
    file: File,
    out: Out = None,
    turns: Turns = "all",
    limit: Limit = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """The words each turn turns on, the rarest of the file first."""
    from hearten.annotate.run import texts_of
    from hearten.core.runfolder import file_hash
    from hearten.knowledge import kinds

    talks = _read(file, limit)
    annotator = kinds.keywords(texts_of(talks, "all"), f"{file_hash(file)} {limit}")
    _run(talks, annotator, file, out, turns, as_json, quiet)


def cause(
    file: File,
    out: Out = None,
    model: Detector = "embedded",
    lexicon: Annotated[
        Path | None, typer.Option(help="word, valence, arousal, dominance a line (NRC-VAD): adds kind vad")
    ] = None,
    turns: Turns = "seeker",
    limit: Limit = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Which clause each turn's emotion comes from; with a lexicon also valence, arousal and dominance."""
    from hearten.core.runfolder import file_hash
    from hearten.knowledge import kinds
    from hearten.knowledge.emotion import open_detector

    talks = _read(file, limit)
    stamp = f"{_stamp(model)} {file_hash(lexicon) if lexicon and lexicon.is_file() else ''}"
    annotator = kinds.cause(open_detector(model), stamp, lexicon)
    _run(talks, annotator, file, out, turns, as_json, quiet)


def distress(
    file: File,
    out: Out = None,
    graph: Annotated[
        Path | None, typer.Option(help="HEAL's archive or folder; default: the data folder")
    ] = None,
    turns: Turns = "seeker",
    limit: Limit = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """The case of a graph of distress (HEAL) nearest to each seeker turn, for KEMI; never to be shown."""
    from hearten.knowledge import kinds

    talks = _read(file, limit)
    annotator = kinds.distress(graph, _stamp(str(graph or "heal")))
    _run(talks, annotator, file, out, turns, as_json, quiet)


def fit(
    data: Annotated[Path | None, typer.Option(help="GoEmotions: train, dev and test .tsv.gz")] = None,
    out: Annotated[Path | None, typer.Option(help="where the weights go; default: the shipped file")] = None,
    seed: Annotated[int, typer.Option(help="seed of the start and of the order")] = 0,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Train the emotion detector that ships, on GoEmotions, and say how good it is (minutes of CPU)."""
    from hearten.core.places import find_corpus
    from hearten.knowledge import emotion as shipped
    from hearten.knowledge import goemotions

    folder = data or find_corpus("goemotions")
    if folder is None:
        raise UsageError("GoEmotions is not on this machine", fix="hearten data get goemotions")
    weights, quality = goemotions.train_and_measure(folder, goemotions.FitSettings(seed=seed), quiet=quiet)
    target = out or Path(shipped.__file__).with_name(shipped.WEIGHTS)
    shipped.write(weights, target)
    if as_json:
        print(quality.model_dump_json())
        return
    print(f"test part, {quality.items:,} comments: macro-F1 {quality.macro_f1:.3f} with a threshold a label,")
    print(f"  {quality.macro_f1_single:.3f} with one for all; top label right {quality.top1:.3f}")
    print(f"wrote {target} ({target.stat().st_size / 1e6:.2f} MB); next: hearten annotate emotion FILE")


def _read(file: Path, limit: int | None) -> "list[Conversation]":
    from hearten.annotate.run import read_conversations

    return read_conversations(file, limit)


def _stamp(name: str) -> str:
    """A name, and what tells that what it names has changed."""
    place = Path(name)
    if name == "embedded":
        from hearten.core.runfolder import file_hash
        from hearten.knowledge import emotion

        place = Path(emotion.__file__).with_name(emotion.WEIGHTS)
        return f"embedded {file_hash(place)[:12]}"
    if not place.exists():
        return name
    files = [place] if place.is_file() else sorted(f for f in place.rglob("*") if f.is_file())
    return f"{name} {[(f.name, f.stat().st_size, f.stat().st_mtime_ns) for f in files]}"


def _run(
    talks: "list[Conversation]",
    annotator: "Annotator",
    file: Path,
    out: Path | None,
    turns: str,
    as_json: bool,
    quiet: bool,
) -> None:
    """Annotate, then say what was done."""
    from hearten.annotate.run import annotate, beside

    target = out or beside(file)
    if target.resolve() == file.resolve() and out is not None:
        raise UsageError(f"'{target}' is the file that is read", fix="choose another --out")
    done = annotate(talks, annotator, target, who=turns, quiet=quiet or as_json)
    if as_json:
        print(json.dumps(done.model_dump(), ensure_ascii=False))
        return
    _tell(done.model_dump())


def _tell(done: dict[str, Any]) -> None:
    total = sum(done["counts"].values())
    for name, count in done["counts"].items():
        print(f"  {name:<12} {count:>7,}  {count / total:6.1%}")
    print(
        f"{done['kind']}: {done['turns']:,} turns of {done['conversations']:,} conversations, "
        f"{done['texts']:,} different texts ({done['from_cache']:,} from the cache)"
    )
    print(f"wrote {done['out']}; next: hearten train RECIPE --data {done['out']}")
