"""The chain's links: what each notes, what each can be left out, and wishes that reach the innermost."""

import itertools
import json

import pytest
from fakes_serve import ESCONV, Typist

from hearten.core.conversation import Conversation, Role, Turn
from hearten.core.errors import UsageError
from hearten.core.rater import facet, verdict
from hearten.core.records import Reply
from hearten.core.supporter import Adjustable, Wishes
from hearten.models.refine import BestOf, Refined
from hearten.safety import screen
from hearten.serve.links import Emotion, Judged, Link, LinksConfig, build, stages
from hearten.serve.why import read

HELLO = Conversation(id="c", turns=(Turn(speaker=Role.SEEKER, text="my cat ran away"),))


@pytest.fixture(autouse=True)
def rules_alone(monkeypatch):
    monkeypatch.setattr(screen, "_classifier", lambda: None)


class Sad:
    """Reads sadness in everything, and remembers what it read."""

    name = "sad"

    def __init__(self):
        self.read = []

    def detect(self, texts):
        self.read += texts
        return [{"sadness": 0.8, "none": 0.2}] * len(texts)


@pytest.mark.parametrize("screens", [True, False])
@pytest.mark.parametrize("stage", [True, False])
def test_each_link_can_be_left_out(screens, stage):
    chain = build(Typist(), LinksConfig(screens=screens, stage=stage))
    (reply,) = chain.reply(HELLO)
    names = [link["name"] for link in reply.details.get("links", [])]
    assert names == ["stage"] * stage + ["screen input", "screen output"] * screens
    assert ("safety" in reply.details, "stage" in reply.details) == (screens, stage)
    assert isinstance(chain, Adjustable)


def test_the_emotion_is_read_once_a_reply_from_the_last_message():
    detector = Sad()
    replies = list(Emotion(Typist("one two"), detector).stream(HELLO))
    assert detector.read == ["my cat ran away"]
    assert all(reply.details["emotion"]["label"] == "sadness" for reply in replies)


def test_a_stage_gets_its_strategies_share():
    # Question serves Exploration alone; Others serves all three: 0.75 + 0.25 / 3 = 0.8333
    shares = stages(ESCONV, Reply(text="", probabilities={"Question": 0.75, "Others": 0.25}))
    assert shares == {"Exploration": 0.8333, "Comforting": 0.0833, "Action": 0.0833}
    assert stages(ESCONV, Reply(text="")) == {}


def test_wishes_go_through_every_link_and_leave_the_original_as_it_was():
    typist = Typist()
    chain = build(typist, LinksConfig())
    chain.wished(Wishes(temperature=0.1))
    wish = typist.wishes[-1]
    assert (wish.temperature, wish.avoid) == (0.1, ("Self-disclosure",))
    chain.reply(HELLO)
    assert typist.wishes[0].temperature is None


def test_a_supporter_that_heeds_no_wishes_is_left_as_it_is():
    class Plain:
        name = "plain"

        def reply(self, conversation, *, strategy=None, n=1):
            return [Reply(text="I hear you.")] * n

    chain = build(Plain(), LinksConfig()).wished(Wishes(temperature=0.1))
    assert chain.reply(HELLO)[0].text == "I hear you."
    assert [reply.text for reply in Link(Plain()).stream(HELLO)] == ["I hear you."]


def test_a_stream_ends_with_what_reply_would_say_and_never_takes_a_word_back():
    chain = build(Typist(), LinksConfig())
    grown = [reply.text for reply in chain.stream(HELLO)]
    assert grown[-1] == chain.reply(HELLO)[0].text
    assert all(late.startswith(early) for early, late in itertools.pairwise(grown))
    assert grown[3] == "I hear", "the first words come before the first sentence is whole"


def test_a_sentence_that_goes_wrong_is_left_and_another_said():
    chain = build(Typist("Your week was long and my husband left me too. Tell me more."), LinksConfig())
    last = list(chain.stream(HELLO))[-1]
    assert last.text.startswith("Your week was long and… ")
    assert "husband" not in last.text
    assert last.details["safety"]["output"]["kinds"] == ["human-life"]


