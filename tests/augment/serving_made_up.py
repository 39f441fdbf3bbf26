"""A small OpenAI-compatible server that speaks real HTTP, goes wrong on request, and counts what it is asked.

What it says is a function of the request, so two runs of a plan are told the same. Faults hit a request's
first try: 429 with Retry-After, 500, silence longer than the client waits, an answer cut in the middle.
"""

import json
import random
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import replies_made_up as made_up

FAULTS = ("429", "500", "silence", "cut")
SILENCE = 1.5


class MadeUpServer(ThreadingHTTPServer):
    """Listens on a free port until closed.

    Args:
        seeds: what it may copy from.
        faulty: share of requests whose first try goes wrong.
        delay: seconds each answer takes.
    """

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, seeds, *, faulty=0.0, delay=0.0):
        super().__init__(("127.0.0.1", 0), Handler)
        self.seeds, self.faulty, self.delay = seeds, faulty, delay
        self.received, self.charged, self.faults = Counter(), set(), Counter()
        self.lock = threading.Lock()
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}/v1"

    def fault(self, key):
        """What goes wrong with this try of a request, if anything."""
        with self.lock:
            self.received[key] += 1
            if self.received[key] > 1 or random.Random(f"fault/{key}").random() >= self.faulty:
                return None
            chosen = FAULTS[self.faults.total() % len(FAULTS)]
            self.faults[chosen] += 1
            return chosen

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.shutdown()
        self.server_close()

    def handle_error(self, request, client_address):
        pass  # a client that was killed hangs up: that is the test


class Handler(BaseHTTPRequestHandler):
    """One request."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        key = self.headers["Idempotency-Key"]
        fault = self.server.fault(key)
        time.sleep(self.server.delay)
        if fault in ("429", "500"):
            self.say(int(fault), json.dumps({"error": {"message": "not now"}}), {"Retry-After": "0.05"})
            return
        if fault == "silence":
            time.sleep(SILENCE)
        said = made_up.respond(body["messages"][0]["content"], body["seed"], self.server.seeds)
        self.server.charged.add(key)
        finish = "length" if made_up.kind_of(body["seed"]).startswith("cut") else "stop"
        usage = {"prompt_tokens": 1000, "completion_tokens": 500, "total_tokens": 1500}
        if body.get("stream"):
            self.stream(said, finish, usage, cut=fault == "cut")
        else:
            choice = {"index": 0, "message": {"role": "assistant", "content": said}, "finish_reason": finish}
            self.say(200, json.dumps({"id": "1", "choices": [choice], "usage": usage}), cut=fault == "cut")

    def say(self, status, text, headers=(), *, cut=False, kind="application/json"):
        content = text.encode()
        self.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": len(content), **dict(headers)}.items():
            self.send_header(name, str(value))
        self.end_headers()
        self.wfile.write(content[: len(content) // 2] if cut else content)
        self.close_connection = cut

    def stream(self, said, finish, usage, *, cut):
        """Server-sent events; a cut stream ends politely but without its finish reason."""
        pieces = [said[i : i + 200] for i in range(0, len(said), 200)]
        events = [{"choices": [{"index": 0, "delta": {"content": piece}}]} for piece in pieces]
        if cut:
            events = events[: len(events) // 2]
        else:
            events += [{"choices": [{"index": 0, "delta": {}, "finish_reason": finish}]}]
            events += [{"choices": [], "usage": usage}]
        lines = [json.dumps({"id": "1", "object": "chat.completion.chunk", **event}) for event in events]
        ends = [] if cut else ["[DONE]"]
        text = "".join(f"data: {line}\n\n" for line in [*lines, *ends])
        self.say(200, text, kind="text/event-stream")

    def log_message(self, *_):
        pass
