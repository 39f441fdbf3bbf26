"""What reviewers do with a grown corpus: who gets what next, what they change, and whether they agree.

A conversation is reviewed by as many people as the corpus wants, independently: nobody sees another's
decision until both are in. Where two disagree (kept or not; two different edits) a leader settles it. All of
it is read off the audit trail, so nothing can be out of step with it.
"""

import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from statsmodels.stats.inter_rater import aggregate_raters, fleiss_kappa

from hearten.augment.decisions import Standing, in_force
from hearten.augment.records import Action, CorpusFolder, Grown, Review
from hearten.augment.trail import Trail
from hearten.core.conversation import Conversation, Role, Turn
from hearten.core.errors import Failure
from hearten.core.runfolder import now

LOOKING = 600.0
"""Seconds for which a conversation that someone has open is not offered to others."""


class Decided(Failure):
    """Somebody was quicker: the decision is not needed any more, or was made on an old page."""


@dataclass(frozen=True, slots=True)
class Wish:
    """Which part of the queue a reviewer wants to see; empty strings mean all."""

    scenario: str = ""
    check: str = ""
    """Only conversations of which this check has something to say."""
    pile: str = ""
    """`accepted` or `rejected` by the checks."""

    def admits(self, item: "Item") -> bool:
        """Whether the conversation belongs to that part."""
        return (
            self.scenario in ("", item.grown.provenance.scenario)
            and self.check in ("", *item.remarked)
            and self.pile in ("", "accepted" if item.accepted else "rejected")
        )


@dataclass(frozen=True, slots=True)
class Item:
    """A conversation that can be reviewed, and whether the checks let it through."""

    grown: Grown
    accepted: bool

    @property
    def conversation(self) -> Conversation:
        """As it was grown."""
        assert self.grown.conversation is not None, "unreadable replies are not in the queue"
        return self.grown.conversation

    @property
    def remarked(self) -> tuple[str, ...]:
        """The checks that rejected it or have something to say."""
        return tuple(check.check for check in (*self.grown.failed, *self.grown.noted))


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the review is."""

    total: int
    untouched: int
    """Of those the checks accepted, nobody has looked at."""
    waiting: int
    """Decided by somebody, but by fewer people than wanted."""
    states: Mapping[str, int]
    """State → conversations: accepted, edited, discarded, disputed."""
    reviewers: Mapping[str, int]
    """Reviewer → conversations they have decided about."""
    pairs: int
    """Conversations on which two people decided independently."""
    agreed: float | None
    """Share of these on which both kept it or both did not."""
    kappa: float | None
    """Fleiss' kappa of the same; None where everybody always said the same."""


