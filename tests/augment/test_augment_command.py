"""The commands, the report, the decisions of reviewers and the export, on a corpus grown from a script."""

import json

import pytest
import replies_made_up as made_up

from hearten.augment.asking import seed_of
from hearten.augment.decisions import standing
from hearten.augment.plan import Plan, load_plan, write_plan
from hearten.augment.planning import validate
from hearten.augment.prompting import prompt_text, strategy_list, whole_conversation
from hearten.augment.records import CorpusFolder, Grown, Review
from hearten.augment.report import figures
from hearten.cli import dispatch
from hearten.core.conversation import Conversation
from hearten.core.errors import Failure, UsageError
from hearten.core.jsonl import read_records, write_records
from hearten.core.places import seeds_file
from hearten.core.taxonomy import label_set

SEEDS = list(read_records(seeds_file(), Conversation))
SCENE = "Caregiver Support"


@pytest.fixture(scope="module")
def grown(tmp_path_factory):
    """Twelve conversations from a script, by the command."""
    folder = tmp_path_factory.mktemp("grown")
    plan = Plan(rounds=(12,), quotas={SCENE: 1.0}, surplus=2.0, prompt="extes", mode="conversation")
    names = [f"r1-{number:05d}.a{attempt}" for number in range(1, 25) for attempt in (1, 2, 3)]
    seeds = [seed_of(plan.seed, name) for name in names]
    prompt = f'of the type "{SCENE}"'
    rows = ({"seed": seed, "reply": made_up.respond(prompt, seed, SEEDS)} for seed in seeds)
    write_records(folder / "script.jsonl", rows)
    write_plan(plan, folder / "plan-file.toml")
    model = f"scripted:{folder / 'script.jsonl'}"
    out = folder / "corpus"
    assert (
        dispatch(
            ["augment", "run", str(folder / "plan-file.toml"), "--model", model, "--out", str(out), "--quiet"]
        )
        == 0
    )
    return out


def said(capsys, *args):
    assert dispatch(["augment", *map(str, args)]) == 0
    return capsys.readouterr().out


def test_the_prompt_has_all_sixteen_strategies_and_the_missing_number():
    assert "11. Reframe Negative Thoughts:" in strategy_list()
    assert [line.split(". ")[0] for line in strategy_list().splitlines()] == [str(n) for n in range(1, 17)]
    text = whole_conversation(Plan(), SCENE, SEEDS[:1])[0].content
    assert all(name in text for name in label_set("extes").names)
    assert SEEDS[0].turns[0].text[:20] in text
    assert text.count(f'"{SCENE}"') == 2
    assert (
        "$"
        not in text.replace(json.dumps(SEEDS[0].model_dump(mode="json")), "").split("Here is an example")[0]
    )


def test_a_prompt_file_must_have_its_blanks(tmp_path):
    own = tmp_path / "own.md"
    own.write_text("$strategies $examples $scene", encoding="utf-8")
    assert prompt_text(Plan(prompt=str(own)))
    own.write_text("$strategies $examples", encoding="utf-8")
    with pytest.raises(UsageError, match=r"no blank '\$scene'"):
        prompt_text(Plan(prompt=str(own)))
    own.write_text("$strategies $examples $scene $exmaple", encoding="utf-8")
    with pytest.raises(UsageError, match=r"unknown blank '\$exmaple'"):
        prompt_text(Plan(prompt=str(own)))


def test_init_writes_the_papers_plan_and_replaces_nothing(tmp_path, capsys):
    plan = tmp_path / "augment.toml"
    assert f"hearten augment validate {plan}" in said(capsys, "init", "--out", plan)
    assert load_plan(plan) == Plan()
    assert load_plan(plan).rounds == (1000, 10177)
    with pytest.raises(UsageError, match="exists"):
        dispatch(["augment", "init", "--out", str(plan)])


