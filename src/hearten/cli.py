"""`hearten <stage> <verb>`: a table from words to functions, and the one place where errors are printed.

No logic lives here. A command is a plain function of its stage's `command.py`; its help text is its
docstring and signature. Modules are imported only when their command is called, so `hearten --help`
stays quick and needs no deep-learning library.
"""

import sys
import traceback
from collections.abc import Mapping
from importlib import import_module
from typing import Any, NamedTuple

from hearten import __version__
from hearten.core.errors import HeartenError, UsageError, nearest


class Verb(NamedTuple):
    """One command."""

    help: str
    address: str
    """`module:function`"""


Table = Mapping[str, "Verb | Table"]

COMMANDS: dict[str, "Verb | Table"] = {
    "demo": Verb("the whole pipeline in minutes, then a chat", "hearten.demo:demo"),
    "doctor": Verb(
        "what is installed and found, and what each missing piece would give", "hearten.doctor:doctor"
    ),
    "data": {
        "get": Verb("fetch a public corpus, licence shown first", "hearten.data.command:get"),
        "check": Verb("recognise a corpus, validate it, count what is in it", "hearten.data.command:check"),
        "convert": Verb("read any known format, write conversations.jsonl", "hearten.data.command:convert"),
        "split": Verb("train, valid and test under a named protocol", "hearten.data.command:split"),
        "stats": Verb("tables that describe a corpus", "hearten.data.command:stats"),
        "figures": Verb("figures that describe a corpus, as SVG", "hearten.data.command:figures"),
        "export": Verb("write ESConv JSON, ConvoKit, chat JSONL or CSV", "hearten.data.command:export"),
    },
    "collect": {
        "init": Verb("write a study file with the paper's values", "hearten.collect.command:init"),
        "approve": Verb("ESConv's auto-approval with reasons", "hearten.collect.command:approve"),
        "calibrate": Verb("thresholds that agree with annotators", "hearten.collect.command:calibrate"),
        "correct": Verb("disputed strategies and intensities", "hearten.collect.command:correct"),
        "people": Verb("participants: reset, grant, withdraw, invite", "hearten.collect.command:people"),
        "export": Verb("conversations, verdicts, ratings, data card", "hearten.collect.command:export"),
    },
    "augment": {
        "init": Verb("write a plan with ExTES's values", "hearten.augment.command:init"),
        "validate": Verb("what a plan would ask for and cost", "hearten.augment.command:validate"),
        "preview": Verb("grow and show the first few conversations", "hearten.augment.command:preview"),
        "run": Verb("grow a corpus from seeds with a language model", "hearten.augment.command:run"),
        "check": Verb("what the checks rejected, and why", "hearten.augment.command:check"),
        "export": Verb("the corpus with reviews applied, and its card", "hearten.augment.command:export"),
    },
    "web": Verb("studies and reviews for people in a browser", "hearten.website:web"),
    "annotate": {
        "emotion": Verb("which of seven emotions each turn shows", "hearten.annotate.command:emotion"),
        "commonsense": Verb("what turns imply, as short phrases", "hearten.annotate.command:commonsense"),
        "keywords": Verb("the words each turn turns on", "hearten.annotate.command:keywords"),
        "cause": Verb("the clause an emotion comes from", "hearten.annotate.command:cause"),
        "distress": Verb("the nearest case of a graph of distress", "hearten.annotate.command:distress"),
        "fit": Verb("train the shipped emotion detector again", "hearten.annotate.command:fit"),
    },
    "systems": Verb("the published systems and what they need", "hearten.train.command:systems"),
    "train": Verb("train a system from a recipe into a run folder", "hearten.train.command:train"),
    "planner": {
        "train": Verb("train the strategy policy of our own", "hearten.train.planner:train"),
        "predict": Verb("its strategies and beliefs for every turn", "hearten.train.planner:predict"),
    },
    "align": {
        "facets": {
            "build": Verb("labelled replies of three facets, split", "hearten.align.command:build_facets")
        },
        "rater": {
            "train": Verb("train a rater on facet data", "hearten.align.command:train"),
            "evaluate": Verb("a rater against people's labels", "hearten.align.command:evaluate"),
            "rate": Verb("share of helpful replies of runs", "hearten.align.command:rate_runs"),
        },
        "sample": Verb("candidate replies by diverse beam search", "hearten.align.command:sample"),
        "rate": Verb("a rater's verdicts on candidates", "hearten.align.command:rate"),
        "contrast": Verb("learn from rated candidates", "hearten.align.command:contrast"),
        "refine": Verb("rewrite replies while a facet fails", "hearten.align.command:refine"),
    },
    "reproduce": Verb(
        "a paper's table, row by row: paper beside ours", "hearten.reproduce.command:reproduce"
    ),
    "evaluate": {
        "predict": Verb("replies of a run for every test turn", "hearten.evaluate.command:predict"),
        "score": Verb("every text metric with its signature", "hearten.evaluate.text.command:score"),
        "vectors": Verb(
            "fetch word vectors for the embedding metrics", "hearten.evaluate.text.command:vectors"
        ),
        "strategies": Verb("how well a system chooses strategies", "hearten.evaluate.command:strategies"),
        "calibration": Verb(
            "whether a system's belief in its strategies comes true", "hearten.evaluate.command:calibration"
        ),
        "compare": Verb("several runs, with significance", "hearten.evaluate.command:compare"),
        "agreement": Verb("the statistics of a human study", "hearten.evaluate.command:agreement"),
        "toxicity": Verb("six attributes of harm in a corpus or run", "hearten.evaluate.command:toxicity"),
        "judge": Verb("let a chat model judge replies", "hearten.evaluate.command:judge"),
        "report": Verb("one HTML page for a run", "hearten.evaluate.command:report"),
    },
    "safety": {
        "check": Verb("screen one message a line for crisis", "hearten.safety.command:check"),
        "train": Verb("fit the crisis classifier again", "hearten.safety.command:train"),
        "evaluate": Verb(
            "recall and false alarms of the crisis screen, by kind", "hearten.safety.command:evaluate"
        ),
        "suite": Verb("seekers against a supporter, judged by rubric", "hearten.serve.safety_suite:suite"),
    },
    "chat": Verb("talk to a run or a model in the terminal", "hearten.serve.command:chat"),
    "serve": Verb("a page to talk on and an OpenAI-compatible API", "hearten.serve.command:serve"),
}
"""stage → verb → function; a verb that stands alone has no stage."""

