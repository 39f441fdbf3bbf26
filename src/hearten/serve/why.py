"""Why this reply: what the chain leaves in `Reply.details`, cut down to what a person may see.

The details hold words that the screens took out, raw answers of raters and candidates that were not chosen.
None of that leaves the server: `read` copies known fields and nothing else, so a new detail stays hidden
until somebody lists it here. How severe the screen found a message is for the care path, not for the page.
"""

from collections.abc import Mapping
from typing import Any, Literal, get_args

from pydantic import Field

from hearten.core.conversation import Record
from hearten.core.records import FacetVerdict, Reply

Care = Literal["calm", "open", "staying", "checkin"]
MOST = 12
"""Links, verdicts or scores shown at most."""
LONGEST = 60
"""Characters of a name that is shown."""


class Emotion(Record):
    """What the detector read in the last message."""

    label: str
    scores: dict[str, float] = Field(default_factory=dict)


class Facet(Record):
    """One facet of the rater's verdict."""

    facet: str
    label: str | None = None
    helpful: bool | None = None


class Why(Record):
    """What the page shows beside a reply when asked."""

    probabilities: dict[str, float] | None = None
    """The supporter's belief about the strategy, by canonical name."""
    stage: str | None = None
    emotion: Emotion | None = None
    verdicts: tuple[Facet, ...] = ()
    links: tuple[str, ...] = ()
    """The chain's links the reply went through, in order."""
    care: Care = "calm"
    region: str | None = None
    changed: bool = False
    """Whether the output screen took something out or had the reply made again."""


def read(reply: Reply) -> Why:
    """What may be shown of a reply's details."""
    details = reply.details or {}
    safety = _table(details.get("safety"))
    care = safety.get("care")
    return Why(
        probabilities=_numbers(reply.probabilities) or None,
        stage=_name(details.get("stage")),
        emotion=_emotion(details.get("emotion")),
        verdicts=tuple(_facets(details.get("verdicts"))),
        links=tuple(_links(details.get("links"))),
        care=care if care in get_args(Care) else "calm",
        region=_name(safety.get("region")),
        changed=bool(_table(safety.get("output")).get("kinds")),
    )


def _table(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _name(value: Any) -> str | None:
    return value[:LONGEST] if isinstance(value, str) and value else None


def _numbers(value: Any) -> dict[str, float]:
    """The largest few, each between 0 and 1."""
    rows = [(str(key)[:LONGEST], number) for key, number in _table(value).items() if _is_share(number)]
    rows.sort(key=lambda row: -row[1])
    return {key: round(float(number), 4) for key, number in rows[: 2 * MOST]}


def _is_share(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1


def _emotion(value: Any) -> Emotion | None:
    label = _name(_table(value).get("label"))
    return None if label is None else Emotion(label=label, scores=_numbers(_table(value).get("scores")))


def _facets(value: Any) -> list[Facet]:
    rows = [row.model_dump() if isinstance(row, FacetVerdict) else _table(row) for row in _list(value)]
    return [
        Facet(facet=name, label=_name(row.get("label")), helpful=_truth(row.get("helpful")))
        for row in rows[:MOST]
        if (name := _name(row.get("facet")))
    ]


def _links(value: Any) -> list[str]:
    names = [_name(row) or _name(_table(row).get("name")) for row in _list(value)]
    return [name for name in names if name][:MOST]


def _list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else []


def _truth(value: Any) -> bool | None:
    return value if isinstance(value, bool) else None
