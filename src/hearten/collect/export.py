"""What leaves the platform: conversations, verdicts, ratings and a data card, with personal details taken
out.

`conversations.jsonl` holds core records, so `hearten data export` turns them into ESConv JSON, ConvoKit,
Hugging Face or CSV. By default only accepted conversations leave: the automatic verdict, unless the leader
decided otherwise. A conversation nobody finished, one someone stopped because they did not feel well, and one
whose owner withdrew are never among them.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from hearten.collect.correction import by_item, decide
from hearten.collect.journal import read_entries
from hearten.collect.quality import Verdict, judge, shares, summary
from hearten.collect.study import Study
from hearten.collect.tables import Room, Vote
from hearten.collect.transcript import conversation
from hearten.core.conversation import Conversation
from hearten.core.jsonl import replacing, write_records
from hearten.core.pii import scrub
from hearten.core.records import Rating

DECISION = "decision."
"""Before the question of a vote that is the leader's decision."""


NOT_FIT_FOR = (
    "Names of people and places inside sentences have no shape a pattern could find: read before publishing. "
    "The supporters were trained for minutes, not years; nothing here shows how to treat anyone. Do not use "
    "it to diagnose, or to build a service for emergencies."
)


@dataclass(frozen=True, slots=True)
class Collected:
    """One room as a conversation, with what quality control says."""

    room: Room
    conversation: Conversation
    verdict: Verdict

    @property
    def accepted(self) -> bool:
        """The leader's word, else the verdict; only what was finished can be accepted."""
        decided = self.room.decision
        kept = self.verdict.accepted if decided is None else decided == "accepted"
        return kept and self.room.reason == "finished"


def conversation_id(study: Study, room: Room) -> str:
    """How an exported conversation is called."""
    return f"{study.name}-{room.id:05d}"


def collected(session: Session, study: Study) -> list[Collected]:
    """Every ended room with something said in it, with the leader's corrections applied."""
    corrections = by_item(decisions(session, study))
    query = select(Room).where(Room.study == study.name, Room.ended.is_not(None)).order_by(Room.id)
    found = [_collect(session, study, room, corrections) for room in session.scalars(query)]
    return [row for row in found if row.conversation.turns]


def _collect(
    session: Session, study: Study, room: Room, corrections: dict[tuple[str, str], Rating]
) -> Collected:
    talk = decide(as_conversation(session, study, room), corrections)
    return Collected(room, talk, judge(talk, study.quality, finished=room.reason == "finished"))


def as_conversation(session: Session, study: Study, room: Room) -> Conversation:
    """One room as it stands, uncorrected."""
    return conversation(
        conversation_id(study, room),
        read_entries(session, room.id),
        label_set=study.label_set,
        before=room.before,
        after={**(room.supporter_after or {}), **(room.seeker_after or {})},
        source=study.name if room.model is None else f"{study.name} ({room.model})",
    )


def ratings(session: Session, study: Study) -> list[Rating]:
    """Every vote but the leader's decisions, oldest first."""
    query = (
        select(Vote).where(Vote.study == study.name, ~Vote.question.startswith(DECISION)).order_by(Vote.id)
    )
    return [_rating(vote, vote.question) for vote in session.scalars(query)]


def decisions(session: Session, study: Study) -> list[Rating]:
    """The leader's decisions, oldest first, under the plain question."""
    query = select(Vote).where(Vote.study == study.name, Vote.question.startswith(DECISION)).order_by(Vote.id)
    return [_rating(vote, vote.question.removeprefix(DECISION)) for vote in session.scalars(query)]


def _rating(vote: Vote, question: str) -> Rating:
    return Rating(item=vote.item, rater=vote.rater, question=question, value=vote.value)


def scrubbed(talk: Conversation) -> tuple[Conversation, Counter[str]]:
    """A conversation without personal details, and what was taken out."""
    found: Counter[str] = Counter()

    def clean(text: str) -> str:
        result = scrub(text)
        found.update(result.found)
        return result.text

    turns = tuple(turn.model_copy(update={"text": clean(turn.text)}) for turn in talk.turns)
    answers = {name: clean(text) for name, text in (talk.survey.answers or {}).items()} or None
    survey = talk.survey.model_copy(update={"answers": answers})
    situation = talk.profile.situation
    profile = talk.profile.model_copy(update={"situation": clean(situation) if situation else None})
    return talk.model_copy(update={"turns": turns, "survey": survey, "profile": profile}), found


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written."""

    conversations: int
    left_out: int
    ratings: int
    removed: dict[str, int]
    folder: Path


def export(session: Session, study: Study, folder: Path, *, everything: bool = False) -> Exported:
    """Write conversations.jsonl, verdicts.jsonl, ratings.jsonl and card.md into `folder`.

    Args:
        everything: also what was not accepted (finished or not), for the study's own analysis.
    """
    rows = collected(session, study)
    chosen = [row for row in rows if everything or row.accepted]
    removed: Counter[str] = Counter()
    talks = []
    for row in chosen:
        talk, found = scrubbed(row.conversation)
        talks.append(talk)
        removed += found
    said = ratings(session, study)
    write_records(folder / "conversations.jsonl", talks)
    write_records(folder / "verdicts.jsonl", [row.verdict for row in rows])
    write_records(folder / "ratings.jsonl", said)
    done = Exported(len(talks), len(rows) - len(talks), len(said), dict(removed), folder)
    with replacing(folder / "card.md") as stream:
        stream.write(card(study, rows, talks, done))
    return done


def card(study: Study, rows: Sequence[Collected], talks: Sequence[Conversation], done: Exported) -> str:
    """The data card: what this is, how it was made, what was taken out, what it is not fit for."""
    turns = [turn for talk in talks for turn in talk.turns]
    model = f" ({study.model})" if study.model else ""
    sections = {
        study.title: f"Collected with hearten, study `{study.name}`, exported {datetime.now(UTC):%Y-%m-%d}.",
        "What it is": f"{len(talks)} conversations, {len(turns)} utterances, strategies of "
        f"`{study.label_set}`. Who supported: {study.supporter}{model}.",
        "Consent": f"Ethics reference: {study.ethics.irb or 'none given'}. Consent version "
        f"{study.ethics.consent_version}:\n\n> {study.ethics.consent}",
        "Quality control": _quality_table(rows),
        "Strategies": _listing(Counter(str(turn.strategy) for turn in turns if turn.strategy)),
        "Personal details taken out": _listing(Counter(done.removed)),
        "Not fit for": NOT_FIT_FOR,
        "Licence": "To be chosen by the study's leader, within what the consent above allows.",
    }
    return "# " + "\n## ".join(f"{title}\n\n{text}\n" for title, text in sections.items())


def _quality_table(rows: Sequence[Collected]) -> str:
    verdicts = [row.verdict for row in rows]
    counts = summary(verdicts).get("all", {"conversations": 0, "accepted": 0})
    lines = [
        f"{counts['conversations']} conversations ended, {counts['accepted']} accepted automatically.",
        "",
        "| gate | criterion | at least | met | of |",
        "|---|---|---|---|---|",
    ]
    for row in shares(verdicts):
        name = row.criterion.replace("_", " ")
        lines.append(f"| {row.path} | {name} | {row.threshold:g} | {row.met} | {row.asked} |")
    return "\n".join(lines)


def _listing(counts: Counter[str]) -> str:
    return "\n".join(f"- {name}: {number}" for name, number in counts.most_common()) or "None."
