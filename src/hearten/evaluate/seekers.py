"""Simulated seekers: a chat model plays a person from a role card and talks to a Supporter.

A role card is one JSON line with `role`, a text that describes the person; anything else in the line is
kept out of the prompt. The conversation ends when the seeker says so, or at a length. Conversations are
appended to a ledger as they end, so that a run which was stopped goes on with the next card, and are then
rated by stage (exploration, comforting, action) by a judge. A simulation is no person: it says what a
system does to this seeker, and nothing about people in distress.

`hearten evaluate judge RUN --kind seekers --model MODEL --roles FILE` runs it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from string import Template

from hearten.core.chat import ChatModel, Message, Sampling
from hearten.core.conversation import Conversation, Role, Turn
from hearten.core.errors import Failure, UsageError
from hearten.core.jsonl import Appender, read_lines, read_records
from hearten.core.places import find_corpus
from hearten.core.progress import progress
from hearten.core.supporter import Supporter
from hearten.evaluate.judge import STAGE, Question, prompt

END = "[END]"
CARDS = "seeker_roles/roles-v1.json"
"""ESC-Judge's 100 role cards (Apache-2.0), where `hearten data get` or a shared folder puts them."""
TURNS = 16
"""Messages in all, both sides: ExTES asks for at least ten."""
LIVELY = Sampling(temperature=0.8, max_tokens=90)


@dataclass(frozen=True)
class RoleCard:
    """One person to play."""

    id: str
    role: str


class Seeker:
    """A chat model in the part of a seeker."""

    def __init__(self, model: ChatModel, card: RoleCard, *, seed: int | None = None) -> None:
        self.card = card
        self._model = model
        self._sampling = LIVELY.model_copy(update={"seed": seed})
        self._part = Message(
            role="system", content=Template(prompt("seeker.md")).substitute(role=card.role, end=END)
        )

    def say(self, turns: Sequence[Turn]) -> tuple[str, bool]:
        """(the seeker's next message, whether it ends the conversation); the message may be empty.

        For the model the parts are turned round: the seeker is its assistant, the supporter its user.
        """
        spoken = [
            Message(role="assistant" if turn.speaker is Role.SEEKER else "user", content=turn.text)
            for turn in turns
        ]
        opening = [] if spoken else [Message(role="user", content="(The chat is open. You write first.)")]
        text = self._model.complete([self._part, *opening, *spoken], sampling=self._sampling)[0]
        said, end, _ = text.partition(END)
        return _own_part(said), bool(end)


def _own_part(text: str) -> str:
    """The message without a written-out `Seeker:` and without the supporter's part, if the model went on."""
    text = text.strip()
    for mark in ("\nSupporter:", "\nsupporter:", "\nTherapist:", "\nUser:"):
        text = text.partition(mark)[0]
    return text.removeprefix("Seeker:").strip().strip('"').strip()


def read_cards(path: Path | None) -> list[RoleCard]:
    """Role cards from the named file, else from the shared corpus folder.

    Raises:
        UsageError: no file is named and none is found.
        Failure: a line has no `role`, or the file has no card.
    """
    path = path or find_corpus(CARDS)
    if path is None:
        fix = 'name a file with --roles: JSON lines with a "role" each'
        raise UsageError("no role cards are there", fix=fix)
    cards = []
    for number, value in read_lines(path):
        role = value.get("role") if isinstance(value, dict) else None
        if not isinstance(role, str) or not role.strip():
            raise Failure("a role card has no 'role' text", where=f"{path}, line {number}")
        cards.append(RoleCard(str(value.get("pid") or f"card-{number:03d}"), role.strip()))
    if not cards:
        raise Failure("the file holds no role card", where=str(path))
    return cards


def hold(
    supporter: Supporter, seeker: Seeker, *, turns: int = TURNS, label_set: str = "esconv"
) -> Conversation:
    """One whole conversation, the seeker first.

    Raises:
        Failure: the seeker opens with nothing, or the supporter answers nothing.
    """
    talk = Conversation(
        id=f"simulated-{seeker.card.id}", source=f"simulated:{supporter.name}", label_set=label_set, turns=()
    )
    while len(talk.turns) < turns:
        text, end = seeker.say(talk.turns)
        if text:
            talk = _with(talk, Turn(speaker=Role.SEEKER, text=text))
        if end or not text:
            break
        talk = _with(talk, _answer(supporter, talk))
    if not talk.turns:
        raise Failure("the simulated seeker said nothing", where=f"role card {seeker.card.id}")
    return talk


def _with(talk: Conversation, turn: Turn) -> Conversation:
    return talk.model_copy(update={"turns": (*talk.turns, turn)})


def _answer(supporter: Supporter, talk: Conversation) -> Turn:
    reply = supporter.reply(talk)[0]
    if not reply.text.strip():
        raise Failure(f"supporter '{supporter.name}' answered nothing", where=talk.id)
    return Turn(speaker=Role.SUPPORTER, text=reply.text, strategy=reply.strategy)


def simulate(
    supporter: Supporter,
    model: ChatModel,
    cards: Sequence[RoleCard],
    ledger: Path,
    *,
    turns: int = TURNS,
    seed: int = 13,
    quiet: bool = False,
) -> list[Conversation]:
    """One conversation a card, in the order of the cards; those in the ledger are not held again."""
    known = {talk.id: talk for talk in _read(ledger) if talk.source == f"simulated:{supporter.name}"}
    done = sum(f"simulated-{card.id}" in known for card in cards)
    with Appender(ledger) as book, progress("talking to seekers", len(cards), done=done, quiet=quiet) as bar:
        for number, card in enumerate(cards):
            if f"simulated-{card.id}" in known:
                continue
            talk = hold(supporter, Seeker(model, card, seed=seed + number), turns=turns)
            known[talk.id] = talk
            book.add(talk)
            bar.advance()
    return [known[f"simulated-{card.id}"] for card in cards]


def _read(ledger: Path) -> Iterator[Conversation]:
    if ledger.is_file():
        Appender(ledger).close()
        yield from read_records(ledger, Conversation)


def stage_questions(conversations: Sequence[Conversation]) -> list[Question]:
    """One question about the three stages a conversation."""
    return [
        Question(_mark(talk), "", tuple(STAGE.messages(context=_written(talk)))) for talk in conversations
    ]


def _mark(talk: Conversation) -> str:
    return f"{talk.id}:{sha256(_written(talk).encode()).hexdigest()[:8]}"


def _written(talk: Conversation) -> str:
    return "\n".join(f"{turn.speaker.value.capitalize()}: {turn.text}" for turn in talk.turns)
