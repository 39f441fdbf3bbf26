"""The pages of reviewers and raters: who may do what, what a form can change, what an old page may not."""

import json
import re

import pytest
from fastapi.testclient import TestClient
from grown_corpora import grown_corpus, talk

from hearten.app import create
from hearten.core.jsonl import write_records
from hearten.web.settings import Settings
from visiting import Visitor, staff


@pytest.fixture
def app(tmp_path):
    """A server that only has a corpus of three conversations and a quality study."""
    corpus = grown_corpus(tmp_path, accepted=2, rejected=1)
    write_records(tmp_path / "a.jsonl", [talk(f"a{n}", n) for n in range(2)])
    quality = tmp_path / "quality.toml"
    quality.write_text('[corpora]\nours = "a.jsonl"\n')
    settings = Settings(
        database=f"sqlite:///{tmp_path / 'web.sqlite'}",
        corpora=(corpus,),
        reviewers=2,
        quality=(quality,),
        forms_per_minute=100_000,
        tries_per_minute=100_000,
    )
    made = create(settings)
    made.state.corpus = corpus
    with TestClient(made) as client:
        made.state.portal = client.portal
        yield made


def trail(app):
    return [json.loads(line) for line in (app.state.corpus / "reviews.jsonl").read_text().splitlines()]


def seen(page) -> str:
    return re.search(r'name="seen" value="(\d+)"', page.text).group(1)


def test_two_reviewers_a_leader_and_the_trail(app):
    ada, ben, lea = staff(app, "reviewer", "Ada"), staff(app, "reviewer", "Ben"), staff(app, "leader", "Lea")
    page = ada.get("/review/grown/next")
    assert page.url.path == "/review/grown/item/g0"
    assert "one label was mended" in page.text
    after = ada.post(
        "/review/grown/item/g0", action="accept", seen=seen(page), **{"text-1": "That is hard <b>."}
    )
    assert after.url.path == "/review/grown/item/g1", "on to the next"
    page = ben.get("/review/grown/next")
    assert page.url.path == "/review/grown/item/g0"
    assert "That is hard" not in page.text, "nobody sees another's decision before both are in"
    ben.post("/review/grown/item/g0", action="discard", seen=seen(page), note="not like people talk")
    assert "/review/grown/item/g0" not in ben.get("/review/grown").text, "disputes are a leader's"
    assert "/review/grown/item/g0" in lea.get("/review/grown").text
    page = lea.get("/review/grown/item/g0?version=Ada")
    assert "Ben decided: discard" in page.text
    assert "not like people talk" in page.text
    assert "That is hard &lt;b&gt;." in page.text, "escaped, and started from Ada's version"
    assert "<b>." not in page.text
    form = {"text-1": "That is hard <b>.", "action": "accept", "seen": seen(page)}
    assert lea.post("/review/grown/item/g0", **form).url.path == "/review/grown"
    lines = trail(app)
    assert [(line["reviewer"], line["action"]) for line in lines] == [
        ("Ada", "edit"), ("Ben", "discard"), ("Lea", "edit"),
    ]  # fmt: skip
    assert lines[2]["adjudication"] is True
    assert lea.get("/review/grown/trail.jsonl").text == (app.state.corpus / "reviews.jsonl").read_text()


def test_an_old_page_changes_nothing_and_says_why(app):
    ada = staff(app, "reviewer", "Ada")
    page = ada.get("/review/grown/item/g0")
    ada.post("/review/grown/item/g0", action="accept", seen=seen(page))
    answer = ada.post("/review/grown/item/g0", 409, action="discard", seen=seen(page))
    assert "another window" in answer.text
    assert len(trail(app)) == 1


@pytest.mark.parametrize(
    ("form", "status", "said"),
    [
        ({"action": "explode", "seen": "0"}, 422, ""),
        ({"action": "accept", "seen": "x"}, 422, ""),
        ({"action": "accept", "seen": "0", "strategy-1": "Afirmation"}, 422, "did you mean"),
        ({"action": "accept", "seen": "0", **{f"text-{n}": " " for n in range(6)}}, 422, "nothing is left"),
    ],
)
def test_a_wrong_form_is_refused_in_words(app, form, status, said):
    ada = staff(app, "reviewer", "Ada")
    ada.get("/review/grown/item/g0")
    answer = ada.post("/review/grown/item/g0", status, **form)
    assert said in answer.text or not said
    assert not (app.state.corpus / "reviews.jsonl").exists()


