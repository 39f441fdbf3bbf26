"""The one renderer: turns → token ids and what is to be learned among them.

Training, perplexity, decoding and serving all come through here, so that what a model is asked is what it
was taught. A `Style` says how a turn opens and closes: `chatml` for chat models such as the embedded one,
`eos` for DialoGPT and the encoder–decoders (utterances joined by the end token), `tagged` for models
trained from scratch here (a token names the speaker), `plain` for anything else.

For a decoder-only model the examples of one conversation are prefixes of each other, so they become one
`Row` with a target at every supporter turn (every turn where whole sessions are learned): the conversation
is learned in one pass. A row longer than the window is cut into pieces that each keep some context. For an
encoder–decoder every example is a row: the context goes to the encoder (its last tokens), the reply to the
decoder.

It knows nothing about models or losses.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import TYPE_CHECKING

from hearten.core.conversation import Profile, Role, Turn
from hearten.core.errors import Failure
from hearten.core.records import Example
from hearten.core.taxonomy import LabelSet, Strategy

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

SYSTEM = "You are a peer supporter. Listen, understand and help the person feel a little better."


@dataclass(frozen=True, slots=True)
class Style:
    """How turns are written for one family of models."""

    opens: dict[Role, str]
    close: str
    system: tuple[str, str] | None
    """What stands before and after the system text; None where the family knows none."""


STYLES: dict[str, Style] = {
    "chatml": Style(
        opens={Role.SEEKER: "<|im_start|>user\n", Role.SUPPORTER: "<|im_start|>assistant\n"},
        close="<|im_end|>\n",
        system=("<|im_start|>system\n", "<|im_end|>\n"),
    ),
    "eos": Style(opens={Role.SEEKER: "", Role.SUPPORTER: ""}, close="{eos}", system=None),
    "tagged": Style(opens={Role.SEEKER: "<usr>", Role.SUPPORTER: "<sys>"}, close="{eos}", system=None),
    "plain": Style(opens={Role.SEEKER: "User: ", Role.SUPPORTER: "AI: "}, close="{eos}\n", system=("", "\n")),
}


@dataclass(frozen=True, slots=True)
class Target:
    """One token to be learned: its place in the row, whose example it is, whether it names the strategy."""

    position: int
    example: int
    is_strategy: bool


@dataclass(frozen=True, slots=True)
class Row:
    """One sequence for the model. `ids[t.position]` is to be predicted from what stands before it."""

    ids: list[int]
    targets: list[Target]
    source: list[int] = field(default_factory=list)
    """What the encoder reads; empty for decoder-only models."""
    forks: list[tuple[int, int]] = field(default_factory=list)
    """(start, stop) of alternative replies behind a shared beginning: none of them sees another."""

    def before(self, position: int) -> int:
        """The place whose hidden state predicts the id at `position`."""
        starts = [start for start, _ in self.forks]
        return (starts[0] if position in starts else position) - 1


def style_of(tokenizer: "PreTrainedTokenizerFast") -> str:
    """The style a tokenizer was made for, by its special tokens."""
    if "<|im_start|>" in tokenizer.get_vocab():
        return "chatml"
    return "plain" if tokenizer.bos_token_id != tokenizer.eos_token_id else "eos"


class Renderer:
    """Turns text into ids, for one tokenizer and one label set.

    Args:
        tokenizer: a fast tokenizer; strategy tokens are added to it when `labels` is given.
        labels: strategies that stand before supporter turns; None for a model that never sees them.
        style: `chatml`, `eos` or `plain`; by default what the tokenizer was made for.
        situation: also give the model the seeker's situation (in ESConv supporters did not see it).
    """

    def __init__(
        self,
        tokenizer: "PreTrainedTokenizerFast",
        labels: LabelSet | None,
        *,
        style: str | None = None,
        situation: bool = False,
    ) -> None:
        self.tokenizer, self.labels, self.situation = tokenizer, labels, situation
        self.style = STYLES[style or style_of(tokenizer)]
        self.base_vocabulary = len(tokenizer)
        if labels is not None:
            tokenizer.add_special_tokens(
                {"additional_special_tokens": [strategy.token for strategy in labels]},
                replace_extra_special_tokens=False,
            )
        self.strategy_ids = [int(tokenizer.get_vocab()[strategy.token]) for strategy in labels or ()]
        self._close = self._ids(self.style.close.format(eos=tokenizer.eos_token))
        self._opens = {role: self._ids(text) for role, text in self.style.opens.items()}
        self.end_id: int = self._close[0]
        self.words: Callable[[Turn, bool], str] = plain_words
        self.spelt: Callable[[str], Sequence[int] | None] = no_spelling

    def _ids(self, text: str) -> list[int]:
        return list(self.tokenizer(text, add_special_tokens=False).input_ids)

    def strategy_id(self, strategy: Strategy | None) -> int:
        """The token of a strategy.

        Raises:
            Failure: this model has no strategies, or the turn has none.
        """
        if self.labels is None or strategy is None:
            raise Failure("a supporter turn has no strategy", fix="train 'vanilla', or label the corpus")
        return self.strategy_ids[self.labels.position(strategy)]

    def opening(self, profile: Profile) -> list[int]:
        """What stands before the first turn: the system text, with the situation if it is shown."""
        told = f" Their situation: {profile.situation}" if self.situation and profile.situation else ""
        if self.style.system is None:
            return self._ids(profile.situation or "") + self._close if told else []
        before, after = self.style.system
        return self._ids(f"{before}{SYSTEM}{told}{after}")

    def _start(self, profile: Profile, turns: Sequence[Turn]) -> list[int]:
        """The opening; where a supporter's words would be the very first ids, the start token before them."""
        opening = self.opening(profile)
        speaker = turns[0].speaker if turns else Role.SUPPORTER
        if opening or speaker is Role.SEEKER or self._opens[speaker]:
            return opening
        start = self.tokenizer.bos_token_id
        return [self.end_id if start is None else start]

    def open_turn(self, role: Role) -> list[int]:
        """Ids that begin a turn of `role`."""
        return self._opens[role]

    def reply(self, text: str, strategy: Strategy | None, speaker: Role = Role.SUPPORTER) -> list[int]:
        """Ids to be learned for a turn: [strategy] text end; a seeker's turn has no strategy."""
        named = [self.strategy_id(strategy)] if self._named(speaker) else []
        return [*named, *self._ids(text), self.end_id]

    def _named(self, speaker: Role) -> bool:
        """Whether a strategy token stands before the words that are learned of a speaker."""
        return self.labels is not None and speaker is Role.SUPPORTER

    def turn(self, turn: Turn, *, last: bool = True) -> list[int]:
        """Ids of a whole past turn. A supporter turn without a label gets no strategy token.

        `last` says whether the seeker has said nothing since; `words` may then tell more of it.
        """
        named = turn.speaker is Role.SUPPORTER and self.labels is not None and turn.strategy is not None
        label = [self.strategy_id(turn.strategy)] if named else []
        return [*self._opens[turn.speaker], *label, *self._said(turn, last), *self._close]

    def _said(self, turn: Turn, last: bool) -> Sequence[int]:
        """Ids of a past turn's words; a reply that the model wrote itself as it wrote it."""
        words = self.words(turn, last)
        own = self.spelt(words) if turn.speaker is Role.SUPPORTER else None
        return self._ids(words) if own is None else own

    def context(
        self, turns: Iterable[Turn], profile: Profile, limit: int | None = None, *, stride: int = 1
    ) -> list[int]:
        """Ids of a prompt that ends where the supporter's reply begins.

        A prompt over `limit` loses whole turns from its start (`first_kept`); the opening, with the situation
        if it is shown, is kept.
        """
        said = tuple(turns)
        opening, reply = self._start(profile, said), self.open_turn(Role.SUPPORTER)
        parts = [self.turn(turn) for turn in said]
        if limit is not None:
            room = limit - len(opening) - len(reply)
            parts = parts[first_kept([len(part) for part in parts], room, stride) :]
        return [*opening, *(i for part in parts for i in part), *reply]

    def conversation_rows(self, examples: Sequence[Example], window: int, overlap: int) -> list[Row]:
        """Decoder-only rows: each conversation's examples share rows of at most `window` ids.

        Args:
            examples: any examples; those of one conversation must have been made by one protocol.
            window: longest row.
            overlap: ids of context a later piece of a long conversation keeps.
        """
        order = sorted(range(len(examples)), key=lambda n: (examples[n].conversation_id, examples[n].index))
        rows: list[Row] = []
        for _, numbers in groupby(order, key=lambda n: examples[n].conversation_id):
            group = list(numbers)
            windowed = len(examples[group[-1]].context) < examples[group[-1]].index
            batches = [[n] for n in group] if windowed else [group]
            for batch in batches:
                rows.extend(_cut(self._conversation_row(examples, batch), window, overlap))
        return rows

    def _conversation_row(self, examples: Sequence[Example], group: Sequence[int]) -> Row:
        """All of one conversation's examples in one row, however long."""
        last = examples[group[-1]]
        first_index = last.index - len(last.context)
        by_index = {examples[n].index: n for n in group}
        turns = (*last.context, _gold_turn(last))
        ids = self._start(last.profile, turns)
        targets: list[Target] = []
        for offset, turn in enumerate(turns):
            number = by_index.get(first_index + offset)
            if number is None:
                ids.extend(self.turn(turn))
                continue
            ids.extend(self.open_turn(turn.speaker))
            start, learned = len(ids), self.reply(turn.text, turn.strategy, turn.speaker)
            ids.extend(learned)
            ids.extend(self._close[1:])
            has_label = self._named(turn.speaker)
            targets.extend(Target(start + i, number, has_label and i == 0) for i in range(len(learned)))
        return Row(ids[: targets[-1].position + 1], targets)

    def forked_row(self, options: Sequence[Example], limit: int) -> Row:
        """A decoder-only row of alternative replies to one context, which stands in it once.

        Args:
            options: examples that differ in response and strategy alone.
            limit: most ids of the context; whole turns are dropped from its start.
        """
        ids = self.context(options[0].context, options[0].profile, limit)
        targets: list[Target] = []
        forks: list[tuple[int, int]] = []
        for number, option in enumerate(options):
            learned, start = self.reply(option.response, option.strategy), len(ids)
            ids = [*ids, *learned]
            has_label = self.labels is not None
            targets.extend(Target(start + i, number, has_label and i == 0) for i in range(len(learned)))
            forks.append((start, len(ids)))
        return Row(ids, targets, forks=forks)

    def pair_row(self, example: Example, number: int, context_limit: int, reply_limit: int) -> Row:
        """An encoder–decoder row: the last `context_limit` ids of the context, the reply cut to its limit."""
        seekers = [n for n, turn in enumerate(example.context) if turn.speaker is Role.SEEKER]
        latest = max(seekers, default=-1)
        parts = [self.turn(turn, last=number >= latest) for number, turn in enumerate(example.context)]
        source = [*self.opening(example.profile), *(i for part in parts for i in part)]
        learned = self.reply(example.response, example.strategy, example.speaker)[:reply_limit]
        start = self.tokenizer.bos_token_id
        ids = [self.tokenizer.eos_token_id if start is None else start, *learned]
        has_label = self._named(example.speaker)
        targets = [Target(i + 1, number, has_label and i == 0) for i in range(len(learned))]
        return Row(ids, targets, source=source[-context_limit:] or [self.end_id])


