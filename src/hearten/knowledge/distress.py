"""A graph of distress: what troubles people, what they hoped for, how they felt, how they were answered.

HEAL (Welivita and Pu 2022) was mined from Reddit and has no licence file, so it is read from where the
user has it and nothing of it ships. Its nodes are stressors (with a story), expectations, affective
states and responses (the released snapshot lacks the responses' texts); its edges are weighted. KEMI
writes the retrieved case behind a seeker's words.

Nodes that speak of suicide or self-harm are left out when the graph is read: some of them ask for a
method, and nothing that asks for one may come near a reply. That takes what the graph knows of such
crises with it; they are the safety chain's, not a retrieval's.

`DistressGraph.find` scores a path stressor – expectation by the sum of the cosines of a text with its
nodes, over the stressors nearest to the text, and answers the best path with its commonest affective
states and responses. The graph quotes people in deep distress: it is meant for a model's input, never to
be shown.
"""

import json
import re
import tarfile
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hearten.core.conversation import Record
from hearten.core.errors import Failure, UsageError
from hearten.core.places import find_corpus
from hearten.knowledge.emotion import Floats
from hearten.knowledge.vectors import kept_vectors
from hearten.lm.embed import LAYERS

CRISIS = re.compile(
    r"\bsuicid|\bkms\b|\bkill|self[- ]?harm|\boverdos|\bpainless|\bnoose|\bmethods?\b|\bcommit\b|\bunaliv"
    r"|\b(?:hang|drown|shoot|starv|poison|cutt?|harm|hurt|end)(?:ing|e|s)? (?:my|your|one|him|her|them)sel"
    r"|\bend(?:ing)? (?:it all|it\b|my life|your life|things|everything)|\b(?:die|dying|lethal|bullet)\b"
    r"|\b(?:wish\w*|better off|rather be|want\w* to be) .{0,20}\bdead\b|\bstay\w* alive|\bbleed|\bwrists?\b"
    r"|\b(?:pills|razor|blades?|gun|rope|cutting)\b|\bjump\w* (?:off|from|in front)|\bdisappear|\bexist\b",
    re.I,
)
"""Wide on purpose: a node too many left out costs little."""
NEAR = 16
"""Stressors whose paths are scored."""
HEAD = 300
"""Letters of a node's text that its vector is made of: a story's title and first sentences."""
LIMIT = 3
"""Expectations, affective states and responses kept of the chosen path."""
NODES = {"t": "stressors", "i": "expectations", "e": "affective_states", "r": "responses"}
EDGES = ("expectations-stressors", "affective_states", "stressors-responses")


class Case(Record):
    """What the graph knows of the stressor nearest to a text; the annotation `distress`."""

    stressor: str
    expectations: tuple[str, ...]
    affects: tuple[str, ...]
    responses: tuple[str, ...]


@dataclass(frozen=True)
class Graph:
    """The nodes' texts by id, and each node's neighbours with their weights, strongest first."""

    texts: Mapping[str, str]
    neighbours: Mapping[str, Sequence[tuple[str, float]]]

    def of_kind(self, kind: str) -> list[str]:
        """Ids of one kind of node: `t`, `i`, `e` or `r`."""
        return [name for name in self.texts if name.startswith(kind)]


def read_graph(archive: Path) -> Graph:
    """HEAL as released (`heal.tar.gz`, or its unpacked folder).

    Raises:
        Failure: stressors or expectations are missing.
    """
    files = _json_files(archive)
    texts: dict[str, str] = {}
    for kind in NODES.values():
        for node in files.get(f"nodes/{kind}", {}).get("nodes", ()):
            text = str(node.get("story") or node["label"]).strip(" |\n")
            if not CRISIS.search(f"{node['label']} {text}"):
                texts[node["id"]] = text
    if not any(name.startswith("t") for name in texts) or not any(name.startswith("i") for name in texts):
        raise Failure("no stressors or expectations in this graph", where=str(archive))
    near: dict[str, list[tuple[str, float]]] = defaultdict(list)
    for name in EDGES:
        for edge in files.get(f"edges/{name}", {}).get("edges", ()):
            near[edge["from"]].append((edge["to"], float(edge["value"])))
    ordered = {node: sorted(edges, key=lambda edge: -edge[1]) for node, edges in near.items()}
    return Graph(texts, ordered)


