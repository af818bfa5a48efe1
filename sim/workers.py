"""Processes of this machine that compute a task for many inputs, and may be killed at any time.

The pool of the standard library can wait for ever where a worker dies while another one starts: on Python 3.11 the
thread that watches over the workers and the one that starts them do not lock each other out. Here one thread does both,
and a worker shares nothing with another: each has a pipe of its own, and its death is the end of that pipe.
"""

from __future__ import annotations

import os
import signal
import threading
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Any, TypeVar

from slewguard.sim.threads import one_thread_for_children

I = TypeVar("I")  # noqa: E741
R = TypeVar("R")


class WorkersLost(RuntimeError):
    """Workers died, and died again when the work was given to others."""


def work_in_processes(task: Callable[[I], R], inputs: Mapping[int, I], workers: int) -> Iterator[tuple[int, R]]:
    """Yield (number, task(input)) for each input, as they are finished.

    A worker that dies is replaced, and its input is given to another one.

    Parameters
    ----------
    task : callable
        It, its inputs and what it returns or raises pass through ``pickle``.
    inputs : mapping of int to object
        Numbered.
    workers : int
        Processes at a time.

    Raises
    ------
    WorkersLost
        If two workers died over the same input.
    Exception
        Whatever ``task`` raises, with a note of where it did.
    """
    left = deque(inputs.items())
    crew: dict[Connection, tuple[SpawnProcess, int]] = {}
    died_over: set[int] = set()
    try:
        while left or crew:
            while left and len(crew) < workers:
                _start(task, crew, *left.popleft())
            for pipe in wait(list(crew)):
                assert isinstance(pipe, Connection)
                process, number = crew[pipe]
                try:
                    answer, error = pipe.recv()
                except (EOFError, OSError):
                    _dismiss(crew, pipe)
                    if number in died_over:
                        raise WorkersLost(
                            "worker processes died twice over the same work (killed, or out of memory?)"
                        ) from None
                    died_over.add(number)
                    left.appendleft((number, inputs[number]))
                    continue
                if error is not None:
                    raise error
                if left:
                    # It works on while the caller does something with the answer.
                    crew[pipe] = process, left[0][0]
                    _send(pipe, left.popleft()[1])
                else:
                    _dismiss(crew, pipe)
                yield number, answer
    finally:
        for pipe in list(crew):
            _dismiss(crew, pipe)


def _start(
    task: Callable[[Any], Any], crew: dict[Connection, tuple[SpawnProcess, int]], number: int, given: Any
) -> None:
    # Not forked: the caller may hold threads of a network library.
    context = get_context("spawn")
    ours, its = context.Pipe()
    process = context.Process(target=_work, args=(task, its))
    with one_thread_for_children():
        process.start()
    # The pipe ends with the worker only if nobody else holds its end.
    its.close()
    crew[ours] = process, number
    _send(ours, given)


def _send(pipe: Connection, given: Any) -> None:
    # Of a worker that is dead the next look at its pipe tells.
    with suppress(BrokenPipeError, ConnectionResetError):
        pipe.send(given)


def _dismiss(crew: dict[Connection, tuple[SpawnProcess, int]], pipe: Connection) -> None:
    # It holds nothing that an orderly end would save, and a kill needs no waiting for one.
    process, _ = crew.pop(pipe)
    process.kill()
    process.join()
    pipe.close()


def _work(task: Callable[[Any], Any], pipe: Connection) -> None:
    """Answer input after input."""
    # An interruption from the keyboard is the parent's.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    # The pipe breaks where the parent is gone.
    with suppress(EOFError, BrokenPipeError, ConnectionResetError):
        while True:
            given = pipe.recv()
            answer: tuple[Any, Exception | None]
            try:
                answer = task(given), None
            except Exception as error:
                error.add_note("In a worker process:\n" + traceback.format_exc())
                answer = None, error
            pipe.send(answer)


def _end_with_parent() -> None:
    parent = parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
