"""The one runner of annotation: every distinct text is asked once, in batches, and never again.

Answers go into the knowledge cache as they come, so a stop loses at most one batch and the same command
goes on where it stopped. The output is written whole at the end; annotations of other kinds that the
input carries, or that an earlier run left in the output, are kept.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from hearten.core.conversation import Conversation, Record
from hearten.core.jsonl import read_records, write_records
from hearten.core.progress import progress
from hearten.core.registry import lookup
from hearten.knowledge.cache import KnowledgeCache
from hearten.knowledge.kinds import WHO, Annotator, carried, with_annotations

MARK = ".annotated.jsonl"


class Annotated(Record):
    """What a run did."""

    kind: str
    out: str
    conversations: int
    turns: int
    """Turns that carry the annotation now."""
    texts: int
    """Distinct texts among them (with situations, where they are asked)."""
    from_cache: int
    counts: dict[str, int]
    """How often each value was found, where values are few (emotion labels); else empty."""


def beside(file: Path) -> Path:
    """Where annotations go if nobody says: `FILE.annotated.jsonl`, which grows kind by kind."""
    if file.name.endswith(MARK):
        return file
    return file.with_name(file.name.removesuffix(".gz").removesuffix(".jsonl") + MARK)


def read_conversations(file: Path, limit: int | None = None) -> list[Conversation]:
    """The (first) conversations of a file."""
    return list(read_records(file, Conversation))[:limit]


def texts_of(conversations: Iterable[Conversation], who: str, *, situations: bool = False) -> list[str]:
    """The distinct texts of the turns of `who`, in order of appearance."""
    speakers = lookup(WHO, who, "choice of turns")
    found: dict[str, None] = {}
    for conversation in conversations:
        if situations and conversation.profile.situation:
            found[conversation.profile.situation] = None
        found.update(dict.fromkeys(turn.text for turn in conversation.turns if turn.speaker in speakers))
    return list(found)


def annotate(
    conversations: Sequence[Conversation],
    annotator: Annotator,
    out: Path,
    *,
    who: str = "all",
    cache: Path | None = None,
    quiet: bool = False,
) -> Annotated:
    """Ask what the cache does not know, and write the annotated conversations to `out`."""
    texts = texts_of(conversations, who, situations=annotator.situation is not None)
    known = KnowledgeCache(annotator.kind, annotator.signature, cache)
    missing = [text for text in texts if text not in known]
    with progress(annotator.kind, len(texts), done=len(texts) - len(missing), quiet=quiet) as bar:
        for start in range(0, len(missing), annotator.batch):
            asked = missing[start : start + annotator.batch]
            known.add(asked, annotator.answer(asked))
            bar.advance(len(asked))
    annotated = [carried(one, annotator, known, who) for one in _with_kept(conversations, out)]
    write_records(out, annotated)
    return _summary(annotated, annotator.kind, out, len(texts), len(texts) - len(missing), who)


def _with_kept(conversations: Sequence[Conversation], out: Path) -> list[Conversation]:
    """The conversations with what an earlier run left on the same turns in `out`."""
    if not out.is_file():
        return list(conversations)
    before = {one.id: one for one in read_records(out, Conversation)}
    return [_join(one, before.get(one.id)) for one in conversations]


def _join(conversation: Conversation, before: Conversation | None) -> Conversation:
    if before is None or [turn.text for turn in before.turns] != [turn.text for turn in conversation.turns]:
        return conversation
    turns = [
        with_annotations(turn, {**(old.annotations or {}), **(turn.annotations or {})})
        if old.annotations
        else turn
        for turn, old in zip(conversation.turns, before.turns, strict=True)
    ]
    return conversation.model_copy(update={"turns": tuple(turns)})


def _summary(
    annotated: Sequence[Conversation], kind: str, out: Path, texts: int, cached: int, who: str
) -> Annotated:
    values = [
        (turn.annotations or {}).get(kind)
        for one in annotated
        for turn in one.turns
        if turn.speaker in WHO[who]
    ]
    shown = Counter(value["label"] for value in values if isinstance(value, dict) and "label" in value)
    return Annotated(
        kind=kind,
        out=str(out),
        conversations=len(annotated),
        turns=sum(value is not None for value in values),
        texts=texts,
        from_cache=cached,
        counts=dict(shown.most_common()),
    )
