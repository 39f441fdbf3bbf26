"""Diverse beam search against a plain reference, every text there is, and transformers 4.x."""

import importlib.util
import itertools
import json
import math
import random
from pathlib import Path

import pytest
import torch

from hearten.core.errors import UsageError
from hearten.core.taxonomy import label_set
from hearten.lm.adapters import AdapterConfig
from hearten.lm.backbone import BackboneConfig, open_backbone
from hearten.lm.decode import POLICIES, DiverseDecoding, generate
from hearten.lm.diverse import Past, Search, grams_of, past_of

GOLDEN = Path(__file__).parents[1] / "golden"
END = 1

pytestmark = pytest.mark.usefixtures("exact")


class Table:
    """A stepper over a made-up language: the scores after a text depend on its last two ids and its seed."""

    def __init__(self, contexts, copies, words, seed):
        self.words, self.seed = words, seed
        self.prompts = [list(context) for context in contexts for _ in range(copies)]
        self.texts = [list(prompt) for prompt in self.prompts]

    def scores_of(self, text):
        own = random.Random(f"{self.seed}/{text[-2:]}")
        return torch.tensor([own.gauss(0, 1.5) for _ in range(self.words)])

    def first(self):
        return torch.stack([self.scores_of(text) for text in self.texts])

    def next(self, tokens):
        self.texts = [[*text, token] for text, token in zip(self.texts, tokens.tolist(), strict=True)]
        return self.first()

    def keep(self, rows):
        self.texts = [self.texts[row] for row in rows.tolist()]
        self.prompts = [self.prompts[row] for row in rows.tolist()]


def searched(stepper, contexts, decoding, pasts=None):
    pasts = pasts or [past_of(context, [], decoding, causal=True) for context in contexts]
    found = Search(decoding, END, torch.tensor([], dtype=torch.long), pasts).run(stepper, stepper.first())
    return [[(list(one.ids), one.score) for one in endings] for endings in found]


def reference(model, context, d):
    """One context, no batch, no tensors: every continuation of every beam written out and sorted."""
    width = d.n // d.groups
    groups = [{"beams": [([], 0.0)], "ended": [], "done": False} for _ in range(d.groups)]
    for length in range(d.max_tokens):
        said_now = []
        for group in groups:
            if group["done"]:
                continue
            options = []
            for said, total in group["beams"]:
                text = [*context, *said]
                scores = model.scores_of(text).double().log_softmax(-1).tolist()
                known = text if d.no_repeat_context else said
                for word, score in enumerate(scores):
                    gram = tuple([*known, word][-d.no_repeat :]) if d.no_repeat else None
                    spans = [tuple(known[k : k + d.no_repeat]) for k in range(len(known) - d.no_repeat + 1)]
                    if gram is not None and len(gram) == d.no_repeat and gram in spans:
                        continue
                    if word == END and length < d.min_tokens:
                        continue
                    options.append((total + score - d.penalty * said_now.count(word), said, word))
            options.sort(key=lambda one: -one[0])
            beams = []
            for rank, (total, said, word) in enumerate(options):
                if word == END:
                    if rank < width:
                        group["ended"].append((said, total / (length + 1) ** d.length_penalty))
                    continue
                beams.append(([*said, word], total))
                if len(beams) == width:
                    break
            group["beams"] = beams
            group["ended"] = sorted(group["ended"], key=lambda one: -one[1])[:width]
            said_now += [said[-1] for said, _ in beams]
            best = options[0][0] / (length + 1) ** d.length_penalty
            group["done"] = len(group["ended"]) == width and group["ended"][-1][1] >= best
    for group in groups:
        if not group["done"]:
            power = d.max_tokens**d.length_penalty
            group["ended"] += [(said, total / power) for said, total in group["beams"]]
            group["ended"] = sorted(group["ended"], key=lambda one: -one[1])[:width]
    return sorted((one for group in groups for one in group["ended"]), key=lambda one: -one[1])


SHAPES = [(1, 1), (3, 3), (4, 2), (4, 1), (6, 3), (10, 10)]


@pytest.mark.parametrize("seed", range(30))
def test_the_search_is_the_plain_reference(seed):
    # seeds, groups, penalties, lengths, n-grams and powers all vary; two contexts at once
    own = random.Random(seed)
    beams, groups = SHAPES[seed % len(SHAPES)]
    decoding = DiverseDecoding(
        n=beams,
        groups=groups,
        penalty=own.choice([0.0, 0.3, 1.0, 3.0]),
        no_repeat=own.choice([0, 2, 3]),
        no_repeat_context=own.random() < 0.5,
        min_tokens=own.choice([1, 2, 4]),
        max_tokens=own.choice([4, 6, 9]),
        length_penalty=own.choice([0.0, 0.6, 1.0]),
    )
    contexts = [[own.randrange(2, 13) for _ in range(4)] for _ in range(2)]
    found = searched(Table(contexts, beams, 13, seed), contexts, decoding)
    for context, mine in zip(contexts, found, strict=True):
        plain = reference(Table([context], 1, 13, seed), context, decoding)
        assert [said for said, _ in mine] == [said for said, _ in plain]
        assert [score for _, score in mine] == pytest.approx([score for _, score in plain], abs=1e-4)


def test_with_beams_for_every_text_the_best_of_all_texts_is_found():
    # vocabulary of 4 with the end among them, length 4: at most 3^4 open texts, so nothing is ever dropped
    words, longest = 4, 4
    decoding = DiverseDecoding(n=81, groups=1, penalty=0, no_repeat=0, min_tokens=1, max_tokens=longest)
    for seed in range(5):
        table = Table([[2, 3]], 81, words, seed)
        (mine, *_), *_ = searched(table, [[2, 3]], decoding)
        best = max(every_text(Table([[2, 3]], 1, words, seed), longest), key=lambda one: one[1])
        assert mine[0] == best[0]
        assert mine[1] == pytest.approx(best[1], abs=1e-5)


