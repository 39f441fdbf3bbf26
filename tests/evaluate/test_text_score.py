"""The door: files, refusals, signatures and the command line."""

import gzip
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from hearten.cli import main
from hearten.core.errors import Failure, HeartenError, UsageError
from hearten.evaluate import score
from hearten.evaluate.text import meteor, vectors
from hearten.evaluate.text.files import read_texts

FEW = "bleu,rouge-l,cider,distinct,f1,length"


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("HEARTEN_CACHE", str(tmp_path / "cache"))


def write(path: Path, text: str) -> Path:
    path.write_bytes(text.encode("utf-8"))
    return path


def run(capsys, *args):
    with pytest.raises(SystemExit) as left:
        main(["evaluate", *map(str, args)])
    captured = capsys.readouterr()
    return left.value.code, captured.out, captured.err


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("a\nb\n", ["a", "b"]),
        ("a\nb", ["a", "b"]),
        ("a\r\nb\r\n", ["a", "b"]),
        ("a\n\nb\n\n", ["a", "", "b", ""]),
        ("a\x85b\u2028c\x0bd\x0ce\n", ["a\x85b\u2028c\x0bd\x0ce"]),
        ("tab\there 😀\n", ["tab\there 😀"]),
        ("\ufeffa\n", ["a"]),
        ("", []),
        ("\n", [""]),
    ],
)
def test_lines_of_a_text_file(tmp_path, content, expected):
    assert read_texts(write(tmp_path / "t.txt", content)) == expected


def test_gzip_and_json_lines(tmp_path):
    packed = tmp_path / "t.txt.gz"
    packed.write_bytes(gzip.compress(b"a\nb\n"))
    assert read_texts(packed) == ["a", "b"]
    rows = write(tmp_path / "t.jsonl", '{"generated": "x", "gold": "y"}\n{"generated": "", "gold": "z"}\n')
    assert read_texts(rows) == ["x", ""]
    assert read_texts(rows, side="references") == ["y", "z"]
    assert read_texts(write(tmp_path / "s.jsonl", '"one"\n"two"\n')) == ["one", "two"]


@pytest.mark.parametrize(
    ("name", "content", "field", "message"),
    [
        ("t.txt", b"ok\n\xff\xfe\n", None, "line 2"),
        ("t.jsonl", b'{"a": "x"}\n', None, "which field"),
        ("t.jsonl", b'{"hypothesis": 3}\n', None, "wanted, not int"),
        ("t.jsonl", b'{"answer": "x"}\n', "anser", "did you mean 'answer'"),
        ("t.txt", b"x\n", "answer", "plain text"),
    ],
)
def test_files_that_are_refused(tmp_path, name, content, field, message):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(HeartenError, match=message):
        read_texts(path, field=field)


@pytest.mark.parametrize(
    ("hypotheses", "references"),
    [
        ("one text", ["one text"]),
        (["a"], "a"),
        (Path("h.txt"), ["a"]),
        (["a", None], ["a", "b"]),
        ([b"a"], ["a"]),
    ],
)
def test_what_is_not_a_list_of_texts_is_refused(hypotheses, references):
    with pytest.raises(UsageError, match="texts"):
        score(hypotheses, references)


def test_names_of_files_are_refused(tmp_path):
    name = str(write(tmp_path / "h.txt", "a\n"))
    with pytest.raises(UsageError, match="names of files"):
        score([name], [name])


def test_unequal_and_missing_items_are_refused():
    with pytest.raises(Failure, match="2 hypotheses but 1 references"):
        score(["a", "b"], ["a"])
    with pytest.raises(Failure, match="nothing to score"):
        score([], [])


def test_near_names_are_offered():
    with pytest.raises(UsageError, match="nlgeval"):
        score(["a"], ["a"], preset="nlg-eval")
    with pytest.raises(UsageError, match="did you mean 'BLEU'"):
        score(["a"], ["a"], metrics=["BLUE"])


