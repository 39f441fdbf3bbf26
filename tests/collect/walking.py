"""People who walk through a study without a browser, and a supporter without a model."""

import json
import re
from itertools import count
from pathlib import Path

from hearten.collect.training import tutorial
from hearten.core.conversation import Conversation
from hearten.core.records import Reply
from hearten.core.taxonomy import label_set
from hearten.web.settings import Settings
from visiting import Visitor

STUDY = """
name = "pilot"
title = "A pilot study"
open = true
languages = ["en", "de"]
[chat]
end_turns = 2
end_minutes = 0
silence_minutes = 0
[completion]
code = "C-4711"
[pay]
currency = "EUR"
"""
SITUATION = (
    "My hours were cut without a word last week and I lie awake counting what is left of the money "
    "for the rent this month."
)


class Echo:
    """A supporter that says what it heard: the real interface, no model."""

    def __init__(self, name: str) -> None:
        self.name = name

    def reply(self, conversation: Conversation, *, strategy=None, n: int = 1) -> list[Reply]:
        heard = conversation.turns[-1].text
        chosen = strategy or label_set(conversation.label_set).strategies[1]
        return [Reply(text=f"{self.name} heard: {heard}", strategy=chosen)] * n


class Participant(Visitor):
    """Someone in the study `pilot`."""

    def __init__(self, app, name: str = "pilot") -> None:
        super().__init__(app)
        self.home = f"/study/{name}"

    def do(self, what: str, status: int = 200, **fields: str):
        return self.post(f"{self.home}/{what}", status, **fields)

    def join(self, role: str) -> str:
        """Consent and choose a role; returns the pseudonym."""
        self.get(self.home)
        kept = self.do("consent", adult="yes", agree="yes").text
        self.do("role", role=role)
        return re.search(r"P-[A-Z2-9]{6}", kept).group()

    def learn_tutorial(self) -> None:
        for task in tutorial("esconv").tasks:
            self.do("tutorial", task=task.key, answer=str(task.quiz.right))

    def learn(self) -> None:
        """Finish the tutorial and pass the exam."""
        school = tutorial("esconv")
        self.learn_tutorial()
        self.do("exam", **{task.key: str(task.exam.right) for task in school.tasks})

    def describe(self) -> None:
        """Fill in the seeker's survey."""
        answers = {
            "problem": "job crisis",
            "emotion": "anxiety",
            "initial_intensity": "5",
            "experience": "current",
        }
        self.do("survey", situation=SITUATION, **answers)

    def live(self):
        return self.http.websocket_connect(f"{self.home}/live")


def seeker(app) -> Participant:
    person = Participant(app)
    person.join("seeker")
    person.do("ready")
    person.describe()
    return person


def supporter(app) -> Participant:
    person = Participant(app)
    person.join("supporter")
    person.learn()
    person.do("ready")
    return person


def meet(app) -> tuple[Participant, Participant]:
    """A seeker and a supporter who have just been matched."""
    one, other = seeker(app), supporter(app)
    for person in (one, other, one):
        person.get(f"{person.home}/status")
    return one, other


def settings(tmp_path: Path, text: str = STUDY, **changes) -> Settings:
    path = tmp_path / "study.toml"
    path.write_text(text)
    generous = {"forms_per_minute": 100_000, "tries_per_minute": 100_000, "messages_per_second": 1000}
    database = f"sqlite:///{tmp_path / 'hearten.sqlite'}"
    return Settings(studies=(path,), **{"database": database, **generous, **changes})


class Frames:
    """One side of a live chat: sends, waits for its own events, keeps everything seen."""

    numbers = count(1)

    def __init__(self, socket) -> None:
        self.socket, self.events, self.last = socket, {}, 0

    def read(self):
        frame = json.loads(self.socket.receive_text())
        for event in frame.get("events", []):
            self.events[event["seq"]] = event
        return frame

    def until(self, kind):
        while True:
            frame = self.read()
            if frame["type"] == kind:
                return frame

    def hello(self, seen=0):
        self.socket.send_text(json.dumps({"type": "hello", "seen": seen}))
        return self.until("events")

    def event(self, seq):
        return self.events[seq]

    def see(self, seq):
        """Wait for event number `seq`."""
        while seq not in self.events:
            self.read()

    def send(self, frame):
        frame = {"id": f"t{next(self.numbers)}", **frame}
        self.socket.send_text(json.dumps(frame))
        return frame["id"]

    def act(self, **frame):
        """Send, and wait until it has happened."""
        sent = self.send(frame)
        while not any(event.get("id") == sent for event in self.events.values()):
            answer = self.read()
            assert answer["type"] != "refused", answer
        self.last = next(seq for seq, event in self.events.items() if event.get("id") == sent)

    def say(self, text, **more):
        self.act(type="message", text=text, **more)

    def stars(self, number):
        self.act(type="stars", stars=number)

    def end(self, reason):
        self.act(type="end", reason=reason)

    def refused(self, frame):
        """Send what will be refused; returns the reason."""
        self.send(frame)
        return self.until("refused")["reason"]