def test_validate_counts_requests_tokens_and_cost(tmp_path, capsys):
    plan = Plan(
        model="openai:x",
        prices={"prompt": 0.5, "completion": 1.5},
        limits={"requests_per_minute": 60, "cost": 1},
    )
    write_plan(plan, tmp_path / "p.toml")
    found = json.loads(said(capsys, "validate", tmp_path / "p.toml", "--json"))
    assert found["requests_at_least"] == found["conversations"] == 11177
    assert found["strategies_in_prompt"] == 16
    assert found["minutes_at_least"] == pytest.approx(186.3)
    tokens = found["tokens_a_conversation"]
    each = tokens["prompt"] * 0.5 + tokens["completion"] * 1.5
    assert found["cost_about"] == pytest.approx(11177 * each / 1e6, abs=0.01)
    assert found["quotas"][0]["Conflicts or Communication Problems"] == 100  # 99.17 and a large remainder
    assert any("the limit is 1.00" in line for line in found["warnings"])
    assert "Next: hearten augment preview" in said(capsys, "validate", tmp_path / "p.toml")


def test_validate_warns_of_a_model_that_cannot():
    assert any('mode = "turns"' in line for line in validate(Plan())["warnings"])
    turns = validate(Plan(mode="turns", rounds=(10,)))
    assert turns["requests_at_least"] == 10 * 21 - 3  # 1 + 19.7 turns each
    assert any("cannot hold all 36" in line for line in turns["warnings"])


def test_preview_shows_conversations_and_their_checks(grown, tmp_path, capsys):
    plan = load_plan(grown / "plan.toml")
    write_plan(plan, tmp_path / "p.toml")
    text = said(capsys, "preview", tmp_path / "p.toml", "--count", 2, "--prompt", "--quiet")
    assert text.count(SCENE) >= 2
    assert "--- user ---" in text
    assert "supporter (" in text
    rows = json.loads(said(capsys, "preview", tmp_path / "p.toml", "--count", 2, "--json", "--quiet"))
    assert len(rows) == 2
    assert {check["check"] for check in rows[0]["checks"]} >= {"format", "near-duplicate"}


def test_run_goes_on_with_the_folders_own_plan(grown, capsys):
    found = json.loads(said(capsys, "run", "--out", grown, "--json", "--quiet"))
    assert found["complete"]
    assert found["accepted"] == 12
    text = said(capsys, "run", "--out", grown, "--quiet")
    assert f"Next: hearten augment export {grown}" in text


def test_check_tells_what_was_rejected_and_why(grown, capsys):
    found = json.loads(said(capsys, "check", grown, "--json"))
    assert found["accepted"] == 12
    assert found["rejected"] == sum(1 for ok, _ in CorpusFolder(grown).grown() if not ok) > 0
    reasons = [example for row in found["checks"].values() for example in row["examples"]]
    assert all(example["reason"] for example in reasons)
    assert "12 pass" in said(capsys, "check", grown)


def test_check_judges_any_file_of_conversations(tmp_path, capsys):
    write_records(tmp_path / "c.jsonl", [*SEEDS[:4], SEEDS[2].model_copy(update={"id": "again"})])
    found = json.loads(said(capsys, "check", tmp_path / "c.jsonl", "--json", "--quiet"))
    assert (found["accepted"], found["rejected"]) == (4, 1)
    assert found["checks"]["near-duplicate"]["examples"] == [
        {"id": "again", "reason": "1.00 of its three-word runs are those of seed-003"}
    ]


# --- reviewers -------------------------------------------------------------------------------------------


def review(item, action, who="ana", after=None, **more):
    return Review(item=item, reviewer=who, time="t", action=action, after=after, **more)


def changed(conversation, text="Changed by a person."):
    first = conversation.turns[0].model_copy(update={"text": text})
    return conversation.model_copy(update={"turns": (first, *conversation.turns[1:])})


SETTLED = review("a", "discard", "cleo", adjudication=True)