def test_signatures_say_how():
    found = score(["a b"], ["a b"], preset="zcj", metrics=["BLEU", "CIDEr", "Length"])
    signature = found.signatures["BLEU-2"]
    for part in ("preset:zcj", "tok:nltk-3.9", "case:lower", "smooth:method3", "avg:corpus", "scale:100"):
        assert part in signature.split("|")
    assert "preset:clean" in found.signatures["CIDEr"].split("|")  # the family does not define it
    assert "scale:1" in found.signatures["Length"].split("|")
    assert "scale:1|" in found.records()[0].signature


def test_records_are_fractions_whatever_the_preset():
    found = score(["a b"], ["a b"], preset="zcj", metrics=["F1"])
    assert found.values["F1"] == 100
    assert found.records()[0].value == 1


def test_what_cannot_be_computed_is_said(monkeypatch):
    monkeypatch.setattr(meteor, "find_java", lambda: None)
    found = score(["a"], ["a"])
    assert "Java" in found.skipped["METEOR-1.5"]
    assert "hearten evaluate vectors" in found.skipped["Embedding"]
    assert "METEOR-nltk" in found.values
    with pytest.raises(Failure, match="Java"):
        score(["a"], ["a"], metrics=["METEOR-1.5"])


@pytest.mark.skipif(sys.platform == "win32", reason="the fake program is a shell script")
@pytest.mark.parametrize("body", ["exit 1", "sleep 60", "echo nonsense; sleep 60"])
def test_a_java_that_dies_or_hangs_is_no_hang_of_ours(tmp_path, monkeypatch, body):
    fake = write(tmp_path / "java", f"#!/bin/sh\n{body}\n")
    fake.chmod(0o755)
    monkeypatch.setattr(meteor, "find_java", lambda: str(fake))
    monkeypatch.setattr(meteor, "find_jar", lambda: fake)
    monkeypatch.setattr(meteor._Java, "silence", 0.3)
    with pytest.raises(Failure, match=r"METEOR 1\.5"):
        meteor.jar_items([["a"]], [["a"]])


def test_command_prints_json(tmp_path, capsys):
    sides = [
        write(tmp_path / f"{name}.txt", text) for name, text in (("h", "a b\n\n"), ("r", "a b c\nd e\n"))
    ]
    options = ["--hypotheses", sides[0], "--references", sides[1], "--metrics", FEW]
    code, out, _ = run(capsys, "score", *options, "--json", "--items")
    found = json.loads(out)
    assert code == 0
    assert (found["items"], found["empty_hypotheses"], found["preset"]) == (2, 1, "nlgeval")
    assert found["per_item"]["F1"] == pytest.approx([0.8, 0.0])
    assert set(found["scores"]) == set(found["signatures"])
    assert "per_item" not in json.loads(run(capsys, "score", *options, "--json")[1])


def test_command_prints_a_table_within_100_columns(tmp_path, capsys):
    both = write(tmp_path / "predictions.jsonl", '{"hypothesis": "a b", "reference": "a c"}\n')
    code, out, _ = run(capsys, "score", "--predictions", both, "--metrics", FEW, "--out", tmp_path / "s.json")
    assert code == 0
    assert max(len(line) for line in out.splitlines() if not line.startswith("wrote")) <= 100
    assert f"wrote {tmp_path / 's.json'}" in out
    assert json.loads((tmp_path / "s.json").read_text())["scores"]["F1"] == pytest.approx(0.5)


def test_command_scores_a_run_folder(tmp_path, capsys):
    write(tmp_path / "predictions.jsonl", '{"hypothesis": "a b", "reference": "a c"}\n')
    assert run(capsys, "score", "--predictions", tmp_path, "--metrics", "F1")[0] == 0
    assert json.loads((tmp_path / "scores.json").read_text())[0]["name"] == "F1"


