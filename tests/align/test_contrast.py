"""Sampling, rating and contrast: ledgers that resume, files that do not match, and a system that learns."""

import json

import pytest
import torch

from hearten.align.contrast import (
    ContrastConfig,
    ContrastTask,
    ContrastTraining,
    Lesson,
    held_out,
    learn,
    lessons,
)
from hearten.align.losses import VARIANTS, Objective, scores_of
from hearten.align.rating import gain, paired, rate_candidates, rate_predictions, shares, turns_of
from hearten.align.records import RatedSet, context_key
from hearten.align.sampling import LEDGER, candidates_of, chosen_conversations, read_ledger, sample
from hearten.core.conversation import Role
from hearten.core.errors import Failure, UsageError
from hearten.core.records import FacetVerdict, Prediction, Reply
from hearten.core.runfolder import RunFolder
from hearten.core.taxonomy import label_set
from hearten.lm.adapters import AdapterConfig
from hearten.lm.backbone import BackboneConfig
from hearten.lm.decode import POLICIES, DiverseDecoding
from hearten.models.systems import SYSTEMS

pytestmark = pytest.mark.usefixtures("exact")

TWO = DiverseDecoding(n=4, groups=4, min_tokens=1, max_tokens=5)


def built(folder, name="joint"):
    torch.manual_seed(11)
    shape = BackboneConfig(name=str(folder), adapter=AdapterConfig(kind="full"))
    return SYSTEMS[name](SYSTEMS[name].config_class(backbone=shape), label_set("esconv"))


def replies(*texts):
    return [Reply(text=text) for text in texts]


def test_conversations_are_dealt_once(supporter_turns):
    whole = chosen_conversations(supporter_turns, seed=1)
    assert sum(map(len, whole)) == len(supporter_turns)
    shards = [chosen_conversations(supporter_turns, seed=1, shard=f"{k}/3") for k in (1, 2, 3)]
    ids = [talk[0].conversation_id for shard in shards for talk in shard]
    assert sorted(ids) == sorted(talk[0].conversation_id for talk in whole)
    assert sum(map(len, chosen_conversations(supporter_turns, seed=1, limit=7))) == 7
    with pytest.raises(UsageError, match="'4/3' is no shard"):
        chosen_conversations(supporter_turns, seed=1, shard="4/3")


@pytest.mark.parametrize("tiny", ["llama", "bart"], indirect=True)
def test_sampling_goes_on_where_it_stopped(tmp_path, tiny, supporter_turns):
    system, talks = built(tiny), chosen_conversations(supporter_turns, seed=1, limit=9)
    whole, broken = tmp_path / "whole" / LEDGER, tmp_path / "broken" / LEDGER
    assert sample(system, talks, TWO, POLICIES["gold"], whole, quiet=True) == 9
    asked = []
    real = system.generate

    def stopping(examples, *rest):
        asked.append([(one.conversation_id, one.index) for one in examples])
        if len(asked) == 2:
            raise KeyboardInterrupt
        return real(examples, *rest)

    system.generate = stopping
    with pytest.raises(KeyboardInterrupt):
        sample(system, talks, TWO, POLICIES["gold"], broken, quiet=True)
    with broken.open("a") as stream:
        stream.write('{"conversation_id": "torn')
    assert sample(system, talks, TWO, POLICIES["gold"], broken, quiet=True) == 9
    assert read_ledger([broken]) == read_ledger([whole])
    done = [key for n, keys in enumerate(asked) if n != 1 for key in keys]
    assert len(done) == len(set(done)), "no context is sampled twice"
    found = read_ledger([whole])[0]
    assert [one.rank for one in found.candidates] == [0, 1, 2, 3]
    assert found.candidates[0].strategy is not None


