"""Raters behind one interface: scored class names, sentence vectors, chat models; and their training."""

import math

import numpy as np
import pytest
import torch

from hearten.align import measure
from hearten.align.facets import FacetsConfig, Sources, build, write
from hearten.align.light import LightConfig, fit_light
from hearten.align.raters import RaterConfig, RaterTask, RaterTraining, packed, plan, train_rater
from hearten.align.records import FacetItem, seeker
from hearten.core.errors import UsageError
from hearten.core.rater import Rater, aggregate, facet, judge, unhelpful_share, verdict
from hearten.core.records import FacetVerdict
from hearten.lm.adapters import AdapterConfig
from hearten.lm.backbone import BackboneConfig
from hearten.models.fitting import make_optimizer
from hearten.models.raters import ensemble, open_rater
from hearten.models.raters.asked import AskedRater, read_class
from hearten.models.raters.ensemble import EnsembleRater, averaged
from hearten.models.raters.language import LanguageRater, LanguageRaterConfig, Question
from hearten.models.raters.threshold import ThresholdRater, with_thresholds, write_thresholds

pytestmark = pytest.mark.usefixtures("exact")


def of(facet_name, helpful):
    return FacetVerdict(facet=facet_name, label=None, helpful=helpful)


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ([True, True, True], True),
        ([True, False, True], False),
        ([True, None, True], None),
        ([None, False, True], False),
        ([], None),
    ],
)
def test_a_reply_is_helpful_when_no_facet_says_otherwise(answers, expected):
    assert aggregate(of("skill", answer) for answer in answers) is expected


def test_a_verdict_is_the_likeliest_class():
    found = verdict("skill", {"MI Adherent": 0.35, "MI Non-Adherent": 0.4, "Other": 0.25})
    assert (found.label, found.helpful) == ("MI Non-Adherent", False)
    assert unhelpful_share(found) == 0.4
    assert unhelpful_share(of("skill", True)) is None


def test_a_threshold_decides_and_the_label_stays_on_its_side():
    said = {"No Empathy": 0.4, "Weak Empathy": 0.45, "Strong Empathy": 0.15}
    assert verdict("empathy", said).label == "Weak Empathy"
    assert verdict("empathy", said, threshold=0.4).label == "No Empathy"
    assert verdict("empathy", said, threshold=0.4).helpful is False
    assert verdict("empathy", said, threshold=0.41).label == "Weak Empathy"


class Fixed:
    """Says P(unhelpful) of a reply that is a number."""

    name, facets = "fixed", ("coherence",)

    def rate(self, context, replies):
        return [(verdict("coherence", {"No": float(one), "Yes": 1 - float(one)}),) for one in replies]


def test_a_threshold_rater_decides_anew(tmp_path):
    assert with_thresholds(Fixed(), tmp_path).name == "fixed"
    write_thresholds(tmp_path, {"coherence": 0.7})
    rater = with_thresholds(Fixed(), tmp_path)
    assert isinstance(rater, ThresholdRater)
    assert isinstance(rater, Rater)
    replies = ["0.6", "0.7"]
    assert [row[0].helpful for row in rater.rate((), replies)] == [True, False]
    assert [one.helpful for one in judge(rater, "coherence", [((), one) for one in replies])] == [True, False]
    open_verdict = FacetVerdict(facet="coherence", label=None, helpful=None)
    assert rater._decided(open_verdict) is open_verdict


def test_several_raters_average_their_thresholds():
    one, other = (ThresholdRater(Fixed(), {"coherence": place}) for place in (0.5, 0.9))
    both = ensemble([one, other])
    assert both.thresholds == {"coherence": 0.7}
    assert both.rate((), ["0.69"])[0][0].helpful
    assert [said.helpful for said in judge(both, "coherence", [((), "0.69"), ((), "0.7")])] == [True, False]
    assert not isinstance(ensemble([one, Fixed()]), ThresholdRater)


def judged_at(share, unhelpful):
    label = "No" if unhelpful else "Yes"
    said = verdict("coherence", {"No": share, "Yes": 1 - share})
    return measure.Judged(item(0, "coherence", label, "x"), said)


def test_the_threshold_is_where_macro_f1_is_best():
    # all that is unhelpful lies at 0.3, all that is helpful below 0.2, so any place between them is right; of
    # those whose two neighbours on either side are right too, 0.24 and 0.26, the latter is nearer to a half
    rows = [(0.15, False)] * 5 + [(0.19, False)] * 5 + [(0.3, True)] * 2
    found = [judged_at(*row) for row in rows]
    assert measure.thresholds(found) == {"coherence": 0.26}
    assert measure.thresholds([measure.Judged(found[0].item, of("coherence", True))]) == {}


