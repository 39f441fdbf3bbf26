"""Tokens, forms, rates, headers, roles on every route, and what happens to text that means harm."""

import json
import re

import pytest
from sqlalchemy import text
from starlette.websockets import WebSocketDisconnect
from walking import STUDY, Frames, Participant, meet

from hearten.web.guard import POLICY, Rate
from visiting import Visitor, staff

OPEN = {
    "/study/{name}", "/study/{name}/join/{token}", "/study/{name}/consent", "/study/{name}/return/{token}",
    "/study/{name}/care", "/judge/{name}", "/login", "/logout", "/invite/{token}",
}  # fmt: skip
"""What a stranger may ask for; everything else must refuse one."""
EXAMPLE = {"name": "pilot", "token": "x", "room_id": "1", "pseudonym": "P-AAAAAA"}


def routes(app):
    """(method, path) of every page of a study, through included routers."""
    schema = app.openapi()["paths"]
    others = ("/review", "/rate")  # reviewers' pages: tests/augment/test_review_pages.py
    ours = {path: methods for path, methods in schema.items() if not path.startswith(others)}
    return sorted((method.upper(), path) for path, methods in ours.items() for method in methods)


def ask(visitor, method, path):
    address = path.format(**EXAMPLE)
    if method == "GET":
        return visitor.http.get(address, follow_redirects=False)
    return visitor.http.post(address, data={"csrf": visitor.token}, follow_redirects=False)


def test_the_route_table_is_what_we_think(app):
    found = {path for _, path in routes(app)}
    assert found >= OPEN
    assert len(found) > 25


def test_strangers_participants_and_reviewers_are_refused_what_is_not_theirs(app):
    stranger, reviewer = Visitor(app), staff(app, "reviewer")
    stranger.get("/login")
    reviewer.get("/login")
    person = Participant(app)
    person.join("seeker")
    person.get("/login")
    theirs = {
        "/admin",
        "/admin/{name}/conversations",
        "/admin/{name}/conversations/{room_id}",
        "/admin/{name}/review",
    }
    theirs |= {"/admin/{name}/conversations/{room_id}/qualified"}
    for method, path in routes(app):
        if path.startswith("/admin"):
            for visitor in (stranger, person):
                answer = ask(visitor, method, path)
                assert (answer.status_code, answer.headers.get("location")) == (303, "/login"), (method, path)
            allowed = path in theirs and (method, path) != ("POST", "/admin/{name}/conversations/{room_id}")
            assert (ask(reviewer, method, path).status_code != 403) == allowed, (method, path)
        elif path not in OPEN:
            assert ask(stranger, method, path).status_code == 403, (method, path)


def test_every_form_needs_its_token(app):
    leader = staff(app)
    for method, path in routes(app):
        if method == "POST":
            foreign = leader.http.post(
                path.format(**EXAMPLE), data={"csrf": "0" * 64}, follow_redirects=False
            )
            assert foreign.status_code == 403, path
            origin = {"origin": "https://elsewhere.example"}
            data = {"csrf": leader.token}
            crossed = leader.http.post(
                path.format(**EXAMPLE), data=data, headers=origin, follow_redirects=False
            )
            assert crossed.status_code == 403, path


def test_only_hashes_of_tokens_and_passwords_are_stored(app):
    leader = staff(app)
    leader.get("/admin/pilot/invitations")
    made = leader.post("/admin/pilot/invitations", role="seeker", uses="2").text
    invited = re.search(r"/join/([\w-]+)", made).group(1)
    person = Participant(app)
    person.get(person.home)
    kept = person.do("consent", adult="yes", agree="yes").text
    secrets = [invited, re.search(r"/return/([\w-]+)", kept).group(1), "correct horse battery"]
    secrets += [cookie.value for one in (leader, person) for cookie in one.http.cookies.jar]
    with app.state.web.database.engine.connect() as connection:
        tables = (
            connection.execute(text("SELECT name FROM sqlite_master WHERE type = 'table'")).scalars().all()
        )
        stored = "".join(str(connection.execute(text(f'SELECT * FROM "{name}"')).all()) for name in tables)
    assert len(secrets) >= 6
    assert not [secret for secret in secrets if secret in stored]


def test_headers_and_cookies(app):
    person = Participant(app)
    answer = person.get(person.home)
    assert answer.headers["content-security-policy"] == POLICY
    assert "unsafe" not in POLICY
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "no-store"
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=lax" in cookie
    assert not re.search(r"<script(?! src=| type=\"application/json\")|<style| style=| on\w+=", answer.text)


def test_secure_cookies_behind_https(run_app):
    person = Participant(run_app(secure=True))
    answer = person.get(person.home)
    assert "secure" in answer.headers["set-cookie"].lower()
    assert "max-age" in answer.headers["strict-transport-security"]


