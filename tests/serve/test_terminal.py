"""The terminal chat, driven by a scripted supporter that implements the real interface."""

import io
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from rich.console import Console

from hearten.core.conversation import Conversation, Role
from hearten.core.errors import Failure, UsageError
from hearten.core.jsonl import read_records
from hearten.core.records import Reply
from hearten.core.supporter import StreamingSupporter
from hearten.core.taxonomy import Strategy, label_set
from hearten.safety import notice
from hearten.serve.terminal import Chat, talk


class Echo:
    """Streams back the last message word by word, under the forced strategy or the first one."""

    name = "echo"

    def __init__(self) -> None:
        self.seen: list[Conversation] = []

    def reply(
        self, conversation: Conversation, *, strategy: Strategy | None = None, n: int = 1
    ) -> list[Reply]:
        return [list(self.stream(conversation, strategy=strategy))[-1]] * n

    def stream(self, conversation: Conversation, *, strategy: Strategy | None = None) -> Iterator[Reply]:
        self.seen.append(conversation)
        chosen = strategy or next(iter(label_set("esconv")))
        words = conversation.turns[-1].text.split()
        for count in range(len(words) + 1):
            yield Reply(text=" ".join(words[:count]), strategy=chosen)


def run(chat: Chat, *lines: str) -> str:
    """What the screen shows when somebody types `lines`."""
    typed = iter(lines)
    screen = io.StringIO()

    def ask(_prompt: str) -> str:
        try:
            return next(typed)
        except StopIteration:
            raise EOFError from None

    talk(chat, Console(file=screen, width=100, no_color=True), ask)
    return screen.getvalue()


def test_the_fake_is_a_streaming_supporter() -> None:
    assert isinstance(Echo(), StreamingSupporter)


def test_a_chat_begins_by_saying_that_it_is_an_ai() -> None:
    assert run(Chat(Echo())).replace("\n", " ").startswith(notice.start()[:60])


def test_the_first_turn_works_and_shows_its_strategy() -> None:
    chat = Chat(Echo())
    shown = run(chat, "hi there friend")
    assert "Question\nhi there friend" in shown
    assert [turn.speaker for turn in chat.turns] == [Role.SEEKER, Role.SUPPORTER]
    assert chat.turns[1].strategy == label_set("esconv").find("Question")


def test_a_forced_strategy_holds_for_one_reply() -> None:
    chat = Chat(Echo())
    run(chat, "/strategy AR", "one", "two")
    named = [turn.strategy.abbreviation for turn in chat.turns if turn.strategy]
    assert named == ["AR", "Qu"]


def test_undo_takes_back_the_last_exchange_only() -> None:
    chat = Chat(Echo())
    shown = run(chat, "one", "two", "/undo", "/undo", "/undo")
    assert chat.turns == []
    assert "nothing to take back" in shown


def test_a_saved_chat_is_a_record_of_the_corpus_format(tmp_path: Path) -> None:
    chat = Chat(Echo(), situation="moved to a new town")
    run(chat, "hello", f"/save {tmp_path / 'mine.jsonl'}")
    (read,) = read_records(tmp_path / "mine.jsonl", Conversation)
    assert read == chat.conversation
    assert read.profile.situation == "moved to a new town"


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        ("/stratgy AR", "did you mean '/strategy'?"),
        ("/strategy Qestion", "did you mean 'Question'?"),
        ("/save x.jsonl", "nothing to save yet"),
    ],
)
def test_a_mistake_is_answered_with_the_fix_and_the_chat_goes_on(typed: str, told: str) -> None:
    chat = Chat(Echo())
    shown = run(chat, typed, "still here")
    assert told in shown.replace("\n", " ")
    assert chat.turns[-1].text == "still here"


def test_an_interrupted_reply_leaves_no_trace() -> None:
    class Stops(Echo):
        def stream(self, conversation: Conversation, *, strategy: Strategy | None = None) -> Iterator[Reply]:
            yield Reply(text="I")
            raise KeyboardInterrupt

    chat = Chat(Stops())
    run(chat, "hello")
    assert chat.turns == []


def test_forcing_and_saving_refuse_what_cannot_be() -> None:
    chat = Chat(Echo())
    with pytest.raises(Failure, match="unknown strategy"):
        chat.force("hug")
    with pytest.raises(UsageError):
        chat.save(Path("never.jsonl"))


def test_a_streamed_reply_shows_whole_screened_sentences_and_takes_none_back() -> None:
    from hearten.safety.chain import SafeSupporter

    class Claims(Echo):
        def stream(self, conversation: Conversation, *, strategy: Strategy | None = None) -> Iterator[Reply]:
            said = "That sounds hard. What happened then? As a mother myself I know it. Tell me more."
            for end in range(1, len(said) + 1):
                yield Reply(text=said[:end], strategy=label_set("esconv").find("Qu"))

    chat = Chat(SafeSupporter(Claims()))
    grown = [reply.text for reply in chat.say("my son left home")]
    assert grown[-1] == "That sounds hard. What happened then?"
    assert all(later.startswith(earlier) for earlier, later in pairwise(grown))


def test_a_forbidden_strategy_is_exchanged_before_a_word_is_shown() -> None:
    from hearten.safety.chain import SafeSupporter

    class Discloses(Echo):
        def stream(self, conversation: Conversation, *, strategy: Strategy | None = None) -> Iterator[Reply]:
            chosen = strategy or label_set("esconv").find("Self-disclosure")
            beliefs = {"Self-disclosure": 0.6, "Reflection of feelings": 0.3, "Question": 0.1}
            yield Reply(text="You miss her.", strategy=chosen, probabilities=beliefs)

    replies = list(SafeSupporter(Discloses()).stream(Chat(Echo()).conversation))
    assert {reply.strategy.name for reply in replies if reply.strategy} == {"Reflection of feelings"}


def test_verdicts_of_a_rater_are_shown_below_the_reply() -> None:
    class Rated(Echo):
        def stream(self, conversation: Conversation, *, strategy: Strategy | None = None) -> Iterator[Reply]:
            verdicts = [{"facet": "skill", "label": "Other"}, {"facet": "coherence"}]
            for reply in super().stream(conversation, strategy=strategy):
                yield reply.model_copy(update={"details": {"verdicts": verdicts}})

    assert "the rater says skill: Other · coherence: unread" in run(Chat(Rated()), "hi there")
