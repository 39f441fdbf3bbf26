"""How long a computing thread that waits for another keeps the processor busy.

The OpenMP library lets it spin for milliseconds before it sleeps. That is right when nothing else runs.
Beside a web server, a browser or another program it is ruin: on two cores the thread that spins keeps the one
it waits for from running, and a token of the chat engine took seconds instead of hundredths
(experiments/LOG.md). With a thousand turns the threads still meet without sleeping on a free machine.

The library reads this once, when it is loaded, and torch and llama.cpp share it; so a door that opens a chat
calls `sleep_soon` before it imports either.
"""

import os

VARIABLE = "GOMP_SPINCOUNT"
TURNS = "1000"


def sleep_soon() -> None:
    """Let waiting threads sleep after a thousand turns, unless the environment says otherwise."""
    os.environ.setdefault(VARIABLE, TURNS)
