"""What a grown conversation must pass, each check with its reason, so that nothing is thrown away in silence.

A check looks at one conversation and answers with a reason why not, or a remark for the reviewer. The two
that need more than the conversation live elsewhere: what was mended in a reply is told by `reading`,
resemblance to other conversations by `resemblance`. The bounds are the plan's; the seeds pass every check
(the tests hold that), so a check that would reject good support is noticed.

    $ hearten augment check FOLDER --json
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from itertools import groupby, islice
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from hearten.augment.plan import Bounds
from hearten.augment.reading import Reading
from hearten.augment.records import Check
from hearten.core.conversation import Conversation, Role
from hearten.core.errors import HeartenError
from hearten.core.pii import scrub
from hearten.core.registry import lookup
from hearten.core.shingles import words
from hearten.safety import output, rules
from hearten.safety.normal import normalise
from hearten.safety.resources import regions

RUN = 4
"""Words in the runs that the repetition check counts."""
QUOTED = re.compile(r"[\"“][^\"”]*[\"”]")
"""Words drafted for the seeker to say are not the supporter's own."""
BOILERPLATE = re.compile(
    r"\b(?:as an? (?:ai|artificial intelligence|(?:large )?language model|virtual assistant|chat ?bot)\b"
    r"|(?:large )?language model|chatgpt|gpt-?[345]|openai|anthropic|smollm|hugging ?face"
    r"|my (?:training data|programming|knowledge cut-?off)"
    r"|i (?:cannot|can't|am unable to|am not able to) (?:fulfil|comply with|generate|assist with))"
    r"|\[(?:your|user|insert|name)\b",
    re.IGNORECASE,
)
"""How assistants speak of themselves, refuse, and leave blanks. A supporter who plainly says that it is an AI
is honest, and stays."""
SELF = re.compile(
    r"\bi(?: a|')m (?:just |only )?an? (?:ai|chat ?bot|virtual assistant|computer program)\b", re.IGNORECASE
)
PERSONAL = ("email", "url", "card", "ssn", "ip", "handle", "phone")
SERVICES = ("phone", "url")
REMARKABLE = 0.8
"""Toxicity of a supporter's turn from which a reviewer is told."""
HARSH = {"severe_toxicity": 0.5, "identity_attack": 0.5, "threat": 0.8}
"""Attribute → limit for anybody's turn; the seeds stay under 0.08, 0.13 and 0.59."""


