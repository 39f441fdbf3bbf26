"""The planner's kinds of member and its rule: against scikit-learn, against brute force, by hand."""

from itertools import product

import numpy as np
import pytest
from scipy import sparse

from hearten.core.conversation import Role
from hearten.models.planner import rule, trees, words
from hearten.models.planner.features import WIDTH, Session, lexical


def session(texts, speakers, places, seed=0, gold=None):
    """Made-up turns; a capital S in `speakers` is a supporter's."""
    chance = np.random.default_rng(seed)
    turns = chance.normal(size=(len(texts), WIDTH + len(lexical("")) + 10)).astype(np.float32)
    turns[:, -1] = [one == "S" for one in speakers]
    return Session(
        turns=turns,
        texts=tuple(texts),
        places=np.array(places),
        structure=chance.normal(size=(len(places), 6)).astype(np.float32),
        gold=np.array(gold if gold is not None else [0] * len(places)),
    )


def test_the_latest_turns_of_a_speaker():
    talk = session("abcde", "sSSsS", [0, 1, 3, 5])
    assert talk.latest(Role.SUPPORTER, 2).tolist() == [[-1, -1], [-1, -1], [2, 1], [4, 2]]
    assert talk.latest(Role.SEEKER, 1)[:, 0].tolist() == [-1, 0, 0, 3]


def test_the_rule_by_hand():
    # k is chosen where (2p − F1) / (chosen + used) is greatest; scaled so that the greatest gain is 1:
    # used (6, 2), chosen (4, 4), F1 (0.8, 0.5): gains 2/10 and 2/6, costs 0.08 and 0.0833, all over 2/6
    gain, cost = rule._rule(np.array([0.8, 0.5]), np.array([4.0, 4.0]), np.array([6.0, 2.0]))
    assert gain == pytest.approx([0.6, 1.0])
    assert cost == pytest.approx([0.24, 0.25])
    values = rule.taking(np.array([[0.75, 0.25], [0.5, 0.5]]), gain, cost)
    assert values == pytest.approx(np.array([[0.21, 0.0], [0.06, 0.25]]))


@pytest.mark.parametrize("seed", range(6))
def test_the_rule_is_as_good_as_trying_every_choice(seed):
    beliefs = np.random.default_rng(seed).dirichlet([4, 1, 1], size=8)
    used = beliefs.sum(axis=0)

    def expected(chosen):
        taken = np.eye(3)[np.asarray(chosen)]
        return (2 * (taken * beliefs).sum(axis=0) / (taken.sum(axis=0) + used)).mean()

    best = max(expected(chosen) for chosen in product(range(3), repeat=len(beliefs)))
    found = expected(rule.taking(beliefs, *rule.best_rule(beliefs)).argmax(axis=1))
    assert found >= 0.97 * best  # eight moments are few: one rule for all of them may miss a little
    assert found >= expected(beliefs.argmax(axis=1)) - 1e-9


def test_a_strategy_that_is_never_believed_is_never_taken():
    beliefs = np.array([[0.7, 0.3, 0.0], [0.4, 0.6, 0.0], [0.5, 0.5, 0.0]])
    assert 2 not in rule.taking(beliefs, *rule.best_rule(beliefs)).argmax(axis=1)


def test_trees_as_arrays_answer_like_scikit_learn():
    from sklearn.ensemble import HistGradientBoostingClassifier

    chance = np.random.default_rng(3)
    rows = chance.normal(size=(400, 5)).astype(np.float32)
    gold = (rows[:, 0] > 0).astype(int) + (rows[:, 1] * rows[:, 2] > 0.3)
    grown = HistGradientBoostingClassifier(max_iter=4, max_leaf_nodes=6, max_bins=16).fit(rows, gold)
    again = trees.Trees(trees.exported(grown))
    assert again.scores(rows) == pytest.approx(grown.decision_function(rows), abs=1e-5)


def test_trees_learn_what_the_last_turn_tells():
    talks = [session("ab", "Ss", [2], seed=n) for n in range(120)]
    start = trees.flat(talks)[:, 0]  # a direction of the last seeker turn
    told = [
        Session(t.turns, t.texts, t.places, t.structure, np.array([int(v > 0)]))
        for t, v in zip(talks, start, strict=True)
    ]
    grown = trees.Trees.fit(
        told, 4, trees.TreesConfig(rounds=5, learning_rate=0.5, leaf_moments=5, features=1.0, bins=8), seed=1
    )
    beliefs = grown.beliefs(told)
    assert (beliefs.argmax(axis=1) == (start > 0)).mean() > 0.9
    assert beliefs[:, 2:].max() < 0.02  # never seen, and yet there


def test_grams_are_words_marks_and_pairs():
    assert words.grams("Thanks, bye!") == ["thanks", "bye", "!", "thanks bye", "bye !"]
    assert words.grams("") == []


def test_a_row_of_words_by_hand():
    talks = [session(["no no yes", "why"], "sS", [1, 2], seed=n) for n in range(2)]
    made = words.Words.fit(talks, 2, words.WordsConfig(seen=1))
    assert made.words()["supporter"] == ["why"]
    assert made.words()["seeker"] == ["no", "no no", "no yes", "yes"]
    row = made.rows(talks).toarray()[0]
    count = np.array([1 + np.log(2), 1, 1, 1])  # all as rare: rarity falls out of the length
    assert row[:4] == pytest.approx(count / np.linalg.norm(count))
    assert row[4] == 0  # the supporter has not yet spoken
    assert made.rows(talks).toarray()[1, 4] == pytest.approx(1)
    assert row[-1] == 1


def test_the_gradient_of_the_penalised_loss():
    chance = np.random.default_rng(0)
    rows = sparse.csr_matrix(np.c_[chance.normal(size=(7, 3)), np.ones(7)])
    loss = words.penalised(rows, chance.integers(0, 3, 7), 3, freedom=0.4)
    place = chance.normal(size=12)
    _, found = loss(place)
    step = 1e-6
    moved = [(loss(place + step * one)[0] - loss(place - step * one)[0]) / (2 * step) for one in np.eye(12)]
    assert found == pytest.approx(moved, abs=1e-7)


def test_the_penalty_leaves_the_last_column_free():
    rows, gold = sparse.csr_matrix(np.ones((8, 1))), np.array([0] * 6 + [1] * 2)
    weights = words.regression(rows, gold, 2, freedom=1e-6, steps=50)
    assert weights[0, 0] - weights[0, 1] == pytest.approx(np.log(3), abs=1e-3)  # 6 against 2