def test_another_corpus_is_noticed(tmp_path, supporter_turns, word_rater):
    one = supporter_turns[0]
    other = one.model_copy(update={"context": (one.context[0].model_copy(update={"text": "Changed."}),)})
    made = [candidates_of(one, replies("a", "b"))]
    with pytest.raises(Failure, match="another context than its candidates"):
        rate_candidates(word_rater, [other], made, tmp_path / "v.jsonl", quiet=True)
    with pytest.raises(Failure, match="is no turn of this corpus"):
        rate_candidates(word_rater, supporter_turns[1:], made, tmp_path / "v.jsonl", quiet=True)
    with pytest.raises(Failure, match="is no training turn"):
        lessons(supporter_turns[1:], made, [])


def test_nothing_is_rated_twice(tmp_path, supporter_turns, word_rater):
    made = [candidates_of(one, replies("you must", "fine", " ")) for one in supporter_turns[:4]]
    ledger = tmp_path / "verdicts.jsonl"
    rate_candidates(word_rater, supporter_turns, made[:2], ledger, quiet=True)
    found = rate_candidates(word_rater, supporter_turns, made, ledger, quiet=True)
    assert len(found) == 4
    assert len(word_rater.asked) == 4
    assert word_rater.asked[0][1] == ("you must", "fine"), "an empty reply is not asked about"
    assert [[one.helpful for one in row] for row in found[0].verdicts] == [
        [True, False, True],
        [True, True, True],
        [None, None, None],
    ]
    table = shares(row for one in found for row in one.verdicts)
    assert (table.items, table.helpful, table.unscored) == (12, 0.5, 4)
    assert table.by_facet == {"empathy": 1.0, "skill": 0.5, "coherence": 1.0}
    with pytest.raises(Failure, match="holds verdicts of 'words'"):
        rate_candidates(type(word_rater)("second"), supporter_turns, made, ledger, quiet=True)


def rated(word_rater, example, *texts):
    made = candidates_of(example, replies(*texts))
    verdicts = tuple(word_rater.rate(example.context, texts))
    return made, RatedSet(
        conversation_id=example.conversation_id,
        index=example.index,
        context=context_key(example),
        rater="words",
        verdicts=verdicts,
    )


def test_what_teaches_nothing_is_counted(supporter_turns, word_rater):
    texts = [
        ("fine", "you must"),  # a lesson
        ("fine", "good"),
        ("you must", "cold"),
        ("fine", "Fine ", "fine"),
        ("huh", "huh huh"),
        ("fine", "you must", "huh", "you must"),  # a lesson of two: open and repeated ones are dropped
    ]
    made = [rated(word_rater, one, *each) for one, each in zip(supporter_turns, texts, strict=False)]
    alone = candidates_of(supporter_turns[6], replies("x", "y"))
    found, skipped = lessons(supporter_turns, [*(m for m, _ in made), alone], [r for _, r in made])
    assert skipped == {
        "all candidates helpful": 1,
        "all candidates unhelpful": 1,
        "all candidates alike": 1,
        "no candidate could be rated": 1,
        "not rated": 1,
    }
    assert [lesson.helpful for lesson in found] == [(True, False), (True, False)]
    assert found[0].options[0] == supporter_turns[0], "the gold reply first"
    assert [option.response for option in found[1].options[1:]] == ["fine", "you must"]
    only_empathy, _ = lessons(supporter_turns, [made[0][0]], [made[0][1]], ("empathy",))
    assert not only_empathy, "by empathy alone both are helpful (Table 3)"


def test_verdicts_that_do_not_fit_their_candidates(supporter_turns, word_rater):
    made, verdicts = rated(word_rater, supporter_turns[0], "a", "b")
    short = verdicts.model_copy(update={"verdicts": verdicts.verdicts[:1]})
    with pytest.raises(Failure, match="1 verdicts for 2 candidates"):
        lessons(supporter_turns, [made], [short])


def lesson_of(example, texts, helpful):
    return Lesson(
        (example, *(example.model_copy(update={"response": text}) for text in texts)), tuple(helpful)
    )


