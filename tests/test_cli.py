"""The command line: one table, three exit codes, no traceback that nobody asked for."""

import inspect
import subprocess
import sys
import time

import pytest

from hearten import __version__, cli
from hearten.cli import COMMANDS, Verb, main, resolve
from hearten.core.errors import Failure, UsageError


def verbs(table=COMMANDS, words=()):
    for word, entry in table.items():
        if isinstance(entry, Verb):
            yield pytest.param(entry, id=" ".join([*words, word]))
        else:
            yield from verbs(entry, [*words, word])


def run(*args):
    with pytest.raises(SystemExit) as leaving:
        main(list(args))
    return leaving.value.code


@pytest.fixture
def failing(monkeypatch):
    """`hearten fail` raises what the test put into the list."""
    raised = []

    def fail():
        """Fail."""
        raise raised[0]

    monkeypatch.setattr(cli, "resolve", lambda verb: fail)
    monkeypatch.setitem(cli.COMMANDS, "fail", Verb("fails", "nowhere:fail"))
    return raised


@pytest.mark.parametrize("verb", list(verbs()))
def test_every_address_is_a_documented_function(verb):
    function = resolve(verb)
    assert callable(function)
    assert inspect.getdoc(function), f"{verb.address} has no docstring: it is its help text"


@pytest.mark.parametrize("verb", list(verbs()))
def test_a_help_line_fits_its_table(verb):
    assert verb.help
    assert not verb.help.endswith(".")
    assert len(verb.help) <= 80


def test_help_is_quick_and_imports_no_deep_learning_library():
    code = (
        "import sys\nfrom hearten.cli import main\n"
        "try: main(['--help'])\nexcept SystemExit as leaving: assert leaving.code == 0\n"
        "heavy = {'torch', 'transformers', 'pydantic', 'matplotlib', 'scipy', 'numpy'} & set(sys.modules)\n"
        "print('heavy:', sorted(heavy))\n"
    )
    seconds = []
    for _ in range(3):
        began = time.perf_counter()
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        seconds.append(time.perf_counter() - began)
    assert done.stdout.endswith("heavy: []\n")
    assert done.stdout.startswith("One laboratory for emotional support conversation.")
    assert all(word in done.stdout for word in COMMANDS)
    assert max(map(len, done.stdout.splitlines())) <= 130
    print(f"hearten --help: {min(seconds):.2f} s")
    assert min(seconds) < 0.4, "issue: help answers in under 0.4 s"


def test_help_at_every_level_and_the_version(capsys):
    assert run("--version") == 0
    assert capsys.readouterr().out == f"hearten {__version__}\n"
    assert run("data", "--help") == 0
    assert "usage: hearten data COMMAND [OPTIONS]" in capsys.readouterr().out
    assert run("data", "check", "--help") == 0
    assert "hearten data check" in capsys.readouterr().out


def test_no_command_at_all_is_usage(capsys):
    assert run() == 2
    assert "usage: hearten COMMAND" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("args", "what", "fix"),
    [
        (["trian"], "unknown command 'hearten trian'", "did you mean 'train'?"),
        (["data", "chekc"], "unknown command 'hearten data chekc'", "did you mean 'check'?"),
        (["data", "check", "--jsno"], "--jsno", "hearten data check --help"),
        (["data", "check"], "issing argument", "hearten data check --help"),
        (["data", "check", "nowhere.json"], "nowhere.json", ""),
    ],
)
def test_wrong_usage_is_exit_code_2_on_standard_error(capsys, args, what, fix):
    assert run(*args) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert what in said.err
    assert fix in said.err
    assert said.err.startswith("error: ")
    assert len(said.err.splitlines()) <= 3


@pytest.mark.parametrize(
    ("raised", "code", "line"),
    [
        (Failure("broken", where="a, line 3", fix="mend it"), 1, "error: broken\n  where: a, line 3"),
        (UsageError("wrong"), 2, "error: wrong\n"),
        (KeyboardInterrupt(), 1, "stopped: what was written so far is kept\n"),
        (OSError(28, "No space left on device", "/out/a"), 1, "error: No space left on device\n"),
        (ZeroDivisionError("division by zero"), 1, "error: ZeroDivisionError: division by zero\n"),
    ],
)  # fmt: skip
def test_every_way_to_fail_is_lines_for_people_and_an_exit_code(failing, capsys, raised, code, line):
    failing.append(raised)
    assert run("fail") == code
    said = capsys.readouterr()
    assert said.err.startswith(line)
    assert "Traceback" not in said.err
    assert said.out == ""


def test_debug_shows_the_traceback(failing, capsys):
    failing.append(Failure("broken"))
    assert run("fail", "--debug") == 1
    said = capsys.readouterr().err
    assert "Traceback" in said
    assert said.endswith("error: broken\n")


def test_a_reader_that_left_is_no_failure(failing):
    failing.append(BrokenPipeError())
    assert run("fail") == 0
