import io
import json

import pytest

from hearten.cli import main
from hearten.safety import screen as screen_module


class Pipe:
    """Standard input that hands out given chunks of bytes."""

    def __init__(self, *chunks):
        self.buffer = self
        self.chunks = list(chunks)

    def read1(self, _size):
        return self.chunks.pop(0) if self.chunks else b""


@pytest.fixture(autouse=True)
def rules_alone(monkeypatch):
    monkeypatch.setattr(screen_module, "_classifier", lambda: None)


def check(monkeypatch, capsys, *chunks, options=("--json",)):
    monkeypatch.setattr("sys.stdin", Pipe(*chunks))
    with pytest.raises(SystemExit) as leave:
        main(["safety", "check", *options])
    assert leave.value.code == 0
    return capsys.readouterr().out.splitlines()


def test_one_json_line_a_message_in_order_whatever_the_bytes(monkeypatch, capsys):
    lines = check(monkeypatch, capsys, b"I want to k", b"ill myself\n\nhello\xff\r\n", b"last one")
    answers = [json.loads(line) for line in lines]
    assert [answer["crisis"] for answer in answers] == [True, False, False, False]
    assert set(answers[0]) == {"crisis", "severity", "kinds", "evidence"}
    assert answers[0]["evidence"]


def test_no_input_no_lines(monkeypatch, capsys):
    assert check(monkeypatch, capsys) == []


def test_a_readable_line_without_json_and_a_limit(monkeypatch, capsys):
    lines = check(monkeypatch, capsys, b"I want to die\nhi\nhi\n", options=("--limit", "2"))
    assert len(lines) == 2
    assert lines[0].startswith("crisis, high: active-ideation")
    assert lines[1].startswith("no crisis")


def test_a_line_of_100_kilobytes_and_a_separator_inside_are_one_message(monkeypatch, capsys):
    lines = check(monkeypatch, capsys, ("x " * 50_000 + "\n").encode() + "a\u2028b\x0bc\n".encode())
    assert len(lines) == 2


def test_stdin_type_is_what_python_gives():
    assert hasattr(io.BufferedReader, "read1")
