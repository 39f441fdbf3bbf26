"""From consent to export without a browser: every form, the live chat, the rules, the leader's pages."""

import json
import re
import zipfile
from io import BytesIO

import pytest
from sqlalchemy import select
from walking import STUDY, Frames, Participant, meet

from hearten.collect.export import collected, ratings
from hearten.collect.tables import Event, Person, Room
from hearten.core.conversation import Conversation
from visiting import staff

LONG = "That sounds like a very long week with little sleep and much worry."


def talk(one, other, pairs=2):
    """Chat `pairs` exchanges with stars, then end; returns both sides' frames."""
    with one.live() as seeker, other.live() as supporter:
        a, b = Frames(seeker), Frames(supporter)
        a.hello()
        b.hello()
        for number in range(pairs):
            a.say(f"I do not know what to do about my hours, number {number}")
            b.see(a.last)
            b.say(LONG + f" ({number})", strategy="Question")
            b.say(LONG + f" And more. ({number})", strategy="Information")
            a.see(b.last)
            a.stars(5 - number)
        a.end("finished")
        b.see(a.last)
        return a, b


@pytest.fixture
def finished(app):
    one, other = meet(app)
    talk(one, other)
    after = {"natural": "yes", "final_intensity": "2", "empathy": "5", "relevance": "5"}
    one.do("after", **after, seeker_question1="Write to me@example.org")
    other.do("after", natural="yes", detail="4")
    return one, other


def test_two_people_finish_a_study(app, finished):
    one, other = finished
    for person in (one, other):
        page = person.get(person.home).text
        assert "C-4711" in page
        assert "10.00 EUR" in page  # base 1, ten times for state 03 (Figure 8)
    with app.state.web.database.reading() as session:
        (row,) = collected(session, app.state.study)
    assert [turn.feedback for turn in row.conversation.turns if turn.speaker == "seeker"] == [None, 5]
    assert row.conversation.turns[-1].annotations == {"feedback": 4}  # nothing followed the last stars
    assert (row.conversation.survey.initial_intensity, row.conversation.survey.final_intensity) == (5, 2)
    assert row.verdict.path == "filtered"  # six utterances are fewer than 16


def test_the_leader_accepts_by_hand_and_downloads(app, finished):
    leader = staff(app)
    for page in (
        "",
        "/people",
        "/conversations",
        "/conversations/1",
        "/review",
        "/corrections",
        "/invitations",
    ):
        leader.get(f"/admin/pilot{page}")
    leader.post("/admin/pilot/conversations/1", decision="accepted")
    leader.post("/admin/pilot/conversations/1/qualified", value="yes")
    leader.get("/admin/pilot/export")
    packed = zipfile.ZipFile(BytesIO(leader.post("/admin/pilot/export").content))
    line = packed.read("pilot/conversations.jsonl").decode().splitlines()[0]
    exported = Conversation.model_validate(json.loads(line))
    assert exported.survey.answers["seeker_question1"] == "Write to [email]"
    assert "example.org" not in "".join(packed.read(name).decode() for name in packed.namelist())
    assert '"question":"qualified"' in packed.read("pilot/ratings.jsonl").decode()
    audit = leader.get("/admin/pilot/audit").text
    assert "exported" in audit


def test_reviewers_vote_and_the_leader_decides(app, finished):
    leader = staff(app)
    leader.post("/admin/pilot/conversations/1", decision="accepted")
    item = "pilot-00001#1"
    reviewer = staff(app, "reviewer")
    assert LONG in reviewer.get("/admin/pilot/review").text
    reviewer.post("/admin/pilot/review", item=item, strategy="Others")
    assert "Others 1" in leader.get("/admin/pilot/corrections").text
    leader.post("/admin/pilot/corrections", item=item, strategy="Others")
    with app.state.web.database.reading() as session:
        (row,) = collected(session, app.state.study)
    assert row.conversation.turns[1].strategy.name == "Others"
    leader.post("/admin/pilot/corrections", status=422, item="pilot-00001#99", strategy="Others")


def test_the_rules_of_a_chat_are_kept(app):
    one, other = meet(app)
    with one.live() as seeker, other.live() as supporter:
        a, b = Frames(seeker), Frames(supporter)
        a.hello()
        b.hello()
        assert a.refused({"type": "message", "text": "   "}) == "empty"
        assert a.refused({"type": "message", "text": "x" * 100_000}) == "too_long"
        assert a.refused({"type": "stars", "stars": 5}) == "not_due"
        assert a.refused({"type": "stars", "stars": 9}) == "unreadable"
        assert a.refused({"type": "end", "reason": "finished"}) == "too_early"
        assert b.refused({"type": "message", "text": "hello"}) == "no_strategy"
        assert b.refused({"type": "message", "text": "hello", "strategy": "Hypnosis"}) == "no_strategy"
        assert b.refused({"type": "end", "reason": "finished"}) == "seeker_ends"
        b.say("Hello there, how are you today?", strategy="Others")
        b.say("What has been on your mind this week?", strategy="Question")
        a.see(b.last)
        assert a.refused({"type": "message", "text": "wait"}) == "stars_first"
        a.stars(4)
        a.say("now it goes")


