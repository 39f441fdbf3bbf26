"""Facet data: labels by the published rules, every kind of bad input, splits that share no conversation."""

from collections import Counter

import pytest

from hearten.align.facets import FacetsConfig, Sources, balanced, build, parts_of, read_part, write
from hearten.align.incoherent import Editor, swapped
from hearten.align.records import FacetItem
from hearten.align.sources import ADHERENT, NON_ADHERENT, asked_for, epitome, mi_gold, skill_of
from hearten.core.errors import Failure, UsageError
from hearten.core.jsonl import write_records
from hearten.core.rater import facet, facets
from hearten.core.taxonomy import labels


def test_empathy_is_the_strongest_of_three(epitome_folder):
    skipped = Counter()
    items = {item.id: item for item in epitome(epitome_folder, skipped)}
    assert len(items) == 40
    assert items["epitome-s1-r2"].label == "Strong Empathy", "2 in one file, 0 in the others"
    assert items["epitome-s2-r4"].label == "Weak Empathy"
    assert items["epitome-s0-r0"].label == "No Empathy"
    assert items["epitome-s0-r1"].label == "Strong Empathy", "of a repeated pair the higher level"
    assert skipped == {"empathy: pair repeated, higher level kept": 1}


@pytest.mark.parametrize(
    ("post", "reply", "expected"),
    [
        ("I cannot sleep. Any suggestions?", "You could try reading first.", True),
        ("I don't know what to do", "Have you tried talking to her?", True),
        ("I don't know what to do", "That sounds hard.", False),
        ("I had a bad day.", "You should rest.", False),
        ("How do I make this stop, I want to die", "You could try pills.", False),
    ],
)
def test_information_that_was_asked_for_is_not_empty(post, reply, expected):
    assert asked_for(post, reply) is expected


def test_every_code_has_its_skill_class():
    # Muffin, Figure 7, and the MITI groups: codes 5-8 adherent, 9-12 not, all others Other
    names = labels("miti").names
    assert {names.index(code) for code in ADHERENT} == {5, 6, 7, 8}
    assert {names.index(code) for code in NON_ADHERENT} == {9, 10, 11, 12}
    found = Counter(skill_of(code, where="") for code in names)
    assert found == {"MI Adherent": 4, "MI Non-Adherent": 4, "Other": 7}


def test_an_unknown_label_is_named(epitome_folder, mi_file):
    text = mi_file.read_text(encoding="utf-8")
    mi_file.write_text(text.replace("Affirm", "Afirm", 1), encoding="utf-8")
    with pytest.raises(Failure, match="unknown motivational-interviewing code 'Afirm'") as error:
        mi_gold(mi_file, Counter())
    assert "line 6" in error.value.where
    assert "did you mean 'Affirm'" in error.value.fix
    path = epitome_folder / "explorations-reddit.csv"
    path.write_text(path.read_text(encoding="utf-8").replace(",0,", ",3,", 1), encoding="utf-8")
    with pytest.raises(Failure, match="unknown empathy level '3'"):
        epitome(epitome_folder, Counter())


def test_a_file_without_its_column_is_named(mi_file):
    mi_file.write_text("Text,Ground trut\na,b\n", encoding="utf-8")
    with pytest.raises(Failure, match="no column 'Ground truth'") as error:
        mi_gold(mi_file, Counter())
    assert "did you mean 'Ground trut'" in error.value.fix


def test_parts_share_no_group_and_no_reply(epitome_folder, mi_file, supporter_turns):
    built = build(Sources(epitome_folder, mi_file, None, supporter_turns), FacetsConfig(pairs=30))
    groups = {part: {item.group for item in items} for part, items in built.parts.items()}
    assert not groups["train"] & (groups["valid"] | groups["test"])
    assert not groups["valid"] & groups["test"]
    seen = Counter((i.facet, i.context, i.reply) for items in built.parts.values() for i in items)
    assert set(seen.values()) == {1}
    for items in built.parts.values():
        assert all(item.label in facet(item.facet).classes for item in items)
    assert set(built.counts()["train"]) == set(facets())


def test_weak_labels_only_train():
    item = FacetItem(id="a", facet="skill", context=(), reply="x", label="Other", source="mi", group="g")
    strong = [
        item.model_copy(update={"id": f"{k}", "reply": f"x{k}", "label": "MI Adherent"}) for k in range(4)
    ]
    weak = [item.model_copy(update={"id": f"w{k}", "weak": True}) for k in range(20)]
    human = [item.model_copy(update={"id": f"h{k}"}) for k in range(3)]
    skipped = Counter()
    kept = balanced([*strong, *weak, *human], 2.0, 13, skipped)
    others = [one for one in kept if one.label == "Other"]
    assert len(others) == 8, "at most twice the four of the smallest class"
    assert sum(not one.weak for one in others) == 3, "people's labels first"
    assert skipped == {"skill: more of 'Other' than the balance allows": 15}


def test_one_reply_with_two_labels_is_left_out(tmp_path):
    from hearten.align.facets import _clean

    item = FacetItem(id="a", facet="skill", context=(), reply="So?", label="Other", source="mi", group="g")
    other = item.model_copy(update={"label": "MI Adherent", "reply": "so?"})
    skipped = Counter()
    clean = _clean({"train": [item, other], "valid": [], "test": [item]}, skipped)
    assert not any(clean.values())
    assert skipped == {"skill: one reply with two labels": 3}


def test_a_file_with_an_unknown_class_is_refused(tmp_path):
    item = FacetItem(id="a", facet="skill", context=(), reply="So?", label="Othr", source="mi", group="g")
    write_records(tmp_path / "train.jsonl", [item])
    with pytest.raises(Failure, match="unknown skill class 'Othr'") as error:
        read_part(tmp_path, "train")
    assert "record 1" in error.value.where
    assert "did you mean 'Other'" in error.value.fix


def test_what_was_built_comes_back(tmp_path, mi_file):
    config = FacetsConfig()
    built = build(Sources(mi=mi_file), config)
    write(built, tmp_path, config, {"mi.csv": "abc"})
    for part, items in built.parts.items():
        assert read_part(tmp_path, part) == items


def test_nothing_to_build_from():
    with pytest.raises(UsageError, match="no source"):
        build(Sources(), FacetsConfig())


def test_a_tenth_each_for_valid_and_test():
    assert Counter(parts_of((str(k) for k in range(50)), 13).values()) == {"train": 40, "valid": 5, "test": 5}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("That is good.", "That is bad."),
        ("Good for you", "Bad for you"),
        ("I feel worse", "I feel better"),
        ("Goodness me", None),
    ],
)
def test_a_word_becomes_its_opposite(text, expected):
    assert swapped(text, {"good": "bad", "bad": "good", "worse": "better"}) == expected


def test_altered_replies_say_how_they_were_made(supporter_turns):
    import random

    editor = Editor(supporter_turns, random.Random(1))
    made = [editor.edit(example) for example in supporter_turns]
    for example, found in zip(supporter_turns, made, strict=True):
        if found is not None:
            assert found[0] != example.response
            assert found[1] in ("edit-topic", "edit-opposite", "edit-negation")
    assert any(made)
