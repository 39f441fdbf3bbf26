"""The corpus a command trains on when nobody names one."""

import corpora_made_up as made_up
import pytest

from hearten.data import seeds


def test_esconv_is_preferred_where_it_lies(tmp_path, monkeypatch):
    (tmp_path / "esconv").mkdir()
    made_up.write_json(tmp_path / "esconv" / "ESConv.json", [made_up.ESCONV_RECORD])
    monkeypatch.setenv("HEARTEN_DATA", str(tmp_path))
    assert seeds.find_training_corpus().format == "esconv"


def test_the_seeds_stand_in(tmp_path, monkeypatch):
    record = {
        "id": "seed-1",
        "source": "hearten-seeds",
        "label_set": "extes",
        "turns": [{"speaker": "supporter", "text": "Hello", "strategy": "Others"}],
    }
    made_up.write_lines(tmp_path / "seeds.jsonl", [record])
    monkeypatch.setenv("HEARTEN_DATA", str(tmp_path / "nothing"))
    monkeypatch.setattr(seeds, "seeds_file", lambda: tmp_path / "seeds.jsonl")
    seeds.seed_conversations.cache_clear()
    corpus = seeds.find_training_corpus()
    seeds.seed_conversations.cache_clear()
    assert (corpus.format, corpus.label_set, len(corpus.conversations)) == ("seeds", "extes", 1)


def test_a_build_without_seeds_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(seeds, "seeds_file", lambda: tmp_path / "seeds.jsonl")
    seeds.seed_conversations.cache_clear()
    with pytest.raises(ValueError, match="no seed conversations"):
        seeds.seed_conversations()
