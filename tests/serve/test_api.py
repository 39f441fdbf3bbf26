"""The API against the official client and a real server: answers, streams, refusals, keys, counts."""

import io
import json
import logging
import threading

import httpx2 as httpx
import openai
import pytest
from fakes_serve import Typist, served, within

from hearten.core.errors import Failure, UsageError
from hearten.core.records import Reply
from hearten.lm.engine import TooLong
from hearten.safety import notice, screen
from hearten.serve.keys import Keys, make_key

SAD = [{"role": "user", "content": "my boss shouted at me in front of everyone"}]
SECRET = "my brother Zebediah"


@pytest.fixture(autouse=True)
def rules_alone(monkeypatch):
    monkeypatch.setattr(screen, "_classifier", lambda: None)


@pytest.fixture
def typist():
    return Typist()


@pytest.fixture
def server(typist, tmp_path):
    with served(typist, tmp_path) as (base, app):
        yield base, app


@pytest.fixture
def client(server):
    return openai.OpenAI(base_url=f"{server[0]}/v1", api_key="any", max_retries=0)


def ask(client, messages=SAD, **wanted):
    return client.chat.completions.create(model="typist", messages=messages, **wanted)


def test_the_official_client_gets_a_whole_reply_with_our_field(client, typist):
    answer = ask(client, temperature=0.3, seed=7, max_tokens=30, stop=["\n"], n=2)
    assert [choice.message.content for choice in answer.choices] == [typist.text] * 2
    assert answer.choices[0].finish_reason == "stop"
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (20, 24)
    assert answer.usage.prompt_tokens_details.cached_tokens == 8
    ours = answer.model_extra["hearten"]
    assert ours["strategy"] == "Question"
    assert ours["probabilities"] == {"Question": 0.75, "Others": 0.25}
    assert ours["stage"] == "Exploration"
    assert ours["safety"]["care"] == "calm"
    assert [link["name"] for link in ours["links"]] == ["stage", "screen input", "screen output"]
    seeds = [wish.seed for wish in typist.wishes if wish.seed is not None]
    assert seeds[-2:] == [7, 8]
    wish = typist.wishes[-1]
    assert (wish.temperature, wish.max_tokens, wish.stop) == (0.3, 30, ("\n",))
    assert wish.avoid == ("Self-disclosure",), "masked where the strategy is decoded"


def test_the_official_client_streams(client, typist):
    chunks = list(ask(client, stream=True, stream_options={"include_usage": True}))
    text = "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)
    assert text == typist.text
    assert chunks[0].choices[0].delta.role == "assistant"
    assert chunks[0].model_extra["hearten"]["strategy"] == "Question"
    assert chunks[-2].choices[0].finish_reason == "stop"
    assert chunks[-2].model_extra["hearten"]["safety"]["output"]["kinds"] == []
    assert (chunks[-1].choices, chunks[-1].usage.completion_tokens) == ([], 12)


def test_a_streamed_reply_may_have_several_choices(client, typist):
    texts = {0: "", 1: ""}
    for chunk in ask(client, stream=True, n=2):
        for choice in chunk.choices:
            texts[choice.index] += choice.delta.content or ""
    assert texts == {0: typist.text, 1: typist.text}


def test_models_are_listed_and_an_unknown_one_is_refused(client):
    assert [model.id for model in client.models.list()] == ["typist"]
    assert client.models.retrieve("typist").owned_by == "hearten"
    with pytest.raises(openai.NotFoundError) as error:
        client.chat.completions.create(model="gpt-9", messages=SAD)
    assert error.value.code == "model_not_found"


