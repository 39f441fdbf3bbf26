"""Several people decide about one corpus: queue, conflicts, undo, settling, agreement; and they rate."""

import json
import threading

import pytest
from grown_corpora import grown_corpus, talk

from hearten.augment.decisions import standing
from hearten.augment.export import export
from hearten.augment.quality import PAPER, Panel, load_quality
from hearten.augment.records import CorpusFolder
from hearten.augment.reviewing import Decided, Desk, Wish, agreement, changes, edited
from hearten.core.conversation import Conversation
from hearten.core.errors import Failure, UsageError
from hearten.core.jsonl import read_records, write_records


def decide(desk, name, who, action="accept", after=None, **options):
    seen = options.pop("seen", len(desk.trail.of(name)))
    return desk.decide(desk.items()[name], who, action, after, seen=seen, **options)


def test_the_queue_goes_through_the_corpus_and_keeps_two_people_apart(tmp_path):
    desk = Desk(grown_corpus(tmp_path, accepted=3, rejected=1))
    assert len(desk.items()) == 4, "what could not be read as a conversation is not in the queue"
    ada = desk.next_for("ada", Wish()).grown.id
    ben = desk.next_for("ben", Wish()).grown.id
    assert (ada, ben) == ("g0", "g1")
    assert desk.next_for("ada", Wish()).grown.id == "g0", "it is held for her, not from her"
    decide(desk, "g0", "ada")
    desk.put_off("ada", "g2")
    assert desk.next_for("ada", Wish(pile="accepted")).grown.id == "g2", "put off, but nothing else is free"
    assert desk.next_for("ada", Wish(pile="rejected")).grown.id == "b0"
    assert desk.next_for("ada", Wish(check="length")).grown.id == "b0"
    assert desk.next_for("ada", Wish(scenario="nowhere")) is None
    assert desk.left_for("ada", Wish()) == 3


def test_two_people_decide_independently_and_a_leader_settles(tmp_path):
    desk = Desk(grown_corpus(tmp_path, accepted=2), wanted=2)
    changed = edited(
        desk.items()["g0"].conversation, *words(desk.items()["g0"].conversation, 1, "Better said.")
    )
    decide(desk, "g0", "ada", "edit", changed)
    assert desk.next_for("ben", Wish()).grown.id == "g0", "what one person began comes first"
    assert desk.may_see("g0", "ben", settling=False) == ()
    decide(desk, "g0", "ben", "discard", note="too smooth")
    assert [item.grown.id for item in desk.disputed()] == ["g0"]
    assert [r.reviewer for r in desk.may_see("g0", "lea", settling=True)] == ["ada", "ben"]
    decide(desk, "g0", "lea", "edit", changed, settling=True)
    state = desk.standing("g0")
    assert (state.state, state.conversation.turns[1].text) == ("edited", "Better said.")
    progress = desk.progress()
    assert (progress.untouched, progress.pairs, progress.agreed) == (1, 1, 0.0)
    assert desk.next_for("mia", Wish()).grown.id == "g1", "what is settled is not asked again"


def test_a_decision_made_on_an_old_page_is_refused(tmp_path):
    folder = grown_corpus(tmp_path, accepted=1)
    here, there = Desk(folder), Desk(folder)  # two server processes
    decide(here, "g0", "ada")
    with pytest.raises(Decided, match="somebody has decided"):
        decide(there, "g0", "ben", "discard", seen=0)
    with pytest.raises(Decided, match="another window"):
        decide(there, "g0", "ada", "discard", seen=0)
    assert there.standing("g0").state == "accepted"
    decide(there, "g0", "ada", "discard")  # with the new page it may be changed
    assert here.standing("g0").state == "discarded"


def test_undo_takes_back_ones_own_last_decision_one_after_the_other(tmp_path):
    desk = Desk(grown_corpus(tmp_path, accepted=2))
    decide(desk, "g0", "ada")
    decide(desk, "g1", "ada", "discard")
    assert desk.undo("ben") is None
    assert [desk.undo("ada"), desk.undo("ada"), desk.undo("ada")] == ["g1", "g0", None]
    assert desk.standing("g0") is None
    assert [line.action for line in desk.trail.all()] == ["accept", "discard", "undo", "undo"]
    assert standing(read_records(desk.folder.reviews, type(desk.trail.all()[0]))) == {}


def test_many_threads_lose_no_line_and_a_torn_one_is_cut(tmp_path):
    folder = grown_corpus(tmp_path, accepted=24)
    desks = [Desk(folder), Desk(folder)]
    reviews = folder / "reviews.jsonl"

    def work(desk, names):
        for name in names:
            decide(desk, name, f"p{id(desk)}")

    parts = [
        threading.Thread(target=work, args=(desks[n % 2], [f"g{k}" for k in range(n, 24, 4)]))
        for n in range(4)
    ]
    for part in parts:
        part.start()
    for part in parts:
        part.join()
    with reviews.open("a") as stream:
        stream.write('{"item": "g0", "revie')  # what a killed process leaves
    late = Desk(folder)
    assert len(late.trail.all()) == 24
    late.undo(f"p{id(desks[0])}")
    assert len([json.loads(line) for line in reviews.read_text().splitlines()]) == 25


def words(conversation, place=None, text=""):
    texts = [turn.text for turn in conversation.turns]
    if place is not None:
        texts[place] = text
    labels = [str(turn.strategy or "") for turn in conversation.turns]
    return texts, labels, conversation.profile.situation or ""


