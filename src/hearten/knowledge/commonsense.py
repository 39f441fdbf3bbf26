"""What an event implies for who is in it: ATOMIC's nine relations, as short phrases.

Three answerers, one interface:

- `open_commonsense(FOLDER)`: COMET as published (COMET-BART on ATOMIC 2020, or any sequence-to-sequence model
  tuned alike) from a local folder in the hub's layout. The head and the relation's name make its input;
  `[GEN]` follows where the model's vocabulary has it, because the two released BART checkpoints differ by it
  and the wrong format degrades them. Beam search, five beams, five tails.
- `open_commonsense("events")`: the default where there is no COMET. The nearest events of Event2Mind (Rashkin
  et al. 2018, MIT), the forerunner of ATOMIC, lend their phrases. It knows three of the nine relations:
  xIntent, xReact and oReact.
- `ChatCommonsense(model)`: any chat model, told the relation in words and shown two examples. All nine
  relations, one call each: meant for a large model behind a server.

Heads are what was said, unchanged: published systems feed utterances though ATOMIC's events read "PersonX
…".
"""

import json
import re
import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Protocol
from zipfile import ZipFile

import numpy as np

from hearten.core.chat import ChatModel, Message, Sampling
from hearten.core.errors import Failure, UsageError, nearest
from hearten.core.places import find_corpus
from hearten.knowledge.emotion import Floats

BEAMS = 5
TAIL_TOKENS = 24
"""COMET-BART's target length in fine-tuning."""
HEAD_TOKENS = 48
"""Its source length."""
BATCH = 16
NEIGHBOURS = 8
"""Events of Event2Mind that lend their phrases to one text."""
PHRASES = 5
EMPTY = frozenset({"", "none", "n/a", "nan", "nothing"})
ABOUT_NAMES = re.compile(r"\bperson ?[xyz]\b|\b[xyz]'s\b", re.I)
"""Phrases that speak of PersonX by name cannot be lent to another text."""
EVENT_COLUMNS = {"Xintent": "xIntent", "Xemotion": "xReact", "Otheremotion": "oReact"}
"""Event2Mind's columns and the ATOMIC relations that grew out of them."""

Inferences = dict[str, list[str]]
"""Relation → phrases, the likeliest first."""


@dataclass(frozen=True, slots=True)
class Relation:
    """One of the nine."""

    name: str
    reads: str
    affective: bool


class Commonsense(Protocol):
    """Says what texts imply."""

    name: str
    relations: tuple[str, ...]
    """Which of the nine it can answer."""

    def infer(self, texts: Sequence[str]) -> list[Inferences]:
        """For each text the phrases of every relation; a relation that implies nothing has none."""
        ...


