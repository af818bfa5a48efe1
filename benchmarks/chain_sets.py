"""What the benchmarks of the chain share: a set that is simulated once and resumed, and results stored whole."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from slewguard.cli.console import progress
from slewguard.sim.campaign import Campaign, simulate_to_file
from slewguard.sim.cluster import processes
from slewguard.sim.config import SimConfig
from slewguard.subimages import BadInput, TriggerSet, read_triggers
from slewguard.subimages.atomic import atomic_output

RESULTS = Path(__file__).parent / "results"


def simulated(out: Path, config: SimConfig, days: float, seed: int, workers: int) -> TriggerSet:
    """Read a campaign from a file, or simulate it there; a killed run goes on where it ended.

    Parameters
    ----------
    out : Path
    config : SimConfig
    days : float
    seed, workers : int

    Raises
    ------
    BadInput
        If the file holds another campaign.
    """
    campaign = Campaign(config, days, seed)
    if out.exists():
        triggers = read_triggers(out)
        made = {key: triggers.provenance.get(key) for key in ("config_sha256", "days", "seed", "shard")}
        if made != {key: campaign.provenance()[key] for key in made}:
            raise BadInput("holds another campaign than the one asked for; remove it or name another file", out)
        return triggers
    with progress(f"simulating {out.name}", "events") as shown:
        return simulate_to_file(campaign, out, run=processes(workers), progress=shown)


def store(name: str, result: Any) -> None:
    """Store a result under ``benchmarks/results``; it is whole or not there."""
    with atomic_output(RESULTS / name) as beside:
        Path(beside).write_text(json.dumps(result, indent=1, allow_nan=False) + "\n", encoding="utf-8")
