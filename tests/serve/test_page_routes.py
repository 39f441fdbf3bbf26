"""The page's addresses without a browser: who may what, what is streamed, what is kept, what never leaves."""

import json
import re
import threading
import time
from importlib.resources import files

import pytest
from fastapi.testclient import TestClient
from talking import HARM, UNSAFE, Scripted, server

from hearten.core.conversation import Conversation
from hearten.core.taxonomy import label_set
from hearten.safety import notice
from hearten.serve.lines import help_lines, reach
from hearten.web.guard import POLICY
from hearten.web.words import Words, table

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


class Visitor:
    """A browser without a screen: cookies, the form token, and the events of a reply."""

    numbers = iter(range(10**6))

    def __init__(self, app, *, accept: bool = True) -> None:
        self.first = f"talk{next(self.numbers):016}"
        """The id of this visitor's first conversation."""
        self.http = TestClient(app)
        self.http.portal = app.state.portal
        self.page = self.http.get("/").text
        self.token = json.loads(re.search(r'id="facts">(.*?)</script>', self.page, re.S).group(1))["csrf"]
        if accept:
            self.post("/talks/accept")

    def post(self, path: str, status: int = 200, **fields):
        headers = {"x-csrf-token": self.token, "accept": "application/json"}
        answer = self.http.post(path, data=fields, headers=headers)
        assert answer.status_code == status, (path, answer.status_code, answer.text[-300:])
        return answer

    def get(self, path: str, status: int = 200):
        answer = self.http.get(path, headers={"accept": "application/json"})
        assert answer.status_code == status, (path, answer.status_code, answer.text[-300:])
        return answer

    def say(self, text: str, *, talk: str = "", parent: str = "", status: int = 200, id: str = ""):
        """Say something; returns the events."""
        name = id or f"message{next(self.numbers)}"
        return events(
            self.post("/talks/say", status, talk=talk or self.first, parent=parent, id=name, text=text)
        )

    def again(self, talk: str, to: str):
        return events(self.post(f"/talks/{talk}/reply", to=to))

    def talk(self):
        return self.get(f"/talks/{self.first}").json()


