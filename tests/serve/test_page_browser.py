"""The chat page in Chromium: every state at two widths with axe, by keyboard alone, offline, through a kill.

With HEARTEN_SCREENSHOTS=FOLDER every state is photographed for the docs.
"""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from talking import UNSAFE

from browsing import DESKTOP, PHONE, ROOT, Walker, answers, free_port
from hearten.core.conversation import Conversation

pytestmark = pytest.mark.slow
SERVER = Path(__file__).parent / "talking.py"


class Server:
    """The page's server as a process of its own, that can be killed and started again."""

    def __init__(self, folder: Path) -> None:
        self.port, self.folder = free_port(), folder
        self.address = f"http://127.0.0.1:{self.port}"
        self.process: subprocess.Popen | None = None

    def start(self, *, keep: bool = False) -> "Server":
        kept = [str(self.folder / "chats.sqlite"), str(self.folder / "keys" / "key")] if keep else []
        environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
        command = [sys.executable, str(SERVER), str(self.port), *kept]
        self.process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
        answers(self.port)
        return self

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(20)

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(20)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """One server for everybody whose test does not end it."""
    started = Server(tmp_path_factory.mktemp("server")).start()
    yield started
    started.stop()


@pytest.fixture
def mortal(tmp_path):
    """A server to be started, killed and started again."""
    made = Server(tmp_path)
    yield made
    made.stop()


class Person(Walker):
    """Somebody who talks."""

    def enter(self, path: str = "/") -> None:
        self.page.goto(self.address + path)
        self.page.click("#accept")
        self.page.wait_for_selector("#desk:not([hidden])")

    def say(self, text: str) -> None:
        self.page.fill("#text", text)
        self.page.keyboard.press("Enter")

    def until_done(self) -> str:
        """Wait for the reply; returns it."""
        self.page.wait_for_selector("#talk .theirs:not(.growing):last-child .acts")
        self.page.wait_for_selector("#send:not([hidden])")
        return self.replies()[-1]

    def talk(self, text: str) -> str:
        self.say(text)
        return self.until_done()

    def replies(self) -> list[str]:
        return self.page.locator("#talk .theirs .words").all_inner_texts()

    def said(self) -> list[str]:
        return self.page.locator("#talk .mine .words").all_inner_texts()

    def state(self, words: str) -> None:
        self.page.wait_for_selector(f"#state:has-text('{words}')")


def person(browser, server: Server, size=DESKTOP) -> Person:
    someone = Person(browser, server.address, size)
    someone.address = server.address
    return someone


def test_every_state_is_clear_at_two_widths(browser, server):
    me = person(browser, server)
    page = me.page
    page.goto(server.address)
    page.wait_for_selector("#first:not([hidden])")
    me.look("first-visit")
    page.click("#younger")
    me.look("younger")
    page.click("#young-back")
    page.click("#accept")
    me.look("empty")
    assert me.talk("I had a long day at work and I cannot stop thinking about it.").endswith("right now?")
    page.check("#chips")
    page.check(".stars input[value='4']", force=True)
    page.click(".theirs .why")
    assert page.inner_text(".because .shares abbr >> nth=0") == "Qu"
    assert "not a diagnosis" in page.inner_text(".because")
    assert page.locator(".because .fill").first.evaluate("e => getComputedStyle(e).backgroundColor") == (
        "rgb(63, 100, 201)"
    )
    me.look("why")
    page.click(".theirs .why")
    me.say("Can you stay with that thought?")
    page.wait_for_selector(".growing")
    me.look("streaming")
    page.click("#stop")
    me.state("Stopped")
    assert "[stopped]" in me.until_done()
    me.look("stopped")
    me.say("There was thunder all night.")
    me.state("Something went wrong")
    me.look("error")
    page.click("#new")
    said = "I want to kill myself."
    assert "kill" in me.talk(said)
    page.wait_for_selector("#care:not([hidden])")
    assert page.get_attribute("#care-lines a", "href") == "tel:116123"
    page.wait_for_selector("h1:text-is('Conversation')")
    me.look("care")
    assert page.is_enabled("#text")
    assert "weighs most" in me.talk("I do not know what to do.")
    assert page.is_visible("#care")
    page.emulate_media(color_scheme="dark")
    me.look("care-dark")
    page.emulate_media(color_scheme="light")
    page.goto(f"{server.address}/people?region=us")
    me.look("people")
    assert not [fault for fault in me.faults if "Failed to load" not in fault]