def every_text(table, longest):
    """(ids, mean log-probability with the end's) of every text the search could end with."""
    open_words = [word for word in range(table.words) if word != END]
    for length in range(1, longest + 1):
        for said in itertools.product(open_words, repeat=length):
            total = sum(
                float(table.scores_of([2, 3, *said[:k]]).log_softmax(-1)[word]) for k, word in enumerate(said)
            )
            if length < longest:
                ended = total + float(table.scores_of([2, 3, *said]).log_softmax(-1)[END])
                yield list(said), ended / (length + 1)
            else:
                yield list(said), total / length


def make_models():
    spec = importlib.util.spec_from_file_location("make_diverse_beams", GOLDEN / "make_diverse_beams.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return {name: make() for name, make in module.MODELS.items()}


class Recomputed:
    """A stepper that runs the whole model anew for every word."""

    def __init__(self, model, prompts, copies):
        self.model, self.pairs = model, model.config.is_encoder_decoder
        self.prompts = [list(prompt) for prompt in prompts for _ in range(copies)]
        self.texts = [[2] if self.pairs else list(prompt) for prompt in self.prompts]

    @torch.no_grad()
    def first(self):
        if not self.pairs:
            return self.model(torch.tensor(self.texts)).logits[:, -1]
        source, said = torch.tensor(self.prompts), torch.tensor(self.texts)
        return self.model(input_ids=source, decoder_input_ids=said).logits[:, -1]

    next, keep = Table.next, Table.keep


@pytest.mark.slow
def test_sequences_and_scores_are_those_of_transformers_4():
    golden = json.loads((GOLDEN / "diverse_beams.json").read_text(encoding="utf-8"))
    models = make_models()
    assert golden["transformers"].startswith("4.")
    assert len(golden["cases"]) == 40
    for case in golden["cases"]:
        keys = ("n", "groups", "penalty", "no_repeat", "min_tokens", "max_tokens", "length_penalty")
        decoding = DiverseDecoding(**{key: case[key] for key in keys})
        causal = case["model"] == "llama"
        pasts = [
            past_of(prompt, [] if causal else [2], decoding, causal=causal) for prompt in case["prompts"]
        ]
        stepper = Recomputed(models[case["model"]], case["prompts"], case["n"])
        found = searched(stepper, case["prompts"], decoding, pasts)
        for mine, theirs in zip(found, case["expected"], strict=True):
            assert [said for said, _ in mine] == [said for said, _ in theirs], case
            assert [score for _, score in mine] == pytest.approx([score for _, score in theirs], abs=2e-4)


@pytest.mark.parametrize("tiny", ["llama", "gpt2", "blenderbot", "bart"], indirect=True)
@pytest.mark.parametrize("groups", [4, 2])
def test_shared_caches_answer_as_one_context_alone_does(tiny, supporter_turns, groups):
    torch.manual_seed(3)
    backbone = open_backbone(
        BackboneConfig(name=str(tiny), adapter=AdapterConfig(kind="full")), label_set("esconv")
    )
    asked = supporter_turns[:5]
    decoding = DiverseDecoding(n=4, groups=groups, min_tokens=2, max_tokens=8)
    together = generate(backbone, asked, decoding, POLICIES["gold"])
    for example, replies in zip(asked, together, strict=True):
        (alone,) = generate(backbone, [example], decoding, POLICIES["gold"])
        assert [reply.text for reply in replies] == [reply.text for reply in alone]
        assert [reply.score for reply in replies] == pytest.approx([one.score for one in alone], abs=1e-4)
        assert all(reply.strategy == example.strategy for reply in replies), "the strategy is forced"


def test_what_may_not_be_said_again():
    decoding = DiverseDecoding(no_repeat=3)
    past = past_of([5, 6, 7, 8], [9], decoding, causal=True)
    assert past.grams == {(5, 6): {7}, (6, 7): {8}, (7, 8): {9}}
    assert past.lead == (8, 9)
    assert past_of(
        [5, 6, 7], [9], decoding.model_copy(update={"no_repeat_context": False}), causal=True
    ) == Past({}, (9,))
    assert past_of([5, 6, 7], [2, 9], decoding, causal=False) == Past({(5, 6): {7}}, (2, 9))
    assert grams_of([1, 2], 0) == {}


def test_an_unfit_search_is_refused(tiny_llama, supporter_turns):
    with pytest.raises(ValueError, match="10 beams cannot be parted into 3"):
        DiverseDecoding(groups=3)
    backbone = open_backbone(BackboneConfig(name=str(tiny_llama)), label_set("esconv"))
    with pytest.raises(UsageError, match="draws one a reply"):
        generate(backbone, supporter_turns[:1], DiverseDecoding(), POLICIES["sampled"])


def test_a_finished_group_falls_silent():
    # the end is by far the likeliest word: every group ends at once, and nothing is asked of the model again
    class Ending(Table):
        asked = 0

        def scores_of(self, text):
            type(self).asked += 1
            scores = torch.zeros(self.words)
            scores[END] = 50.0
            return scores

    decoding = DiverseDecoding(n=3, groups=3, penalty=1.0, no_repeat=0, min_tokens=1, max_tokens=30)
    ((first, *_),) = searched(Ending([[2]], 3, 6, 0), [[2]], decoding)
    assert Ending.asked == 6, "three rows, two words"
    assert len(first[0]) == 1
    assert first[1] == pytest.approx(-(50 + math.log(1 + 5 * math.exp(-50))) / 2, abs=1e-4)
