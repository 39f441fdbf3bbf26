"""One conversation from a model: asked for as a whole, or turn by turn between two roles.

Whatever the model answers, a `Harvest` comes of it: the reading, the requests it took, what they cost.
Replies that cannot be used are asked for again, at most `attempts` times; each attempt has a seed of its own.
Every decision follows from the slot's id and the plan, so that growing a slot again gives the same
conversation.

In mode `turns` the course of a conversation (who speaks, with which strategy) is taken from a seed, and the
model only finds the words: that keeps even a model of 135 million parameters in form.
"""

import random
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import groupby, pairwise
from string import Template
from typing import Any, NamedTuple

from hearten.augment.asking import Asker, Wanted, seed_of
from hearten.augment.checks import BOILERPLATE, SELF
from hearten.augment.plan import Plan
from hearten.augment.prompting import built_in, built_in_table, once_more, whole_conversation
from hearten.augment.reading import Reading, complaints, read
from hearten.augment.records import Provenance, Request
from hearten.core.chat import Author, Message, Sampling
from hearten.core.conversation import Conversation, Role
from hearten.core.runfolder import now
from hearten.core.shingles import words
from hearten.core.taxonomy import Scenario, Strategy, scenarios
from hearten.safety import output

PREFIX = re.compile(
    r"^\W*(?:(?:user|seeker|person|client|ai|assistant|supporter|me|you|response|reply)\s*(?:[(\[][^)\]]*[)\]])?\s*:)?\s*",
    re.IGNORECASE,
)
SENTENCE = re.compile(r"(?<=[.!?…])[\"'”’)]*\s+")
ENDED = re.compile(r"[.!?…][\"'”’)]*$")
MOST_SENTENCES = 3


class Slot(NamedTuple):
    """One conversation to be grown."""

    id: str
    """`r1-00042`: round 1, number 42."""
    round: int
    scenario: str
    exemplars: tuple[Conversation, ...]
    course: Conversation
    """The seed whose course mode `turns` follows."""


@dataclass
class Harvest:
    """What came of one slot."""

    slot: Slot
    reading: Reading = field(default_factory=Reading)
    raw: str = ""
    lines: list[Request] = field(default_factory=list)

    @property
    def cost(self) -> float:
        """Of all its requests."""
        return sum(line.cost for line in self.lines)

    def conversation(self) -> Conversation | None:
        """The record, if the reply could be read."""
        if self.reading.unreadable:
            return None
        return self.reading.conversation(f"grown-{self.slot.id}", self.slot.scenario)

    def provenance(self, plan: Plan, mark: str) -> Provenance:
        """Where it comes from; `mark` is the prompt's."""
        return Provenance(
            model=" and ".join(dict.fromkeys(line.model for line in self.lines)),
            mode=plan.mode,
            prompt=f"{plan.prompt if plan.mode == 'conversation' else 'turns'}@{mark}",
            scenario=self.slot.scenario,
            exemplars=tuple(one.id for one in self.slot.exemplars),
            round=self.slot.round,
            seed=plan.seed,
            requests=tuple(line.id for line in self.lines),
            cost=round(self.cost, 6),
            created=self.lines[-1].time if self.lines else now(),
        )


