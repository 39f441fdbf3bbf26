"""The graph of distress on a made-up graph of two stressors, its paths scored by hand."""

import json
import tarfile

import numpy as np
import pytest

from hearten.core.errors import Failure, UsageError
from hearten.knowledge import distress

NODES = {
    "stressors": [
        {"id": "t1", "label": "exam, fail", "value": 3, "story": "|I failed my exam|"},
        {"id": "t2", "label": "cat, ill", "value": 2},
    ],
    "expectations": [
        {"id": "i1", "label": "How do I tell my parents?", "value": 1},
        {"id": "i2", "label": "What should I do?", "value": 1},
    ],
    "affective_states": [
        {"id": "e1-t1", "label": "Ashamed", "value": 1},
        {"id": "e2-t1", "label": "Sad", "value": 5},
    ],
}
EDGES = {
    "expectations-stressors": [
        {"from": "t1", "to": "i1", "value": 1},
        {"from": "t1", "to": "i2", "value": 9},
        {"from": "t2", "to": "i2", "value": 1},
    ],
    "affective_states": [
        {"from": "t1", "to": "e1-t1", "value": 1},
        {"from": "t1", "to": "e2-t1", "value": 5},
    ],
    "stressors-responses": [{"from": "t1", "to": "r1", "value": 4}],
}


@pytest.fixture
def folder(tmp_path):
    for kind, tables in (("nodes", NODES), ("edges", EDGES)):
        (tmp_path / kind).mkdir()
        for name, rows in tables.items():
            (tmp_path / kind / f"{name}.txt").write_text(json.dumps({kind: rows}))
    return tmp_path


def test_the_best_path_is_the_largest_sum_of_cosines(folder):
    graph = distress.read_graph(folder)
    assert graph.of_kind("t") == ["t1", "t2"]
    stressors = np.array([[0.6, 0.8], [0.0, 1.0]], dtype=np.float32)
    expectations = np.array([[1.0, 0.0], [0.0, 1.0]], dtype=np.float32)
    held = distress.DistressGraph(graph, stressors, expectations)
    # query (1, 0): t1 0.6 + i1 1.0 = 1.6; t2 0 + i2 0 = 0
    case = held.nearest(np.array([[1.0, 0.0]], dtype=np.float32))[0]
    assert case.stressor == "I failed my exam"
    assert case.expectations == ("How do I tell my parents?", "What should I do?")
    assert case.affects == ("Sad", "Ashamed")  # by weight
    assert case.responses == ()  # the released snapshot lacks them: edges without texts say nothing
    # query (0, 1): t1 0.8 + i2 1 = 1.8; t2 1 + i2 1 = 2
    assert held.nearest(np.array([[0.0, 1.0]], dtype=np.float32))[0].stressor == "cat, ill"


def test_an_archive_is_read_like_its_folder(folder, tmp_path_factory):
    archive = tmp_path_factory.mktemp("heal") / "heal.tar.gz"
    with tarfile.open(archive, "w:gz") as packed:
        packed.add(folder / "nodes", "HEAL/nodes")
        packed.add(folder / "edges", "HEAL/edges")
    assert distress.read_graph(archive) == distress.read_graph(folder)


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("I want to end it all", False),
        ("Is there a painless way?", False),
        ("thinking of suicide again", False),
        ("I hurt myself", False),
        ("My cat died and I miss her", True),
        ("My boss is hurting the team", True),
    ],
)
def test_crises_are_left_out(folder, text, kept):
    file = folder / "nodes" / "expectations.txt"
    file.write_text(json.dumps({"nodes": [*NODES["expectations"], {"id": "i9", "label": text, "value": 1}]}))
    assert ("i9" in distress.read_graph(folder).texts) == kept


def test_half_a_graph_is_refused(folder):
    (folder / "nodes" / "expectations.txt").unlink()
    with pytest.raises(Failure, match="expectations"):
        distress.read_graph(folder)


def test_a_missing_graph_says_where_it_comes_from(tmp_path, monkeypatch):
    monkeypatch.setenv("HEARTEN_DATA", str(tmp_path))
    with pytest.raises(UsageError, match="HEAL"):
        distress.open_distress()
