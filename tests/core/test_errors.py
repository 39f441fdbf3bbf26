"""What people read when something is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hearten.core.errors import Failure, HeartenError, UsageError, nearest
from hearten.core.registry import lookup


@pytest.mark.parametrize(
    ("name", "valid", "expected"),
    [
        ("qestion", ["Question", "Others"], "did you mean 'Question'? (one of: Question, Others)"),
        ("QUESTION", ["Question"], "did you mean 'Question'? (one of: Question)"),
        ("zebra", ["joint", "vanilla"], "one of: joint, vanilla"),
        ("anything", [], "there are none"),
    ],
)
def test_nearest_by_hand(name, valid, expected):
    assert nearest(name, valid) == expected


@given(st.text(), st.lists(st.text(min_size=1), max_size=5))
def test_nearest_lists_everything_there_is_and_suggests_only_what_exists(name, valid):
    fix = nearest(name, valid)
    assert all(one in fix for one in valid)
    if fix.startswith("did you mean"):
        assert any(fix.startswith(f"did you mean '{one}'?") for one in valid)


def test_a_message_is_what_where_and_what_to_do():
    full = Failure("broken JSON line", where="a.jsonl, line 3", fix="mend that line")
    assert full.lines() == [
        "error: broken JSON line", "  where: a.jsonl, line 3", "  to do: mend that line",
    ]  # fmt: skip
    assert UsageError("no system").lines() == ["error: no system"]
    assert str(full) == "\n".join(full.lines())


def test_exit_codes_tell_usage_from_failure():
    assert (UsageError("x").exit_code, Failure("x").exit_code) == (2, 1)
    assert issubclass(HeartenError, ValueError), "a record's validator may raise it"


def test_lookup_finds_or_names_the_near_match():
    assert lookup({"joint": 1}, "joint", "system") == 1
    with pytest.raises(UsageError) as error:
        lookup({"joint": 1, "vanilla": 2}, "jiont", "system")
    assert error.value.what == "unknown system 'jiont'"
    assert error.value.fix == "did you mean 'joint'? (one of: joint, vanilla)"
    assert error.value.__suppress_context__, "the KeyError behind it is of no use to anybody"
