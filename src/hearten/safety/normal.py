"""What a message says under its spelling: one plain lower-case text for rules and classifier alike.

People in distress mistype, text in slang, and hide words from filters (`k1ll`, `su*cide`, `k i l l`,
letters of other scripts, invisible characters). `normalise` undoes that, word by word, from the table
`tables/normal.toml`. A disguise is only undone when what comes out is a word that matters to a screen, so
`b4`, `r2d2` and `£9` stay as they are. It decides nothing about risk.
"""

import re
import tomllib
import unicodedata
from functools import cache, lru_cache
from importlib.resources import files
from typing import Any

MAX_CHARACTERS = 120_000
"""What is read of one message; far more than anybody types, and enough for a pasted diary."""

WORD = re.compile(r"[a-z0-9@$!|*#'’_]*[a-z@$*#][a-z0-9@$|*#'’_]*(?:![a-z0-9]+)*", re.ASCII)
SPACED = re.compile(r"(?<![a-z0-9'])(?:[a-z0-9@$!*][ .\-_*~/|]{1,3}){2,60}[a-z0-9@$!*](?![a-z0-9'])")
RUN = re.compile(r"([a-z])\1{2,}")
LONG = 4_000
"""Characters from which repeated sentences are read once."""
SENTENCES = re.compile(r"(?<=[.!?\n])")
SPACES = re.compile(r"[ \t]+")


@cache
def table(name: str) -> dict[str, Any]:
    """A table of `safety/tables`."""
    return tomllib.loads((files("hearten.safety") / "tables" / f"{name}.toml").read_text(encoding="utf-8"))


@lru_cache(maxsize=4096)
def normalise(text: str) -> str:
    """Lower case, no accents, no invisible or look-alike characters, slang and disguised words written out.

    Line breaks stay, because they end sentences.
    """
    text = _plain_letters(_condensed(text[:MAX_CHARACTERS]))
    text = SPACED.sub(lambda match: _unspace(match.group()), text)
    for phrase, meaning in table("normal")["phrases"].items():
        if phrase in text:
            text = text.replace(phrase, meaning)
    text = WORD.sub(lambda match: _word(match.group()), text)
    return SPACES.sub(" ", text).strip()


def _condensed(text: str) -> str:
    """A very long text without its repeated sentences."""
    return text if len(text) < LONG else "".join(dict.fromkeys(SENTENCES.split(text)))


def _plain_letters(text: str) -> str:
    text = unicodedata.normalize("NFKD", text).casefold()
    text = text.translate(_characters(latin=mostly_latin(text)))
    kept = (
        " " if (kind := unicodedata.category(c)) == "Cc" and c != "\n" else "" if kind in ("Mn", "Cf") else c
        for c in text
    )
    return "".join(kept)


def mostly_latin(text: str) -> bool:
    """Whether at least half of the letters are Latin; in other scripts look-alikes are what they are."""
    letters = [c for c in text if c.isalpha()]
    return 2 * sum(c.isascii() for c in letters) >= len(letters)


@cache
def _characters(*, latin: bool) -> dict[int, str]:
    signs = {ord(sign): f" {word} " for word, row in table("normal")["signs"].items() for sign in row}
    alike = {
        ord(sign): letter for letter, row in table("normal")["homoglyphs"].items() for sign in row if latin
    }
    return {**signs, **alike, ord("’"): "'", ord("‘"): "'", ord("`"): "'", ord("“"): '"', ord("”"): '"'}


@lru_cache(maxsize=65536)
def _word(token: str) -> str:
    """One token, its disguise undone if it hides a risk word, else its slang written out."""
    words, tail = table("normal")["words"], ""
    if token.endswith("!"):
        token, tail = token.rstrip("!"), "!"
    bare = token.strip("*_")
    if bare in words:
        return str(words[bare]) + tail
    return (_unmask(token) or _unleet(bare) or _unrun(bare) or _unslip(bare) or bare) + tail


def _unmask(token: str) -> str:
    """`su*cide` → suicide: marks stand for one or two letters each; at least half the letters must show."""
    marks, letters = sum(token.count(mark) for mark in "*#"), sum(c.isalpha() for c in token)
    if not marks or letters < 2 or token.strip("*#").isalpha():
        return ""
    pattern = re.compile("".join("[a-z]{1,2}" if c in "*#" else re.escape(c) for c in token))
    return next((word for word in _risk() if pattern.fullmatch(word) and letters * 2 >= len(word) - 1), "")


def _unleet(token: str) -> str:
    """`k1ll` → kill; `1` may be an i or an l."""
    leet = table("normal")["leet"]
    if token.isalpha() or not any(c in leet for c in token):
        return ""
    plain = "".join(leet.get(c, c) for c in token)
    tries = (plain, "".join("l" if c == "1" else leet.get(c, c) for c in token))
    return next((word for word in tries if word in _risk() or word in _slang()), "")


def _unrun(token: str) -> str:
    """`dieeee` → die, `killll` → kill, `soooo` → so."""
    if not RUN.search(token):
        return ""
    twice, once = RUN.sub(r"\1\1", token), RUN.sub(r"\1", token)
    chosen = twice if twice in _risk() else once
    return str(table("normal")["words"].get(chosen, chosen))


def _unslip(token: str) -> str:
    """A long risk word with one letter missing, doubled, swapped or wrong."""
    if len(token) < 6 or not token.isalpha() or token in _risk():
        return ""
    near = (word for word in _risk() if len(word) >= 7 and abs(len(word) - len(token)) <= 1)
    return next((word for word in near if word[0] == token[0] and one_slip(token, word)), "")


def one_slip(a: str, b: str) -> bool:
    """Whether one insertion, deletion, substitution or swap of neighbours turns `a` into `b`."""
    start = next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
    a, b = a[start:], b[start:]
    if len(a) == len(b):
        return a[1:] == b[1:] or (a[:2] == b[1::-1] and a[2:] == b[2:])
    return a[1:] == b or a == b[1:]


def _unspace(run: str) -> str:
    """`k i l l  m y s e l f` → kill myself, when it can be read as words one of which is a risk word."""
    leet = table("normal")["leet"]
    joined = "".join(leet.get(c, c) for c in run if c.isalnum() or c in "@$!*")
    words = _segment(joined) if joined.isalpha() else []
    return " ".join(words) if any(len(word) > 2 and word in _risk() for word in words) else run


@lru_cache(maxsize=4096)
def _segment(joined: str) -> list[str]:
    """Split into known words, longest first; empty when it cannot be done."""
    known = _parts()
    best: list[list[str] | None] = [[], *([None] * len(joined))]
    for end in range(1, len(joined) + 1):
        for word in known:
            before = best[end - len(word)] if len(word) <= end else None
            if before is not None and joined[end - len(word) : end] == word:
                best[end] = [*before, word]
                break
    return best[-1] or []


@cache
def _parts() -> list[str]:
    return sorted({*_risk(), *table("normal")["risk"]["glue"]}, key=len, reverse=True)


@cache
def _risk() -> frozenset[str]:
    return frozenset(table("normal")["risk"]["words"])


@cache
def _slang() -> frozenset[str]:
    return frozenset(table("normal")["words"])