INTERRUPTED = 130
"""What typer returns, without a word, when Ctrl-C stopped a command."""


def main(argv: list[str] | None = None) -> None:
    """Run one command and leave with its exit code: 0 right, 1 failure, 2 usage."""
    args = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in args
    sys.exit(_guarded([arg for arg in args if arg != "--debug"], debug=debug))


def _guarded(args: list[str], *, debug: bool) -> int:
    """Run a command; every way it can fail becomes lines for people and an exit code."""
    try:
        return dispatch(args)
    except HeartenError as error:
        return _fail(error.lines(), error.exit_code, debug)
    except KeyboardInterrupt:
        return _fail(["stopped: what was written so far is kept"], 1, debug)
    except BrokenPipeError:
        return 0
    except OSError as error:
        return _fail(
            [f"error: {error.strerror or error}", f"  where: {error.filename or 'unknown'}"], 1, debug
        )
    except Exception as error:
        fix = "  to do: run it again with --debug for the traceback"
        return _fail([f"error: {type(error).__name__}: {error}", fix], 1, debug)


def dispatch(args: list[str]) -> int:
    """Look a command up in the table and run it; returns its exit code."""
    words: list[str] = ["hearten"]
    table: Table = COMMANDS
    while True:
        if not args or args[0] in ("--help", "-h"):
            print(_help(words, table))
            return 0 if args else 2
        if args[0] == "--version":
            print(f"hearten {__version__}")
            return 0
        word, args = args[0], args[1:]
        if word not in table:
            raise UsageError(f"unknown command '{' '.join([*words, word])}'", fix=nearest(word, table))
        words.append(word)
        chosen = table[word]
        if isinstance(chosen, Verb):
            return _call(chosen, words, args)
        table = chosen


def _help(words: list[str], table: Table) -> str:
    rows = [
        (name, entry.help if isinstance(entry, Verb) else " · ".join(entry)) for name, entry in table.items()
    ]
    width = max(len(name) for name, _ in rows)
    listing = "\n".join(f"  {name:<{width}}  {text}" for name, text in rows)
    more = f"{' '.join(words)} COMMAND --help"
    head = "One laboratory for emotional support conversation.\n\n" if len(words) == 1 else ""
    tail = "Any command takes --debug: a traceback when something fails.\n" if len(words) == 1 else ""
    return (
        f"{head}usage: {' '.join(words)} COMMAND [OPTIONS]\n\n{listing}\n\n{tail}What a command takes: {more}"
    )


def resolve(verb: Verb) -> Any:
    """The function a verb names."""
    module, name = verb.address.split(":")
    return getattr(import_module(module), name)


def _call(verb: Verb, words: list[str], args: list[str]) -> int:
    import typer

    app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
    app.command(no_args_is_help=False)(resolve(verb))
    try:
        result = app(args=args, prog_name=" ".join(words), standalone_mode=False)
    except typer.Abort:
        raise KeyboardInterrupt from None
    except typer.TyperException as error:
        raise UsageError(
            error.format_message(), fix=f"{' '.join(words)} --help shows what is accepted"
        ) from None
    if result == INTERRUPTED:
        raise KeyboardInterrupt
    return result if isinstance(result, int) else 0


def _fail(lines: list[str], code: int, debug: bool) -> int:
    if debug:
        traceback.print_exc()
    print("\n".join(lines), file=sys.stderr)
    return code