class Desk:
    """One corpus under review.

    Args:
        path: the corpus folder.
        wanted: how many people decide about each conversation.
    """

    def __init__(self, path: Path, wanted: int = 1) -> None:
        self.folder, self.wanted = CorpusFolder.open(path), wanted
        self.name = path.resolve().name
        self.trail = Trail(self.folder.reviews)
        self._items: dict[str, Item] = {}
        self._stamp: tuple[float, ...] = ()
        self._looking: dict[str, tuple[str, float]] = {}
        self._later: defaultdict[str, set[str]] = defaultdict(set)

    def items(self) -> dict[str, Item]:
        """Every conversation that could be read, those the checks accepted first; read anew as it grows."""
        files = [path for path in (self.folder.accepted, self.folder.rejected) if path.is_file()]
        stamp = tuple(path.stat().st_size for path in files)
        if stamp != self._stamp:
            found = ((grown.id, Item(grown, accepted)) for accepted, grown in self.folder.grown())
            self._items = {name: item for name, item in found if item.grown.conversation is not None}
            self._stamp = stamp
        return self._items

    def next_for(self, reviewer: str, wish: Wish) -> Item | None:
        """What this person should look at now: begun by another first, then the order of the corpus."""
        needed = (i for i in self.items().values() if wish.admits(i) and self._needs(i, reviewer))
        later = self._later[reviewer]

        def eagerness(item: Item) -> tuple[bool, bool, bool]:
            name = item.grown.id
            return self._held(name, reviewer), name in later, not self._voices(name)

        best = min(needed, key=eagerness, default=None)
        if best is not None and best.grown.id in later:
            later.clear()
        if best is not None:
            self._looking[best.grown.id] = (reviewer, time.monotonic())
        return best

    def put_off(self, reviewer: str, item: str) -> None:
        """Offer this person everything else first."""
        self._later[reviewer].add(item)
        self._looking.pop(item, None)

    def left_for(self, reviewer: str, wish: Wish) -> int:
        """How many conversations this person could still decide about."""
        return sum(wish.admits(item) and self._needs(item, reviewer) for item in self.items().values())

    def disputed(self) -> list[Item]:
        """What a leader has to settle."""
        states, items = self.trail.standing(), self.items()
        return [items[name] for name, state in states.items() if state.state == "disputed" and name in items]

    def may_see(self, item: str, reviewer: str, *, settling: bool) -> tuple[Review, ...]:
        """The decisions in force about a conversation that this person may know of: their own, or all."""
        return tuple(r for r in in_force(self.trail.of(item)) if settling or r.reviewer == reviewer)

    def decide(
        self,
        item: Item,
        reviewer: str,
        action: Action,
        after: Conversation | None = None,
        *,
        seen: int,
        note: str = "",
        settling: bool = False,
    ) -> Review:
        """Write a decision.

        Args:
            item: what is decided about.
            reviewer: by whom.
            action: `accept`, `edit` or `discard`.
            after: how the conversation reads now, for `edit`.
            seen: how many lines the trail had about it when the page was made.
            note: a word for the others.
            settling: a leader settles a disagreement.

        Raises:
            Decided: it is not needed any more, or this person has decided since the page was made.
        """
        name = item.grown.id

        def make(lines: tuple[Review, ...]) -> Review:
            about = [line for line in lines if line.item == name]
            if not settling:
                self._still_open(about, reviewer, seen)
            elif len(about) != seen:
                raise Decided("somebody has decided about this conversation since you opened it")
            return Review(
                item=name,
                reviewer=reviewer,
                time=now(),
                action=action,
                before=item.conversation if action == "edit" else None,
                after=after,
                note=note.strip() or None,
                adjudication=settling,
            )

        self._looking.pop(name, None)
        return self.trail.add(make)

    def undo(self, reviewer: str) -> str | None:
        """Take back this person's last decision that still stands; returns what it was about."""

        def make(lines: tuple[Review, ...]) -> Review:
            mine: list[Review] = []
            for line in (line for line in lines if line.reviewer == reviewer):
                mine = _without_last(mine, line.item) if line.action == "undo" else [*mine, line]
            if not mine:
                raise Decided("there is nothing to take back")
            return Review(item=mine[-1].item, reviewer=reviewer, time=now(), action="undo")

        try:
            return self.trail.add(make).item
        except Decided:
            return None

    def progress(self) -> Progress:
        """Counts and agreement."""
        standing, items = self.trail.standing(), self.items()
        known = {name: state for name, state in standing.items() if name in items}
        untouched = sum(item.accepted and name not in known for name, item in items.items())
        voices = [[r.action != "discard" for r in self._independent(name)] for name in known]
        pairs = [kept[:2] for kept in voices if len(kept) > 1]
        return Progress(
            total=len(items),
            untouched=untouched,
            waiting=sum(len(state.reviewers) < self.wanted for state in known.values()),
            states=Counter(state.state for state in known.values()),
            reviewers=Counter(name for state in known.values() for name in state.reviewers),
            pairs=len(pairs),
            agreed=sum(one == other for one, other in pairs) / len(pairs) if pairs else None,
            kappa=agreement(pairs),
        )

    def standing(self, item: str) -> Standing | None:
        """Where a conversation stands."""
        return self.trail.standing().get(item)

    def _independent(self, item: str) -> list[Review]:
        return [review for review in in_force(self.trail.of(item)) if not review.adjudication]

    def _voices(self, item: str) -> int:
        standing = self.standing(item)
        return len(standing.reviewers) if standing else 0

    def _needs(self, item: Item, reviewer: str) -> bool:
        standing = self.standing(item.grown.id)
        return standing is None or (
            len(standing.reviewers) < self.wanted and reviewer not in standing.reviewers
        )

    def _held(self, item: str, reviewer: str) -> bool:
        who, since = self._looking.get(item, ("", 0.0))
        return who not in ("", reviewer) and time.monotonic() - since < LOOKING

    def _still_open(self, about: Sequence[Review], reviewer: str, seen: int) -> None:
        mine = [line for line in about if line.reviewer == reviewer]
        if any(line in mine for line in about[seen:]):
            raise Decided("you have decided about this conversation in another window")
        others = {review.reviewer for review in in_force(about)}
        if len(others - {reviewer}) >= self.wanted and len(about) > seen:
            raise Decided("somebody has decided about this conversation since you opened it")


