"""What is kept: branches, encryption, retention, deletion, and what a person may see of a reply's details."""

import re
import stat

import pytest

from hearten.core.conversation import Role
from hearten.core.errors import Failure, UsageError
from hearten.core.records import Reply
from hearten.serve.keeping import DAY, PageSettings
from hearten.serve.sealing import VARIABLE, Sealer, find_key, passing_key
from hearten.serve.store import Store, open_store
from hearten.serve.talk import Message, Talk, as_text
from hearten.serve.why import Why, read

SECRET = "the blue suitcase under the stairs"


def message(id: str, parent: str | None, text: str, *, reply: bool = False, **more) -> Message:
    speaker = Role.SUPPORTER if reply else Role.SEEKER
    return Message(id=id, parent=parent, speaker=speaker, text=text, at=0.0, **more)


def branched() -> Talk:
    """a1 - b1 - a2 - b2, where a2 was edited into a3, and b1 answered again by b9."""
    rows = (
        message("a1", None, "My sister left."),
        message("b1", "a1", "What happened?", reply=True, strategy="Question", stars=4),
        message("a2", "b1", "We argued."),
        message("b2", "a2", "That hurts.", reply=True, stopped=True),
        message("a3", "b1", "We argued about money."),
        message("b3", "a3", "About money.", reply=True, stars=2),
        message("b9", "a1", "When was that?", reply=True),
    )
    return Talk(id="t", created=0.0, updated=0.0, head="b3", messages=rows)


@pytest.fixture
def file(tmp_path):
    return tmp_path / "chats.sqlite"


@pytest.fixture
def key_file(tmp_path):
    return tmp_path / "elsewhere" / "key"


@pytest.fixture
def opened(file, key_file):
    """Open the store, as often as wanted."""
    stores = []

    def again(**changes) -> Store:
        settings = PageSettings(keep=file, key_file=key_file, **changes)
        stores.append(open_store(settings))
        stores[-1].admit("me", 1.0)
        return stores[-1]

    yield again
    for store in stores:
        store.close()


def begun(store: Store, id: str = "t1", owner: str = "me") -> Talk:
    talk = Talk(id=id, created=1.0, updated=1.0)
    assert store.begin(owner, talk)
    return talk


def ids(path) -> list[str]:
    return [one.id for one in path]


def test_the_path_follows_the_head_and_tips_follow_the_newest_answer():
    talk = branched()
    assert ids(talk.path()) == ["a1", "b1", "a3", "b3"]
    assert ids(talk.path("b2")) == ["a1", "b1", "a2", "b2"]
    assert talk.tip("a2") == "b2"
    assert talk.tip("a1") == "b9"
    assert set(talk.tips()) == {"b3", "b2", "b9"}


def test_a_title_does_not_show_what_opened_the_care_path():
    care = Why(care="open")
    rows = (
        message("a1", None, "I want to die."),
        message("b1", "a1", "Thank you for telling me.", reply=True, why=care),
        message("a2", "b1", "My   exam\nis tomorrow."),
    )
    talk = Talk(id="t", created=0, updated=0, head="b1", messages=rows)
    assert talk.title == ""
    assert talk.model_copy(update={"head": "a2"}).title == "My exam is tomorrow."
    assert branched().title == "My sister left."


def test_every_branch_is_exported_and_stars_move_to_the_seekers_next_turn():
    first, *others = branched().conversations()
    assert (first.id, first.source) == ("t", "hearten-serve")
    assert [turn.feedback for turn in first.turns] == [None, None, 4, None]
    assert first.turns[1].strategy.name == "Question"
    assert first.turns[-1].annotations == {"feedback": 2}
    assert [talk.id for talk in others] == ["t~2", "t~3"]
    assert {talk.source for talk in others} == {"hearten-serve-branch"}
    assert others[0].turns[-1].annotations == {"stopped": True}


def test_a_long_conversation_is_walked_without_recursion():
    rows = [message(f"m{n}", f"m{n - 1}" if n else None, "x") for n in range(3000)]
    talk = Talk(id="t", created=0, updated=0, head="m2999", messages=tuple(rows))
    assert len(talk.path()) == 3000
    assert talk.tip("m0") == "m2999"


def test_readable_text_has_the_shown_branch():
    words = {"you": "You", "ai": "AI", "stopped": "[stopped]", "notice": "Not therapy."}
    text = as_text(branched(), words)
    assert "You: We argued about money." in text
    assert "AI: About money." in text
    assert "When was that" not in text


def test_nothing_readable_is_written(opened, file):
    store = opened()
    begun(store)
    store.put("me", "t1", message("a1", None, SECRET))
    store.put("me", "t1", message("b1", "a1", SECRET.upper(), reply=True, strategy="Question"))
    everything = b"".join(path.read_bytes() for path in file.parent.glob("chats.sqlite*"))
    assert b"suitcase" not in everything.lower()
    assert b"Question" not in everything
    assert b"seeker" not in everything
    assert [one.text for one in store.talk("me", "t1").path()] == [SECRET, SECRET.upper()]


def test_files_are_for_our_eyes_only(opened, file, key_file):
    store = opened()
    begun(store)
    for path in [key_file, *file.parent.glob("chats.sqlite*")]:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
    key_file.chmod(0o640)
    with pytest.raises(Failure, match="can read the key"):
        opened()


def test_another_key_is_refused_at_once(opened, key_file, monkeypatch):
    opened()
    monkeypatch.setenv(VARIABLE, "A" * 43 + "=")
    with pytest.raises(Failure, match="does not open with this key"):
        opened()
    monkeypatch.setenv(VARIABLE, "short")
    with pytest.raises(UsageError, match="32 bytes"):
        opened()


