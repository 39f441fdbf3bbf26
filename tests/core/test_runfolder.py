"""Fixed places and a manifest that says what was run."""

import hashlib
import re

import pytest

from hearten.core import runfolder
from hearten.core.errors import Failure, UsageError
from hearten.core.runfolder import Manifest, RunFolder, file_hash, git_revision, now, versions

MANIFEST = Manifest(
    system="joint",
    recipe={"seed": 13, "training": {"epochs": 1.0}},
    seed=13,
    command="hearten train x",
    created="2026-01-01T00:00:00+00:00",
    revision="unknown",
    versions={"python": "3.11"},
    machine="x86_64",
    inputs={"data.jsonl": "00"},
    protocol="seed13-910",
    split_hash="0" * 12,
)


def test_a_manifest_comes_back_as_it_was_written(tmp_path):
    RunFolder(tmp_path / "run").write_manifest(MANIFEST)
    assert RunFolder.open(tmp_path / "run").manifest == MANIFEST


def test_a_folder_without_a_manifest_is_no_run(tmp_path):
    with pytest.raises(UsageError, match=r"it has no run\.json") as error:
        RunFolder.open(tmp_path)
    assert "hearten train" in error.value.fix


def test_a_manifest_with_a_strange_field_names_it(tmp_path):
    run = RunFolder(tmp_path)
    run.manifest_file.write_text(MANIFEST.model_dump_json().replace('"seed":13,"comm', '"sede":13,"comm'))
    with pytest.raises(Failure) as error:
        _ = run.manifest
    assert error.value.where == f"{run.manifest_file}, field sede"


def test_all_places_lie_inside_the_folder_and_differ(tmp_path):
    places = [value for name, value in vars(RunFolder(tmp_path)).items() if name != "path"]
    assert len(set(places)) == len(places) == 8
    assert all(place.parent == tmp_path for place in places)


def test_a_file_hash_is_sha256(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    assert file_hash(tmp_path / "a") == hashlib.sha256(b"abc").hexdigest()


def test_revision_version_and_time_are_there_and_missing_tools_do_not_stop_a_run(monkeypatch):
    assert re.fullmatch(r"unknown|[0-9a-f]{12}(\+changes)?", git_revision())
    assert "no-such-package" not in versions(["no-such-package"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", now())

    def missing(*_, **__):
        raise FileNotFoundError("git")

    monkeypatch.setattr(runfolder.subprocess, "run", missing)
    assert git_revision() == "unknown"
