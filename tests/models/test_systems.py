"""Vanilla and Joint: losses by hand from the logits, likelihoods that add up, weights that come back."""

import math

import pytest
import torch

from hearten.core.conversation import Conversation
from hearten.core.errors import Failure
from hearten.core.taxonomy import label_set
from hearten.lm.adapters import AdapterConfig
from hearten.lm.backbone import BackboneConfig
from hearten.lm.decode import Decoding, StrategyPolicy
from hearten.models.supporters import SystemSupporter
from hearten.models.system import SystemConfig, read_settings, reply_loss, sum_by_example
from hearten.models.systems import SYSTEMS
from hearten.models.systems.joint import Joint, JointConfig

ESCONV = label_set("esconv")
FOUR = pytest.mark.parametrize("tiny", ["llama", "gpt2", "blenderbot", "bart"], indirect=True)
BOTH = pytest.mark.parametrize("name", ["vanilla", "joint"])

pytestmark = pytest.mark.usefixtures("exact")


def built(name, folder, kind="full", backbone=None, **options):
    torch.manual_seed(11)
    adapter = AdapterConfig(kind=kind, **{"rank": 2} if kind == "lora" else {})
    shape = BackboneConfig(name=str(folder), adapter=adapter, **backbone or {})
    system = SYSTEMS[name]
    return system(system.config_class(backbone=shape, **options), ESCONV).eval()


@torch.no_grad()
def table(system, batch):
    """Every target as (scores over the vocabulary, gold id, is strategy, example)."""
    logits = system.backbone.logits(system.backbone.hidden(batch)).double()
    return [
        (row, int(gold), bool(named), int(owner))
        for row, gold, named, owner in zip(
            logits, batch.target_ids, batch.is_strategy, batch.example_of, strict=True
        )
    ]


def cross_entropy(row, gold, allowed):
    """-log of the softmax over `allowed` alone."""
    top = max(float(row[i]) for i in allowed)
    return top + math.log(sum(math.exp(float(row[i]) - top) for i in allowed)) - float(row[gold])


def words(system):
    named = set(system.backbone.strategy_ids.tolist())
    return [i for i in range(len(system.backbone.renderer.tokenizer)) if i not in named]


@pytest.mark.parametrize("tiny", ["llama", "blenderbot"], indirect=True)
def test_vanilla_is_the_mean_over_reply_tokens(tiny, supporter_turns):
    system = built("vanilla", tiny)
    batch = system.batch(supporter_turns[:3])
    rows = table(system, batch)
    by_hand = sum(cross_entropy(row, gold, words(system)) for row, gold, _, _ in rows) / len(rows)
    assert not any(named for _, _, named, _ in rows)
    losses = system.losses(batch)
    assert list(losses) == ["response"]
    assert float(losses["response"].detach()) == pytest.approx(by_hand, rel=1e-4)


@pytest.mark.parametrize("literal", [True, False])
def test_joint_by_hand(tiny_llama, supporter_turns, literal):
    system = built("joint", tiny_llama, literal=literal)
    batch = system.batch(supporter_turns[:4])
    rows, named = table(system, batch), system.backbone.strategy_ids.tolist()
    over = range(len(system.backbone.renderer.tokenizer)) if literal else named
    strategies = [cross_entropy(row, gold, over) for row, gold, is_name, _ in rows if is_name]
    replies = [cross_entropy(row, gold, words(system)) for row, gold, is_name, _ in rows if not is_name]
    losses = {name: float(loss.detach()) for name, loss in system.losses(batch).items()}
    assert len(strategies) == 4
    assert losses == pytest.approx(
        {"strategy": sum(strategies) / 4, "response": sum(replies) / len(replies)}, rel=1e-4
    )


def test_named_losses_are_weighted_and_added(tiny_llama):
    losses = {"strategy": torch.tensor(2.0), "response": torch.tensor(3.0)}
    assert float(built("joint", tiny_llama).objective(losses)) == 5.0
    weighted = built("joint", tiny_llama, loss_weights={"strategy": 0.5})
    assert float(weighted.objective(losses)) == 4.0


