"""One row from its recipe to its scores: trained, answered, measured, each part once.

Rows that learn the same (Joint and Oracle; several rows on the embedded model) share one training, and rows
that also answer alike share the answers. What is finished is not done again, and what was stopped goes on.
Several processes may work on one table: each part is worked on by one of them, and the others turn to other
rows and come back.
"""

import hashlib
import json
import shlex
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from hearten.core.conversation import Record
from hearten.core.errors import Failure, HeartenError
from hearten.core.jsonl import read_lines, write_json, write_records
from hearten.core.locks import Taken, alone
from hearten.core.places import find_corpus, seeds_file
from hearten.core.records import Score
from hearten.core.runfolder import RunFolder, file_hash
from hearten.data.corpus import read_corpus
from hearten.data.seeds import CANDIDATES
from hearten.evaluate import toxicity
from hearten.evaluate.measures import measure
from hearten.evaluate.origin import open_origin
from hearten.evaluate.predict import Plan, predict
from hearten.evaluate.text.score import score
from hearten.lm.decode import StrategyPolicy
from hearten.models.systems import SYSTEMS
from hearten.reproduce.caveats import Done, caveats
from hearten.reproduce.rows import Row
from hearten.train.recipe import Paper, Recipe, parse_recipe
from hearten.train.run import start

PLACES = {"esconv": CANDIDATES, "extes": ("extes/ExTES.zip", "extes/ExTES.json", "ExTES.json")}
"""Corpus → where it may lie in a data folder."""
SLOW = ("METEOR-nltk", "METEOR-1.5", "Extrema", "BERTScore")
"""Text metrics that `measure` leaves to `scores.json`."""
FINISHED = "finished.json"


class Cost(Record):
    """What a training took."""

    minutes: float
    """Of the processor, over all its sessions, all threads together."""
    steps: int
    epochs: float
    tokens: int
    """Supervised tokens learned from."""
    best: float | None = None
    """Lowest validation perplexity; that state is the one kept."""


class Outcome(Record):
    """What became of a row."""

    row: str
    title: str
    status: Literal["done", "skipped", "busy"]
    reason: str = ""
    paper: dict[str, float]
    asked: tuple[str, ...] = ()
    """Metrics of ours that were asked for besides the paper's."""
    ours: dict[str, Score] = Field(default_factory=dict)
    missing: dict[str, str] = Field(default_factory=dict)
    """Metric of the paper → why we have no number."""
    caveats: tuple[str, ...] = ()
    cost: Cost | None = None
    trained: str | None = None
    answered: str | None = None


@dataclass(frozen=True, slots=True)
class Budget:
    """How much of a row is done."""

    minutes: float | None = None
    """Of training; None is the recipe's epochs."""
    limit: int | None = None
    """Test conversations scored and answered."""
    replies: int | None = None
    """Of these, how many are answered in words."""


@dataclass(frozen=True, slots=True)
class CorpusFile:
    """A corpus as conversations.jsonl, and what stands in for it if it is not here."""

    name: str
    path: Path
    stand_in: str = ""


