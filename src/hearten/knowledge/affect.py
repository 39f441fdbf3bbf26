"""Valence, arousal and dominance of a text, from a lexicon that the user supplies.

No such lexicon may be shipped (NRC-VAD, which MultiESC uses, is free for research on request). Any table
of `word, valence, arousal, dominance` a line, separated by tabs or commas, with or without a first line
of names, will do. A text's values are the means over its words that the lexicon knows; a text of which it
knows none has no values, which is not the same as neutral.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from hearten.core.errors import Failure
from hearten.core.jsonl import open_text

Values = tuple[float, float, float]
_WORD = re.compile(r"[a-z]+(?:['’][a-z]+)?")
NEGATIONS = frozenset({"not", "no", "never", "cannot", "can't", "don't", "didn't", "isn't", "wasn't"})
MIDDLE = 0.5
"""Neutral on the scale of 0 to 1."""


def read_lexicon(file: Path) -> dict[str, Values]:
    """Word → (valence, arousal, dominance), in the file's own scale.

    Raises:
        Failure: a line is not a word and three numbers, or the file has none.
    """
    found: dict[str, Values] = {}
    with open_text(file) as stream:
        for number, line in enumerate(stream, 1):
            word, *rest = re.split(r"[\t,]", line.strip())
            try:
                valence, arousal, dominance = (float(value) for value in rest)
            except ValueError:
                if number > 1 and line.strip():
                    what = "not a word and three numbers"
                    raise Failure(what, where=f"{file}, line {number}") from None
                continue  # the names of the columns, or an empty line
            found[word.lower()] = (valence, arousal, dominance)
    if not found:
        fix = "word, valence, arousal, dominance a line"
        raise Failure("the lexicon has no words", where=str(file), fix=fix)
    return found


def affect(texts: Sequence[str], lexicon: Mapping[str, Values]) -> list[list[float] | None]:
    """[valence, arousal, dominance] of each text, None where no word is known.

    A word after a negation has its valence mirrored at the middle of the scale (0.5): "not happy" is low.
    """
    return [_mean(text, lexicon) for text in texts]


def _mean(text: str, lexicon: Mapping[str, Values]) -> list[float] | None:
    rows: list[Values] = []
    words = [word.replace("’", "'") for word in _WORD.findall(text.lower())]
    for place, word in enumerate(words):
        if word in NEGATIONS or word not in lexicon:
            continue
        valence, arousal, dominance = lexicon[word]
        negated = bool(NEGATIONS & set(words[max(0, place - 2) : place]))
        rows.append((2 * MIDDLE - valence if negated else valence, arousal, dominance))
    if not rows:
        return None
    return [round(sum(column) / len(rows), 4) for column in zip(*rows, strict=True)]
