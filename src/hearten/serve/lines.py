"""Help lines as the page shows them: `safety.resources` with names in the reader's language, and what can be
called or opened as a link. The template and the script both draw from this.
"""

import re
from typing import Any

from hearten.safety.resources import ELSEWHERE, Region, Resource, regions
from hearten.web.words import Words

TOPICS = ("crisis", "abuse", "minor", "poison")
SITE = re.compile(r"[a-z0-9-]+(?:\.[a-z0-9-]+)*\.(?:com|org|net)\b")
NUMBER = re.compile(r"[0-9](?:[0-9 -]*[0-9])?$")


def help_lines(first: str | None, words: Words) -> list[dict[str, Any]]:
    """Every region, `first` (or "elsewhere") before the others."""
    start = first if first in regions() else ELSEWHERE
    rows = sorted(regions().items(), key=lambda row: row[0] != start)
    return [_region(code, row, words) for code, row in rows]


def emergency(code: str | None, words: Words) -> str:
    """The emergency number of a region in words."""
    row = regions().get(code or ELSEWHERE)
    unknown = row is None or code in (None, ELSEWHERE)
    return words("people.emergency_elsewhere") if row is None or unknown else row.emergency


def reach(text: str) -> dict[str, str]:
    """A contact in parts: what can be called or opened is the link; `href` is empty where nothing can."""
    if site := SITE.search(text):
        parts = {"before": text[: site.start()], "after": text[site.end() :]}
        return {**parts, "link": site.group(), "href": f"https://{site.group()}"}
    if number := NUMBER.search(text):
        digits = re.sub(r"[^0-9]", "", number.group())
        return {
            "before": text[: number.start()],
            "after": "",
            "link": number.group(),
            "href": f"tel:{digits}",
        }
    return {"before": "", "after": "", "link": text, "href": ""}


def _region(code: str, row: Region, words: Words) -> dict[str, Any]:
    name = words(f"region.{code}") if words.has(f"region.{code}") else row.name
    lines = [_line(topic, line) for topic in TOPICS for line in getattr(row, topic)]
    return {"code": code, "name": name, "emergency": reach(emergency(code, words)), "lines": lines}


def _line(topic: str, line: Resource) -> dict[str, Any]:
    """A name that holds its own contact ("findahelpline.com, which …") is shown alone."""
    own = line.contact in line.name
    return {
        "topic": topic,
        "name": "" if own else line.name,
        "contact": reach(line.name if own else line.contact),
        "always": line.always,
    }