class Bench:
    """Runs rows into one folder.

    Args:
        out: where trainings, answers and corpora go.
        budget: how much is done.
        data: corpus → file, for what is not found by itself.
        policy: who chooses the strategies of every row, instead of what its recipe says.
        quiet: no progress bars.
    """

    def __init__(
        self,
        out: Path,
        budget: Budget,
        data: dict[str, Path] | None = None,
        *,
        policy: StrategyPolicy | None = None,
        quiet: bool = False,
    ) -> None:
        self.out, self.budget, self.policy, self.quiet = out, budget, policy, quiet
        self._given = data or {}
        self._corpora: dict[str, CorpusFile] = {}

    def run(self, rows: Sequence[Row]) -> Iterator[Outcome]:
        """The outcome of every row, as they come; those that were busy are waited for at the end."""
        later = []
        for row in rows:
            outcome = self.run_row(row)
            if outcome.status == "busy":
                later.append(row)
            else:
                yield outcome
        for row in later:
            yield self.run_row(row, wait=True)

    def run_row(self, row: Row, *, wait: bool = False) -> Outcome:
        """Whatever became of one row; what it lacks is its reason, not an error."""
        bare: dict[str, Any] = {"row": row.name, "title": row.title, "paper": row.paper.figures}
        bare["asked"] = row.paper.asks
        try:
            return Outcome(status="done", **bare, **self._work(row, wait))
        except Taken:
            return Outcome(status="busy", reason="another process works on it", **bare)
        except HeartenError as error:
            fix = f" ({error.fix})" if error.fix else ""
            return Outcome(status="skipped", reason=f"{error.what}{fix}", **bare)

    def _work(self, row: Row, wait: bool) -> dict[str, Any]:
        asked = self.corpus(row.paper.tested_on)
        if row.system is None:
            return {"ours": _harm(asked.path, "all"), "caveats": caveats(row, [asked.stand_in])}
        if row.system not in SYSTEMS:
            raise Failure(f"the system '{row.system}' is not built yet")
        recipe = self._recipe(row)
        learned = self.corpus(row.paper.trained_on)
        trained = self._train(recipe, learned, wait)
        answered = self._answer(recipe, trained, learned, asked, wait)
        stand_ins, done = [learned.stand_in, asked.stand_in], Done(recipe, trained, answered)
        return {
            **_measured(answered, row.paper),
            "caveats": caveats(row, stand_ins, done),
            "cost": cost_of(trained),
            "trained": str(trained.path),
            "answered": str(answered.path),
        }

    def _recipe(self, row: Row) -> Recipe:
        recipe = parse_recipe(row.values, where=str(row.file))
        chosen = self.policy if SYSTEMS[recipe.system].uses_strategies else None
        return recipe.model_copy(update={"policy": chosen or recipe.policy})

    def corpus(self, name: str) -> CorpusFile:
        """A corpus as conversations.jsonl under `data/`; the seeds where it is not on this machine."""
        if name not in self._corpora:
            source = self._given.get(name) or find_corpus(*PLACES.get(name, ()))
            written = name if source else "seeds"
            path = self.out / "data" / f"{written}.jsonl"
            if name in self._given or not path.is_file():  # it may have been annotated since
                write_records(path, read_corpus(source or seeds_file()).conversations)
            stand_in = "" if source else f"the project's 87 seeds stand in for {name}, which is not here"
            self._corpora[name] = CorpusFile(name, path, stand_in)
        return self._corpora[name]

    def _train(self, recipe: Recipe, data: CorpusFile, wait: bool) -> RunFolder:
        """The run folder of what this row learns, which other rows may share."""
        title = f"{recipe.system} on {data.path.stem}"
        shared = recipe.model_copy(update={"title": title, "paper": None, "policy": StrategyPolicy()})
        key = _key(shared.model_dump(mode="json"), file_hash(data.path), self.budget.minutes)
        run = RunFolder(self.out / "trained" / f"{recipe.system}-{data.path.stem}-{key}")
        with alone(run.path / ".lock", wait=wait):
            if not (run.path / FINISHED).is_file():
                command = shlex.join(["hearten", *sys.argv[1:]])
                options: dict[str, Any] = {"minutes": self.budget.minutes, "quiet": self.quiet}
                start(shared, data.path, run.path, command=command, **options)
                write_json(run.path / FINISHED, {"minutes": self.budget.minutes})
        return run

    def _answer(
        self, recipe: Recipe, trained: RunFolder, learned: CorpusFile, asked: CorpusFile, wait: bool
    ) -> RunFolder:
        """The run folder with the likelihoods and replies of the test part."""
        policy = recipe.policy
        key = _key(trained.path.name, policy.model_dump(mode="json"), file_hash(asked.path))
        run = RunFolder(self.out / "answered" / f"{recipe.system}-{policy.kind}-{asked.path.stem}-{key}")
        wanted = {"limit": self.budget.limit, "replies": self.budget.replies}
        with alone(run.path / ".lock", wait=wait):
            if not _is(run.path / FINISHED, wanted):
                limit, replies, transfer = *wanted.values(), learned.path != asked.path
                plan = Plan(asked.path, policy=policy, limit=limit, replies=replies, transfer=transfer)
                predict(trained, run, plan, quiet=self.quiet)
                write_json(run.path / FINISHED, wanted)
        return run


def cost_of(run: RunFolder) -> Cost | None:
    """What a training took, from the curves it left; None where it left none."""
    if not run.metrics.is_file():
        return None
    records = [record for _, record in read_lines(run.metrics)]
    steps = [record for record in records if "tokens" in record]
    if not steps:
        return None
    found = [value for record in records if (value := record.get("valid_perplexity")) is not None]
    return Cost(
        minutes=round(steps[-1].get("processor_seconds", steps[-1]["seconds"]) / 60, 2),
        steps=steps[-1]["step"],
        epochs=round(steps[-1]["epoch"], 4),
        tokens=sum(record["tokens"] for record in steps),
        best=round(min(found), 3) if found else None,
    )


def _measured(answered: RunFolder, paper: Paper) -> dict[str, Any]:
    """`ours`, a score for each metric asked for, and `missing`, why where there is none."""
    wanted = tuple(dict.fromkeys([*paper.figures, *paper.asks]))
    if paper.measure == "toxicity":
        return {"ours": _harm(answered.path, "replies")}
    origin = open_origin(answered.path)
    said = [(item.hypothesis, item.reference) for item in origin.predictions]
    missing: dict[str, str] = {}
    extra: list[Score] = []
    for name in (name for name in SLOW if name in wanted and said):
        try:
            hypotheses, references = zip(*said, strict=True)
            extra += score(hypotheses, references, preset=paper.preset, metrics=[name]).records()
        except HeartenError as error:
            missing[name] = error.fix or error.what
    write_json(answered.scores, [record.model_dump() for record in extra])
    found = {one.name: one for one in measure(origin, preset=paper.preset).scores}
    ours = {name: one for name in wanted if (one := _named(found, name)) is not None}
    absent = {name: "the run gives none" for name in wanted if name not in ours}
    return {"ours": ours, "missing": absent | missing}


def _named(found: dict[str, Score], name: str) -> Score | None:
    """A score by its name; of strategies the likeliest choice, as published systems print it."""
    return found.get(name) or found.get(f"{name} (argmax)") or found.get(f"{name} (used)")


def _harm(source: Path, column: str) -> dict[str, Score]:
    """The six attributes of everything said in `source` (ExTES Table 7)."""
    said = toxicity.read_utterances(source)
    found = toxicity.report(said, toxicity.scorer("local"), quiet=True, show=0)
    return {one.name.split(" (")[0]: one for one in found.scores if one.name.endswith(f"({column})")}


def _key(*parts: Any) -> str:
    """Eight hex digits that name what a part of the work depends on."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:8]


def _is(path: Path, wanted: dict[str, Any]) -> bool:
    return path.is_file() and json.loads(path.read_text(encoding="utf-8")) == wanted
