"""TransESC's graphs by hand, its attention against loops, its losses."""

import math

import pytest
import torch

from hearten.core.taxonomy import label_set
from hearten.lm.adapters import AdapterConfig
from hearten.lm.backbone import BackboneConfig
from hearten.models.parts.codebook import classified
from hearten.models.systems.transesc import (
    EMOTION,
    SEMANTICS,
    STRATEGY,
    Relational,
    Transesc,
    graphs,
    reaction,
    speakers,
)

ESCONV = label_set("esconv")
pytestmark = pytest.mark.usefixtures("exact", "encoder")


def test_the_graphs_of_three_turns():
    # nobody, a seeker, the reply: node 3t + part
    transition, interaction = graphs(torch.tensor([[2, 0, 1]]))
    seeker, reply = 3, 6
    moves = {(to, source): kind for to, source, kind in edges(transition)}
    assert moves == {
        (seeker + SEMANTICS, seeker + SEMANTICS): 1,
        (reply + SEMANTICS, seeker + SEMANTICS): 1,
        (reply + SEMANTICS, reply + SEMANTICS): 1,
        (seeker + EMOTION, seeker + EMOTION): 4,
        (reply + STRATEGY, reply + STRATEGY): 6,
    }
    meets = {(to, source): kind for to, source, kind in edges(interaction)}
    assert meets == {
        (seeker + EMOTION, seeker + SEMANTICS): 2,
        (seeker + EMOTION, seeker + STRATEGY): 7,
        (reply + STRATEGY, seeker + SEMANTICS): 3,
        (reply + STRATEGY, reply + SEMANTICS): 3,
        (reply + STRATEGY, seeker + EMOTION): 5,
        (reply + STRATEGY, reply + EMOTION): 5,
    }


def edges(graph):
    return [(int(to), int(source), int(graph[0, to, source])) for to, source in graph[0].nonzero()]


def test_a_turn_the_model_did_not_see_is_nobodys():
    found = speakers(torch.tensor([[0, 1, 0]]), torch.tensor([[False, True, True]]))
    assert found.tolist() == [[2, 1, 0, 1]]


@pytest.mark.parametrize("literal", [False, True])
@torch.no_grad()
def test_relational_attention_is_what_a_loop_computes(literal):
    torch.manual_seed(4)
    layer = Relational(4, 2, literal=literal)
    nodes = torch.randn(1, 3, 4)
    kinds = torch.tensor([[[1, 2, 0], [0, 3, 1], [0, 0, 0]]])
    query, key, value = layer.query(nodes[0]), layer.key(nodes[0]), layer.value(nodes[0])
    expected = torch.zeros(3, 4)
    for to in range(3):
        seen = [source for source in range(3) if kinds[0, to, source] > 0]
        for head in (slice(0, 2), slice(2, 4)):
            raw = []
            for source in seen:
                rows = range(to + 1) if literal else [to]  # the released sum runs on from row to row
                joined = sum(layer.relation.weight[kinds[0, row, source]][head] for row in rows)
                raw.append(float((query[to, head] + joined) @ (key[source, head] + joined)) / math.sqrt(2))
            raised = [math.exp(score) for score in raw]
            for r, source in zip(raised, seen, strict=True):
                expected[to, head] += r / sum(raised) * value[source, head]
    torch.testing.assert_close(layer(nodes, kinds)[0], expected, atol=1e-5, rtol=1e-4)


def test_classified_leaves_out_what_has_no_gold():
    logits = torch.tensor([[[2.0, 0.0], [9.0, 0.0]], [[0.0, 1.0], [0.0, 0.0]]])
    gold = torch.tensor([[0, -1], [1, -1]])
    by_hand = (math.log(1 + math.exp(-2)) + math.log(1 + math.exp(-1))) / 2
    assert float(classified(logits, gold)) == pytest.approx(by_hand)
    assert float(classified(logits, torch.full((2, 2), -1))) == 0.0


def test_a_reaction_is_the_seekers(annotated_turns):
    seeker, supporter = annotated_turns[1].context[:2]
    assert reaction(seeker) == seeker.annotations["commonsense"]["xReact"][:1]
    assert reaction(supporter) == supporter.annotations["commonsense"]["oReact"][:1]
    assert reaction(None) == []


@pytest.mark.parametrize("literal", [False, True])
def test_every_node_learns_its_own(tiny_llama, annotated_turns, literal):
    torch.manual_seed(5)
    shape = BackboneConfig(name=str(tiny_llama), adapter=AdapterConfig(kind="full"))
    system = Transesc(Transesc.config_class(backbone=shape, literal=literal), ESCONV)
    examples = annotated_turns[:4]
    batch = system.batch(examples)
    features = batch.features
    assert features.speaker.shape == (4, 6)
    latest = features.speaker[:, -1].tolist()
    assert latest == [0] * 4, "a seeker speaks last in these conversations"
    thought = system.think(system.backbone.read(batch)[1], features)
    golds, losses = 0, system.losses(batch)
    total = 0.0
    for number, example in enumerate(batch.examples):
        said = [*example.context[-6:], None]
        for place, turn in enumerate(said, start=7 - len(said)):
            strategy = example.strategy if turn is None else turn.strategy
            if strategy is not None:
                logits = system.to_strategy(thought.states[number, place, STRATEGY])
                total -= float(logits.log_softmax(-1)[ESCONV.position(strategy)].detach())
                golds += 1
    assert float(losses["strategy"].detach()) == pytest.approx(total / golds, rel=1e-4)
    assert int((features.keywords >= 0).sum()) > 4
    assert (system.to_keywords is None) != literal
    assert (system.transit is system.interact) == literal
    sum(losses.values()).backward()
    assert all(value.grad is not None for value in system.trainable().values())
