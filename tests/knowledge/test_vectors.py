"""Vectors of many texts are made once, chunk by chunk, and found again by what they are of."""

import numpy as np
import pytest

from hearten.knowledge import vectors


@pytest.fixture
def asked(monkeypatch, tmp_path):
    """What the encoder was asked; its vectors are the texts' lengths."""
    seen: list[str] = []

    def embed(texts, layers=(6,)):
        seen.extend(texts)
        return np.array([[len(text)] * len(layers) for text in texts], dtype=np.float32)

    monkeypatch.setattr("hearten.lm.embed.embed", embed)
    monkeypatch.setattr(vectors, "CHUNK", 2)
    monkeypatch.setenv("HEARTEN_CACHE", str(tmp_path))
    return seen


def test_the_same_texts_are_embedded_once(asked):
    texts = ["a", "bb", "ccc"]
    first = vectors.kept_vectors("words", texts, (6,), quiet=True)
    again = vectors.kept_vectors("words", texts, (6,), quiet=True)
    assert first.tolist() == again.tolist() == [[1], [2], [3]]
    assert asked == texts
    vectors.kept_vectors("words", texts, (5, 6), quiet=True)
    assert len(asked) == 6


def test_a_stop_costs_the_chunk_it_was_at(asked):
    texts = ["a", "bb", "ccc"]
    vectors.kept_vectors("words", texts, (6,), quiet=True)
    vectors._files("words", texts, (6,))[1].unlink()
    vectors.kept_vectors("words", texts, (6,), quiet=True)
    assert asked == ["a", "bb", "ccc", "ccc"]