def test_undo_shows_the_conversation_again(app):
    ada = staff(app, "reviewer", "Ada")
    page = ada.get("/review/grown/next?pile=rejected")
    assert page.url.path == "/review/grown/item/b0"
    done = ada.post("/review/grown/item/b0", action="accept", seen=seen(page), pile="rejected")
    assert "part of the queue" in done.text
    assert ada.post("/review/grown/undo", pile="rejected").url.path == "/review/grown/item/b0"
    assert [line["action"] for line in trail(app)] == ["accept", "undo"]


def test_later_offers_everything_else_first(app):
    ada = staff(app, "reviewer", "Ada")
    assert ada.get("/review/grown/next").url.path.endswith("g0")
    assert ada.get("/review/grown/next?later=g0").url.path.endswith("g1")
    assert ada.get("/review/grown/next?later=g1").url.path.endswith("b0")
    assert ada.get("/review/grown/next?later=b0").url.path.endswith("g0")


def test_a_rater_never_learns_where_a_conversation_comes_from(app):
    ada, lea = staff(app, "reviewer", "Ada"), staff(app, "leader", "Lea")
    for left in (2, 1):
        page = ada.get("/rate/quality")
        assert f"{left} conversation" in page.text
        assert "ours" not in page.text
        item = re.search(r'name="item" value="(\w+)"', page.text).group(1)
        questions = sorted(set(re.findall(r'type="radio" name="(\w+)"', page.text)))
        assert len(questions) == 5
        assert (
            "missing" in ada.post("/rate/quality", 422, item=item, **dict.fromkeys(questions[1:], "2")).text
        )
        ada.post("/rate/quality", item=item, **dict.fromkeys(questions, "2"))
    assert "You have rated everything" in ada.get("/rate/quality").text
    results = lea.get("/rate/quality/results").text
    assert results.count(">2.00<") == 5
    assert "2.39 · 2.53 · 0.51" in results


def test_pages_belong_to_staff_and_some_to_leaders(app):
    stranger, ada = Visitor(app), staff(app, "reviewer", "Ada")
    stranger.get("/login")
    ada.get("/login")
    leaders = {"/review/{corpus}/invite", "/review/{corpus}/trail.jsonl", "/rate/{study}/results"}
    paths = app.openapi()["paths"]
    ours = {path: methods for path, methods in paths.items() if path.startswith(("/review", "/rate"))}
    assert leaders < set(ours)
    for path, methods in ours.items():
        for method in methods:
            address = path.format(corpus="grown", study="quality", name="g0")
            ask = {"url": address, "follow_redirects": False}
            if method == "post":
                ask["data"] = {"csrf": stranger.token}
            answer = stranger.http.request(method, **ask)
            assert (answer.status_code, answer.headers.get("location")) == (303, "/login"), path
            if method == "post":
                ask["data"] = {"csrf": "0" * 64}
                assert ada.http.request(method, **ask).status_code == 403, path
                ask["data"] = {"csrf": ada.token}
            assert (ada.http.request(method, **ask).status_code == 403) == (path in leaders), path


def test_a_leader_invites_reviewers(app):
    lea = staff(app, "leader", "Lea")
    lea.get("/review/grown")
    made = lea.post("/review/grown/invite", uses="2").text
    link = re.search(r"/invite/[\w-]+", made).group()
    mia = Visitor(app)
    mia.get(link)
    mia.post(link, name="Mia", password="correct horse battery")
    assert "Start reviewing" in mia.get("/review/grown").text
    lea.post("/review/grown/invite", 422, uses="0")


def test_what_is_not_there_is_not_found(app):
    ada = staff(app, "reviewer", "Ada")
    for path in ("/review/other", "/review/grown/item/zz", "/rate/other"):
        ada.get(path, 404)
    assert ada.get("/admin").url.path == "/review", "there is no study here"
