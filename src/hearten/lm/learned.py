"""A frozen vocabulary of which a few rows learn: the tokens of the strategies.

peft can do this too, but it writes the whole table anew in every pass, forth and back: 28 million numbers of
the embedded model for eight rows. Here the rows are looked up and scored
beside the table. A head that is tied to the embedding shares its rows; an untied one learns rows of its own.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional


class LearnedEmbedding(nn.Module):
    """A frozen embedding with learned rows.

    Args:
        inner: the embedding.
        ids: which of its rows learn.
    """

    def __init__(self, inner: nn.Embedding, ids: Sequence[int]) -> None:
        super().__init__()
        self.inner = inner
        self.rows = nn.Parameter(inner.weight.detach()[list(ids)].clone())
        places = torch.full((inner.num_embeddings,), -1)
        places[list(ids)] = torch.arange(len(ids))
        self.register_buffer("ids", torch.tensor(list(ids)), persistent=False)
        self.register_buffer("places", places, persistent=False)
        self.ids: Tensor
        self.places: Tensor

    def forward(self, ids: Tensor) -> Tensor:
        """(…,) → (…, H)."""
        place = self.places[ids]
        return torch.where((place >= 0)[..., None], self.rows[place.clamp(min=0)], self.inner(ids))

    @property
    def weight(self) -> Tensor:
        """The whole table, (V, H)."""
        return self.inner.weight.index_copy(0, self.ids, self.rows.to(self.inner.weight.dtype))


class LearnedHead(nn.Module):
    """A frozen language head with learned rows.

    Args:
        inner: the head.
        ids: which of its rows learn.
        rows: what they are (S, H); its own copy of the head's unless they are shared with the embedding.
    """

    def __init__(self, inner: nn.Linear, ids: Sequence[int], rows: nn.Parameter | None = None) -> None:
        super().__init__()
        self.inner = inner
        self.rows = nn.Parameter(inner.weight.detach()[list(ids)].clone()) if rows is None else rows
        self.register_buffer("ids", torch.tensor(list(ids)), persistent=False)
        self.ids: Tensor

    def forward(self, hidden: Tensor) -> Tensor:
        """(…, H) → (…, V)."""
        scores: Tensor = self.inner(hidden)
        return scores.index_copy(-1, self.ids, functional.linear(hidden, self.rows).to(scores.dtype))

    @property
    def weight(self) -> Tensor:
        """The whole table, (V, H)."""
        return self.inner.weight.index_copy(0, self.ids, self.rows.to(self.inner.weight.dtype))


def learn_rows(model: Any, ids: Sequence[int]) -> None:
    """Let rows `ids` of a transformers model's vocabulary learn, in place; the rest stays as it is."""
    if not ids:
        return
    table, head = model.get_input_embeddings(), model.get_output_embeddings()
    tied = head.weight is table.weight
    learned = LearnedEmbedding(table, ids)
    model.set_input_embeddings(learned)
    model.set_output_embeddings(LearnedHead(head, ids, learned.rows if tied else None))


@torch.no_grad()
def merge_rows(model: Any) -> None:
    """Write learned rows into the tables they belong to, in place."""
    for name, module in list(model.named_modules()):
        if isinstance(module, LearnedEmbedding | LearnedHead):
            module.inner.weight[module.ids] = module.rows.to(module.inner.weight.dtype)
            model.set_submodule(name, module.inner)
