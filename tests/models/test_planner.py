"""The planner: what it reads, padding and grouping change nothing, its choices by hand, save and load."""

import json
import zlib

import numpy as np
import pytest
import torch

from hearten.core.conversation import Profile, Role, Turn
from hearten.core.errors import UsageError
from hearten.core.protocol import examples, protocol
from hearten.core.records import Reply
from hearten.core.taxonomy import label_set
from hearten.lm.decode import Decoding, policy_of
from hearten.models.planner import decoding, features, fitting
from hearten.models.planner.network import Batch, Network, NetworkConfig
from hearten.models.planner.planner import Choice, Planner, PlannerConfig, sharpened
from hearten.models.planner.trees import TreesConfig
from hearten.models.planner.words import WordsConfig

LABELS = label_set("esconv")
SMALL = PlannerConfig(
    members=2,
    epochs=2,
    batch=4,
    network=NetworkConfig(inner=8, last=8, structure=8),
    trees=TreesConfig(rounds=3, leaf_moments=2),
    words=WordsConfig(seen=1),
)


def made_up(texts, layers=(6,), **_):
    """Unit vectors that depend on the text alone."""
    rows = [np.random.default_rng(zlib.crc32(text.encode())).normal(size=384 * len(layers)) for text in texts]
    return np.asarray([row / np.linalg.norm(row) for row in rows], dtype=np.float32).reshape(len(rows), -1)


@pytest.fixture(autouse=True)
def encoder(monkeypatch):
    """No encoder is loaded: vectors are made up."""
    torch.set_num_threads(1)
    monkeypatch.setattr(features, "embed", made_up)
    monkeypatch.setattr(
        features, "kept_vectors", lambda name, texts, layers, quiet=False: made_up(texts, layers)
    )


@pytest.fixture(scope="module")
def turns(conversations):
    """Every supporter turn of the made-up conversations."""
    how = protocol("seed13-910").model_copy(update={"min_context": 0})
    return [one for talk in conversations for one in examples(talk, how)]


@pytest.fixture
def planner(turns):
    return fitting.fit(LABELS, turns[:16], turns[16:], SMALL, quiet=True)


def said(*rows):
    return [
        Turn(
            speaker=Role.SUPPORTER if name else Role.SEEKER,
            text="so",
            strategy=LABELS.find(name) if name else None,
        )
        for name in rows
    ]


def test_structure_counts_what_was_done():
    talk = said("", "Question", "", "Information", "Question")
    used = [8, 0, 8, 6, 0]
    found = features.structure(talk, used, 8)
    last, rest = found[:45].reshape(5, 9), found[45:]
    assert last.argmax(1).tolist() == [0, 6, 0, 8, 8]  # newest first; the 8 says none
    shares, logs, recent, fading, inside = rest[:40].reshape(5, 8)
    assert shares == pytest.approx([2 / 3, 0, 0, 0, 0, 0, 1 / 3, 0])
    assert logs[0] == pytest.approx(np.log(3))
    assert recent[[0, 6]] == pytest.approx([1, np.exp(-1 / 3)])
    assert fading[[0, 6]] == pytest.approx([1 + 0.8**2, 0.8])
    assert inside.tolist() == [1, 0, 0, 0, 0, 0, 1, 0]  # two supporter turns in a row


def test_structure_reads_nothing_that_comes_later():
    early = features.structure(said("", "Question"), [8, 0], 8)
    assert features.structure([], [], 8).shape == early.shape


def test_a_conversation_is_one_session_and_a_cut_context_stands_alone(planner, turns):
    own = [one for one in turns if one.conversation_id == "c003"]
    assert len(planner.reader.sessions(own)) == 1
    cut = [one.model_copy(update={"context": one.context[-2:]}) for one in own if one.index > 2]
    assert len(planner.reader.sessions(cut)) == len(cut)


def test_padding_order_and_grouping_change_nothing(planner, turns):
    together = planner.beliefs(turns)
    assert together.sum(1) == pytest.approx(np.ones(len(turns)))
    backwards = planner.beliefs(turns[::-1])[::-1]
    assert backwards == pytest.approx(together, abs=1e-6)
    for place in (0, 7, len(turns) - 1):
        assert planner.beliefs([turns[place]])[0] == pytest.approx(together[place], abs=1e-6)


