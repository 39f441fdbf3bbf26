"""Every row once an epoch, within the budget, in an order that a seed fixes."""

from hypothesis import given
from hypothesis import strategies as st

from hearten.lm.render import Row, padded
from hearten.train.loader import epoch

sizes = st.lists(st.tuples(st.integers(1, 90), st.integers(0, 30)), min_size=1, max_size=60)


def rows_of(sizes):
    return [Row([0] * ids, [], source=[1] * source) for ids, source in sizes]


@given(sizes, st.integers(1, 400), st.integers(1, 900), st.integers(0, 3))
def test_an_epoch_holds_every_row_once_within_its_budgets(sizes, micro, batch, seed):
    rows = rows_of(sizes)
    steps = epoch(rows, seed=seed, number=0, micro_tokens=micro, batch_tokens=batch)
    seen = [id(row) for step in steps for one in step for row in one]
    assert sorted(seen) == sorted(map(id, rows))
    assert all(padded(one) <= micro or len(one) == 1 for step in steps for one in step)
    assert all(sum(map(padded, step)) <= batch or len(step) == 1 for step in steps)


@given(sizes, st.integers(0, 1000), st.integers(0, 9))
def test_the_order_depends_on_seed_and_epoch_alone(sizes, seed, number):
    rows = rows_of(sizes)

    def order(**wanted):
        steps = epoch(rows, micro_tokens=128, batch_tokens=256, **wanted)
        return [[[id(row) for row in one] for one in step] for step in steps]

    assert order(seed=seed, number=number) == order(seed=seed, number=number)


def test_epochs_and_seeds_differ_and_little_is_padding():
    rows = rows_of([(10 + 7 * n % 400, 0) for n in range(500)])

    def order(seed, number):
        steps = epoch(rows, seed=seed, number=number, micro_tokens=2048, batch_tokens=4096)
        return [id(row) for step in steps for one in step for row in one]

    assert order(1, 0) != order(1, 1)
    assert order(1, 0) != order(2, 0)
    steps = epoch(rows, seed=1, number=0, micro_tokens=2048, batch_tokens=4096)
    cost = sum(padded(one) for step in steps for one in step)
    assert cost < 1.1 * sum(len(row.ids) for row in rows), "bucketing leaves under a tenth to padding"