def test_an_edit_changes_words_and_labels_and_takes_emptied_turns_out():
    before = talk("x", 0)
    texts, labels, situation = words(before)
    assert changes(before, edited(before, texts, labels, situation)) == []
    texts[1], labels[3], texts[5] = "Shorter.", "Affirmation", " \n"
    after = edited(before, texts, labels, "  ")
    assert [turn.text for turn in after.turns][1] == "Shorter."
    assert len(after.turns) == len(before.turns) - 1
    assert after.profile.situation is None
    with pytest.raises(Failure, match="nothing is left"):
        edited(before, [""] * len(texts), labels, "")
    with pytest.raises(Failure, match="does not fit"):
        edited(before, texts[1:], labels, "")
    with pytest.raises(Failure, match="Afirmation"):
        edited(before, texts, ["", "Afirmation", *labels[2:]], "")


def test_the_corpus_that_is_exported_is_what_was_decided(tmp_path):
    desk = Desk(grown_corpus(tmp_path, accepted=3, rejected=1))
    original = desk.items()["g1"].conversation
    decide(desk, "g0", "ada", "discard")
    decide(desk, "g1", "ada", "edit", edited(original, *words(original, 1, "In other words.")))
    decide(desk, "b0", "ada")  # the checks held it back, a person lets it through
    counts = export(desk.folder, tmp_path / "out", licence="none")
    found = {c.id: c for c in read_records(tmp_path / "out" / "conversations.jsonl", Conversation)}
    assert len(found) == counts["conversations"] == 3
    assert found[original.id].turns[1].text == "In other words."
    trail = (tmp_path / "out" / "reviews.jsonl").read_text().splitlines()
    assert [json.loads(line)["action"] for line in trail] == ["discard", "edit", "accept"]


def test_fleiss_kappa_by_hand():
    # two raters, four items: agree yes, agree yes, agree no, differ.
    # P = 3/4; shares: yes 5/8, no 3/8; chance = 25/64 + 9/64 = 34/64; kappa = (48-34)/(64-34) = 14/30
    assert agreement([[1, 1], [1, 1], [0, 0], [1, 0]]) == pytest.approx(14 / 30)
    assert agreement([[1, 1], [1, 1]]) is None
    assert agreement([]) is None


@pytest.fixture
def quality(tmp_path):
    write_records(tmp_path / "a.jsonl", [talk(f"a{n}", n) for n in range(5)])
    write_records(tmp_path / "b.jsonl", [talk(f"b{n}", n) for n in range(5)])
    file = tmp_path / "quality.toml"
    file.write_text('[corpora]\nours = "a.jsonl"\ntheirs = "b.jsonl"\n[draw]\nours = 3\ntheirs = 2\n')
    return file


def test_ratings_are_drawn_blind_and_the_rarest_rated_come_first(quality, tmp_path):
    panel = Panel(load_quality(quality))
    assert sorted(d.corpus for d in panel.drawn.values()) == ["ours"] * 3 + ["theirs"] * 2
    again = Panel(load_quality(quality))
    assert panel.drawn == again.drawn, "the draw depends on the seed alone"
    assert not any(d.corpus in name for name, d in panel.drawn.items())
    first, left = panel.next_for("ada")
    assert left == 5
    names = [question.name for question in panel.study.questions]
    panel.rate(first.item, "ada", dict.fromkeys(names, 3), "t")
    assert panel.next_for("ben")[0].item == first.item, "what one person began comes first"
    with pytest.raises(Failure, match="already"):
        panel.rate(first.item, "ada", dict.fromkeys(names, 3), "t")
    with pytest.raises(Failure, match="missing"):
        panel.rate(first.item, "ben", {"coherence": 1}, "t")
    with pytest.raises(Failure, match="off the scale"):
        panel.rate(first.item, "ben", dict.fromkeys(names, 4), "t")
    assert len(panel.given()) == 5


def test_results_side_by_side_with_agreement(quality):
    panel = Panel(load_quality(quality))
    names = [question.name for question in panel.study.questions]
    for drawn in panel.drawn.values():
        high = 3 if drawn.corpus == "ours" else 1
        for who in ("ada", "ben"):
            panel.rate(drawn.item, who, dict.fromkeys(names, high), "t")
    row = panel.results()[0]
    assert row.means == {"ours": 3.0, "theirs": 1.0}
    assert row.kappa == pytest.approx(1.0)
    assert row.paper == PAPER["informativeness"]
    assert panel.rated() == {2: 5}
    assert panel.next_for("mia") == (None, 0)


def test_the_ratings_are_what_evaluate_reads(quality, tmp_path, capsys):
    from hearten.cli import dispatch

    panel = Panel(load_quality(quality))
    names = [question.name for question in panel.study.questions]
    for number, drawn in enumerate(panel.drawn.values()):
        for who in ("ada", "ben"):
            panel.rate(drawn.item, who, dict.fromkeys(names, number % 4), "t")
    assert dispatch(["evaluate", "agreement", str(panel.study.out), "--kind", "likert"]) == 0
    assert "informativeness" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[corpora]\nours = "nowhere.jsonl"\n', "is not there"),
        ('[corpora]\nours = "a.jsonl"\n[draw]\nour = 3\n', "'draw' names no corpus"),
        ('name = "A B"\n[corpora]\nours = "a.jsonl"\n', "quality.toml"),
    ],
)
def test_a_wrong_quality_file_is_refused(quality, text, said):
    quality.write_text(text)
    with pytest.raises(UsageError) as refused:
        load_quality(quality)
    assert said in "\n".join(refused.value.lines())


def test_the_seeds_can_be_named_in_a_word(tmp_path):
    file = tmp_path / "q.toml"
    file.write_text('[corpora]\nseeds = "seeds"\n')
    assert len(Panel(load_quality(file)).drawn) == 87


def test_a_folder_that_is_no_corpus_is_refused(tmp_path):
    with pytest.raises(UsageError, match="not a grown corpus"):
        CorpusFolder.open(tmp_path)
