"""Tiny models for knowledge: a 28-label classifier and a sequence-to-sequence COMET in the hub's layout."""

from pathlib import Path

import pytest

from hearten.core.taxonomy import labels


@pytest.fixture(scope="session")
def classifier_folder(tiny_bart, tmp_path_factory) -> Path:
    """A RoBERTa classifier over GoEmotions' labels in another order than GoEmotions', random weights."""
    import torch
    from transformers import AutoTokenizer, RobertaConfig, RobertaForSequenceClassification

    torch.manual_seed(3)
    folder = tmp_path_factory.mktemp("classifier")
    names = sorted(labels("goemotions").names, reverse=True)
    shape = RobertaConfig(
        vocab_size=512, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64,
        max_position_embeddings=160, initializer_range=0.5, id2label=dict(enumerate(names)),
        label2id={name: n for n, name in enumerate(names)}, problem_type="multi_label_classification",
    )  # fmt: skip
    RobertaForSequenceClassification(shape).save_pretrained(folder)
    AutoTokenizer.from_pretrained(tiny_bart).save_pretrained(folder)
    return folder