@pytest.mark.parametrize("tiny", ["llama", "gpt2", "blenderbot", "bart"], indirect=True)
@pytest.mark.parametrize("name", ["vanilla", "joint"])
def test_scores_are_those_of_replies_alone(tiny, name, supporter_turns):
    system = built(tiny, name).eval()
    lesson = lesson_of(supporter_turns[3], ["What now?", "You are not alone."], [True, False])
    task = ContrastTask(system, [], Objective())
    together, gold = task._scores(lesson)
    expected = []
    for option in lesson.options:
        batch = system.collate(system.backbone.options([option]), [option])
        (likelihood,) = system.likelihoods(batch)
        nll, tokens = likelihood.nll, likelihood.tokens
        if likelihood.strategy_logprobs:
            nll -= likelihood.strategy_logprobs[system.labels.position(option.strategy)]
            tokens += 1
        expected.append(-nll / tokens)
    assert together.tolist() == pytest.approx(expected[1:], abs=1e-4)
    assert float(gold.detach()) == pytest.approx(-expected[0], abs=1e-4)


def test_the_total_by_hand(tiny_llama, supporter_turns):
    system = built(tiny_llama).eval()
    lesson = lesson_of(supporter_turns[3], ["What now?", "You are not alone."], [True, False])
    task = ContrastTask(system, [], Objective(margin=0.3, weight=2.0, generation=0.5))
    scores, generation = (one.detach() for one in task._scores(lesson))
    total, named = task.losses(lesson)
    hinge = max(0.0, float(scores[1] - scores[0]) + 0.3)
    assert float(named["contrast"].detach()) == pytest.approx(hinge, abs=1e-5)
    assert float(total.detach()) == pytest.approx(2 * hinge + 0.5 * float(generation), abs=1e-5)


@pytest.mark.parametrize("name", ["joint", "vanilla"])
def test_the_control_reads_no_candidate(tiny_llama, supporter_turns, name):
    system = built(tiny_llama, name).eval()
    lesson = lesson_of(supporter_turns[3], ["What now?", "You are not alone."], [True, False])
    control, named = ContrastTask(system, [], VARIANTS["gold"]).losses(lesson)
    _, whole = ContrastTask(system, [], Objective()).losses(lesson)
    assert set(named) == {"generation"}
    assert float(control.detach()) == pytest.approx(float(whole["generation"].detach()), abs=1e-5)
    read = []
    system.backbone.options = lambda options: (
        read.extend(options) or type(system.backbone).options(system.backbone, options)
    )
    ContrastTask(system, [], VARIANTS["gold"]).losses(lesson)
    assert [one.response for one in read] == [supporter_turns[3].response]


@pytest.mark.parametrize("variant", ["muffin", "paper", "list", "dpo", "simpo", "released", "printed"])
def test_a_system_learns_which_reply_helps(tmp_path, tiny_llama, supporter_turns, variant):
    texts = ["What did the letter say?", "You must sleep now."]
    found = [lesson_of(one, texts, [True, False]) for one in supporter_turns[:24]]
    system = built(tiny_llama)
    objective = VARIANTS[variant].model_copy(update={"margin": 0.5, "generation": 0.0})
    config = ContrastConfig(objective=objective, training=ContrastTraining(learning_rate=3e-3, epochs=2))
    before = gap(system, found[0])
    state = learn(system, found, config, RunFolder(tmp_path), quiet=True)
    assert state.step > 2
    after = gap(system, found[0])
    assert after < before if variant == "printed" else after > before


@torch.no_grad()
def gap(system, lesson):
    system.eval()
    batch = system.collate(system.backbone.options(lesson.options), lesson.options)
    scores = scores_of(system.score(batch), batch.example_of, len(lesson.options), Objective())
    return float(scores[1] - scores[2])