@dataclass(frozen=True)
class Grower:
    """Grows slots: the plan, and who answers for each role."""

    plan: Plan
    supporter: Asker
    seeker: Asker
    examples: Mapping[str, list[tuple[str, str]]]
    """Strategy → exchanges in which a supporter used it."""
    mark: str
    """Of the prompt's texts, as they were when the run began."""

    def grow(self, slot: Slot) -> Harvest:
        """One conversation.

        Raises:
            Unavailable: the server stayed away. Spent, Stopped: the run should end here.
        """
        return self._turns(slot) if self.plan.mode == "turns" else self._whole(slot)

    def _whole(self, slot: Slot) -> Harvest:
        first = whole_conversation(self.plan, slot.scenario, slot.exemplars)
        found, messages = Harvest(slot, Reading(unreadable="nothing was asked")), first
        for attempt in range(1, self.plan.attempts + 1):
            line = self._ask(self.supporter, slot, f"a{attempt}", messages, self.plan.sampling)
            found.lines.append(line)
            if line.status == "refused":
                found.reading = Reading(unreadable=f"the model refused: {line.reason}")
                return found
            reading = read(line.raw or "")
            if _usable(reading) >= _usable(found.reading):
                found.reading, found.raw = reading, line.raw or ""
            wrong = "; ".join(complaints(reading, self.plan.checks.utterances[0]))
            if not wrong:
                return found
            messages = once_more(first, line.raw or "", wrong) if reading.turns else first
        return found

    def _turns(self, slot: Slot) -> Harvest:
        found = Harvest(slot)
        situation = self._situation(slot, found)
        said: list[dict[str, Any]] = []
        steps = list(course(slot.course))
        for number, (speaker, strategy) in enumerate(steps):
            step = f"s{number + 1:02d}"
            scene = Scene(slot.scenario, situation, last=number >= len(steps) - 2)
            shots = self._shots(slot, step, speaker, strategy)
            messages = turn_messages(scene, shots, said[-self.plan.turns.shown :], speaker, strategy)
            asker = self.supporter if speaker is Role.SUPPORTER else self.seeker
            text = self._turn(slot, found, step, asker, messages, said, speaker)
            if not text:
                break
            said.append(
                {"speaker": speaker, "text": text} | ({"strategy": strategy.name} if strategy else {})
            )
        if len(said) < 2:
            found.reading = Reading(unreadable="the model found no words for it")
        else:
            found.reading = Reading(turns=tuple(said), scene=slot.scenario, situation=situation)
        return found

    def _shots(
        self, slot: Slot, step: str, speaker: Role, strategy: Strategy | None
    ) -> list[tuple[str, str]]:
        """Exchanges to show: of this strategy for the supporter, of the exemplars for the seeker."""
        if speaker is Role.SUPPORTER:
            pool = self.examples.get(strategy.name if strategy else "", [])
        else:
            pool = [pair for one in slot.exemplars for pair in exchanges(one, speaker)]
        draw = random.Random(f"{self.plan.seed}/{slot.id}/{step}/shots")
        return draw.sample(pool, min(self.plan.turns.shots, len(pool)))

    def _situation(self, slot: Slot, found: Harvest) -> str:
        messages = situation_messages(slot, self.plan.seed)
        for attempt in range(1, self.plan.attempts + 1):
            line = self._ask(self.seeker, slot, f"s00.a{attempt}", messages, self.plan.turns.sampling)
            found.lines.append(line)
            text = tidy(line.raw or "", cut=line.finish == "length")
            if len(words(text)) >= 8 and not BOILERPLATE.search(text):
                return text
        return ""

    def _turn(
        self, slot: Slot, found: Harvest, step: str, asker: Asker, messages: Sequence[Message],
        said: Sequence[dict[str, Any]], speaker: Role,
    ) -> str:  # fmt: skip
        """The words of one turn; the last attempt's where none was right."""
        text = ""
        for attempt in range(1, self.plan.attempts + 1):
            line = self._ask(asker, slot, f"{step}.a{attempt}", messages, self.plan.turns.sampling)
            found.lines.append(line)
            text = tidy(line.raw or "", cut=line.finish == "length") or text
            if text and not wrong_turn(text, said, speaker):
                return text
        return text

    def _ask(
        self, asker: Asker, slot: Slot, step: str, messages: Sequence[Message], sampling: Sampling
    ) -> Request:
        identifier = f"{slot.id}.{step}"
        seeded = sampling.model_copy(update={"seed": seed_of(self.plan.seed, identifier)})
        exemplars = tuple(one.id for one in slot.exemplars)
        return asker.ask(Wanted(identifier, messages, seeded, slot.scenario, exemplars, self.mark))


def _usable(reading: Reading) -> tuple[bool, int, int]:
    """Orders readings: readable before not, few turns without strategy, then many turns."""
    return bool(reading.turns), -len(reading.unlabelled), len(reading.turns)


def exchanges(talk: Conversation, speaker: Role) -> list[tuple[str, str]]:
    """(what the other said, what this speaker answered) through a conversation."""
    pairs = pairwise(talk.turns)
    return [(one.text, other.text) for one, other in pairs if one.speaker is not other.speaker is speaker]


def by_strategy(talks: Iterable[Conversation]) -> dict[str, list[tuple[str, str]]]:
    """Strategy → exchanges in which a supporter used it."""
    found: dict[str, list[tuple[str, str]]] = {}
    for talk in talks:
        for one, other in pairwise(talk.turns):
            if one.speaker is Role.SEEKER and other.strategy is not None:
                found.setdefault(other.strategy.name, []).append((one.text, other.text))
    return found


def course(seed: Conversation) -> Iterator[tuple[Role, Strategy | None]]:
    """Who speaks in a seed, and with which strategy; turns in a row are one, with its first strategy."""
    for speaker, run in groupby(seed.turns, key=lambda turn: turn.speaker):
        yield speaker, next((turn.strategy for turn in run if turn.strategy), None)