def test_system_words_parts_situation_and_strategy_arrive_where_they_belong(client, typist):
    said = [
        {"role": "system", "content": "Answer in short sentences."},
        {"role": "user", "content": [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]},
        {"role": "assistant", "content": "I see."},
        {"role": "user", "content": "three"},
    ]
    answer = ask(client, said, extra_body={"strategy": "AR", "situation": "a move", "refine": True})
    assert answer.model_extra["hearten"]["strategy"] == "Affirmation and Reassurance"
    conversation, strategy = typist.asked[-1]
    assert [turn.text for turn in conversation.turns] == ["one\ntwo", "I see.", "three"]
    assert conversation.profile.situation == "a move"
    assert strategy.abbreviation == "AR"
    assert (typist.wishes[-1].instructions, typist.wishes[-1].refine) == ("Answer in short sentences.", True)


def test_self_disclosure_on_request_says_first_that_there_is_no_life_to_tell_of(client, typist):
    answer = ask(client, extra_body={"strategy": "Self-disclosure"})
    assert answer.choices[0].message.content.startswith(notice.disclosure(0))
    assert typist.asked[-1][1] is None, "the inner supporter is not asked for it"
    assert answer.model_extra["hearten"]["strategy"] == "Question"
    assert answer.model_extra["hearten"]["safety"]["disclosed"] is True


def test_the_strategy_of_our_earlier_reply_is_remembered_without_its_text(client, server, typist):
    first = ask(client, extra_body={"strategy": "AR"}).choices[0].message.content
    ask(client, [*SAD, {"role": "assistant", "content": first}, {"role": "user", "content": "and then?"}])
    assert typist.asked[-1][0].turns[1].strategy.abbreviation == "AR"
    assert typist.text not in repr(vars(server[1].state.serving.recall))


def test_the_care_path_holds_over_stateless_calls(client, typist):
    said = [{"role": "user", "content": "I want to kill myself"}]
    first = ask(client, said)
    assert first.model_extra["hearten"]["safety"]["care"] == "open"
    assert "findahelpline.com" in first.choices[0].message.content
    assert not typist.asked, "the path leads; the model is not asked"
    said += [
        {"role": "assistant", "content": first.choices[0].message.content},
        {"role": "user", "content": "no forget it, I'm fine. what about football?"},
    ]
    second = ask(client, said)
    assert second.model_extra["hearten"]["safety"]["care"] == "staying", "one denial clears nothing"
    assert len(second.choices[0].message.content) > len(typist.text)


def test_the_first_reply_says_that_this_is_an_ai_and_the_model_never_reads_it(typist, tmp_path):
    with served(typist, tmp_path, notices=True) as (base, _):
        client = openai.OpenAI(base_url=f"{base}/v1", api_key="any")
        first = ask(client).choices[0].message.content
        assert first == f"{notice.start()}\n\n{typist.text}"
        said = [*SAD, {"role": "assistant", "content": first}, {"role": "user", "content": "yes"}]
        assert ask(client, said).choices[0].message.content == typist.text
        turns = typist.asked[-1][0].turns
        assert (turns[1].text, turns[1].strategy.name) == (typist.text, "Question")
        streamed = "".join(
            choice.delta.content or "" for chunk in ask(client, stream=True) for choice in chunk.choices
        )
        assert streamed == first
        many = [
            message for number in range(30) for message in (said[1], {"role": "user", "content": f"{number}"})
        ]
        assert ask(client, many).choices[0].message.content.startswith(notice.reminder())


@pytest.mark.parametrize("stream", [False, True])
def test_a_caller_who_goes_away_ends_the_reply(stream, tmp_path):
    slow = Typist(" ".join(["word"] * 2000), pace=0.01)
    with served(slow, tmp_path, screens=False) as (base, _):
        body = {"messages": SAD, "stream": stream}
        with (
            pytest.raises(httpx.TimeoutException),
            httpx.stream("POST", f"{base}/v1/chat/completions", json=body, timeout=0.5) as answer,
        ):
            for _ in answer.iter_lines():
                if stream and slow.running:
                    raise httpx.ReadTimeout("enough")
        assert within(10, lambda: slow.cut == 1 and slow.running == 0)


