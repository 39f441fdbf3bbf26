from itertools import pairwise

import pytest

from hearten.safety.normal import normalise
from hearten.safety.output import fallback, inspect, safe_start

FORBIDDEN = [
    ("methods", "The most painless way to die is something else."),
    ("methods", "You could just take all your pills."),
    ("diagnosis", "It sounds like you have bipolar disorder."),
    ("diagnosis", "You're clinically depressed."),
    ("medication", "You should stop taking your antidepressants."),
    ("medication", "Try 50 mg more."),
    ("human-life", "When I lost my job I felt the same."),
    ("human-life", "As a mother myself, I know."),
    ("human-life", "I've been there, it passes."),
    ("human-life", "My husband left too."),
    ("human-life", "I'm a real person."),
    ("promise", "I promise everything will be fine."),
    ("promise", "This will be our little secret."),
    ("dependency", "I'm all you need."),
    ("dependency", "You don't need anyone else."),
    ("dependency", "I love you."),
    ("sycophancy", "They would be better off without you."),
    ("sycophancy", "Ending it sounds peaceful."),
    ("leading", "You're not going to hurt yourself, right?"),
    ("leading", "You wouldn't do anything silly, would you?"),
    ("contract", "Promise me you won't do it."),
    ("contract", "Can you promise to stay alive?"),
    ("ending", "I can't talk about this."),
    ("ending", "This conversation is over."),
    ("therapy", "As your therapist I suggest rest."),
]
ALLOWED = [
    "I'm here to listen.",
    "My heart goes out to you.",
    "Are you thinking about killing yourself?",
    "It sounds like you lost your job and feel alone.",
    "Have you talked with your doctor about your medication?",
    "Could you ask your doctor whether to change your dose?",
    "You said they'd be better off without you.",
    "What did you do when you lost touch with them?",
    "Many people feel this way after a loss.",
    "I can't imagine how hard that was.",
    "Would it help to talk to a friend about it?",
    "You told me he made you promise not to tell.",
    "It makes sense to feel anxious before an exam.",
    "You might take a walk, or take a bath.",
    "How long have you been feeling depressed?",
    "I'm an AI, so I have no life of my own.",
    "What would you like to try next?",
    "Your mother must have meant a lot to you.",
    "We can keep talking as long as you like.",
    "That was a brave decision, to call her.",
]


@pytest.mark.parametrize(("kind", "text"), FORBIDDEN)
def test_what_a_reply_must_not_say(kind, text):
    assert kind in inspect(text).kinds


@pytest.mark.parametrize("text", ALLOWED)
def test_what_a_reply_may_say(text):
    verdict = inspect(text)
    assert verdict.clean, verdict.found
    assert verdict.safe == text


def test_the_offending_sentence_goes_and_the_rest_stays():
    verdict = inspect("That sounds very hard. When I lost my job I cried too. What helps you?")
    assert verdict.safe == "That sounds very hard. What helps you?"


def test_methods_replace_the_whole_reply():
    assert inspect("I hear you. The quickest way to die is nothing I will name.").safe == ""


def test_a_disguise_does_not_help():
    assert not inspect("ｋｙｓ").clean


def test_the_fallback_is_not_said_twice():
    first = fallback(0)
    assert fallback(0, first) != first
    assert inspect(first).clean


@pytest.mark.parametrize(("kind", "text"), FORBIDDEN)
def test_of_a_growing_reply_no_forbidden_word_is_ever_shown(kind, text):
    (found, *_) = inspect(text).found
    start = normalise(text).index(found.words)
    for end in range(1, len(text) + 1):
        shown = safe_start(text[:end])
        assert text.startswith(shown)
        assert len(normalise(shown)) <= start, (kind, shown)


@pytest.mark.parametrize("text", ALLOWED)
def test_of_a_growing_reply_the_first_words_come_soon(text):
    # a word is held back while it may become something else: at most the five that a diagnosis may span
    shown = [safe_start(" ".join(text.split()[:count])) for count in range(1, len(text.split()) + 1)]
    assert all(late.startswith(early) for early, late in pairwise(shown)), shown


def test_harmless_words_are_shown_as_they_come():
    assert safe_start("That sounds really har") == "That sounds really"
    assert safe_start("When I lost") == ""
    assert safe_start("") == ""