def test_an_empty_reply_is_asked_for_again_then_replaced():
    chain = build(Typist(""), LinksConfig())
    assert len(chain.reply(HELLO)[0].text) > 20
    assert len(list(chain.stream(HELLO))[-1].text) > 20


class Strict:
    """Finds every reply with a "should" unhelpful, and says so in words nobody is to see."""

    name, facets = "strict", ("empathy",)

    def rate(self, context, replies):
        return [(self.one(text),) for text in replies]

    def one(self, text):
        bad, good = (
            next(c for c in facet("empathy").classes if facet("empathy").helpful(c) is h)
            for h in (False, True)
        )
        share = 0.9 if "should" in text else 0.1
        chances = dict.fromkeys(facet("empathy").classes, 0.0) | {bad: share, good: 1 - share}
        return verdict("empathy", chances, raw="SECRET")


class Says:
    """Says one reply after the other; heeds no wishes."""

    name = "says"

    def __init__(self, *texts):
        self.texts = texts

    def reply(self, conversation, *, strategy=None, n=1):
        return [Reply(text=text, strategy=ESCONV.find("Question")) for text in self.texts[:n]]


class Mends:
    name = "mends"

    def complete(self, messages, *, sampling=None, n=1):
        return ["That sounds hard."]


def chosen(*texts):
    return Judged(Says(*texts), lambda inner: BestOf(inner, Strict(), 2))


def mended(text):
    return Judged(Says(text), lambda inner: Refined(inner, Strict(), Mends()))


def test_the_best_of_several_is_given_with_its_verdict():
    (reply,) = chosen("You should get over it.", "What happened?").reply(HELLO)
    assert reply.text == "What happened?"
    assert reply.details["verdicts"][0]["helpful"] is True
    assert [link["name"] for link in reply.details["links"]] == ["judge"]
    assert read(reply).verdicts[0].facet == "empathy", "the page can show it"


def test_nothing_unhelpful_is_shown_while_a_reply_is_mended_nor_told_afterwards():
    replies = list(mended("You should get over it.").stream(HELLO))
    assert [reply.text for reply in replies] == ["That sounds hard."]
    assert replies[0].details["rewrites"] == 1
    assert "should" not in str(replies[0].details)
    assert "SECRET" not in str(replies[0].details)


def test_a_request_may_do_without_the_rater():
    plain = chosen("You should get over it.", "What happened?").wished(Wishes(refine=False))
    assert plain.reply(HELLO)[0].text == "You should get over it."
    assert "verdicts" not in (list(plain.stream(HELLO))[-1].details or {})


@pytest.mark.parametrize(("wish", "told"), [(True, True), (False, False), (None, False)])
def test_without_a_rater_a_wish_to_refine_is_answered_with_a_word(wish, told):
    chain = build(Typist(), LinksConfig(screens=False)).wished(Wishes(refine=wish))
    assert ("no rater" in chain.reply(HELLO)[0].details.get("refine", "")) is told


def test_the_terminal_gives_the_best_of_several_and_says_what_the_rater_said(monkeypatch, capsys):
    from hearten.models import raters, supporters
    from hearten.serve.command import chat

    monkeypatch.setattr(raters, "open_rater", lambda name: Strict())
    monkeypatch.setattr(supporters, "open_supporter", lambda name: Says("You should.", "What happened?"))
    monkeypatch.setattr(supporters, "labels_of", lambda name: "esconv")
    chat(model="run", message=["Hello."], rater="runs/rater", best_of=2, as_json=True)
    told = json.loads(capsys.readouterr().out)
    assert told["text"] == "What happened?"
    assert told["details"]["verdicts"][0]["helpful"] is True
    with pytest.raises(UsageError, match="needs a rater"):
        chat(model="run", message=["Hello."], refine_by="embedded")


def test_the_rater_of_the_settings_is_opened_and_its_reply_screened(monkeypatch):
    from hearten.models import raters

    monkeypatch.setattr(raters, "open_rater", lambda name: Strict())
    chain = build(Says("What happened?", "You should."), LinksConfig(rater="runs/rater", best_of=2))
    last = list(chain.stream(HELLO))[-1]
    assert [link["name"] for link in last.details["links"]] == [
        "judge",
        "stage",
        "screen input",
        "screen output",
    ]
    assert last.details["verdicts"][0]["helpful"] is True