def test_every_parameter_is_reached(planner, turns):
    sessions = [session for session, _ in planner.reader.sessions(turns)]
    network = Network(sessions[0].turns.shape[1], sessions[0].structure.shape[1], 8, NetworkConfig()).train()
    batch = Batch(sessions)
    torch.nn.functional.cross_entropy(network(batch), batch.gold).backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in network.parameters())


def test_the_later_text_of_a_conversation_is_not_read(planner, turns):
    own = [one for one in turns if one.conversation_id == "c003"]
    before = planner.beliefs(own[:1])[0]
    assert planner.beliefs(own)[0] == pytest.approx(before, abs=1e-6)


def test_it_reads_nothing_that_a_live_chat_lacks(planner, turns):
    """Without survey, situation, stars, annotations, the reply and the length: the same beliefs."""

    def live(one):
        bare = {"feedback": None, "annotations": {}}
        known = {"context": tuple(turn.model_copy(update=bare) for turn in one.context)}
        unknown = {
            "turns_total": 99,
            "profile": Profile(),
            "response": "?",
            "strategy": None,
            "hindsight": None,
        }
        return one.model_copy(update={**known, **unknown})

    assert planner.beliefs([live(one) for one in turns]) == pytest.approx(planner.beliefs(turns), abs=1e-9)


@pytest.mark.parametrize("kind", ["networks", "trees", "words"])
def test_every_kind_answers_alone_and_comes_back_without_pickle(turns, tmp_path, kind):
    config = SMALL.model_copy(update={"kinds": (kind,)})
    alone = fitting.fit(LABELS, turns[:16], turns[16:], config, quiet=True)
    beliefs = alone.beliefs(turns)
    assert beliefs.sum(1) == pytest.approx(np.ones(len(turns)))
    assert np.ptp(beliefs, axis=0).max() > 1e-4  # it tells moments apart
    alone.save(tmp_path / "model")
    again = Planner.load(tmp_path)
    assert list(again.members) == [kind]
    assert again.beliefs(turns) == pytest.approx(beliefs, abs=2e-3)  # halves


def test_trees_and_words_may_learn_from_drawn_histories(planner, turns):
    own = fitting.drawn(planner, turns)
    real = [session for session, _ in planner.reader.sessions(turns)]
    assert [session.texts for session in own] == [session.texts for session in real]
    assert all((one.gold == other.gold).all() for one, other in zip(own, real, strict=True))
    assert any((one.turns != other.turns).any() for one, other in zip(own, real, strict=True))
    config = SMALL.model_copy(update={"drawn_history": True})
    again = fitting.fit(LABELS, turns[:16], turns[16:], config, quiet=True)
    assert not np.allclose(again.beliefs(turns), planner.beliefs(turns))


def test_the_mixture_is_the_mean_of_its_kinds(planner, turns):
    sessions = [session for session, _ in planner.reader.sessions(turns)]
    rows = [row for _, rows in planner.reader.sessions(turns) for row in rows]
    mean = sum(member.beliefs(sessions) for member in planner.members.values()) / 3
    expected = sharpened(mean, planner.choice.temperature)
    assert planner.beliefs(turns)[rows] == pytest.approx(expected)


def test_it_is_saved_without_pickle_and_comes_back(planner, turns, tmp_path):
    planner.save(tmp_path / "model")
    assert sorted(path.name for path in (tmp_path / "model").iterdir()) == [
        "planner.json",
        "planner.safetensors",
    ]
    again = Planner.load(tmp_path)
    assert again.choice == planner.choice
    assert again.beliefs(turns) == pytest.approx(planner.beliefs(turns), abs=2e-3)  # halves


def test_another_version_is_refused(planner, tmp_path):
    planner.save(tmp_path)
    settings = json.loads((tmp_path / "planner.json").read_text())
    (tmp_path / "planner.json").write_text(json.dumps({**settings, "format": 1}))
    with pytest.raises(UsageError, match="another version"):
        Planner.load(tmp_path)


def test_the_same_seed_makes_the_same_planner(turns):
    one, two = (
        fitting.fit(LABELS, turns[:16], turns[16:], SMALL, quiet=True).beliefs(turns) for _ in range(2)
    )
    assert np.array_equal(one, two)


