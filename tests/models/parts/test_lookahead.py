"""Lookahead planning on toy trees, against brute force over every leaf."""

import itertools
import math

import pytest
import torch

from hearten.models.parts.lookahead import grow, lookahead, relative_scores

KINDS, DEPTH = 3, 3


def tree(seed):
    """A made-up tree: the chance of each step and the feedback of each leaf, as tables."""
    chance = torch.Generator().manual_seed(seed)
    steps = {
        prefix: torch.rand(KINDS, generator=chance).log_softmax(-1)
        for size in range(DEPTH)
        for prefix in itertools.product(range(KINDS), repeat=size)
    }
    leaves = {
        leaf: float(torch.rand(1, generator=chance)) + 0.1
        for leaf in itertools.product(range(KINDS), repeat=DEPTH)
    }
    return steps, leaves


def over(table, sequences):
    rows = [[table[tuple(one)] for one in row] for row in sequences.tolist()]
    return torch.stack([torch.stack([torch.as_tensor(v) for v in row]) for row in rows])


def brute_force(steps, leaves, weight):
    """log P(k) + weight * log of the expected feedback below k, leaf by leaf."""
    scores = []
    for first in range(KINDS):
        expected = 0.0
        for rest in itertools.product(range(KINDS), repeat=DEPTH - 1):
            leaf = (first, *rest)
            chance = sum(float(steps[leaf[:place]][leaf[place]]) for place in range(1, DEPTH))
            expected += math.exp(chance) * leaves[leaf]
        scores.append(float(steps[()][first]) + weight * math.log(expected))
    return scores


@pytest.mark.parametrize("weight", [0.0, 0.7, 2.0])
def test_a_wide_beam_is_brute_force(weight):
    trees = [tree(seed) for seed in (1, 2)]
    first = torch.stack([steps[()] for steps, _ in trees])

    def follow(sequences):
        return torch.cat([over(t[0], sequences[n : n + 1]) for n, t in enumerate(trees)])

    def rate(sequences):
        return torch.cat([over(t[1], sequences[n : n + 1]) for n, t in enumerate(trees)]).float()

    found, _, _ = lookahead(first, follow, rate, depth=DEPTH, beam=KINDS**DEPTH, weight=weight)
    expected = [brute_force(steps, leaves, weight) for steps, leaves in trees]
    torch.testing.assert_close(found, torch.tensor(expected), atol=1e-5, rtol=1e-5)
    if weight == 0:
        torch.testing.assert_close(found, first)


def test_a_narrow_beam_keeps_the_likeliest_below_each_first_strategy():
    steps, _ = tree(3)
    sequences, chances = grow(steps[()][None], lambda s: over(steps, s), depth=2, beam=1)
    assert sequences.shape == (1, KINDS, 1, 2)
    for first in range(KINDS):
        best = int(steps[(first,)].argmax())
        assert sequences[0, first, 0].tolist() == [first, best]
        assert float(chances[0, first, 0]) == pytest.approx(float(steps[()][first] + steps[(first,)][best]))


def test_looking_ahead_can_overrule_what_is_likely():
    # 0 is likelier (0.6 against 0.4) but leads to feedback 0.2, 1 leads to 0.9
    first = torch.tensor([[0.6, 0.4]]).log()

    def follow(sequences):
        return torch.tensor([0.5, 0.5]).log().expand(*sequences.shape[:2], 2)

    def rate(sequences):
        return torch.where(sequences[..., 0] == 0, 0.2, 0.9)

    greedy, _, _ = lookahead(first, follow, rate, depth=2, beam=4, weight=0.0)
    ahead, _, _ = lookahead(first, follow, rate, depth=2, beam=4, weight=1.0)
    assert (int(greedy.argmax()), int(ahead.argmax())) == (0, 1)
    assert ahead.exp()[0].tolist() == pytest.approx([0.12, 0.36])


def test_the_released_arithmetic_by_hand():
    # P = (.5, .3, .2); sequences: k=0 with .3 and .2, k=1 with .25 and .05, k=2 with .1 and .1; three are
    # kept: .3, .2 (both k=0) and .25 (k=1). Weights .6, .4 and 1. Raw feedback 2, 1, 5, sum 8:
    # F = (1.2 + .4) / 8 = .2, 5 / 8 = .625, 0. Scores .4 P + F = .4, .745, .08
    first = torch.tensor([[0.5, 0.3, 0.2]]).log()
    chances = torch.tensor([[[0.3, 0.2], [0.25, 0.05], [0.1, 0.1]]]).log()
    felt = torch.tensor([[[2.0, 1.0], [5.0, 9.0], [9.0, 9.0]]])
    found = relative_scores(first, chances, felt, beam=3, own=0.4)
    assert found[0].tolist() == pytest.approx([0.4, 0.745, 0.08])
