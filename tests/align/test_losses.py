"""The losses by hand, and a toy in which the right sign lifts the helpful reply; the printed one sinks it."""

import math

import pytest
import torch

from hearten.align.losses import VARIANTS, Objective, contrast, gaps, preference, scores_of

# Three candidates: the first and third helpful, the second not.
SCORES, HELPFUL = [-1.0, -0.8, -1.3], [True, False, True]


def of(form, scores=SCORES, helpful=HELPFUL, margin=0.5):
    objective = Objective(form=form, margin=margin)
    return float(contrast(torch.tensor(scores), torch.tensor(helpful), objective))


def test_scores_by_hand():
    # two replies: log-probabilities (-1, -3) and (-2)
    logprobs, owner = torch.tensor([-1.0, -3.0, -2.0]), torch.tensor([0, 0, 1])
    assert scores_of(logprobs, owner, 2, Objective()).tolist() == pytest.approx([-2.0, -2.0])
    half = Objective(length_penalty=0.5)
    assert scores_of(logprobs, owner, 2, half).tolist() == pytest.approx([-4 / math.sqrt(2), -2.0])
    assert scores_of(logprobs, owner, 2, Objective(length_penalty=0)).tolist() == pytest.approx([-4.0, -2.0])
    mean_probability = scores_of(logprobs, owner, 2, Objective(score="prob"))
    assert mean_probability.tolist() == pytest.approx([(math.exp(-1) + math.exp(-3)) / 2, math.exp(-2)])


def test_the_pairs_by_hand():
    # gaps h − u: −1.0 − −0.8 = −0.2 and −1.3 − −0.8 = −0.5; with a margin of 0.5 the hinges are 0.7 and 1.0
    assert gaps(torch.tensor(SCORES), torch.tensor(HELPFUL)).tolist() == pytest.approx([-0.2, -0.5])
    assert of("pairs") == pytest.approx((0.7 + 1.0) / 2)
    assert of("paper") == pytest.approx(2 * (0.7 + 1.0) / (2 * 3))


def test_the_printed_equation_by_hand():
    # max(0, (l_i − l_j)(P_i − P_j + λ)) over i ≠ j, / 2K
    total = 0.0
    for i in range(3):
        for j in range(3):
            if i != j:
                total += max(0.0, (HELPFUL[i] - HELPFUL[j]) * (SCORES[i] - SCORES[j] + 0.5))
    # (0, 1): −0.2 + 0.5 = 0.3; (2, 1): −0.5 + 0.5 = 0; (1, 0): −(0.2 + 0.5) and (1, 2): −(0.5 + 0.5) vanish
    assert total == pytest.approx(0.3)
    assert of("printed") == pytest.approx(total / 6)


def test_the_released_offsets_by_hand():
    # d = 1: pairs (0,1) y −1, (1,2) y +1 sum to 0, so the code skips the offset; d = 2: (0,2) y 0
    assert of("released") == 0.0
    # four candidates, the first unhelpful: d = 1: y = 1, 0, 0 → (0.5 − 1)+ + 0.5 + 0.5 over 1
    scores, helpful = [-2.0, -1.0, -1.5, -3.0], [False, True, True, True]
    one = max(0, 0.5 - 1.0) + 0.5 + 0.5
    two = max(0, 0.5 - 0.5) + 0.5
    three = max(0, 0.5 + 1.0)
    assert of("released", scores, helpful) == pytest.approx(one + two + three)


def test_the_list_by_hand():
    share = (math.exp(-1.0) + math.exp(-1.3)) / sum(map(math.exp, SCORES))
    assert of("list") == pytest.approx(-math.log(share))


def test_the_rivals_by_hand():
    def sigmoid(x):
        return 1 / (1 + math.exp(-x))

    scores, told = torch.tensor(SCORES), torch.tensor(HELPFUL)
    simpo = float(preference(scores, told, VARIANTS["simpo"], None))
    assert simpo == pytest.approx(-sum(math.log(sigmoid(2 * gap - 0.5)) for gap in (-0.2, -0.5)) / 2)
    reference = torch.tensor([-1.1, -0.9, -1.0])
    # gained: +0.1, +0.1, −0.3 → gaps 0.0 and −0.4
    dpo = float(preference(scores, told, VARIANTS["dpo"], reference))
    assert dpo == pytest.approx(-sum(math.log(sigmoid(0.1 * gap)) for gap in (0.0, -0.4)) / 2)
    assert float(preference(scores, told, VARIANTS["dpo"], scores)) == pytest.approx(math.log(2))


def gradient(form, method="contrast"):
    scores = torch.tensor([-1.0, -0.8], requires_grad=True)
    objective = Objective(form=form, method=method, beta=1.0, margin=0.5)
    told = torch.tensor([True, False])
    if method == "contrast":
        contrast(scores, told, objective).backward()
    else:
        preference(scores, told, objective, torch.zeros(2)).backward()
    return scores.grad.tolist()


@pytest.mark.parametrize("form", ["pairs", "paper", "released", "list"])
def test_a_step_lifts_the_helpful_and_sinks_the_unhelpful(form):
    helpful, unhelpful = gradient(form)
    assert helpful < 0 < unhelpful, "descent goes against the gradient"


@pytest.mark.parametrize("method", ["dpo", "simpo"])
def test_so_do_the_rivals(method):
    helpful, unhelpful = gradient("pairs", method)
    assert helpful < 0 < unhelpful


def test_the_printed_sign_does_the_contrary():
    helpful, unhelpful = gradient("printed")
    assert helpful > 0 > unhelpful


@pytest.mark.parametrize(
    ("form", "rises"), [("pairs", True), ("paper", True), ("list", True), ("printed", False)]
)
def test_a_toy_that_may_say_one_of_two_words(form, rises):
    # a model of one free number a word; both are equally likely before
    logits = torch.zeros(2, requires_grad=True)
    optimizer = torch.optim.SGD([logits], lr=0.5)
    for _ in range(30):
        loss = contrast(logits.log_softmax(-1), torch.tensor([True, False]), Objective(form=form, margin=0.5))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    helpful = float(logits.detach().softmax(-1)[0])
    assert helpful > 0.55 if rises else helpful < 0.45


def test_a_margin_that_is_kept_asks_for_nothing():
    assert of("pairs", [0.0, -2.0], [True, False]) == 0.0
