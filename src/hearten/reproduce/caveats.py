"""Why our number and the paper's beside it do not simply compare: read off what was really done."""

from collections.abc import Iterator, Sequence

from hearten.core.jsonl import read_lines
from hearten.core.protocol import protocol
from hearten.core.runfolder import RunFolder
from hearten.evaluate.origin import open_origin
from hearten.models.systems import SYSTEMS
from hearten.reproduce.rows import Row
from hearten.train.recipe import Recipe


def caveats(
    row: Row,
    recipe: Recipe | None,
    *,
    corpora: Sequence[str] = (),
    trained: RunFolder | None = None,
    answered: RunFolder | None = None,
) -> tuple[str, ...]:
    """Every warning of a row, the gravest first; `corpora` says what stands in for what."""
    found = [*corpora]
    if recipe is not None:
        found = [*_protocol(recipe), *found, *_backbone(row), *_gold(row, recipe)]
    if trained is not None and recipe is not None:
        found += _budget(recipe, trained)
    if answered is not None:
        found += _part(answered)
    if row.paper.trained_on != row.paper.tested_on and recipe is not None:
        found.append("another corpus than it learned from; strategies mapped from label set to label set")
    return tuple(dict.fromkeys(note for note in (*found, row.paper.protocol_notes) if note))


def _protocol(recipe: Recipe) -> Iterator[str]:
    if protocol(recipe.protocol).unit == "window":
        yield f"leaky split ({recipe.protocol}): windows of one conversation fall in train and test"


def _backbone(row: Row) -> Iterator[str]:
    if row.published_backbone is not None and row.backbone != row.published_backbone:
        yield f"different backbone: {row.backbone} instead of {row.published_backbone}"


def _gold(row: Row, recipe: Recipe) -> Iterator[str]:
    if recipe.policy.kind == "gold":
        yield "oracle strategy: replies are given the gold one"
    elif SYSTEMS[recipe.system].uses_strategies and any(name.startswith("ppl") for name in row.paper.figures):
        yield "perplexity with the gold strategy fed"


def _budget(recipe: Recipe, trained: RunFolder) -> Iterator[str]:
    done = max((float(record.get("epoch", 0.0)) for _, record in read_lines(trained.metrics)), default=0.0)
    if done < 0.999 * recipe.training.epochs:
        yield f"budgeted run: trained {done:.2f} of {recipe.training.epochs:g} epochs"


def _part(answered: RunFolder) -> Iterator[str]:
    origin = open_origin(answered.path)
    if not origin.whole_test_part:
        told = len({conversation for conversation, _ in origin.keys})
        yield f"budgeted run: {len(origin.predictions)} replies, {told} test conversations"
