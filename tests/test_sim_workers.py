"""Worker processes: each answer once, whoever dies and whenever."""

import multiprocessing
import os
import signal
import threading
import time
from functools import partial
from pathlib import Path

import pytest

from slewguard.sim.workers import WorkersLost, work_in_processes

INPUTS = {number: number + 1 for number in range(12)}


def square(given: int) -> int:
    return given * given


def dies_at_first(folder: Path, given: int) -> int:
    place = folder / str(given)
    if given % 3 == 0 and not place.exists():
        place.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return given * given


def dies_over_five(given: int) -> int:
    if given == 5:
        os._exit(3)
    return given


def fails_over_five(given: int) -> int:
    if given == 5:
        raise OSError("no five")
    return given


def sleeps(given: int) -> int:
    time.sleep(given)
    return given


@pytest.mark.parametrize("workers", [1, 2, 20])
def test_every_input_is_answered_once(workers):
    found = list(work_in_processes(square, INPUTS, workers))
    assert sorted(found) == [(number, given * given) for number, given in INPUTS.items()]
    assert multiprocessing.active_children() == []


def test_work_of_the_dead_is_given_to_others(tmp_path):
    found = list(work_in_processes(partial(dies_at_first, tmp_path), INPUTS, 2))
    assert sorted(found) == [(number, given * given) for number, given in INPUTS.items()]
    assert len(list(tmp_path.iterdir())) == 4


@pytest.mark.parametrize("after_s", [0.0, 0.001, 0.003, 0.01, 0.03, 0.1])
def test_a_worker_killed_as_it_starts_is_replaced(after_s):
    """Here the pool of the standard library of Python 3.11 waits for ever now and then."""

    def kill_the_first() -> None:
        while not (born := multiprocessing.active_children()):
            time.sleep(0.0005)
        time.sleep(after_s)
        born[0].kill()

    killer = threading.Thread(target=kill_the_first)
    killer.start()
    found = list(work_in_processes(square, INPUTS, 2))
    killer.join()
    assert sorted(found) == [(number, given * given) for number, given in INPUTS.items()]


def test_two_deaths_over_one_input_end_it_and_leave_nobody_behind():
    with pytest.raises(WorkersLost, match="died twice over the same work"):
        list(work_in_processes(dies_over_five, INPUTS, 3))
    assert multiprocessing.active_children() == []


def test_an_error_comes_through_with_a_note_of_where_it_was_raised():
    with pytest.raises(OSError, match="no five") as caught:
        list(work_in_processes(fails_over_five, INPUTS, 2))
    assert "in fails_over_five" in caught.value.__notes__[0]
    assert multiprocessing.active_children() == []


def test_who_stops_asking_does_not_wait_for_what_is_not_finished():
    found = work_in_processes(sleeps, {0: 0, 1: 100_000}, 2)
    assert next(found) == (0, 0)
    found.close()
    assert multiprocessing.active_children() == []
