"""Processes held to a share of one processor, as containers and cheap machines hold theirs.

Linux counts the time that a group of processes has run in each period and stops the group for the rest of it once
its quota is used up (CFS bandwidth control, ``Documentation/scheduler/sched-bwc.rst`` of the kernel). So a short
call is either not slowed at all or late by most of a period: the median does not show it, the largest does. Without
the right to make such a group the process is stopped and continued by signals, to the same shares of the same period.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PERIOD_US = 100_000
"""The kernel's default period, and that of the common container engines."""
_LEAST_US = 1000  # the kernel takes no smaller quota
MECHANISMS = ("cgroup2", "cgroup1", "signals")
"""Ways to hold a process, the better first."""


class QuotaUnavailable(Exception):
    """Raised where a mechanism cannot be used here; the text says why, in one line."""


@dataclass(frozen=True)
class Quota:
    """A process under a quota.

    Parameters
    ----------
    mechanism : str
        ``cgroup2``, ``cgroup1`` or ``signals``.
    percent : float
        Share of one processor.
    period_us : int
        Length of a period.
    stopped : callable
        Periods in which the process was stopped so far.
    """

    mechanism: str
    percent: float
    period_us: int
    stopped: Callable[[], int]


@contextmanager
def hold(
    pid: int,
    percent: float,
    period_us: int = PERIOD_US,
    mechanism: str | None = None,
    roots: tuple[Path, Path] = (Path("/proc"), Path("/")),
) -> Iterator[Quota]:
    """Hold a process of ours to a share of one processor.

    Parameters
    ----------
    pid : int
    percent : float
        Above 0, at most 100.
    period_us : int
    mechanism : str, optional
        One of :data:`MECHANISMS`; without it the first that works here.
    roots : tuple of Path
        Where the process information and the mount points lie.

    Raises
    ------
    QuotaUnavailable
        If the mechanism cannot be used, with what each of them lacks.
    """
    quota_us = round(period_us * percent / 100)
    if not 0 < percent <= 100 or quota_us < _LEAST_US:
        raise ValueError(f"{percent} % of {period_us} us is no quota")
    lacking = []
    for name in MECHANISMS if mechanism is None else (mechanism,):
        if name == "signals":
            with _by_signals(pid, percent, period_us) as quota:
                yield quota
            return
        try:
            group = _enter(name, pid, quota_us, period_us, roots)
        except (OSError, QuotaUnavailable) as error:
            lacking.append(f"{name}: {error}")
            continue
        try:
            yield Quota(name, percent, period_us, group.stopped)
        finally:
            group.leave(pid)
        return
    raise QuotaUnavailable("; ".join(lacking))


def best_mechanism() -> tuple[str, str]:
    """Which mechanism works here, and why the better ones do not (empty if it is the best).

    Tried on this very process, at 100 %.
    """
    lacking: list[str] = []
    for name in MECHANISMS[:-1]:
        try:
            with hold(os.getpid(), 100, mechanism=name):
                return name, "; ".join(lacking)
        except QuotaUnavailable as error:
            lacking.append(str(error))
    return MECHANISMS[-1], "; ".join(lacking)


@dataclass(frozen=True)
class _Group:
    folder: Path
    former: Path

    def stopped(self) -> int:
        lines = (self.folder / "cpu.stat").read_text().splitlines()
        return int(dict(line.split() for line in lines)["nr_throttled"])

    def leave(self, pid: int) -> None:
        with suppress(OSError):  # the process may have ended
            (self.former / "cgroup.procs").write_text(str(pid))
        for _ in range(100):  # an ended process leaves its group a moment later
            with suppress(OSError):
                self.folder.rmdir()
                return
            time.sleep(0.01)


def _enter(name: str, pid: int, quota_us: int, period_us: int, roots: tuple[Path, Path]) -> _Group:
    """Make a group with the quota below that of the process, and move the process into it."""
    former = _group_of(name, pid, roots)
    parent = former
    if name == "cgroup2":
        # Only a group whose parent hands the controller down can have a quota; the nearest such parent above.
        mount, _ = _mount(name, roots)
        while "cpu" not in (parent / "cgroup.subtree_control").read_text().split():
            if parent == mount:
                raise QuotaUnavailable("no group hands the cpu controller down to its children")
            parent = parent.parent
    folder = parent / f"slewguard-{pid}-{time.monotonic_ns()}"
    folder.mkdir()
    group = _Group(folder, former)
    try:
        if name == "cgroup2":
            (folder / "cpu.max").write_text(f"{quota_us} {period_us}")
        else:
            (folder / "cpu.cfs_period_us").write_text(str(period_us))
            (folder / "cpu.cfs_quota_us").write_text(str(quota_us))
        (folder / "cgroup.procs").write_text(str(pid))
    except OSError:
        group.leave(pid)
        raise
    return group


def _group_of(name: str, pid: int, roots: tuple[Path, Path]) -> Path:
    """Folder of the group in which a process is."""
    for line in (roots[0] / str(pid) / "cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if (controllers == "") if name == "cgroup2" else ("cpu" in controllers.split(",")):
            mount, shown = _mount(name, roots)
            return mount / path.removeprefix(shown).lstrip("/")
    raise QuotaUnavailable("the process is in no such group")


def _mount(name: str, roots: tuple[Path, Path]) -> tuple[Path, str]:
    """Where the hierarchy is mounted, and which of its groups is seen there, from ``mountinfo``: see proc(5)."""
    for line in (roots[0] / "self" / "mountinfo").read_text().splitlines():
        before, _, after = line.partition(" - ")
        kind, _, options = after.split(" ", 2)
        if (kind == "cgroup2") if name == "cgroup2" else (kind == "cgroup" and "cpu" in options.split(",")):
            shown, place = before.split()[3:5]
            return roots[1] / place.lstrip("/"), shown
    raise QuotaUnavailable("not mounted")


@contextmanager
def _by_signals(pid: int, percent: float, period_us: int) -> Iterator[Quota]:
    """Let the process run for its share of each period and stop it for the rest."""
    ended = threading.Event()
    stopped = [0]
    runs = period_us / 1e6 * percent / 100

    def cycle() -> None:
        begun = time.monotonic()
        with suppress(ProcessLookupError):
            while not ended.wait(max(0.0, begun + runs - time.monotonic())):
                os.kill(pid, signal.SIGSTOP)
                stopped[0] += 1
                # What it ran too long, for a late wake-up here, it is stopped longer.
                ran = time.monotonic() - begun
                ended.wait(ran * (100 / percent - 1))
                os.kill(pid, signal.SIGCONT)
                begun = time.monotonic()

    thread: Any = threading.Thread(target=cycle, daemon=True)
    if percent < 100:
        thread.start()
    try:
        yield Quota("signals", percent, period_us, lambda: stopped[0])
    finally:
        ended.set()
        if percent < 100:
            thread.join()
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)
