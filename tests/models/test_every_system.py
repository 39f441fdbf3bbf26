"""What every system of the registry must do; a new one is held to it by being in the list.

Tiny random backbones, decoder-only and encoder–decoder; conversations with every annotation.
"""

import math

import pytest
import torch

from hearten.core.conversation import Conversation
from hearten.core.taxonomy import label_set
from hearten.lm.adapters import AdapterConfig
from hearten.lm.backbone import BackboneConfig
from hearten.lm.decode import Decoding, StrategyPolicy
from hearten.models.fused import FusedSystem
from hearten.models.supporters import SystemSupporter
from hearten.models.systems import SYSTEMS

ESCONV = label_set("esconv")
EVERY = pytest.mark.parametrize("name", sorted(SYSTEMS))
SCRATCH = {name for name, system in SYSTEMS.items() if system.paper.backbone == "scratch"}
PAIRS = [
    (n, kind)
    for n in sorted(SYSTEMS)
    for kind in ("llama", "blenderbot")
    if n not in SCRATCH or kind == "llama"
]
EVERYWHERE = pytest.mark.parametrize(("name", "tiny"), PAIRS, indirect=["tiny"])
CHOOSING = pytest.mark.parametrize(
    ("name", "tiny"), [pair for pair in PAIRS if SYSTEMS[pair[0]].uses_strategies], indirect=["tiny"]
)
SHORT = Decoding(max_tokens=3, min_tokens=2)

pytestmark = pytest.mark.usefixtures("exact", "encoder")


def built(name, folder, examples, **options):
    torch.manual_seed(11)
    chosen = SYSTEMS[name]
    shape = BackboneConfig(name=str(folder), context_limit=300, adapter=AdapterConfig(kind="full"))
    scratch = chosen.paper.backbone == "scratch"
    config = chosen.config_class(**({"width": 32} if scratch else {"backbone": shape}), **options)
    return chosen(chosen.fitted(config, examples), ESCONV)


def prepared(name, folder, examples, **options):
    system = built(name, folder, examples, **options)
    system.prepare(examples)
    return system.eval()


def measured(system, examples, micro_tokens=4096):
    pairs = system.measure(system.rows(examples), examples, micro_tokens)
    return {(e.conversation_id, e.index): one for one, e in pairs}


def same(one, other):
    assert one.keys() == other.keys()
    for key, likelihood in one.items():
        assert likelihood.tokens == other[key].tokens
        assert likelihood.nll == pytest.approx(other[key].nll, rel=1e-3)
        if likelihood.strategy_logprobs is not None:
            assert likelihood.strategy_logprobs == pytest.approx(other[key].strategy_logprobs, abs=1e-3)


@EVERY
def test_a_system_says_what_it_is(name):
    system = SYSTEMS[name]
    assert system.name == name
    assert system.paper.citation
    assert system.paper.title
    assert all(isinstance(kind, str) for kind in system.needs)
    assert system.needs >= system.required(system.config_class()), "the defaults need no more than is said"


@EVERYWHERE
def test_gradients_reach_every_declared_parameter(name, tiny, annotated_turns):
    options = (
        {"top": 7} if name == "moel" else {}
    )  # else two of the listeners are not heard, and learn nothing
    system = prepared(name, tiny, annotated_turns[:8], **options).train()
    losses = system.losses(system.batch(annotated_turns[:8]))
    assert tuple(sorted(losses)) == tuple(sorted(system.losses_named))
    assert all(math.isfinite(float(loss.detach())) for loss in losses.values())
    torch.stack(list(losses.values())).sum().backward()
    dead = [
        parameter
        for parameter, value in system.trainable().items()
        if value.grad is None or not value.grad.abs().sum() > 0
    ]
    unread = [one for one in dead if "embed_positions" in one or ".k_proj.bias" in one or "balance" in one]
    assert dead == unread, "keys' biases cancel in a softmax; all else is learned"


@EVERYWHERE
def test_neither_padding_nor_order_changes_anything(name, tiny, annotated_turns):
    examples = annotated_turns[:7]
    system = prepared(name, tiny, examples)
    together = measured(system, examples)
    assert len(together) == len(examples)
    same(together, measured(system, examples, micro_tokens=1))
    same(together, measured(system, tuple(reversed(examples))))


