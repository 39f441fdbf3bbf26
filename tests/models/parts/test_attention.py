"""Attention against loops in plain Python, and against what it must not depend on."""

import math

import pytest
import torch

from hearten.lm.context import Memory
from hearten.models.parts.attention import CrossAttention, Feedforward, Grid, begin_small, heads_of


def looped(attention, query, memory, shift):
    """One query (H,) over one memory (L, H), head by head."""
    states = memory + shift
    asked, keys = attention.query(query), attention.key(states)
    values, size = attention.value(states), len(query) // attention.heads
    parts = []
    for head in range(attention.heads):
        mine = slice(head * size, (head + 1) * size)
        scores = [float(asked[mine] @ key[mine]) / math.sqrt(size) for key in keys]
        raised = [math.exp(score) for score in scores]
        parts.append(sum(r / sum(raised) * value[mine] for r, value in zip(raised, values, strict=True)))
    return attention.out(torch.cat(parts))


@torch.no_grad()
def test_attention_is_what_a_loop_computes_and_a_shift_moves_values_alone():
    torch.manual_seed(1)
    attention = CrossAttention(8, 2, start=None)
    states, shift, queries = torch.randn(2, 3, 8), torch.randn(2, 8), torch.randn(2, 4, 8)
    mask = torch.tensor([[True, True, True], [False, True, True]])
    for moved in (None, shift):
        found = attention(queries, attention.hold(Memory(states, mask)), moved)
        for example in range(2):
            seen = states[example][mask[example]]
            for place in range(4):
                by = shift[example] if moved is not None else torch.zeros(8)
                by_hand = looped(attention, queries[example, place], seen, by)
                torch.testing.assert_close(found[example, place], by_hand, atol=1e-5, rtol=1e-4)


def test_an_example_without_memory_receives_nothing_and_learns_without_nan():
    attention = CrossAttention(8, 2)
    states = torch.randn(2, 3, 8)
    mask = torch.tensor([[False] * 3, [True] * 3])
    found = attention(torch.randn(2, 2, 8), attention.hold(Memory(states, mask)), torch.randn(2, 8))
    assert found[0].abs().sum() == 0
    assert found[1].abs().sum() > 0
    found.sum().backward()
    assert all(bool(parameter.grad.isfinite().all()) for parameter in attention.parameters())


def test_a_grid_lays_out_and_takes_back():
    owner = torch.tensor([2, 0, 2, 2, 0])
    grid = Grid.of(owner, 4)
    flat = torch.arange(1.0, 6)[:, None]
    laid = grid.laid(flat)
    assert laid[:, :, 0].tolist() == [[2, 5, 0], [0, 0, 0], [1, 3, 4], [0, 0, 0]]
    assert torch.equal(grid.flat(laid), flat)


@pytest.mark.parametrize(("width", "expected"), [(576, 16), (32, 16), (30, 15), (7, 7), (34, 2)])
def test_heads_divide_the_width(width, expected):
    assert heads_of(width) == expected


def test_what_is_added_begins_small():
    layer = begin_small(torch.nn.Linear(64, 64))
    assert 0 < float(layer.weight.detach().std()) < 0.02
    assert float(layer.bias.detach().abs().sum()) == 0


@torch.no_grad()
def test_the_feedforward_is_residual():
    block = Feedforward(4)
    block.outer.weight.zero_()
    block.outer.bias.zero_()
    states = torch.randn(3, 4)
    torch.testing.assert_close(block(states), block.norm(states))
