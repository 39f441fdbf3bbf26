"""`hearten data get`: licence first, hashes checked, network failures in words; all offline."""

import gzip
import hashlib
import io
import json
import tarfile
import urllib.error

import pytest

from hearten.cli import main
from hearten.core.errors import Failure, UsageError
from hearten.data import fetch
from hearten.data.catalogue import Entry, RemoteFile, catalogue, licence_of

CONTENT = b"one\ttwo\n"
SHA = hashlib.sha256(CONTENT).hexdigest()


def corpus(**file):
    row = {"name": "a.tsv.gz", "url": "https://example.org/a.tsv", **file}
    about = {"title": "A", "licence": "MIT", "commercial": True, "citation": "Nobody 2020", "folder": "a"}
    return Entry(name="a", files=(RemoteFile(**row),), **about)


class Served(io.BytesIO):
    def __init__(self, content):
        super().__init__(content)
        self.headers = {"Content-Length": str(len(content))}


@pytest.fixture
def served(monkeypatch):
    monkeypatch.setattr(fetch.urllib.request, "urlopen", lambda url, timeout: Served(CONTENT))


def test_what_arrives_is_checked_compressed_and_recorded(tmp_path, served):
    written = fetch.get(corpus(sha256=SHA), root=tmp_path, quiet=True)
    assert gzip.decompress(written[0].read_bytes()) == CONTENT
    assert json.loads((tmp_path / "a" / "SOURCE.json").read_text())["a.tsv.gz"]["sha256"] == SHA


def test_a_wrong_file_is_refused_and_nothing_written(tmp_path, served):
    with pytest.raises(Failure, match="not the expected file"):
        fetch.get(corpus(sha256="0" * 64), root=tmp_path, quiet=True)
    assert not (tmp_path / "a" / "a.tsv.gz").exists()


def test_without_a_declared_hash_the_first_fetch_is_the_measure(tmp_path, served, monkeypatch):
    fetch.get(corpus(), root=tmp_path, quiet=True)
    monkeypatch.setattr(fetch.urllib.request, "urlopen", lambda url, timeout: Served(b"changed"))
    with pytest.raises(Failure, match="first fetch"):
        fetch.get(corpus(), root=tmp_path, quiet=True)


@pytest.mark.parametrize("name", ["a.tsv", "a.tsv.gz", "a/a.tsv"])
def test_offline_from_a_folder_or_a_file(tmp_path, name):
    here = tmp_path / "have" / name
    here.parent.mkdir(parents=True)
    here.write_bytes(gzip.compress(CONTENT) if name.endswith(".gz") else CONTENT)
    written = fetch.get(corpus(sha256=SHA), offline=tmp_path / "have", root=tmp_path / "data")
    assert gzip.decompress(written[0].read_bytes()) == CONTENT
    assert fetch.get(corpus(sha256=SHA), offline=here, root=tmp_path / "other")


def test_offline_without_the_file_says_what_is_wanted(tmp_path):
    with pytest.raises(UsageError) as caught:
        fetch.get(corpus(), offline=tmp_path, root=tmp_path / "data")
    assert "a.tsv" in caught.value.fix


FAILURES = {
    "no network": urllib.error.URLError("Name or service not known"),
    "a refusal": urllib.error.HTTPError("https://example.org/a.tsv", 404, "Not Found", {}, None),
    "a timeout": TimeoutError("timed out"),
}


@pytest.mark.parametrize("name", FAILURES)
def test_network_failures_are_words(tmp_path, monkeypatch, name):
    def fail(url, timeout):
        raise FAILURES[name]

    monkeypatch.setattr(fetch.urllib.request, "urlopen", fail)
    with pytest.raises(Failure) as caught:
        fetch.get(corpus(), root=tmp_path, quiet=True)
    assert "--from" in caught.value.fix
    assert caught.value.where == "https://example.org/a.tsv"


def test_members_of_a_tar_archive_are_taken_out_by_name_only(tmp_path, monkeypatch):
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        member = tarfile.TarInfo("../../evil/train.csv")
        member.size = len(CONTENT)
        archive.addfile(member, io.BytesIO(CONTENT))
    (tmp_path / "x.tar.gz").write_bytes(packed.getvalue())
    entry = corpus(name="x.tar.gz", url="https://example.org/x.tar.gz", unpack=("train.csv",))
    written = fetch.get(entry, offline=tmp_path / "x.tar.gz", root=tmp_path / "data")
    assert written == [tmp_path / "data" / "a" / "train.csv"]


def test_a_script_must_accept_the_licence(capsys, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    with pytest.raises(SystemExit) as left:
        main(["data", "get", "esconv"])
    err = capsys.readouterr().err
    assert left.value.code == 2
    assert "CC BY-NC 4.0" in err
    assert "--accept-licence" in err


def test_an_unknown_corpus_is_answered_with_the_nearest(capsys):
    with pytest.raises(SystemExit) as left:
        main(["data", "get", "escov"])
    assert left.value.code == 2
    assert "did you mean 'esconv'?" in capsys.readouterr().err


def test_the_catalogue_says_licence_and_address_of_everything():
    for entry in catalogue().values():
        assert entry.licence
        assert entry.citation
        assert all(file.url.startswith("https://") for file in entry.files)
        assert all(len(file.sha256) == 64 for file in entry.files if file.sha256)


def test_licences_by_source():
    assert licence_of(None, ["hearten-seeds"]).startswith("Apache-2.0")
    assert "use it only" in licence_of(None, ["somebody"])
