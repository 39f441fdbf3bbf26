"""Many continuations of shared text in one pass of a decoder-only model.

What is shared is computed once: a `Branch` continues another one and sees what that one saw, never its
siblings. A rater's replies share an instruction and a context, candidates share a conversation, a class
name's tokens continue a reply. The branches are laid end to end in one sequence; a mask and positions make
every token see exactly the text it would stand behind alone, so hidden states equal those of separate passes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Branch:
    """Some ids that continue an earlier branch, or begin at the root."""

    ids: Sequence[int]
    parent: int | None = None
    """Index of the branch it continues; None at the root."""


@dataclass(frozen=True, slots=True)
class Flat:
    """Branches laid end to end: `ids` and `positions` (T,), `visible` (T, T), where each branch starts."""

    ids: list[int]
    positions: list[int]
    visible: Tensor
    starts: list[int]

    def ends(self, branches: Sequence[Branch]) -> list[int]:
        """The place of each branch's last id."""
        return [start + len(branch.ids) - 1 for start, branch in zip(self.starts, branches, strict=True)]


def flatten(branches: Sequence[Branch]) -> Flat:
    """Lay `branches` end to end; a parent must stand before its children."""
    total = sum(len(branch.ids) for branch in branches)
    visible = torch.zeros(total, total, dtype=torch.bool)
    ids: list[int] = []
    positions: list[int] = []
    starts: list[int] = []
    depth: list[int] = []
    for branch in branches:
        start, size = len(ids), len(branch.ids)
        first = 0
        if branch.parent is not None:
            up = starts[branch.parent] + len(branches[branch.parent].ids) - 1
            visible[start : start + size] = visible[up]
            first = depth[branch.parent]
        visible[start : start + size, start : start + size] = torch.ones(size, size).tril().bool()
        ids.extend(branch.ids)
        positions.extend(range(first, first + size))
        starts.append(start)
        depth.append(first + size)
    return Flat(ids, positions, visible, starts)


def additive(visible: Tensor, dtype: torch.dtype) -> Tensor:
    """What is added to attention scores: 0 where a token may look, the lowest number elsewhere."""
    return torch.zeros(visible.shape, dtype=dtype, device=visible.device).masked_fill_(
        ~visible, torch.finfo(dtype).min
    )


def hidden_states(model: Any, flat: Flat, past: Any = None, before: int = 0) -> Tensor:
    """Hidden states (T, H) of a flattened tree.

    Args:
        model: a causal model of the library.
        flat: the tree.
        past: a cache of `before` ids that every branch stands behind; it is as it was afterwards.
        before: how many ids the cache holds.
    """
    device = next(model.parameters()).device
    seen = torch.ones(len(flat.ids), before, dtype=torch.bool)
    visible = torch.cat([seen, flat.visible], dim=1).to(device)
    output = model.base_model(
        input_ids=torch.tensor([flat.ids], device=device),
        attention_mask=additive(visible, model.dtype)[None, None],
        position_ids=torch.tensor([flat.positions], device=device) + before,
        past_key_values=past,
        use_cache=past is not None,
    )
    if past is not None:
        past.crop(-len(flat.ids))
    states: Tensor = output.last_hidden_state
    return states[0]
