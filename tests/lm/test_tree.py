"""Branches of shared text: what each token sees, and that sharing changes no number."""

import pytest
import torch
from transformers import DynamicCache

from hearten.core.errors import UsageError
from hearten.core.taxonomy import label_set
from hearten.lm.adapters import AdapterConfig
from hearten.lm.backbone import BackboneConfig, open_backbone
from hearten.lm.choices import Choices
from hearten.lm.tree import Branch, flatten, hidden_states

pytestmark = pytest.mark.usefixtures("exact")


def test_a_tree_by_hand():
    # "a b" with the children "c" and "d e"; "e" has the child "f"
    tree = [Branch([1, 2]), Branch([3], 0), Branch([4, 5], 0), Branch([6], 2)]
    flat = flatten(tree)
    assert flat.ids == [1, 2, 3, 4, 5, 6]
    assert flat.positions == [0, 1, 2, 2, 3, 4]
    assert flat.starts == [0, 2, 3, 5]
    assert flat.ends(tree) == [1, 2, 4, 5]
    seen = [[flat.ids[k] for k in range(6) if row[k]] for row in flat.visible]
    assert seen == [[1], [1, 2], [1, 2, 3], [1, 2, 4], [1, 2, 4, 5], [1, 2, 4, 5, 6]]


def opened(folder, **more):
    torch.manual_seed(2)
    config = BackboneConfig(name=str(folder), adapter=AdapterConfig(kind="full"), **more)
    return open_backbone(config, label_set("esconv")).eval()


@torch.no_grad()
@pytest.mark.parametrize("tiny", ["llama", "gpt2"], indirect=True)
def test_hidden_states_are_those_of_separate_passes(tiny):
    model = opened(tiny).model
    root, ends = [5, 9, 11, 40], [[7, 8, 30], [12], [60, 61, 62, 63]]
    tree = [Branch(root), *(Branch(one, 0) for one in ends), Branch([77, 78], 3)]
    flat = flatten(tree)
    states = hidden_states(model, flat)
    for number, alone in enumerate([root + one for one in ends] + [root + ends[2] + [77, 78]], 1):
        whole = model.base_model(input_ids=torch.tensor([alone])).last_hidden_state[0]
        last = flat.ends(tree)[number]
        torch.testing.assert_close(states[last], whole[-1], atol=1e-5, rtol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("tiny", ["llama", "gpt2"], indirect=True)
def test_a_cache_before_the_tree_is_left_as_it_was(tiny):
    model, before = opened(tiny).model, [5, 9, 11]
    cache = DynamicCache()
    model.base_model(input_ids=torch.tensor([before]), past_key_values=cache, use_cache=True)
    tree = [Branch([40, 41]), Branch([50], 0), Branch([51, 52], 0), Branch([53])]
    with_root = [Branch(before), *(Branch(b.ids, 0 if b.parent is None else b.parent + 1) for b in tree)]
    expected = hidden_states(model, flatten(with_root))[3:]
    for _ in range(2):
        found = hidden_states(model, flatten(tree), cache, 3)
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)
        assert cache.get_seq_length() == 3


@torch.no_grad()
@pytest.mark.parametrize("tiny", ["llama", "gpt2", "blenderbot", "bart"], indirect=True)
def test_options_that_share_a_context_are_scored_as_alone(tiny, supporter_turns):
    backbone = opened(tiny)
    gold = supporter_turns[3]
    texts = ["What happened then?", "You are not alone in this.", "I see."]
    options = [gold, *(gold.model_copy(update={"response": text}) for text in texts)]
    together = backbone.collate(backbone.options(options), options)
    logits = backbone.logits(backbone.hidden(together))
    for number, option in enumerate(options):
        alone = backbone.collate(backbone.options([option]), [option])
        mine = together.example_of == number
        assert together.target_ids[mine].tolist() == alone.target_ids.tolist()
        expected = backbone.logits(backbone.hidden(alone))
        torch.testing.assert_close(logits[mine], expected, atol=1e-4, rtol=1e-3)


@torch.no_grad()
def test_an_option_is_the_row_it_would_be_in_training(tiny_llama, supporter_turns):
    backbone, gold = opened(tiny_llama), supporter_turns[2]
    forked = backbone.collate(backbone.options([gold]), [gold])
    plain = backbone.collate(backbone.rows([gold]), [gold])
    torch.testing.assert_close(
        backbone.logits(backbone.hidden(forked)),
        backbone.logits(backbone.hidden(plain)),
        atol=1e-5,
        rtol=1e-4,
    )


def test_equal_contexts_are_encoded_once(tiny_bart, supporter_turns, monkeypatch):
    backbone, gold = opened(tiny_bart), supporter_turns[3]
    seen = []
    encoder = backbone.model.get_encoder()
    real = encoder.forward
    monkeypatch.setattr(
        encoder, "forward", lambda input_ids, **rest: seen.append(len(input_ids)) or real(input_ids, **rest)
    )
    options = [gold.model_copy(update={"response": f"Reply {n}."}) for n in range(5)]
    backbone.hidden(backbone.collate(backbone.options(options), options))
    assert seen == [1]


def test_fewer_layers_are_kept(tiny_llama):
    assert len(opened(tiny_llama, depth=1).model.base_model.layers) == 1


class Words:
    """A tokenizer of whole words, some of which it splits."""

    ids: dict[str, int] = {}  # noqa: RUF012

    def __call__(self, text, **_):
        parts = text.replace("-", " - ").split()
        found = [self.ids.setdefault(part, len(self.ids)) for part in parts]
        return type("Encoded", (), {"input_ids": found})


def test_a_trie_of_class_names_by_hand():
    choices = Choices(Words(), ["MI Adherent", "MI Non-Adherent", "Other"])
    (mi, adherent), (_, non, *_rest), (other,) = choices.paths
    assert choices.nodes == {(): [mi, other], (mi,): [adherent, non]}
    assert choices.inner == [(mi,)]
    assert choices.steps(0) == [((), 0), ((mi,), 0)]
    assert choices.steps(1) == [((), 0), ((mi,), 1)]
    assert choices.steps(2) == [((), 1)]


@pytest.mark.parametrize("names", [["Yes", "Yes please"], ["No", "No"]])
def test_classes_that_do_not_tokenise_apart_are_refused(names):
    if names[0] == names[1]:
        names = ["No", "No "]  # other strings, the same ids
    with pytest.raises(UsageError, match="do not tokenise apart"):
        Choices(Words(), names)
