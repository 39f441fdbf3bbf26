"""What a reply must not say to a person: methods, diagnosis, medication advice, a human life, promises,
dependency, agreement with harm, leading questions, no-suicide contracts, an end of the conversation.

`inspect(text)` answers a verdict with kinds and the words seen. Each kind has a policy in
`tables/output.toml`: the offending sentence is dropped, or the whole reply replaced. `Verdict.safe` is
what may be shown; it is empty when nothing was left. The screen knows nothing of the conversation, so
that it can be tested sentence by sentence.

A reply that is still growing is shown a whole sentence at a time. So that nobody waits for the first one,
`safe_start` answers which of its first words no pattern could still reach.
"""

import re
from functools import cache

import regex

from hearten.core.conversation import Record
from hearten.safety.normal import normalise, table

SENTENCE = re.compile(r"(?<=[.!?…])\s+|\n+")
QUOTING = re.compile(
    r"\b(?:you (?:said|told|mentioned|wrote|feel|felt|think|thought)|told you|he said|she said|they said)\b"
)
DEFERRING = re.compile(
    r"\b(?:ask|asked|talk|talking|speak|speaking|check|discuss|tell|call|with|by)\b.*\b(?:doctor|gp|pharmacist|psychiatrist|prescri\w+|nurse)\b"
)
BY_OTHERS = ("promise", "sycophancy", "dependency", "leading", "contract")
"""Kinds that are not the supporter's own words when the sentence reports what somebody said."""


class Trespass(Record):
    """One thing a reply must not say."""

    kind: str
    words: str
    sentence: int
    red: bool


class Verdict(Record):
    """The output screen's answer."""

    found: tuple[Trespass, ...]
    safe: str
    """The reply as it may be shown; empty when it has to be replaced."""

    @property
    def clean(self) -> bool:
        """Nothing was found."""
        return not self.found

    @property
    def kinds(self) -> tuple[str, ...]:
        """What was found, without repetition."""
        return tuple(dict.fromkeys(trespass.kind for trespass in self.found))


def inspect(text: str) -> Verdict:
    """Look at every sentence of a reply, and at the reply with its disguises undone."""
    sentences = [part for part in SENTENCE.split(text.strip()) if part.strip()]
    found = [
        trespass for number, sentence in enumerate(sentences) for trespass in _trespasses(sentence, number)
    ]
    if not found:
        return Verdict(found=(), safe=text)
    if any(table("output")[trespass.kind]["policy"] == "replace" for trespass in found):
        return Verdict(found=tuple(found), safe="")
    bad = {trespass.sentence for trespass in found}
    kept = " ".join(sentence for number, sentence in enumerate(sentences) if number not in bad)
    return Verdict(found=tuple(found), safe=kept if kept.count(" ") >= 2 else "")


def safe_start(unfinished: str) -> str:
    """The words at the start of a growing sentence that can be shown whatever follows.

    A word is held back while it stands in something forbidden, or in what could become so. The last word may
    itself be unfinished (and half a word may read as slang for another), so it is not read.
    """
    words = unfinished.split()[:-1]
    plain = f"{normalise(' '.join(words))} "
    reached = _any_kind().search(plain, partial=True)
    limit = len(plain) if reached is None else reached.start()
    for count in range(len(words), 0, -1):
        shown = " ".join(words[:count])
        before = normalise(shown)
        if len(before) <= limit and plain.startswith(before):
            return shown
    return ""


def fallback(turn: int, before: str = "") -> str:
    """A reply for when none could be kept; not the one that stands in `before`."""
    texts: list[str] = table("output")["fallback"]["texts"]
    fresh = [text for text in texts if text not in before] or texts
    return fresh[turn % len(fresh)]


def _trespasses(sentence: str, number: int) -> list[Trespass]:
    plain = normalise(sentence)
    return [
        Trespass(kind=kind, words=match.group().strip(), sentence=number, red=red)
        for kind, red, patterns in _kinds()
        if not (kind in BY_OTHERS and QUOTING.search(plain))
        if not (kind == "medication" and DEFERRING.search(plain))
        if (match := next((m for pattern in patterns if (m := pattern.search(plain))), None))
    ]


@cache
def _kinds() -> tuple[tuple[str, bool, tuple[re.Pattern[str], ...]], ...]:
    return tuple(
        (kind, row["red"], tuple(re.compile(pattern) for pattern in row["patterns"]))
        for kind, row in table("output").items()
        if "patterns" in row
    )


@cache
def _any_kind() -> regex.Pattern[str]:
    """All patterns as one; `regex` can tell that a match has begun and is not over."""
    patterns = [pattern.pattern for _, _, row in _kinds() for pattern in row]
    return regex.compile("|".join(f"(?:{pattern})" for pattern in patterns))