def plain_words(turn: Turn, last: bool) -> str:
    """What was said and nothing else; a system may put its own function in `Renderer.words`."""
    return turn.text


def no_spelling(text: str) -> None:
    """Every text is spelt by the tokenizer; the chat engine may put its memory in `Renderer.spelt`."""
    return


def first_kept(lengths: Sequence[int], room: int, stride: int = 1) -> int:
    """Which turn is the first that a window of `room` ids keeps; the last turn is always kept.

    Args:
        lengths: ids of every turn, oldest first.
        stride: the amount to drop is rounded up to a multiple of this. In a chat that grows past its window,
            the kept part then begins at the same turn for several exchanges, and a prompt cache stays good
            for as long; with 1 as little as possible is dropped.
    """
    excess = sum(lengths) - room
    wanted = -(-max(0, excess) // stride) * stride
    dropped = 0
    for number, length in enumerate(lengths[:-1]):
        if dropped >= wanted:
            return number
        dropped += length
    return max(0, len(lengths) - 1)


def _gold_turn(example: Example) -> Turn:
    return Turn.model_construct(
        speaker=example.speaker,
        text=example.response,
        strategy=example.strategy,
        feedback=None,
        annotations=None,
    )


def _cut(row: Row, window: int, overlap: int) -> list[Row]:
    """Pieces of at most `window` ids that together hold every target once, in order.

    `overlap` must be less than `window` and at least 1: a target is predicted from the id before it.
    """
    if len(row.ids) <= window:
        return [row]
    pieces: list[Row] = []
    remaining, start = row.targets, 0
    while remaining:
        first = [target for target in remaining if target.example == remaining[0].example]
        if first[-1].position >= start + window:  # from here the first reply would be cut
            start = max(start, first[0].position - overlap)
        inside = [target for target in remaining if target.position < start + window]
        last = remaining[len(inside) - 1].example
        if len(inside) < len(remaining) and remaining[len(inside)].example == last:
            whole = [target for target in inside if target.example != last]
            inside = whole or inside  # a reply is cut only when it alone is longer than the window
        stop = inside[-1].position + 1
        moved = [Target(t.position - start, t.example, t.is_strategy) for t in inside]
        pieces.append(Row(row.ids[start:stop], moved))
        remaining = remaining[len(inside) :]
        if remaining:
            start = max(0, remaining[0].position - overlap)
    return pieces


def width(row: Row) -> int:
    """Ids a row costs: what the decoder reads and what the encoder reads."""
    return len(row.ids) + len(row.source)


def micro_batches(rows: Sequence[Row], micro_tokens: int) -> list[list[Row]]:
    """Cut `rows`, in their order, into batches of at most `micro_tokens` padded ids (or one row)."""
    batches: list[list[Row]] = []
    for row in rows:
        if batches and padded([*batches[-1], row]) <= micro_tokens:
            batches[-1].append(row)
        else:
            batches.append([row])
    return batches


def padded(rows: Sequence[Row]) -> int:
    """Ids a batch of `rows` costs with its padding, in the decoder and in the encoder."""
    return len(rows) * (max(len(row.ids) for row in rows) + max(len(row.source) for row in rows))
