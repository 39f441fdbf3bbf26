"""What a backbone made of the contexts: the states a system's own layers look back at.

A decoder-only row holds a whole conversation, so the contexts of its examples are prefixes of one row of
states; an encoder–decoder has a row for each. `Context` hides the difference: it says which row is an
example's, how much of it the example may see, and where turns end in it. From it come the `Memory` of the
last tokens, that of the last turns, and one summary vector.
"""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Memory:
    """States an example may attend to: `states` (E, L, H) and `mask` (E, L), true where there is one."""

    states: Tensor
    mask: Tensor

    def pooled(self) -> Tensor:
        """The mean of each example's states, (E, H); zeros where it has none."""
        weights = self.mask.unsqueeze(-1).to(self.states.dtype)
        return (self.states * weights).sum(1) / weights.sum(1).clamp_min(1)

    def __add__(self, other: "Memory") -> "Memory":
        """Both, one after the other."""
        states = torch.cat([self.states, other.states.to(self.states.dtype)], dim=1)
        return Memory(states, torch.cat([self.mask, other.mask], dim=1))


@dataclass(frozen=True, slots=True)
class Context:
    """States of the rows and what each example sees of them.

    Shapes: `states` (M, L, H); `ends` (M, L), true where a turn closes; `row` (E,), the row of each example;
    `visible` (E, L), true for what stands before its reply. `causal` tells whether a state has seen only what
    stands before it.
    """

    states: Tensor
    ends: Tensor
    row: Tensor
    visible: Tensor
    causal: bool

    def recent(self, count: int) -> Memory:
        """The states of the last `count` tokens of each context, (E, count, H), empty places first."""
        stops = self.visible.sum(-1, keepdim=True)  # what is visible is a prefix
        places = stops - count + torch.arange(count, device=stops.device)  # (E, count)
        return self._at(places)

    def turns(self, count: int) -> Memory:
        """The states in which the last `count` turns close, (E, count, H), empty places first."""
        length = self.visible.shape[1]
        order = torch.arange(length, device=self.visible.device).expand_as(self.visible)
        closing = torch.where(self.ends[self.row] & self.visible, order, -1)
        places = closing.topk(min(count, length), dim=-1).values.flip(-1)
        lacking = places.new_full((len(places), count - places.shape[1]), -1)
        return self._at(torch.cat([lacking, places], dim=1))

    def summary(self) -> Tensor:
        """One vector a context, (E, H): its last state if causal, the mean of its states otherwise."""
        if self.causal:
            return self._at(self.visible.sum(-1, keepdim=True) - 1).states[:, 0]
        return Memory(self.states[self.row], self.visible).pooled()

    def repeat(self, copies: int) -> "Context":
        """The same contexts, each `copies` times in a row."""
        row, visible = (t.repeat_interleave(copies, dim=0) for t in (self.row, self.visible))
        return Context(self.states, self.ends, row, visible, self.causal)

    def _at(self, places: Tensor) -> Memory:
        """States at `places` (E, K) of each example's row; a negative place is empty."""
        states = self.states[self.row.unsqueeze(1), places.clamp_min(0)]
        mask = places >= 0
        return Memory(states * mask.unsqueeze(-1).to(states.dtype), mask)
