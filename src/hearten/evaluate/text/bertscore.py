"""BERTScore (Zhang et al. 2020) where its package and a model folder are at hand.

The figure is the F of greedily matched contextual vectors, without idf weights and without baseline
rescaling. It depends on the model and on the layer, so both are in the signature. The layer follows the
package's own tuning for its usual models: 17 of 24 (roberta-large), 9 of 12 (bert-base), else the last.
"""

import importlib.util
import json
from pathlib import Path

import numpy as np

from hearten.core.errors import UsageError
from hearten.evaluate.statistics import Array

TUNED = {24: 17, 12: 9}


def missing_parts(model: Path | None) -> str:
    """What BERTScore lacks here, as a reason for leaving it out; empty when it can run."""
    if model is None:
        return "no model named; --bert-model FOLDER (Hugging Face layout)"
    if importlib.util.find_spec("bert_score") is None:
        return "the package is missing; pip install bert-score"
    return ""


def layer_of(model: Path) -> int:
    """The layer whose vectors are compared.

    Raises:
        UsageError: the folder holds no Hugging Face model.
    """
    try:
        config = json.loads((model / "config.json").read_text(encoding="utf-8"))
        layers = int(config["num_hidden_layers"])
    except (OSError, ValueError, KeyError) as error:
        raise UsageError(
            f"'{model}' is not a model folder: {error}", fix="name one that has config.json"
        ) from None
    return TUNED.get(layers, layers)


def items(hypotheses: list[str], references: list[str], model: Path) -> Array:
    """F of each item, (N,); an empty text scores 0.

    Args:
        hypotheses: texts as they are; the model's own tokenizer cuts them.
        references: the same.
        model: a local folder; nothing is downloaded.
    """
    import bert_score

    values = np.zeros(len(hypotheses))
    filled = [
        i for i, (h, r) in enumerate(zip(hypotheses, references, strict=True)) if h.strip() and r.strip()
    ]
    if filled:
        _, _, f1 = bert_score.score(
            [hypotheses[i] for i in filled],
            [references[i] for i in filled],
            model_type=str(model),
            num_layers=layer_of(model),
        )
        values[filled] = f1.numpy()
    return values
