"""A conversation in the terminal: the reply is streamed, its strategy shown, and a word changes course.

`/strategy NAME` forces the next strategy, `/undo` takes the last exchange back, `/save FILE` writes the
conversation as a record of conversations.jsonl. It knows a `StreamingSupporter` and nothing of models.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console

from hearten.core.conversation import Conversation, Profile, Role, Turn
from hearten.core.errors import HeartenError, UsageError, nearest
from hearten.core.jsonl import write_records
from hearten.core.records import Reply
from hearten.core.supporter import StreamingSupporter
from hearten.core.taxonomy import Strategy, label_set
from hearten.safety import notice

HELP = "/strategy NAME force the next one · /undo · /save FILE · /help · /quit"


@dataclass
class Chat:
    """A conversation with a supporter, as it grows."""

    supporter: StreamingSupporter
    labels: str = "esconv"
    situation: str | None = None
    turns: list[Turn] = field(default_factory=list)
    forced: Strategy | None = None

    @property
    def conversation(self) -> Conversation:
        """The conversation so far."""
        return Conversation(
            id="chat",
            source="hearten-chat",
            label_set=self.labels,
            profile=Profile(situation=self.situation),
            turns=tuple(self.turns),
        )

    def say(self, text: str) -> Iterator[Reply]:
        """Add the seeker's message and stream the reply; only a finished reply becomes a turn."""
        self.turns.append(Turn(speaker=Role.SEEKER, text=text))
        reply = Reply(text="")
        try:
            for reply in self.supporter.stream(self.conversation, strategy=self.forced):
                yield reply
        except BaseException:
            self.turns.pop()
            raise
        if reply.text:
            self.turns.append(Turn(speaker=Role.SUPPORTER, text=reply.text, strategy=reply.strategy))
        self.forced = None

    def undo(self) -> bool:
        """Take back the last message of the seeker and what answered it; False if there is none."""
        asked = [i for i, turn in enumerate(self.turns) if turn.speaker is Role.SEEKER]
        if asked:
            del self.turns[asked[-1] :]
        return bool(asked)

    def force(self, name: str) -> Strategy:
        """Use this strategy for the next reply.

        Raises:
            Failure: unknown; with the nearest valid name.
        """
        self.forced = label_set(self.labels).find(name)
        return self.forced

    def save(self, path: Path) -> int:
        """Write the conversation as one record; returns the number of turns.

        Raises:
            UsageError: nothing has been said.
        """
        if not self.turns:
            raise UsageError("there is nothing to save yet", fix="say something first")
        write_records(path, [self.conversation])
        return len(self.turns)


def talk(chat: Chat, console: Console, ask: Callable[[str], str] = input) -> None:
    """Talk until `/quit` or the end of the input."""
    console.print(notice.start(), style="bold", highlight=False)
    console.print(f"[dim]{chat.supporter.name} · {HELP}[/dim]", highlight=False)
    while True:
        try:
            text = ask("you: ").strip()
        except (EOFError, KeyboardInterrupt):
            console.print()
            return
        if text in ("/quit", "/exit"):
            return
        try:
            _turn(chat, text, console)
        except KeyboardInterrupt:
            console.print("\n[dim]stopped; that reply is not kept[/dim]")
        except HeartenError as error:
            console.print("\n".join(error.lines()), style="red", highlight=False, markup=False)


def _turn(chat: Chat, text: str, console: Console) -> None:
    if not text:
        return
    if text.startswith("/"):
        word, _, rest = text.partition(" ")
        if word not in WORDS:
            raise UsageError(f"unknown command '{word}'", fix=nearest(word, [*WORDS, "/quit"]))
        WORDS[word](chat, rest.strip(), console)
        return
    shown = 0
    for reply in chat.say(text):
        if shown == 0 and reply.strategy is not None:
            console.print(f"[dim]{reply.strategy.name}[/dim]", highlight=False)
        console.print(reply.text[shown:], end="", highlight=False, markup=False, soft_wrap=True)
        shown = len(reply.text) or shown
    console.print("\n")
    judged = [
        f"{row['facet']}: {row.get('label', 'unread')}" for row in (reply.details or {}).get("verdicts", [])
    ]
    if judged:
        console.print(f"[dim]the rater says {' · '.join(judged)}[/dim]\n", highlight=False)


def _force(chat: Chat, rest: str, console: Console) -> None:
    if not rest:
        console.print(" · ".join(label_set(chat.labels).names), highlight=False)
        return
    strategy = chat.force(rest)
    console.print(f"[dim]next: {strategy.name}. {strategy.definition}[/dim]", highlight=False)


def _undo(chat: Chat, _rest: str, console: Console) -> None:
    console.print("[dim]taken back[/dim]" if chat.undo() else "[dim]nothing to take back[/dim]")


def _save(chat: Chat, rest: str, console: Console) -> None:
    path = Path(rest or "chat.jsonl")
    console.print(f"[dim]wrote {chat.save(path)} turns to {path}[/dim]", highlight=False)


def _help(_chat: Chat, _rest: str, console: Console) -> None:
    console.print(HELP, highlight=False)


WORDS: dict[str, Callable[[Chat, str, Console], None]] = {
    "/strategy": _force,
    "/undo": _undo,
    "/save": _save,
    "/help": _help,
}
"""What a line that starts with `/` does."""
