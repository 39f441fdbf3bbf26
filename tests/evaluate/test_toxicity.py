import collections
import json
import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hearten.cli import main
from hearten.core.errors import Failure, UsageError
from hearten.core.jsonl import write_records
from hearten.evaluate.perspective import Perspective
from hearten.evaluate.toxicity import (
    ATTRIBUTES,
    EXTES_TABLE_7,
    Said,
    as_dict,
    read_utterances,
    report,
    scorer,
    table,
)
from hearten.safety import toxblock


class Counting:
    """A scorer whose toxicity is the share of exclamation marks; knows two attributes."""

    name = "counting"
    attributes: tuple[str, ...] = ("toxicity", "threat")

    def __init__(self) -> None:
        self.asked: list[str] = []

    def score(self, texts: Sequence[str]) -> np.ndarray:
        self.asked += texts
        return np.array([[text.count("!") / len(text), 0.0] for text in texts])


def said(*texts: str, column: str = "seeker") -> list[Said]:
    return [Said(text, column, f"c{number}", 0) for number, text in enumerate(texts)]


def test_means_by_column_and_all() -> None:
    found = report([*said("!!", "a!"), *said("ok", column="supporter")], Counting(), resamples=20, quiet=True)
    values = {score.name: score.value for score in found.scores}
    assert values["toxicity (seeker)"] == 0.75
    assert values["toxicity (supporter)"] == 0
    assert values["toxicity (all)"] == pytest.approx(0.5)
    assert "insult (all)" not in values
    assert all("scorer:counting" in score.signature for score in found.scores)
    assert table(found).rows[ATTRIBUTES.index("insult")][1] == "–"


def test_equal_texts_are_scored_once() -> None:
    judge = Counting()
    report(said("hi!", "hi!", "ho"), judge, resamples=20, quiet=True)
    assert judge.asked == ["hi!", "ho"]


def test_json_points_at_the_highest_without_repeating_them() -> None:
    found = as_dict(report(said("calm", "loud!!!!"), Counting(), resamples=20, quiet=True, show=1))
    assert found["highest"][0]["conversation"] == "c1"
    assert "loud" not in json.dumps(found)


def test_nothing_to_score_and_unknown_scorer_are_refused() -> None:
    with pytest.raises(Failure, match="no utterance"):
        report([], Counting())
    with pytest.raises(UsageError, match="unknown toxicity scorer 'locl'"):
        scorer("locl")


def test_sources(tmp_path: Path) -> None:
    turns = [{"speaker": "seeker", "text": "Hello"}, {"speaker": "supporter", "text": "Hi"}]
    write_records(tmp_path / "conversations.jsonl", [{"id": "a", "turns": turns}])
    found = read_utterances(tmp_path / "conversations.jsonl")
    assert [(one.column, one.turn) for one in found] == [("seeker", 0), ("supporter", 1)]
    write_records(tmp_path / "other.jsonl", [{"text": "Hello"}])
    with pytest.raises(UsageError, match="neither conversations nor predictions"):
        read_utterances(tmp_path / "other.jsonl")


def test_extes_table_7_is_whole() -> None:
    assert {len(row) for row in EXTES_TABLE_7.values()} == {len(ATTRIBUTES)}


# --- the local network


def test_one_lstm_step_by_hand() -> None:
    # one unit, one input 1: every gate's sum is 1, so gates are .2 + .5 = .7 and the cell .7 · tanh 1
    ones = np.ones((1, 4), dtype=np.float32)
    network = toxblock.Lstm(np.ones((1, 1), np.float32), ones, 0 * ones, np.zeros(4, np.float32))
    found = network.maximum(np.zeros((1, 1), dtype=np.int64))
    assert found[0, 0] == pytest.approx(0.7 * np.tanh(0.7 * np.tanh(1)))


