"""A chat model as a rater: asked one facet at a time, its answer read strictly.

The instruction is the one a trained rater learned. The answer must be a class name; anything else leaves the
verdict open (`label` None) with the raw words kept: unscored is never zero.
"""

import re
from collections.abc import Sequence

from hearten.core.chat import ChatModel, Message, Sampling
from hearten.core.conversation import Turn
from hearten.core.rater import Facet, facet, facets
from hearten.core.records import FacetVerdict
from hearten.models.raters.language import NAMES, instruction


class AskedRater:
    """Asks a chat model for the class of every reply on every facet."""

    def __init__(self, model: ChatModel, names: Sequence[str] = ()) -> None:
        self.name, self._model = f"asked:{model.name}", model
        self.facets = tuple(names) or tuple(facets())
        self._sampling = Sampling(temperature=0.0, max_tokens=12)

    def rate(self, context: Sequence[Turn], replies: Sequence[str]) -> list[tuple[FacetVerdict, ...]]:
        """For every reply, one verdict per facet; a chat model gives no probabilities."""
        return [tuple(self._one(facet(name), context, reply) for name in self.facets) for reply in replies]

    def _one(self, chosen: Facet, context: Sequence[Turn], reply: str) -> FacetVerdict:
        shown = context[-max(1, chosen.turns) :]
        said = "".join(f"{NAMES[turn.speaker]}: {turn.text}\n" for turn in shown)
        asked = f"{instruction(chosen.name)}{said}Reply: {reply}\n\nAnswer with one of the options alone."
        raw = self._model.complete([Message(role="user", content=asked)], sampling=self._sampling)[0]
        label = read_class(chosen, raw)
        helpful = None if label is None else chosen.helpful(label)
        return FacetVerdict(facet=chosen.name, label=label, helpful=helpful, raw=raw)


def read_class(chosen: Facet, raw: str) -> str | None:
    """The class an answer names; None where it names none or several."""
    text = " ".join(re.findall(r"[a-z-]+", raw.casefold()))
    for name in chosen.classes:
        if text == name.casefold():
            return name
    named = [
        name
        for name in chosen.classes
        if re.search(rf"(?<![a-z-]){re.escape(name.casefold())}(?![a-z-])", text)
    ]
    return named[0] if len(named) == 1 else None
