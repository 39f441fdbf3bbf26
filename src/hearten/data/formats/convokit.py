"""ConvoKit corpora, folder or zip: utterances.jsonl, speakers.json, conversations.json, corpus, index.

Layout: convokit.cornell.edu/documentation/data_format.html. Nobody's identity is known, so each conversation
gets its own two speakers. ConvoKit names a conversation after its first utterance; our id stands in its
metadata, with profile and survey. When reading foreign corpora, who is seeker and who supporter is taken
from `role` in the speaker's or utterance's metadata, else from the speaker's name.
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from hearten.core.conversation import Conversation
from hearten.core.errors import Failure
from hearten.core.jsonl import write_json, write_records
from hearten.data.formats.draft import Draft, Format, Raw, clean, present, role
from hearten.data.source import Source, json_lines

UTTERANCES, SPEAKERS, CONVERSATIONS = "utterances.jsonl", "speakers.json", "conversations.json"
KEPT = ("id", "source", "label_set", "profile", "survey")


def recognise(source: Source) -> bool:
    """A folder or archive with utterances.jsonl."""
    return UTTERANCES in source.members


def records(source: Source) -> Iterator[Raw]:
    """Utterances gathered by conversation, with what the other files say of it."""
    speakers, about = _table(source, SPEAKERS), _table(source, CONVERSATIONS)
    gathered: dict[str, list[tuple[str, Draft]]] = {}
    lines = enumerate(source.members[UTTERANCES].split("\n"), 1)
    for place, value in json_lines((n, line) for n, line in lines if line.strip()):
        if isinstance(value, Failure):
            yield f"{UTTERANCES} {place}", value
        elif not isinstance(value, dict) or not {"id", "speaker", "text", "conversation_id"} <= value.keys():
            yield f"{UTTERANCES} {place}", Failure("an utterance needs id, speaker, text and conversation_id")
        else:
            gathered.setdefault(str(value["conversation_id"]), []).append((place, value))
    for name, utterances in gathered.items():
        place = f"conversation '{name}' ({UTTERANCES} {utterances[0][0]})"
        yield (
            place,
            {"id": name, "meta": _meta(about.get(name)), "utterances": utterances, "speakers": speakers},
        )


def _table(source: Source, name: str) -> Draft:
    try:
        table = json.loads(source.members.get(name, "{}"))
    except json.JSONDecodeError as error:
        raise Failure(
            f"not valid JSON: {error.msg}", where=f"{source.path / name}, line {error.lineno}"
        ) from None
    return table if isinstance(table, dict) else {}


def _meta(entry: Any) -> Draft:
    """Metadata of a speaker or conversation; older corpora have no `meta` level."""
    if not isinstance(entry, dict):
        return {}
    meta = entry.get("meta", entry)
    return meta if isinstance(meta, dict) else {}


def draft(record: Any, number: int) -> Draft:
    """One conversation."""
    kept = {key: record["meta"][key] for key in KEPT if record["meta"].get(key) is not None}
    turns = [_turn(utterance, record["speakers"], place) for place, utterance in record["utterances"]]
    return {"id": record["id"], **kept, "turns": turns}


def _turn(utterance: Draft, speakers: Draft, where: str) -> Draft:
    meta = _meta({"meta": utterance.get("meta") or {}})
    name = utterance["speaker"]
    called = meta.get("role") or _meta(speakers.get(str(name))).get("role") or name
    return present(
        speaker=role(called, f"{where}, field speaker"),
        text=clean(utterance["text"], f"{where}, field text"),
        strategy=meta.get("strategy"),
        feedback=meta.get("feedback"),
        annotations=meta.get("annotations"),
    )


def write(conversations: Sequence[Conversation], path: Path) -> None:
    """Write a corpus folder that `convokit.Corpus(filename=…)` loads."""
    write_records(path / UTTERANCES, (row for one in conversations for row in _utterances(one)))
    write_json(path / SPEAKERS, {name: entry for one in conversations for name, entry in _speakers(one)})
    write_json(path / CONVERSATIONS, {_root(one): _entry(_about(one)) for one in conversations})
    sources = sorted({conversation.source for conversation in conversations})
    write_json(path / "corpus.json", {"name": " ".join(sources), "written_by": "hearten"})
    write_json(path / "index.json", _index(conversations))


def _root(conversation: Conversation) -> str:
    return f"{conversation.id}.0"


def _about(conversation: Conversation) -> Draft:
    return conversation.model_dump(mode="json", exclude_none=True, include=set(KEPT))


def _entry(meta: Draft) -> Draft:
    return {"meta": meta, "vectors": []}


def _speakers(conversation: Conversation) -> Iterator[tuple[str, Draft]]:
    for name in sorted({turn.speaker.value for turn in conversation.turns}):
        yield f"{conversation.id}.{name}", _entry({"role": name})


def _utterances(conversation: Conversation) -> Iterator[Draft]:
    for number, turn in enumerate(conversation.turns):
        yield {
            "id": f"{conversation.id}.{number}",
            "conversation_id": _root(conversation),
            "text": turn.text,
            "speaker": f"{conversation.id}.{turn.speaker.value}",
            "meta": turn.model_dump(mode="json", exclude_none=True, exclude={"speaker", "text"}),
            "reply-to": f"{conversation.id}.{number - 1}" if number else None,
            "timestamp": None,
            "vectors": [],
        }


def _index(conversations: Sequence[Conversation]) -> Draft:
    """Which metadata fields exist and of which types, as ConvoKit keeps it."""
    turns = [row["meta"] for one in conversations for row in _utterances(one)]
    return {
        "utterances-index": _types(turns),
        "speakers-index": {"role": ["<class 'str'>"]},
        "conversations-index": _types([_about(one) for one in conversations]),
        "overall-index": {"name": ["<class 'str'>"], "written_by": ["<class 'str'>"]},
        "version": 1,
        "vectors": [],
    }


def _types(metas: Sequence[Draft]) -> Draft:
    found: dict[str, set[str]] = {}
    for meta in metas:
        for key, value in meta.items():
            found.setdefault(key, set()).add(str(type(value)))
    return {key: sorted(types) for key, types in sorted(found.items())}


CONVOKIT = Format("convokit", "a ConvoKit corpus folder or zip", recognise, records, draft, write=write)
