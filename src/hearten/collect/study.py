"""A study in one TOML file: everything a study leader decides, with the paper's values as defaults.

`hearten collect init NAME` writes such a file with a comment on every key; `hearten web --study FILE` runs
it. The module knows nothing of pages or the database: it only says what is allowed. Defaults are those of
ESConv (Liu et al. 2021, section 4, Appendix D and the platform of Figure 8) unless a field says otherwise.
"""

import json
import re
import textwrap
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field, field_validator, model_validator

from hearten.core.config import Config, load_toml
from hearten.core.errors import UsageError
from hearten.core.taxonomy import LabelSet, label_set, labels

Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0)]
Minutes = Annotated[float, Field(ge=0)]


class Part(Config):
    """A part of a study; the sentence under each key becomes the comment in the file `collect init`
    writes.
    """

    model_config = ConfigDict(use_attribute_docstrings=True)


class Ethics(Part):
    """Consent and what a board asks for."""

    irb: str = ""
    """The board's reference, shown on the consent page and in the data card."""
    contact: str = ""
    """Whom participants may write to."""
    minimum_age: Annotated[int, Field(ge=18)] = 18
    """Participants confirm it."""
    consent_version: str = "1"
    """Raise it when `consent` changes: everyone is asked again, and the version is stored with the answer."""
    consent: str = (
        "You take part in a study about how people support one another in writing. You will chat with "
        "another participant under a made-up name. What you write is stored, stripped of contact details, "
        "and may be published for research. You can stop at any moment and have everything you wrote "
        "deleted. The other person is not a therapist, and this is not a service for emergencies."
    )
    """Shown before anything else; empty lines make paragraphs."""


class Training(Part):
    """The supporters' tutorial and exam (section 4.1)."""

    content: str = "esconv"
    """A shipped tutorial, or the path of a TOML file of the same form."""
    exam_questions: Annotated[int, Field(ge=1)] = 11
    """Drawn from the sub-tasks, in random order."""
    pass_share: Share = 0.8
    """Of right answers."""
    attempts: Annotated[int, Field(ge=1)] = 3
    """Afterwards the study leader may grant another."""


