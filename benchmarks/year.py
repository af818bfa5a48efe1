"""A year with slewguard: ``python -m slewguard.benchmarks.year SET [--model MODEL] [--workers 2]``.

Simulates a year as nature sends it into SET and replays it with the model, both timed, and stores every figure in
``benchmarks/results/year.json``. Asked for: under two hours on two cores. Wall time and the processor time of all
processes are stored, since a busy machine stretches the first alone; a run that went on after a kill, or found SET
complete, times what was left and says so.
"""

from __future__ import annotations

import argparse
import resource
import time
from pathlib import Path
from typing import Any

from slewguard.benchmarks.campaign_cost import machine
from slewguard.benchmarks.chain_sets import simulated, store
from slewguard.benchmarks.command import as_command
from slewguard.cli.chain import measure, show, show_figures
from slewguard.export.package import open_model
from slewguard.sim.config import SimConfig

DAYS, SEED, ASKED_S = 365.25, 47, 7200.0


def _processor_s() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(part.ru_utime + part.ru_stime for part in used)


def main() -> None:
    """Simulate, replay, print and store."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("set", type=Path, metavar="SET", help="trigger set; simulated there if it does not exist")
    parser.add_argument("--model", default="default")
    parser.add_argument("--days", type=float, default=DAYS)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--ledger", type=Path, help="write the ledger here")
    given = parser.parse_args()
    model = open_model(given.model)
    host = machine()
    fresh = not given.set.exists() and not given.set.with_name(given.set.name + ".work").exists()
    timing: dict[str, Any] = {"machine": host, "workers": given.workers, "complete": fresh}
    begun, used = time.monotonic(), _processor_s()
    triggers = simulated(given.set, SimConfig(), given.days, given.seed, given.workers)
    timing |= {"simulate_s": time.monotonic() - begun, "simulate_processor_s": _processor_s() - used}
    begun, used = time.monotonic(), _processor_s()
    result, found = measure(triggers, model, SimConfig(), ledger_to=given.ledger)
    timing |= {"chain_s": time.monotonic() - begun, "chain_processor_s": _processor_s() - used}
    total = timing["simulate_s"] + timing["chain_s"]
    timing |= {"total_s": total, "asked_s": ASKED_S, "in_time": total < ASKED_S}
    show(result, f"{model.name} over {result.days:g} simulated days")
    show_figures(found)
    print(
        f"simulated in {timing['simulate_s']:.0f} s, replayed in {timing['chain_s']:.0f} s "
        f"({timing['simulate_processor_s'] + timing['chain_processor_s']:.0f} s of processor time)"
        + ("" if fresh else "; the simulation had begun before")
    )
    store("year.json", found | {"seed": given.seed, "timing_run": timing})


if __name__ == "__main__":
    as_command(main)
