import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hearten.cli import main
from hearten.core.errors import Failure, UsageError
from hearten.evaluate import thresholds
from hearten.evaluate.agreement import muffin_vote, study
from hearten.evaluate.coefficients import cohen, fleiss, krippendorff, mean_cohen, observed, words
from hearten.evaluate.ratings import parse_scale, read_answers

N = np.nan
KRIPPENDORFF_2011 = np.array(
    [  # Krippendorff 2011, "Computing Krippendorff's Alpha-Reliability", part D: 4 observers, 12 units
        [1, 2, 3, 3, 2, 1, 4, 1, 2, N, N, N],
        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, N, 3],
        [N, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, N],
        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, N],
    ]
)


@pytest.mark.parametrize(
    ("level", "expected"),
    [("nominal", 0.743), ("ordinal", 0.815), ("interval", 0.849)],  # the values he prints
)
def test_alpha_of_krippendorffs_example(level: str, expected: float) -> None:
    assert krippendorff(KRIPPENDORFF_2011, level) == pytest.approx(expected, abs=5e-4)  # type: ignore[arg-type]


def test_alpha_of_two_raters_by_hand() -> None:
    # units (1,1) (1,2) (2,2) (2,2): coincidences o11=2, o12=o21=1, o22=4; n = 8, n1 = 3, n2 = 5
    # alpha = 1 − 7 · 2 / (2 · 3 · 5)
    assert krippendorff(np.array([[1.0, 1, 2, 2], [1, 2, 2, 2]])) == pytest.approx(1 - 7 * 2 / 30)


def test_cohen_by_hand() -> None:
    # 20 both yes, 5 and 10 apart, 15 both no: observed .7, expected .5 · .6 + .5 · .4 = .5
    first = np.repeat([1.0, 1, 0, 0], [20, 5, 10, 15])
    second = np.repeat([1.0, 0, 1, 0], [20, 5, 10, 15])
    assert cohen(first, second) == pytest.approx(0.4)
    assert cohen(first, np.full(50, N)) is None


def test_fleiss_of_the_published_example() -> None:
    # Fleiss's procedure on the table of 10 subjects, 14 raters and 5 categories that textbooks print: .210
    counts = [
        *([0, 0, 0, 0, 14], [0, 2, 6, 4, 2], [0, 0, 3, 5, 6], [0, 3, 9, 2, 0], [2, 2, 8, 1, 1]),
        *([7, 7, 0, 0, 0], [3, 2, 6, 3, 0], [2, 5, 3, 2, 2], [6, 5, 2, 1, 0], [0, 2, 2, 3, 7]),
    ]
    data = np.array([np.repeat(np.arange(5), row) for row in counts], dtype=float).T
    kappa, used = fleiss(data)
    assert kappa == pytest.approx(0.210, abs=5e-4)
    assert used == 10
    assert observed(data) == pytest.approx(0.378, abs=5e-4)


def test_fleiss_uses_the_commonest_number_of_answers() -> None:
    data = np.array([[1, 0, 1, 0], [1, 0, 0, N]], dtype=float)
    assert fleiss(data)[1] == 3
    assert fleiss(np.array([[1.0, N], [N, 2.0]])) == (None, 0)


def test_one_answer_everywhere_is_undefined() -> None:
    same = np.ones((3, 4))
    assert krippendorff(same) is None
    assert fleiss(same)[0] is None
    assert mean_cohen(same) is None
    assert words(None) == "undefined"


@pytest.mark.parametrize(
    ("kappa", "word"), [(0.39, "fair"), (0.51, "moderate"), (-0.1, "poor"), (0.9, "almost perfect")]
)
def test_words_as_the_papers_use_them(kappa: float, word: str) -> None:
    assert words(kappa) == word


tables = st.lists(st.lists(st.integers(0, 3), min_size=6, max_size=6), min_size=2, max_size=4)


@settings(deadline=None, max_examples=40)
@given(tables)
def test_coefficients_are_at_most_one_and_ignore_rater_order(rows: list[list[int]]) -> None:
    data = np.array(rows, dtype=float)
    for level in ("nominal", "ordinal", "interval"):
        alpha = krippendorff(data, level)
        assert alpha is None or alpha <= 1
        turned = krippendorff(data[::-1], level)
        assert (alpha is None and turned is None) or alpha == pytest.approx(turned)
    assert (fleiss(data)[0] or 0) <= 1