@pytest.mark.parametrize("stream", [False, True])
def test_a_full_queue_is_429_with_retry_after(stream, typist, tmp_path):
    with served(typist, tmp_path, at_once=1, queue=0) as (base, _):
        client = openai.OpenAI(base_url=f"{base}/v1", api_key="any", max_retries=0)
        typist.hold.clear()
        waiting = threading.Thread(target=ask, args=(client,))
        waiting.start()
        assert within(10, lambda: typist.running == 1)
        with pytest.raises(openai.RateLimitError) as error:
            ask(client, stream=stream)
        assert error.value.code == "server_busy"
        assert int(error.value.response.headers["retry-after"]) >= 1
        assert httpx.get(f"{base}/healthz").json() == {"status": "ok"}
        typist.hold.set()
        waiting.join(20)


def test_a_place_in_the_queue_is_told_as_a_comment(typist, tmp_path):
    with served(typist, tmp_path, at_once=1, queue=5) as (base, _):
        typist.hold.clear()
        body = {"messages": SAD, "stream": True}
        first = threading.Thread(
            target=httpx.post, args=(f"{base}/v1/chat/completions",), kwargs={"json": body}
        )
        first.start()
        assert within(10, lambda: typist.running == 1)
        with httpx.stream("POST", f"{base}/v1/chat/completions", json=body, timeout=20) as answer:
            lines = answer.iter_lines()
            assert next(lines) == ": waiting, position 1"
            typist.hold.set()
            assert list(lines)[-2:] == ["data: [DONE]", ""]
        first.join(20)


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "system", "content": "x"}]}, "messages"),
        ({"messages": [{"role": "user", "content": " \x00 "}]}, "messages.0.content"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages.0.role"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]}, None),
        ({"messages": [{"role": "user", "content": "x" * 20_001}]}, "messages.0.content"),
        ({"messages": SAD * 501}, "messages"),
        ({"strategy": "Qestion"}, "strategy"),
        ({"temperature": 9}, "temperature"),
        ({"n": 99}, "n"),
        ({"stop": [""]}, "stop"),
        ({"tools": [{}]}, "tools"),
        ({"response_format": {"type": "json_object"}}, "response_format"),
    ],
)
def test_what_cannot_be_is_400_with_the_field(server, change, param):
    answer = httpx.post(f"{server[0]}/v1/chat/completions", json={"messages": SAD, **change})
    error = answer.json()["error"]
    assert (answer.status_code, error["type"]) == (400, "invalid_request_error")
    assert param is None or error["param"] == param


def test_what_is_not_there_is_refused_in_the_same_shape(server):
    base, _ = server
    assert httpx.post(f"{base}/v1/embeddings", json={}).json()["error"]["code"] == "unknown_url"
    assert httpx.get(f"{base}/v1/chat/completions").status_code in (404, 405)
    assert httpx.post(f"{base}/v1/chat/completions", content=b"\xff{").json()["error"]["message"]
    too_large = httpx.post(f"{base}/v1/chat/completions", content=b" " * 1_000_001)
    assert too_large.status_code == 413


def test_other_sites_cannot_use_the_api_through_a_browser(server):
    base, _ = server
    plain = httpx.post(
        f"{base}/v1/chat/completions",
        content=json.dumps({"messages": SAD}),
        headers={"content-type": "text/plain"},
    )
    assert plain.status_code == 400, "a form or plain text needs no permission of the browser; JSON does"
    rebound = httpx.get(f"{base}/v1/models", headers={"host": "evil.example"})
    assert (rebound.status_code, rebound.json()["error"]["code"]) == (403, "not_local")
    proxied = httpx.get(f"{base}/v1/models", headers={"x-forwarded-for": "127.0.0.1"})
    assert proxied.status_code == 403
    assert "access-control-allow-origin" not in httpx.get(f"{base}/v1/models").headers


