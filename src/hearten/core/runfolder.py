"""A run folder: everything a result needs to be believed, in fixed places.

`run.json` (resolved recipe, seed, git revision, hashes of inputs, versions), `metrics.jsonl`,
`checkpoints/`, `model/` (the best checkpoint in Hugging Face layout), `predictions.jsonl`,
`likelihoods.jsonl` (what perplexity needs), `scores.json` and `report.html`. Stages find each other's
files through these names only.
"""

import hashlib
import platform
import subprocess
from collections.abc import Iterable
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from hearten.core.conversation import Record
from hearten.core.errors import UsageError
from hearten.core.jsonl import parse_record, read_json, write_json


class Manifest(Record):
    """What was run, on what, with which code."""

    system: str
    recipe: dict[str, Any]
    seed: int
    command: str
    created: str
    revision: str
    versions: dict[str, str]
    machine: str
    inputs: dict[str, str]
    """Path → sha256 of every input file."""
    protocol: str
    split_hash: str


class RunFolder:
    """The fixed places inside one run's folder."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.manifest_file = path / "run.json"
        self.metrics = path / "metrics.jsonl"
        self.checkpoints = path / "checkpoints"
        self.model = path / "model"
        self.predictions = path / "predictions.jsonl"
        self.likelihoods = path / "likelihoods.jsonl"
        self.scores = path / "scores.json"
        self.report = path / "report.html"

    @classmethod
    def open(cls, path: Path) -> "RunFolder":
        """An existing run.

        Raises:
            UsageError: there is no `run.json` in it.
        """
        run = cls(path)
        if not run.manifest_file.is_file():
            raise UsageError(
                f"'{path}' is not a run folder (it has no run.json)", fix="hearten train makes one"
            )
        return run

    @property
    def manifest(self) -> Manifest:
        """The run's manifest."""
        return parse_record(read_json(self.manifest_file), Manifest, where=str(self.manifest_file))

    def write_manifest(self, manifest: Manifest) -> None:
        """Write `run.json` whole."""
        write_json(self.manifest_file, manifest.model_dump())


def file_hash(path: Path) -> str:
    """sha256 of a file's bytes, in hex."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def git_revision() -> str:
    """The checkout's commit, with `+changes` if it is not clean; `unknown` outside a checkout."""
    here = Path(__file__).parent

    def git(*args: str) -> str:
        done = subprocess.run(
            ["git", *args], cwd=here, capture_output=True, text=True, check=False, timeout=10
        )
        return done.stdout.strip()

    try:
        revision = git("rev-parse", "--short=12", "HEAD")
        return (
            f"{revision}{'+changes' if git('status', '--porcelain', '-uno') else ''}"
            if revision
            else "unknown"
        )
    except (OSError, subprocess.TimeoutExpired):
        return "unknown"


def versions(packages: Iterable[str] = ("hearten", "torch", "transformers", "peft")) -> dict[str, str]:
    """Versions of Python and of the packages that are installed."""
    found = {"python": platform.python_version()}
    for package in packages:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def now() -> str:
    """The current time in UTC, ISO 8601, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")
