"""The small Transformer: its vocabulary, what it may see, what it must not."""

import math

import pytest
import torch

from hearten.core.errors import Failure
from hearten.core.taxonomy import label_set
from hearten.models.parts.scratch import (
    Convolutions,
    backwards,
    learn_tokenizer,
    place_vectors,
    sinusoids,
    smoothed,
)
from hearten.models.systems.mime import (
    EMPATHETIC,
    NEAREST,
    NEGATIVE,
    POSITIVE,
    Gaussian,
    Mime,
    MimeConfig,
    divergence,
    swapped,
)
from hearten.models.systems.moel import Moel, MoelConfig, heard
from hearten.models.systems.transformer import MultitaskTransformer, Transformer, TransformerConfig

ESCONV = label_set("esconv")
pytestmark = pytest.mark.usefixtures("exact")


def built(kind, examples, **options):
    torch.manual_seed(3)
    return kind(kind.fitted(kind.config_class(width=24, **options), examples), ESCONV).eval()


def test_words_that_are_rare_are_unknown():
    from tokenizers import Tokenizer

    words = Tokenizer.from_str(learn_tokenizer(["A letter came.", "a Letter went"], TransformerConfig()))
    assert words.encode("a LETTER flew.").tokens == ["a", "letter", "<unk>", "<unk>"]
    assert [words.token_to_id(name) for name in ("<unk>", "<pad>", "<eos>", "<sos>")] == [0, 1, 2, 3]
    parts = TransformerConfig(vocabulary="subwords", subwords=60)
    pieces = Tokenizer.from_str(learn_tokenizer(["a letter came"] * 9, parts))
    assert pieces.decode(pieces.encode("letter came").ids).strip() == "letter came"


def test_a_vocabulary_is_learned_before_the_system_is_built(annotated_turns):
    with pytest.raises(Failure, match="no vocabulary"):
        Transformer(TransformerConfig(), ESCONV)
    system = built(Transformer, annotated_turns)
    assert "letter" in system.vocabulary()
    again = Transformer.fitted(system.config, annotated_turns[:1])
    assert again == system.config, "a vocabulary that is there is kept"


def test_every_context_begins_with_the_class_token_and_names_its_speakers(annotated_turns):
    system = built(Transformer, annotated_turns)
    (row,) = system.rows(annotated_turns[1:2])
    tokens = system.backbone.renderer.tokenizer.convert_ids_to_tokens(row.source)
    assert tokens[:2] == ["<cls>", "<usr>"]
    assert tokens.count("<sys>") == 1
    batch = system.batch(annotated_turns[1:2])
    names = system.backbone.renderer.tokenizer.convert_ids_to_tokens(
        system.backbone.model.speakers(batch.source)[0]
    )
    assert names[0] == "<cls>"
    second = tokens.index("<sys>")
    assert set(names[1:second]) == {"<usr>"}
    assert names[second] == "<sys>"


@torch.no_grad()
def test_no_state_knows_the_words_to_come(annotated_turns):
    for kind in (Transformer, Moel, Mime):
        system = built(kind, annotated_turns)
        batch = system.batch(annotated_turns[:1])
        model, mask = system.backbone.model, batch.source_mask
        memory = model.encode(batch.source, mask).memory
        changed = batch.ids.clone()
        changed[:, 4:] = 0
        one, other = model.decode(memory, mask, batch.ids), model.decode(memory, mask, changed)
        torch.testing.assert_close(one[:, :4], other[:, :4])
        assert not torch.allclose(one[:, 4:], other[:, 4:], atol=1e-4)


@torch.no_grad()
def test_convolutions_look_back_only_or_to_both_sides():
    states, there = torch.randn(1, 5, 4), torch.ones(1, 5, 1)
    changed = states.clone()
    changed[:, 3] += 1
    for causal, before in ((True, 3), (False, 1)):
        layer = Convolutions(4, 6, causal=causal, literal=False)
        moved = (layer(states, there) - layer(changed, there)).abs().sum(-1)[0] > 1e-6
        assert not moved[:before].any()
        assert moved[3]
    assert (Convolutions(4, 6, causal=True, literal=True)(states, there) >= 0).all(), "the released quirk"


def test_sinusoids_and_masks_by_hand():
    table = sinusoids(2, 5, torch.device("cpu"))
    # two rates, 1 and 1/10000: sines, cosines, and a zero for the odd width
    assert table[1].tolist() == pytest.approx([math.sin(1), math.sin(1e-4), math.cos(1), math.cos(1e-4), 0])
    assert backwards(torch.zeros(1, 2, dtype=torch.long))[0].tolist() == [[True, False], [True, True]]


def test_smoothing_by_hand():
    # two words, probabilities 3/4 and 1/4, smoothing 0.2: 0.9 * -log 3/4 + 0.1 * -log 1/4
    logits = torch.tensor([[math.log(3.0), 0.0]])
    expected = -0.9 * math.log(0.75) - 0.1 * math.log(0.25)
    assert float(smoothed(logits, torch.tensor([0]), 0.2)) == pytest.approx(expected)
    assert float(smoothed(logits[:0], torch.tensor([], dtype=torch.long), 0.2)) == 0.0


