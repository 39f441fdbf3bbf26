"""TOML in, a frozen config out; every refusal names the key and the nearest valid one."""

import pytest
from pydantic import Field

from hearten.core.config import Config, build, load_toml, read_toml
from hearten.core.errors import UsageError


class Inner(Config):
    rank: int = 16
    alpha: int = 32


class Middle(Config):
    adapter: Inner | None = None
    adapters: tuple[Inner, ...] = ()


class Outer(Config):
    title: str
    epochs: float = Field(default=1.0, gt=0)
    backbone: Middle = Middle()


def refused(values):
    with pytest.raises(UsageError) as error:
        build(Outer, values, where="r.toml")
    return error.value


@pytest.mark.parametrize(
    ("values", "key", "suggestion"),
    [
        ({"titel": "x"}, "titel", "title"),
        ({"title": "x", "backbone": {"adaptor": {}}}, "backbone.adaptor", "adapter"),
        ({"title": "x", "backbone": {"adapter": {"rnak": 3}}}, "backbone.adapter.rnak", "rank"),
        ({"title": "x", "backbone": {"adapters": [{}, {"alhpa": 3}]}}, "backbone.adapters.1.alhpa", "alpha"),
    ],
)
def test_an_unknown_key_however_deep_is_answered_with_the_nearest(values, key, suggestion):
    error = refused(values)
    assert error.what == f"unknown key '{key.split('.')[-1]}'"
    assert error.where == f"r.toml, key {key}"
    assert error.fix.startswith(f"did you mean '{suggestion}'?")


def test_a_missing_key_and_a_bad_value_say_what_to_write():
    assert refused({}).fix == "add 'title'"
    bad = refused({"title": "x", "epochs": -1})
    assert bad.where == "r.toml, key epochs"
    assert "greater than 0" in bad.what
    assert bad.fix == "got -1"


def test_a_long_bad_value_is_shortened():
    assert len(refused({"title": ["word"] * 500}).fix) < 80


def test_a_config_does_not_change():
    with pytest.raises(ValueError, match="frozen"):
        Inner().rank = 3


def test_toml_files(tmp_path):
    good, bad = tmp_path / "joint.toml", tmp_path / "bad.toml"
    good.write_text('title = "Über"\n[backbone.adapter]\nrank = 4\n', encoding="utf-8")
    bad.write_text("title = \n", encoding="utf-8")
    assert load_toml(good, Outer) == Outer(title="Über", backbone=Middle(adapter=Inner(rank=4)))
    with pytest.raises(UsageError, match="line 1") as error:
        read_toml(bad)
    assert str(bad) in error.value.where
    with pytest.raises(UsageError) as error:
        read_toml(tmp_path / "jiont.toml")
    assert error.value.fix.startswith("did you mean 'joint.toml'?")
    with pytest.raises(UsageError, match="not valid TOML"):
        read_toml(tmp_path)