class SeekerSurvey(Part):
    """What a seeker is asked before the chat (section 4.2)."""

    problems: tuple[str, ...] = ()
    """Empty: the five of the paper."""
    emotions: tuple[str, ...] = ()
    """Empty: the seven of the paper."""
    words: tuple[Count, Count] = (20, 80)
    """Least and most words of the situation."""

    @field_validator("problems")
    @classmethod
    def _known_problems(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return _choice("problems", value)

    @field_validator("emotions")
    @classmethod
    def _known_emotions(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return _choice("emotions", value)

    @model_validator(mode="after")
    def _paper_lists(self) -> Self:
        for kind in ("problems", "emotions"):
            if not getattr(self, kind):
                known = labels(kind)
                object.__setattr__(self, kind, known.names[: known.paper])
        return self


class Chat(Part):
    """When stars are asked for, when a chat may end, when a partner counts as gone (Figure 8)."""

    feedback_every: Annotated[int, Field(ge=0)] = 2
    """Supporter utterances between two questions for stars; 0 asks never."""
    end_turns: Count = 10
    """The seeker may end after so many exchanges (one run of each side) and `end_minutes`."""
    end_minutes: Minutes = 15
    """See `end_turns`: both must be reached."""
    silence_minutes: Minutes = 3
    """After so long without a word, the other may leave for the partner's reasons."""
    longest_message: Annotated[int, Field(ge=1, le=20_000)] = 4000
    """Characters."""


class Pay(Part):
    """The bonus rule (Figure 8): a share of `base` for each end state; shown to participants, not paid by
    us.
    """

    currency: str = ""
    """Empty: no reward is mentioned."""
    base: Annotated[float, Field(ge=0)] = 1.0
    """The reward of end state 01."""
    seeker: dict[str, float] = Field(default={"01": 1, "02": 1.5, "03": 10})
    """Times base: left early, partner gone, finished."""
    supporter: dict[str, float] = Field(default={"00": 1, "01": 1, "02": 10, "03": 10})
    """Times base: training not passed, left early, partner gone, finished."""

    def reward(self, role: str, status: str) -> float:
        """What a participant of `role` who ended in `status` earns, in `currency`."""
        table = self.seeker if role == "seeker" else self.supporter
        return self.base * table.get(status, 1.0)


class Quotas(Part):
    """When to stop: 0 means no limit."""

    conversations: Count = 0
    """Finished conversations wanted in all."""
    per_person: Annotated[int, Field(ge=1)] = 1
    """Conversations one participant may take part in."""
    per_problem: dict[str, Count] = Field(default={})
    """Conversations wanted for a problem, e.g. {"job crisis" = 20}."""


class Thresholds(Part):
    """The auto-approval of Table 1, read with Appendix D: three of four for the supporter, and the seeker's.

    The table's note says "two of three", its header ">= 3" and Appendix D "at least three of all the four";
    the last fits the searched rules of Table 7, so it is the default.
    """

    improvement: float = 1
    """Intensity before minus after."""
    supporter_length: float = 8
    """Mean words of a supporter's utterance."""
    empathy: float = 3
    """Stars."""
    relevance: float = 4
    """Stars, rated by the seeker."""
    supporter_needed: Annotated[int, Field(ge=0, le=4)] = 3
    """How many of the four above."""
    detail: float | None = None
    """The supporter's rating of the seeker; None: not required, as in the paper."""
    seeker_length: float = 6
    """Mean words of a seeker's utterance."""
    last_feedback: float = 5
    """Without a survey, the last two stars must reach this: the paper's "greater than 4"."""
    minimum_utterances: Count = 16
    """Shorter conversations are filtered out."""


class Completion(Part):
    """What a crowd platform wants back."""

    code: str = ""
    """Shown on the last page."""
    url: str = ""
    """Where the last page leads, e.g. Prolific's completion address."""
    external_parameter: str = "PROLIFIC_PID"
    """The query parameter that carries the platform's own id of a participant."""


class Care(Part):
    """Where people find help; shown on every page and after "I don't feel well"."""

    resources: tuple[tuple[str, str], ...] = (
        ("United States: call or text", "988"),
        ("United Kingdom and Ireland: Samaritans", "116 123"),
        ("European Union: emergencies", "112"),
        ("Anywhere: a directory of helplines", "findahelpline.com"),
    )
    """(who, how): put those of your participants' country first."""
    screen: bool = True
    """A program reads what seekers write for signs of danger, and shows both sides where help is (`watch`).
    Participants are told before they consent."""


class Judge(Part):
    """A human evaluation on the same platform: `chat` with hidden supporters, or `pairs` of replies."""

    kind: Literal["chat", "pairs"] = "chat"
    supporters: tuple[str, ...] = ()
    """Two or three names that `hearten chat` would accept, hidden from the participant."""
    items: str = ""
    """For `pairs`: a JSON Lines file of {id, context, replies: {system: text}}."""
    questions: tuple[tuple[str, str], ...] = (
        ("fluency", "Which one wrote more naturally and understandably?"),
        ("identification", "Which one got to the bottom of your situation better?"),
        ("comforting", "Which one comforted you better?"),
        ("suggestion", "Which one gave you more helpful suggestions?"),
        ("overall", "Taken together, whose support would you rather have?"),
    )
    """(name, wording): the five of ESConv's Table 5, also asked by ExTES (Table 9) and AdMISC (Table 5)."""
    minimum_turns: Annotated[int, Field(ge=1)] = 5
    """Exchanges with each supporter before a participant may go on."""


class Study(Part):
    """One study."""

    name: str
    """In the address of its pages: small letters, digits and hyphens."""
    title: str
    """On every page."""
    languages: tuple[str, ...] = ("en",)
    """Offered to participants, the first where none fits: en, de."""
    label_set: str = "esconv"
    """Strategies supporters choose from: esconv, extes or multiesc (a tutorial of the same set is needed)."""
    open: bool = False
    """True: whoever has the address may join; False: an invitation is needed."""
    supporter: Literal["people", "model", "assisted"] = "people"
    """Who supports: people, a model, or people to whom a model suggests."""
    model: str = ""
    """The supporter that speaks or suggests."""
    ethics: Ethics = Ethics()
    training: Training = Training()
    seeker: SeekerSurvey = SeekerSurvey()
    chat: Chat = Chat()
    pay: Pay = Pay()
    quotas: Quotas = Quotas()
    quality: Thresholds = Thresholds()
    completion: Completion = Completion()
    care: Care = Care()
    judge: Judge | None = None

    @field_validator("name")
    @classmethod
    def _address(cls, value: str) -> str:
        if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,39}", value):
            raise UsageError(
                f"'{value}' cannot be part of an address", fix="small letters, digits and hyphens"
            )
        return value

    @model_validator(mode="after")
    def _whole(self) -> Self:
        label_set(self.label_set)
        if self.supporter != "people" and not self.model:
            raise UsageError(f"supporter = '{self.supporter}' needs a model", fix='add model = "NAME"')
        if self.judge and self.judge.kind == "chat" and len(self.judge.supporters) not in (2, 3):
            raise UsageError(
                "a judging chat compares two or three supporters", fix="list them in judge.supporters"
            )
        if self.judge and self.judge.kind == "pairs" and not self.judge.items:
            raise UsageError("judging pairs needs a file of them", fix="name it in judge.items")
        return self

    @property
    def models(self) -> tuple[str, ...]:
        """The supporters this study opens."""
        hidden = self.judge.supporters if self.judge and self.judge.kind == "chat" else ()
        return (*((self.model,) if self.supporter != "people" else ()), *hidden)

    @property
    def labels(self) -> LabelSet:
        """The strategies supporters choose from."""
        return label_set(self.label_set)


def load_study(path: Path) -> Study:
    """The study a TOML file defines; paths inside it are taken from the file's folder.

    Raises:
        UsageError: missing file, unknown key or a value that is not allowed; with the key and the nearest
        name.
    """
    study = load_toml(path, Study)
    beside = path.resolve().parent
    if study.training.content.endswith(".toml"):
        training = study.training.model_copy(update={"content": str(beside / study.training.content)})
        study = study.model_copy(update={"training": training})
    if study.judge and study.judge.items:
        judge = study.judge.model_copy(update={"items": str(beside / study.judge.items)})
        study = study.model_copy(update={"judge": judge})
    return study


def _choice(kind: str, names: tuple[str, ...]) -> tuple[str, ...]:
    known = labels(kind)
    return tuple(known.find(name) for name in names)


def as_toml(study: Study) -> str:
    """A study file with every key, its value and a comment on what it means."""
    tables = [name for name in Study.model_fields if isinstance(getattr(study, name), Part)]
    lines = _keys(study, [name for name in Study.model_fields if name not in (*tables, "judge")])
    for name in tables:
        part = getattr(study, name)
        lines += [
            "",
            f"# {(part.__doc__ or '').strip().splitlines()[0]}",
            f"[{name}]",
            *_keys(part, type(part).model_fields),
        ]
    return "\n".join(lines) + "\n"


def _keys(part: Part, names: Iterable[str]) -> list[str]:
    lines = []
    for name in names:
        value = getattr(part, name)
        meaning = " ".join((type(part).model_fields[name].description or "").split())
        lines += textwrap.wrap(meaning, 100, initial_indent="# ", subsequent_indent="# ")
        lines.append(f"# {name} = …" if value is None else f"{name} = {_toml(value)}")
    return lines


def _toml(value: Any) -> str:
    """A value as TOML; JSON's strings, numbers and booleans are TOML's too."""
    if isinstance(value, tuple):
        return f"[{', '.join(_toml(one) for one in value)}]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)} = {_toml(one)}" for key, one in value.items()) + "}"
    return json.dumps(value, ensure_ascii=False)