def test_operating_points_and_sets():
    reader = features.Reader(LABELS, {})
    choice = Choice(gain={"Question": 0.5}, cost={"Information": 0.1, "Question": 0.15}, floor=0.25)
    held = Planner(reader, {}, PlannerConfig(), choice)
    row = np.full((1, 8), 0.02)
    row[0, LABELS.position("Question")], row[0, LABELS.position("Information")] = 0.6, 0.28
    assert held.choose(row)[0].name == "Question"
    assert held.choose(row, "macro-f1")[0].name == "Information"  # 0.28 − 0.1 > 0.6 / 2 − 0.15
    assert [s.name for s in held.acceptable(row)[0]] == ["Question", "Information"]
    assert len(held.acceptable(np.full((1, 8), 0.125))[0]) == 1  # never empty


def test_its_own_history_is_what_it_chose(planner, turns, monkeypatch):
    seen = []
    real = planner.beliefs

    def spy(asked, strategies=None):
        seen.append([(one.conversation_id, one.index, dict(strategies)) for one in asked])
        return real(asked, strategies)

    monkeypatch.setattr(planner, "beliefs", spy)
    own = [one for one in turns if one.conversation_id in ("c002", "c003")]
    found = planner.own_history(own)
    chosen = {
        (one.conversation_id, one.index): s.name for one, s in zip(own, planner.choose(found), strict=True)
    }
    for step in seen:
        for name, index, told in step:
            for (talk, place), strategy in told.items():
                if talk == name and place < index:
                    assert strategy == chosen[talk, place]
    assert sorted(key[:2] for step in seen for key in step) == sorted(chosen)


def test_a_temperature_sharpens_and_flattens():
    # p ∝ (0.8², 0.2²) = (0.64, 0.04) → 16/17
    assert sharpened(np.array([[0.8, 0.2]]), 0.5)[0] == pytest.approx([16 / 17, 1 / 17])


def test_macro_f1_is_the_mean_over_strategies():
    gold, chosen = np.array([0, 0, 1]), np.array([0, 1, 1])
    # class 0: 2·1 / (1 + 2); class 1: 2·1 / (2 + 1)
    assert fitting.macro_f1(chosen, gold) == pytest.approx(2 / 3)


def test_the_floor_covers_what_it_promises():
    chance = np.random.default_rng(0)
    beliefs = chance.dirichlet(np.ones(8), size=4000)
    gold = np.array([chance.choice(8, p=row) for row in beliefs])
    found = fitting.choose(beliefs[:2000], gold[:2000], LABELS)
    shares = sharpened(beliefs[2000:], found.temperature)
    assert (shares[np.arange(2000), gold[2000:]] >= found.floor).mean() == pytest.approx(0.9, abs=0.03)
    assert found.temperature == pytest.approx(1.0, abs=0.1)


class Told:
    """A system that says back which strategy it was told."""

    def generate(self, asked, decoding, policy):
        assert policy.kind == "gold"
        return [[Reply(text=one.strategy.name, strategy=one.strategy)] for one in asked]


def test_any_system_speaks_under_the_planner(planner, turns, tmp_path, conversations):
    planner.save(tmp_path / "model")
    policy = policy_of(f"planner:{tmp_path}@macro-f1")
    assert policy.point == "macro-f1"
    saved = Planner.load(tmp_path)
    beliefs = saved.beliefs(turns)
    expected = [strategy.name for strategy in saved.choose(beliefs, "macro-f1")]
    replies = decoding.generate(Told(), turns, Decoding(), policy)
    assert [group[0].text for group in replies] == expected
    assert replies[0][0].probabilities["Question"] == pytest.approx(beliefs[0, 0], abs=1e-4)
    open_talk = conversations[3].model_copy(update={"turns": conversations[3].turns[:3]})
    strategy, belief = decoding.plan(policy, open_talk)
    wanted = next(n for n, one in enumerate(turns) if one.conversation_id == "c003" and one.index == 3)
    assert strategy.name == expected[wanted]
    assert sum(belief.values()) == pytest.approx(1, abs=1e-3)
    other, rest = decoding.plan(policy, open_talk, avoid=[strategy.name])
    assert other.name != strategy.name
    assert rest[strategy.name] == 0
    assert sum(rest.values()) == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("name", ["planner:", "planner:runs/none", "planner:x@speed", "plannr"])
def test_a_policy_that_names_no_planner_is_refused(name, turns):
    with pytest.raises(UsageError):
        decoding.generate(Told(), turns, Decoding(), policy_of(name))