@pytest.mark.parametrize(
    ("trail", "state"),
    [
        ([review("a", "accept")], "accepted"),
        ([review("a", "discard")], "discarded"),
        ([review("a", "discard"), review("a", "undo")], None),
        ([review("a", "accept"), review("a", "discard"), review("a", "undo")], "accepted"),
        ([review("a", "accept"), review("a", "discard", "ben")], "disputed"),
        ([review("a", "accept"), review("a", "discard", "ben"), review("a", "undo", "ben")], "accepted"),
        (
            [
                review("a", "accept"),
                review("a", "discard", "ben"),
                review("a", "discard", "cleo", adjudication=True),
            ],
            "discarded",
        ),
        ([review("a", "edit", after=SEEDS[0]), review("a", "accept", "ben")], "edited"),
        ([review("a", "edit", after=SEEDS[0]), review("a", "edit", "ben", after=SEEDS[1])], "disputed"),
        ([review("a", "undo")], None),
    ],
)
def test_decisions_add_up(trail, state):
    found = standing(trail).get("a")
    assert (found.state if found else None) == state


def test_export_applies_decisions_and_tells_all_in_its_card(grown, tmp_path, capsys):
    rows = {one.id: (ok, one) for ok, one in CorpusFolder(grown).grown()}
    taken = [name for name, (ok, _) in rows.items() if ok]
    saved = next(name for name, (ok, one) in rows.items() if not ok and one.conversation)
    edited = changed(rows[taken[1]][1].conversation)
    trail = [
        review(taken[0], "discard"),
        review(taken[1], "edit", after=edited),
        review(taken[2], "accept"),
        review(taken[2], "discard", "ben"),
        review(saved, "accept"),
    ]
    write_records(grown / "reviews.jsonl", trail)
    try:
        found = json.loads(
            said(capsys, "export", grown, "--out", tmp_path / "e", "--licence", "CC0-1.0", "--json")
        )
        only = json.loads(said(capsys, "export", grown, "--out", tmp_path / "r", "--reviewed-only", "--json"))
    finally:
        (grown / "reviews.jsonl").unlink()
    talks = {one.id: one for one in read_records(tmp_path / "e" / "conversations.jsonl", Conversation)}
    assert found["conversations"] == len(talks) == 12 - 2 + 1
    assert talks[edited.id].turns[0].text == "Changed by a person."
    assert f"grown-{taken[0]}" not in talks
    assert f"grown-{taken[2]}" not in talks, "disputed conversations wait for somebody to settle them"
    assert f"grown-{saved}" in talks
    assert only["conversations"] == 2
    assert len(list(read_records(tmp_path / "e" / "reviews.jsonl", Review))) == 5
    lines = [json.loads(line) for line in (tmp_path / "e" / "provenance.jsonl").read_text().splitlines()]
    assert [line["id"] for line in lines] == list(talks)
    card = (tmp_path / "e" / "card.md").read_text()
    for part in (
        "Synthetic",
        "CC0-1.0",
        "1 edited, 1 discarded, 1 disputed",
        "| Caregiver Support | 11 |",
        "scripted:",
    ):
        assert part in card


def test_nothing_to_export_is_said(grown, tmp_path):
    with pytest.raises(Failure, match="no conversation is left"):
        dispatch(["augment", "export", str(grown), "--out", str(tmp_path), "--reviewed-only"])
    with pytest.raises(UsageError, match="not a grown corpus"):
        dispatch(["augment", "export", str(tmp_path)])


def test_figures_by_hand():
    turns = [
        {"speaker": "seeker", "text": "It is over."},
        {"speaker": "supporter", "text": "Since when is it over?", "strategy": "Clarification"},
    ]
    talk = Conversation.model_validate({"id": "a", "label_set": "extes", "turns": turns})
    found = figures([talk, talk])
    assert found["words an utterance"] == 4  # 3 and 5 words
    assert found["words a supporter turn"] == 5
    assert found["supporter turns with a question"] == 1
    assert found["share of the commonest strategy"] == 1
    assert found["share of the commonest four-word opening"] == 1
    # it-is, is-over, since-when, when-is, is-it, it-over: 6 different among 12
    assert found["different two-word runs"] == 0.5


def test_a_grown_record_knows_its_failed_and_its_noted_checks(grown):
    row = next(one for ok, one in CorpusFolder(grown).grown() if not ok)
    assert isinstance(row, Grown)
    assert row.failed
    assert all(not check.passed for check in row.failed)
    assert all(check.passed and check.reason for check in row.noted)
