"""Lookahead planning of strategies (MultiESC, section 4.3): how good is a strategy, given where it leads.

score(k) = log P(k) + λ · log Σ P(rest | k) · f(k, rest), summed over the likely continuations of k up to a
depth; f is the feedback a seeker is expected to give. Continuations are grown by a beam for every first
strategy on its own, so a wide enough beam is the sum over the whole tree. `relative_scores` is the released
code's arithmetic instead.

The functions know nothing of networks: they are given one that continues a sequence and one that rates it.
"""

from collections.abc import Callable

import torch
from torch import Tensor

Continue = Callable[[Tensor], Tensor]
"""Sequences (E, N, t) → log-probabilities of the next strategy (E, N, K)."""
Rate = Callable[[Tensor], Tensor]
"""Sequences (E, N, t) → expected feedback (E, N), above 0."""


def lookahead(
    first: Tensor, follow: Continue, rate: Rate, *, depth: int, beam: int, weight: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Scores (E, K) of the first strategy, and the sequences (E, K, N, depth) with their log-probabilities.

    Args:
        first: log-probabilities of the first strategy, (E, K).
        follow: continues sequences.
        rate: expects feedback of whole sequences.
        depth: strategies in a sequence, the first counted.
        beam: continuations kept for each first strategy.
        weight: λ.
    """
    sequences, chances = grow(first, follow, depth=depth, beam=beam)
    size, kinds, count, _ = sequences.shape
    felt = rate(sequences.flatten(1, 2)).reshape(size, kinds, count)
    within = chances - first[..., None]  # log P(rest | k)
    heuristic = (within + felt.clamp_min(1e-6).log()).logsumexp(-1)
    return first + weight * heuristic, sequences, chances


def grow(first: Tensor, follow: Continue, *, depth: int, beam: int) -> tuple[Tensor, Tensor]:
    """The `beam` most likely sequences that begin with each strategy, and their log-probabilities."""
    size, kinds = first.shape
    starts = torch.arange(kinds, device=first.device).expand(size, kinds)
    sequences, chances = starts[:, :, None, None], first[:, :, None]  # (E, K, 1, 1), (E, K, 1)
    for _ in range(depth - 1):
        count = sequences.shape[2]
        steps = follow(sequences.flatten(1, 2)).reshape(size, kinds, count, kinds)
        totals = (chances[..., None] + steps).flatten(2)  # (E, K, N · K)
        chances, places = totals.topk(min(beam, totals.shape[-1]), dim=-1)
        parents = (places // kinds)[..., None].expand(*places.shape, sequences.shape[-1])
        sequences = torch.cat([sequences.gather(2, parents), (places % kinds)[..., None]], dim=-1)
    return sequences, chances


def relative_scores(first: Tensor, chances: Tensor, felt: Tensor, *, beam: int, own: float) -> Tensor:
    """The released planner without its count tables: own · P(k) + Σ_j w_j f_j over the beam's sequences.

    Args:
        first: log-probabilities of the first strategy (E, K).
        chances: log-probabilities of sequences by first strategy (E, K, N).
        felt: their raw feedback (E, K, N).
        beam: sequences kept over all first strategies together.
        own: the weight of P(k), 0.4 there.

    w_j are probabilities among the kept sequences that begin with k, f_j is relative to the kept ones' sum; a
    strategy that begins none of them gets only its own part.
    """
    size, kinds, count = chances.shape
    kept = torch.zeros_like(chances, dtype=torch.bool).flatten(1)
    best = chances.flatten(1).topk(min(beam, kinds * count), dim=-1).indices
    kept = kept.scatter(1, best, True).reshape(size, kinds, count)
    shares = chances.exp() * kept
    weights = shares / shares.sum(-1, keepdim=True).clamp_min(1e-12)
    relative = felt * kept / (felt * kept).sum((1, 2), keepdim=True)
    return own * first.exp() + (weights * relative).sum(-1)