def built(folder, **adapter):
    torch.manual_seed(4)
    shape = AdapterConfig(rank=2, modules="attention", **adapter)
    return LanguageRater(LanguageRaterConfig(backbone=BackboneConfig(name=str(folder), adapter=shape)))


CONTEXT = (seeker("I have not slept since the letter came."),)
REPLIES = ["What did the letter say?", "You must go to bed.", "You are not alone."]


@torch.no_grad()
def alone(rater, name, reply):
    """P of each class of one reply, by plain passes over the whole text, one for every node of the trie."""
    choices = rater.choices[name]
    text = [*rater._instructions[name], *rater.context_ids(facet(name), CONTEXT), *rater.reply_ids(reply)]
    found = {}
    for number, label in enumerate(choices.names):
        chance = 1.0
        for node, place in choices.steps(number):
            logits = rater.backbone.model(input_ids=torch.tensor([[*text, *node]])).logits[0, -1]
            chance *= float(logits[choices.nodes[node]].softmax(-1)[place])
        found[label] = chance
    return found


@pytest.mark.parametrize("tiny", ["llama", "gpt2"], indirect=True)
def test_sharing_changes_no_probability(tiny):
    rater = built(tiny).eval()
    assert isinstance(rater, Rater)
    for _ in range(2):  # the second time from the cache of the instructions
        for reply, verdicts in zip(REPLIES, rater.rate(CONTEXT, REPLIES), strict=True):
            for one in verdicts:
                assert one.probabilities == pytest.approx(alone(rater, one.facet, reply), abs=2e-4)
                assert sum(one.probabilities.values()) == pytest.approx(1, abs=1e-4)
    assert rater.rate(CONTEXT, []) == []


def test_the_adapter_is_on_the_attention_alone(tiny_llama, tiny_gpt2):
    names = {name.split(".")[-4] for name in built(tiny_llama).trainable()}
    assert names == {"q_proj", "k_proj", "v_proj", "o_proj"}
    assert {name.split(".")[-4] for name in built(tiny_gpt2).trainable()} == {"c_attn", "c_proj"}


def test_training_sees_the_same_likelihoods(tiny_llama):
    rater = built(tiny_llama).eval()
    for name in rater.facets:
        asked = [Question(CONTEXT, (reply,)) for reply in REPLIES]
        found = rater.probabilities(name, asked)
        classes = facet(name).classes
        for number, label in enumerate(classes):
            logs = rater.loglikelihoods(name, asked, [number] * 3)
            assert logs.exp().tolist() == pytest.approx([one[label] for one in found], abs=1e-4)
        mixed = rater.loglikelihoods(name, asked, [0, 1, 0]).exp().tolist()
        assert mixed == pytest.approx([found[k][classes[c]] for k, c in enumerate([0, 1, 0])], abs=1e-4)


def item(number, name, label, reply):
    return FacetItem(
        id=str(number), facet=name, context=CONTEXT, reply=reply, label=label, source="mi", group=str(number)
    )


def test_the_loss_by_hand(tiny_llama):
    rater = built(tiny_llama).eval()
    items = [item(0, "coherence", "Yes", REPLIES[0]), item(1, "coherence", "No", REPLIES[1]),
             item(2, "coherence", "No", REPLIES[2])]  # fmt: skip
    task = RaterTask(rater, items, items)
    (row,) = packed(rater, items, 10_000)
    logs = [math.log(alone(rater, "coherence", one.reply)[one.label]) for one in items]
    assert float(task.losses(row)[0].detach()) == pytest.approx(-sum(logs) / 3, abs=1e-3)
    # frequencies 1 and 2 to the power −1, scaled so that the items' mean is 1: 1.5 and 0.75
    task.weigh(items, 1.0)
    expected = -(1.5 * logs[0] + 0.75 * (logs[1] + logs[2])) / 3
    assert float(task.losses(row)[0].detach()) == pytest.approx(expected, abs=1e-3)


