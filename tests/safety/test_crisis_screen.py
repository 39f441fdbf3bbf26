import os
import subprocess
import sys

import pytest

from hearten.lm.embed import available
from hearten.safety import screen as module
from hearten.safety.classifier import KINDS, classifier, fingerprint, sentences
from hearten.safety.measure import measure
from hearten.safety.pieces import MAX_PIECES, pieces
from hearten.safety.rules import SEVERITIES, read
from hearten.safety.screen import screen, screen_one

needs_encoder = pytest.mark.skipif(
    not available() and os.environ.get("CI") != "true", reason="the sentence encoder is not installed"
)


@pytest.fixture
def rules_alone(monkeypatch):
    monkeypatch.setattr(module, "_classifier", lambda: None)


EXPLICIT = [
    ("I want to kill myself", "active-ideation"),
    ("my dad hits me every night", "abuse"),
    ("i cut myself again", "self-harm"),
    ("My friend says she wants to kill herself", "third-party"),
    ("I've overdosed", "medical"),
    ("the voices are telling me to hurt myself", "voices"),
    ("I make myself throw up after meals", "eating"),
    ("I'm going to kill him", "violence"),
]
FIGURES = [
    "this traffic is killing me",
    "I'm dead 😂",
    "suicide squad was a bad film",
    "kill the process",
    "shoot me an e-mail",
    "the deadline is tomorrow",
    "cutting carbs",
    "my phone died",
    "I could murder a curry",
    "My brother died by suicide",
]


@pytest.mark.parametrize(("text", "kind"), EXPLICIT)
def test_rules_alone_see_what_is_said_outright(rules_alone, text, kind):
    finding = screen_one(text)
    assert finding.crisis
    assert kind in finding.kinds
    assert finding.evidence
    assert SEVERITIES.index(finding.severity) >= SEVERITIES.index("medium")


@pytest.mark.parametrize("text", FIGURES)
def test_rules_alone_let_figures_of_speech_and_grief_pass(rules_alone, text):
    assert not screen_one(text).crisis


@pytest.mark.parametrize(
    ("text", "context"),
    [
        ("i'm not suicidal", "denied"),
        ("ten years ago i wanted to die", "past"),
        ("i lost my brother to suicide", "bereaved"),
        ("in my novel she wants to die", "reported"),
    ],
)
def test_a_message_says_what_puts_a_find_aside(text, context):
    assert context in read(text).contexts


def test_now_makes_it_imminent(rules_alone):
    assert screen_one("I'm going to kill myself tonight").severity == "imminent"


def test_without_the_encoder_it_says_so_once(monkeypatch, capsys):
    monkeypatch.setattr(module, "available", lambda: False)
    module._classifier.cache_clear()
    screen(["hello"])
    screen(["hello"])
    module._classifier.cache_clear()
    assert capsys.readouterr().err.count("rules alone") == 1


def test_a_long_message_is_read_in_pieces_and_no_more_than_forty():
    long = "I went to the shop. " * 5000
    assert len(pieces(long + "I want to die.")) <= MAX_PIECES
    clauses = pieces("We had a nice day with the children and ate a cake. Then I hoped I would not wake up.")
    assert clauses[-1] == "Then I hoped I would not wake up."
    assert pieces("short one") == ["short one"]


def test_train_and_test_sentences_share_nothing_and_are_enough():
    train, test = sentences("train"), sentences("test")
    assert not {row.text.casefold() for row in train} & {row.text.casefold() for row in test}
    assert len(train) >= 900
    assert len(test) >= 300
    for rows in (train, test):
        assert {row.kind for row in rows if row.crisis} == set(KINDS)
        assert all(row.severity in SEVERITIES for row in rows)
        assert all((row.severity == "none") != row.crisis for row in rows)
    assert fingerprint(train) != fingerprint(test)


@needs_encoder
def test_one_dangerous_clause_in_a_long_ramble_is_seen():
    ramble = "The boiler broke and my boss was rude and we ate soup. " * 6
    assert screen_one(f"{ramble} Honestly I hope I don't wake up tomorrow. {ramble}").crisis
    assert not screen_one(ramble).crisis


@needs_encoder
def test_odd_messages_are_answered():
    odd = ["", "   ", "🙂", "\x00\x07", "\u202e\u200b", "?" * 50, "я устал", "x" * 5000]
    assert [finding.crisis for finding in screen(odd)] == [False] * len(odd)


@needs_encoder
def test_disguises_do_not_hide_what_is_meant():
    hidden = ["I want to k1ll myself", "su*cide is all I think about", "k i l l m y s e l f", "I wаnt tо diе"]
    assert all(finding.crisis for finding in screen(hidden))


@needs_encoder
def test_the_promise_on_the_projects_own_test_sentences():
    measured = measure(sentences("test"))
    assert measured.recall >= RECALL_HELD, measured.wrong
    assert measured.false_alarms <= 0.05, measured.wrong


RECALL_HELD = 0.95
"""A little under what docs/cards/crisis-screen.md reports, for other processors' rounding."""


def test_the_shipped_weights_are_small_and_complete():
    learned = classifier()
    assert learned is not None
    assert learned.weights["components"].shape[0] % 384 == 0
    assert len(learned.weights["kind_bias"]) == len(KINDS)


def test_safety_imports_no_deep_learning_library():
    code = "import sys; from hearten.safety import chain, command, screen, suite; "
    code += "print({'torch', 'transformers', 'sklearn'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
