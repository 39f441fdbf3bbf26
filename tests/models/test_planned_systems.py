"""FADO, MultiESC, KEMI and GLHG: what is theirs, by hand."""

import math

import pytest
import torch

from hearten.core.conversation import Survey
from hearten.core.records import Hindsight
from hearten.core.taxonomy import label_set
from hearten.lm.adapters import AdapterConfig
from hearten.lm.backbone import BackboneConfig
from hearten.lm.context import Memory
from hearten.models.systems.fado import Fado, FadoConfig, feedback, final_score, record, target
from hearten.models.systems.glhg import Glhg, GraphAttention, greatest, hierarchy
from hearten.models.systems.kemi import Kemi, knowledge
from hearten.models.systems.multiesc import Multiesc, cause_first, feeling_id, star_label

ESCONV = label_set("esconv")
pytestmark = pytest.mark.usefixtures("exact", "encoder")


def built(kind, folder, **options):
    torch.manual_seed(5)
    shape = BackboneConfig(name=str(folder), adapter=AdapterConfig(kind="full"))
    return kind(kind.config_class(backbone=shape, **options), ESCONV).eval()


def rated(example, **later):
    known = {
        "stars": 4,
        "following": (None, None),
        "reaction": {"emotion": {"scores": {"none": 0.7}}},
    } | later
    survey = Survey(initial_intensity=5, final_intensity=2, relevance=4, empathy=5)
    return example.model_copy(update={"hindsight": Hindsight(**{"survey": survey} | known)})


def felt(example, ease):
    turns = list(example.context)
    for place, turn in enumerate(turns):
        turns[place] = turn.model_copy(update={"annotations": {"emotion": {"scores": {"none": ease}}}})
    return example.model_copy(update={"context": tuple(turns)})


def test_feedback_by_hand(supporter_turns):
    # final ((5 - 2) + 4 + 5) / 15 = 0.8, two turns to come: 0.8 * 0.9025 = 0.722; stars 4 / 5 = 0.8; the
    # seeker's ease went from 0.4 to 0.7: together 0.722 + 0.8 + 0.3 = 1.822; target (15 + 1.822) / 15
    example = rated(felt(supporter_turns[0], 0.4))
    assert final_score(example.hindsight.survey) == pytest.approx(0.8)
    assert feedback(example, FadoConfig()) == pytest.approx(1.822)
    assert target(example, FadoConfig()) == pytest.approx(16.822 / 15)
    assert target(example, FadoConfig(literal=True)) == 15.0, "the released target never hears of feedback"
    worse = rated(felt(supporter_turns[0], 1.0), stars=None, reaction={"emotion": {"scores": {"none": 0.0}}})
    assert feedback(worse, FadoConfig()) == pytest.approx(0.722 - 1.0)
    assert feedback(supporter_turns[0].model_copy(update={"hindsight": None}), FadoConfig()) == 0.0
    assert final_score(Survey()) == 0.0


def test_feedback_reaches_the_gradient(tiny_llama, annotated_turns):
    losses = {}
    for name, stars in (("bad", 1), ("good", 5)):
        examples = [rated(one, stars=stars) for one in annotated_turns[:3]]
        system = built(Fado, tiny_llama)
        loss = system.losses(system.batch(examples))["strategy"]
        loss.backward()
        losses[name] = (float(loss.detach()), system.selector.out.weight.grad.clone())
    assert losses["good"][0] != losses["bad"][0]
    assert not torch.allclose(losses["good"][1], losses["bad"][1])
    literal = built(Fado, tiny_llama, literal=True)
    same = [
        float(
            literal.losses(literal.batch([rated(e, stars=s) for e in annotated_turns[:3]]))[
                "strategy"
            ].detach()
        )
        for s in (1, 5)
    ]
    assert same[0] == same[1]


