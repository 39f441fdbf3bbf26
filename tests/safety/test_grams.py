import numpy as np
import pytest

from hearten.safety.grams import LETTERS, MOST_WORDS, SIZE, grams, matrix, slots, sums


def test_words_pairs_triples_and_letters_with_their_ends():
    seen = list(grams("my pills"))
    assert [gram for gram in seen if gram.startswith(" ")] == [" my", " pills", " my pills"]
    assert "^my$" in seen
    assert "lls$" in seen
    assert {len(gram) for gram in seen if not gram.startswith(" ")} == set(LETTERS)


def test_a_slip_of_spelling_shares_most_of_its_letters():
    right, wrong, other = (set(slots(word)[0].tolist()) for word in ("overdose", "overdoze", "birthday"))
    assert len(right & wrong) > 5 * len(right & other)


def test_rows_have_length_one_and_the_sums_are_their_products():
    texts = ["i took the pills", "i took the bus", "the bus the bus the bus"]
    rows, rarity = matrix(texts)
    assert rows.shape == (3, SIZE)
    assert np.asarray(rows.multiply(rows).sum(1)).ravel() == pytest.approx([1, 1, 1], abs=1e-5)
    weights = np.linspace(-1, 1, SIZE, dtype=np.float32)
    assert sums(texts, rarity, weights) == pytest.approx(rows @ weights, abs=1e-5)


def test_nothing_and_far_too_much_are_answered():
    assert sums([""], np.ones(SIZE), np.ones(SIZE)) == pytest.approx([0])
    assert len(list(grams("a " * 10 * MOST_WORDS))) < 10 * MOST_WORDS
