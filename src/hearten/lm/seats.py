"""Who sits where: which slot of the engine a prompt goes to, so that as little as possible is read twice.

llama.cpp gives a prompt to the first free slot that begins alike. All our prompts begin alike (the system
text), so of many people who start at once one takes another's place, and what the other's slot had read is
read again. `Seats` remembers what each slot has read and counts both sides: what a prompt would find there,
and what would be lost by sitting down. Where nothing is won, the slot that was left longest ago is taken, and
llama.cpp is left to choose it (`ANY`): then it also sets aside what the slot held, and brings back what this
conversation had set aside.

It only advises. Nobody waits here, and a wrong guess costs reading, never an answer.
"""

import threading
from collections.abc import Sequence
from dataclasses import dataclass

ANY = -1
"""llama.cpp's word for: whichever slot was left longest ago, with what was set aside."""


@dataclass(frozen=True, slots=True)
class Seat:
    """Where one request is to go."""

    prompt: Sequence[int]
    slot: int
    """The slot to ask for, or `ANY`."""
    expected: int
    """The slot it will probably be; `ANY` where all are busy."""


class Seats:
    """What the slots of one engine have read; may be used from several threads.

    Args:
        count: slots.
    """

    def __init__(self, count: int) -> None:
        self._lock = threading.Lock()
        self._held: list[Sequence[int]] = [()] * count
        self._sizes, self._busy = [0] * count, [0] * count
        self._order = list(range(count))  # the slot left longest ago first

    def take(self, prompt: Sequence[int]) -> Seat:
        """A seat for `prompt`; it must be left again."""
        with self._lock:
            free = [slot for slot in self._order if not self._busy[slot]]
            if not free:
                return Seat(prompt, ANY, ANY)
            best = max(free, key=lambda slot: self._gain(slot, prompt))
            known = self._gain(best, prompt) > 0
            slot = best if known else free[0]
            self._busy[slot] += 1
            return Seat(prompt, slot if known else ANY, slot)

    def leave(self, seat: Seat, *, slot: int = ANY, written: int = 0) -> None:
        """The request is over.

        Args:
            seat: what `take` gave.
            slot: where it really was, if llama.cpp told.
            written: ids that stand behind the prompt now.
        """
        where = seat.expected if slot == ANY else slot
        with self._lock:
            if seat.expected != ANY:
                self._busy[seat.expected] -= 1
            if where == ANY:
                return
            self._held[where], self._sizes[where] = seat.prompt, len(seat.prompt) + written
            self._order.remove(where)
            self._order.append(where)

    def _gain(self, slot: int, prompt: Sequence[int]) -> int:
        """Ids that need not be read there, less those that would be lost.

        Where the whole earlier prompt is found again it is the same conversation, and nothing is lost: the
        reply that was written behind it comes back in this prompt, or has been taken back.
        """
        kept = shared(self._held[slot], prompt)
        lost = 0 if kept == len(self._held[slot]) else self._sizes[slot] - kept
        return kept - lost


def shared(first: Sequence[int], second: Sequence[int]) -> int:
    """How many ids two prompts have in common at their beginning."""
    low, high = 0, min(len(first), len(second))
    if first[:high] == second[:high]:
        return high
    while low < high:
        middle = (low + high + 1) // 2
        if first[low:middle] == second[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low