def test_edit_retry_versions_search_export_and_deletion(browser, server):
    me = person(browser, server)
    page = me.page
    me.enter()
    first = me.talk("The blue suitcase is packed.")
    page.click(".mine .edit")
    page.fill(".editing textarea", "The green suitcase is packed.")
    me.look("edit")
    page.click(".editing button >> nth=0")
    page.wait_for_selector(".mine .count:has-text('2 of 2')")
    assert me.until_done() != first
    assert me.said() == ["The green suitcase is packed."]
    page.click(".mine .before")
    page.wait_for_selector(".mine:has-text('blue suitcase')")
    assert me.replies() == [first]
    page.click(".theirs .again")
    page.wait_for_selector(".theirs .count:has-text('2 of 2')")
    me.look("versions")
    page.click("#new")
    me.talk("Something else altogether.")
    page.fill("#search", "SUITCASE")
    page.wait_for_function("() => document.querySelectorAll('#talks li').length === 1")
    page.click("#talks button")
    page.wait_for_selector(".mine:has-text('blue suitcase')")
    page.click("#more summary")
    me.look("more")
    with page.expect_download() as download:
        page.click("#save-data")
    records = Path(download.value.path()).read_text().splitlines()
    talks = [Conversation.model_validate_json(line) for line in records]
    assert [talk.turns[0].text for talk in talks].count("The blue suitcase is packed.") == 2
    page.click("#delete")
    page.click("#sure button[value=no]")
    assert me.said()
    page.click("#more summary")
    page.click("#delete")
    page.click("#sure button[value=yes]")
    page.wait_for_selector("#no-talks:has-text('Nothing found')")
    page.fill("#search", "")
    page.wait_for_selector("#talks li")
    page.click("#side .menu summary")
    page.click("#delete-all")
    me.look("delete-all")
    assert "1" not in page.inner_text("#sure-text")
    page.click("#sure button[value=yes]")
    me.state("Deleted")
    page.wait_for_selector("#empty:not([hidden])")
    page.reload()
    page.wait_for_selector("#empty:not([hidden])")
    assert not me.faults


def test_by_keyboard_alone_on_a_phone(browser, server):
    me = person(browser, server, PHONE)
    page = me.page
    page.goto(server.address)
    page.wait_for_selector("#first:not([hidden])")
    me.press("#accept")
    page.wait_for_function("() => document.activeElement.id === 'text'")
    page.keyboard.type("I typed this without a mouse.")
    page.keyboard.press("Enter")
    reply = me.until_done()
    assert page.inner_text("#heard") == f"The AI says: {reply}"
    assert page.evaluate("document.activeElement.id") == "text"
    page.keyboard.type("And stay a moment.")
    page.keyboard.press("Enter")
    page.wait_for_selector(".growing")
    page.keyboard.press("Escape")
    me.state("Stopped")
    me.press(".mine .edit")
    page.wait_for_selector(".editing")
    page.keyboard.press("Escape")
    page.wait_for_selector(".editing", state="detached")
    me.press(".stars input", "Space")
    page.keyboard.press("ArrowRight")
    me.press(".theirs .why")
    page.wait_for_selector(".because:not([hidden])")
    page.evaluate("document.activeElement.blur()")
    me.press("#open-side")
    page.wait_for_selector("#side", state="visible")
    me.look("side")
    page.keyboard.press("Escape")
    page.wait_for_selector("#side", state="hidden")
    assert page.evaluate("document.activeElement.id") == "open-side"
    me.press("#open-side")
    me.press("#side .menu summary")
    me.press("#delete-all")
    page.wait_for_selector("#sure[open]")
    assert page.evaluate("document.activeElement.value") == "no"
    page.keyboard.press("Enter")
    assert len(me.said()) == 2
    assert not me.faults


def test_queue_busy_and_offline(browser, server):
    people = [person(browser, server) for _ in range(4)]
    for one in people:
        one.enter()
    for one in people[:2]:
        one.say("Please stay with me.")
        one.page.wait_for_selector(".growing")
    people[2].say("I can wait.")
    people[2].state("You are number 1 in line")
    people[3].say("Nobody has time for me.")
    people[3].state("Trying again in")
    people[2].look("queue")
    people[3].look("busy")
    for one in people[:2]:
        one.page.click("#stop")
        one.state("Stopped")
    assert "What weighs most" in people[2].until_done()
    people[3].page.wait_for_selector("#send:not([hidden])")
    assert "weighs most" in people[3].until_done(), "it tries again by itself"
    me = people[0]
    me.context.set_offline(True)
    me.say("Does this arrive?")
    me.state("No connection to the server")
    me.look("offline")
    me.context.set_offline(False)
    assert "weighs most" in me.until_done()
    assert me.said().count("Does this arrive?") == 1


