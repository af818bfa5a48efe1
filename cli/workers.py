"""Timed processes from the side of the one that asks: started on one pinned core, asked in turn, weighed, ended."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from slewguard.cli.contenders import MOST_CALLS, Contender
from slewguard.export.backends import EngineUnavailable
from slewguard.sim.threads import one_thread_for_children


@dataclass(frozen=True)
class Taken:
    """Times of some calls.

    Parameters
    ----------
    wall_ns, cpu_ns : int64 array [N]
        Of each call, the second of all threads of the process.
    score : float array [N]
    elapsed_ns : int
        From before the first call to behind the last.
    """

    wall_ns: NDArray[np.int64]
    cpu_ns: NDArray[np.int64]
    score: NDArray[np.float64]
    elapsed_ns: int


class Worker:
    """A process that has made its first call.

    Raises
    ------
    EngineUnavailable
        If it ends before, with its last words.
    """

    def __init__(self, contender: Contender) -> None:
        self.contender = contender
        self._said = tempfile.TemporaryFile("w+")  # noqa: SIM115  closed with the worker
        begun = time.perf_counter_ns()
        with one_thread_for_children():
            self._process = subprocess.Popen(
                contender.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._said, text=True
            )
        try:
            version, load_ns = self._line().rsplit(" ", 1)
            self.first = self._taken()
            self.cold_ns = time.perf_counter_ns() - begun
            self.cold_cpu_ns = self._cpu_ns()
        except EngineUnavailable:
            self._process.kill()
            self.close()
            raise
        self.load_ns = int(load_ns)
        self.version = contender.version or version

    @property
    def pid(self) -> int:
        """Number of the process."""
        return self._process.pid

    def call(self, calls: int, limit_s: float = 1e9) -> Taken:
        """Make calls, one behind the other, until there are enough or the time is up, at least one."""
        self._stdin().write(f"{min(calls, MOST_CALLS)} {round(limit_s * 1e9)}\n")
        self._stdin().flush()
        return self._taken()

    def peak_rss_bytes(self) -> int | None:
        """Largest resident set so far, where the system tells it: VmHWM of proc(5)."""
        try:
            lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        except OSError:
            return None
        return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM")), None)

    def _cpu_ns(self) -> float:
        """Processor time so far, NaN where the system does not tell: utime and stime of proc(5), 10 ms apart."""
        try:
            fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return float("nan")
        return (int(fields[11]) + int(fields[12])) * 1e9 / os.sysconf("SC_CLK_TCK")

    def close(self) -> None:
        """End the process."""
        self._stdin().close()
        self._process.wait()
        if self._process.stdout:
            self._process.stdout.close()
        self._said.close()

    def _stdin(self) -> IO[str]:
        assert self._process.stdin is not None
        return self._process.stdin

    def _line(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self._process.wait()
            self._said.seek(0)
            words = [line.strip() for line in self._said if line.strip()]
            raise EngineUnavailable(words[-1][:200] if words else f"ended with {self._process.returncode}")
        return line.strip()

    def _taken(self) -> Taken:
        count, elapsed = map(int, self._line().split())
        rows = np.array([self._line().split() for _ in range(count)], dtype=float)
        return Taken(rows[:, 0].astype(np.int64), rows[:, 1].astype(np.int64), rows[:, 2], elapsed)


@contextmanager
def pinned() -> Iterator[tuple[int | None, Any]]:
    """Pick the core for timed processes and keep off it.

    Yields
    ------
    core : int or None
        None where the system cannot pin.
    on_core : context manager factory
        Processes started within are pinned.
    """
    if not hasattr(os, "sched_setaffinity"):
        from contextlib import nullcontext

        yield None, nullcontext
        return
    allowed = os.sched_getaffinity(0)
    core = max(allowed)
    others = allowed - {core} or allowed

    @contextmanager
    def on_core() -> Iterator[None]:
        os.sched_setaffinity(0, {core})  # inherited
        try:
            yield
        finally:
            os.sched_setaffinity(0, others)

    os.sched_setaffinity(0, others)
    try:
        yield core, on_core
    finally:
        os.sched_setaffinity(0, allowed)