def test_a_rater_learns_what_it_is_shown(tiny_llama):
    rater = built(tiny_llama)
    items = [item(k, "coherence", ("Yes", "No")[k % 2], REPLIES[k % 2]) for k in range(8)]
    task = RaterTask(rater, items, items)
    training = RaterTraining(epochs=30, batch_items=8, learning_rate=3e-2)
    optimizer = make_optimizer(task, training)
    before = task.validate()["valid_nll"]
    for step in plan(rater, items, training, seed=1):
        task.train()
        sum(task.losses(micro)[0] for micro in step).backward()
        optimizer.step()
        optimizer.zero_grad()
    assert task.validate()["valid_nll"] < before / 2


def test_every_item_is_in_every_epoch_once(tiny_llama):
    rater = built(tiny_llama)
    items = [
        item(k, ("coherence", "skill")[k % 2], ("Yes", "Other")[k % 2], f"Reply {k}.") for k in range(20)
    ]
    steps = plan(rater, items, RaterTraining(epochs=2, row_tokens=64, batch_items=4), seed=1)
    seen = [one.id for step in steps for row in step for one in row.items]
    assert sorted(seen) == sorted([one.id for one in items] * 2)
    assert steps == plan(rater, items, RaterTraining(epochs=2, row_tokens=64, batch_items=4), seed=1)


@pytest.fixture
def facet_folder(tmp_path, epitome_folder, mi_file, supporter_turns):
    config = FacetsConfig(pairs=20)
    write(
        build(Sources(epitome_folder, mi_file, None, supporter_turns), config),
        tmp_path / "facets",
        config,
        {},
    )
    return tmp_path / "facets"


def test_a_rater_is_trained_paused_and_opened_again(tmp_path, tiny_llama, facet_folder):
    shape = AdapterConfig(rank=2, modules="attention")
    config = RaterConfig(
        rater=LanguageRaterConfig(backbone=BackboneConfig(name=str(tiny_llama), adapter=shape)),
        training=RaterTraining(batch_items=16, valid_items=9),
    )
    whole = train_rater(config, facet_folder, tmp_path / "whole", command="x", quiet=True)
    paused = train_rater(config, facet_folder, tmp_path / "slices", command="x", pause=1e-9, quiet=True)
    assert paused.step == 1
    while paused.step < whole.step:
        paused = train_rater(config, facet_folder, tmp_path / "slices", command="x", pause=1e-9, quiet=True)
    first, second = open_rater(str(tmp_path / "whole")), open_rater(str(tmp_path / "slices"))
    assert first.rate(CONTEXT, REPLIES) == second.rate(CONTEXT, REPLIES)
    with pytest.raises(UsageError, match="another configuration"):
        train_rater(config.model_copy(update={"seed": 5}), facet_folder, tmp_path / "whole", command="x")


class FakeChat:
    name = "fake"

    def __init__(self, *answers):
        self.answers, self.asked = list(answers), []

    def complete(self, messages, *, sampling=None, n=1):
        self.asked.append(messages[-1].content)
        return [self.answers.pop(0)]


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("MI Non-Adherent", "MI Non-Adherent"),
        ("mi non-adherent.", "MI Non-Adherent"),
        ("The answer is: MI Adherent", "MI Adherent"),
        ("It is MI Adherent, not Other", None),
        ("no idea", None),
        ("", None),
    ],
)
def test_a_chat_models_answer_is_read_strictly(raw, expected):
    assert read_class(facet("skill"), raw) == expected


def test_an_answer_that_cannot_be_read_stays_open():
    rater = AskedRater(FakeChat("Strong Empathy", "hm", "Yes"))
    (verdicts,) = rater.rate(CONTEXT, ["So?"])
    assert [one.label for one in verdicts] == ["Strong Empathy", None, "Yes"]
    assert verdicts[1].raw == "hm"
    assert aggregate(verdicts) is None


def test_an_ensemble_averages_what_is_known():
    yes = verdict("coherence", {"Yes": 0.9, "No": 0.1})
    no = verdict("coherence", {"Yes": 0.2, "No": 0.8})
    mean = averaged("coherence", [yes, no, of("coherence", None)])
    assert mean.probabilities == pytest.approx({"Yes": 0.55, "No": 0.45})
    vote = FacetVerdict(facet="coherence", label="No", helpful=False)
    assert averaged("coherence", [yes, vote]).probabilities == pytest.approx({"Yes": 0.45, "No": 0.55})
    assert averaged("coherence", [of("coherence", None)]).label is None


