import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hearten.safety.normal import normalise, one_slip


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("I want to k1ll mys3lf", "i want to kill myself"),
        ("su*cide", "suicide"),
        ("k i l l m y s e l f", "kill myself"),
        ("d.i.e", "die"),
        ("I wаnt tо diе", "i want to die"),  # Cyrillic a, o, e
        ("k\u200bill my\u00adself", "kill myself"),
        ("ｋｉｌｌ", "kill"),
        ("𝓴𝓲𝓵𝓵", "kill"),
        ("soooo dieeee", "so die"),
        ("sucidial", "suicidal"),
        ("ovredose", "overdose"),
        ("wanna kms tn", "want to kill myself tonight"),
        ("I can’t", "i can't"),
        ("kíll", "kill"),
    ],
)
def test_disguises_and_slang_are_undone(written, meant):
    assert normalise(written) == meant


@pytest.mark.parametrize("plain", ["b4 r2d2 £9 2nd 11am", "a b c d", "i a m o k", "3*4=12", "the c++ job"])
def test_what_hides_no_risk_word_stays(plain):
    assert normalise(plain) == plain


def test_one_slip_is_one_edit_or_a_swap():
    assert one_slip("suicde", "suicide")
    assert one_slip("suiicide", "suicide")
    assert one_slip("suicied", "suicide")
    assert not one_slip("sulcode", "suicide")


@given(st.text(max_size=400))
def test_any_text_can_be_read(text):
    plain = normalise(text)
    assert "\x00" not in plain
    assert plain == plain.strip()


@pytest.mark.parametrize("text", ["x" * 100_000, "a b " * 25_000, "*" * 100_000, "1 " * 50_000])
def test_a_very_long_line_takes_no_time(text):
    start = time.perf_counter()
    normalise(text)
    assert time.perf_counter() - start < 20
