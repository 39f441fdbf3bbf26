"""Real processes and real HTTP: killed at random, told off by a faulty server, the corpus is the same.

The server counts every request it receives, so "nothing is asked twice" is its word and not ours.
"""

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter

import pytest
from serving_made_up import MadeUpServer
from test_augment_run import SEEDS, corpus, ledger

from hearten.augment.plan import Plan, write_plan
from hearten.augment.records import CorpusFolder
from hearten.augment.run import Nursery
from hearten.lm.chat import open_chat_model

FEW = {"Breakups or Divorce": 2.0, "Caregiver Support": 1.0}
KILLS = 5


def plan_for(server, **changes):
    limits = {"concurrency": 4, "timeout": 0.7, "patience": 0.1, **changes.pop("limits", {})}
    given = {"model": f"openai:made-up@{server.url}", "rounds": (14, 8), "quotas": FEW, "surplus": 3}
    return Plan.model_validate(
        {**given, "limits": limits, "prices": {"prompt": 1, "completion": 2}, **changes}
    )


def grow_here(folder, plan):
    def open_model(name):
        return open_chat_model(name, retries=0, timeout=plan.limits.timeout)

    return Nursery(CorpusFolder(folder), plan, open_model, quiet=True).grow()


def command(folder, plan_file):
    """`hearten augment run` as a process of its own."""
    script = "from hearten.cli import main; main()"
    words = ["augment", "run", str(plan_file), "--out", str(folder), "--quiet"]
    return subprocess.Popen(
        [sys.executable, "-c", script, *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        env={**os.environ, "OPENAI_API_KEY": "none"},
    )  # fmt: skip


def plain(rows):
    """Without the model's address, which differs from server to server, and what it cost."""
    return [(accepted, {**row, "provenance": {**row["provenance"], "model": ""}}) for accepted, row in rows]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The corpus as it is when nothing goes wrong."""
    folder = tmp_path_factory.mktemp("undisturbed")
    with MadeUpServer(SEEDS) as server:
        plan = plan_for(server, limits={"timeout": 30})
        grow_here(folder, plan)
        assert set(server.received.values()) == {1}
    return folder


def kill_when(process, folder, lines):
    """SIGKILL as soon as the ledger has so many lines; whether it was still alive."""
    book = folder / "requests.jsonl"
    while process.poll() is None:
        if book.exists() and book.read_bytes().count(b"\n") >= lines:
            process.send_signal(signal.SIGKILL)
            process.wait()
            return True
        time.sleep(0.005)
    return False


@pytest.mark.slow
def test_killed_five_times_it_ends_with_the_same_corpus_and_asks_nothing_twice(tmp_path, undisturbed):
    draw = random.Random(int(os.environ.get("HEARTEN_KILL_SEED", "1")))
    whole = len(ledger(undisturbed))
    with MadeUpServer(SEEDS, delay=0.02) as server:
        write_plan(plan_for(server, limits={"timeout": 30}), tmp_path / "plan-file.toml")
        killed = 0
        for lines in sorted(draw.sample(range(4, whole - 8), KILLS)):
            killed += kill_when(command(tmp_path, tmp_path / "plan-file.toml"), tmp_path, lines)
        last = command(tmp_path, tmp_path / "plan-file.toml")
        said = last.communicate(timeout=120)[0].decode()
        assert last.returncode == 0, said
        received = Counter(server.received)
    assert killed == KILLS
    assert plain(corpus(tmp_path)) == plain(corpus(undisturbed))
    assert_each_answer_was_asked_for_once(tmp_path, received)


def assert_each_answer_was_asked_for_once(folder, received):
    """By the ledger and by the server's count; only what died with a process, unanswered, went out again."""
    lines = ledger(folder)
    answered = Counter(line.key for line in lines if line.status == "answered")
    assert set(answered.values()) == {1}
    order = {}
    for line in lines:
        assert order.get(line.key) != "answered", "sent again although its answer was there"
        order[line.key] = line.status
    sent = Counter(line.key for line in lines if line.status == "sent")
    died = sum(sent.values()) - len(answered)
    assert sum(received.values()) - len(received) <= died <= KILLS * 4, "at most those under way at each kill"
    assert len(received) == len(answered)


@pytest.mark.slow
@pytest.mark.parametrize("stream", [False, True])
def test_a_faulty_server_changes_nothing_but_the_time(tmp_path, undisturbed, stream):
    with MadeUpServer(SEEDS, faulty=0.3) as server:
        plan = plan_for(server, limits={"timeout": 0.7}, stream=stream)
        found = grow_here(tmp_path, plan)
        assert all(server.faults[fault] for fault in ("429", "500", "silence", "cut"))
        received, faults = Counter(server.received), server.faults.total()
    again = [(ok, {**row, "provenance": {**row["provenance"], "model": ""}}) for ok, row in corpus(tmp_path)]
    assert again == plain(corpus(undisturbed))
    assert found.account["failed"] >= faults
    assert sum(received.values()) == found.account["answered"] + found.account["failed"]
    assert found.account["uncertain_cost"] > 0, "what was silent or cut may have been charged"


@pytest.mark.slow
def test_it_can_be_stopped_with_control_c_and_gone_on_with(tmp_path, undisturbed):
    with MadeUpServer(SEEDS, delay=0.02) as server:
        write_plan(plan_for(server, limits={"timeout": 30}), tmp_path / "plan-file.toml")
        process = command(tmp_path, tmp_path / "plan-file.toml")
        while not (tmp_path / "accepted.jsonl").exists() or not (tmp_path / "accepted.jsonl").stat().st_size:
            time.sleep(0.01)
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        said = process.communicate(timeout=60)[0].decode()
        assert process.returncode == 1
        assert "what was written so far is kept" in said
        assert grow_here(tmp_path, plan_for(server, limits={"timeout": 30})).account["lost"] == 0
        assert set(server.received.values()) == {1}
    assert plain(corpus(tmp_path)) == plain(corpus(undisturbed))
