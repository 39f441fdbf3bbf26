"""Attention of a reply's states to what else is known of its example.

The states of a batch lie flat (N, H), each belonging to an example; what they attend to lies by example. A
`Grid` lays them out as (E, T, H) and back. Keys and values of a memory are projected once (`hold`) and then
serve every step of decoding. An example without any memory receives exactly nothing.

Every block ends in a projection whose weights start small, so that a system begins as the pretrained model it
stands on.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from hearten.lm.context import Memory

START = 1e-2
"""Standard deviation with which a projection that is added to pretrained states begins."""


@dataclass(frozen=True, slots=True)
class Grid:
    """Where each of N flat states goes in (E, T): `owner` (N,) and `place` (N,)."""

    owner: Tensor
    place: Tensor
    shape: tuple[int, int]

    @classmethod
    def of(cls, owner: Tensor, count: int) -> "Grid":
        """The layout of states whose examples are `owner` (N,), among `count` examples."""
        sizes = owner.bincount(minlength=count)
        order = owner.argsort(stable=True)
        starts = sizes.cumsum(0) - sizes
        place = torch.empty_like(owner)
        place[order] = torch.arange(len(owner), device=owner.device) - starts[owner[order]]
        return cls(owner, place, (count, int(sizes.max())))

    def laid(self, flat: Tensor) -> Tensor:
        """(N, H) → (E, T, H), zeros where there is no state."""
        return flat.new_zeros(*self.shape, flat.shape[-1]).index_put((self.owner, self.place), flat)

    def flat(self, grid: Tensor) -> Tensor:
        """(E, T, H) → (N, H)."""
        return grid[self.owner, self.place]


@dataclass(frozen=True, slots=True)
class Held:
    """Keys and values of a memory, (E, heads, L, H / heads), and its mask (E, L)."""

    keys: Tensor
    values: Tensor
    mask: Tensor


class CrossAttention(nn.Module):
    """Multi-head attention; keys have no bias, for it would cancel in the softmax.

    Args:
        width: H.
        heads: must divide `width`.
        scale: what scores are multiplied with; 1 / sqrt(H / heads) by default.
        start: standard deviation of the last projection's first weights; None is the usual one.
    """

    def __init__(
        self, width: int, heads: int, *, scale: float | None = None, start: float | None = START
    ) -> None:
        super().__init__()
        self.heads, self.scale = heads, scale
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width, bias=False)
        self.value = nn.Linear(width, width)
        self.out = nn.Linear(width, width)
        if start is not None:
            begin_small(self.out, start)

    def hold(self, memory: Memory) -> Held:
        """Project a memory once."""
        return Held(self._split(self.key(memory.states)), self._split(self.value(memory.states)), memory.mask)

    def forward(self, queries: Tensor, held: Held, shift: Tensor | None = None) -> Tensor:
        """What (E, T, H) queries find in a held memory, (E, T, H).

        `shift` (E, H) is as if it had been added to every state of the memory: a vector common to all
        keys changes no softmax, so it reaches the values alone.
        """
        asked = self._split(self.query(queries))
        there = held.mask.any(-1)  # (E,)
        mask = held.mask | ~there[:, None]
        found = functional.scaled_dot_product_attention(
            asked, held.keys, held.values, attn_mask=mask[:, None, None], scale=self.scale
        )
        joined = found.transpose(1, 2).flatten(2)
        if shift is not None:
            joined = joined + functional.linear(shift, self.value.weight)[:, None]
        result: Tensor = self.out(joined) * there[:, None, None].to(joined.dtype)
        return result

    def _split(self, states: Tensor) -> Tensor:
        size = states.shape[-1] // self.heads
        return states.reshape(*states.shape[:-1], self.heads, size).transpose(1, 2)


def begin_small(layer: nn.Linear, start: float = START) -> nn.Linear:
    """Let a projection begin near zero, so that what it is added to is hardly changed."""
    nn.init.normal_(layer.weight, std=start)
    nn.init.zeros_(layer.bias)
    return layer


def heads_of(width: int, wanted: int = 16) -> int:
    """The largest number of heads up to `wanted` that divides `width`."""
    return next(count for count in range(min(wanted, width), 0, -1) if width % count == 0)


class Feedforward(nn.Module):
    """LN(x + W2 ReLU(W1 x)), twice as wide inside."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.inner, self.outer = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)
        self.norm = nn.LayerNorm(width)

    def forward(self, states: Tensor) -> Tensor:
        """(…, H) → (…, H)."""
        result: Tensor = self.norm(states + self.outer(functional.relu(self.inner(states))))
        return result
