"""`read_corpus(path)`: recognise a corpus by its content, read and validate every conversation.

The default refuses the first bad record with file, place, field and fix. With `skip_bad` bad records are
left out, counted and kept as complaints, never silently dropped.
"""

import gc
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from hearten.core.config import explain
from hearten.core.conversation import Conversation
from hearten.core.errors import Failure, UsageError
from hearten.core.registry import lookup
from hearten.core.taxonomy import LABEL_SET_NAMES, LabelSet, label_set
from hearten.data.catalogue import licence_of
from hearten.data.formats import FORMATS
from hearten.data.formats.draft import Draft, Format
from hearten.data.source import Source, open_source


@dataclass(frozen=True)
class Corpus:
    """Conversations and where they come from."""

    path: Path
    format: str
    conversations: tuple[Conversation, ...]
    licence: str
    skipped: tuple[Failure, ...] = ()
    """Complaints about records left out under `skip_bad`."""

    @property
    def label_set(self) -> str:
        """The label set of most conversations."""
        return Counter(one.label_set for one in self.conversations).most_common(1)[0][0]


def read_corpus(
    path: Path | str, *, format: str | None = None, skip_bad: bool = False, limit: int | None = None
) -> Corpus:
    """Every conversation at `path`.

    Args:
        path: a file (plain, .gz, .zip) or a ConvoKit folder.
        format: a name in `FORMATS`; None recognises it by content.
        skip_bad: leave bad records out instead of refusing.
        limit: read only this many records.

    Raises:
        UsageError: nothing there, or no format recognises it.
        Failure: a record is bad; with file, place, field and fix.
    """
    with _uncollected():
        return _read(open_source(Path(path)), format, skip_bad=skip_bad, limit=limit)


@contextmanager
def _uncollected() -> Iterator[None]:
    """No cyclic garbage collection meanwhile: a corpus is many small objects, none of them garbage yet."""
    before = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if before:
            gc.enable()


def _read(source: Source, format: str | None, *, skip_bad: bool, limit: int | None) -> Corpus:
    form = lookup(FORMATS, format, "format") if format else recognise(source)
    drafts, skipped = _drafts(source, form, skip_bad=skip_bad, limit=limit)
    names = {
        turn.get("strategy") for _, draft in drafts if "label_set" not in draft for turn in draft["turns"]
    }
    guessed = guess_label_set((str(name) for name in names if name), form.label_set)
    conversations: list[Conversation] = []
    for place, draft in drafts:
        try:
            conversations.append(_validated({"label_set": guessed, **draft}))
        except Failure as error:
            _complain(error, source, place, skipped if skip_bad else None)
    if not conversations:
        raise Failure("no conversation in it could be read", where=str(source.path), fix=_first_fix(skipped))
    licence = licence_of(form.source, {one.source for one in conversations})
    return Corpus(source.path, form.name, tuple(conversations), licence, tuple(skipped))


def recognise(source: Source) -> Format:
    """The format of a source.

    Raises:
        UsageError: none of them; with what they look like.
    """
    for form in FORMATS.values():
        if form.recognise(source):
            return form
    if not source.text:
        raise UsageError(
            f"'{source.path}' holds no ConvoKit corpus", fix=f"name one file of it: {_inside(source)}"
        )
    if source.text.lstrip()[:1] in ("[", "{"):
        list(source.records())
    known = "; ".join(f"{form.name} ({form.title})" for form in FORMATS.values())
    raise UsageError(f"no known format: '{source.path}'", fix=f"one of: {known}")


def _inside(source: Source) -> str:
    """What a person sees in the folder or archive."""
    folder = source.path.is_dir()
    names = (entry.name for entry in source.path.iterdir()) if folder else source.members
    return ", ".join(sorted(names)[:8]) or "it is empty"


def guess_label_set(names: Iterable[str], preferred: str) -> str:
    """The label set that knows all the names; `preferred` where it does or where none does."""
    wanted = list(names)
    order = (preferred, *(name for name in LABEL_SET_NAMES if name != preferred))
    return next((name for name in order if all(_knows(label_set(name), one) for one in wanted)), preferred)


def _knows(known: LabelSet, name: str) -> bool:
    try:
        known.find(name)
    except Failure:
        return False
    return True


def _drafts(
    source: Source, form: Format, *, skip_bad: bool, limit: int | None
) -> tuple[list[tuple[str, Draft]], list[Failure]]:
    drafts: list[tuple[str, Draft]] = []
    skipped: list[Failure] = []
    for number, (place, record) in enumerate(form.records(source)):
        if limit is not None and number >= limit:
            break
        try:
            if isinstance(record, Failure):
                raise record
            drafts.append((place, form.draft(record, number)))
        except Failure as error:
            _complain(error, source, place, skipped if skip_bad else None)
    return drafts, skipped


def _complain(error: Failure, source: Source, place: str, kept: list[Failure] | None) -> None:
    """Raise the complaint with its full place, or keep it."""
    where = ", ".join(part for part in (str(source.path), place, error.where) if part)
    complaint = Failure(error.what, where=where, fix=error.fix)
    if kept is None:
        raise complaint from None
    kept.append(complaint)


def _validated(draft: Draft) -> Conversation:
    try:
        return Conversation.model_validate(draft)
    except ValidationError as error:
        what, field, fix = explain(error, Conversation)
        raise Failure(what, where=_place(field), fix=fix) from None


def _place(field: str) -> str:
    """`turns.3.feedback` → `turn 4, field feedback`."""
    parts = field.split(".")
    if parts[0] != "turns" or len(parts) < 2:
        return f"field {field}" if field else ""
    rest = ".".join(parts[2:])
    return f"turn {int(parts[1]) + 1}" + (f", field {rest}" if rest else "")


def _first_fix(skipped: Sequence[Failure]) -> str:
    return f"the first complaint: {skipped[0].what} ({skipped[0].where})" if skipped else ""
