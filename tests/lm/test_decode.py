"""Decoding: who chooses the strategy, which words may be drawn, and that company changes nothing."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hearten.core.errors import Failure, UsageError
from hearten.core.protocol import Protocol, examples
from hearten.core.taxonomy import label_set
from hearten.lm.adapters import AdapterConfig
from hearten.lm.backbone import BackboneConfig, open_backbone
from hearten.lm.decode import Decoding, StrategyPolicy, _choose, _draw, _penalise, _pick, generate

ESCONV = label_set("esconv")
FOUR = pytest.mark.parametrize("tiny", ["llama", "gpt2", "blenderbot", "bart"], indirect=True)
GREEDY = Decoding(temperature=0, min_tokens=3, max_tokens=8, repetition_penalty=1.1)
WARM = Decoding(temperature=1.0, top_p=0.95, top_k=50, min_tokens=3, max_tokens=8, seed=4)
ARGMAX, SAMPLED = StrategyPolicy(kind="argmax"), StrategyPolicy(kind="sampled")

pytestmark = pytest.mark.usefixtures("exact")


def opened(folder, labels=ESCONV, **options):
    torch.manual_seed(3)
    return open_backbone(
        BackboneConfig(name=str(folder), adapter=AdapterConfig(kind="full"), **options), labels
    )


def texts(answers):
    return [[(reply.text, str(reply.strategy)) for reply in replies] for replies in answers]


def plainly(backbone, example, decoding):
    """Greedy decoding as anybody would write it: the whole text again for every word, no cache."""
    renderer = backbone.renderer
    pair = backbone.model.config.is_encoder_decoder
    row = backbone.rows([example])[0]
    prompt = row.source if pair else row.ids[: row.targets[0].position]
    said = row.ids[:1] if pair else list(prompt)
    begin = len(said)

    def next_scores():
        if pair:
            inputs = {"input_ids": torch.tensor([prompt]), "decoder_input_ids": torch.tensor([said])}
        else:
            inputs = {"input_ids": torch.tensor([said])}
        with torch.no_grad():
            return backbone.model(**inputs).logits[0, -1].clone()

    strategy = int(next_scores()[renderer.strategy_ids].argmax())
    said.append(renderer.strategy_ids[strategy])
    for number in range(decoding.max_tokens):
        scores = next_scores()
        seen = set(prompt) | set(said[begin + 1 :])
        for word in seen:
            change = decoding.repetition_penalty
            scores[word] = scores[word] / change if scores[word] > 0 else scores[word] * change
        scores[renderer.strategy_ids] = -math.inf
        if number < decoding.min_tokens:
            scores[renderer.end_id] = -math.inf
        said.append(int(scores.argmax()))
        if said[-1] == renderer.end_id:
            break
    words = [i for i in said[begin + 1 :] if i != renderer.end_id]
    return renderer.tokenizer.decode(words, skip_special_tokens=True).strip(), ESCONV.strategies[
        strategy
    ].name


@FOUR
def test_sharing_one_pass_says_what_each_turn_alone_would_say(tiny, supporter_turns):
    backbone = opened(tiny)
    found = texts(generate(backbone, supporter_turns[:9], GREEDY, ARGMAX))
    for example, (answer,) in zip(supporter_turns[:9], found, strict=True):
        assert answer == plainly(backbone, example, GREEDY)


@FOUR
def test_a_sampled_reply_does_not_depend_on_its_company(tiny, supporter_turns):
    backbone = opened(tiny)
    chosen = supporter_turns[:10]
    together = texts(generate(backbone, chosen, WARM, SAMPLED))
    alone = [texts(generate(backbone, [example], WARM, SAMPLED))[0] for example in chosen]
    backwards = texts(generate(backbone, chosen[::-1], WARM, SAMPLED))[::-1]
    assert together == alone == backwards
    other = texts(generate(backbone, chosen, WARM.model_copy(update={"seed": 5}), SAMPLED))
    assert other != together


@FOUR
def test_several_replies_to_one_context_differ_and_the_first_is_the_single_one(tiny, supporter_turns):
    backbone = opened(tiny)
    three = generate(backbone, supporter_turns[:3], WARM.model_copy(update={"n": 3}), SAMPLED)
    one = generate(backbone, supporter_turns[:3], WARM, SAMPLED)
    assert [len(replies) for replies in three] == [3, 3, 3]
    assert [replies[0].text for replies in three] == [replies[0].text for replies in one]
    assert all(len({reply.text for reply in replies}) > 1 for replies in three)


@pytest.mark.parametrize("tiny", ["llama", "bart"], indirect=True)
def test_no_strategy_is_ever_said_inside_a_reply_and_lengths_keep_to_their_bounds(
    tiny, supporter_turns, monkeypatch
):
    backbone = opened(tiny)
    with torch.no_grad():  # make every strategy token the most wanted word, and the end almost as much
        table = backbone.model.get_output_embeddings().weight
        table[backbone.renderer.strategy_ids] *= 20
    ids = []
    monkeypatch.setattr(backbone.renderer.tokenizer, "decode", lambda words, **_: ids.append(words) or "x")
    decoding = WARM.model_copy(update={"min_tokens": 8, "max_tokens": 12})
    generate(backbone, supporter_turns[:8], decoding, SAMPLED)
    assert len(ids) == 8
    assert not set(backbone.renderer.strategy_ids) & {word for words in ids for word in words}
    assert all(8 <= len(words) <= 12 for words in ids)


def test_a_policy_decides_who_chooses(tiny_llama, supporter_turns):
    backbone = opened(tiny_llama)
    chosen = supporter_turns[:12]
    gold = generate(backbone, chosen, GREEDY, StrategyPolicy(kind="gold"))
    assert [replies[0].strategy for replies in gold] == [example.strategy for example in chosen]
    best = generate(backbone, chosen, GREEDY, ARGMAX)
    for (reply,) in best:
        assert reply.probabilities[reply.strategy.name] == max(reply.probabilities.values())
        assert sum(reply.probabilities.values()) == pytest.approx(1, abs=1e-3)
    only = StrategyPolicy(kind="random", distribution={"Information": 1.0})
    assert {replies[0].strategy.name for replies in generate(backbone, chosen, GREEDY, only)} == {
        "Information"
    }
    pushed = StrategyPolicy(kind="argmax", bias={"Others": 1e3})
    assert {replies[0].strategy.name for replies in generate(backbone, chosen, GREEDY, pushed)} == {"Others"}


def test_a_policy_with_a_name_nobody_knows_is_refused(tiny_llama, supporter_turns):
    for policy in (
        StrategyPolicy(kind="random", distribution={"Informatoin": 1.0}),
        StrategyPolicy(kind="argmax", bias={"Informatoin": 1.0}),
    ):
        with pytest.raises(UsageError) as error:
            generate(opened(tiny_llama), supporter_turns[:1], GREEDY, policy)
        assert error.value.fix.startswith("did you mean 'Information'?")


def test_a_model_without_strategies_says_none(tiny_llama, supporter_turns):
    ((reply,),) = generate(opened(tiny_llama, None), supporter_turns[:1], GREEDY, SAMPLED)
    assert reply.strategy is None
    assert reply.probabilities is None
    assert reply.score < 0


def test_a_reply_is_scored_by_the_mean_log_probability_of_its_tokens(tiny_llama, supporter_turns):
    backbone = opened(tiny_llama, None)
    decoding = Decoding(temperature=0, min_tokens=6, max_tokens=6, repetition_penalty=1.0)
    ((reply,),) = generate(backbone, supporter_turns[:1], decoding, ARGMAX)
    row = backbone.rows(supporter_turns[:1])[0]
    said = row.ids[: row.targets[0].position]
    total = 0.0
    for _ in range(6):
        with torch.no_grad():
            logprobs = backbone.model(input_ids=torch.tensor([said])).logits[0, -1].log_softmax(-1)
        allowed = logprobs.clone()
        allowed[backbone.renderer.end_id] = -math.inf
        said.append(int(allowed.argmax()))
        total += float(logprobs[said[-1]])
    assert reply.score == pytest.approx(total / 6, abs=1e-4)


@pytest.mark.parametrize("tiny", ["llama", "gpt2"], indirect=True)
def test_it_works_from_the_first_turn_when_nobody_has_spoken(tiny, conversations):
    everything = Protocol(name="all", source="here", fractions=(1, 0, 0), min_context=0)
    talk = conversations[0].model_copy(update={"turns": conversations[0].turns[1:]})
    first = examples(talk, everything)[0]
    assert first.context == ()
    ((reply,),) = generate(opened(tiny), [first], GREEDY, ARGMAX)
    assert reply.strategy is not None


def test_a_context_as_long_as_the_model_still_leaves_room_for_a_reply(tiny_gpt2, supporter_turns):
    turn = supporter_turns[0].context[0]
    long = turn.model_copy(update={"text": "letter came " * 400})
    example = supporter_turns[0].model_copy(update={"context": (long,) * 3, "index": 3})
    ((reply,),) = generate(opened(tiny_gpt2), [example], GREEDY, ARGMAX)
    assert reply.text


def test_a_reply_longer_than_the_window_is_answered_once(tiny_llama, supporter_turns):
    backbone = opened(tiny_llama, window=64, overlap=16)
    long = supporter_turns[0].model_copy(update={"response": "the letter came " * 30})
    assert len(backbone.rows([long])) > 1
    assert [len(replies) for replies in generate(backbone, [long], GREEDY, ARGMAX)] == [1]


def test_the_penalty_by_hand():
    # Keskar et al. 2019: a positive score of a seen word is divided, a negative one multiplied
    scores, seen = torch.tensor([[2.0, -2.0, 2.0, -2.0]]), torch.tensor([[True, True, False, False]])
    torch.testing.assert_close(_penalise(scores, seen, 1.25), torch.tensor([[1.6, -2.5, 2.0, -2.0]]))
    assert _penalise(scores, seen, 1.0) is scores


def test_top_k_and_top_p_by_hand():
    # probabilities .5 .3 .15 .05; top-p .7 keeps .5 and .3 (the one that crosses is kept), rescaled to 5:3
    scores = torch.tensor([[0.3, 0.05, 0.5, 0.15]]).log()
    half = Decoding(temperature=1.0, top_k=0, top_p=0.7)
    assert _draw(scores, half, torch.tensor([0.62])).tolist() == [2]
    assert _draw(scores, half, torch.tensor([0.63])).tolist() == [0]
    assert _draw(scores, half, torch.tensor([1 - 1e-12])).tolist() == [0]
    # temperature .5 squares .5 and .3 (top-k 2): .25/.34 = .735, alone over .7
    sharp = Decoding(temperature=0.5, top_k=2, top_p=0.7)
    assert {int(_draw(scores, sharp, torch.tensor([c]))) for c in (0.0, 0.5, 0.999)} == {2}
    assert _draw(scores, Decoding(temperature=0), torch.tensor([0.99])).tolist() == [2]


@settings(max_examples=80, deadline=None)
@given(
    st.lists(st.integers(-80, 80).map(lambda n: n / 10), min_size=2, max_size=12, unique=True),
    st.integers(0, 14),
    st.floats(0.05, 1),
    st.floats(0.2, 3),
    st.floats(0, 1, exclude_max=True),
)
def test_a_word_is_drawn_only_from_the_allowed(values, top_k, top_p, temperature, chance):
    scores = torch.tensor([[*values, -math.inf]])
    decoding = Decoding(temperature=temperature, top_k=top_k, top_p=top_p)
    drawn = int(_draw(scores, decoding, torch.tensor([chance], dtype=torch.float64)))
    order = sorted(range(len(values)), key=lambda n: -values[n])[: top_k or None]
    weights = [math.exp((values[n] - max(values)) / temperature) for n in order]
    before, allowed = 0.0, []
    for number, weight in zip(order, weights, strict=True):
        if before < top_p * sum(weights) + 1e-6:
            allowed.append(number)
        before += weight
    assert drawn in allowed


def test_random_follows_its_distribution():
    names = list(ESCONV)
    # Liu et al. 2021, Table 3
    shares = dict(zip(ESCONV.names, (0.209, 0.059, 0.078, 0.094, 0.161, 0.156, 0.061, 0.181), strict=True))
    policy = StrategyPolicy(kind="random", distribution=shares)
    count = 20_000
    chance = torch.rand(count, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    places = _choose(torch.zeros(count, 8), policy, GREEDY, names, [None] * count, chance)
    for place, share in enumerate(shares.values()):
        found = float((places == place).double().mean())
        assert abs(found - share / 0.999) < 4 * math.sqrt(share * (1 - share) / count)


def test_gold_without_a_label_is_a_message_and_no_key_error():
    with pytest.raises((Failure, UsageError), match="unknown strategy 'None'"):
        _choose(torch.zeros(1, 8), StrategyPolicy(kind="gold"), GREEDY, list(ESCONV), [None], torch.zeros(1))


@given(
    st.lists(st.just(0.0) | st.floats(0.01, 5), min_size=1, max_size=6).filter(any),
    st.floats(0, 1, exclude_max=True),
)
def test_nothing_without_weight_is_picked(weights, chance):
    place = int(_pick(torch.tensor([weights]), torch.tensor([chance], dtype=torch.float64)))
    assert torch.tensor(weights)[place] > 0
