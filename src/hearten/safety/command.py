"""`hearten safety check · train · evaluate`: the screen on the command line.

`check` reads standard input as it comes: what is there is answered together, so a person typing gets an
answer a line and a file of thousands goes through in batches.
"""

import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from hearten.core.errors import Failure

if TYPE_CHECKING:
    from hearten.safety.measure import Measured

CHUNK = 1 << 18
"""Bytes read at most at once from standard input."""


def check(
    as_json: Annotated[bool, typer.Option("--json", help="one JSON line a message")] = False,
    limit: Annotated[int | None, typer.Option(help="stop after this many messages")] = None,
) -> None:
    """Screen one message a line from standard input for crisis; one line each, in order."""
    from hearten.safety.screen import screen

    left = sys.maxsize if limit is None else limit
    for messages in _arriving():
        for finding in screen(messages[:left]):
            print(
                json.dumps(finding.model_dump(), ensure_ascii=False)
                if as_json
                else _line(finding.model_dump())
            )
        sys.stdout.flush()
        left -= len(messages)
        if left <= 0:
            return


def _arriving() -> Iterator[list[str]]:
    """Whole lines of standard input in groups, as they arrive; broken bytes become replacement signs."""
    source, rest = cast("io.BufferedReader", sys.stdin.buffer), b""
    while chunk := source.read1(CHUNK):
        *whole, rest = (rest + chunk).split(b"\n")
        if whole:
            yield [_text(line) for line in whole]
    if rest:
        yield [_text(rest)]


def _text(line: bytes) -> str:
    return line.decode("utf-8", errors="replace").removesuffix("\r")


def _line(finding: dict[str, object]) -> str:
    kinds, evidence = finding["kinds"], finding["evidence"]
    assert isinstance(kinds, tuple)
    assert isinstance(evidence, tuple)
    head = (
        f"crisis, {finding['severity']}: {', '.join(kinds)}"
        if finding["crisis"]
        else f"no crisis ({finding['severity']})"
    )
    return f"{head} · {' | '.join(evidence)}" if evidence else head


def train(
    out: Annotated[Path | None, typer.Option(help="where the weights go; default: the shipped file")] = None,
    seed: Annotated[int, typer.Option(help="seed of the folds")] = 0,
    quiet: Annotated[bool, typer.Option("--quiet", help="print nothing")] = False,
) -> None:
    """Fit the crisis classifier on `sentences/train`; the same sentences and seed give the same weights."""
    from hearten.core.jsonl import replacing
    from hearten.lm.arrays import pack
    from hearten.safety.classifier import WEIGHTS, Settings, fingerprint, fit, sentences

    rows = sentences("train")
    weights, figures = fit(rows, Settings(seed=seed))
    path = out or Path(__file__).with_name(WEIGHTS)
    with replacing(path, "wb") as stream:
        stream.write(pack(weights))
    if not quiet:
        shares = ", ".join(f"{name} {value:.3f}" for name, value in figures.items())
        print(f"{len(rows)} sentences ({fingerprint(rows)}); left out, one at a time: {shares}")
        print(f"wrote {path} ({path.stat().st_size / 1e6:.2f} MB); next: hearten safety evaluate")


def evaluate(
    part: Annotated[
        str, typer.Option(help="which sentences: kept (never trained on, never tuned on) or test")
    ] = "kept",
    as_json: Annotated[bool, typer.Option("--json", help="print the whole table as JSON")] = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="fail under 0.95 recall or over 5% false alarms")
    ] = False,
    out: Annotated[Path | None, typer.Option(help="also write the table as JSON to this file")] = None,
) -> None:
    """Recall and false alarms of the screen on its own test sentences, by kind, with 95% intervals."""
    from hearten.core.jsonl import write_json
    from hearten.core.registry import lookup
    from hearten.safety.classifier import sentences
    from hearten.safety.measure import measure

    measured = measure(sentences(lookup({"kept": "kept", "test": "test"}, part, "part")))
    if out:
        write_json(out, measured.model_dump())
    if as_json:
        print(measured.model_dump_json(indent=2))
    else:
        _table(measured)
        print(f"{f'wrote {out}; ' if out else ''}next: hearten safety suite")
    if strict and (measured.recall < 0.95 or measured.false_alarms > 0.05):
        raise Failure(
            "the crisis screen is below its promise", fix="see `wrong` in --json, then add training sentences"
        )


def _table(measured: "Measured") -> None:
    for row in measured.kinds:
        low, high = row.interval
        share = row.called_crisis / row.sentences
        print(
            f"  {row.kind:<18} {row.called_crisis:>3} of {row.sentences:>3} called crisis"
            f"  {share:.3f} [{low:.3f}, {high:.3f}]"
        )
    for name, share, (low, high), of in (
        ("recall", measured.recall, measured.recall_interval, measured.crisis),
        ("false alarms", measured.false_alarms, measured.false_alarms_interval, measured.benign),
    ):
        print(f"{name} {share:.3f} [{low:.3f}, {high:.3f}] of {of}")