def test_keys_are_kept_as_hashes_and_checked(typist, tmp_path):
    file = tmp_path / "keys.jsonl"
    good, other = make_key(file, "page"), make_key(file, "other")
    assert good not in file.read_text()
    assert file.stat().st_mode & 0o077 == 0
    keys = Keys.read(file)
    assert (keys.name_of(good), keys.name_of(other), keys.name_of(good[:-1])) == ("page", "other", None)
    with pytest.raises(UsageError, match="already"):
        make_key(file, "page")
    with served(typist, tmp_path, keys=file) as (base, _):
        assert httpx.get(f"{base}/healthz").status_code == 200
        for headers in ({}, {"authorization": "Bearer wrong"}, {"authorization": f"Basic {good}"}):
            answer = httpx.get(f"{base}/v1/models", headers=headers)
            assert (answer.status_code, answer.json()["error"]["code"]) == (401, "invalid_api_key")
        assert httpx.get(f"{base}/metrics").status_code == 401
        client = openai.OpenAI(base_url=f"{base}/v1", api_key=good)
        assert ask(client).choices[0].message.content == typist.text
        wrong = {"authorization": "Bearer x"}
        guesses = (httpx.get(f"{base}/v1/models", headers=wrong).status_code for _ in range(60))
        assert 429 in guesses, "guessing is slow"


def test_each_key_has_its_own_rate(typist, tmp_path):
    file = tmp_path / "keys.jsonl"
    mine, yours = make_key(file, "mine"), make_key(file, "yours")
    with served(typist, tmp_path, keys=file, requests_per_minute=0.5) as (base, _):

        def status(key):
            return httpx.get(f"{base}/v1/models", headers={"authorization": f"Bearer {key}"})

        assert [status(mine).status_code for _ in range(2)] == [200, 429]
        refused = status(mine)
        assert refused.headers["retry-after"] == "120"
        assert refused.json()["error"]["type"] == "rate_limit_error"
        assert status(yours).status_code == 200


def test_a_fault_of_the_model_is_told_in_openais_shape_and_its_words_are_not_logged(tmp_path):
    class Breaks(Typist):
        def stream(self, conversation, *, strategy=None):
            kinds = {"long": TooLong("too long"), "gone": Failure(f"gone: {SECRET}"), "bug": KeyError(SECRET)}
            if "later" in conversation.turns[-1].text:
                yield Reply(text="That is hard. I")
            raise kinds[conversation.turns[-1].text.split()[0]]

    heard = io.StringIO()
    handler = logging.StreamHandler(heard)
    logging.getLogger().addHandler(handler)
    try:
        with served(Breaks(), tmp_path) as (base, _):

            def post(text, **more):
                body = {"messages": [{"role": "user", "content": f"{text} {SECRET}"}], **more}
                return httpx.post(f"{base}/v1/chat/completions", json=body)

            found = [
                (post(text).status_code, post(text).json()["error"]["code"])
                for text in ("long", "gone", "bug")
            ]
            assert found == [(400, "context_length_exceeded"), (503, None), (500, None)]
            late = post("gone later", stream=True)
            assert late.status_code == 200
            assert '"error":' in late.text
            assert late.text.endswith("data: [DONE]\n\n")
    finally:
        logging.getLogger().removeHandler(handler)
    assert "KeyError" in heard.getvalue()
    assert "Zebediah" not in heard.getvalue()


def test_metrics_are_numbers_only(client, server):
    ask(client, [{"role": "user", "content": f"I want to kill myself, tell {SECRET}"}])
    ask(client)
    text = httpx.get(f"{server[0]}/metrics").text
    assert 'hearten_safety_events_total{event="care:open"} 1.0' in text
    assert 'hearten_safety_events_total{event="turns"} 2.0' in text
    assert 'hearten_requests_total{status="200"}' in text
    assert "Zebediah" not in text


def test_openapi_describes_the_api(server):
    told = httpx.get(f"{server[0]}/openapi.json").json()
    assert {"/v1/chat/completions", "/v1/models", "/healthz", "/metrics"} <= set(told["paths"])
    fields = told["components"]["schemas"]["ChatRequest"]["properties"]
    assert {"messages", "strategy", "refine", "situation"} <= set(fields)
