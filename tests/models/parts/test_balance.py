"""Loss balancing against tables worked by hand."""

import json
import math

import pytest
import torch

from hearten.models.parts.balance import Balance, Balancing, dynamic_weights

NAMES = ("response", "strategy")


def dwa(**options):
    return Balance(NAMES, Balancing(kind="dwa", **options), {})


def test_fixed_is_a_weighted_sum():
    balance = Balance(NAMES, Balancing(), {"strategy": 0.3})
    assert float(balance({"response": torch.tensor(2.0), "strategy": torch.tensor(5.0)})) == pytest.approx(
        3.5
    )


def test_dynamic_weights_by_hand():
    # AdMISC eq. 33: w = 3/4 = 0.75 and 1/2 = 0.5; eq. 32 with K = 2, T = 2: exponents 0.375 and 0.25,
    # e^0.375 = 1.454991, e^0.25 = 1.284025, sum 2.739017: weights 1.062419 and 0.937581
    found = dynamic_weights({"response": 4.0, "strategy": 2.0}, {"response": 3.0, "strategy": 1.0}, 2.0)
    assert found == pytest.approx({"response": 1.062419, "strategy": 0.937581}, abs=1e-6)
    assert sum(found.values()) == pytest.approx(2)


def test_weights_move_after_two_epochs_and_not_before():
    balance = dwa()
    table = [  # losses of two steps an epoch -> weights in the next epoch
        (((4.5, 2.5), (3.5, 1.5)), {"response": 1.0, "strategy": 1.0}),
        (((3.0, 1.0), (3.0, 1.0)), {"response": 1.062419, "strategy": 0.937581}),
        # means 3 and 1, then 1.5 and 1: w = 0.5 and 1, e^0.25 and e^0.5 = 1.648721, sum 2.932747
        (((2.0, 1.0), (1.0, 1.0)), {"response": 0.875647, "strategy": 1.124353}),
    ]
    assert balance.weights() == {"response": 1.0, "strategy": 1.0}
    for steps, expected in table:
        before = balance.weights()
        balance.observe(dict(zip(NAMES, steps[0], strict=True)), epoch_ends=False)
        assert balance.weights() == before
        balance.observe(dict(zip(NAMES, steps[1], strict=True)), epoch_ends=True)
        assert balance.weights() == pytest.approx(expected, abs=1e-6)
    losses = {"response": torch.tensor(1.0), "strategy": torch.tensor(10.0)}
    assert float(balance(losses)) == pytest.approx(0.875647 + 11.24353, abs=1e-5)


def test_a_period_in_steps_counts_steps_alone():
    balance = dwa(period=2)
    for number in range(4):
        balance.observe({"response": 4.0 - number, "strategy": 1.0}, epoch_ends=False)
    # means 3.5 then 1.5 against 1 then 1
    assert balance.weights() == dynamic_weights(
        {"response": 3.5, "strategy": 1.0}, {"response": 1.5, "strategy": 1.0}, 2.0
    )


def test_a_high_temperature_is_even_and_a_zero_loss_harmless():
    even = dynamic_weights({"a": 1.0, "b": 1.0}, {"a": 9.0, "b": 0.1}, 1e9)
    assert even == pytest.approx({"a": 1.0, "b": 1.0})
    assert dynamic_weights({"a": 0.0, "b": 1.0}, {"a": 0.0, "b": 1.0}, 2.0) == {"a": 1.0, "b": 1.0}
    assert math.isfinite(dynamic_weights({"a": 1e-9, "b": 1.0}, {"a": 9e9, "b": 1.0}, 2.0)["a"])


def test_what_is_remembered_survives_json_exactly():
    balance, again = dwa(), dwa()
    for number in range(7):
        balance.observe({"response": 1 / (number + 3), "strategy": 0.1 * number}, epoch_ends=number % 2 == 1)
    again.remember(json.loads(json.dumps(balance.remembered())))
    assert again.remembered() == balance.remembered()
    assert again.weights() == balance.weights()


def test_uncertainty_by_hand():
    balance = Balance(NAMES, Balancing(kind="uncertainty"), {})
    losses = {"response": torch.tensor(2.0), "strategy": torch.tensor(3.0)}
    assert float(balance(losses).detach()) == pytest.approx(5.0)  # s = 0: the plain sum
    with torch.no_grad():
        balance.log_variance["strategy"].fill_(math.log(4))
    total = balance(losses)
    assert float(total.detach()) == pytest.approx(2 + 3 / 4 + math.log(4) / 2)
    total.backward()
    # d/ds (e^-s L + s/2) = -L e^-s + 1/2
    assert float(balance.log_variance["strategy"].grad) == pytest.approx(-3 / 4 + 0.5)
    assert float(balance.log_variance["response"].grad) == pytest.approx(-2 + 0.5)
