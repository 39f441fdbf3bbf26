"""From a text to the tokens that published figures count.

`nltk-3.9` is the tokenizer of the whole field: lower-case, cut into sentences by Punkt (`punkt`), cut
each sentence into words by NLTK's Treebank rules. The rules are frozen as in NLTK 3.9.1; while the
papers were written (3.6.6 to 3.8) they differed only on tabs and other odd spaces. NLTK 3.10 (2026)
splits `'word` and dashes differently, in about one message of two thousand: what `pip` installed must
not decide a figure.

Rules act on a whole sentence, yet nearly all see only one space-separated chunk. So a chunk is cut once
and remembered, and only what touches the end of a sentence (where a period becomes a token) is cut with
it. That makes it tens of times faster than running two dozen expressions over every sentence, with
equal tokens: `tests/evaluate/test_text_tokenise.py` compares with NLTK.

What it deliberately does not know: other tokenizers (a model's own), languages other than English.
"""

import re
from collections.abc import Iterable
from functools import lru_cache

from hearten.evaluate.text.punkt import sentences

NAME = "nltk-3.9"

Rule = tuple[re.Pattern[str], str]

_CLOSERS = "])}>\"'»”’"
"""Characters that may stand between the last period of a sentence and its end."""

_OPENING_QUOTES: tuple[Rule, ...] = (
    (re.compile(r"[«“‘„]|`+"), r" \g<0> "),
    (re.compile(r'^"'), "``"),
    (re.compile(r"``"), r" \g<0> "),
    (re.compile(r"([ (\[{<])(?:\"|'{2})"), r"\1 `` "),
    (re.compile(r"'(?!re|ve|ll|m|t|s|d|n)(\w)\b", re.IGNORECASE), r"' \1"),
)
_PUNCTUATION: tuple[Rule, ...] = (
    (re.compile(rf"([^.])\.([{re.escape(_CLOSERS)} ]*+)\s*$"), r"\1 . \2 "),
    (re.compile(r"([:,])(\D)"), r" \1 \2"),
    (re.compile(r"[:,]$"), r" \g<0> "),
    (re.compile(r"\.{2,}"), r" \g<0> "),
    (re.compile(r"[;@#$%&?!]"), r" \g<0> "),
    (re.compile(r"([^'])' "), r"\1 ' "),
    (re.compile(r"[*\]\[(){}<>]"), r" \g<0> "),
    (re.compile(r"--"), r" -- "),
)
_CLOSING_QUOTES: tuple[Rule, ...] = (
    (re.compile(r"^|$"), " "),
    (re.compile(r"[»”’]"), r" \g<0> "),
    (re.compile(r"''|\""), " '' "),
    (re.compile(r"\s+"), " "),
)
_CLITICS: tuple[Rule, ...] = (
    (re.compile(r"([^' ])('[smd]|') ", re.IGNORECASE), r"\1 \2 "),
    (re.compile(r"([^' ])('ll|'LL|'re|'RE|'ve|'VE|n't|N'T) "), r"\1 \2 "),
    (re.compile(r"\b(can)(not)\b", re.IGNORECASE), r" \1 \2 "),
    (re.compile(r"\b(d)('ye)\b", re.IGNORECASE), r" \1 \2 "),
    (re.compile(r"\b(gim|lem)(me)\b", re.IGNORECASE), r" \1 \2 "),
    (re.compile(r"\b(gon)(na)\b", re.IGNORECASE), r" \1 \2 "),
    (re.compile(r"\b(got)(ta)\b", re.IGNORECASE), r" \1 \2 "),
    (re.compile(r"\b(more)('n)\b", re.IGNORECASE), r" \1 \2 "),
    (re.compile(r"\b(wan)(na)(?=\s)", re.IGNORECASE), r" \1 \2 "),
    (re.compile(r" ('t)(is|was)\b", re.IGNORECASE), r" \1 \2 "),
)
_RULES = _OPENING_QUOTES + _PUNCTUATION + _CLOSING_QUOTES + _CLITICS
"""In the order they apply; each sees what the ones before it made."""

_RUN_TOGETHER = frozenset({"cannot", "gimme", "lemme", "gonna", "gotta", "wanna"})
"""The only words of letters alone that are cut."""

_ODD_SPACE = re.compile(r"[^\S ]")
_SPACES = re.compile(r" {2,}")


def tokenise(text: str) -> list[str]:
    r"""The lower-cased words of a text, as NLTK 3.9's `word_tokenize` gives them.

    >>> tokenise("I'm OK. You?  That can't be \"wrong\"...")
    ['i', "'m", 'ok.', 'you', '?', 'that', 'ca', "n't", 'be', '``', 'wrong', "''", '...']
    """
    tokens: list[str] = []
    for sentence in sentences(text.lower()):
        tokens += words(sentence)
    return tokens


def tokenise_all(texts: Iterable[str]) -> list[list[str]]:
    """`tokenise` over many texts; a text met again is not cut again."""
    known: dict[str, list[str]] = {}
    rows = []
    for text in texts:
        tokens = known.get(text)
        if tokens is None:
            tokens = known[text] = tokenise(text)
        rows.append(tokens)
    return rows


def words(sentence: str) -> list[str]:
    """The words of one sentence under the Treebank rules."""
    if _ODD_SPACE.search(sentence):
        return list(treebank(_SPACES.sub(" ", sentence)))
    chunks = [chunk for chunk in sentence.split(" ") if chunk]
    if not chunks:
        return []
    before = "a " if sentence.startswith(" ") else ""  # a quote after a space opens, also in first place
    tail = _tail_start(chunks)
    if tail == 0:
        return list(_end(before, " ".join(chunks)))
    tokens = [*_inside(chunks[0], before)]
    for chunk in chunks[1:tail]:
        tokens += _inside(chunk, "a ")
    tokens += _end("a ", " ".join(chunks[tail:]))
    return tokens


def _tail_start(chunks: list[str]) -> int:
    """Index of the chunk that holds the sentence's last word: closing quotes and brackets may follow it."""
    position = len(chunks) - 1
    while position > 0 and not chunks[position].strip(_CLOSERS):
        position -= 1
    return position


@lru_cache(maxsize=1 << 17)
def _inside(chunk: str, before: str) -> tuple[str, ...]:
    """Words of a chunk inside a sentence; neighbours `a` keep rules for the sentence's ends from acting."""
    if chunk.isalpha() and chunk not in _RUN_TOGETHER:
        return (chunk,)
    return treebank(f"{before}{chunk} a")[bool(before) : -1]


@lru_cache(maxsize=1 << 16)
def _end(before: str, rest: str) -> tuple[str, ...]:
    """Words of the end of a sentence, after `a ` where it has anything before it."""
    if rest[:-1].isalpha() and rest[-1] in ".?!" and rest[:-1] not in _RUN_TOGETHER:
        return (rest[:-1], rest[-1])
    return treebank(before + rest)[bool(before) :]


def treebank(sentence: str) -> tuple[str, ...]:
    """Apply every rule to a whole sentence: the definition that the quick way must equal."""
    for pattern, replacement in _RULES:
        sentence = pattern.sub(replacement, sentence)
    return tuple(sentence.split())
