"""A strategy as a vector: a distribution over the strategies times a table of learned vectors (MISC, AdMISC).

`mixture` says which distribution a batch speaks under: the model's own, the gold label, or one that was
chosen.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from hearten.core.records import Example
from hearten.core.taxonomy import LabelSet


class Codebook(nn.Module):
    """T in h_g = p_g T (AdMISC eq. 13): one vector a strategy."""

    def __init__(self, strategies: int, width: int) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.randn(strategies, width) * width**-0.5)

    def forward(self, shares: Tensor) -> Tensor:
        """(E, K) → (E, H)."""
        return shares @ self.table.to(shares.dtype)


class Head(nn.Module):
    """An MLP from a summary vector to logits (AdMISC eq. 12)."""

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        self.norm, self.inner, self.outer = (
            nn.LayerNorm(width),
            nn.Linear(width, width),
            nn.Linear(width, classes),
        )

    def forward(self, summary: Tensor) -> Tensor:
        """(…, H) → (…, classes)."""
        result: Tensor = self.outer(torch.tanh(self.inner(self.norm(summary))))
        return result


def gold_places(examples: Sequence[Example], labels: LabelSet, device: torch.device) -> Tensor:
    """The gold strategies' places in the label set, (E,); -1 where an example has none."""
    places = [labels.position(one.strategy) if one.strategy else -1 for one in examples]
    return torch.tensor(places, device=device)


def one_hot(places: Tensor, classes: int) -> Tensor:
    """(E,) → (E, K) of float; all zeros for -1."""
    return functional.one_hot(places.clamp_min(0), classes).float() * (places >= 0).unsqueeze(-1)


def classified(logits: Tensor, gold: Tensor) -> Tensor:
    """Mean cross-entropy of (…, C) logits over the places whose `gold` (…) is not -1; 0 if there are none."""
    each = functional.cross_entropy(
        logits.float().flatten(0, -2), gold.flatten(), ignore_index=-1, reduction="sum"
    )
    return each / (gold >= 0).sum().clamp_min(1)
