"""Supporters without a model, and a real server round them, for the tests of serving."""

import contextlib
import socket
import threading
import time

import uvicorn

from hearten.app import serving
from hearten.core.records import Reply
from hearten.core.taxonomy import label_set
from hearten.serve.links import LinksConfig, build
from hearten.serve.settings import ServeSettings
from hearten.web.settings import Settings

ESCONV = label_set("esconv")


class Typist:
    """Says a sentence word by word, at a pace; remembers what it was asked and whether it was cut off."""

    name = "typist"

    def __init__(self, text="I hear how heavy this is. What would help you most today?", pace=0.0):
        self.text, self.pace = text, pace
        self.asked, self.wishes, self.running, self.most, self.cut = [], [], 0, 0, 0
        self._lock = threading.Lock()
        self.hold = threading.Event()
        self.hold.set()

    def wished(self, wishes):
        self.wishes.append(wishes)
        return self

    def reply(self, conversation, *, strategy=None, n=1):
        return [list(self.stream(conversation, strategy=strategy))[-1] for _ in range(n)]

    def stream(self, conversation, *, strategy=None):
        with self._lock:
            self.asked.append((conversation, strategy))
            self.running += 1
            self.most = max(self.most, self.running)
        words, done = self.text.split(), False
        chosen = strategy or ESCONV.find("Question")
        reply = Reply(text="", strategy=chosen, probabilities={"Question": 0.75, "Others": 0.25})
        try:
            yield reply
            for count in range(1, len(words) + 1):
                self.hold.wait(10)
                time.sleep(self.pace)
                tokens = {"prompt": 20, "cached": 8, "completion": count}
                details = {"tokens": tokens, "finish": "stop"} if count == len(words) else None
                yield reply.model_copy(update={"text": " ".join(words[:count]), "details": details})
            done = True
        finally:
            with self._lock:
                self.running -= 1
                self.cut += not done


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def served(supporter, folder, screens=True, **changes):
    """A real server in a thread of this process; gives its address and its app."""
    port = free_port()
    web = Settings(port=port, database=f"sqlite:///{folder}/chats.sqlite")
    usual = {"model": "typist", "requests_per_minute": 60_000, "notices": False}
    settings = ServeSettings(web=web, **{**usual, **changes})
    app = serving(settings, build(supporter, LinksConfig(screens=screens)))
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="warning", access_log=False))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            time.sleep(0.01)
        yield f"http://127.0.0.1:{port}", app
    finally:
        server.should_exit = True
        thread.join(20)


def within(seconds, condition):
    """Wait until `condition()` holds; false if it never does."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.01)
    return False
