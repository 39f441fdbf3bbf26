"""What pulls a helpful reply above an unhelpful one: Muffin's contrast in its variants, DPO and SimPO.

Every loss sees the scores of one context's candidates and which of them are helpful. The contrast as it is
meant is a margin: for a helpful reply h and an unhelpful one u, max(0, S(u) − S(h) + λ). Paper, print and
released code differ in sign, score and norm; each is here by name, so that what works can be measured:

- `pairs`: the mean over all (h, u). The default.
- `paper`: Equation 1 with the sign that the text describes; 1/(2K) over ordered pairs.
- `printed`: Equation 1 as printed, which pushes helpful replies down.
- `released`: offsets d = 1 … K−1 in beam order, each normed by its unequal pairs; equal pairs add the margin;
  an offset whose signed sum is zero is skipped, as in the code (which sums over a batch; here, a context).
- `list`: −log of the helpful replies' share of a softmax over all scores; no pairs, no margin.

`gold` is the control: the gold replies of the same contexts, and no candidate. What the others do beyond it
is the contrast's doing, not that of longer training.
"""

from collections.abc import Callable
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from hearten.core.config import Config

Form = Literal["pairs", "paper", "printed", "released", "list"]


class Objective(Config):
    """Muffin's hyperparameters (section 5.1), and the rivals' usual ones."""

    method: Literal["contrast", "dpo", "simpo"] = "contrast"
    form: Form = "pairs"
    score: Literal["logprob", "prob"] = "logprob"
    """Equation 2 sums log-probabilities; the released code takes the mean token probability."""
    margin: Annotated[float, Field(ge=0)] = 0.01
    length_penalty: float = 1.0
    """Scores are sums divided by length to this power."""
    weight: Annotated[float, Field(ge=0)] = 1.0
    """Of the contrast."""
    generation: Annotated[float, Field(ge=0)] = 1.0
    """Of the likelihood of the gold reply."""
    beta: Annotated[float, Field(gt=0)] = 0.1
    """DPO's temperature (Rafailov et al. 2023); SimPO usually takes 2."""
    gamma: Annotated[float, Field(ge=0)] = 0.5
    """SimPO's target margin (Meng et al. 2024)."""


VARIANTS: dict[str, Objective] = {
    "muffin": Objective(),
    "paper": Objective(form="paper"),
    "printed": Objective(form="printed"),
    "released": Objective(form="released", score="prob"),
    "list": Objective(form="list"),
    "dpo": Objective(method="dpo", length_penalty=0.0),
    "simpo": Objective(method="simpo", beta=2.0),
    "gold": Objective(weight=0.0),
}
"""What `--variant` can name."""


def scores_of(logprobs: Tensor, owner: Tensor, count: int, objective: Objective) -> Tensor:
    """Sequence scores (count,) from token log-probabilities (N,): sum over the tokens / length^penalty."""
    values = logprobs.exp() if objective.score == "prob" else logprobs
    sums = torch.zeros(count, device=values.device).index_add(0, owner, values)
    lengths = owner.bincount(minlength=count).clamp(min=1).to(sums.dtype)
    return sums / lengths**objective.length_penalty


def gaps(scores: Tensor, helpful: Tensor) -> Tensor:
    """S(h) − S(u) of every helpful h and unhelpful u, (pairs,)."""
    return (scores[helpful][:, None] - scores[~helpful][None, :]).flatten()


def contrast(scores: Tensor, helpful: Tensor, objective: Objective) -> Tensor:
    """The contrast of one context: `scores` (K,), `helpful` (K,) with at least one of each."""
    return FORMS[objective.form](scores, helpful, objective.margin)


def _pairs(scores: Tensor, helpful: Tensor, margin: float) -> Tensor:
    return functional.relu(margin - gaps(scores, helpful)).mean()


def _paper(scores: Tensor, helpful: Tensor, margin: float) -> Tensor:
    both_orders = 2 * functional.relu(margin - gaps(scores, helpful)).sum()
    return both_orders / (2 * len(scores))


def _printed(scores: Tensor, helpful: Tensor, margin: float) -> Tensor:
    labels = helpful.to(scores.dtype)
    difference = labels[:, None] - labels[None, :]
    return functional.relu(difference * (scores[:, None] - scores[None, :] + margin)).sum() / (
        2 * len(scores)
    )


def _released(scores: Tensor, helpful: Tensor, margin: float) -> Tensor:
    labels = helpful.to(scores.dtype)
    total = scores.new_zeros(())
    for offset in range(1, len(scores)):
        sign = labels[offset:] - labels[:-offset]
        if sign.sum() != 0:
            rise = scores[offset:] - scores[:-offset]
            total = total + functional.relu(margin - sign * rise).sum() / sign.abs().sum()
    return total


def _list(scores: Tensor, helpful: Tensor, _margin: float) -> Tensor:
    return scores.logsumexp(0) - scores[helpful].logsumexp(0)


FORMS: dict[Form, Callable[[Tensor, Tensor, float], Tensor]] = {
    "pairs": _pairs,
    "paper": _paper,
    "printed": _printed,
    "released": _released,
    "list": _list,
}


def preference(scores: Tensor, helpful: Tensor, objective: Objective, reference: Tensor | None) -> Tensor:
    """DPO or SimPO over all (helpful, unhelpful) pairs of one context.

    Args:
        scores: (K,); summed log-probabilities for DPO, their mean per token for SimPO.
        helpful: (K,) with at least one of each.
        objective: names the method.
        reference: DPO's scores of the same candidates before training, (K,).
    """
    if objective.method == "simpo":
        return -functional.logsigmoid(objective.beta * gaps(scores, helpful) - objective.gamma).mean()
    assert reference is not None
    return -functional.logsigmoid(objective.beta * gaps(scores - reference, helpful)).mean()
