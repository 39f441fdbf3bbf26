"""`hearten demo`: the whole pipeline in minutes, each step being the command a user would type.

A door like the command line itself: it knows the order of the stages and nothing of their insides. Run it
again and finished steps are not repeated.
"""

import shlex
import sys
from importlib.resources import files
from pathlib import Path
from typing import Annotated, NamedTuple

import typer

SAMPLE = "I failed my exam again and I don't know how to tell my parents."


class Step(NamedTuple):
    """One step of the demonstration."""

    title: str
    args: list[str]


def demo(
    out: Annotated[Path, typer.Option(help="where everything is written")] = Path("runs/demo"),
    minutes: Annotated[float, typer.Option(help="how long to train")] = 4.0,
    conversations: Annotated[int, typer.Option(help="test conversations answered before and after")] = 3,
    talk: Annotated[bool, typer.Option("--chat/--no-chat", help="talk to the result at the end")] = True,
) -> None:
    """Read a corpus, check it, tune a model on it, measure before and after, report, talk."""
    from hearten.cli import dispatch
    from hearten.core.places import seeds_file
    from hearten.data.seeds import find_training_corpus

    corpus = find_training_corpus()
    source = corpus.path if corpus.format != "seeds" else seeds_file()
    print(f"corpus: {corpus.format} ({len(corpus.conversations):,} conversations, {corpus.licence})")
    if corpus.format == "seeds":
        print("ESConv was not found; the project's own seed conversations stand in for it.")
        print("With ESConv: hearten data get esconv, then run this again.")
    for number, step in enumerate(steps(source, out, minutes, conversations), 1):
        print(f"\n{number}. {step.title}\n$ hearten {shlex.join(step.args)}", flush=True)
        dispatch(step.args)
    print(f"\nopen {out / 'compare.html'} and {out / 'tuned' / 'report.html'} in a browser")
    if talk and sys.stdin.isatty() and sys.stdout.isatty():
        dispatch(["chat", str(out / "tuned")])


def steps(source: Path, out: Path, minutes: float, conversations: int) -> list[Step]:
    """Every step as the command it is."""
    recipe = str(files("hearten") / "demo.toml")
    data, tuned, untuned = (str(out / name) for name in ("conversations.jsonl", "tuned", "untuned"))
    some = ["--limit", str(conversations)]
    return [
        Step("What is in the corpus", ["data", "check", str(source)]),
        Step("What it looks like", ["data", "figures", str(source), "--out", str(out / "figures")]),
        Step("One record a conversation", ["data", "convert", str(source), data]),
        Step("Tune a language model on it", ["train", recipe, *_train_options(data, tuned, minutes)]),
        Step(
            "Before: the model untuned",
            ["evaluate", "predict", tuned, "--data", data, "--untrained", "--out", untuned, *some],
        ),
        Step("After: the same turns, tuned", ["evaluate", "predict", tuned, "--data", data, *some]),
        Step(
            "Measured under one signature",
            ["evaluate", "compare", untuned, tuned, "--out", str(out / "compare.html")],
        ),
        Step("A page for the run", ["evaluate", "report", tuned]),
        Step("A message to the result", ["chat", tuned, "--message", SAMPLE]),
    ]


def _train_options(data: str, out: str, minutes: float) -> list[str]:
    return ["--data", data, "--out", out, "--minutes", str(minutes)]
