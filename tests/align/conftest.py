"""Small raters and labelled replies that need no model and no corpus."""

import csv

import pytest

from hearten.core.rater import facet, verdict
from hearten.core.records import FacetVerdict


class WordRater:
    """Finds a reply unhelpful on a facet when the facet's word stands in it; open when `huh` does."""

    words = {"empathy": "cold", "skill": "must", "coherence": "banana"}  # noqa: RUF012

    def __init__(self, name="words", facets=("empathy", "skill", "coherence")):
        self.name, self.facets, self.asked = name, facets, []

    def rate(self, context, replies):
        self.asked.append((tuple(context), tuple(replies)))
        return [tuple(self.one(name, reply) for name in self.facets) for reply in replies]

    def one(self, name, reply):
        if "huh" in reply:
            return FacetVerdict(facet=name, label=None, helpful=None, raw="huh?")
        bad, good = facet(name).unhelpful[0], next(c for c in facet(name).classes if facet(name).helpful(c))
        share = 0.9 if self.words[name] in reply else 0.1
        chances = dict.fromkeys(facet(name).classes, 0.0) | {bad: share, good: 1 - share}
        return verdict(name, chances)


@pytest.fixture
def word_rater():
    return WordRater()


def write_csv(path, columns, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(columns)
        writer.writerows(rows)
    return path


EPITOME = ("sp_id", "rp_id", "seeker_post", "response_post", "level", "rationales")


@pytest.fixture
def epitome_folder(tmp_path):
    """Forty made-up pairs; the three levels go round, and pair 1 stands there twice."""
    folder = tmp_path / "epitome"
    for number, mechanism in enumerate(("emotional-reactions", "interpretations", "explorations")):
        rows = []
        for k in range(40):
            level = (k % 3) if number == k % 2 else 0
            rows.append(
                [f"s{k // 2}", f"r{k}", f"Post {k // 2} of someone sad.", f"Answer number {k}.", level, ""]
            )
        rows.append(["s0", "r1", "Post 0 of someone sad.", "Answer number 1.", 2 if number == 0 else 0, ""])
        write_csv(folder / f"{mechanism}-reddit.csv", EPITOME, rows)
    return folder


@pytest.fixture
def mi_file(tmp_path):
    codes = ("Support", "Direct", "Open Question", "Give Information", "Affirm", "Confront")
    rows = [[f"Sentence {k} of a helper.", 0, codes[k % 6], 0, ""] for k in range(60)]
    columns = ("Text", "Ground truth (index)", "Ground truth", "Prediction (index)", "Prediction")
    return write_csv(tmp_path / "mi.csv", columns, rows)
