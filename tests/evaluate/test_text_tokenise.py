"""Our tokens are NLTK's: against a golden table, and against the NLTK at hand where it can be asked."""

import gzip
import json
import os
import re
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hearten.core.places import find_corpus
from hearten.evaluate.text.punkt import knowledge, sentences
from hearten.evaluate.text.tokenise import tokenise, treebank, words

GOLDEN = Path(__file__).parents[1] / "golden" / "tokens_nltk_3_9_1.tsv"
ROWS = [line.split("\t") for line in GOLDEN.read_text(encoding="utf-8").splitlines()[2:]]
PIECES = [
    *"abcix059 .?!'\"`,:;-()[]{}<>*@#$%&…/_é😀",
    "...",
    "--",
    "''",
    "``",
    "  ",
    "\t",
    "\n",
    "\u2028",
    "\xa0",
]
PIECES += [
    "mr.",
    "u.s.",
    "ok.",
    "i.",
    "5.",
    "a.m.",
    "b. levine",
    "administrators",
    "n't",
    "'s",
    "'ll",
    "can't",
]
PIECES += [
    "cannot",
    "gonna ",
    "wanna ",
    "'tis",
    "more'n",
    ". . .",
    " the ",
    "so ",
    "yes. ",
    "no! ",
    '." ',
    ".) ",
]
TEXTS = st.lists(st.sampled_from(PIECES), max_size=16).map("".join)
CHANGED_IN_3_10 = re.compile(r"'\w|[\u2012-\u2015\u2018-\u201d«»]")
"""Where NLTK 3.10 may differ from 3.9.1: a quote before a word, dashes, curly quotes after a period."""


@pytest.mark.parametrize(("text", "expected"), ROWS, ids=[row[0] for row in ROWS])
def test_golden_table(text, expected):
    assert tokenise(text.replace("\\t", "\t")) == expected.split(" ")


def test_lower_cases_and_keeps_nothing_of_empty_texts():
    assert tokenise("I'M HERE") == ["i", "'m", "here"]
    assert tokenise("") == tokenise("  \t ") == []


@given(TEXTS)
@settings(max_examples=400, deadline=None)
@example(" ''i./")
@example("ok.'t islot? ")
def test_cutting_by_chunks_equals_the_rules_on_the_whole_sentence(text):
    for sentence in sentences(text):
        assert words(sentence) == list(treebank(sentence))


def nltk_punkt():
    """NLTK's Punkt with what our table says, which needs none of NLTK's data."""
    from nltk.tokenize.punkt import PunktParameters, PunktSentenceTokenizer

    parameters = PunktParameters()
    parameters.abbrev_types = set(knowledge().abbreviations)
    parameters.collocations = set(knowledge().collocations)
    parameters.ortho_context.update(
        dict.fromkeys(knowledge().starters, 1 << 4)
    )  # seen lower-case, at a start
    return PunktSentenceTokenizer(parameters)


@given(TEXTS)
@settings(max_examples=400, deadline=None)
@example("a. b. c")
@example("(it is over.) 5. administrators said. b. levine")
def test_sentences_are_those_of_nltk(text):
    assert sentences(text) == nltk_punkt().tokenize(text)


@given(TEXTS.filter(lambda text: not CHANGED_IN_3_10.search(text)))
@settings(max_examples=400, deadline=None)
def test_words_are_those_of_nltk(text):
    from nltk.tokenize import NLTKWordTokenizer

    assert list(treebank(text)) == NLTKWordTokenizer().tokenize(text)


def punkt_folder():
    """English punkt_tab of an NLTK data folder, named by HEARTEN_PUNKT or where NLTK looks."""
    if named := os.environ.get("HEARTEN_PUNKT"):
        return Path(named)
    import nltk

    try:
        return Path(str(nltk.data.find("tokenizers/punkt_tab/english/")))
    except (LookupError, OSError):
        return None


def test_the_table_is_what_punkt_tab_holds():
    folder = punkt_folder()
    if folder is None:
        pytest.skip("no punkt_tab here; HEARTEN_PUNKT names its english folder")

    def lines(name):
        return [line for line in (folder / name).read_text(encoding="utf-8").split("\n") if line]

    contexts = dict(line.split("\t") for line in lines("ortho_context.tab"))
    starters = {word for word, flags in contexts.items() if int(flags) & 16 and not int(flags) & 14}
    assert set(lines("abbrev_types.txt")) == knowledge().abbreviations
    assert {tuple(line.split("\t")) for line in lines("collocations.tab")} == knowledge().collocations
    assert starters == knowledge().starters


@pytest.mark.slow
def test_equal_to_nltk_on_real_messages():
    corpus = find_corpus("esconv/ESConv.json.gz")
    if corpus is None:
        pytest.skip("the real corpus is not here (HEARTEN_DATA)")
    from nltk.tokenize import NLTKWordTokenizer

    with gzip.open(corpus, "rt", encoding="utf-8") as stream:
        texts = [turn["content"].strip().lower() for talk in json.load(stream) for turn in talk["dialog"]]
    punkt, treebank_words = nltk_punkt(), NLTKWordTokenizer()
    for text in texts[::5]:
        if not CHANGED_IN_3_10.search(text):
            assert tokenise(text) == [w for s in punkt.tokenize(text) for w in treebank_words.tokenize(s)]


@pytest.mark.parametrize(
    "text",
    [
        ". " * 20_000,
        "word " * 10_000,
        "a\t" * 20_000,
        "!" * 20_000,
        "'" * 20_000,
        "." * 9_000 + " " * 9_000 + "x",
    ],
)
def test_hostile_lines_take_no_time(text):
    import time

    started = time.monotonic()
    tokenise(text)
    assert time.monotonic() - started < 5
