"""A whole study in a real browser: the seeker by keyboard alone, the supporter by mouse, axe on every page.

With HEARTEN_SCREENSHOTS=FOLDER every page is also photographed, at desktop and at phone width, for the docs.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from walking import SITUATION

from browsing import DESKTOP, PHONE, Walker, answers, free_port
from hearten.collect.training import tutorial
from hearten.core.conversation import Conversation
from hearten.core.jsonl import read_records

pytestmark = pytest.mark.slow
STUDY = """
name = "pilot"
title = "How people support each other"
open = true
[ethics]
irb = "2026-017"
contact = "study@example.org"
[chat]
end_minutes = 0
[completion]
code = "C-4711"
[pay]
currency = "EUR"
"""
OTHERS = {
    "closed": 'name = "closed"\ntitle = "By invitation"\n',
    "pairs": 'name = "pairs"\ntitle = "Which reply helps?"\nopen = true\n'
    '[judge]\nkind = "pairs"\nitems = "items.jsonl"\n',
    "strict": 'name = "strict"\ntitle = "One attempt"\nopen = true\n[training]\nattempts = 1\n',
}
ITEM = {
    "id": "x1",
    "context": [
        "seeker: They gave my desk away while I was ill.",
        "supporter: While you were ill?",
        "seeker: Yes.",
    ],
    "replies": {"ash": "You should complain.", "oak": "That must have felt as if you were already gone."},
}


@pytest.fixture
def server(tmp_path):
    """`hearten web`; yields (address, the leader's link)."""
    (tmp_path / "study.toml").write_text(STUDY)
    (tmp_path / "items.jsonl").write_text(json.dumps(ITEM) + "\n")
    others = []
    for name, text in OTHERS.items():
        (tmp_path / f"{name}.toml").write_text(text)
        others += ["--study", f"{name}.toml"]
    port = free_port()
    command = [sys.executable, "-m", "hearten", "web", "--study", "study.toml", "--port", str(port), *others]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    lines = [process.stdout.readline() for _ in range(6)]
    answers(port)
    yield f"http://127.0.0.1:{port}", re.search(r"http\S+/invite/\S+", "".join(lines)).group()
    process.terminate()
    process.wait(20)


def seeker_arrives(person: Walker, address: str) -> None:
    """Consent to survey, with the keyboard."""
    page = person.page
    page.goto(f"{address}/study/pilot")
    person.look("consent")
    person.press("input[name=adult]", "Space")
    person.press("button[value=yes]")
    page.wait_for_selector(".code")
    person.look("kept")
    person.press("main a.button")
    page.wait_for_selector("button[value=seeker]")
    person.look("role")
    person.press("button[value=seeker]")
    page.wait_for_selector("table")
    person.look("instructions")
    person.press("main button")
    page.wait_for_selector("#situation")
    for name, key in (("problem", "j"), ("emotion", "a")):
        person.tab_to(f"#{name}")
        page.keyboard.type(key)
    person.press("input[name=initial_intensity]", "Space")
    for _ in range(4):
        page.keyboard.press("ArrowRight")
    person.tab_to("#situation")
    page.keyboard.type(SITUATION)
    person.press("input[name=experience]", "Space")
    person.look("survey-before")
    person.press("main form > button")
    page.wait_for_selector("#clock")
    person.look("waiting")


def supporter_arrives(person: Walker, address: str) -> None:
    """Consent, tutorial, exam; one quiz is answered wrongly first."""
    page = person.page
    page.goto(f"{address}/study/pilot")
    page.check("input[name=adult]")
    page.click("button[value=yes]")
    page.click("main a.button")
    page.click("button[value=supporter]")
    for number, task in enumerate(tutorial("esconv").tasks):
        if number == 3:
            person.look("tutorial")
            page.check(f"input[value='{1 if task.quiz.right != 1 else 2}']")
            page.click("main form button")
            page.wait_for_selector(".wrong")
            person.look("tutorial-wrong")
        page.check(f"input[value='{task.quiz.right}']")
        page.click("main form button")
        page.click("main a.button")
    page.wait_for_selector("fieldset.card")
    person.look("exam")
    for task in tutorial("esconv").tasks:
        page.check(f"input[name={task.key}][value='{task.exam.right}']")
    page.click("main form button")
    page.wait_for_selector("table")
    page.click("main form button")


def support(person: Walker, text: str, strategy: str) -> None:
    person.page.check(f"input[name=strategy][value='{strategy}']")
    person.page.fill("#text", text)
    person.page.click("#send")
    person.page.wait_for_selector(f".talk > *.mine:not(.sending):has-text('{text}')")


def ten_exchanges(seeker: Walker, supporter: Walker) -> None:
    """Ten exchanges with stars; the connection breaks in the middle."""
    names = ("Question", "Reflection of feelings", "Affirmation and Reassurance", "Information")
    for number in range(10):
        said = f"Number {number}: I keep turning it over, and at night it gets louder than by day."
        seeker.tab_to("#text")
        seeker.page.keyboard.type(said)
        if number == 5:
            seeker.context.set_offline(True)
        seeker.page.keyboard.press("Enter")
        if number == 5:
            seeker.page.wait_for_timeout(300)
            seeker.context.set_offline(False)
        supporter.page.wait_for_selector(f".talk > *:has-text('Number {number}:')")
        support(
            supporter, f"Answer {number}: that sounds heavy, and you carried it alone.", names[number % 4]
        )
        support(supporter, f"And {number}: what would make tonight a little easier for you?", "Question")
        seeker.page.wait_for_selector("#stars:not([hidden])")
        if number == 3:
            seeker.look("chat-seeker-stars")
            supporter.page.check("input[name=strategy][value='Self-disclosure']")
            supporter.look("chat-supporter")
        seeker.press("#stars input", "Space")
        for _ in range(3 + number % 2):
            seeker.page.keyboard.press("ArrowRight")
        seeker.press("#stars button")
        seeker.page.wait_for_selector("#stars", state="hidden")
        seeker.page.wait_for_selector("#text:not([disabled])")


def stars(person: Walker, name: str, number: int) -> None:
    person.page.check(f"input[name={name}][value='{number}']", force=True)


def test_two_people_go_through_a_whole_study(browser, server, tmp_path):
    address, leader_link = server
    seeker, supporter = Walker(browser, address, PHONE), Walker(browser, address, DESKTOP)
    seeker_arrives(seeker, address)
    supporter_arrives(supporter, address)
    for person in (seeker, supporter):
        person.page.wait_for_selector("#text:not([disabled])")
    seeker.page.wait_for_selector("#presence:has-text('is here')")
    in_danger(seeker, supporter)
    ten_exchanges(seeker, supporter)
    dark(supporter)
    seeker.press("#finish")
    for person in (seeker, supporter):
        person.page.click("#over a")
        person.page.wait_for_selector("input[name=natural]")
    seeker.look("survey-after")
    seeker.page.check("input[name=natural][value=yes]")
    for name, number in (("final_intensity", 2), ("empathy", 5), ("relevance", 5)):
        stars(seeker, name, number)
    seeker.page.fill("#seeker_question1", "It was good. You can reach me at ana@example.org.")
    seeker.page.click("main form button")
    supporter.page.check("input[name=natural][value=yes]")
    stars(supporter, "detail", 4)
    supporter.page.click("main form button")
    for person in (seeker, supporter):
        assert person.page.inner_text(".code") == "C-4711"
    seeker.look("done")
    seeker.page.goto(f"{address}/study/pilot/care")
    seeker.look("care")
    seeker.page.goto(f"{address}/study/pilot/withdraw")
    seeker.look("withdraw")
    exported(leader(browser, address, leader_link), tmp_path)
    for person in (seeker, supporter):
        expected = ("net::ERR_INTERNET_DISCONNECTED", "WebSocket connection")
        assert not [fault for fault in person.faults if not any(word in fault for word in expected)]


def in_danger(seeker: Walker, supporter: Walker) -> None:
    """Both are shown where help is, and can go on writing."""
    seeker.page.fill("#text", "honestly i want to kill myself tonight")
    seeker.press("#send")
    for person, name in ((seeker, "seeker"), (supporter, "supporter")):
        person.page.wait_for_selector("#help:not([hidden])", timeout=60_000)
        assert "988" in person.page.inner_text("#help")
        person.look(f"chat-{name}-help")
        person.press("#help-close")
        assert person.page.is_hidden("#help")
        assert person.page.evaluate("document.activeElement.id") == "text"


def dark(person: Walker) -> None:
    """The chat with the system's dark colours."""
    person.page.emulate_media(color_scheme="dark")
    person.look("chat-supporter-dark")
    person.page.emulate_media(color_scheme="light")


def leader(browser, address: str, link: str) -> Walker:
    """Accept the invitation and look at every page."""
    person = Walker(browser, address, DESKTOP)
    person.page.goto(link)
    person.look("invitation")
    person.page.fill("#name", "Kim")
    person.page.fill("#password", "correct horse battery")
    person.page.click("main form button")
    for name in (
        "",
        "people",
        "conversations",
        "conversations/1",
        "review",
        "corrections",
        "invitations",
        "export",
        "audit",
    ):
        person.page.goto(f"{address}/admin/pilot/{name}".rstrip("/"))
        person.look(f"admin-{name.replace('/', '-') or 'overview'}")
    person.page.goto(f"{address}/admin/pilot/conversations/1")
    assert person.page.is_visible("text=Verdict: accepted")
    assert not person.faults
    return person


def exported(person: Walker, tmp_path: Path) -> None:
    """The export from the command line, beside the running server."""
    command = [
        sys.executable,
        "-m",
        "hearten",
        "collect",
        "export",
        "--study",
        "study.toml",
        "--out",
        "out",
        "--json",
    ]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["conversations"] == 1
    (talk,) = read_records(tmp_path / "out" / "conversations.jsonl", Conversation)
    assert len(talk.turns) == 31
    assert (
        sum(turn.feedback is not None for turn in talk.turns) == 9
    )  # the tenth has no seeker's turn after it
    assert talk.turns[-1].annotations == {"feedback": 5}
    assert talk.survey.answers["seeker_question1"] == "It was good. You can reach me at [email]."
    assert "How people support each other" in (tmp_path / "out" / "card.md").read_text()
    if os.environ.get("HEARTEN_KEEP_EXPORT"):
        shutil.copytree(tmp_path / "out", os.environ["HEARTEN_KEEP_EXPORT"], dirs_exist_ok=True)


def agrees(person: Walker, place: str) -> None:
    """Consent, and past the personal link."""
    person.page.goto(place)
    person.page.check("input[name=adult]")
    person.page.click("button[value=yes]")
    person.page.click("main a.button")


def test_the_pages_beside_the_way(browser, server):
    address, _ = server
    person = Walker(browser, address, DESKTOP)
    for name, path in {"login": "login", "not-found": "nowhere", "closed": "study/closed"}.items():
        person.page.goto(f"{address}/{path}")
        person.look(name)
    person.page.goto(f"{address}/study/strict")
    person.page.click("button[value=no]")
    person.look("refused")
    agrees(person, f"{address}/study/strict")
    person.page.click("button[value=supporter]")
    for task in tutorial("esconv").tasks:
        person.page.check(f"input[value='{task.quiz.right}']")
        person.page.click("main form button")
        person.page.click("main a.button")
    for task in tutorial("esconv").tasks:
        wrong = next(n for n in (1, 2) if n != task.exam.right)
        person.page.check(f"input[name={task.key}][value='{wrong}']")
    person.page.click("main form button")
    person.look("exam-failed")
    person.page.goto(f"{address}/study/strict")
    person.look("failed")
    person.page.goto(f"{address}/study/strict/withdraw")
    person.page.click("button[value=yes]")
    person.look("withdrawn")
    agrees(person, f"{address}/judge/pairs")
    person.look("judge-instructions")
    person.page.click("main form button")
    person.look("judging")