def test_raters_of_different_facets_are_one(word_rater):
    one, other = type(word_rater)("a", ("empathy",)), type(word_rater)("b", ("skill", "coherence"))
    both = EnsembleRater([one, other])
    assert both.name == "a+b"
    assert both.rate((), ["you must"]) == word_rater.rate((), ["you must"])


@pytest.fixture
def vectors(monkeypatch):
    """Sentence vectors that say how often each letter occurs: no encoder is needed."""

    def fake(texts, *, layers):
        rows = [[text.casefold().count(chr(97 + k)) for k in range(26)] for text in texts]
        return np.array(rows, dtype=np.float32).reshape(len(texts), 26)

    monkeypatch.setattr("hearten.models.raters.embedding.embed", fake)


@pytest.mark.parametrize("hidden", [0, 8])
def test_the_light_rater_is_the_average_of_its_members(tmp_path, vectors, hidden):
    from sklearn.neural_network import MLPClassifier

    items = [
        item(k, "coherence", ("Yes", "No")[k % 2], ("zzz", "eee")[k % 2] * (1 + k % 5)) for k in range(60)
    ]
    items += [item(k, "skill", facet("skill").classes[k % 3], "abc"[k % 3] * (1 + k % 4)) for k in range(60)]
    made = []
    real = MLPClassifier.fit

    def kept(self, rows, answers):
        made.append((self, rows))
        return real(self, rows, answers)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MLPClassifier, "fit", kept)
        rater = fit_light(items, LightConfig(hidden=hidden, members=2, facets=("coherence", "skill")))
    for name, members in (("coherence", made[:2]), ("skill", made[2:])):
        asked = [(one.context, one.reply) for one in items if one.facet == name]
        found = judge(rater, name, asked)
        logits = np.mean([np.log(member.predict_proba(rows)) for member, rows in members], axis=0)
        expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        for one, row in zip(found, expected, strict=True):
            assert list(one.probabilities.values()) == pytest.approx(row.tolist(), abs=0.02)
    rater.save(tmp_path)
    again = open_rater(str(tmp_path))
    assert again.rate(CONTEXT, REPLIES) == rater.rate(CONTEXT, REPLIES)
    assert {path.suffix for path in tmp_path.iterdir()} == {".json", ".npz"}


def test_no_rater_there(tmp_path):
    with pytest.raises(UsageError, match="holds no rater"):
        open_rater(str(tmp_path))


def test_accuracy_and_macro_f1_by_hand():
    # 3 hits of 4; unhelpful: 1 hit, 1 false alarm → 2/3; helpful: 2 hits, 1 miss → 4/5
    answers = [(True, True), (True, False), (False, False), (False, False)]
    assert measure.accuracy(answers) == 0.75
    assert measure.macro_f1(answers) == pytest.approx((2 / 3 + 4 / 5) / 2)
    # the paper's constant rater: accuracy a gives a / (1 + a)
    constant = [(True, k < 19) for k in range(100)]
    assert measure.macro_f1(constant) == pytest.approx(0.19 / 1.19)


def test_quality_is_counted_by_facet_and_pooled(word_rater):
    items = [
        item(0, "skill", "MI Non-Adherent", "you must"),
        item(1, "skill", "Other", "I see"),
        item(2, "skill", "MI Non-Adherent", "I see too"),
        item(3, "coherence", "Yes", "fine"),
        item(4, "coherence", "No", "huh"),
    ]
    found = measure.judged(word_rater, items)
    values = {score.name: score for score in measure.scores(found, "words", "abc")}
    assert values["skill accuracy"].value == pytest.approx(2 / 3)
    assert values["coherence accuracy"].value == 1.0
    assert values["coherence accuracy"].note == "1 unscored"
    assert values["pooled accuracy"].items == 4
    assert "rater=words|test=abc" in values["pooled accuracy"].signature
    # skill: said 0.9 of one (unhelpful), 0.1 of two (one unhelpful): (0.1 · 1 + 0.4 · 2) / 3
    assert values["skill calibration error"].value == pytest.approx((0.1 + 2 * 0.4) / 3)
    assert measure.by_source(found) == {"mi": (0.75, 4)}


def test_the_calibration_plot_is_drawn(tmp_path, word_rater):
    items = [item(0, "skill", "Other", "I see"), item(1, "coherence", "No", "huh")]
    measure.plot(measure.judged(word_rater, items), tmp_path / "plot.svg")
    assert "<svg" in (tmp_path / "plot.svg").read_text(encoding="utf-8")
