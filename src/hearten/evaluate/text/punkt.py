"""Where sentences end, exactly as NLTK's English Punkt decides it on lower-cased text.

Every published figure of this field was computed on text cut by Punkt before it was cut into words, and
the cut shows: a period is a token of its own only at the end of a sentence, so `i am ok. bye` keeps
`ok.` whole ("ok" is an abbreviation to Punkt, learned from Oklahoma) where `i am fine. bye` does not.
Replacing Punkt by a regular expression changes about one response in a hundred.

Punkt (Kiss and Strunk 2006) looks at each possible end together with the word before and the token
after, marks types (abbreviation, ellipsis, plain), then reconsiders pairs with what it learned about
letter case. All recipes here lower-case first, and then nearly everything learned falls away: what can
still act is 156 abbreviations, 37 word pairs and four words. That little is `tables/punkt.toml`, so
there is nothing to download, and a figure does not change with the NLTK that happens to be installed.
The decisions follow NLTK 3.6.6 to 3.9 (2021–2025), with which the published figures were made; equality
with NLTK is tested.

What this module deliberately does not know: letter case. Give it lower-cased text.
"""

import re
import tomllib
from collections.abc import Iterator
from functools import cache, lru_cache
from importlib.resources import files
from itertools import pairwise
from typing import NamedTuple

_NOT_IN_WORD = r"[)\";}\]*:@'({\[?!]"
"""What ends a word even without a space."""

_DASHES_OR_DOTS = r"(?:-{2,}|\.{2,}|(?:\.\s){2,}\.)"
"""Runs that are one token: dashes, and ellipses with or without spaces."""

_POSSIBLE_END = re.compile(rf"[.?!](?=(?P<after>{_NOT_IN_WORD}|\s+(?P<next>\S+)))")
"""A mark that could end a sentence, with what follows it."""

_TOKEN = re.compile(
    rf"{_DASHES_OR_DOTS}"
    r"|(?=[^(\"`{\[:;&#*@)}\]\-,])\S+?"
    rf"(?=\s|$|{_NOT_IN_WORD}|{_DASHES_OR_DOTS}|,(?=$|\s|{_NOT_IN_WORD}|{_DASHES_OR_DOTS}))"
    r"|\S"
)
"""Punkt's own idea of a token, coarser than the Treebank's."""

_CLOSERS_AFTER_END = re.compile(r"[\"')\]}]+?(?:\s+|(?=--)|$)", re.MULTILINE)
"""Quotes and brackets that still belong to the sentence before them."""

_NUMBER = re.compile(r"^-?[.,]?\d[\d,.-]*\.?$")
_INITIAL = re.compile(r"[^\W\d]\.$")
_ELLIPSIS = re.compile(r"\.\.+$")
_PUNCTUATION = frozenset(";:,.!?")


class Knowledge(NamedTuple):
    """What the model learned, as far as it can act on lower-cased text."""

    abbreviations: frozenset[str]
    collocations: frozenset[tuple[str, str]]
    starters: frozenset[str]


@cache
def knowledge() -> Knowledge:
    """The table shipped with hearten."""
    source = files("hearten.evaluate.text").joinpath("tables", "punkt.toml")
    table = tomllib.loads(source.read_text(encoding="utf-8"))
    pairs = frozenset((first, second) for first, second in table["collocations"])
    return Knowledge(frozenset(table["abbreviations"]), pairs, frozenset(table["starters"]))


def sentences(text: str) -> list[str]:
    """Cut lower-cased text into sentences; no sentence is empty.

    >>> sentences("i am ok. bye. really?! yes.")
    ['i am ok. bye.', 'really?!', 'yes.']
    """
    if _POSSIBLE_END.search(text) is None:
        whole = text.rstrip()
        return [whole] if whole else []
    return [text[start:stop] for start, stop in _realigned(text, list(_cuts(text)))]


def _cuts(text: str) -> Iterator[tuple[int, int]]:
    """Spans between sentence ends, before closing quotes are given back to their sentence."""
    start = 0
    for match, context in _contexts(text):
        if ends_sentence(context):
            yield start, match.end()
            start = match.start("next") if match["next"] else match.end()
    yield start, len(text.rstrip())


def _contexts(text: str) -> Iterator[tuple[re.Match[str], str]]:
    """Each possible end with its context: the word before it, the mark, and the token after.

    Of several marks on one word (`what?!`) only the last counts. A word before that starts at the very
    first character searched is taken from the previous word on: NLTK's quirk, kept.
    """
    before_start = before_stop = 0
    previous: re.Match[str] | None = None
    for match in _POSSIBLE_END.finditer(text):
        space = _last_space(text, before_stop, match.start())
        word_start = space + 1 if space > before_stop else before_start
        if previous is not None and before_stop <= word_start:
            yield previous, text[before_start:before_stop] + previous.group() + previous["after"]
        previous, before_start, before_stop = match, word_start, match.start()
    if previous is not None:
        yield previous, text[before_start:before_stop] + previous.group() + previous["after"]


def _last_space(text: str, start: int, stop: int) -> int:
    """Position of the last ASCII white space in `text[start:stop]`, or -1."""
    return max(text.rfind(char, start, stop) for char in " \t\n\r\x0b\x0c")


@lru_cache(maxsize=1 << 16)
def ends_sentence(context: str) -> bool:
    """Whether some token of a context, other than its last, ends a sentence."""
    tokens = [token for line in context.split("\n") for token in _TOKEN.findall(line)]
    return any(_breaks(token, after) for token, after in pairwise(tokens))


def _breaks(token: str, after: str) -> bool:
    """Whether a sentence ends between two tokens."""
    if not _may_end(token):
        return False
    if not token.endswith("."):
        return True
    kind, next_kind = _without_period(_kind(token)), _kind(after)
    if _may_end(after):
        next_kind = _without_period(next_kind)
    if (kind, next_kind) in knowledge().collocations:
        return False
    initial = _INITIAL.match(token) is not None
    if not initial and kind != "##number##":
        return True
    return _could_start(after, next_kind) and not (initial and after[0].isupper())


def _may_end(token: str) -> bool:
    """Whether a token looks like the end of a sentence, by its own type alone."""
    if token in (".", "?", "!"):
        return True
    if not token.endswith(".") or token.endswith("..") or _ELLIPSIS.match(token):
        return False
    stem = token[:-1].lower()
    known = knowledge().abbreviations
    return stem not in known and stem.rsplit("-", 1)[-1] not in known


def _kind(token: str) -> str:
    return _NUMBER.sub("##number##", token.lower())


def _without_period(kind: str) -> str:
    return kind[:-1] if len(kind) > 1 and kind.endswith(".") else kind


def _could_start(token: str, kind: str) -> bool:
    """Whether a token after a number or an initial could start a sentence: lower-case words do not."""
    if token in _PUNCTUATION:
        return False
    return not token[0].islower() or kind in knowledge().starters


def _realigned(text: str, spans: list[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Move closing quotes and brackets after an end back to the sentence they close."""
    moved = 0
    for (start, stop), (next_start, next_stop) in pairwise(spans):
        start += moved
        closers = _CLOSERS_AFTER_END.match(text[next_start:next_stop])
        if closers:
            yield start, next_start + len(closers.group().rstrip())
            moved = closers.end()
            continue
        moved = 0
        if start < stop:
            yield start, stop
    start, stop = spans[-1]
    if start + moved < stop:
        yield start + moved, stop
