"""What a system may look back at: windows, turns and summaries, by hand and on both kinds of backbone."""

import pytest
import torch

from hearten.core.taxonomy import label_set
from hearten.lm.adapters import AdapterConfig
from hearten.lm.backbone import BackboneConfig, open_backbone
from hearten.lm.context import Context, Memory

pytestmark = pytest.mark.usefixtures("exact")


def numbered(rows, length):
    """States that say where they stand: 100 · row + place."""
    places = torch.arange(rows)[:, None] * 100.0 + torch.arange(length)
    return places[:, :, None]


def seen(lengths, length):
    return torch.arange(length) < torch.tensor(lengths)[:, None]


def context(causal=True):
    ends = torch.zeros(2, 6, dtype=torch.bool)
    ends[0, [1, 3, 5]] = True
    ends[1, [0]] = True
    return Context(numbered(2, 6), ends, torch.tensor([0, 0, 1]), seen([5, 2, 1], 6), causal)


def test_the_last_tokens_and_turns_come_last():
    recent = context().recent(3)
    assert recent.states[:, :, 0].tolist() == [[2, 3, 4], [0, 0, 1], [0, 0, 100]]
    assert recent.mask.tolist() == [[True] * 3, [False, True, True], [False, False, True]]
    turns = context().turns(2)
    assert turns.states[:, :, 0].tolist() == [[1, 3], [0, 1], [0, 100]]
    assert turns.mask.tolist() == [[True, True], [False, True], [False, True]]
    assert context().turns(9).mask.sum(-1).tolist() == [2, 1, 1], "more than there are places"


def test_the_summary_is_the_last_state_or_the_mean():
    assert context().summary()[:, 0].tolist() == [4, 1, 100]
    assert context(causal=False).summary()[:, 0].tolist() == [2, 0.5, 100]


def test_copies_stand_beside_their_original():
    assert context().repeat(2).summary()[:, 0].tolist() == [4, 4, 1, 1, 100, 100]


def test_memories_join_and_pool():
    one = Memory(torch.tensor([[[1.0], [9.0]]]), torch.tensor([[True, False]]))
    two = Memory(torch.tensor([[[3.0]]]), torch.tensor([[True]]))
    assert (one + two).mask.tolist() == [[True, False, True]]
    assert float((one + two).pooled()) == 2.0
    assert float(Memory(torch.ones(1, 2, 1), torch.zeros(1, 2, dtype=torch.bool)).pooled()) == 0.0


@pytest.mark.parametrize("tiny", ["llama", "gpt2", "blenderbot", "bart"], indirect=True)
@torch.no_grad()
def test_a_context_is_what_stands_before_the_reply(tiny, supporter_turns):
    shape = BackboneConfig(name=str(tiny), context_limit=500, adapter=AdapterConfig(kind="full"))
    backbone = open_backbone(shape, label_set("esconv")).eval()
    examples = supporter_turns[:5]
    batch = backbone.collate(backbone.rows(examples), examples)
    hidden, context = backbone.read(batch)
    torch.testing.assert_close(hidden, backbone.hidden(batch))
    for number, example in enumerate(batch.examples):
        alone = backbone.renderer.pair_row(example, 0, shape.context_limit, shape.reply_limit).source
        if context.causal:
            alone = backbone.renderer.context(example.context, example.profile)
            first = batch.example_of.tolist().index(number)
            torch.testing.assert_close(context.summary()[number], hidden[first])
        assert int(context.visible[number].sum()) == len(alone)
        found = context.turns(len(example.context)).mask[number].sum()
        assert int(found) == len(example.context), "every turn closes once"