def until(true, seconds: float = 60) -> None:
    """Wait for something that happens in another thread."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def events(answer) -> list[dict]:
    return [json.loads(line[6:]) for line in answer.text.splitlines() if line.startswith("data: ")]


@pytest.fixture
def run(tmp_path):
    """Start an app; stopped at the end of the test."""
    started = []

    def start(supporter=None, **more):
        app = server(tmp_path, supporter or Scripted(), **more)
        client = TestClient(app)
        client.__enter__()
        app.state.portal = client.portal
        started.append(client)
        return app

    yield start
    for client in started:
        client.__exit__(None, None, None)


@pytest.fixture
def app(run):
    return run()


def test_a_message_is_kept_before_its_reply_begins_and_the_reply_grows(app):
    told = Visitor(app).say("My week was long.")
    kinds = [row["kind"] for row in told]
    assert kinds[0] == "saved"
    assert kinds[-1] == "done"
    assert set(kinds[1:-1]) <= {"reply", "beat"}
    last = told[-1]["message"]
    assert last["text"].startswith("It sounds")
    assert last["stopped"] is False
    assert last["parent"] == told[0]["message"]["id"]
    assert last["why"]["probabilities"]["Question"] == 0.3
    assert last["why"]["stage"] in label_set("esconv").stages
    assert last["why"]["emotion"]["label"] == "sadness"
    for row in told[1:-1]:
        assert row["kind"] == "beat" or last["text"].startswith(row["message"]["text"])


def test_edit_and_retry_branch_and_lose_nothing(app):
    me = Visitor(app)
    first = me.say("My week was long.", id="first000")[-1]["message"]
    me.say("It began on Monday.", parent=first["id"], id="second00")
    me.say("It began on Sunday.", parent=first["id"], id="edited00")
    heard = [turn.text for turn in app.state.host._supporter.inner.inner.inner.heard[-1].turns]
    assert heard == ["My week was long.", first["text"], "It began on Sunday."]
    other = me.again(me.first, "first000")[-1]["message"]
    talk = me.talk()
    assert len(talk["messages"]) == 7
    assert talk["head"] == other["id"]
    assert me.post(f"/talks/{talk['id']}/show", message="second00").json()["head"] != other["id"]
    assert me.talk()["head"] in {row["id"] for row in talk["messages"] if row.get("parent") == "second00"}


def test_the_same_message_sent_twice_is_kept_once(app):
    me = Visitor(app)
    for _ in range(2):
        me.say("Only once, please.", id="sametime")
    said = [row["text"] for row in me.talk()["messages"] if row["speaker"] == "seeker"]
    assert said == ["Only once, please."]
    assert len(me.get("/talks").json()["talks"]) == 1


def test_stop_keeps_what_was_shown(run):
    app = run()
    me, shown = Visitor(app), []
    answering = threading.Thread(target=lambda: shown.extend(me.say("Please stay.")))
    answering.start()
    until(lambda: _replies(me))
    me.post(f"/talks/{me.first}/stop")
    answering.join(20)
    assert shown[-1]["kind"] == "stopped"
    kept = _replies(me)
    assert [row["stopped"] for row in kept] == [True]
    assert kept[0]["text"] == shown[-1]["message"]["text"]


def _replies(me) -> list[dict]:
    answer = me.http.get(f"/talks/{me.first}")
    found = answer.json()["messages"] if answer.status_code == 200 else []
    return [row for row in found if row["speaker"] == "supporter"]


def test_a_reply_that_fails_keeps_the_message(app):
    me = Visitor(app)
    told = me.say("thunder")
    assert [row["kind"] for row in told] == ["saved", "failed"]
    assert [row["text"] for row in me.talk()["messages"]] == ["thunder"]


def test_a_failed_reply_leaves_no_words_in_the_log(app, caplog):
    Visitor(app).say("thunder, my private words")
    assert "RuntimeError" in caplog.text
    assert "private words" not in caplog.text


def test_queue_and_busy_are_told(run):
    app = run(at_once=1, queue=1)
    (first, second, third), told = [Visitor(app) for _ in range(3)], {}
    turnstile = app.state.host.turnstile
    threads = [
        threading.Thread(target=lambda: told.update(first=first.say("Please stay."))),
        threading.Thread(target=lambda: told.update(second=second.say("I can wait."))),
    ]
    for thread, there in zip(threads, (lambda: turnstile.inside, lambda: turnstile.waiting), strict=True):
        thread.start()
        until(there)
    busy = third.say("Nobody has time.")[-1]
    first.post(f"/talks/{first.first}/stop")
    for thread in threads:
        thread.join(60)
    assert busy["kind"] == "busy"
    assert busy["retry_after"] >= 1
    assert [row["text"] for row in third.talk()["messages"]] == ["Nobody has time."]
    assert told["first"][-1]["kind"] == "stopped"
    waiting, *_, last = told["second"][1:]
    assert (waiting["kind"], waiting["position"], last["kind"]) == ("waiting", 1, "done")


def test_only_screened_text_reaches_the_browser(app):
    answer = Visitor(app).post("/talks/say", talk="c" * 20, id="message01", text="marmalade")
    assert "That sounds hard to carry." in answer.text
    assert UNSAFE not in answer.text
    assert "pills" not in answer.text
    assert '"changed":true' in answer.text
    assert not re.search("raw answer|not chosen", answer.text)


def test_the_care_path_is_told_and_the_conversation_goes_on(app):
    me = Visitor(app)
    last = me.say("I want to kill myself.")[-1]["message"]
    assert last["why"]["care"] == "open"
    assert "imminent" not in json.dumps(last["why"])
    again = me.say("I do not know.", parent=last["id"])[-1]
    assert again["kind"] == "done"
    assert again["message"]["why"]["care"] != "calm"


def test_stars_export_search_and_deletion(app):
    me = Visitor(app)
    reply = me.say("The blue suitcase is packed.")[-1]["message"]
    me.say("And then I unpacked it.", parent=reply["id"])
    me.say("Something else.", talk="b" * 20)
    me.post(f"/talks/{me.first}/stars", message=reply["id"], stars="4")
    me.post(f"/talks/{me.first}/stars", 422, message=reply["id"], stars="6")
    assert [row["id"] for row in me.get("/talks?q=SUITCASE").json()["talks"]] == [me.first]
    assert me.get("/talks?q=nowhere").json() == {"accepted": True, "talks": [], "all": 2}
    records = [
        Conversation.model_validate_json(line) for line in me.get("/talks/export.jsonl").text.splitlines()
    ]
    assert {record.id for record in records} == {me.first, "b" * 20}
    talk = next(record for record in records if record.id == me.first)
    assert talk.turns[2].feedback == 4
    assert talk.turns[1].strategy is not None
    one = me.get(f"/talks/{me.first}/export.txt")
    assert "You: The blue suitcase is packed." in one.text
    assert one.headers["content-disposition"].startswith("attachment")
    me.post(f"/talks/{'b' * 20}/delete")
    me.get(f"/talks/{'b' * 20}", 404)
    assert me.post("/talks/delete").json() == {"deleted": 1}
    assert me.get("/talks").json()["talks"] == []


def test_deleting_while_a_reply_is_written_leaves_nothing(run):
    app = run()
    me = Visitor(app)
    answering = threading.Thread(target=lambda: me.say("Please stay."))
    answering.start()
    until(lambda: _replies(me))
    assert me.post("/talks/delete").json() == {"deleted": 1}
    answering.join(20)
    assert me.get("/talks").json()["all"] == 0


def test_people_are_reminded_that_this_is_an_ai(app, monkeypatch):
    me = Visitor(app)
    assert "notice" not in [row["kind"] for row in me.say("One.", id="message10")]
    later = time.time() + notice.EVERY_SECONDS + 1
    monkeypatch.setattr("hearten.serve.routes.now", lambda: later)
    assert "notice" in [row["kind"] for row in me.say("Two.", parent="message10")]
    assert "notice" not in [row["kind"] for row in me.say("Three.", parent="message10")]


def test_the_english_reminders_are_those_of_the_safety_tables():
    assert table("hearten.serve", "en")["live.reminder"] == notice.reminder()
    assert table("hearten.serve", "en")["live.reminder_minors"] == notice.reminder(minor=True)


OPEN = {("GET", "/"), ("GET", "/people"), ("GET", "/talks"), ("POST", "/talks/accept")}
"""What somebody may ask for who has not read the first screen."""


def page_routes(app):
    schema = app.openapi()["paths"]
    found = {(method.upper(), path) for path, methods in schema.items() for method in methods}
    return sorted(row for row in found if row[1] in ("/", "/people") or row[1].startswith("/talks"))


def test_strangers_are_refused_everything_but_the_first_screen(app):
    stranger = Visitor(app, accept=False)
    found = page_routes(app)
    assert len(found) >= 15
    for method, path in found:
        address = path.format(talk_id="a" * 20)
        if (method, path) in OPEN:
            continue
        status = (stranger.get if method == "GET" else stranger.post)(address, 403).status_code
        assert status == 403, (method, path)
    assert stranger.get("/talks").json() == {"accepted": False, "talks": [], "all": 0}


def test_two_browsers_see_nothing_of_each_other(app):
    me, other = Visitor(app), Visitor(app)
    reply = me.say("My secret.", id="mysecret")[-1]["message"]
    for method, path in page_routes(app):
        if "{talk_id}" in path:
            address = path.format(talk_id=me.first)
            fields = {"message": reply["id"], "stars": "1", "to": "mysecret"}
            _ = other.get(address, 404) if method == "GET" else other.post(address, 404, **fields)
    assert other.get("/talks").json()["all"] == 0
    assert other.get("/talks/export.jsonl").text == ""
    other.say("In your talk.", talk=me.first, status=404)
    other.say("In your talk.", talk=me.first, parent="mysecret", status=404)
    other.post("/talks/delete")
    assert [row["text"] for row in me.talk()["messages"]] == ["My secret.", reply["text"]]


def test_every_form_needs_our_token_and_our_origin(app):
    me = Visitor(app)
    me.say("Mine.")
    for method, path in page_routes(app):
        if method == "POST":
            address = path.format(talk_id=me.first)
            foreign = me.http.post(address, data={"csrf": "0" * 64})
            crossed = me.http.post(
                address, headers={"x-csrf-token": me.token, "origin": "https://elsewhere.example"}
            )
            assert (foreign.status_code, crossed.status_code) == (403, 403), path
    assert len(me.talk()["messages"]) == 2


def test_the_cookie_is_strict_and_ends_with_the_session_unless_conversations_are_kept(run, tmp_path):
    plain = Visitor(run(), accept=False).post("/talks/accept").headers["set-cookie"].lower()
    assert "httponly" in plain
    assert "samesite=strict" in plain
    assert "max-age" not in plain
    kept = run(keep=tmp_path / "kept.sqlite", key_file=tmp_path / "keys" / "k", keep_days=3)
    cookie = Visitor(kept, accept=False).post("/talks/accept").headers["set-cookie"].lower()
    assert f"max-age={3 * 86_400}" in cookie


def test_a_cookie_we_do_not_know_is_not_taken_over(app):
    me = Visitor(app, accept=False)
    me.http.cookies.set("hearten_talk", "put-there-by-somebody-else")
    given = me.post("/talks/accept").headers["set-cookie"]
    assert "put-there" not in given
    again = me.post("/talks/accept").headers["set-cookie"]
    assert again.split(";")[0] == given.split(";")[0]


def test_the_cookie_lives_as_long_as_what_is_kept(run, tmp_path):
    app = run(keep=tmp_path / "kept.sqlite", key_file=tmp_path / "keys" / "k", keep_days=3)
    assert "max-age=259200" in Visitor(app).get("/talks").headers["set-cookie"].lower()
    assert "set-cookie" not in Visitor(run()).get("/talks").headers


def test_the_page_is_the_same_for_everybody_and_closed_to_other_sites(app):
    me = Visitor(app)
    me.say("My secret.")
    answer = me.http.get("/")
    assert "My secret" not in answer.text
    assert answer.headers["content-security-policy"] == POLICY
    assert "unsafe" not in POLICY
    assert answer.headers["cache-control"] == "no-store"
    assert not re.search(
        r"<script(?! type=\"module\" src=| type=\"application/json\")|<style| style=| on\w+=", answer.text
    )
    assert me.http.get("/talks").headers["cache-control"] == "no-store"
    linked = re.findall(r'(?:src|href)="(http[^"]*)"', answer.text)
    assert set(linked) <= {"https://findahelpline.com"}


def test_no_script_of_the_page_speaks_to_anybody_else_or_writes_html():
    for path in (files("hearten.serve") / "assets").iterdir():
        text = path.read_text()
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", text), (
            path.name
        )
        assert not re.search(r"(?:fetch|import)\(?\s*[\"'`]https?:", text), path.name


def test_text_travels_as_text(app):
    me = Visitor(app)
    me.say("brackets " + HARM)
    shown = me.talk()["messages"]
    assert all("<script>alert(2)" in row["text"] for row in shown)
    answer = me.http.get(f"/talks/{me.first}")
    assert answer.headers["content-type"].startswith("application/json")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert me.get(f"/talks/{me.first}/export.txt").headers["content-type"].startswith("text/plain")


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"text": " "}, 422),
        ({"text": "x" * 4001}, 422),
        ({"id": "short"}, 422),
        ({"id": "../../etc"}, 422),
        ({"talk": "no good id"}, 422),
        ({"parent": "nobody"}, 404),
        ({"text": "\x00 zero \ud800 and so on"}, 200),
    ],
)
def test_messages_that_do_not_fit_are_refused_with_a_reason(app, fields, status):
    values = {"talk": "a" * 20, "id": "message01", "parent": "", "text": "hello", **fields}
    values["text"] = values["text"].encode("utf-8", "replace").decode()
    Visitor(app).post("/talks/say", status, **values)


def test_limits_of_conversations_and_messages(run):
    me = Visitor(run(most_talks=1, most_messages=3))
    me.say("One.", id="message01")
    me.say("Too many.", talk="b" * 20, status=409)
    me.say("Too long.", parent="message01", status=409)


def test_the_first_screen_says_what_is_asked_and_kept(run, tmp_path):
    assert "I am 18 or older" in Visitor(run()).page
    app = run(minimum_age=0, keep=tmp_path / "kept.sqlite", key_file=tmp_path / "keys" / "k", keep_days=7)
    page = Visitor(app).page
    assert "or older" not in page
    assert "deleted 7 days after" in page


def test_the_page_speaks_german_and_says_that_the_program_reads_english(app):
    page = TestClient(app).get("/", headers={"accept-language": "de-AT,de;q=0.9"}).text
    assert '<html lang="de">' in page
    assert "vor allem Englisch" in page


def test_people_to_talk_to_need_no_script(app):
    page = TestClient(app).get("/people?region=us").text
    assert 'href="tel:988"' in page
    assert 'href="tel:911"' in page
    assert "<script" not in page
    assert TestClient(app).get("/people?region=<script>").status_code == 200


@pytest.mark.parametrize(
    ("text", "link", "href"),
    [
        ("116 123", "116 123", "tel:116123"),
        ("call or text 988", "988", "tel:988"),
        ("112 or 999", "999", "tel:999"),
        ("1-800-799-7233", "1-800-799-7233", "tel:18007997233"),
        ("findahelpline.com, which lists lines", "findahelpline.com", "https://findahelpline.com"),
        (
            "your local emergency number (112 in many places)",
            "your local emergency number (112 in many places)",
            "",
        ),
    ],
)
def test_what_can_be_called_is_a_link(text, link, href):
    way = reach(text)
    assert (way["link"], way["href"]) == (link, href)
    assert way["before"] + way["link"] + way["after"] == text


def test_every_region_has_a_name_a_line_and_an_emergency_number():
    words = Words(("hearten.web", "hearten.serve"), "de")
    rows = help_lines("uk", words)
    assert rows[0]["code"] == "uk"
    assert rows[0]["name"] == "Vereinigtes Königreich"
    assert all(row["emergency"]["link"] and row["lines"] for row in rows)
