"""Why our number and the paper's beside it do not simply compare: read off what was really done."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from hearten.core.jsonl import read_lines
from hearten.core.protocol import protocol
from hearten.core.runfolder import RunFolder
from hearten.evaluate.origin import Origin, open_origin
from hearten.reproduce.rows import Row
from hearten.train.recipe import Recipe


@dataclass(frozen=True, slots=True)
class Done:
    """What was done for a row that is trained."""

    recipe: Recipe
    trained: RunFolder
    answered: RunFolder


def caveats(row: Row, stand_ins: Sequence[str], done: Done | None = None) -> tuple[str, ...]:
    """Every warning of a row, the gravest first; `stand_ins` says what was taken for a missing corpus."""
    found = [*stand_ins]
    if done is not None:
        origin = open_origin(done.answered.path)
        found = [
            *_protocol(done.recipe),
            *found,
            *_backbone(row),
            *_gold(row, done.recipe, origin),
            *_transfer(row),
            *_budget(done.recipe, done.trained, origin),
        ]
    return tuple(dict.fromkeys(note for note in (*found, row.paper.protocol_notes) if note))


def _protocol(recipe: Recipe) -> Iterator[str]:
    if protocol(recipe.protocol).unit == "window":
        yield f"leaky split ({recipe.protocol}): windows of one conversation fall in train and test"


def _backbone(row: Row) -> Iterator[str]:
    if row.published_backbone is not None and row.backbone != row.published_backbone:
        yield f"different backbone: {row.backbone} instead of {row.published_backbone}"


def _gold(row: Row, recipe: Recipe, origin: Origin) -> Iterator[str]:
    if recipe.policy.kind == "gold":
        yield "oracle strategy: replies are given the gold one"
    if recipe.policy.kind == "planner":
        yield f"strategies are a planner's, at its point '{recipe.policy.point}'"
    fed = any(likely.strategy_fed == "gold" for likely in origin.likelihoods[:1])
    if fed and any(name.startswith("ppl") for name in row.paper.figures):
        yield "oracle strategy in perplexity: the gold one is fed"


def _transfer(row: Row) -> Iterator[str]:
    if row.paper.trained_on != row.paper.tested_on:
        yield "another corpus than it learned from; strategies mapped from label set to label set"


def _budget(recipe: Recipe, trained: RunFolder, origin: Origin) -> Iterator[str]:
    done = max((float(record.get("epoch", 0.0)) for _, record in read_lines(trained.metrics)), default=0.0)
    if done < 0.999 * recipe.training.epochs:
        yield f"budgeted run: trained {done:.2f} of {recipe.training.epochs:g} epochs"
    if not origin.whole_test_part:
        scored = len({likely.conversation_id for likely in origin.likelihoods})
        yield f"budgeted run: test conversations scored: {scored}; replies: {len(origin.predictions)}"