def test_the_environments_key_needs_no_file(file, key_file, monkeypatch):
    monkeypatch.setenv(VARIABLE, "A" * 43 + "=")
    assert find_key(key_file) == bytes(32)
    assert not key_file.exists()


def test_a_sealed_text_does_not_open_elsewhere_or_changed():
    sealer = Sealer(passing_key())
    sealed = sealer.seal(SECRET, "row 1")
    assert sealer.open(sealed, "row 1") == SECRET
    assert sealer.seal(SECRET, "row 1") != sealed
    for bytes_, place in ((sealed, "row 2"), (sealed[:-1] + bytes([sealed[-1] ^ 1]), "row 1")):
        with pytest.raises(Failure):
            sealer.open(bytes_, place)


def test_what_was_written_is_there_after_opening_again(opened):
    store = opened()
    begun(store)
    for row in branched().messages:
        store.put("me", "t1", row)
    store.turn_to("me", "t1", "b3")
    again = opened().talk("me", "t1")
    assert ids(again.messages) == ids(branched().messages)
    assert again.head == "b3"


def test_reading_the_first_screen_twice_loses_nothing(opened):
    store = opened()
    begun(store)
    store.put("me", "t1", message("a1", None, SECRET))
    store.admit("me", 2.0)
    assert store.reader("me").accepted == 2.0
    assert len(store.talks("me")) == 1


def test_one_owner_reaches_nothing_of_another(opened):
    store = opened()
    store.admit("other", 1.0)
    begun(store)
    store.put("me", "t1", message("a1", None, SECRET))
    assert store.talk("other", "t1") is None
    assert store.talks("other") == []
    assert not store.begin("other", Talk(id="t1", created=1, updated=1))
    assert not store.put("other", "t1", message("x1", None, "mine now"))
    assert not store.mark("other", "t1", message("a1", None, "changed"))
    assert not store.turn_to("other", "t1", "a1")
    assert not store.delete("other", "t1")
    assert store.delete_all("other") == 0
    assert [one.text for one in store.talk("me", "t1").path()] == [SECRET]


def sealed_rows(store: Store) -> list[bytes]:
    return [row[0] for row in store._sql.execute("SELECT sealed FROM message")]


@pytest.mark.parametrize("all_of_it", [False, True])
def test_deleting_overwrites_even_the_encrypted_bytes(opened, file, all_of_it):
    store = opened()
    begun(store)
    for number in range(40):
        store.put("me", "t1", message(f"a{number}", None, f"{SECRET} {number}" * 20))
    rows = sealed_rows(store)
    assert store.delete_all("me") == 1 if all_of_it else store.delete("me", "t1")
    left = b"".join(path.read_bytes() for path in file.parent.glob("chats.sqlite*"))
    assert len(rows) == 40
    assert not [row for row in rows if row[:32] in left or row[-32:] in left]
    assert not store.put("me", "t1", message("z", None, "too late"))


def test_conversations_are_removed_after_their_days(opened):
    store = opened(keep_days=2)
    begun(store)
    store.put("me", "t1", message("a1", None, SECRET))
    at = store.talk("me", "t1").updated
    assert store.purge(at + 1.9 * DAY) == 0
    assert store.purge(at + 2.1 * DAY) == 1
    assert store.talks("me") == []


def test_memory_leaves_no_file_and_forgets_sooner(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    store = open_store(PageSettings())
    store.admit("me", 1.0)
    begun(store)
    store.put("me", "t1", message("a1", None, SECRET))
    assert not store.keeps
    assert not list(tmp_path.iterdir())
    assert store.purge(store.talk("me", "t1").updated + 13 * 3600) == 1


def test_the_key_lies_in_another_folder_by_default(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.delenv(VARIABLE, raising=False)
    assert find_key() == find_key()
    assert (tmp_path / "config" / "hearten" / "transcripts.key").is_file()


DETAILS = {
    "safety": {"care": "open", "region": "uk", "severity": "imminent", "kinds": ["plan"],
               "finding": {"evidence": ["SEEN WORDS"]},
               "output": {"kinds": ["medication"], "evidence": ["TAKEN OUT"]}},
    "emotion": {"label": "fear", "scores": {"fear": 0.7, "bad": "x", "worse": 3}, "raw": "RAW"},
    "stage": "Comforting",
    "verdicts": [{"facet": "empathy", "label": None, "helpful": None, "raw": "RAW"}, "nonsense"],
    "links": ["screen", {"name": "refine", "tried": ["NOT CHOSEN"]}],
    "candidates": ["NOT CHOSEN"],
}  # fmt: skip


def test_only_listed_details_reach_the_page():
    seen = read(Reply(text="x", probabilities={"Question": 0.9}, details=DETAILS))
    shown = seen.model_dump_json()
    assert not re.search("SEEN|TAKEN|RAW|NOT CHOSEN|imminent|plan|medication", shown)
    assert (seen.care, seen.region, seen.changed, seen.stage) == ("open", "uk", True, "Comforting")
    assert seen.emotion.scores == {"fear": 0.7}
    assert [row.facet for row in seen.verdicts] == ["empathy"]
    assert seen.verdicts[0].helpful is None
    assert seen.links == ("screen", "refine")
    assert seen.probabilities == {"Question": 0.9}


@pytest.mark.parametrize("details", [None, {}, {"safety": 3, "emotion": [], "verdicts": {}, "links": None}])
def test_details_of_another_shape_are_no_details(details):
    assert read(Reply(text="x", details=details)).care == "calm"
