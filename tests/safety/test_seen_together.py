"""Many threads that ask at once are read together, one thread at a time."""

import threading

import pytest

from hearten.safety import seen
from hearten.safety.screen import Finding
from hearten.safety.seen import TOGETHER, Seen


class Slow:
    """A screen that holds the first call until it is told to go on."""

    def __init__(self):
        self.calls, self.go, self.begun = [], threading.Event(), threading.Event()

    def __call__(self, texts):
        self.calls.append(list(texts))
        self.begun.set()
        assert self.go.wait(10)
        if "bad" in texts:
            raise ValueError("bad")
        return [Finding(crisis=False, severity="none", evidence=(text,)) for text in texts]


@pytest.fixture
def slow(monkeypatch):
    screen = Slow()
    monkeypatch.setattr(seen, "screen", screen)
    return screen


def ask(memory, texts, found):
    def work(text):
        try:
            found[text] = memory.screen([text])[0].evidence[0]
        except ValueError:
            found[text] = "failed"

    threads = [threading.Thread(target=work, args=(text,)) for text in texts]
    for thread in threads:
        thread.start()
    return threads


def test_those_who_wait_are_read_together_and_each_gets_its_own_answer(slow):
    memory, found = Seen(), {}
    first = ask(memory, ["first"], found)
    assert slow.begun.wait(10)
    texts = [f"text {number}" for number in range(6)]
    others = ask(memory, texts, found)
    while len(memory._asked) < 6:  # one is being read, six wait
        pass
    slow.go.set()
    for thread in first + others:
        thread.join(10)
    assert found == {text: text for text in ["first", *texts]}
    assert max(map(len, slow.calls)) == TOGETHER
    assert sum(map(len, slow.calls)) == 7, "nothing is read twice"


def test_one_that_fails_fails_alone_in_the_end(slow):
    memory, found = Seen(), {}
    slow.go.set()
    for thread in ask(memory, ["bad", "good"], found):
        thread.join(10)
    assert found["bad"] == "failed"
    assert memory.screen(["good"])[0].evidence == ("good",)