@settings(deadline=None, max_examples=40)
@given(st.lists(st.integers(0, 3), min_size=2, max_size=10).filter(lambda row: len(set(row)) > 1))
def test_identical_raters_agree_perfectly(row: list[int]) -> None:
    data = np.array([row, row, row], dtype=float)
    assert krippendorff(data, "ordinal") == pytest.approx(1)
    assert fleiss(data)[0] == pytest.approx(1)
    assert mean_cohen(data) == pytest.approx(1)


@pytest.mark.parametrize(
    ("votes", "expected"),
    [
        ("win win tie tie", "win"),  # Muffin, appendix B.4: two for A and two ties is A
        ("win win lose lose", "tie"),  # and as many for both is a tie
        ("win tie lose tie", "tie"),
        ("lose lose lose win", "lose"),
        ("win win lose tie", "win"),
        ("win tie tie tie", "tie"),  # not in the paper; our reading
    ],
)
def test_muffins_rule(votes: str, expected: str) -> None:
    assert muffin_vote(votes.split()) == expected


def write(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_bad_rows_are_named_by_number(tmp_path: Path) -> None:
    path = write(
        tmp_path / "a.csv",
        "item,rater,question,value",
        "1,ann,warmth,4",
        "2,ann,warmth,nine",
        "3,ann,warmth,7",
    )
    with pytest.raises(
        Failure, match=r"2 bad ratings: row 3: 'nine' is not a number; row 4: 7 is not between 1 and 5"
    ):
        read_answers(path, "likert", scale=(1, 5))
    found = read_answers(path, "likert", scale=(1, 5), skip_bad=True)
    assert [bad.row for bad in found.bad] == [3, 4]
    assert len(found.answers) == 1


def test_a_second_answer_and_an_empty_cell_are_bad(tmp_path: Path) -> None:
    path = write(
        tmp_path / "a.jsonl", '{"item":"1","rater":"a","value":"A"}', '{"item":"1","rater":"a","value":"B"}'
    )
    with pytest.raises(Failure, match="row 2: rater 'a' answered this already"):
        read_answers(path, "votes")
    empty = write(tmp_path / "b.csv", "item,rater,value", "1,,A")
    with pytest.raises(Failure, match="row 2: 'rater' is empty"):
        read_answers(empty, "votes")


def test_a_missing_column_or_file_or_kind_is_said(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "item,who,value", "1,a,2")
    with pytest.raises(Failure, match="no column 'rater'"):
        read_answers(path, "likert")
    with pytest.raises(UsageError, match="unknown kind 'likrt'"):
        read_answers(path, "likrt")
    with pytest.raises(UsageError, match="no such file"):
        read_answers(tmp_path / "none.csv", "likert")
    for scale in ("5", "5-1", "a-b"):
        with pytest.raises(UsageError, match="is not a scale"):
            parse_scale(scale)


def test_win_tie_lose_with_the_sign_test(tmp_path: Path) -> None:
    values = ["win"] * 71 + ["lose"] * 24 + ["tie"] * 5  # Liu et al. 2021, Table 5, Fluency against w/o ft
    path = write(
        tmp_path / "a.csv",
        "item,rater,question,value",
        *(f"{i},r{i},Fluency,{v}" for i, v in enumerate(values)),
    )
    found = study(read_answers(path, "winlose"), "winlose", resamples=20)
    shares = {score.name: score.value for score in found.scores}
    assert shares == {"Fluency/win": 0.71, "Fluency/tie": 0.05, "Fluency/lose": 0.24}
    assert found.tables[0].rows == (("Fluency", "71.0", "5.0", "24.0", "100", "<.001‡"),)


def test_votes_are_joined_and_averaged(tmp_path: Path) -> None:
    lines = [
        f"{item},r{r},better,{v}"
        for item, votes in enumerate(["AATT", "AABB", "BBBT"])
        for r, v in enumerate(votes)
    ]
    path = write(
        tmp_path / "a.csv", "item,rater,question,value", *(line.replace(",T", ",tie") for line in lines)
    )
    found = study(read_answers(path, "votes"), "votes", resamples=20)
    shares = {score.name: score.value for score in found.scores}
    assert shares["better/win"] == shares["better/tie"] == shares["better/lose"] == pytest.approx(1 / 3)
    assert shares["better/win (votes)"] == pytest.approx(4 / 12)
    assert shares["better/lose (votes)"] == pytest.approx(5 / 12)
    assert "better/kappa-fleiss" in shares


def test_likert_means_by_system(tmp_path: Path) -> None:
    rows = [
        (1, "x", "ann", 2),
        (1, "x", "bob", 3),
        (2, "x", "ann", 3),
        (2, "x", "bob", 3),
        (1, "y", "ann", 1),
        (1, "y", "bob", 1),
    ]
    path = write(
        tmp_path / "a.csv",
        "item,system,rater,question,value",
        *(f"{i},{s},{r},help,{v}" for i, s, r, v in rows),
    )
    found = study(read_answers(path, "likert", scale=(0, 3)), "likert", resamples=20)
    means = {score.name: score.value for score in found.scores if score.name.startswith("mean")}
    assert means == {"mean help (x)": pytest.approx(11 / 4), "mean help (y)": 1.0}


def judged(values: list[list[float]], *humans: list[int]) -> thresholds.Judged:
    names = {f"human{i}": np.array(row, dtype=float) for i, row in enumerate(humans, 1)}
    return thresholds.Judged(np.array(values, dtype=float), names)


def test_the_rule_needs_three_of_four_and_both() -> None:
    rule = (1, 8, 3, 4, None, 6)  # the rule ESConv uses
    values = np.array(
        [
            [1, 8, 3, 4, 0, 6],
            [0, 8, 3, 4, 0, 6],  # no improvement, the other three met
            [0, 7, 3, 4, 0, 6],  # two of four only
            [3, 20, 5, 5, 5, 5.9],  # the seeker wrote too little
        ]
    )
    assert thresholds.passes(values, rule).tolist() == [True, True, False, False]


def test_second_highest_of_the_kappas_in_esconv_table_7() -> None:
    printed = [  # thresholds and the three kappas, as printed
        ((1, 8, 3, 4, None, 6), (0.545, 0.659, 0.525)),
        ((2, 8, 3, 4, None, 6), (0.505, 0.566, 0.486)),
        ((1, 8, 4, 4, None, 6), (0.539, 0.602, 0.519)),
        ((1, 8, 2, 4, None, 6), (0.539, 0.618, 0.570)),
        ((1, 8, 3, 3, None, 6), (0.546, 0.630, 0.526)),
        ((1, 8, 3, 5, None, 6), (0.575, 0.640, 0.555)),
    ]
    rules = [thresholds.Rule(limits, kappas, float(np.mean(kappas)), kept=50) for limits, kappas in printed]
    assert thresholds.second_highest(rules).thresholds == (1, 8, 3, 4, None, 6)


def test_search_finds_the_rule_behind_the_judgements() -> None:
    draw = np.random.default_rng(4)
    values = np.column_stack(
        [
            draw.integers(0, 5, (200, 1)),
            draw.integers(4, 14, (200, 1)),
            draw.integers(1, 6, (200, 3)),
            draw.integers(3, 12, (200, 1)),
        ]
    )
    hidden = (1, 8, 3, 4, None, 6)
    humans = thresholds.passes(values.astype(float), hidden).astype(int).tolist()
    found = thresholds.search(judged(values.tolist(), humans, humans))
    assert found.rules[0].thresholds == hidden
    assert found.rules[0].mean == 1.0
    assert found.chosen.mean < 1.0


def test_threshold_file_errors_name_the_row(tmp_path: Path) -> None:
    heading = ",".join([*thresholds.CRITERIA, "human1"])
    with pytest.raises(Failure, match="'empathy' is not a number") as error:
        thresholds.read_judged(write(tmp_path / "a.csv", heading, "1,8,high,4,3,6,yes"))
    assert "row 2" in str(error.value)
    with pytest.raises(Failure, match="'perhaps' is not a verdict"):
        thresholds.read_judged(write(tmp_path / "b.csv", heading, "1,8,3,4,3,6,perhaps"))
    with pytest.raises(Failure, match="no column begins with 'human'"):
        thresholds.read_judged(write(tmp_path / "c.csv", ",".join(thresholds.CRITERIA), "1,8,3,4,3,6"))


def test_on_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "a.csv", "item,rater,value", "1,a,A", "1,b,A", "2,a,tie", "2,b,B")
    with pytest.raises(SystemExit) as end:
        main(["evaluate", "agreement", str(path), "--kind", "votes", "--json"])
    assert end.value.code == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["items"], found["raters"]) == (2, 2)
    assert all("hearten:" in score["signature"] for score in found["scores"])
