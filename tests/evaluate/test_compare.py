import random
from pathlib import Path

import pytest

from hearten.core.errors import Failure, UsageError
from hearten.core.jsonl import write_json, write_records
from hearten.core.records import LikelihoodRow, Prediction, Score
from hearten.core.runfolder import Manifest, RunFolder
from hearten.core.taxonomy import label_set
from hearten.evaluate.compare import compare, table
from hearten.evaluate.measures import Measures, measure
from hearten.evaluate.origin import open_origin

NAMES = label_set("esconv").names


def run(
    folder: Path,
    *,
    right: float = 0.5,
    talks: int = 12,
    protocol: str = "seed13-910",
    tokenizer: str = "toy",
    likelihoods: bool = True,
) -> Path:
    """A run whose system is right with the given probability, and the less surprised for it."""
    draw, items = random.Random(0), []
    for talk in range(talks):
        for index in range(1, 20, 2):
            gold = draw.randrange(8)
            chosen = gold if draw.random() < right else (gold + draw.randrange(1, 8)) % 8
            items.append((f"c{talk:02d}", index, NAMES[gold], NAMES[chosen]))
    place = RunFolder(folder)
    write_records(
        place.predictions,
        [
            Prediction(
                conversation_id=talk,
                index=index,
                turns_total=20,
                context=("seeker: hello",),
                reference="that sounds hard",
                hypothesis="I see",
                gold_strategy=gold,
                strategy=chosen,
            )
            for talk, index, gold, chosen in items
        ],
    )
    if likelihoods:
        rows = [
            LikelihoodRow(
                conversation_id=talk,
                index=index,
                nll=(3 - right) * 5 + draw.random(),
                tokens=5,
                words=4,
                strategy_fed="gold",
                tokenizer=tokenizer,
            )
            for talk, index, _, _ in items
        ]
        write_records(place.likelihoods, rows)
    place.write_manifest(manifest(protocol))
    return folder


def manifest(protocol: str) -> Manifest:
    return Manifest(
        system="joint",
        recipe={},
        seed=13,
        command="hearten train toy.toml",
        created="2026-01-01T00:00:00+00:00",
        revision="unknown",
        versions={},
        machine="test",
        inputs={},
        protocol=protocol,
        split_hash="0" * 12,
    )


def measured(folder: Path) -> Measures:
    return measure(open_origin(folder), resamples=50)


def test_a_clear_difference_is_marked_with_its_direction(tmp_path: Path) -> None:
    found = compare(
        [measured(run(tmp_path / "weak", right=0.3)), measured(run(tmp_path / "strong", right=0.8))]
    )
    accuracy = found.rows["accuracy (used)"][1]
    assert accuracy.mark == "‡"
    assert accuracy.better("accuracy (used)") is True
    assert accuracy.also is not None
    assert accuracy.also.p < 0.001
    perplexity = found.rows["ppl-token"][1]
    assert perplexity.value < found.rows["ppl-token"][0].value  # type: ignore[operator]
    assert perplexity.better("ppl-token") is True
    assert accuracy.p_holm is not None
    assert accuracy.p_holm >= accuracy.difference.p  # type: ignore[union-attr]


def test_the_same_run_twice_has_no_marker(tmp_path: Path) -> None:
    same = measured(run(tmp_path / "a"))
    found = compare([same, same])
    assert found.names == ("a", "a (2)")
    assert not any(cell.mark for cells in found.rows.values() for cell in cells)


def test_other_protocol_or_items_are_refused_with_the_reason(tmp_path: Path) -> None:
    first = measured(run(tmp_path / "first", right=0.2))
    other = measured(run(tmp_path / "other", right=0.9, protocol="paper-811"))
    fewer = measured(run(tmp_path / "fewer", right=0.9, talks=6))
    found = compare([first, other, fewer])
    assert found.refusals["other"] == ("protocol paper-811, not seed13-910",)
    assert "60 in common" in found.refusals["fewer"][0]
    assert not any(cell.mark or cell.difference for cells in found.rows.values() for cell in cells)
    assert "other: not comparable with first: protocol paper-811" in table(found).note


def test_perplexities_of_two_tokenizers_are_not_compared_but_words_are(tmp_path: Path) -> None:
    first = measured(run(tmp_path / "first", right=0.3))
    other = measured(run(tmp_path / "other", right=0.8, tokenizer="other"))
    found = compare([first, other])
    assert found.rows["ppl-token"][1].refusal == "other signature (tokenizer:other instead of tokenizer:toy)"
    assert found.rows["ppl-token"][1].mark == ""
    assert found.rows["ppl-word"][1].mark == "‡"


def test_what_is_missing_is_said_and_the_rest_compared(tmp_path: Path) -> None:
    found = compare([measured(run(tmp_path / "a", likelihoods=False)), measured(run(tmp_path / "b"))])
    assert found.rows["ppl-token"][0].value is None
    assert found.rows["ppl-token"][1].difference is None
    assert any(told.startswith("perplexity") for told in found.runs[0].missing)


def test_written_scores_are_shown_without_a_test(tmp_path: Path) -> None:
    folder = run(tmp_path / "a")
    meteor = Score(name="METEOR-1.5", value=0.07, signature="metric:METEOR-1.5|preset:nlgeval", items=120)
    write_json(RunFolder(folder).scores, {"scores": [meteor.model_dump()]})
    found = compare([measured(folder), measured(run(tmp_path / "b"))])
    assert found.rows["METEOR-1.5"][0].value == 0.07
    write_json(RunFolder(folder).scores, {"scores": [{"name": "BLEU-2"}]})
    with pytest.raises(Failure, match="required key is missing"):
        measured(folder)


def test_bad_calls_are_refused(tmp_path: Path) -> None:
    one = measured(run(tmp_path / "a"))
    with pytest.raises(UsageError, match="nothing to compare"):
        compare([one])
    with pytest.raises(UsageError, match="unknown test 'bootstrp'") as error:
        compare([one, one], test="bootstrp")
    assert "did you mean 'bootstrap'" in str(error.value)
