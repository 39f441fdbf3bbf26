"""Chat models by name: scripted, remote (a small server in this process), and names nobody knows."""

import json
import threading
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import ClassVar

import pytest

from hearten.core.chat import Answer, ChatModel, CountingChat, Message, Refused, Sampling, Unavailable
from hearten.core.errors import Failure, UsageError
from hearten.lm.chat import _retry_after, open_chat_model, reseeded

HELLO = [Message(role="user", content="Hello")]


def scripted(tmp_path, *lines):
    (tmp_path / "script.jsonl").write_text("\n".join(lines), encoding="utf-8")
    return open_chat_model(f"scripted:{tmp_path / 'script.jsonl'}")


def test_a_script_is_said_line_by_line(tmp_path):
    model = scripted(tmp_path, '{"reply": "One."}', '{"reply": "Two  words\\nhere. "}', '{"reply": "Three."}')
    assert isinstance(model, ChatModel)
    assert model.name == "scripted:script.jsonl"
    assert model.complete(HELLO) == ["One."]
    pieces = list(model.stream(HELLO))
    assert len(pieces) == 3
    assert "".join(pieces) == "Two  words\nhere. ", "the pieces joined are the text"
    with pytest.raises(Failure, match="no more replies"):
        model.complete(HELLO, n=2)
    assert model.complete(HELLO) == ["Three."], "a refusal uses nothing up"


@pytest.mark.parametrize("line", ['{"repyl": "x"}', '["x"]', '{"reply": 3}'])
def test_a_script_line_without_a_reply_is_named(tmp_path, line):
    with pytest.raises(Failure) as error:
        scripted(tmp_path, '{"reply": "One."}', line)
    assert error.value.where.endswith("script.jsonl, line 2")


@pytest.mark.parametrize(
    ("name", "fix"),
    [
        ("embeded", "did you mean 'embedded'?"),
        ("openai:", "did you mean 'openai:…'?"),
        ("scripted:nowhere.jsonl", ""),
        ("nowhere.gguf", ""),
    ],
)
def test_a_name_nobody_knows_is_refused(name, fix):
    with pytest.raises(UsageError) as error:
        open_chat_model(name)
    assert fix in error.value.fix


