"""A campaign: simulate a stretch of the mission and collect its alerts as one trigger set.

Every event has its own generator, so the work may be cut anywhere: into shards for several machines, chunks for
several processes, and a part before and a part after a kill. The bytes stay the same.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from slewguard.sim.cluster import Runner, processes, versions
from slewguard.sim.config import SimConfig, config_changes
from slewguard.sim.shards import MADE_BY, WorkFolder, collect
from slewguard.sim.timeline import EventId, alerts, events
from slewguard.subimages.contract import TriggerSet
from slewguard.subimages.errors import BadInput

_CHUNK = 16
"""Events that are computed, kept and, after a kill, lost together: some seconds of work."""

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Campaign:
    """A stretch of the mission, or one shard of it.

    Parameters
    ----------
    config : SimConfig
    days : float
        Length of the time line.
    seed : int
        Seed of the time line, 0 to 2^64 - 1. Every event has its own generator, keyed by seed and event.
    shard : (int, int)
        Every n-th event from the i-th on: (i, n). All shards together are the whole.

    Raises
    ------
    BadInput
        If days, seed or shard make no sense.
    """

    config: SimConfig
    days: float
    seed: int
    shard: tuple[int, int] = (0, 1)

    def __post_init__(self) -> None:
        index, n_shards = self.shard
        if not 0 < self.days < float("inf"):
            raise BadInput(f"days must be positive and finite, not {self.days}")
        if not 0 <= self.seed < 2**64:
            raise BadInput(f"seed must lie in 0 to 2^64 - 1, not {self.seed}")
        if not 0 <= index < n_shards:
            raise BadInput(f"shard must be i/n with 0 <= i < n, not {index}/{n_shards}")

    def events(self) -> list[EventId]:
        """Events of the shard, in order of the time line."""
        index, n_shards = self.shard
        return [e for k, e in enumerate(events(self.config, self.days, self.seed)) if k % n_shards == index]

    def provenance(self) -> dict[str, Any]:
        """What the trigger set says of itself; ``enrich`` is 1 where its counts are those of nature."""
        return {
            "made_by": MADE_BY,
            "version": version("slewguard"),
            "config": config_changes(self.config),
            "config_sha256": self.config.digest(),
            "days": float(self.days),
            "seed": self.seed,
            "shard": list(self.shard),
            "enrich": self.config.rates.enrich,
        }


def simulate(
    config: SimConfig,
    *,
    days: float,
    seed: int,
    shard: tuple[int, int] = (0, 1),
    workers: int = 1,
    progress: Progress | None = None,
) -> TriggerSet:
    """Simulate a mission time line and return its alerts, ordered by event and window.

    Parameters
    ----------
    config, days, seed, shard
        As of :class:`Campaign`.
    workers : int
        Processes; the result does not depend on it.
    progress : callable, optional
        Called with the number of events done and their total, first with what was there already.

    Returns
    -------
    TriggerSet
        With every column filled.

    Raises
    ------
    BadInput
        If days, seed, shard or workers make no sense.
    WorkersLost
        If worker processes keep dying.
    """
    campaign = Campaign(config, days, seed, shard)
    run = processes(workers)
    chunks = _chunks(campaign)
    found: dict[int, TriggerSet] = {}
    _compute(campaign, chunks, run, found.__setitem__, set(), progress)
    return collect([found[number] for number in range(len(chunks))], campaign.provenance())


def simulate_to_file(
    campaign: Campaign, out: str | Path, *, run: Runner | None = None, progress: Progress | None = None
) -> TriggerSet:
    """Simulate a campaign into a file, and go on where a killed run of the same campaign ended.

    Finished chunks of events wait in the folder ``OUT.work``, which goes when the file is complete. The file's bytes
    depend neither on kills nor on the runner.

    Parameters
    ----------
    campaign : Campaign
    out : path-like
        HDF5 trigger set to write; what is there stays until the new one is whole.
    run : Runner, optional
        Where to compute; this process if left out.
    progress : callable, optional
        As for :func:`simulate`.

    Raises
    ------
    BadInput
        If nothing can be written there, or the work folder holds another campaign.
    WorkersLost
        If workers keep dying; what is finished is kept.
    """
    folder = WorkFolder(out, campaign.provenance() | versions() | {"chunk_events": _CHUNK})
    with folder.opened():
        chunks = _chunks(campaign)
        _compute(campaign, chunks, run or processes(1), folder.keep, folder.finished(len(chunks)), progress)
        return folder.finish(len(chunks), campaign.provenance())


def _chunks(campaign: Campaign) -> list[list[EventId]]:
    todo = campaign.events()
    return [todo[i : i + _CHUNK] for i in range(0, len(todo), _CHUNK)]


def _compute(
    campaign: Campaign,
    chunks: Sequence[Sequence[EventId]],
    run: Runner,
    keep: Callable[[int, TriggerSet], None],
    finished: set[int],
    progress: Progress | None,
) -> None:
    total = sum(map(len, chunks))
    done = sum(len(chunks[number]) for number in finished)
    if progress is not None:
        progress(done, total)
    left = {number: chunk for number, chunk in enumerate(chunks) if number not in finished}
    for number, part in run(partial(_simulate_chunk, campaign.config, campaign.seed), left):
        keep(number, part)
        done += len(chunks[number])
        if progress is not None:
            progress(done, total)


def _simulate_chunk(config: SimConfig, seed: int, chunk: Sequence[EventId]) -> TriggerSet:
    found = [image for event in chunk for image in alerts(config, seed, event)]
    return TriggerSet.of(found, simulated=True) if found else collect([], {})
