"""A seeker in danger is shown where help is, the supporter is not left alone, and the talk goes on."""

import asyncio
import logging
from types import SimpleNamespace

import pytest
from sqlalchemy import select
from walking import STUDY, Frames, Participant, meet

from hearten.collect import watch
from hearten.collect.export import collected
from hearten.collect.rooms import CARE, Entry
from hearten.collect.tables import Event
from hearten.collect.watch import Watch, is_news
from hearten.safety.screen import Finding
from visiting import staff

DANGER = "I want to kill myself tonight"


def test_both_sides_are_shown_where_help_is_and_the_talk_goes_on(app):
    one, other = meet(app)
    with one.live() as seeker, other.live() as supporter:
        a, b = Frames(seeker), Frames(supporter)
        a.hello()
        b.hello()
        a.say(DANGER)
        for side in (a, b):
            side.see(2)
            assert side.event(2)["kind"] == CARE
            assert not {"text", "id"} & set(side.event(2))
        a.say("I said I want to kill myself")  # as severe: told already
        a.say("Are you still there?")
        b.see(4)
        a.end("left")
        b.see(5)
        assert [event["kind"] for event in b.events.values()] == [
            "message",
            CARE,
            "message",
            "message",
            "end",
        ]
    with app.state.web.database.reading() as session:
        (row,) = collected(session, app.state.study)
        (event,) = session.scalars(select(Event).where(Event.kind == CARE))
    assert len(row.conversation.turns) == 3
    assert event.text is None
    assert event.data["severity"] in ("high", "imminent")
    leader = staff(app, "leader")
    assert (
        f"Signs of danger in what the seeker wrote: {event.data['severity']}"
        in leader.get(f"/admin/pilot/conversations/{row.room.id}").text
    )
    assert "<b>1</b>with signs of danger" in leader.get("/admin/pilot").text


def test_what_a_supporter_writes_is_not_read(app):
    one, other = meet(app)
    with one.live() as seeker, other.live() as supporter:
        a, b = Frames(seeker), Frames(supporter)
        a.hello()
        b.hello()
        b.say(DANGER, strategy="Question")
        a.see(1)
        a.say("What do you mean?")
        a.see(2)
        assert a.event(2)["kind"] == "message"


def test_participants_are_told_before_they_consent(run_app):
    told = "a program reads what the person seeking support writes"
    app = run_app()
    assert told in Participant(app).get("/study/pilot").text
    quiet = run_app(STUDY + "[care]\nscreen = false\n")
    assert told not in Participant(quiet).get("/study/pilot").text


def care(severity):
    return Entry(1, CARE, "screen", "care-1", 0.0, data={"severity": severity})


@pytest.mark.parametrize(
    ("told", "severity", "news"),
    [
        ([], "medium", True),
        (["medium"], "medium", False),
        (["medium"], "high", True),
        (["high"], "medium", False),
    ],
)
def test_a_room_is_told_again_only_of_what_is_more_severe(told, severity, news):
    assert is_news([care(one) for one in told], severity) is news


def watched(screen):
    """A watch over a hub that only notes what it is asked to write."""
    hub = SimpleNamespace(written=[], watch=None)

    async def add(draft):
        hub.written.append(draft)

    hub.journal = SimpleNamespace(add=add)
    return hub, Watch(hub, screen)


def room(screen=True):
    return SimpleNamespace(id=7, log=[], study=SimpleNamespace(care=SimpleNamespace(screen=screen)))


def said(seq, text):
    return Entry(seq, "message", "seeker", f"m{seq}", 0.0, text=text)


async def run_for(watcher, seconds=0.2):
    task = asyncio.create_task(watcher.run())
    await asyncio.sleep(seconds)
    task.cancel()


def test_messages_are_read_in_batches_and_named_by_their_number(monkeypatch):
    asked = []

    def screen(texts):
        asked.append(list(texts))
        return [Finding(crisis=text == "danger", severity="high", kinds=("active",)) for text in texts]

    monkeypatch.setattr(watch, "BATCH", 2)
    hub, watcher = watched(screen)
    hub.watch(room(), [said(1, "a"), said(2, "danger"), said(3, "b")])
    hub.watch(room(screen=False), [said(4, "danger")])
    asyncio.run(run_for(watcher))
    assert asked == [["a", "danger"], ["b"]]
    (draft,) = hub.written
    assert (draft.room_id, draft.kind, draft.client_id) == (7, CARE, "care-2")
    assert draft.data == {"severity": "high", "kinds": ["active"]}


def test_a_flood_is_given_up_at_its_old_end_and_told(monkeypatch, caplog):
    monkeypatch.setattr(watch, "LONGEST_QUEUE", 2)
    read = []
    hub, watcher = watched(
        lambda texts: [read.append(t) or Finding(crisis=False, severity="none") for t in texts]
    )
    with caplog.at_level(logging.WARNING):
        hub.watch(room(), [said(number, str(number)) for number in range(4)])
    asyncio.run(run_for(watcher))
    assert read == ["2", "3"]
    assert "too many messages" in caplog.text
