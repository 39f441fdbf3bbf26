"""Which slot a prompt goes to, by hand."""

import pytest

from hearten.lm.seats import ANY, Seats, shared

OPENING = [1, 2, 3, 4]


def talk(number, length):
    return [*OPENING, *(100 * number + place for place in range(length))]


def settled(count, *prompts, written=0):
    """Seats in which these prompts were read, in the slots 0, 1, …; the others hold the opening."""
    seats = Seats(count)
    for slot in range(count):
        prompt = prompts[slot] if slot < len(prompts) else OPENING
        seats.leave(seats.take(prompt), slot=slot, written=written if slot < len(prompts) else 0)
    return seats


@pytest.mark.parametrize(
    ("first", "second", "alike"),
    [([], [1], 0), ([1, 2], [1, 2], 2), ([1, 2, 9, 4], [1, 2, 3, 4], 2), ([7], [8], 0), ([1], [1, 2, 3], 1)],
)
def test_how_much_two_prompts_share(first, second, alike):
    assert shared(first, second) == shared(second, first) == alike


def test_a_conversation_goes_back_to_its_own_slot():
    seats = settled(3, talk(1, 8), talk(2, 8), written=20)
    assert seats.take([*talk(2, 8), 7, 7, 7]).slot == 1
    assert seats.take([*talk(1, 8), 9]).slot == 0, "what was written there was its own, and counts as no loss"


def test_a_newcomer_takes_no_place_from_somebody_who_began_alike():
    seats = settled(3, talk(1, 3))
    newcomers = [seats.take(talk(number, 3)).slot for number in (2, 3)]
    assert sorted(newcomers) == [1, 2]


def test_between_its_two_requests_a_conversation_keeps_its_slot():
    seats = settled(2)
    mine = seats.take(talk(1, 6))
    seats.leave(mine)
    assert seats.take(talk(2, 6)).slot != mine.slot
    assert seats.take([*talk(1, 6), 50]).slot == mine.slot


def test_where_nothing_is_won_the_slot_left_longest_ago_is_expected_and_llama_cpp_chooses():
    seats = settled(2, talk(1, 30), talk(2, 30))
    seat = seats.take(talk(3, 30))
    assert (seat.slot, seat.expected) == (ANY, 0)
    seats.leave(seat, slot=1)  # it chose otherwise, and told so
    assert seats.take([*talk(3, 30), 5]).slot == 1
    assert seats.take([*talk(1, 30), 5]).slot == 0


def test_nobody_waits_where_all_are_busy():
    seats = Seats(1)
    first = seats.take([1])
    assert seats.take([2]).expected == ANY
    seats.leave(first)
    assert seats.take([1, 2]).slot == 0
