"""AdMISC's equations by hand, its switches, and MISC's mixture."""

import pytest
import torch

from hearten.core.taxonomy import label_set
from hearten.lm.adapters import AdapterConfig
from hearten.lm.backbone import BackboneConfig
from hearten.lm.context import Memory
from hearten.models.parts.attention import Grid
from hearten.models.parts.codebook import Codebook, one_hot
from hearten.models.systems.admisc import Admisc, AdmiscConfig, Emotions, Refinement, gated, refined
from hearten.models.systems.misc import Misc, MiscConfig

ESCONV = label_set("esconv")
pytestmark = pytest.mark.usefixtures("exact", "encoder")


def built(folder, kind=Admisc, **options):
    torch.manual_seed(5)
    shape = BackboneConfig(name=str(folder), adapter=AdapterConfig(kind="full"))
    return kind(kind.config_class(backbone=shape, **options), ESCONV).eval()


def test_a_mixture_of_strategies_is_a_mixture_of_vectors():
    # eq. 13 with T = [[1, 0], [0, 2], [4, 4]] and p = (1/2, 1/4, 1/4): h = (1.5, 1.5)
    book = Codebook(3, 2)
    with torch.no_grad():
        book.table.copy_(torch.tensor([[1.0, 0.0], [0.0, 2.0], [4.0, 4.0]]))
    assert book(torch.tensor([[0.5, 0.25, 0.25]])).tolist() == [[1.5, 1.5]]
    assert one_hot(torch.tensor([2, -1]), 3).tolist() == [[0, 0, 1], [0, 0, 0]]


def test_the_gate_by_hand():
    # eq. 17: 0.25 * 8 + 0.75 * 4 = 5; a ReLU "gate" of 2 leaves the segment between them: 2 * 8 - 4 = 12
    eight, four = torch.tensor([8.0]), torch.tensor([4.0])
    assert float(gated(torch.tensor([0.25]), eight, four)) == 5.0
    assert float(gated(torch.tensor([2.0]), eight, four)) == 12.0


def test_the_refined_strategy_by_hand():
    # eq. 20 normalised, beta 1/2: (.5 + .05, .3 + .05, .2 + .4) / 1.5
    found = refined(torch.tensor([0.5, 0.3, 0.2]), torch.tensor([0.1, 0.1, 0.8]), 0.5)
    torch.testing.assert_close(found, torch.tensor([0.55, 0.35, 0.60]) / 1.5)
    assert float(found.sum()) == pytest.approx(1)


@torch.no_grad()
def test_the_second_opinion_by_hand():
    # width 1: gate 0 -> mu = 1/2, h = (6 + 2) / 2; a norm over one number gives its bias, here 3;
    # softmax(W 3 + b) with W = (1, 0), b = 0 is (e^3, 1) / (e^3 + 1)
    block = Refinement(1, 2, literal=False)
    for parameter in block.parameters():
        parameter.zero_()
    block.after.norm.bias.fill_(3.0)
    block.classify.weight.copy_(torch.tensor([[1.0], [0.0]]))
    found = block(torch.tensor([[6.0]]), torch.tensor([[2.0]]))
    torch.testing.assert_close(found, torch.tensor([[3.0, 0.0]]).softmax(-1))


def test_emotions_know_how_long_ago_they_were():
    block = Emotions(1, 3)
    with torch.no_grad():
        block.ago.weight.copy_(torch.tensor([[10.0], [20.0], [30.0]]))
    words = Memory(torch.ones(2, 4, 1), torch.tensor([[True] * 4, [True, True, False, False]]))
    # the latest is 0 turns ago; what lies further back than the table counts as the oldest
    assert block(words).states[:, :, 0].tolist() == [[31, 31, 21, 11], [21, 11, 0, 0]]


