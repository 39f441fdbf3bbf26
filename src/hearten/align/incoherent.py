"""Replies that no longer fit their context (Muffin, section 5.2): a reply from elsewhere, or an altered one.

Each original gives three items: itself (fits), the reply of another conversation (does not), and an
altered copy (does not). The paper let GPT-4 alter; any `ChatModel` can here, and without one three rules do:
a telling word is replaced by one of another problem's conversations, a word by its opposite, or a verb is
negated. The rule that made an item is its `source`, so that a rater can be measured on each.
"""

import math
import random
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from importlib.resources import files

from hearten.align.records import FacetItem
from hearten.align.sources import tables
from hearten.core.chat import ChatModel, Message, Sampling
from hearten.core.conversation import Turn
from hearten.core.rater import facet
from hearten.core.records import Example

WORD = re.compile(r"[A-Za-z][A-Za-z']*")
TELLING = 0.02
"""A word is telling when at most this share of replies has it; shorter than five letters it never is."""
SHORTEST = 4
"""Words of the shortest reply that is used: greetings fit anywhere."""


class Editor:
    """Alters replies by rule, knowing which words are telling of which problem."""

    def __init__(self, examples: Sequence[Example], chance: random.Random) -> None:
        self._chance = chance
        counts: Counter[str] = Counter()
        by_problem: defaultdict[str, set[str]] = defaultdict(set)
        for example in examples:
            said = {word.casefold() for word in WORD.findall(example.response)}
            counts.update(said)
            by_problem[str(example.profile.problem)] |= said
        most = max(3, TELLING * len(examples))
        self._telling = {w for w, n in counts.items() if 3 <= n <= most and len(w) > 4}
        self._words = {name: sorted(said & self._telling) for name, said in sorted(by_problem.items())}
        self._rarity = {word: math.log(len(examples) / counts[word]) for word in self._telling}
        self._pairs = {
            "edit-opposite": _both_ways(tables()["opposites"]),
            "edit-negation": _both_ways(tables()["negations"]),
        }

    def edit(self, example: Example) -> tuple[str, str] | None:
        """(altered reply, name of the rule), or None where no rule applies."""
        rules = ["edit-topic", *self._pairs]
        self._chance.shuffle(rules)
        for rule in rules:
            found = (
                self._topic(example) if rule == "edit-topic" else swapped(example.response, self._pairs[rule])
            )
            if found is not None and found != example.response:
                return found, rule
        return None

    def _topic(self, example: Example) -> str | None:
        """The two rarest telling words replaced by words of another problem."""
        mine = str(example.profile.problem)
        others = [name for name, words in self._words.items() if name != mine and words]
        said = {word.casefold() for word in WORD.findall(example.response)} & self._telling
        if not others or not said:
            return None
        words = self._words[self._chance.choice(others)]
        rarest = sorted(said, key=lambda word: (-self._rarity[word], word))[:2]
        new = {word: self._chance.choice(words) for word in rarest}
        return WORD.sub(lambda match: new.get(match[0].casefold(), match[0]), example.response)


def _both_ways(pairs: Sequence[tuple[str, str]]) -> dict[str, str]:
    back = {opposite: word for word, opposite in reversed(pairs)}
    return back | dict(reversed(pairs))


def swapped(text: str, table: dict[str, str]) -> str | None:
    """`text` with the first word (or two) that the table knows replaced, or None where it knows none."""
    longest_first = sorted(table, key=lambda one: (-len(one), one))
    match = re.search(rf"\b(?:{'|'.join(map(re.escape, longest_first))})\b", text, re.IGNORECASE)
    if match is None:
        return None
    new = table[match[0].casefold()]
    new = new.capitalize() if match[0][0].isupper() else new
    return text[: match.start()] + new + text[match.end() :]


def by_model(model: ChatModel, example: Example) -> str:
    """The reply as a chat model altered it."""
    asked = (files("hearten.align") / "prompts" / "edit.md").read_text(encoding="utf-8")
    turns = example.context[-facet("coherence").turns :]
    context = "\n".join(f"{turn.speaker.value}: {turn.text}" for turn in turns)
    message = Message(role="user", content=asked.format(context=context, reply=example.response).strip())
    return model.complete([message], sampling=Sampling(temperature=0.7, max_tokens=80))[0].strip()


def coherence(
    examples: Sequence[Example],
    pairs: int,
    *,
    seed: int,
    skipped: Counter[str],
    model: ChatModel | None = None,
) -> Iterator[FacetItem]:
    """Three items for each of `pairs` originals drawn from `examples`.

    Args:
        examples: supporter turns to draw from, of one part only.
        pairs: how many originals.
        seed: of the draw and the edits.
        skipped: counts what was left out, by reason.
        model: alters replies instead of the rules.
    """
    chance = random.Random(f"coherence/{seed}")
    usable = [one for one in examples if len(WORD.findall(one.response)) >= SHORTEST and one.context]
    skipped["coherence: reply too short"] += len(examples) - len(usable)
    editor = Editor(examples, chance)
    for example in chance.sample(usable, min(pairs, len(usable))):
        elsewhere = [one for one in usable if one.conversation_id != example.conversation_id]
        yield _item(example, example.response, "original", fits=True)
        if elsewhere:
            yield _item(example, chance.choice(elsewhere).response, "other-reply", fits=False)
        edited = (by_model(model, example), "edit-model") if model else editor.edit(example)
        if edited is None or not edited[0] or edited[0] == example.response:
            skipped["coherence: nothing to alter"] += 1
        else:
            yield _item(example, *edited, fits=False)


def _item(example: Example, reply: str, source: str, *, fits: bool) -> FacetItem:
    chosen = facet("coherence")
    return FacetItem(
        id=f"{example.conversation_id}-{example.index}-{source}",
        facet="coherence",
        context=tuple(
            Turn(speaker=turn.speaker, text=turn.text) for turn in example.context[-chosen.turns :]
        ),
        reply=reply,
        label=chosen.classes[0 if fits else 1],
        source=source,
        group=example.conversation_id,
    )
