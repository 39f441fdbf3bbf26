"""Three recipes for the same metrics, each a family of papers, and what their figures are called.

- `nlgeval`: nlg-eval and pycocoevalcap, as in Muffin, TransESC, GLHG, FADO and KEMI. Fractions.
- `zcj`: the `myMetrics.py` released with ESConv and copied into its descendants. Everything times 100
  but length.
- `clean`: what we recommend for new results: no epsilon, no forgotten n-grams, undefined left
  undefined. Fractions.

A family that does not define a metric leaves it to `clean`, and the signature's `preset` says so. Every
recipe lower-cases and uses the tokenizer of `tokenise`.
"""

from dataclasses import dataclass

GROUPS = (
    "BLEU",
    "ROUGE-L",
    "CIDEr",
    "METEOR-nltk",
    "METEOR-1.5",
    "Embedding",
    "Distinct",
    "F1",
    "Length",
    "BERTScore",
)
"""What can be asked for; each gives one figure or several."""


@dataclass(frozen=True)
class Preset:
    """One family's choices."""

    name: str
    help: str
    defines: frozenset[str]
    """Groups the family itself computes."""
    smoothing: str
    """A key of `bleu.CORPUS`."""
    forget_last: bool
    """Distinct-n leaves out the last n-gram of each response."""
    scale: float
    """What shares are multiplied by when printed."""


PRESETS = {
    "nlgeval": Preset(
        "nlgeval",
        "nlg-eval and pycocoevalcap: Muffin, TransESC, GLHG, FADO, KEMI",
        frozenset({"BLEU", "ROUGE-L", "CIDEr", "METEOR-1.5", "Embedding"}),
        smoothing="epsilon",
        forget_last=False,
        scale=1.0,
    ),
    "zcj": Preset(
        "zcj",
        "myMetrics.py of ESConv and its descendants, times 100",
        frozenset({"BLEU", "ROUGE-L", "Distinct", "F1", "Length"}),
        smoothing="method3",
        forget_last=True,
        scale=100.0,
    ),
    "clean": Preset(
        "clean",
        "recommended for new results",
        frozenset(GROUPS),
        smoothing="none",
        forget_last=False,
        scale=1.0,
    ),
}
