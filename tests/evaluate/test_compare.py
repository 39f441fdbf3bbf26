from collections.abc import Callable
from pathlib import Path

import pytest

from hearten.core.errors import Failure, UsageError
from hearten.core.jsonl import write_json
from hearten.core.records import Score
from hearten.core.runfolder import RunFolder
from hearten.evaluate.compare import compare, table
from hearten.evaluate.measures import Measures, measure
from hearten.evaluate.origin import open_origin

MakeRun = Callable[..., Path]


def measured(folder: Path) -> Measures:
    return measure(open_origin(folder), resamples=50)


def test_a_clear_difference_is_marked_with_its_direction(make_run: MakeRun) -> None:
    found = compare([measured(make_run("weak", right=0.3)), measured(make_run("strong", right=0.8))])
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


def test_the_same_run_twice_has_no_marker(make_run: MakeRun) -> None:
    same = measured(make_run("a"))
    found = compare([same, same])
    assert found.names == ("a", "a (2)")
    assert not any(cell.mark for cells in found.rows.values() for cell in cells)


def test_other_protocol_or_items_are_refused_with_the_reason(make_run: MakeRun) -> None:
    first = measured(make_run("first", right=0.2))
    other = measured(make_run("other", right=0.9, protocol="paper-811"))
    fewer = measured(make_run("fewer", right=0.9, talks=6))
    found = compare([first, other, fewer])
    assert found.refusals["other"] == ("protocol paper-811, not seed13-910",)
    assert "60 in common" in found.refusals["fewer"][0]
    assert not any(cell.mark or cell.difference for cells in found.rows.values() for cell in cells)
    assert "other: not comparable with first: protocol paper-811" in table(found).note


def test_perplexities_of_two_tokenizers_are_not_compared_but_words_are(make_run: MakeRun) -> None:
    first = measured(make_run("first", right=0.3))
    other = measured(make_run("other", right=0.8, tokenizer="other"))
    found = compare([first, other])
    assert found.rows["ppl-token"][1].refusal == "other signature (tokenizer:other instead of tokenizer:toy)"
    assert found.rows["ppl-token"][1].mark == ""
    assert found.rows["ppl-word"][1].mark == "‡"


def test_what_is_missing_is_said_and_the_rest_compared(make_run: MakeRun) -> None:
    found = compare([measured(make_run("a", likelihoods=False)), measured(make_run("b"))])
    assert found.rows["ppl-token"][0].value is None
    assert found.rows["ppl-token"][1].difference is None
    assert any(told.startswith("perplexity") for told in found.runs[0].missing)


def test_written_scores_are_shown_without_a_test(make_run: MakeRun) -> None:
    folder = make_run("a")
    meteor = Score(name="METEOR-1.5", value=0.07, signature="metric:METEOR-1.5|preset:nlgeval", items=120)
    write_json(RunFolder(folder).scores, {"scores": [meteor.model_dump()]})
    found = compare([measured(folder), measured(make_run("b"))])
    assert found.rows["METEOR-1.5"][0].value == 0.07
    write_json(RunFolder(folder).scores, {"scores": [{"name": "BLEU-2"}]})
    with pytest.raises(Failure, match="required key is missing"):
        measured(folder)


def test_bad_calls_are_refused(make_run: MakeRun) -> None:
    one = measured(make_run("a"))
    with pytest.raises(UsageError, match="nothing to compare"):
        compare([one])
    with pytest.raises(UsageError, match="unknown test 'bootstrp'") as error:
        compare([one, one], test="bootstrp")
    assert "did you mean 'bootstrap'" in str(error.value)