def test_padding_run_once_equals_padding_run_with_the_words() -> None:
    draw = np.random.default_rng(0)
    shapes = ((9, 3), (3, 8), (2, 8), (8,))
    network = toxblock.Lstm(*(draw.normal(size=shape).astype(np.float32) for shape in shapes))
    words = draw.integers(1, 9, (4, 5))
    whole = network.maximum(np.hstack([np.zeros((4, 7), dtype=np.int64), words]))
    assert network.maximum(words, before=7) == pytest.approx(whole)
    after = network.maximum(np.hstack([words, np.zeros((4, 6), dtype=np.int64)]))
    assert network.maximum(words, after=6) == pytest.approx(after)


def test_a_pickle_that_would_run_something_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "encoder_bad.pkl"
    path.write_bytes(pickle.dumps(collections.Counter))
    with pytest.raises(Failure, match=r"collections\.Counter"):
        toxblock.read_word_index(path)


def test_missing_files_say_how_to_get_them(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no file like") as error:
        toxblock.ToxBlock(tmp_path).score(["hello"])
    assert "pip install --no-deps tox-block" in str(error.value)


def test_a_missing_package_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(toxblock, "PACKAGE", "no-such-package")
    with pytest.raises(UsageError, match="which is not installed") as error:
        toxblock.ToxBlock()
    assert "pip install" in error.value.fix


@pytest.fixture(scope="module")
def network() -> toxblock.ToxBlock:
    try:
        return toxblock.ToxBlock()
    except UsageError as error:
        pytest.skip(error.what)


def test_the_real_network_tells_an_insult_from_care(network: toxblock.ToxBlock) -> None:
    harsh, kind = network.score(["stupid idiot, shut up", "so sorry you are going through this"])[:, 0]
    assert harsh == pytest.approx(0.996, abs=0.005)  # another port of the weights gives .997 and .035
    assert kind == pytest.approx(0.035, abs=0.005)


def test_order_and_company_do_not_change_a_score(network: toxblock.ToxBlock) -> None:
    texts = ["you idiot", "", "I feel a bit better now, thank you so much for listening", "word " * 300]
    together = network.score(texts)
    assert together[::-1] == pytest.approx(network.score(texts[::-1]), abs=1e-5)
    assert together[1] == pytest.approx(network.score([""])[0], abs=1e-5)
    assert ((together >= 0) & (together <= 1)).all()


# --- Perspective, without the service


def fake_service(asked: list[str]) -> Any:
    def post(body: dict[str, Any]) -> dict[str, Any]:
        asked.append(body["comment"]["text"])
        if body["comment"]["text"] == "???":
            return {}
        return {
            "attributeScores": {
                name: {"summaryScore": {"value": 0.25}} for name in body["requestedAttributes"]
            }
        }

    return post


def test_perspective_resumes_from_its_ledger(tmp_path: Path) -> None:
    asked: list[str] = []
    ledger = tmp_path / "ledger.jsonl"
    first = Perspective(fake_service(asked), ledger=ledger, seconds=0).score(["hello", "???"])
    assert first[0] == pytest.approx([0.25] * 6)
    assert np.isnan(first[1]).all()
    with ledger.open("a") as stream:
        stream.write('{"text": "torn')
    Perspective(fake_service(asked), ledger=ledger, seconds=0).score(["hello", "???", "new"])
    assert asked == ["hello", "???", "new"]
    assert "hello" not in ledger.read_text()  # the ledger holds hashes, not what people said


def test_perspective_without_a_key_names_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PERSPECTIVE_API_KEY", raising=False)
    with pytest.raises(UsageError, match="needs a key") as error:
        scorer("perspective")
    assert "2026-12-31" in error.value.fix


def test_on_the_command_line(
    tmp_path: Path, network: toxblock.ToxBlock, capsys: pytest.CaptureFixture[str]
) -> None:
    turns = [{"speaker": "seeker", "text": "Hello"}, {"speaker": "supporter", "text": "Hi there"}]
    write_records(tmp_path / "c.jsonl", [{"id": "a", "turns": turns}])
    with pytest.raises(SystemExit):
        main(["evaluate", "toxicity", str(tmp_path / "c.jsonl"), "--json", "--quiet"])
    found = json.loads(capsys.readouterr().out)
    assert found["utterances"] == {"all": 2, "seeker": 1, "supporter": 1}
    assert network.name == found["scorer"]
