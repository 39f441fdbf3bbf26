"""Who is answered next when more people talk than can be answered at once.

A fixed number of places; whoever finds none waits. Owners (a browser, an API key) take turns: next is a
ticket of the owner with the fewest places, then of the owner who was let in longest ago, then the oldest
ticket. So one caller with fifty requests delays another's first by one place, not by fifty. The order is
worked out anew whenever somebody comes or goes, and everybody waiting hears their position.

It lives in one event loop and knows nothing of conversations.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from itertools import count


class Ticket:
    """A claim to one place."""

    def __init__(self, owner: str, number: int) -> None:
        self.owner, self.number = owner, number
        self.position = 0
        """1 is next; 0 once let in."""
        self.admitted = False
        self._moved = asyncio.Event()

    def move(self, position: int) -> None:
        """Tell whoever holds the ticket that its position is another one."""
        if position != self.position or (position == 0 and not self.admitted):
            self.position, self.admitted = position, position == 0
            self._moved.set()

    async def positions(self) -> AsyncIterator[int]:
        """Every position while waiting; ends when let in."""
        while not self.admitted:
            self._moved.clear()
            yield self.position
            await self._moved.wait()


class Turnstile:
    """`places` at once, `longest` waiting, shared fairly between owners."""

    def __init__(self, places: int, longest: int) -> None:
        self.places, self.longest = places, longest
        self._inside: list[Ticket] = []
        self._waiting: list[Ticket] = []
        self._numbers = count()
        self._last_in: dict[str, int] = {}
        self._entries = count(1)

    @property
    def inside(self) -> int:
        """Places taken."""
        return len(self._inside)

    @property
    def waiting(self) -> int:
        """Tickets without a place."""
        return len(self._waiting)

    def join(self, owner: str) -> Ticket | None:
        """A ticket, let in at once where a place is free; None when the queue is full."""
        if self.inside >= self.places and self.waiting >= self.longest:
            return None
        ticket = Ticket(owner, next(self._numbers))
        self._waiting.append(ticket)
        self._advance()
        return ticket

    def leave(self, ticket: Ticket) -> None:
        """Give the place, or the wait for one, back."""
        held = self._inside if ticket in self._inside else self._waiting
        if ticket in held:
            held.remove(ticket)
        self._advance()

    def _advance(self) -> None:
        order = self._order()
        while order and self.inside < self.places:
            first = order[0]
            self._waiting.remove(first)
            self._inside.append(first)
            self._last_in[first.owner] = next(self._entries)
            first.move(0)
            order = self._order()
        for position, ticket in enumerate(order, 1):
            ticket.move(position)
        known = {ticket.owner for ticket in (*self._inside, *self._waiting)}
        self._last_in = {owner: last for owner, last in self._last_in.items() if owner in known}

    def _order(self) -> list[Ticket]:
        """The waiting in the order in which they would be let in if nobody else came."""
        held = Counter(ticket.owner for ticket in self._inside)
        last, left, order = dict(self._last_in), list(self._waiting), []
        for entry in range(len(left)):
            chosen = min(left, key=lambda t: (held[t.owner], last.get(t.owner, 0), t.number))
            left.remove(chosen)
            order.append(chosen)
            held[chosen.owner] += 1
            last[chosen.owner] = 10**12 + entry
        return order