def test_what_the_seeker_must_not_see(app):
    one, other = meet(app)
    with one.live() as seeker, other.live() as supporter:
        a, b = Frames(seeker), Frames(supporter)
        a.hello()
        b.hello()
        b.say("Hello, I'm glad you wrote. Take your time.", strategy="Others")  # the label set's example
        a.see(b.last)
        assert b.event(b.last)["flags"] == ["copied"]
        assert not {"strategy", "flags", "id"} & set(a.event(b.last))


def test_the_same_id_twice_is_one_message_and_a_broken_connection_loses_nothing(app):
    one, other = meet(app)
    with one.live() as socket:
        a = Frames(socket)
        a.hello()
        a.say("first", id="same")
        socket.send_text(json.dumps({"type": "message", "id": "same", "text": "first"}))
        a.say("second")
    with one.live() as socket:
        again = Frames(socket)
        again.hello(seen=1)
        assert [event["text"] for event in again.events.values()] == ["second"]
    with other.live() as socket:
        b = Frames(socket)
        b.hello()
        assert [event["text"] for event in b.events.values()] == ["first", "second"]


def test_partner_gone_gives_the_states_of_figure_8(app):
    one, _ = meet(app)
    with one.live() as socket:
        a = Frames(socket)
        a.hello()
        a.end("silent")  # the study's silence limit is 0 minutes
    page = one.get(one.home).text
    assert "natural end" in page
    with app.state.web.database.reading() as session:
        room = session.get(Room, 1)
        assert (room.seeker_status, room.supporter_status, room.reason) == ("02", "01", "silent")


def test_stopping_for_care_ends_the_chat_and_costs_nobody(app):
    one, other = meet(app)
    assert "988" in one.get(f"{one.home}/care").text
    assert "good decision" in one.do("care").text
    assert "10.00 EUR" in one.get(one.home).text
    assert "10.00 EUR" in other.get(other.home).text
    with app.state.web.database.reading() as session:
        assert not any(row.accepted for row in collected(session, app.state.study))


def test_withdrawal_deletes_what_was_written(app, finished):
    one, other = finished
    one.get(f"{one.home}/withdraw")
    assert "has been deleted" in one.do("withdraw", sure="yes").text
    with app.state.web.database.reading() as session:
        assert session.scalars(select(Event)).all() == []
        room = session.get(Room, 1)
        assert (room.before, room.seeker_after, room.supporter_status) == ({}, None, "03")
        assert session.get(Person, room.seeker_id).withdrawn
    assert "10.00 EUR" in other.get(other.home).text  # the partner keeps the state and the pay
    one.do("withdraw", status=403, sure="yes")


def test_a_failed_exam_can_be_granted_again(app, person):
    name = person.join("supporter")
    person.learn_tutorial()
    for _ in range(3):
        page = person.do("exam").text
    assert "no attempt is left" in page
    assert "Not this time" in person.get(person.home).text
    leader = staff(app)
    leader.get("/admin/pilot/people")
    leader.post(f"/admin/pilot/people/{name}", action="grant")
    assert "Hand in" in person.get(person.home).text
    leader.post(f"/admin/pilot/people/{name}", action="reset")
    assert "Step 1 of 11" in person.get(person.home).text
    leader.post(f"/admin/pilot/people/{name}", action="admit")
    assert "What to expect" in person.get(person.home).text


def test_consent_comes_first_and_age_is_asked(app, person):
    person.get(person.home)
    assert "confirm your age" in person.do("consent", status=422, agree="yes").text
    assert "Nothing was stored" in person.do("consent", agree="no").text
    person.do("role", status=403, role="seeker")


def test_pages_speak_the_readers_language(app, person):
    person.http.headers["accept-language"] = "de-DE,de;q=0.9"
    assert "Bevor Sie sich entscheiden" in person.get(person.home).text
    person.do("consent", adult="yes", agree="yes")
    assert "Welche Rolle" in person.get(person.home).text