def test_a_remote_model_without_key_or_address_is_refused(monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(UsageError) as error:
        open_chat_model("openai:gpt")
    assert "openai:MODEL@URL" in error.value.fix


USAGE = {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13}


class Server(BaseHTTPRequestHandler):
    """Answers each request with the next status of `plan`; 200 is a completion that echoes."""

    plan: ClassVar[list[int]] = []
    asked: ClassVar[list[dict]] = []
    keys: ClassVar[list[str | None]] = []
    ending: ClassVar[str | None] = "stop"

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        Server.asked.append(body)
        status = Server.plan.pop(0)
        said = "echo: " + body["messages"][-1]["content"]
        if status != 200:
            content, kind = json.dumps({"error": {"message": "slow down"}}), "application/json"
        elif body.get("stream"):
            events = [{"choices": [{"index": 0, "delta": {"content": word}}]} for word in said.split(" ")]
            events += [{"choices": [{"index": 0, "delta": {}, "finish_reason": Server.ending}]}]
            events += [{"choices": [], "usage": USAGE}]
            lines = [json.dumps({"id": "1", "object": "chat.completion.chunk", **event}) for event in events]
            content = "".join(f"data: {line}\n\n" for line in [*lines, "[DONE]"])
            kind = "text/event-stream"
        else:
            choices = [
                {
                    "index": k,
                    "message": {"role": "assistant", "content": f"{said} {k}"},
                    "finish_reason": Server.ending,
                }
                for k in range(body.get("n") or 1)
            ]
            content, kind = json.dumps({"id": "1", "choices": choices, "usage": USAGE}), "application/json"
        Server.keys.append(self.headers["Idempotency-Key"])
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Retry-After", "0.01")
        self.end_headers()
        self.wfile.write(content.encode())

    def log_message(self, *_):
        pass


@pytest.fixture
def remote(monkeypatch):
    """A remote model on a server in this process; the test fills `Server.plan`."""
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    server = HTTPServer(("127.0.0.1", 0), Server)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    Server.plan, Server.asked, Server.keys, Server.ending = [], [], [], "stop"
    yield open_chat_model(f"openai:small@http://127.0.0.1:{server.server_port}/v1")
    server.shutdown()
    server.server_close()


def test_a_busy_server_is_asked_again(remote):
    Server.plan = [429, 200]
    sampling = Sampling(temperature=0.2, top_p=0.5, max_tokens=7, seed=9, stop=("\n",))
    assert remote.complete(HELLO, sampling=sampling, n=2) == ["echo: Hello 0", "echo: Hello 1"]
    assert len(Server.asked) == 2
    wanted = {
        "model": "small", "messages": [{"role": "user", "content": "Hello"}], "temperature": 0.2,
        "top_p": 0.5, "max_tokens": 7, "seed": 9, "stop": ["\n"], "n": 2,
    }  # fmt: skip
    assert {key: Server.asked[1][key] for key in wanted} == wanted


def test_a_remote_reply_comes_piece_by_piece(remote):
    Server.plan = [200]
    assert list(remote.stream(HELLO)) == ["echo:", "Hello"]


def test_a_refusal_of_the_server_is_a_message_with_its_address(remote):
    Server.plan = [401]
    with pytest.raises(Failure, match="the remote model failed") as error:
        remote.complete(HELLO)
    assert error.value.where.startswith("http://127.0.0.1:")
    Server.plan = [404]
    with pytest.raises(Failure, match="the remote model failed"):
        list(remote.stream(HELLO))


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_is_counted_and_carries_a_key_where_it_can_be_repeated(remote, stream):
    Server.plan = [200, 200, 200]
    assert isinstance(remote, CountingChat)
    seeded = [remote.answer(HELLO, sampling=Sampling(seed=4), stream=stream) for _ in range(2)]
    text = "echo:Hello" if stream else "echo: Hello 0"
    assert seeded[0] == Answer(text=text, finish="stop", prompt_tokens=9, completion_tokens=4)
    remote.answer(HELLO, stream=stream)
    first, second, third = Server.keys
    assert first.startswith("hearten-")
    assert first == second
    assert third is None, "without a seed the same words may be asked twice on purpose"


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (429, Unavailable),
        (500, Unavailable),
        (408, Unavailable),
        (400, Refused),
        (401, Failure),
        (404, Failure),
    ],
)
def test_a_caller_who_retries_is_told_what_helps(remote, status, kind):
    Server.plan = [status]
    patient = open_chat_model(f"openai:small@{remote._place}", retries=0)
    with pytest.raises(Failure) as error:
        patient.answer(HELLO)
    assert type(error.value) is kind
    if kind is Unavailable:
        assert error.value.retry_after == 0.01
    assert len(Server.asked) == 1, "the client itself did not ask again"


def test_a_stream_without_an_end_was_cut(remote):
    Server.plan, Server.ending = [200], None
    with pytest.raises(Unavailable, match="cut off"):
        remote.answer(HELLO, stream=True)


def test_a_server_that_is_not_there_is_unavailable():
    gone = open_chat_model("openai:small@http://127.0.0.1:9/v1", retries=0)
    with pytest.raises(Unavailable):
        gone.answer(HELLO)


def test_retry_after_may_be_a_date():
    now = datetime.now(UTC)
    assert _retry_after({"retry-after": "3"}) == 3
    assert 55 < _retry_after({"retry-after": format_datetime(now + timedelta(seconds=60), usegmt=True)}) <= 60
    assert _retry_after({"retry-after": "soon"}) is None
    assert _retry_after({}) is None


def test_a_scripted_line_with_a_seed_answers_that_seed_again_and_again(tmp_path):
    model = scripted(tmp_path, '{"reply": "Seven.", "seed": 7}', '{"reply": "One."}')
    assert model.complete(HELLO, sampling=Sampling(seed=7)) == ["Seven."]
    assert model.complete(HELLO, sampling=Sampling(seed=7)) == ["Seven."]
    assert model.complete(HELLO, sampling=Sampling(seed=8)) == ["One."]


def test_a_seed_moves_on_for_each_of_several_replies():
    assert reseeded(Sampling(seed=3), 2).seed == 5
    assert reseeded(Sampling(seed=3), 0).seed == 3
    assert reseeded(Sampling(), 2).seed is None
