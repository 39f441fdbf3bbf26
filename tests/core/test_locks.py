"""One process at a time, and the lock of one that died is free."""

import multiprocessing
import os
import signal

import pytest

from hearten.core.locks import Taken, alone


def hold(place, ready):
    with alone(place):
        ready.set()
        signal.pause()


def test_who_does_not_wait_is_told_and_a_dead_process_holds_nothing(tmp_path):
    place = tmp_path / "deep" / ".lock"
    forked = multiprocessing.get_context("spawn")
    ready = forked.Event()
    other = forked.Process(target=hold, args=(place, ready))
    other.start()
    assert ready.wait(30)
    with pytest.raises(Taken) as refused, alone(place, wait=False):
        pass
    assert str(place.parent) in "\n".join(refused.value.lines())
    os.kill(other.pid, signal.SIGKILL)
    other.join(10)
    with alone(place, wait=False):
        pass
