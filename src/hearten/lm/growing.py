"""A cache of keys and values with room to grow.

The library's copies the whole cache for every id that is added. Where many replies grow on one long context
(`lm/decode.py`) that is much of a step. Here an id is written into room
that is there already, and the room doubles when it is full. Keys are kept in the values' number format: in
mixed precision the positions' rotation leaves them wider, and every step would narrow all of them again.
"""

from typing import Any

from torch import Tensor
from transformers.cache_utils import Cache, DynamicLayer

ROOM = 256
"""Ids a cache has room for beside those it begins with."""


class GrowingLayer(DynamicLayer):
    """Keys and values of one layer: the first ids of a larger store."""

    def update(
        self, key_states: Tensor, value_states: Tensor, *_others: Any, **_named: Any
    ) -> tuple[Tensor, Tensor]:
        """Add ids (B, K, T, D); answers all that are held now."""
        if not self.is_initialized:
            self.lazy_initialization(value_states, value_states)
        start = self.get_seq_length()
        end = start + key_states.shape[-2]
        if not start or end > self._stored[0].shape[-2]:
            self._grow(start, max(2 * start, end + ROOM), value_states)
        for stored, new in zip(self._stored, (key_states, value_states), strict=True):
            stored[..., start:end, :] = new
        self.keys, self.values = (stored[..., :end, :] for stored in self._stored)
        return self.keys, self.values

    def _grow(self, held: int, size: int, like: Tensor) -> None:
        wider = [like.new_empty((*like.shape[:-2], size, like.shape[-1])) for _ in range(2)]
        if held:
            for new, old in zip(wider, self._stored, strict=True):
                new[..., :held, :] = old[..., :held, :]
        self._stored: list[Tensor] = wider


def growing_cache() -> Cache:
    """An empty cache for any decoder-only model; what it holds is not to be learned from."""
    return Cache(layer_class_to_replicate=GrowingLayer)
