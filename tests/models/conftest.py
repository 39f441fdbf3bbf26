"""Conversations that carry every annotation, and a sentence encoder that needs no weights."""

import zlib

import numpy as np
import pytest

from hearten.core.conversation import Conversation, Role
from hearten.core.protocol import examples, protocol
from hearten.core.taxonomy import label_set

RELATIONS = ("xReact", "xIntent", "xNeed", "xWant", "xEffect", "xAttr", "oReact", "oEffect", "oWant")
FEELINGS = ("anxiety", "depression", "sadness", "anger", "fear", "disgust", "shame", "none")


def annotations(number, place, speaker):
    """Made-up annotations of one turn, different from turn to turn."""
    feeling = FEELINGS[(number + place) % len(FEELINGS)]
    scores = {name: 0.65 if name == feeling else 0.05 for name in FEELINGS}
    found = {
        "emotion": {"label": feeling, "scores": scores},
        "keywords": ["letter", f"walk {place}"][: 1 + place % 2],
        "vad": [0.1 * (place % 9), 0.2 * (number % 5), 0.5],
        "commonsense": {r: [f"{r} of {number}-{place}", "none"] for r in RELATIONS},
    }
    if speaker is Role.SEEKER:
        found["cause"] = "the letter" if place % 4 == 0 else None
        found["distress"] = {
            "stressor": f"a letter {number}",
            "expectations": ["an answer"],
            "affects": ["worried"],
            "responses": ["you are not alone"],
        }
    return found


def annotated(talk, number):
    turns = [
        turn.model_copy(
            update={
                "annotations": annotations(number, place, turn.speaker),
                "feedback": 1 + (number + place) % 5 if turn.speaker is Role.SEEKER and place > 1 else None,
            }
        )
        for place, turn in enumerate(talk.turns)
    ]
    survey = talk.survey.model_copy(
        update={"initial_intensity": 5, "final_intensity": 2, "relevance": 4, "empathy": 5}
    )
    profile = talk.profile.model_copy(
        update={
            "situation": f"A letter came, number {number}. I am worried.",
            "problem": "job crisis",
            "emotion": label_emotion(number),
        }
    )
    return Conversation.model_validate(
        talk.model_copy(update={"turns": tuple(turns), "survey": survey, "profile": profile}).model_dump()
    )


def label_emotion(number):
    return FEELINGS[number % 7]


@pytest.fixture(scope="session")
def annotated_talks(conversations):
    """The made-up conversations with every kind of annotation, stars and a survey."""
    return tuple(annotated(talk, number) for number, talk in enumerate(conversations))


@pytest.fixture(scope="session")
def annotated_turns(annotated_talks):
    """Their examples."""
    return tuple(one for talk in annotated_talks for one in examples(talk, protocol("seed13-910")))


def fake_embed(texts, **_):
    """A vector of length 1 for each text, the same whenever it is asked for."""
    rows = [np.random.default_rng(zlib.crc32(text.encode())).normal(size=384) for text in texts]
    return np.array([row / np.linalg.norm(row) for row in rows], dtype=np.float32).reshape(len(texts), 384)


@pytest.fixture
def encoder(monkeypatch, tmp_path):
    """The sentence encoder's interface without its weights, and a cache folder of the test's own."""
    monkeypatch.setattr("hearten.models.parts.phrases.embed", fake_embed)
    monkeypatch.setenv("HEARTEN_CACHE", str(tmp_path / "cache"))
    return fake_embed


ESCONV = label_set("esconv")
