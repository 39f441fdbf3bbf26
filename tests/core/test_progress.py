"""Progress where nobody watches a terminal, and where somebody does."""

import io

import pytest

from hearten.core import progress as module
from hearten.core.progress import progress


class Clock:
    now = 100.0

    def monotonic(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


def test_plain_lines_say_how_much_how_fast_and_how_long(clock, capsys):
    with progress("reading", 100) as bar:
        clock.now += 10
        bar.advance(10)
        assert capsys.readouterr().err == "", "quiet until a quarter of a minute has gone"
        clock.now += 10
        bar.advance(10, note="loss 3.2")
        assert capsys.readouterr().err == "reading: 20/100 (20%) loss 3.2, 20 s, 80 s left\n"
    assert capsys.readouterr().err.startswith("reading: 20/100")


def test_what_was_there_before_does_not_count_in_the_rate(clock, capsys):
    with progress("training", 100, done=60) as bar:
        clock.now += 20
        bar.advance(20)
    assert "training: 80/100 (80%), 20 s, 20 s left" in capsys.readouterr().err


def test_what_takes_under_two_seconds_says_nothing(clock, capsys):
    with progress("reading", 3) as bar:
        clock.now += 1.9
        bar.advance(3)
    assert capsys.readouterr().err == ""


def test_quiet_shows_nothing_and_still_ticks(clock, capsys):
    with progress("reading", 3, quiet=True) as bar:
        clock.now += 100
        bar.advance(note="x")
    assert capsys.readouterr().err == ""


def test_a_block_that_raises_still_reports_where_it_stood(clock, capsys):
    with pytest.raises(KeyboardInterrupt), progress("reading", 4) as bar:
        clock.now += 30
        bar.advance(1)
        raise KeyboardInterrupt
    assert "reading: 1/4 (25%)" in capsys.readouterr().err


def test_a_terminal_gets_a_bar_and_brackets_in_names_are_only_text(monkeypatch):
    stream = io.StringIO()
    console = module.Console(file=stream, force_terminal=True, width=100)
    monkeypatch.setattr(module, "Console", lambda **_: console)
    with progress("reading [/x]", 3) as bar:
        bar.advance(3, note="[/oops] loss 2.5")
    assert "reading [/x]" in stream.getvalue()
    assert "3/3" in stream.getvalue()