def _json_files(archive: Path) -> dict[str, Any]:
    """`nodes/stressors` and the like → what the file holds."""
    if archive.is_dir():
        return {
            f"{file.parent.name}/{file.stem}": json.loads(file.read_text(encoding="utf-8"))
            for file in archive.glob("*/*.txt")
        }
    found = {}
    with tarfile.open(archive) as packed:
        for member in packed:
            path = Path(member.name)
            stream = packed.extractfile(member) if path.suffix == ".txt" else None
            if stream is not None and path.parent.name in ("nodes", "edges"):
                found[f"{path.parent.name}/{path.stem}"] = json.load(stream)
    return found


class DistressGraph:
    """Finds the case nearest to a text."""

    name = "heal"

    def __init__(self, graph: Graph, stressors: Floats, expectations: Floats) -> None:
        """Hold the graph and unit vectors of its stressors and expectations, in `of_kind`'s order."""
        self._graph = graph
        self._stressors, self._expectations = graph.of_kind("t"), graph.of_kind("i")
        self._places = {name: place for place, name in enumerate(self._expectations)}
        self._vectors = stressors, expectations

    def find(self, texts: Sequence[str]) -> list[Case]:
        """The case of each text."""
        from hearten.lm.embed import embed

        return self.nearest(embed(list(texts)))

    def nearest(self, vectors: Floats) -> list[Case]:
        """The case of each unit vector, (N, D)."""
        return [self._case(row) for row in vectors]

    def _case(self, query: Floats) -> Case:
        near, hopes = self._vectors[0] @ query, self._vectors[1] @ query
        best: tuple[float, str, list[str]] = (-np.inf, "", [])
        for place in np.argsort(-near)[:NEAR]:
            stressor = self._stressors[place]
            expected = self._related(stressor, "i")
            expected.sort(key=lambda name: -hopes[self._places[name]])
            score = float(near[place]) + (float(hopes[self._places[expected[0]]]) if expected else 0.0)
            best = max(best, (score, stressor, expected), key=lambda path: path[0])
        _, stressor, expected = best
        return Case(
            stressor=self._graph.texts[stressor],
            expectations=tuple(self._graph.texts[name] for name in expected[:LIMIT]),
            affects=self._texts(self._related(stressor, "e")),
            responses=self._texts(self._related(stressor, "r")),
        )

    def _related(self, node: str, kind: str) -> list[str]:
        edges = self._graph.neighbours.get(node, ())
        return [name for name, _ in edges if name.startswith(kind) and name in self._graph.texts]

    def _texts(self, names: Sequence[str]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(self._graph.texts[name] for name in names))[:LIMIT]


def open_distress(place: Path | None = None) -> DistressGraph:
    """HEAL from `place`, or from the data folder; its vectors are kept in the cache.

    Raises:
        UsageError: it is not here; says where it comes from.
    """
    archive = place or find_corpus("heal/heal.tar.gz")
    if archive is None or not archive.exists():
        raise UsageError(
            "the graph of distress (HEAL) is not on this machine",
            fix="get data/HEAL from github.com/anuradha1992/HEAL as heal/heal.tar.gz in your data folder",
        )
    graph = read_graph(archive)
    stressors, expectations = (
        kept_vectors(
            f"heal-{NODES[kind]}", [graph.texts[name][:HEAD] for name in graph.of_kind(kind)], (LAYERS,)
        )
        for kind in ("t", "i")
    )
    return DistressGraph(graph, stressors, expectations)