@EVERYWHERE
def test_two_steps_a_save_and_a_load(tmp_path, name, tiny, annotated_turns):
    examples = annotated_turns[:6]
    system = prepared(name, tiny, annotated_turns).train()
    optimizer = torch.optim.AdamW(system.trainable().values(), lr=3e-3)
    values = []
    for _ in range(3):
        torch.manual_seed(3)
        loss = system.objective(system.losses(system.batch(examples)))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        values.append(float(loss.detach()))
    assert values[2] < values[0]
    system.save(tmp_path)
    again = built(name, tiny, annotated_turns)
    again.load(tmp_path)
    same(measured(system, examples), measured(again, examples))
    twice, policy = SHORT.model_copy(update={"n": 2}), StrategyPolicy(kind="argmax")
    replies = again.generate(examples[:2], twice, policy)
    assert replies == system.generate(examples[:2], twice, policy)
    assert [len(each) for each in replies] == [2, 2]
    assert all((one.strategy is not None) == system.uses_strategies for each in replies for one in each)


@CHOOSING
def test_policies_choose(name, tiny, annotated_turns):
    system = prepared(name, tiny, annotated_turns[:6])
    examples = annotated_turns[:4]
    for kind in ("gold", "argmax"):
        replies = system.generate(examples, SHORT, StrategyPolicy(kind=kind))
        if kind == "gold":
            assert [reply.strategy for (reply,) in replies] == [one.strategy for one in examples]
        for (reply,) in replies:
            assert sum(reply.probabilities.values()) == pytest.approx(1, abs=1e-3)
        if kind == "argmax":
            best = [max(reply.probabilities, key=reply.probabilities.get) for (reply,) in replies]
            assert [reply.strategy.name for (reply,) in replies] == best


@pytest.mark.parametrize("tiny", ["llama"], indirect=True)
@EVERY
def test_beliefs_are_the_same_measured_and_spoken(name, tiny, annotated_turns):
    examples = annotated_turns[:3]
    system = prepared(name, tiny, examples)
    likelihoods = measured(system, examples)
    for example, (reply,) in zip(examples, system.generate(examples, SHORT, StrategyPolicy()), strict=True):
        known = likelihoods[example.conversation_id, example.index].strategy_logprobs
        if known is None:
            assert reply.probabilities is None
        else:
            assert list(reply.probabilities.values()) == pytest.approx([math.exp(v) for v in known], abs=1e-3)


@EVERY
def test_it_answers_from_the_first_turn_without_annotations(name, tiny_llama, annotated_turns, conversations):
    system = prepared(name, tiny_llama, annotated_turns[:6])
    supporter = SystemSupporter("tiny", system, SHORT, StrategyPolicy())
    for talk in (Conversation(id="new", turns=()), conversations[0]):
        (*_, last) = supporter.stream(talk)
        assert (last.strategy is not None) == system.uses_strategies
        forced = supporter.reply(talk, strategy=ESCONV.find("Information"), n=2)
        assert len(forced) == 2
        if system.uses_strategies:
            assert all(reply.strategy.name == "Information" for reply in forced)


@EVERYWHERE
def test_candidates_are_scored_as_replies_are(name, tiny, annotated_turns):
    system = prepared(name, tiny, annotated_turns[:4])
    example, other = annotated_turns[3], annotated_turns[2]
    options = (example, example.model_copy(update={"response": other.response}))
    with torch.no_grad():
        batch = system.collate(system.backbone.options(options), options)
        scores = system.score(batch)
    for number, option in enumerate(options):
        words = scores[(batch.example_of == number) & ~batch.is_strategy]
        (alone,) = measured(system, [option]).values()
        assert float(words.sum()) == pytest.approx(-alone.nll, rel=1e-3)


@pytest.mark.parametrize("name", sorted(n for n, s in SYSTEMS.items() if issubclass(s, FusedSystem)))
@torch.no_grad()
def test_a_voice_follows_replies_that_change_places(name, tiny_llama, annotated_turns):
    system, examples = prepared(name, tiny_llama, annotated_turns[:4]), annotated_turns[2:4]
    batch = system.collate(system.backbone.rows(examples), examples)
    _, context = system.backbone.read(batch)
    voice = system.voice(context.repeat(2), [one for one in batch.examples for _ in range(2)])
    voice.steer(torch.tensor([1, 1, 3, 3]))
    hidden = torch.randn(4, system.backbone.width)
    before = voice.scores(hidden)
    for rows in ([3, 0, 2], [2, 1]):  # the second time among those that were left
        voice.keep(torch.tensor(rows))
        hidden, before = hidden[rows], before[rows]
        torch.testing.assert_close(voice.scores(hidden), before, rtol=1e-4, atol=1e-5)
