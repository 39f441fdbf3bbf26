"""A message as the pieces in which one dangerous clause would still be seen.

A vector of three hundred words hardly moves when one of its clauses says goodbye, so a long message is
also read sentence by sentence, and text without full stops in overlapping windows.
"""

import re

SHORT = 14
"""Words up to which a message is one piece."""
WINDOW, STRIDE = 24, 12
MAX_PIECES = 40
END = re.compile(r"(?<=[.!?;…])\s+|\n+|\s+[-–—]\s+")
RISKY = re.compile(
    r"\b(?:i|i'm|i've|me|my|myself|he|she|him|her)\b.*\b(?:die|dead|kill|hurt|end|gone|goodbye|without|life|alive|live|"
    r"pills|cut|hit|scared|safe|wake|here|stop|anymore|tired|point|sorry|note|plan|tonight|burden)\b"
)


def pieces(text: str) -> list[str]:
    """The whole (normalised) text first, then its sentences or windows; at most 40 in all.

    Of more than 40 the first with risky words are kept, then the others from the beginning.
    """
    if len(text.split(maxsplit=SHORT)) <= SHORT and not END.search(text):
        return [text]
    parts = [window for sentence in END.split(text) for window in _windows(sentence.split())]
    parts = list(dict.fromkeys(part for part in parts if part.count(" ") >= 1 and part != text))
    if len(parts) >= MAX_PIECES:
        parts = sorted(parts, key=lambda part: not RISKY.search(part))[: MAX_PIECES - 1]
    return [text, *parts]


def _windows(words: list[str]) -> list[str]:
    if len(words) <= WINDOW:
        return [" ".join(words)] if words else []
    starts = range(0, len(words) - STRIDE, STRIDE)
    return [" ".join(words[start : start + WINDOW]) for start in starts]