def test_rates_are_limited(run_app):
    app = run_app(tries_per_minute=3, forms_per_minute=1000)
    guest = Visitor(app)
    guest.get("/login")
    answers = [
        guest.http.post("/login", data={"csrf": guest.token, "name": "x", "password": "y"}) for _ in range(5)
    ]
    assert [answer.status_code for answer in answers] == [403, 403, 403, 429, 429]


def test_a_token_bucket_refills():
    rate = Rate(per_second=2, burst=2)
    assert [rate.allow("a", now=0) for _ in range(3)] == [True, True, False]
    assert rate.allow("b", now=0)
    assert rate.allow("a", now=0.5)
    assert not rate.allow("a", now=0.6)


def test_a_body_that_is_too_large_is_refused(run_app):
    app = run_app(largest_body=20_000)
    person = Participant(app)
    person.get(person.home)
    person.do("consent", status=413, adult="yes" * 20_000)


def test_sockets_are_limited_and_survive_nonsense(run_app):
    app = run_app(messages_per_second=1)
    one, _ = meet(app)
    with one.live() as socket:
        a = Frames(socket)
        a.hello()
        for nonsense in ("", "null", "[]", "{}", '{"type": 5}', "\ud800".encode("utf-8", "replace").decode()):
            socket.send_text(nonsense)
            assert a.until("refused")["reason"] == "unreadable"
        a.say("\x00 zero, \\ud800 and so on")
        reasons = [a.refused({"type": "stars", "stars": 3}) for _ in range(40)]
        assert reasons[0] == "not_due"
        assert reasons[-1] == "too_fast"


def test_a_room_is_its_two_peoples_alone(app):
    meet(app)
    for visitor in (Visitor(app), staff(app)):
        with (
            visitor.http.websocket_connect("/study/pilot/live") as socket,
            pytest.raises(WebSocketDisconnect) as end,
        ):
            socket.receive_text()
        assert end.value.code == 4403
    three, four = meet(app)
    with three.live() as socket:
        a = Frames(socket)
        a.hello()
        a.say("in the second room")
    with four.live() as socket:
        b = Frames(socket)
        b.hello()
        assert [event["text"] for event in b.events.values()] == ["in the second room"]
    foreign = {"origin": "https://elsewhere.example"}
    crossed = three.http.websocket_connect("/study/pilot/live", headers=foreign)
    with crossed as socket, pytest.raises(WebSocketDisconnect):
        socket.receive_text()


HARM = "<script>alert(1)</script> \u202eright to left\u202c 👩‍👩‍👧‍👧 \" ' & {{ 7 * 7 }} </textarea>"


def test_text_is_shown_as_text_everywhere(run_app):
    app = run_app(STUDY)
    one, other = meet(app)
    with one.live() as seeker, other.live() as supporter:
        a, b = Frames(seeker), Frames(supporter)
        a.hello()
        b.hello()
        a.say(HARM)
        b.see(1)
        assert b.event(1)["text"] == HARM
        assert a.refused({"type": "message", "text": "🙂" * 100_000}) == "too_long"
        a.end("left")
    one.get(one.home)
    one.do("after", natural="no", final_intensity="3", empathy="3", relevance="3", seeker_question1=HARM)
    leader = staff(app)
    page = leader.get("/admin/pilot/conversations/1").text
    assert "<script>alert" not in page
    assert page.count("&lt;script&gt;alert(1)") >= 2
    assert "{{ 7 * 7 }}" in page
    wrong = Participant(app)
    wrong.join("seeker")
    wrong.do("ready")
    page = wrong.do("survey", status=422, situation=HARM).text
    assert "<script>alert" not in page


def test_the_openapi_description_is_json_and_complete(app):
    description = Visitor(app).get("/openapi.json").json()
    assert json.dumps(description)
    assert "/study/{name}/consent" in description["paths"]


@pytest.mark.slow
def test_no_request_made_of_the_openapi_breaks_the_server(run_app):
    schemathesis = pytest.importorskip("schemathesis")
    from hypothesis import HealthCheck, Phase, given, settings
    from hypothesis import strategies as st

    app = run_app()
    leader = staff(app)
    leader.get("/login")
    schema = schemathesis.openapi.from_dict(app.openapi())
    cases = st.one_of([operation.ok().as_strategy() for operation in schema.get_all_operations()])

    @settings(
        max_examples=150, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
    )
    @given(cases)
    def probe(case):
        path = case.formatted_path
        body = case.body if isinstance(case.body, dict) else {}
        data = {key: str(value) for key, value in body.items()} | {"csrf": leader.token}
        try:
            answer = leader.http.request(
                case.method, path, data=data, params=case.query, follow_redirects=False
            )
        except (UnicodeError, ValueError):
            return
        assert answer.status_code < 500, (case.method, path, data)

    probe()
