"""The review page in Chromium: by keys alone, an edit in place, another reviewer, a leader who settles.

With HEARTEN_SCREENSHOTS=FOLDER every page is photographed for the docs.
"""

import json
import re
import subprocess
import sys

import pytest
from grown_corpora import grown_corpus, talk

from browsing import DESKTOP, PHONE, Walker, answers, free_port
from hearten.core.jsonl import write_records

pytestmark = pytest.mark.slow


@pytest.fixture
def server(tmp_path):
    """`hearten web` over a corpus and a quality study; yields (address, the leader's link)."""
    grown_corpus(tmp_path, accepted=3, rejected=1)
    write_records(tmp_path / "a.jsonl", [talk("a0", 0)])
    (tmp_path / "quality.toml").write_text('[corpora]\nours = "a.jsonl"\n')
    port = free_port()
    options = ["--corpus", "grown", "--reviewers", "2", "--quality", "quality.toml", "--port", str(port)]
    command = [sys.executable, "-m", "hearten", "web", *options]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    lines = [process.stdout.readline() for _ in range(4)]
    answers(port)
    yield f"http://127.0.0.1:{port}", re.search(r"http\S+/invite/\S+", "".join(lines)).group()
    process.terminate()
    process.wait(20)


def joins(person, link, name):
    person.page.goto(link)
    person.page.fill("#name", name)
    person.page.fill("#password", "correct horse battery")
    person.press("main button")
    person.page.wait_for_url("**/review")


def test_a_corpus_is_reviewed_by_keys_and_settled(browser, server, tmp_path):
    address, link = server
    lea = Walker(browser, address, DESKTOP)
    joins(lea, link, "Lea")
    lea.look("corpora")
    lea.page.goto(f"{address}/review/grown")
    lea.page.fill("#uses", "2")
    lea.page.click("text=Make a link")
    invite = re.search(r"http\S+/invite/[\w-]+", lea.page.inner_text("[role=status]")).group()
    lea.look("invited")

    ada = Walker(browser, address, DESKTOP)
    joins(ada, invite, "Ada")
    ada.page.goto(f"{address}/review/grown/next")
    ada.look("item")
    ada.page.keyboard.press("e")
    ada.page.keyboard.press("Control+A")
    ada.page.keyboard.type("We lose our home in spring.")
    assert ada.page.inner_text("button[value=accept]") == "Accept with edits"
    ada.look("item-edited")
    ada.page.keyboard.press("Escape")
    ada.page.keyboard.press("a")
    ada.page.wait_for_url("**/item/g1*")
    ada.page.keyboard.press("d")
    ada.page.wait_for_url("**/item/g2*")
    ada.page.keyboard.press("u")
    ada.page.wait_for_url("**/item/g1*")
    ada.page.keyboard.press("l")
    ada.page.wait_for_url("**/item/g2*")

    ben = Walker(browser, address, PHONE)
    joins(ben, invite, "Ben")
    ben.page.goto(f"{address}/review/grown/next")
    assert ben.page.url.endswith("/item/g0"), "what another began comes first"
    ben.page.fill("#note", "I would not say it so.")
    ben.press("button[value=discard]")
    ben.page.wait_for_url(lambda url: not url.endswith("/item/g0"))

    lea.page.goto(f"{address}/review/grown")
    lea.look("progress")
    lea.page.click("text=g0")
    lea.look("settling")
    lea.page.click("text=Start from this version")
    assert lea.page.input_value("textarea[name=text-0]") == "We lose our home in spring."
    lea.page.keyboard.press("a")
    lea.page.wait_for_url("**/review/grown")

    trail = [json.loads(line) for line in (tmp_path / "grown" / "reviews.jsonl").read_text().splitlines()]
    assert [(line["reviewer"], line["action"], line["item"]) for line in trail] == [
        ("Ada", "edit", "g0"), ("Ada", "discard", "g1"), ("Ada", "undo", "g1"),
        ("Ben", "discard", "g0"), ("Lea", "edit", "g0"),
    ]  # fmt: skip

    ada.page.goto(f"{address}/rate/quality")
    ada.look("rate")
    for field in ada.page.query_selector_all("fieldset"):
        field.query_selector("input[value='2']").check()
    ada.press("main form > button")
    ada.page.wait_for_selector("text=You have rated everything")
    lea.page.goto(f"{address}/rate/quality/results")
    lea.look("results")
    assert not ada.faults + ben.faults + lea.faults


def test_without_scripts_the_forms_work(browser, server):
    address, link = server
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(link)
    page.fill("#name", "Lea")
    page.fill("#password", "correct horse battery")
    page.click("main button")
    page.goto(f"{address}/review/grown/next")
    page.fill("textarea[name=text-0]", "Said plainly.")
    page.click("button[value=accept]")
    assert page.url.split("?")[0].endswith("/item/g1")
