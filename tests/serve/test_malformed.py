"""A thousand malformed requests from a fixed seed: refused in OpenAI's shape, none with a 500."""

import json
import random

import pytest
from fakes_serve import Typist
from fastapi.testclient import TestClient

from hearten.app import serving
from hearten.safety import screen
from hearten.serve.links import LinksConfig, build
from hearten.serve.settings import ServeSettings
from hearten.web.settings import Settings

REQUESTS = 1_000
ODD = [
    None, True, False, 0, -1, 1.5, 1e308, -0.0, 2**63, -(2**70), "", " ", "\x00", "x" * 5_000, "\ud800",
    "💔" * 50, [], {}, [[]], [None], [{}], {"a": {"b": []}}, "user", "Self-disclosure", ["a"] * 20,
    {"type": "text"}, [{"type": "text", "text": None}], [{"type": "image_url", "image_url": {"url": "file:///etc/passwd"}}],
    float("nan"), float("inf"), "1", "true", [0] * 300,
]  # fmt: skip
FIELDS = [
    "messages", "model", "stream", "stream_options", "n", "stop", "max_tokens", "max_completion_tokens",
    "temperature", "top_p", "seed", "strategy", "refine", "situation", "tools", "functions", "logprobs",
    "response_format", "modalities", "user", "presence_penalty", "hearten",
]  # fmt: skip
METHODS = ["GET", "PUT", "PATCH", "DELETE", "POST", "HEAD", "OPTIONS"]
PATHS = [
    "/v1/chat/completions", "/v1/models", "/v1/models/%00", "/v1/models/..%2f..%2fetc", "/v1/", "/v1/x/y",
    "/v1/chat/completions/", "/healthz", "/metrics", "/v1/models/" + "x" * 2_000,
]  # fmt: skip
TYPES = [
    "application/json",
    "application/json; charset=utf-16",
    "text/plain",
    "multipart/form-data",
    "",
    "json",
]


def body(chance: random.Random) -> bytes:
    """A request that is nearly right: some fields odd, or the JSON itself broken."""
    asked = {"messages": [{"role": "user", "content": "my week was long"}], "max_tokens": 5}
    for _ in range(chance.randint(1, 4)):
        asked[chance.choice(FIELDS)] = chance.choice(ODD)
    if chance.random() < 0.4:
        asked["messages"] = [message(chance) for _ in range(chance.randint(0, 5))]
    text = json.dumps(chance.choice(ODD) if chance.random() < 0.05 else asked)
    if chance.random() < 0.2:
        place = chance.randrange(len(text) + 1)
        text = (
            text[:place]
            + chance.choice(["", "\x00", "}", "[" * 3_000, '"', "\\", "1" * 5_000])
            + text[place + 1 :]
        )
    return text.encode("utf-8", "surrogatepass") + chance.choice([b"", b"", b"\xff", b"\xc3"])


def message(chance: random.Random) -> object:
    """A message, odd in one way or another."""
    if chance.random() < 0.1:
        return chance.choice(ODD)
    role = chance.choice(["user", "assistant", "system", "developer", "tool", "", None, 3])
    said = {"role": role, "content": chance.choice([*ODD, "I feel low", "are you human?", "I want to die"])}
    if chance.random() < 0.2:
        said[chance.choice(["name", "tool_calls", "role", "content"])] = chance.choice(ODD)
    return said


@pytest.fixture
def client(tmp_path, monkeypatch):
    monkeypatch.setattr(screen, "_classifier", lambda: None)
    web = Settings(database=f"sqlite:///{tmp_path}/chats.sqlite")
    settings = ServeSettings(web=web, model="typist", requests_per_minute=10**6)
    app = serving(settings, build(Typist("I hear you."), LinksConfig()))
    with TestClient(
        app, base_url="http://127.0.0.1", client=("127.0.0.1", 5), raise_server_exceptions=False
    ) as http:
        yield http


@pytest.mark.slow
def test_a_thousand_malformed_requests_and_no_500(client):
    chance, seen = random.Random(20261120), {}
    for number in range(REQUESTS):
        usual = chance.random() < 0.8
        method = "POST" if usual else chance.choice(METHODS)
        path = PATHS[0] if usual else chance.choice(PATHS)
        kind = TYPES[0] if chance.random() < 0.85 else chance.choice(TYPES)
        sent = body(chance)
        answer = client.request(method, path, content=sent, headers={"content-type": kind})
        seen[answer.status_code] = seen.get(answer.status_code, 0) + 1
        assert answer.status_code < 500, (number, method, path, sent[:300], answer.text[:300])
        if path.startswith("/v1") and answer.status_code >= 400 and method not in ("HEAD", "OPTIONS"):
            assert answer.json()["error"]["message"], (number, path, answer.text[:200])
    assert seen[400] > REQUESTS / 2
    assert seen.get(200, 0) > 0, "some are only odd, not wrong"
