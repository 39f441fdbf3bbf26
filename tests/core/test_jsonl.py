"""Files that survive: broken lines are named, old files stay whole, torn lines are cut."""

import errno
import gzip
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hearten.core.conversation import Record
from hearten.core.errors import Failure, UsageError
from hearten.core.jsonl import (
    Appender,
    read_json,
    read_lines,
    read_records,
    replacing,
    require_file,
    write_json,
    write_records,
)

FULL = Path("/dev/full")
needs_dev_full = pytest.mark.skipif(not FULL.exists(), reason="/dev/full is Linux's")


class Row(Record):
    name: str
    count: int | None = None


@given(rows=st.lists(st.builds(Row, name=st.text(), count=st.none() | st.integers())))
def test_what_is_written_is_what_is_read(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("records") / "rows.jsonl"
    assert write_records(path, rows) == len(rows)
    assert list(read_records(path, Row)) == rows


def test_gzip_is_read_like_plain_text(tmp_path):
    path = tmp_path / "rows.jsonl.gz"
    path.write_bytes(gzip.compress(b'{"name": "a"}\n\n{"name": "b"}\n'))
    assert list(read_lines(path)) == [(1, {"name": "a"}), (3, {"name": "b"})]


def test_a_broken_line_is_named_by_its_number(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text('{"name": "a"}\n\n{"name": "b"\n', encoding="utf-8")
    with pytest.raises(Failure) as error:
        list(read_lines(path))
    assert error.value.where.startswith(f"{path}, line 3, column ")
    assert error.value.fix == "mend or remove that line"


def test_a_record_that_does_not_fit_names_line_field_and_nearest_name(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text('{"name": "a"}\n{"name": "b", "cuont": 2}\n', encoding="utf-8")
    with pytest.raises(Failure) as error:
        list(read_records(path, Row))
    assert error.value.where == f"{path}, line 2, field cuont"
    assert error.value.fix.startswith("did you mean 'count'?")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("latin.jsonl", b'{"name": "caf\xe9"}\n'),
        ("cut.jsonl.gz", gzip.compress(b'{"name": "a"}\n' * 500)[:40]),
        ("damaged.jsonl.gz", gzip.compress(b"abc")[:10] + b"\xff" * 8),
        ("plain.jsonl.gz", b'{"name": "a"}\n'),
    ],
)
def test_what_is_no_text_is_a_failure_with_its_file(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content)
    for read in (lambda: list(read_lines(path)), lambda: read_json(path)):
        with pytest.raises(Failure, match="not readable text") as error:
            read()
        assert str(path) in error.value.where


def test_one_json_value_is_read_or_its_place_is_named(tmp_path):
    path = tmp_path / "a.json"
    write_json(path, {"ü": [1, 2]})
    assert read_json(path) == {"ü": [1, 2]}
    assert "ü" in path.read_text(encoding="utf-8")
    path.write_text('{\n "a": 1,\n}', encoding="utf-8")
    with pytest.raises(Failure, match="not valid JSON") as error:
        read_json(path)
    assert "line 2" in error.value.where or "line 3" in error.value.where


def test_a_missing_file_and_a_folder_are_usage_errors(tmp_path):
    (tmp_path / "esconv.jsonl").touch()
    with pytest.raises(UsageError) as error:
        require_file(tmp_path / "esconv.json")
    assert "esconv.jsonl" in error.value.fix
    with pytest.raises(UsageError, match="is a folder"):
        require_file(tmp_path)


class Stop(Exception):
    pass


@pytest.mark.parametrize("stop", [Stop, KeyboardInterrupt])
def test_replacing_leaves_the_old_file_whole_when_the_block_raises(tmp_path, stop):
    path = tmp_path / "a.txt"
    path.write_text("old", encoding="utf-8")
    with pytest.raises(stop), replacing(path) as stream:
        stream.write("half of the n")
        raise stop
    assert path.read_text(encoding="utf-8") == "old"
    assert list(tmp_path.iterdir()) == [path], "nothing lies beside it"


def full_disk(*_):
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_while_replacing_is_a_failure_and_the_old_file_stays(tmp_path, monkeypatch):
    path = tmp_path / "a.txt"
    path.write_text("old", encoding="utf-8")
    monkeypatch.setattr("os.fsync", full_disk)
    with pytest.raises(Failure, match="No space left") as error, replacing(path) as stream:
        stream.write("new")
    assert error.value.where == str(path)
    assert path.read_text(encoding="utf-8") == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_cannot_be_made_is_a_failure(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(Failure, match="could not write"), replacing(tmp_path / "file" / "a.txt"):
        pytest.fail("the block must not run")


def test_an_error_of_reading_inside_the_block_is_not_called_an_error_of_writing(tmp_path):
    with pytest.raises(FileNotFoundError), replacing(tmp_path / "a.txt"):
        (tmp_path / "missing").read_text(encoding="utf-8")


def test_a_ledger_survives_a_torn_last_line(tmp_path):
    path = tmp_path / "ledger.jsonl"
    path.write_bytes(b'{"name":"a"}\n{"name":"b"}\n{"na')
    with Appender(path) as ledger:
        ledger.add(Row(name="c"))
    assert [row.name for row in read_records(path, Row)] == ["a", "b", "c"]


def test_a_ledger_that_is_only_a_torn_line_becomes_empty(tmp_path):
    path = tmp_path / "ledger.jsonl"
    path.write_bytes(b'{"na')
    Appender(path).close()
    assert path.read_bytes() == b""


def test_a_record_is_on_disk_once_add_returns(tmp_path):
    path = tmp_path / "deep" / "ledger.jsonl"
    with Appender(path) as ledger:
        ledger.add({"name": "ü"})
        assert json.loads(path.read_text(encoding="utf-8")) == {"name": "ü"}


@needs_dev_full
def test_a_full_disk_while_appending_is_a_failure_and_stays_one_when_the_ledger_closes(tmp_path):
    path = tmp_path / "ledger.jsonl"
    with pytest.raises(Failure, match="could not write") as error, Appender(path) as ledger:
        ledger._stream.close()
        ledger._stream = FULL.open("a", encoding="utf-8")
        ledger.add(Row(name="a"))
    assert error.value.where == str(path)


def test_a_ledger_reaches_the_disk_when_it_is_told_to(tmp_path, monkeypatch):
    synced = []
    monkeypatch.setattr("os.fsync", lambda number: synced.append((tmp_path / "a.jsonl").read_text()))
    with Appender(tmp_path / "a.jsonl") as ledger:
        ledger.add({"n": 1})
        assert synced == []
        ledger.add({"n": 2})
        ledger.sync()
    assert synced == ['{"n": 1}\n{"n": 2}\n']
