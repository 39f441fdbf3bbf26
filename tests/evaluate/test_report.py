import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest

from hearten.cli import main
from hearten.core.jsonl import read_records, write_records
from hearten.core.records import Prediction
from hearten.core.runfolder import RunFolder
from hearten.evaluate.plots import smooth
from hearten.evaluate.report import chosen_replies, curves

MakeRun = Callable[..., Path]


class Page(HTMLParser):
    """What a page asks for, its ids, its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.asks: list[str] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name == "id" and value:
                self.ids.append(value)
            if name in ("src", "href", "xlink:href", "action", "srcset") and value:
                self.asks.append(value)

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def command(*args: str) -> int:
    with pytest.raises(SystemExit) as end:
        main(["evaluate", *args])
    return int(end.value.code or 0)


def page_of(run: Path, *more: str) -> tuple[Page, str]:
    assert command("report", str(run), "--resamples", "20", *more) == 0
    text = (run / "report.html").read_text(encoding="utf-8")
    return Page(text), text


def test_a_whole_run(make_run: MakeRun) -> None:
    page, text = page_of(make_run("good"))
    for words in (
        "Run good",
        "the whole test part",
        "macro-f1 (used)",
        "ppl-word",
        "BLEU-2",
        "Replies beside people's",
    ):
        assert words in page.text
    assert "strategy-fed:gold" in page.text  # signatures are on the page
    assert "signature of all: protocol:seed13-910|items:" in page.text
    assert "hearten train toy.toml" in page.text
    assert text.count("<svg role=") == 5  # two of progress, two of training, one confusion matrix
    assert "Missing from this page" not in page.text


def test_nothing_is_asked_from_outside(make_run: MakeRun) -> None:
    page, text = page_of(make_run("good"))
    assert all(asked.startswith(("#", "data:,")) for asked in page.asks)
    assert not re.search(r"url\((?!#)|@import|<link[^>]+stylesheet|<script[^>]+src", text)


def test_ids_are_unique_and_the_contents_lead_somewhere(make_run: MakeRun) -> None:
    page, _ = page_of(make_run("good"))
    assert len(page.ids) == len(set(page.ids))
    links = [asked[1:] for asked in page.asks if asked.startswith("#") and "-" not in asked]
    assert links
    assert set(links) <= set(page.ids)


def test_what_people_wrote_cannot_become_markup(make_run: MakeRun) -> None:
    run = make_run("good")
    place = RunFolder(run)
    bad = "<script>alert(1)</script> & <b>"
    lines = [
        one.model_copy(update={"hypothesis": bad}) for one in read_records(place.predictions, Prediction)
    ]
    write_records(place.predictions, lines)
    page, text = page_of(run)
    assert "<script>alert" not in text
    assert bad in page.text


@pytest.mark.parametrize(
    ("lacking", "told"),
    [
        ("predictions", "hearten evaluate predict makes them"),
        ("likelihoods", "the run has no likelihoods.jsonl"),
        ("metrics", "the run has no metrics.jsonl"),
    ],
)
def test_what_is_missing_is_said(make_run: MakeRun, lacking: str, told: str) -> None:
    page, _ = page_of(make_run("poor", **{lacking: False}))
    assert told in page.text


def test_a_run_with_nothing_at_all_still_has_a_page(make_run: MakeRun) -> None:
    page, _ = page_of(make_run("bare", predictions=False, likelihoods=False, metrics=False))
    assert "Nothing could be scored" in page.text


def test_a_part_of_the_test_part_is_called_that(make_run: MakeRun) -> None:
    page, _ = page_of(make_run("good"), "--limit", "30")
    assert "NOT the whole test part" in page.text


def test_the_same_run_gives_the_same_page(make_run: MakeRun) -> None:
    run = make_run("good")
    assert page_of(run)[1] == page_of(run)[1]


def test_a_bare_file_of_predictions(make_run: MakeRun, tmp_path: Path) -> None:
    run = make_run("good")
    assert (
        command(
            "report", str(run / "predictions.jsonl"), "--resamples", "20", "--out", str(tmp_path / "p.html")
        )
        == 0
    )
    assert "without a run folder" in Page((tmp_path / "p.html").read_text()).text


def test_a_comparison(make_run: MakeRun, tmp_path: Path) -> None:
    runs = [make_run("weak", right=0.2), make_run("strong", right=0.9), make_run("other", right=0.9, talks=6)]
    out = tmp_path / "compare.html"
    assert command("compare", *map(str, runs), "--resamples", "50", "--out", str(out)) == 0
    page = Page(out.read_text(encoding="utf-8"))
    assert "Not comparable with weak" in page.text
    assert "▲‡" in page.text
    assert "McNemar" in page.text
    assert len(page.ids) == len(set(page.ids))


def test_comparison_as_json(make_run: MakeRun, capsys: pytest.CaptureFixture[str]) -> None:
    runs = [str(make_run("weak", right=0.2)), str(make_run("strong", right=0.9))]
    assert command("compare", *runs, "--resamples", "50", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["scores"]["accuracy (used)"]["strong"]["better"] is True


def test_bad_sources_are_usage_errors(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command("report", str(tmp_path)) == 2
    assert "not a run folder" in capsys.readouterr().err
    assert command("strategies", str(tmp_path / "none.jsonl")) == 2
    (tmp_path / "broken.jsonl").write_text('{"conversation_id": "a"\n')
    assert command("strategies", str(tmp_path / "broken.jsonl")) == 1
    assert "broken.jsonl, line 1" in capsys.readouterr().err


def test_curves_pass_over_what_they_do_not_know(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    write_records(
        path,
        [{"step": 1, "loss": 2.0}, {"note": "resumed"}, {"step": 2, "valid_perplexity": 9.0}, {"step": 3}],
    )
    assert curves(path) == ({"total": [(1, 2.0)]}, [(2, 9.0)])


def test_smoothing_starts_at_the_first_value_and_keeps_a_constant() -> None:
    assert smooth([4.0, 4.0, 4.0]) == pytest.approx([4.0, 4.0, 4.0])
    assert smooth([1.0, 2.0], weight=0.5) == pytest.approx([1.0, (0.25 * 1 + 0.5 * 2) / 0.75])


def test_replies_shown_are_of_different_conversations(make_run: MakeRun) -> None:
    lines = list(read_records(RunFolder(make_run("good")).predictions, Prediction))
    shown = chosen_replies(lines, seed=1)
    assert len({one.conversation_id for one in shown}) == len(shown) == 12