@torch.no_grad()
def test_fado_is_least_squares_and_its_beliefs_are_shares(tiny_llama, annotated_turns):
    system = built(Fado, tiny_llama)
    batch = system.batch(annotated_turns[:2])
    thought = system.think(system.backbone.read(batch)[1], batch.features)
    total = 0.0
    for number, example in enumerate(batch.examples):
        for place, strategy in enumerate(ESCONV):
            wanted = target(example, system.config) if strategy == example.strategy else 0.0
            total += (float(thought.strategy[number, place]) - wanted) ** 2 / 8 / 2
    assert float(system.losses(batch)["strategy"]) == pytest.approx(total, rel=1e-4)
    fixed = type(thought)(
        strategy=torch.tensor([[3.0, 1.0, -2.0, 0, 0, 0, 0, 0]]),
        recent=thought.recent, state=thought.state, situation=thought.situation,
    )  # fmt: skip
    shares = system.logprobs(fixed).exp()[0]
    assert shares[:3].tolist() == pytest.approx([3 / 4.006, 1 / 4.006, 0.001 / 4.006], rel=1e-4)


def test_the_record_puts_blanks_first(annotated_turns):
    example = annotated_turns[1]  # one supporter turn in the context, at place 1
    told = record(example, ESCONV, survey=False)
    assert len(told) == 5 * 9 + 5 + 5
    blank = [0.0] * 8 + [1.0]
    assert told[:36] == blank * 4
    said = example.context[1].strategy
    assert told[36:45] == [float(one == said) for one in ESCONV] + [0.0]
    assert told[45:50] == [0, 0, 0, 0, 1 / 50]
    assert len(record(example, ESCONV, survey=True)) == len(told) + 11 + 13


def test_stars_and_feelings(annotated_turns):
    assert [star_label(s, literal=False) for s in (1, 5, None)] == [0.2, 1.0, -1.0]
    assert [star_label(s, literal=True) for s in range(1, 6)] == [0, 1, 4, 5, 6]
    turn = annotated_turns[0].context[0]
    low = turn.model_copy(update={"annotations": {"vad": [0.3, 0.99, 0.1]}})
    assert feeling_id(low) == 2 * 8 + 7
    assert feeling_id(turn.model_copy(update={"annotations": {"vad": [1.0, 0.0, 0.0]}})) == 7 * 8
    assert feeling_id(turn.model_copy(update={"annotations": None})) == 64
    assert cause_first(turn, True) == f"the letter {turn.text}"
    assert cause_first(turn.model_copy(update={"annotations": {"cause": None}}), True) == turn.text


@torch.no_grad()
def test_multiesc_learns_the_strategies_to_come_and_the_stars(tiny_llama, annotated_turns):
    system = built(Multiesc, tiny_llama)
    batch = system.batch(annotated_turns[:3])
    features = batch.features
    thought = system.think(system.backbone.read(batch)[1], features)
    total, count = 0.0, 0
    for number in range(3):
        before = []
        for gold in features.coming[number].tolist():
            if gold < 0:
                break
            asked = torch.tensor([[before]], dtype=torch.long)
            one = slice(number, number + 1)
            logits = system.sequence(thought.start[one], thought.past[one], asked)[0, 0]
            total, count = total - float(logits.log_softmax(-1)[gold]), count + 1
            before.append(gold)
    losses = system.losses(batch)
    assert float(losses["strategy"]) == pytest.approx(total / count, rel=1e-4)
    found = system.predictor(thought.told, features.coming[:, None])[:, 0]
    errors = [(float(f) - float(s)) ** 2 for f, s in zip(found, features.stars, strict=True) if s >= 0]
    assert errors
    assert float(losses["feedback"]) == pytest.approx(sum(errors) / len(errors), rel=1e-4)