def test_class_weights_by_hand(tiny_llama, supporter_turns):
    # frequencies 4, 1 and six times 0 (counted as 1), balance 0.5: raw weights 1/2, 1 and six times 1;
    # the mean over the 11 counted turns is (4 * 1/2 + 7 * 1) / 11 = 9/11, by which all are divided
    system = built("joint", tiny_llama, balance=0.5)
    question, information = ESCONV.find("Question"), ESCONV.find("Information")
    seen = [supporter_turns[0].model_copy(update={"strategy": one}) for one in [question] * 4 + [information]]
    system.prepare(seen)
    expected = [(0.5 if one is question else 1.0) * 11 / 9 for one in ESCONV]
    torch.testing.assert_close(system.class_weights, torch.tensor(expected))
    batch = system.batch(supporter_turns[:4])
    rows, named = table(system, batch), system.backbone.strategy_ids.tolist()
    by_hand = [
        expected[named.index(gold)] * cross_entropy(row, gold, named)
        for row, gold, is_name, _ in rows
        if is_name
    ]
    assert float(system.losses(batch)["strategy"]) == pytest.approx(sum(by_hand) / 4, rel=1e-4)


def test_no_balance_is_the_paper(tiny_llama, supporter_turns):
    system = built("joint", tiny_llama)
    system.prepare(supporter_turns)
    assert system.class_weights.tolist() == [1.0] * 8


@FOUR
@BOTH
def test_likelihoods_add_up_to_the_reply_loss(tiny, name, supporter_turns):
    system = built(name, tiny)
    examples = supporter_turns[:7]
    batch = system.batch(examples)
    with torch.no_grad():
        found = system.likelihoods(batch)
        loss = system.losses(batch)["response"]
    tokens = sum(one.tokens for one in found)
    assert tokens == int((~batch.is_strategy).sum())
    assert sum(one.nll for one in found) / tokens == pytest.approx(float(loss), rel=1e-4)
    rows, named = table(system, batch), system.backbone.strategy_ids.tolist()
    for number, (one, example) in enumerate(zip(found, batch.examples, strict=True)):
        mine = [(row, gold, is_name) for row, gold, is_name, owner in rows if owner == number]
        replies = [cross_entropy(row, gold, words(system)) for row, gold, is_name in mine if not is_name]
        assert one.nll == pytest.approx(sum(replies), rel=1e-4)
        if name == "vanilla":
            assert one.strategy_logprobs is None
        else:
            place = ESCONV.position(example.strategy)
            (belief,) = [cross_entropy(row, gold, named) for row, gold, is_name in mine if is_name]
            assert -one.strategy_logprobs[place] == pytest.approx(belief, abs=1e-4)
            assert sum(map(math.exp, one.strategy_logprobs)) == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("tiny", ["llama", "bart"], indirect=True)
def test_measuring_does_not_depend_on_the_batches(tiny, supporter_turns):
    system = built("joint", tiny)
    rows = system.rows(supporter_turns)

    def measured(micro_tokens):
        pairs = system.measure(rows, supporter_turns, micro_tokens)
        return {(e.conversation_id, e.index): one for one, e in pairs}

    small, large = measured(1), measured(4096)
    assert set(small) == set(large) == {(e.conversation_id, e.index) for e in supporter_turns}
    for key, one in small.items():
        assert one.nll == pytest.approx(large[key].nll, rel=1e-4)
        assert one.strategy_logprobs == pytest.approx(large[key].strategy_logprobs, abs=1e-4)


@BOTH
def test_a_reply_longer_than_the_window_is_measured_as_one_and_trained_on(tiny_llama, name, supporter_turns):
    system = built(name, tiny_llama, backbone={"window": 64, "overlap": 16})
    long = supporter_turns[0].model_copy(update={"response": "the letter came " * 30})
    examples = (supporter_turns[4], long)
    rows = system.rows(examples)
    assert len(rows) > 3
    found = list(system.measure(rows, examples, micro_tokens=64))
    assert sorted(example.conversation_id for _, example in found) == sorted(
        e.conversation_id for e in examples
    )
    ends = [len(system.backbone.renderer._ids(example.response)) + 1 for _, example in found]
    assert [one.tokens for one, _ in found] == ends
    assert all((one.strategy_logprobs is None) == (name == "vanilla") for one, _ in found)
    for row in rows:
        assert math.isfinite(float(system.objective(system.losses(system.collate([row], examples)))))