@pytest.mark.parametrize("limit", [[], ["--limit", "1"]])
def test_command_refuses_unequal_files_with_both_counts(tmp_path, capsys, limit):
    sides = [write(tmp_path / f"{name}.txt", text) for name, text in (("h", "a\n"), ("r", "a\nb\n"))]
    code, _, err = run(capsys, "score", "--hypotheses", sides[0], "--references", sides[1], *limit)
    assert code != 0
    assert "1 hypotheses but 2 references" in err


def test_the_jar_is_spared_texts_it_never_finishes(monkeypatch):
    monkeypatch.setattr(meteor, "missing_parts", lambda: "")
    found = score(["word " * 501], ["word"])
    assert "501 tokens" in found.skipped["METEOR-1.5"]


def test_a_failing_jar_leaves_the_other_metrics(tmp_path, monkeypatch):
    fake = write(tmp_path / "java", "#!/bin/sh\nexit 1\n")
    fake.chmod(0o755)
    monkeypatch.setattr(meteor, "find_java", lambda: str(fake))
    monkeypatch.setattr(meteor, "find_jar", lambda: fake)
    found = score(["a"], ["a"])
    assert found.values["BLEU-1"] == pytest.approx(1)
    assert "without an answer" in found.skipped["METEOR-1.5"]


def test_long_odd_lines_do_not_hurt(capsys, tmp_path):
    rows = [" ".join(["word"] * 10_000), "tab\tand 😀 emoji", "\x85\u2028", "e\u0301 ﷽ \U0001d400"]
    sides = [
        write(tmp_path / f"{name}.txt", "\n".join(texts)) for name, texts in (("h", rows), ("r", rows[::-1]))
    ]
    code, out, _ = run(
        capsys,
        "score",
        "--hypotheses",
        sides[0],
        "--references",
        sides[1],
        "--metrics",
        FEW + ",METEOR-nltk",
        "--json",
    )
    assert code == 0
    assert json.loads(out)["items"] == 4


def test_vectors_from_text_are_kept_and_used(tmp_path, capsys):
    source = write(tmp_path / "tiny.txt", "a 1 0\nb 0 1\nc -1 0\n")
    code, out, _ = run(capsys, "vectors", "--from", source)
    assert code == 0
    assert "tiny-3x2" in out
    found = score(["a b"], ["c"], metrics=["Embedding"], vectors=tmp_path / "tiny.npz")
    assert found.values["Average"] == pytest.approx(-(0.5**0.5), abs=1e-3)
    assert "vectors:tiny-3x2" in found.signatures["Extrema"].split("|")


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_package_of_vectors_is_read_piece_by_piece(size):
    entries = '{"a":[1,2,9,0],"\\"b":[3,-4.5,9,1]}'
    text = f'{{"dimensions":2,"words":["a","\\"b"],"vectors":{entries},"unkVector":[0,0,0,-1]}}'
    pieces = [text[start : start + size] for start in range(0, len(text), size)]
    rows = dict(vectors._rows_of_json(iter(pieces)))
    assert {word: vector.tolist() for word, vector in rows.items()} == {"a": [1, 2], '"b': [3, -4.5]}


@pytest.mark.parametrize("content", ["", "a\n", "a 1 2\nb 1\n", "a one two\n"])
def test_files_that_are_no_vectors_are_refused(tmp_path, content):
    with pytest.raises(Failure):
        vectors.load(write(tmp_path / "v.txt", content))


def test_word2vec_header_and_words_with_spaces(tmp_path):
    found = vectors.load(write(tmp_path / "v.vec", "2 3\nof the 1 2 3\nb 4 5 6\n"))
    assert found.words in (["of the", "b"], ["of the", "b"])
    assert found.mean == pytest.approx(np.array([2.5, 3.5, 4.5]))


def test_importing_the_evaluator_needs_no_deep_learning():
    heavy = "('torch', 'transformers', 'nltk')"
    code = f"import sys, hearten.evaluate; sys.exit(any(m in sys.modules for m in {heavy}))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