@pytest.mark.parametrize("literal", [False, True])
@torch.no_grad()
def test_multiesc_beliefs_are_planned(tiny_llama, annotated_turns, literal):
    system = built(Multiesc, tiny_llama, literal=literal)
    batch = system.batch(annotated_turns[:2])
    thought = system.think(system.backbone.read(batch)[1], batch.features)
    planned = system.logprobs(thought)
    assert planned.exp().sum(-1).tolist() == pytest.approx([1, 1], rel=1e-4)
    assert not torch.allclose(planned, thought.strategy.log_softmax(-1), atol=1e-4)


def test_kemi_tells_what_it_knows_behind_markers(tiny_llama, tiny_bart, annotated_turns):
    example = annotated_turns[1]
    first, supporter, latest = example.context[0], example.context[1], example.context[2]
    told = knowledge(latest, 1)
    assert told.startswith(f"[xReact] {latest.annotations['commonsense']['xReact'][0]} [xIntent] ")
    assert told.endswith("[expectation] an answer [affective state] worried [response] you are not alone")
    assert "none" not in told
    assert knowledge(first.model_copy(update={"annotations": None}), 1) == ""
    system = built(Kemi, tiny_bart)
    assert system.told(supporter, True) == supporter.text
    assert system.told(first, False) == first.text
    row = system.backbone.renderer.pair_row(example, 0, 9999, 64)
    text = system.backbone.renderer.tokenizer.decode(row.source)
    assert text.count("[expectation]") == 1, "an encoder-decoder is told of the last seeker turn alone"
    whole = built(Kemi, tiny_llama).rows(annotated_turns[:2])
    assert len(whole) == 1
    spoken = built(Kemi, tiny_llama).backbone.renderer.tokenizer.decode(whole[0].ids)
    assert spoken.count("[expectation]") == 2, "every seeker turn of a row carries its own"


def test_the_hierarchy_by_hand():
    # cause, intention, an empty place, two turns: the empty one has no edge
    mask = torch.tensor([[True, True, False, True, True]])
    edges = hierarchy(mask)[0].int().tolist()
    assert edges == [[1, 1, 0, 1, 1], [1, 1, 0, 1, 1], [0] * 5, [1, 1, 0, 1, 1], [1, 1, 0, 1, 1]]
    far = hierarchy(torch.ones(1, 6, dtype=torch.bool))[0]
    assert far[2].tolist() == [True, True, True, True, False, False]


@torch.no_grad()
def test_graph_attention_by_hand():
    torch.manual_seed(2)
    layer = GraphAttention(4, 1)
    nodes = torch.randn(1, 3, 4)
    edges = torch.tensor([[[True, True, False], [True, True, True], [False, False, False]]])
    moved = nodes[0] @ layer.move.weight.T
    expected = nodes[0].clone()
    for place, seen in ((0, (0, 1)), (1, (0, 1, 2))):
        raw = [float(layer.asking[0] @ moved[place] + layer.asked[0] @ moved[other]) for other in seen]
        raised = [math.exp(score if score > 0 else 0.2 * score) for score in raw]
        found = sum(r / sum(raised) * moved[other] for r, other in zip(raised, seen, strict=True))
        expected[place] += torch.nn.functional.elu(found)
    torch.testing.assert_close(layer(nodes, edges)[0], expected, atol=1e-5, rtol=1e-4)


def test_the_greatest_of_nothing_is_zero():
    memory = Memory(
        torch.tensor([[[1.0], [-5.0]], [[7.0], [7.0]]]), torch.tensor([[False, True], [False, False]])
    )
    assert greatest(memory).tolist() == [[-5.0], [0.0]]


def test_without_a_graph_glhg_is_the_backbone_with_more_words(tiny_llama, annotated_turns):
    literal = built(Glhg, tiny_llama, literal=True)
    batch = literal.batch(annotated_turns[:2])
    with torch.no_grad():
        direct = literal.backbone.logits(literal.backbone.hidden(batch))
        torch.testing.assert_close(literal._run(batch)[0], direct)
    told = literal.backbone.renderer.words(annotated_turns[0].context[0], True)
    assert told.endswith("xIntent of 0-0 xReact of 0-0")
