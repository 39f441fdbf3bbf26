"""The label tables, counted against the papers they come from."""

import pytest

from hearten.core.errors import Failure, UsageError
from hearten.core.taxonomy import LABEL_SET_NAMES, label_set, labels, mapping, scenarios


@pytest.mark.parametrize(
    ("name", "count", "source"),
    [
        ("esconv", 8, "Liu et al. 2021, section 3"),
        ("extes", 16, "Zheng et al. 2023, Table 2"),
        ("multiesc", 8, "Cheng et al. 2022, released files"),
    ],
)
def test_strategies_are_as_many_as_the_paper_has(name, count, source):
    known = label_set(name)
    assert len(known) == count == len(set(known.names)), source
    assert all(strategy.definition.endswith(".") and strategy.example for strategy in known)
    assert all(strategy.stages and set(strategy.stages) <= set(known.stages) for strategy in known)
    assert [known.position(strategy) for strategy in known] == list(range(count))


def test_esconv_comes_in_the_order_of_the_released_strategy_file():
    # thu-coai codes_zcj, strategy.json; the special tokens follow it
    assert label_set("esconv").names == (
        "Question", "Restatement or Paraphrasing", "Reflection of feelings", "Self-disclosure",
        "Affirmation and Reassurance", "Providing Suggestions", "Information", "Others",
    )  # fmt: skip


@pytest.mark.parametrize("name", LABEL_SET_NAMES)
def test_every_way_to_write_a_strategy_finds_it_and_no_two_share_one(name):
    known = label_set(name)
    ways = [
        (way, strategy)
        for strategy in known
        for way in (strategy.name, strategy.abbreviation, strategy.token, *strategy.aliases)
    ]
    for way, strategy in ways:
        assert known.find(way) is strategy
        assert known.find(f"  {way.upper()} ") is strategy
    by_way = {}
    for way, strategy in ways:
        assert by_way.setdefault(way.casefold(), strategy) is strategy, f"'{way}' means two strategies"


def test_the_older_release_and_the_failed_conversations_are_understood():
    # names in thu-coai codes/dataset TSV and FailedESConv.json
    known = label_set("esconv")
    old = {
        "Questions": "Question", "Other": "Others", "Reflection of Feelings": "Reflection of feelings",
        "Approval and Reassurance": "Affirmation and Reassurance", "Direct Guidance": "Providing Suggestions",
    }  # fmt: skip
    assert {name: known.find(name).name for name in old} == old


def test_an_unknown_strategy_is_answered_with_the_nearest():
    with pytest.raises(Failure) as error:
        label_set("esconv").find("Informatoin")
    assert error.value.fix.startswith("did you mean 'Information'?")
    with pytest.raises(Failure) as error:
        label_set("esconv").position(label_set("extes").find("Clarification"))
    assert error.value.what == "unknown strategy 'Clarification' in label set 'esconv'"
    with pytest.raises(UsageError, match="unknown label set"):
        label_set("esconvv")


@pytest.mark.parametrize(
    ("kind", "count", "paper", "source"),
    [
        ("problems", 13, 5, "ESConv.json; Liu et al. 2021, Table 3"),
        ("emotions", 11, 7, "ESConv.json; Liu et al. 2021, Table 3"),
        ("experiences", 2, 2, "ESConv.json"),
        ("goemotions", 28, 28, "Demszky et al. 2020"),
        ("miti", 15, 15, "Welivita and Pu 2022"),
    ],
)
def test_plain_labels_are_as_many_as_their_source_has(kind, count, paper, source):
    known = labels(kind)
    assert len(set(known.names)) == len(known.names) == count, source
    assert known.paper == paper
    assert all(known.find(name.upper()) == name for name in known.names)
    assert all(known.find(alias) == name and name in known.names for alias, name in known.aliases.items())
    with pytest.raises(Failure, match=f"unknown {kind.removesuffix('s')} 'zzz'"):
        known.find("zzz")


def test_the_36_scenarios_hold_every_dialogue_of_extes():
    # Zheng et al. 2023, Table 1: 36 scenarios, 11,183 dialogues in all
    assert len(scenarios()) == 36 == len({one.name for one in scenarios()})
    assert sum(one.dialogues for one in scenarios()) == 11_183
    assert all(one.examples for one in scenarios())


@pytest.mark.parametrize(
    ("source", "target"), [("esconv", "multiesc"), ("extes", "esconv"), ("esconv", "extes")]
)
def test_a_mapping_leaves_no_strategy_out_and_lands_in_its_set(source, target):
    pairs = mapping(source, target)
    assert tuple(pairs) == label_set(source).names
    assert set(pairs.values()) <= set(label_set(target).names)


def test_mapping_a_set_to_itself_changes_nothing_and_an_unknown_one_is_refused():
    assert mapping("extes", "extes") == {name: name for name in label_set("extes").names}
    with pytest.raises(UsageError, match="multiesc->extes"):
        mapping("multiesc", "extes")