@torch.no_grad()
def test_the_strategy_is_first_and_second_opinion_together(tiny_llama, annotated_turns):
    system = built(tiny_llama, beta=0.5)
    batch = system.batch(annotated_turns[:4])
    _, context = system.backbone.read(batch)
    features = batch.features
    first = system.head(context.summary()).softmax(-1)
    recent = context.recent(system.config.reach)
    seeker, situation = system.reader(features.seeker), system.reader(features.situation)
    emotions = system.emotions(system.reader(features.emotion))
    history = torch.cat([recent.states, seeker.states], 1)
    weights = torch.cat([recent.mask, seeker.mask], 1).float()[..., None]
    pooled = (history * weights).sum(1) / weights.sum(1)
    both = torch.cat([emotions.mask, situation.mask], 1).float()[..., None]
    cause = (torch.cat([emotions.states, situation.states], 1) * both).sum(1) / both.sum(1)
    second = system.refinement(pooled, cause)
    expected = (first + 0.5 * second) / 1.5
    thought = system.think(context, features)
    torch.testing.assert_close(thought.strategy.exp(), expected, atol=1e-5, rtol=1e-4)
    golds = [ESCONV.position(example.strategy) for example in batch.examples]
    by_hand = -expected[range(len(golds)), golds].log().mean()  # eq. 21
    torch.testing.assert_close(system.losses(batch)["strategy"], by_hand, atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_the_fused_state_is_the_sum_of_eq_29(tiny_llama, annotated_turns):
    system = built(tiny_llama)
    batch = system.batch(annotated_turns[:3])
    hidden, context = system.backbone.read(batch)
    thought = system.think(context, batch.features)
    shares = thought.strategy.exp()
    grid = Grid.of(batch.example_of, 3)
    states = grid.laid(hidden)
    strategy = shares @ system.codebook.table
    total = states + system.to_strategy(strategy)[:, None]
    attend, features = system.fusion.attend, batch.features
    seeker, situation = system.reader(features.seeker), system.reader(features.situation)
    recent = context.recent(160)
    emotions = system.emotions(system.reader(features.emotion))

    def enhanced(letter, knowledge):
        found = system.fusion.enhance[letter](recent.states, system.fusion.enhance[letter].hold(knowledge))
        return Memory(system.fusion.enhanced[letter](recent.states + found), recent.mask)

    def moved(memory, by):
        return Memory(memory.states + by[:, None], memory.mask)

    looked_at = {
        "x": enhanced("x", seeker), "s": enhanced("s", situation), "c": seeker, "r": situation,
        "u": moved(emotions + situation, system.fusion.steer["u"](strategy)),
        "h": moved(recent + seeker, system.fusion.steer["h"](strategy)),
    }  # fmt: skip
    for letter, memory in looked_at.items():
        total = total + attend[letter](states, attend[letter].hold(memory))
    found = system.fuse(states, thought, shares)
    torch.testing.assert_close(grid.flat(found), grid.flat(total), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    ("options", "gone"),
    [
        ({}, ()),
        ({"without": ("u",)}, ("refinement",)),
        ({"without": ("a",)}, ("fusion",)),
        ({"without": ("u", "a")}, ("refinement", "fusion", "reader", "emotions")),
    ],
)
def test_ablations_take_out_modules(tiny_llama, annotated_turns, options, gone):
    system = built(tiny_llama, **options)
    for name in ("refinement", "fusion", "reader", "emotions"):
        assert (getattr(system, name) is None) == (name in gone)
    losses = system.losses(system.batch(annotated_turns[:3]))
    sum(losses.values()).backward()
    assert all(value.grad is not None for value in system.trainable().values())


def test_ablations_of_losses_and_weights(tiny_llama):
    assert AdmiscConfig().balancing.kind == "dwa"
    assert AdmiscConfig(without=("f",)).balancing.kind == "fixed"
    printed = AdmiscConfig(without=("u",), ablate="loss")
    assert printed.loss_weights == {"response": 0.0}
    assert not printed.dropped("u")
    assert AdmiscConfig(without=("a",), ablate="loss").loss_weights == {"strategy": 0.0}
    again = AdmiscConfig.model_validate(printed.model_dump())
    assert again == printed, "what a run keeps builds the same system"


def test_a_feature_that_is_left_out_is_neither_needed_nor_read(tiny_llama, annotated_turns):
    assert Admisc.required(AdmiscConfig()) == {"emotion", "commonsense"}
    assert Admisc.required(AdmiscConfig(features=("emotion",))) == {"emotion"}
    found = built(tiny_llama, features=("emotion",)).features(annotated_turns[:3])
    assert found.emotion.mask.any()
    assert not found.seeker.mask.any()
    assert not found.situation.mask.any()


@torch.no_grad()
def test_the_strategy_and_the_emotions_move_the_words(tiny_llama, annotated_turns):
    system = built(tiny_llama)
    for parameter in system.parameters():  # as if trained: nothing is near zero
        parameter.add_(0.1 * torch.randn_like(parameter))
    examples = annotated_turns[:2]
    batch = system.batch(examples)
    hidden, context = system.backbone.read(batch)
    thought = system.think(context, batch.features)
    states = Grid.of(batch.example_of, 2).laid(hidden)
    one, other = (system.fuse(states, thought, one_hot(torch.tensor([place] * 2), 8)) for place in (0, 1))
    assert not torch.allclose(one, other, atol=1e-3)
    sad = examples[1].context[0]
    changed = sad.model_copy(update={"annotations": sad.annotations | {"emotion": {"label": "joy"}}})
    moved = examples[1].model_copy(update={"context": (changed, *examples[1].context[1:])})
    again = system.think(context, system.features([examples[0], moved]))
    assert torch.allclose(again.strategy[0], thought.strategy[0])
    assert not torch.allclose(again.strategy[1], thought.strategy[1], atol=1e-4)


@torch.no_grad()
def test_misc_adds_strategy_and_both_kinds_of_knowledge(tiny_llama, annotated_turns):
    system = built(tiny_llama, Misc)
    batch = system.batch(annotated_turns[:3])
    hidden, context = system.backbone.read(batch)
    thought = system.think(context, batch.features)
    shares, grid = thought.strategy.softmax(-1), Grid.of(batch.example_of, 3)
    states = grid.laid(hidden)
    expected = states + system.to_strategy(shares @ system.codebook.table)[:, None]
    expected = expected + system.to_seeker(states, thought.seeker)
    expected = expected + system.to_situation(states, thought.situation)
    torch.testing.assert_close(system.fuse(states, thought, shares), expected)


def test_misc_literal_feeds_gold_in_training_and_multiplies_the_scale(tiny_llama, annotated_turns):
    sense, literal = built(tiny_llama, Misc), built(tiny_llama, Misc, literal=True)
    assert sense.refresh.attend.scale == pytest.approx(32**-0.5)
    assert literal.refresh.attend.scale == pytest.approx(32**0.5)
    batch = sense.batch(annotated_turns[:3])
    golds = one_hot(torch.tensor([ESCONV.position(e.strategy) for e in batch.examples]), 8)
    for system, training, gold in ((sense, True, False), (literal, True, True), (literal, False, False)):
        system.train(training)
        thought = system._run(batch)[1]
        assert torch.equal(system.shares(batch, thought), golds) == gold
    assert sense.strategy_fed == literal.strategy_fed == "predicted"
    assert MiscConfig().balancing.kind == "fixed"
