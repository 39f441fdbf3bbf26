"""How several losses become one number to minimise; any system can use any of these.

- `fixed`: every loss has its weight (1 unless told otherwise).
- `dwa`: dynamic weight averaging (Liu, Johns and Davison 2019; AdMISC eq. 31–33). A loss that falls slowly
  gets more weight: with K losses, α_k(t) = K · softmax_k(w_k(t−1) / T) and w_k(t−1) = L_k(t−1) / L_k(t−2),
  where L_k(t) is the loss averaged over period t, an epoch unless `period` counts steps; w = 1 in the first
  two periods.
- `uncertainty`: Kendall, Gal and Cipolla 2018: Σ exp(−s_k) · L_k + s_k / 2 with learned s_k.

`loss_weights` multiply the result in every case. What `dwa` remembers is a plain record of numbers, which the
training loop keeps beside the weights, so that a resumed run goes on exactly.
"""

import math
from collections.abc import Mapping
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from hearten.core.config import Config


class Balancing(Config):
    """How losses are weighted."""

    kind: Literal["fixed", "dwa", "uncertainty"] = "fixed"
    temperature: float = Field(default=2.0, gt=0)
    """T of `dwa`: the higher, the more even (2 in Liu et al. 2019; AdMISC gives none)."""
    period: int | None = Field(default=None, ge=1)
    """Steps over which `dwa` averages a loss; None is an epoch."""


class Balance(nn.Module):
    """The weighted sum of named losses.

    Args:
        names: all losses the system will ever name.
        config: which way.
        weights: multiplies the loss of that name; 1 for the others.
    """

    def __init__(self, names: tuple[str, ...], config: Balancing, weights: Mapping[str, float]) -> None:
        super().__init__()
        self.names, self.config, self._fixed = names, config, dict(weights)
        self._means: list[dict[str, float]] = []  # of the last two whole periods
        self._sums: dict[str, float] = {}
        self._steps = 0
        if config.kind == "uncertainty":
            self.log_variance = nn.ParameterDict({name: nn.Parameter(torch.zeros(1)) for name in names})

    def forward(self, losses: Mapping[str, Tensor]) -> Tensor:
        """The sum to be minimised, a scalar."""
        now = self.weights()
        parts = []
        for name, loss in losses.items():
            if self.config.kind == "uncertainty":
                spread = self.log_variance[name][0]
                loss = torch.exp(-spread) * loss + spread / 2
            parts.append(now.get(name, 1.0) * self._fixed.get(name, 1.0) * loss)
        return torch.stack(parts).sum()

    def weights(self) -> dict[str, float]:
        """The dynamic weight of every loss now; 1 for each where nothing is dynamic."""
        if self.config.kind != "dwa" or len(self._means) < 2:
            return dict.fromkeys(self.names, 1.0)
        before, last = self._means
        return dynamic_weights(before, last, self.config.temperature)

    def observe(self, losses: Mapping[str, float], *, epoch_ends: bool) -> None:
        """Remember the losses of one step; at the end of a period they become its averages."""
        if self.config.kind != "dwa":
            return
        for name in self.names:
            self._sums[name] = self._sums.get(name, 0.0) + losses.get(name, 0.0)
        self._steps += 1
        full = epoch_ends if self.config.period is None else self._steps == self.config.period
        if full:
            means = {name: total / self._steps for name, total in self._sums.items()}
            self._means = [*self._means, means][-2:]
            self._sums, self._steps = {}, 0

    def remembered(self) -> dict[str, Any]:
        """What a resumed run must know: plain numbers."""
        return {"means": self._means, "sums": self._sums, "steps": self._steps}

    def remember(self, values: Mapping[str, Any]) -> None:
        """Take up what `remembered` told."""
        self._means = [dict(means) for means in values.get("means", [])]
        self._sums, self._steps = dict(values.get("sums", {})), int(values.get("steps", 0))


def dynamic_weights(
    before: Mapping[str, float], last: Mapping[str, float], temperature: float
) -> dict[str, float]:
    """AdMISC eq. 32 and 33: K · softmax(ratio / T) over the losses.

    Args:
        before: mean of each loss over the period before the last.
        last: mean over the last period.
        temperature: T.

    A loss that was 0 has no ratio; it counts as unchanged.
    """
    ratios = {name: last[name] / before[name] if before[name] else 1.0 for name in before}
    top = max(ratios.values())  # keeps the exponentials finite; it cancels
    raised = {name: math.exp((ratio - top) / temperature) for name, ratio in ratios.items()}
    total = sum(raised.values())
    return {name: len(raised) * value / total for name, value in raised.items()}
