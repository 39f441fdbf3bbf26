"""Where free help is, by region: the table `tables/resources.toml`, and who somebody means when they name a
place.
"""

import re
from functools import cache

from hearten.core.config import Config
from hearten.core.registry import lookup
from hearten.safety.normal import table

ELSEWHERE = "elsewhere"


class Resource(Config):
    """One line to call, with whose it is."""

    name: str
    contact: str
    always: bool
    source: str

    def __str__(self) -> str:
        return self.name if self.contact in self.name else f"{self.name} ({self.contact})"


class Region(Config):
    """Help in one region."""

    name: str
    aliases: tuple[str, ...]
    emergency: str
    crisis: tuple[Resource, ...]
    abuse: tuple[Resource, ...] = ()
    minor: tuple[Resource, ...] = ()
    poison: tuple[Resource, ...] = ()

    def best(self, topic: str) -> Resource:
        """The line for `abuse`, `minor` or `poison`, else the crisis line."""
        own: tuple[Resource, ...] = getattr(self, topic, ())
        return (own or self.crisis)[0]


@cache
def regions() -> dict[str, Region]:
    """Every region by its code."""
    rows = {code: row for code, row in table("resources").items() if isinstance(row, dict)}
    return {code: Region.model_validate(row) for code, row in rows.items()}


def region(code: str) -> Region:
    """The region called `code`.

    Raises:
        UsageError: unknown; with the near matches.

    """
    return lookup(regions(), code, "region")


def named_region(text: str) -> str | None:
    """The code of the region a person names ("I'm in Scotland"), or None."""
    folded = text.casefold()
    for code, row in regions().items():
        names = [row.name.removeprefix("the "), *row.aliases]
        if code != ELSEWHERE and any(
            re.search(rf"\b{re.escape(name.casefold())}(?!\w)", folded) for name in names
        ):
            return code
    return None