def test_word_vectors_take_their_places(tmp_path):
    file, embedding = tmp_path / "glove.txt", torch.nn.Embedding(3, 2)
    file.write_text("letter 1.0 -2.0\nnowhere 9 9\n")
    assert place_vectors(file, embedding, {"letter": 1, "came": 2}) == 1
    assert embedding.weight[1].tolist() == [1.0, -2.0]
    file.write_text("letter 1.0\n")
    with pytest.raises(Failure, match="a vector of 1 numbers; the model is 2 wide") as error:
        place_vectors(file, embedding, {"letter": 1})
    assert error.value.where == f"{file}, line 1"
    with pytest.raises(Failure, match="no word vectors"):
        place_vectors(tmp_path / "no", embedding, {})


def test_the_mixture_of_listeners_by_hand():
    # the two largest of log 1, log 3, log 2: shares 3/5 and 2/5
    found = heard(torch.tensor([[0.0, math.log(3), math.log(2)]]), 2)
    assert found[0].tolist() == pytest.approx([0, 0.6, 0.4])
    assert heard(torch.zeros(1, 4), 9)[0].tolist() == pytest.approx([0.25] * 4)


@torch.no_grad()
def test_listeners_are_mixed_by_their_shares(annotated_turns):
    system = built(Moel, annotated_turns)
    batch = system.batch(annotated_turns[:2])
    model, mask = system.backbone.model, batch.source_mask
    memory = model.encode(batch.source, mask).memory
    shares = heard(model.feel(memory[:, 0]), 5)
    assert shares.sum(-1).tolist() == pytest.approx([1, 1])
    words, before, seen = model.begin(batch.ids), backwards(batch.ids), mask[:, None].bool()
    states = model.basic(words, before, memory, seen)
    for number, listener in enumerate(model.listeners):
        states = states + shares[:, number, None, None] * listener(words, before, memory, seen)
    for layer in model.decoder:
        states = layer(states, before, memory, seen)
    torch.testing.assert_close(model.decode(memory, mask, batch.ids), model.norm(states))


def test_gold_emotions_are_told_to_training_alone(annotated_turns):
    system = built(Moel, annotated_turns, gold_share=1.0)
    batch = system.batch(annotated_turns[:2])
    gold = torch.tensor([2, -1])
    told = system.train().backbone.model.encode(batch.source, batch.source_mask, gold).told[1]
    assert told[0].tolist() == [0, 0, 1, 0, 0, 0, 0]
    assert int((told[1] > 0).sum()) == 5
    assert system.eval().backbone.model.encode(batch.source, batch.source_mask, gold).told[1] is None
    assert MoelConfig().gold_share == 0


def test_emotions_have_their_polarity():
    assert (len(POSITIVE), len(NEGATIVE), len(set(EMPATHETIC))) == (13, 19, 32)
    assert {EMPATHETIC.index(name) >= 13 for name in NEAREST.values()} == {True}, (
        "all of ESConv's are negative"
    )
    positive, negative = torch.tensor([[1.0], [2.0]]), torch.tensor([[-1.0], [-2.0]])
    own, other = swapped(positive, negative, torch.tensor([True, False]))
    assert own.tolist() == [[1], [-2]]
    assert other.tolist() == [[-1], [2]]


@torch.no_grad()
def test_mime_mixes_within_a_polarity_and_swaps_views(annotated_turns):
    system = built(Mime, annotated_turns)
    model = system.backbone.model
    sample = torch.randn(1, 24)
    weights = model.weigh[1](sample).softmax(-1)
    assert weights.shape == (1, 19)
    torch.testing.assert_close(model.vector(1, sample), weights @ model.feelings.weight[13:])
    batch = system.batch(annotated_turns[:1])
    mask, states = batch.source_mask, model.encode(batch.source, batch.source_mask).states
    chances = model.prior(states[:, 0], states[:, 0])
    happy = model._views(states, mask, chances, torch.tensor([True]))
    unhappy = model._views(states, mask, chances, torch.tensor([False]))
    assert not torch.allclose(happy[0], unhappy[0], atol=1e-4)


def test_divergence_by_hand():
    # KL(N(1, 4) || N(0, 1)) = (4 + 1 - 1 - log 4) / 2 in one dimension; 0 between equals
    after = Gaussian(torch.tensor([[1.0]]), torch.tensor([[math.log(4)]]))
    before = Gaussian(torch.zeros(1, 1), torch.zeros(1, 1))
    assert float(divergence(after, before)) == pytest.approx((4 - math.log(4)) / 2)
    assert float(divergence(after, after)) == 0.0


def test_the_released_gaussians_share_their_variance(annotated_turns):
    literal, sense = (built(Mime, annotated_turns, literal=value) for value in (True, False))
    assert (len(literal.backbone.model.prior.spread), len(sense.backbone.model.prior.spread)) == (1, 2)
    first, second = literal.backbone.model.prior(torch.ones(1, 24), torch.zeros(1, 24))
    assert torch.equal(first.spread, second.spread)
    assert MimeConfig().literal is False


def test_the_second_task_hardly_counts_in_the_released_form(annotated_turns):
    losses = {}
    for literal in (False, True):
        system = built(MultitaskTransformer, annotated_turns, literal=literal)
        batch = system.batch(annotated_turns[:3])
        logits = torch.zeros(3, 7)
        losses[literal] = float(system.emotion_loss(logits, torch.tensor([1, -1, 2]), batch))
        count = len(batch.target_ids)
    assert losses[False] == pytest.approx(math.log(7))
    assert losses[True] == pytest.approx(math.log(7) / count)