def test_harmful_text_is_shown_as_text_and_only_screened_text_is_shown(browser, server):
    me = person(browser, server)
    received = []
    me.page.on("response", lambda answer: received.append(answer.url))
    me.page.on("dialog", lambda dialog: me.faults.append(dialog.message))
    me.enter()
    reply = me.talk("brackets <img src=x onerror=alert(9)><script>alert(8)</script>")
    assert "<script>alert(2)</script>" in reply
    assert "<script>alert(8)" in me.said()[0]
    assert me.page.locator("#talk img, #talk script").count() == 0
    assert "carry" in me.talk("marmalade")
    assert UNSAFE not in me.page.content()
    me.page.click(".theirs:last-child .why")
    assert "Something was not right to say" in me.page.inner_text(".theirs:last-child .because")
    me.page.fill("#text", "x" * 4100)
    me.page.keyboard.press("Enter")
    me.state("100 characters too many")
    assert all(url.startswith(server.address) for url in received)
    assert not me.faults


def test_a_long_history_is_shown_from_its_end(browser, server):
    me = person(browser, server, PHONE)
    me.enter()
    script = """async () => {
      const csrf = JSON.parse(document.getElementById('facts').textContent).csrf;
      let parent = '';
      for (let n = 0; n < 70; n += 1) {
        const id = `message${String(n).padStart(4, '0')}`;
        const body = new URLSearchParams({ talk: 'long'.repeat(5), parent, id, text: `Line number ${n}.` });
        const headers = { 'x-csrf-token': csrf, accept: 'application/json' };
        const answer = await fetch('/talks/say', { method: 'POST', headers, body });
        const reader = answer.body.getReader();
        await reader.read();
        await reader.cancel();
        parent = id;
      }
    }"""
    me.page.evaluate(script)
    me.page.reload()
    me.page.wait_for_selector("#earlier:not([hidden])")
    assert me.said()[-1] == "Line number 69."
    me.look("long-history")
    before = len(me.said())
    me.page.click("#earlier")
    me.page.wait_for_function(f"() => document.querySelectorAll('#talk .mine').length > {before}")
    me.page.evaluate("document.getElementById('scroll').scrollTop = 0")
    me.page.click("#latest")
    me.page.wait_for_selector("#latest", state="hidden")


def test_a_killed_server_loses_no_kept_conversation(browser, mortal):
    mortal.start(keep=True)
    me = person(browser, mortal)
    me.enter()
    first = me.talk("Keep this, please.")
    me.say("And stay with me for this.")
    me.page.wait_for_selector(".growing .words:has-text(' ')")
    shown = me.page.inner_text(".growing .words")
    mortal.kill()
    me.state("No connection to the server")
    me.page.fill("#text", "I write on while nobody is there.")
    mortal.start(keep=True)
    me.state("The connection broke off")
    assert me.said() == ["Keep this, please.", "And stay with me for this."]
    kept = me.replies()
    assert kept[0] == first
    assert kept[1].startswith(shown)
    assert kept[1].endswith("[stopped]")
    assert me.page.input_value("#text") == "I write on while nobody is there."
    me.page.click("#send")
    assert "weighs most" in me.until_done()
    raw = b"".join(path.read_bytes() for path in mortal.folder.glob("chats.sqlite*"))
    assert b"Keep this" not in raw
    me.page.reload()
    me.page.wait_for_selector("#talk .mine")
    assert len(me.said()) == 3


def test_without_kept_conversations_a_restart_forgets_and_says_so(browser, mortal):
    mortal.start()
    me = person(browser, mortal)
    me.enter()
    me.talk("Only for now.")
    mortal.kill()
    mortal.start()
    me.say("Are you still there?")
    me.page.wait_for_selector("#gone:not([hidden])")
    assert me.page.input_value("#text") == "Are you still there?"
    me.page.click("#accept")
    me.page.wait_for_selector("#empty:not([hidden])")
    assert json.loads(me.page.evaluate("JSON.stringify(sessionStorage)")).keys() <= {
        "hearten-draft",
        "hearten-region",
    }


def test_without_scripts_the_page_explains_itself(browser, server):
    context = browser.new_context(viewport=PHONE, java_script_enabled=False)
    page = context.new_page()
    page.goto(server.address)
    assert "did not run" in page.inner_text("#unscripted")
    assert page.is_visible("#unscripted a[href='tel:999']")
    page.click("header a.care")
    assert re.search("People to talk to", page.inner_text("h1"))
