import math

import pytest

from hearten.core.errors import Failure
from hearten.core.records import LikelihoodRow
from hearten.evaluate.origin import Origin
from hearten.evaluate.perplexity import report


def row(index: int, nll: float, tokens: int, words: int, **more: object) -> LikelihoodRow:
    values = {"conversation_id": "a", "strategy_fed": "gold", "tokenizer": "toy", **more}
    return LikelihoodRow(index=index, nll=nll, tokens=tokens, words=words, **values)  # type: ignore[arg-type]


def scores(*rows: LikelihoodRow) -> dict[str, float | None]:
    found = report(Origin("test", (), rows), resamples=20)
    assert found is not None
    return {score.name: score.value for score in found.scores}


def test_three_perplexities_by_hand() -> None:
    found = scores(
        row(1, nll=math.log(2) * 2, tokens=2, words=1), row(3, nll=math.log(8) * 4, tokens=4, words=2)
    )
    assert found == {
        "ppl-token": pytest.approx(2 ** (14 / 6)),  # (2·1 + 4·3) bits over 6 tokens
        "ppl-word": pytest.approx(2 ** (14 / 3)),
        "ppl-utterance": pytest.approx((2 + 8) / 2),
    }


def test_with_the_strategy_token_one_more_is_counted() -> None:
    found = scores(row(1, nll=math.log(4), tokens=1, words=1, strategy_nll=math.log(16)))
    assert found["ppl-token"] == pytest.approx(4)
    assert found["ppl-token-with-strategy"] == pytest.approx(8)  # (2 + 4) bits over 2 tokens
    assert found["ppl-word-with-strategy"] == pytest.approx(64)


def test_a_uniform_model_has_its_vocabulary_as_perplexity() -> None:
    found = scores(*(row(i, nll=math.log(50) * (i + 1), tokens=i + 1, words=i + 1) for i in range(5)))
    assert all(value == pytest.approx(50) for value in found.values())


def test_signature_names_what_makes_a_perplexity() -> None:
    found = report(Origin("test", (), (row(1, 1.0, 2, 2),)), resamples=20)
    assert found is not None
    by_name = {score.name: score.signature for score in found.scores}
    for part in (
        "tokenizer:toy",
        "end-token:counted",
        "strategy-token:not-counted",
        "strategy-fed:gold",
        "mode:eval",
    ):
        assert part in by_name["ppl-token"]
    assert "tokenizer" not in by_name["ppl-word"]


def test_mixed_rows_are_refused_and_none_is_none() -> None:
    with pytest.raises(Failure, match="more than one tokenizer: other, toy"):
        scores(row(1, 1.0, 1, 1), row(3, 1.0, 1, 1, tokenizer="other"))
    with pytest.raises(Failure, match="more than one strategy fed"):
        scores(row(1, 1.0, 1, 1), row(3, 1.0, 1, 1, strategy_fed="none"))
    assert report(Origin("test", ())) is None
