"""Who is next: worked examples, one event loop, no model."""

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hearten.serve.turnstile import Turnstile


def test_a_full_queue_says_so_and_a_free_place_is_taken_at_once():
    door = Turnstile(places=1, longest=1)
    first, second = door.join("a"), door.join("b")
    assert first.admitted
    assert (second.admitted, second.position) == (False, 1)
    assert door.join("c") is None
    door.leave(first)
    assert second.admitted
    assert (door.inside, door.waiting) == (1, 0)


def test_one_caller_with_many_requests_delays_another_by_one_place():
    door = Turnstile(places=1, longest=60)
    greedy = [door.join("greedy") for _ in range(50)]
    modest = door.join("modest")
    assert modest.position == 1, "greedy holds the place already"
    door.leave(greedy[0])
    assert modest.admitted


def test_owners_take_turns():
    door = Turnstile(places=1, longest=60)
    tickets = [door.join(owner) for owner in "aaabbc"]
    order = []
    while door.inside:
        inside = next(ticket for ticket in tickets if ticket.admitted and ticket not in order)
        order.append(inside)
        door.leave(inside)
    assert "".join(ticket.owner for ticket in order) == "abcaba"


def test_whoever_gives_up_waiting_moves_the_others_up():
    door = Turnstile(places=1, longest=9)
    _inside, second, third = (door.join(owner) for owner in "abc")
    door.leave(second)
    assert third.position == 1


def test_everybody_waiting_hears_every_position():
    async def wait(ticket, heard):
        async for position in ticket.positions():
            heard.append(position)

    async def walk():
        door = Turnstile(places=1, longest=9)
        tickets = [door.join(owner) for owner in "abc"]
        heard: list[int] = []
        waiting = asyncio.create_task(wait(tickets[2], heard))
        for ticket in tickets[:2]:
            await asyncio.sleep(0)
            door.leave(ticket)
        await asyncio.wait_for(waiting, 5)
        return heard

    assert asyncio.run(walk()) == [2, 1]


@settings(max_examples=60, deadline=None)
@given(
    places=st.integers(1, 4),
    longest=st.integers(0, 6),
    owners=st.lists(st.sampled_from("abcd"), max_size=30),
    data=st.data(),
)
def test_places_are_never_exceeded_and_never_left_empty(places, longest, owners, data):
    door, held = Turnstile(places, longest), []
    for owner in owners:
        ticket = door.join(owner)
        if ticket is None:
            assert (door.inside, door.waiting) == (places, longest)
        else:
            held.append(ticket)
        if held and data.draw(st.booleans()):
            door.leave(held.pop(data.draw(st.integers(0, len(held) - 1))))
        assert door.inside == min(places, len(held))
        assert door.waiting == len(held) - door.inside
        waiting = sorted(ticket.position for ticket in held if not ticket.admitted)
        assert waiting == list(range(1, door.waiting + 1))


@pytest.mark.parametrize("places", [1, 3])
def test_leaving_twice_is_leaving_once(places):
    door = Turnstile(places, 5)
    ticket = door.join("a")
    door.leave(ticket)
    door.leave(ticket)
    assert door.inside == 0