class Scorer(Protocol):
    """What the toxicity check needs of a scorer."""

    attributes: tuple[str, ...]

    def score(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """(N, A) from 0 to 1."""
        ...


class Found(NamedTuple):
    """A check's answer: why not, or what a reviewer should see."""

    wrong: str = ""
    remark: str = ""


Own = Callable[[Conversation, Bounds], Found]


def turn_order(talk: Conversation, bounds: Bounds) -> Found:
    """Both speak, nobody for too long."""
    if len({turn.speaker for turn in talk.turns}) < 2:
        return Found("only one person speaks")
    longest, who = max(
        (len(list(run)), who) for who, run in groupby(talk.turns, key=lambda turn: turn.speaker)
    )
    if longest > bounds.same_speaker:
        return Found(f"the {who} speaks {longest} times in a row")
    return Found()


def length(talk: Conversation, bounds: Bounds) -> Found:
    """Turns, and words of turns, within bounds."""
    least, most = bounds.utterances
    if not least <= len(talk.turns) <= most:
        return Found(f"{len(talk.turns)} turns, not {least} to {most}")
    counts = [len(turn.text.split()) for turn in talk.turns]
    for number, count in enumerate(counts, 1):
        if not bounds.words[0] <= count <= bounds.words[1]:
            return Found(f"turn {number} has {count} words, not {bounds.words[0]} to {bounds.words[1]}")
    mean = sum(counts) / len(counts)
    if not bounds.mean_words[0] <= mean <= bounds.mean_words[1]:
        return Found(f"{mean:.1f} words a turn, not {bounds.mean_words[0]:g} to {bounds.mean_words[1]:g}")
    return Found()


def repetition(talk: Conversation, bounds: Bounds) -> Found:
    """Turns said twice, and runs of words that come again and again."""
    said = [tuple(words(turn.text)) for turn in talk.turns]
    again = sum(count - 1 for turn, count in Counter(said).items() if len(turn) > 1)
    if again > bounds.repeated_turns * len(said):
        return Found(f"{again} of {len(said)} turns repeat an earlier one")
    share = repeated_share(said)
    if share > bounds.repeated_runs:
        return Found(f"{share:.0%} of its four-word runs repeat")
    return Found(
        remark=f"{share:.0%} of its four-word runs repeat" if share > bounds.repeated_runs / 2 else ""
    )


def repeated_share(said: Iterable[Sequence[str]]) -> float:
    """Share of four-word runs that occurred before in the conversation."""
    runs = Counter(tuple(turn[i : i + RUN]) for turn in said for i in range(len(turn) - RUN + 1))
    return 1 - len(runs) / runs.total() if runs else 0.0


def one_strategy(talk: Conversation, bounds: Bounds) -> Found:
    """Not one strategy for nearly everything."""
    used = Counter(str(turn.strategy) for _, turn in talk.supporter_turns() if turn.strategy)
    if used.total() < 4:
        return Found()
    name, count = used.most_common(1)[0]
    if count > bounds.one_strategy * used.total():
        return Found(f"{count} of {used.total()} supporter turns are {name}")
    return Found()


def personal_data(talk: Conversation, bounds: Bounds) -> Found:
    """Nothing that could reach a person: addresses, numbers, handles; helplines are meant to be there."""
    remark = ""
    for number, turn in enumerate(talk.turns, 1):
        found = scrub(_without_helplines(turn.text)).found
        kind = next((kind for kind in PERSONAL if found[kind]), "")
        if kind and (turn.speaker is Role.SEEKER or kind not in SERVICES):
            return Found(f"turn {number} holds what looks like {kind}")
        if kind:  # a supporter may name a service; whether it exists only a person can tell
            remark = remark or f"turn {number} holds {kind}: check that the service exists"
    return Found(remark=remark)


def ai_reference(talk: Conversation, bounds: Bounds) -> Found:
    """No assistant's boilerplate, and no seeker who is an AI."""
    for number, turn in enumerate(talk.turns, 1):
        seeker = turn.speaker is Role.SEEKER
        match = (not seeker and BOILERPLATE.search(turn.text)) or (seeker and SELF.search(turn.text))
        if match:
            return Found(f"turn {number}: “{match[0]}”")
    return Found()


def unsafe_advice(talk: Conversation, bounds: Bounds) -> Found:
    """Nothing that the output screen would stop: methods, diagnosis, medicine, a human life, and the rest."""
    remark = ""
    for index, turn in talk.supporter_turns():
        for found in output.inspect(QUOTED.sub("", turn.text)).found:
            told = f"turn {index + 1}: {found.kind} (“{found.words[:60]}”)"
            if found.red and found.kind not in bounds.tolerated:
                return Found(told)
            remark = remark or told
    return Found(remark=remark)


def crisis_care(talk: Conversation, bounds: Bounds) -> Found:
    """Where a seeker's life may be at stake, a helpline or the emergency number is named afterwards."""
    for index, turn in enumerate(talk.turns):
        if turn.speaker is Role.SEEKER and (words_seen := _crisis(turn.text)):
            later = " ".join(t.text for t in talk.turns[index:] if t.speaker is Role.SUPPORTER)
            if not _names_help(later):
                return Found(f"turn {index + 1} (“{words_seen}”) is answered without naming help")
            return Found(remark=f"turn {index + 1} may be a crisis (“{words_seen}”)")
    return Found()


HELP = re.compile(r"samaritans|lifeline|emergency (?:number|services)|\b(?:999|911|112|000)\b", re.IGNORECASE)
CRISIS = ("active-ideation", "plan", "self-harm", "medical", "passive-ideation")


def _crisis(text: str) -> str:
    """The words that make a message one of a life at stake, by the certain rules; empty otherwise."""
    reading = rules.read(normalise(text))
    if reading.contexts:
        return ""
    return next((find.words for find in reading.certain if find.kind in CRISIS), "")


def _names_help(text: str) -> bool:
    digits = re.sub(r"[\s.-]", "", text)
    return bool(
        any(number in digits for number in _numbers())
        or re.search(
            r"findahelpline|samaritans|lifeline|emergency (?:number|services)|\b(?:999|911|112|000)\b",
            text,
            re.I,
        )
    )


@cache
def _numbers() -> frozenset[str]:
    """Every helpline's digits, of regions' lines."""
    lines = [
        line.contact
        for region in regions().values()
        for line in (*region.crisis, *region.abuse, *region.minor)
    ]
    return frozenset(digits for line in lines if len(digits := re.sub(r"\D", "", line)) >= 3)


def _without_helplines(text: str) -> str:
    return _helplines().sub(" ", text)


@cache
def _helplines() -> re.Pattern[str]:
    """The lines the safety tables know, however their digits are spaced."""
    spaced = sorted((r"[\s.-]?".join(number) for number in _numbers()), key=len, reverse=True)
    return re.compile(rf"(?<!\d)(?:1[\s.-])?(?:{'|'.join(spaced)}|findahelpline\.com)(?!\d)")


OWN: dict[str, Own] = {
    "turn-order": turn_order,
    "length": length,
    "one-strategy": one_strategy,
    "repetition": repetition,
    "personal-data": personal_data,
    "ai-reference": ai_reference,
    "unsafe-advice": unsafe_advice,
    "crisis-care": crisis_care,
}
"""Checks that need the conversation alone."""
NAMES = ("format", "strategies", "scenario", *OWN, "toxicity", "near-duplicate")


class Checker:
    """All checks but resemblance.

    Args:
        bounds: the plan's.
        scorer: of toxicity; None leaves that check out, and every record says so.
    """

    def __init__(self, bounds: Bounds, scorer: Scorer | None) -> None:
        for name in bounds.switched_off:
            lookup(dict.fromkeys(NAMES), name, "check")
        _crisis("."), output.inspect(".")  # compile their patterns once, before threads would each do it
        self._bounds, self._scorer = bounds, scorer

    def of_reading(self, reading: Reading, scenario: str) -> Iterator[Check]:
        """What the reply itself was like: `format`, `strategies`, `scenario`."""
        yield Check(
            check="format",
            passed=not reading.unreadable,
            reason=reading.unreadable or "; ".join(reading.mended),
        )
        if reading.unreadable:
            return
        yield self._strategies(reading)
        scene = reading.scene.casefold()
        other = bool(scene) and scene != scenario.casefold()
        yield Check(
            check="scenario", passed=True, reason=f"the model wrote '{reading.scene[:60]}'" if other else ""
        )

    def _strategies(self, reading: Reading) -> Check:
        spoken = sum(turn["speaker"] is Role.SUPPORTER for turn in reading.turns)
        wrong = len(reading.unlabelled) > self._bounds.unlabelled * spoken
        told = reading.unlabelled if wrong else (*reading.renamed, *reading.unlabelled)
        return Check(check="strategies", passed=not wrong, reason="; ".join(told[:5]))

    def of_conversation(self, talk: Conversation) -> Iterator[Check]:
        """The checks of `OWN`, in order."""
        for name, check in OWN.items():
            if name not in self._bounds.switched_off:
                wrong, remark = check(talk, self._bounds)
                yield Check(check=name, passed=not wrong, reason=wrong or remark)

    def toxicity(self, talks: Sequence[Conversation]) -> list[Check]:
        """One check for each conversation; scoring many together is ten times as fast."""
        if self._scorer is None or "toxicity" in self._bounds.switched_off or not talks:
            told = "switched off" if self._scorer else "not scored: the local scorer is not installed"
            return [Check(check="toxicity", passed=True, reason=told) for _ in talks]
        names = self._scorer.attributes
        table = self._scorer.score([turn.text for talk in talks for turn in talk.turns])
        scores = (dict(zip(names, map(float, row), strict=True)) for row in table)
        return [self._verdict(talk, list(islice(scores, len(talk.turns)))) for talk in talks]

    def _verdict(self, talk: Conversation, scores: Sequence[dict[str, float]]) -> Check:
        remark = ""
        for number, (turn, score) in enumerate(zip(talk.turns, scores, strict=True), 1):
            supporter = turn.speaker is Role.SUPPORTER
            limits = HARSH | ({"toxicity": self._bounds.toxicity} if supporter else {})
            for name, limit in limits.items():
                if score[name] >= limit:
                    told = f"turn {number}: {name} {score[name]:.2f}"
                    return Check(check="toxicity", passed=False, reason=told)
            if supporter and score["toxicity"] >= REMARKABLE:
                remark = remark or f"turn {number}: toxicity {score['toxicity']:.2f}"
        return Check(check="toxicity", passed=True, reason=remark)


@cache
def local_scorer() -> Scorer | None:
    """The local toxicity scorer, or None where it is not installed."""
    from hearten.safety.toxblock import ToxBlock

    try:
        return ToxBlock()
    except HeartenError:
        return None


def tally(checks: Iterable[Sequence[Check]]) -> dict[str, dict[str, int]]:
    """Check → how many conversations it rejected, and remarked on, in the order of `NAMES`."""
    rejected: Counter[str] = Counter()
    remarked: Counter[str] = Counter()
    for row in checks:
        rejected.update(check.check for check in row if not check.passed)
        remarked.update(check.check for check in row if check.passed and check.reason)
    seen = [*NAMES, *sorted((set(rejected) | set(remarked)) - set(NAMES))]
    return {name: {"rejected": rejected[name], "remarked": remarked[name]} for name in seen}