def test_the_personal_link_brings_a_participant_back(app, person):
    person.get(person.home)
    kept = person.do("consent", adult="yes", agree="yes").text
    link = re.search(r"/study/pilot/return/[\w-]+", kept).group()
    person.http.cookies.clear()
    assert "Which part would you like" in person.get(link).text
    person.get("/study/pilot/return/nonsense", status=404)


def test_invitations_admit_as_often_as_they_say(run_app):
    app = run_app('name = "pilot"\ntitle = "Closed"\n')
    Participant(app).get("/study/pilot", status=403)
    leader = staff(app)
    leader.get("/admin/pilot/invitations")
    made = leader.post("/admin/pilot/invitations", role="seeker", uses="1", note="first wave").text
    token = re.search(r"/study/pilot/join/([\w-]+)", made).group(1)
    guest, late = Participant(app), Participant(app)
    guest.get(f"/study/pilot/join/{token}")
    assert "P-" in guest.do("consent", adult="yes", agree="yes", token=token).text
    assert "What to expect" in guest.get("/study/pilot").text  # the role was the invitation's
    late.get(f"/study/pilot/join/{token}", status=404)


def test_a_model_may_support(run_app):
    app = run_app('name = "pilot"\ntitle = "M"\nopen = true\nsupporter = "model"\nmodel = "echo"\n')
    person = Participant(app)
    assert "computer program" in person.get(person.home).text
    person.join("seeker")
    person.do("ready")
    person.describe()
    assert person.get(f"{person.home}/status").json()["step"] == "chat"
    with person.live() as socket:
        a = Frames(socket)
        a.hello()
        a.say("hello out there")
        a.see(2)
        assert a.event(2)["text"] == "echo heard: hello out there"
        assert a.event(2)["role"] == "supporter"


def test_a_model_may_suggest(run_app):
    app = run_app(STUDY.replace("open = true", 'open = true\nsupporter = "assisted"\nmodel = "echo"'))
    one, other = meet(app)
    with one.live() as seeker, other.live() as supporter:
        a, b = Frames(seeker), Frames(supporter)
        a.hello()
        b.hello()
        a.say("hello")
        b.see(a.last)
        supporter.send_text('{"type": "suggest"}')
        frame = b.until("suggestion")
        assert (frame["text"], frame["strategy"]) == ("echo heard: hello", "Restatement or Paraphrasing")


JUDGE = """
name = "pilot"
title = "Judging"
open = true
[judge]
kind = "chat"
supporters = ["ash", "oak"]
minimum_turns = 1
"""


def test_a_judge_talks_to_hidden_supporters_and_compares_them(run_app):
    app = run_app(JUDGE)
    person = Participant(app)
    person.home = "/judge/pilot"
    person.get(person.home)
    person.home = "/study/pilot"
    person.do("consent", adult="yes", agree="yes", role="judge")
    person.do("ready")
    person.describe()
    heard = []
    for number in (1, 2):
        page = person.get("/judge/pilot").text
        assert f"Conversation {number}" in page
        assert not any(name in page for name in ("ash", "oak"))
        with person.live() as socket:
            a = Frames(socket)
            a.hello()
            a.say("good evening")
            a.see(2)
            heard.append(a.event(2)["text"].split()[0])
            a.end("finished")
    assert sorted(heard) == ["ash", "oak"]
    page = person.get("/judge/pilot").text
    item = page.split('name="item" value="')[1].split('"')[0]
    assert "answer every question" in person.do("judgement", status=422, item=item, fluency="first").text
    answers = dict.fromkeys(("fluency", "identification", "comforting", "suggestion"), "first")
    person.do("judgement", item=item, **answers, overall="tie")
    assert "Thank you" in person.get("/judge/pilot").text
    with app.state.web.database.reading() as session:
        votes = {rating.question: rating.value for rating in ratings(session, app.state.study)}
    assert votes["fluency"] == heard[0]
    assert votes["overall"] == "tie"


def test_pairs_of_replies_are_compared(run_app, tmp_path):
    item = {
        "id": "x1",
        "context": ["seeker: I lost my job"],
        "replies": {"ash": "Oh.", "oak": "<b>I hear you</b>"},
    }
    (tmp_path / "pairs.jsonl").write_text(json.dumps(item) + "\n")
    app = run_app(
        'name = "pilot"\ntitle = "P"\nopen = true\n[judge]\nkind = "pairs"\nitems = "pairs.jsonl"\n'
    )
    person = Participant(app)
    person.get("/judge/pilot")
    person.do("consent", adult="yes", agree="yes", role="judge")
    person.do("ready")
    page = person.get("/judge/pilot").text
    assert "&lt;b&gt;I hear you" in page
    person.do("judgement", item="x1|ash|oak", skip="I know these people")
    assert "Thank you" in person.get("/judge/pilot").text