@FOUR
@BOTH
def test_two_steps_of_learning_lower_the_loss_and_a_reply_still_comes(tiny, name, supporter_turns):
    system = built(name, tiny)
    batch = system.batch(supporter_turns[:5])
    optimizer = torch.optim.AdamW(system.parameters(), lr=5e-3)
    values = []
    for _ in range(3):
        loss = system.objective(system.losses(batch))
        optimizer.zero_grad()
        loss.backward()
        assert all(p.grad is not None for p in system.trainable().values())
        optimizer.step()
        values.append(float(loss.detach()))
    assert values[2] < values[1] < values[0]
    decoding = Decoding(max_tokens=5, min_tokens=2, n=2)
    answers = system.generate(supporter_turns[:2], decoding, StrategyPolicy())
    assert [len(replies) for replies in answers] == [2, 2]
    assert all((reply.strategy is not None) == (name == "joint") for replies in answers for reply in replies)


@pytest.mark.parametrize("kind", ["lora", "full"])
@BOTH
def test_what_is_saved_comes_back_to_the_same_scores(tmp_path, tiny_llama, name, kind, supporter_turns):
    system, again = built(name, tiny_llama, kind), built(name, tiny_llama, kind)
    with torch.no_grad():
        for parameter in system.trainable().values():
            parameter.add_(torch.randn_like(parameter) * 0.05)
    batch = system.batch(supporter_turns[:4])
    with torch.no_grad():
        wanted = system.backbone.logits(system.backbone.hidden(batch))
        assert not torch.allclose(again.backbone.logits(again.backbone.hidden(batch)), wanted, atol=1e-3)
    system.save(tmp_path)
    again.load(tmp_path)
    with torch.no_grad():
        torch.testing.assert_close(again.backbone.logits(again.backbone.hidden(batch)), wanted)
    settings = read_settings(tmp_path)
    assert (settings["system"], settings["labels"]) == (name, "esconv")
    assert type(system).config_class.model_validate(settings["config"]) == system.config
    assert sorted(path.name for path in tmp_path.iterdir()) == ["system.json", "system.safetensors"]


def test_weights_of_another_shape_and_a_full_disk_are_failures(tmp_path, tiny_llama, monkeypatch):
    built("joint", tiny_llama, "lora").save(tmp_path)
    with pytest.raises(Failure, match="weights do not fit this system"):
        built("vanilla", tiny_llama, "lora").load(tmp_path)
    before = (tmp_path / "system.safetensors").read_bytes()

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("hearten.models.system.save_file", full)
    with pytest.raises(Failure, match="No space left") as error:
        built("joint", tiny_llama, "lora").save(tmp_path)
    assert error.value.where == str(tmp_path / "system.safetensors")
    assert (tmp_path / "system.safetensors").read_bytes() == before


def test_sums_by_example_and_an_empty_mean():
    sums = sum_by_example(torch.tensor([1.0, 2.0, 4.0]), torch.tensor([2, 0, 2]), 4)
    assert sums.tolist() == [2.0, 0.0, 5.0, 0.0]
    from hearten.models.system import mean

    assert float(mean(torch.zeros(0))) == 0.0
    assert float(mean(torch.tensor([1.0, 3.0]))) == 2.0


def test_no_strategy_can_be_said_inside_a_reply(tiny_llama, supporter_turns):
    system = built("joint", tiny_llama)
    batch = system.batch(supporter_turns[:1])
    logits = torch.zeros(len(batch.target_ids), len(system.backbone.renderer.tokenizer))
    even = math.log(logits.shape[1] - 8)
    each = reply_loss(logits, batch, system.backbone.strategy_ids)
    torch.testing.assert_close(each, torch.full_like(each, even))


def test_the_registry_names_every_system_once():
    assert {name: system.name for name, system in SYSTEMS.items()} == {name: name for name in SYSTEMS}
    assert all(issubclass(system.config_class, SystemConfig) for system in SYSTEMS.values())
    assert Joint.config_class is JointConfig


@pytest.mark.parametrize("tiny", ["gpt2", "bart"], indirect=True)
def test_a_system_is_a_supporter_from_the_first_turn(tiny, conversations):
    system = built("joint", tiny)
    supporter = SystemSupporter("tiny", system, Decoding(max_tokens=6, min_tokens=2), StrategyPolicy())
    empty = Conversation(id="new", turns=())
    for talk in (empty, conversations[0]):
        forced = supporter.reply(talk, strategy=ESCONV.find("Information"), n=2)
        assert [reply.strategy.name for reply in forced] == ["Information"] * 2
        (*_, last) = supporter.stream(talk)
        assert last.strategy is not None