def test_a_run_that_pauses_arrives_at_the_same_numbers(tmp_path, tiny_llama, supporter_turns):
    found = [lesson_of(one, ["So?", "You must."], [True, False]) for one in supporter_turns[:20]]
    config = ContrastConfig(training=ContrastTraining(batch_contexts=4))
    whole = learn(built(tiny_llama), found, config, RunFolder(tmp_path / "a"), quiet=True)
    state = learn(built(tiny_llama), found, config, RunFolder(tmp_path / "b"), pause=1e-9, quiet=True)
    assert state.step == 1
    while state.step < whole.step:
        state = learn(built(tiny_llama), found, config, RunFolder(tmp_path / "b"), pause=1e-9, quiet=True)
    rows = [
        [json.loads(line) for line in (tmp_path / name / "metrics.jsonl").read_text().splitlines()]
        for name in "ab"
    ]
    for one, other in zip(*rows, strict=True):
        assert {k: v for k, v in one.items() if "second" not in k} == {
            k: v for k, v in other.items() if "second" not in k
        }


def test_whole_conversations_are_held_out(supporter_turns):
    found = [lesson_of(one, ["a", "b"], [True, False]) for one in supporter_turns]
    train, valid = held_out(found, 13, 40)
    names = [{lesson.options[0].conversation_id for lesson in part} for part in (train, valid)]
    assert not names[0] & names[1]
    assert len(train) + len(valid) == len(found)
    with pytest.raises(Failure, match="are too few"):
        held_out(found[:1], 13, 40)


def prediction(number, text):
    return Prediction(
        conversation_id=f"c{number}",
        index=1,
        turns_total=4,
        context=("supporter: Hello.", "seeker: It is 2 o'clock: I cannot sleep."),
        reference="Oh.",
        hypothesis=text,
    )


def test_runs_are_compared_on_the_same_turns(tmp_path, word_rater):
    turns = turns_of(prediction(0, "x"))
    assert [turn.speaker for turn in turns] == [Role.SUPPORTER, Role.SEEKER]
    assert turns[1].text == "It is 2 o'clock: I cannot sleep."
    before = [prediction(k, "you must" if k < 6 else "fine") for k in range(10)]
    after = [prediction(k, "fine" if k != 9 else "you must") for k in range(10)]
    ledger = tmp_path / "v.jsonl"
    first = rate_predictions(word_rater, before, ledger, quiet=True)
    assert rate_predictions(word_rater, before, ledger, quiet=True) == first
    assert len(word_rater.asked) == 10
    changed = rate_predictions(word_rater, after, ledger, quiet=True)
    # 6 became helpful, 1 no longer is: two-sided exact p = 2 · (C(7,0) + C(7,1)) / 2^7
    lost, won, p = paired(first, changed)
    assert (lost, won) == (1, 6)
    assert p == pytest.approx(2 * (1 + 7) / 2**7)
    assert len({len(one) for one in (first, changed)}) == 1


def judged_turn(talk, turn, *helpful):
    """Verdicts on one facet; None is open."""
    verdicts = tuple((FacetVerdict(facet="skill", label=None, helpful=one),) for one in helpful)
    return RatedSet(conversation_id=talk, index=turn, context="c", rater="r", verdicts=verdicts)


def test_several_replies_are_compared_by_conversation():
    before = [
        judged_turn("a", 1, True, False),
        judged_turn("a", 3, False, False),
        judged_turn("b", 1, False, None),
        judged_turn("c", 1, False, True),
        judged_turn("d", 1, None, None),
        judged_turn("e", 1, True, True),
    ]
    after = [
        judged_turn("a", 1, True, True),
        judged_turn("a", 3, False, True),
        judged_turn("b", 1, True, True),
        judged_turn("c", 1, True, True),
        judged_turn("d", 1, True, True),
    ]
    found = gain(before, after)
    # a context with no verdict ("d") or in one ledger alone ("e") is left out
    assert (found.contexts, found.conversations) == (4, 3)
    assert found.before == pytest.approx((0.5 + 0 + 0 + 0.5) / 4)
    assert found.after == pytest.approx((1 + 0.5 + 1 + 1) / 4)
    assert found.p == pytest.approx(2 / 2**3)  # three conversations, all of one sign
    assert gain(before, before).p == 1.0
    with pytest.raises(Failure, match="no context in common"):
        gain(before[:1], after[2:])