@cache
def _table() -> dict[str, Any]:
    text = (files("hearten.knowledge") / "tables" / "commonsense.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)


@cache
def relations() -> tuple[Relation, ...]:
    """ATOMIC's nine."""
    return tuple(Relation(**row) for row in _table()["relations"])


def relation_names() -> tuple[str, ...]:
    """Their names, in order."""
    return tuple(relation.name for relation in relations())


def phrases(found: Sequence[str], limit: int = PHRASES) -> list[str]:
    """Cleaned tails: trimmed, lower case, without empty ones and doubles, at most `limit`."""
    kept: dict[str, None] = {}
    for tail in found:
        text = re.sub(r"\s+", " ", tail).strip(" .,;:-\"'").lower()
        if text not in EMPTY:
            kept[text] = None
    return list(kept)[:limit]


class Comet:
    """A sequence-to-sequence COMET from a local folder."""

    def __init__(self, folder: Path, *, beams: int = BEAMS) -> None:
        from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

        self.name, self.relations, self._beams = folder.name, relation_names(), beams
        self._tokenizer: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        model: Any = AutoModelForSeq2SeqLM.from_pretrained(folder, local_files_only=True)
        self._model = model.eval()
        self._generates = "[GEN]" in self._tokenizer.get_vocab()

    def prompt(self, head: str, relation: str) -> str:
        """The published input: `{head} {relation}`, with ` [GEN]` where the model knows that token."""
        return f"{head.strip()} {relation}{' [GEN]' if self._generates else ''}"

    def infer(self, texts: Sequence[str]) -> list[Inferences]:
        """Phrases of all nine relations."""
        asked = [(text, relation) for text in texts for relation in self.relations]
        tails: list[list[str]] = []
        for start in range(0, len(asked), BATCH):
            tails.extend(self._batch([self.prompt(*pair) for pair in asked[start : start + BATCH]]))
        width = len(self.relations)
        return [
            {
                name: phrases(own)
                for name, own in zip(self.relations, tails[n * width : (n + 1) * width], strict=True)
            }
            for n in range(len(texts))
        ]

    def _batch(self, prompts: list[str]) -> list[list[str]]:
        """The tails of each prompt by beam search, the likeliest first."""
        import torch

        inputs = self._tokenizer(
            prompts, padding=True, truncation=True, max_length=HEAD_TOKENS, return_tensors="pt"
        )
        wanted = {"num_beams": self._beams, "num_return_sequences": self._beams}
        with torch.inference_mode():
            ids = self._model.generate(
                input_ids=inputs["input_ids"],
                attention_mask=inputs["attention_mask"],
                max_new_tokens=TAIL_TOKENS,
                do_sample=False,
                **wanted,
            )
        said = self._tokenizer.batch_decode(ids, skip_special_tokens=True)
        return [said[start : start + self._beams] for start in range(0, len(said), self._beams)]


class EventCommonsense:
    """The phrases of the nearest events of Event2Mind, weighed by how near they are."""

    def __init__(self, events: Mapping[str, Mapping[str, Counter[str]]], *, name: str = "events") -> None:
        """Hold `events`: what people said each implies, by relation."""
        self.name, self.relations = name, tuple(sorted(set(EVENT_COLUMNS.values())))
        self._heads = list(events)
        self._implied = [events[head] for head in self._heads]
        self._vectors: Floats | None = None

    def infer(self, texts: Sequence[str]) -> list[Inferences]:
        """Phrases of xIntent, xReact and oReact."""
        from hearten.knowledge.vectors import kept_vectors
        from hearten.lm.embed import LAYERS, embed

        if self._vectors is None:
            heads = [_first_person(head) for head in self._heads]
            self._vectors = kept_vectors("event2mind", heads, (LAYERS,), quiet=True)
        near = embed(list(texts)) @ self._vectors.T  # (N, events)
        return [self._vote(row) for row in near]

    def _vote(self, near: Floats) -> Inferences:
        chosen = np.argsort(-near)[:NEIGHBOURS]
        votes: dict[str, Counter[str]] = {relation: Counter() for relation in self.relations}
        for place in chosen:
            weight = float(near[place]) ** 2
            for relation, said in self._implied[place].items():
                total = sum(said.values())
                for phrase, count in said.items():
                    votes[relation][phrase] += weight * count / total
        return {
            relation: phrases([said for said, _ in count.most_common() if not ABOUT_NAMES.search(said)])
            for relation, count in votes.items()
        }


def _first_person(event: str) -> str:
    """An event as a seeker would say it: PersonX becomes I, the others become people."""
    named = re.sub(r"\bPersonX's\b", "my", re.sub(r"\bPersonX\b", "I", event))
    return re.sub(r"\bPersonY\b", "someone", named).replace("___", "something")


def read_events(archive: Path, parts: Sequence[str] = ("train",)) -> dict[str, dict[str, Counter[str]]]:
    """Event2Mind's archive: event → relation → how many people wrote each phrase.

    Raises:
        Failure: a part or a column is missing.
    """
    import csv
    import io

    events: dict[str, dict[str, Counter[str]]] = {}
    with ZipFile(archive) as zipped:
        for part in parts:
            with zipped.open(f"{part}.csv") as stream:
                for row in csv.DictReader(io.TextIOWrapper(stream, "utf-8")):
                    empty = {name: Counter[str]() for name in EVENT_COLUMNS.values()}
                    own = events.setdefault(row["Event"], empty)
                    for column, relation in EVENT_COLUMNS.items():
                        own[relation].update(_written(row, column, archive))
    return events


def _written(row: Mapping[str, str], column: str, archive: Path) -> Iterator[str]:
    try:
        values: list[str] = json.loads(row[column])
    except (KeyError, json.JSONDecodeError):
        raise Failure(f"no list of phrases in column '{column}'", where=str(archive)) from None
    for value in values:
        text = re.sub(r"\s+", " ", value).strip(" .").lower()
        yield text or "none"


class ChatCommonsense:
    """A chat model asked in words, with two examples."""

    def __init__(self, model: ChatModel) -> None:
        self.name, self.relations, self._model = model.name, relation_names(), model

    def infer(self, texts: Sequence[str]) -> list[Inferences]:
        """Phrases of all nine relations, one call each."""
        sampling = Sampling(temperature=0, max_tokens=32, repetition_penalty=1.0, seed=0)

        def ask(text: str, relation: Relation) -> list[str]:
            said = self._model.complete(self.messages(text, relation), sampling=sampling)[0]
            return phrases(re.split(r"[;,\n]", said))

        return [{relation.name: ask(text, relation) for relation in relations()} for text in texts]

    def messages(self, text: str, relation: Relation) -> list[Message]:
        """The chat that asks for one relation of one text."""
        order = (
            f"Someone tells you what happened. Answer only with a few words: {relation.reads}. "
            "Say none if nothing follows."
        )
        shots = [
            Message(role=role, content=content)
            for shot in _table()["shots"]
            for role, content in (("user", shot["event"]), ("assistant", shot[relation.name]))
        ]
        return [Message(role="system", content=order), *shots, Message(role="user", content=text)]


def open_commonsense(name: str = "events", chat: ChatModel | None = None) -> Commonsense:
    """The answerer called `name`: `events`, `chat` (with the model given), or a COMET folder.

    Raises:
        UsageError: no such folder, or Event2Mind is not here; says what to get.
    """
    if name == "chat" and chat is not None:
        return ChatCommonsense(chat)
    if name == "events":
        archive = find_corpus("event2mind/event2mind.zip")
        if archive is None:
            raise UsageError(
                "Event2Mind is not on this machine", fix="hearten data get event2mind (1.3 MB, MIT)"
            )
        return EventCommonsense(read_events(archive))
    folder = Path(name)
    if (folder / "config.json").is_file():
        return Comet(folder)
    raise UsageError(
        f"no commonsense model '{name}'",
        fix=f"{nearest(name, ['events', 'chat'])}; or a folder that holds COMET-BART (ATOMIC 2020, 1.6 GB)",
    )