def wrong_turn(text: str, said: Sequence[dict[str, Any]], speaker: Role) -> str:
    """Why a turn should be asked for again; empty if it may stay."""
    own = words(text)
    if any(own == words(turn["text"]) for turn in said):
        return "it repeats an earlier turn"
    recent = [set(words(turn["text"])) for turn in said if turn["speaker"] is speaker][-3:]
    if any(len(set(own) & before) > 0.7 * max(len(set(own)), 1) for before in recent if len(own) > 4):
        return "it nearly repeats an earlier turn"
    if own and _strayed(own, speaker):
        return "it speaks in the other's voice"
    if BOILERPLATE.search(text) or (speaker is Role.SEEKER and SELF.search(text)):
        return "it speaks as an assistant"
    red = speaker is Role.SUPPORTER and any(found.red for found in output.inspect(text).found)
    return "the output screen would stop it" if red else ""


SELF_WORDS = frozenset({"i", "me", "my", "mine", "i'm", "i've", "i'd", "i'll", "we", "our"})
OTHER_WORDS = frozenset({"you", "your", "yours", "you're", "you've", "you'd", "you'll"})


def _strayed(own: Sequence[str], speaker: Role) -> bool:
    """Whether a seeker speaks more of the other than of themselves, or a supporter more of itself.

    Small models end up thanking and praising each other: this is where it shows first.
    """
    plain = [word.replace("’", "'") for word in own]
    balance = sum(word in SELF_WORDS for word in plain) - sum(word in OTHER_WORDS for word in plain)
    return balance < 0 if speaker is Role.SEEKER else balance > 0


def tidy(reply: str, *, cut: bool = False) -> str:
    """The first paragraph of a reply without quotes, role names and a sentence that was cut off."""
    line = next((line.strip() for line in reply.splitlines() if line.strip()), "")
    bare = PREFIX.sub("", line).strip(' "“”*_')
    sentences = SENTENCE.split(bare)[:MOST_SENTENCES]
    if len(sentences) > 1 and not ENDED.search(sentences[-1]):
        sentences.pop()
    elif cut and not ENDED.search(bare):
        return ""
    return " ".join(" ".join(sentences).split())


def situation_messages(slot: Slot, seed: int) -> list[Message]:
    """The request for a situation: those of the exemplars as examples, and somebody new."""
    draw = random.Random(f"{seed}/{slot.id}/person")
    messages: list[Message] = []
    for shown in (*slot.exemplars, slot.course):
        if shown.profile.situation:
            asked = _situation_text(shown.profile.scenario or slot.scenario, _person(draw))
            messages.append(Message(role="user", content=asked))
            messages.append(Message(role="assistant", content=shown.profile.situation))
    return [*messages, Message(role="user", content=_situation_text(slot.scenario, _person(draw)))]


def _situation_text(scenario: str, person: str) -> str:
    kinds = "; ".join(_scenarios()[scenario].examples) if scenario in _scenarios() else scenario
    return Template(built_in("situation")).substitute(scene=scenario, kinds=kinds, person=person)


@cache
def _scenarios() -> dict[str, Scenario]:
    return {scenario.name: scenario for scenario in scenarios()}


def _person(draw: random.Random) -> str:
    table = built_in_table("people")
    return f"{draw.choice(table['ages'])}, {draw.choice(table['work'])}, {draw.choice(table['manner'])}"


class Scene(NamedTuple):
    """What both roles of mode `turns` know."""

    scenario: str
    situation: str
    last: bool
    """The conversation is about to end."""


def turn_messages(
    scene: Scene,
    shots: Sequence[tuple[str, str]],
    said: Sequence[dict[str, Any]],
    speaker: Role,
    strategy: Strategy | None,
) -> list[Message]:
    """The request for one turn: the role's instructions, examples, then what was said, from its side."""
    if strategy is not None:
        system = Template(built_in("supporter")).substitute(
            scene=scene.scenario,
            strategy=strategy.name,
            definition=strategy.definition,
        )
    else:
        first = len(said) < 2
        moment = FIRST if first else LAST if scene.last else ""
        blanks = {"scene": scene.scenario, "situation": scene.situation, "moment": moment}
        system = Template(built_in("seeker")).substitute(blanks)
    own: dict[bool, Author] = {True: "assistant", False: "user"}
    shown = [Message(role=own[turn["speaker"] is speaker], content=turn["text"]) for turn in said]
    if not shown or shown[0].role == "assistant":
        shown.insert(0, Message(role="user", content=OPENING))
    examples = [
        Message(role=role, content=text)
        for pair in shots
        for role, text in zip(("user", "assistant"), pair, strict=True)
    ]
    return [Message(role="system", content=system), *examples, *shown]


OPENING = "Hello, what brings you here today?"
FIRST = " This is your first message: say what happened."
LAST = " This is nearly the end: say how you feel now, and goodbye."