def _without_last(lines: list[Review], item: str) -> list[Review]:
    places = [place for place, line in enumerate(lines) if line.item == item]
    return [line for place, line in enumerate(lines) if not places or place != places[-1]]


def agreement(answers: Sequence[Sequence[object]]) -> float | None:
    """Fleiss' kappa of items that equally many people judged; None where it is not defined."""
    if not answers or len({answer for row in answers for answer in row}) < 2:
        return None
    names = sorted({str(answer) for row in answers for answer in row})
    codes = [[names.index(str(answer)) for answer in row] for row in answers]
    return float(fleiss_kappa(aggregate_raters(codes)[0]))


def edited(
    conversation: Conversation, texts: Sequence[str], strategies: Sequence[str], situation: str
) -> Conversation:
    """The conversation with other words and labels; a turn whose text is emptied is taken out.

    Args:
        conversation: as it was.
        texts: one for each turn.
        strategies: one for each turn; ignored where the seeker speaks, empty for none.
        situation: the seeker's situation; empty for none.

    Raises:
        Failure: the number of turns differs, no turn is left, or a strategy is unknown.
    """
    if not len(texts) == len(strategies) == len(conversation.turns):
        raise Failure("the form does not fit this conversation", fix="reload the page")
    turns = list(_turns(conversation, texts, strategies))
    if not turns:
        raise Failure("nothing is left of the conversation", fix="discard it instead")
    profile = conversation.profile.model_copy(update={"situation": situation.strip() or None})
    return conversation.model_copy(update={"turns": tuple(turns), "profile": profile})


def _turns(conversation: Conversation, texts: Sequence[str], strategies: Sequence[str]) -> Iterator[Turn]:
    for turn, text, named in zip(conversation.turns, texts, strategies, strict=True):
        text = "\n".join(line.rstrip() for line in text.strip().splitlines())
        if not text:
            continue
        strategy = conversation.labels.find(named) if turn.speaker is Role.SUPPORTER and named else None
        yield turn.model_copy(update={"text": text, "strategy": strategy})


def changes(before: Conversation, after: Conversation) -> list[tuple[str, str]]:
    """(before, after) of every turn and situation that differs, for a reader; "" where one is missing."""
    old, new = list(_readable(before)), list(_readable(after))
    if len(old) == len(new):
        return [(a, b) for a, b in zip(old, new, strict=True) if a != b]
    kept = set(new)
    gone = [(line, "") for line in old if line not in kept]
    known = set(old)
    return gone + [("", line) for line in new if line not in known]


def _readable(conversation: Conversation) -> Iterator[str]:
    yield f"situation: {conversation.profile.situation or '–'}"
    for turn in conversation.turns:
        yield f"{turn.speaker}{f' ({turn.strategy})' if turn.strategy else ''}: {turn.text}"
