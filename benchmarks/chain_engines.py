"""The same ledger from every engine: ``python -m slewguard.benchmarks.chain_engines [--triggers SET] [--model MODEL]``.

Ten simulated days go through the chain once for each engine of the project, and for each emulated machine whose tools
are here. Two ledgers are equal when all their columns but ``engine`` are, which a SHA-256 tells; all are stored in
``benchmarks/results/chain_engines.json``. Exit code 1 if one differs.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

from slewguard.benchmarks.chain_sets import simulated, store
from slewguard.benchmarks.command import as_command
from slewguard.cli.engines import open_classifier
from slewguard.embedded.target import target_names
from slewguard.export.backends import ENGINES
from slewguard.export.package import open_model
from slewguard.sim.chain import run_chain
from slewguard.sim.config import SimConfig, config_of
from slewguard.subimages import BadInput, TriggerSet, read_triggers

DAYS, SEED = 10.0, 41


def compare(triggers: TriggerSet, model_from: str, engines: list[str]) -> dict[str, Any]:
    """Replay a set with each engine; rows with the hash of the ledger, or why there is none."""
    model = open_model(model_from)
    config = config_of(triggers.provenance.get("config", {}), "trigger set")
    rows: list[dict[str, Any]] = []
    for name in engines:
        try:
            classifier = open_classifier(model, name)
            ledger = run_chain(triggers, classifier, config, name).ledger()
            version = getattr(getattr(classifier, "backend", None), "version", "")
            row = {"engine": name, "ran": True, "version": version, "lines": len(ledger.lines)}
            row |= {"ledger_sha256": ledger.digest()}
        except BadInput as error:
            row = {"engine": name, "ran": False, "reason": str(error)}
        rows.append(row)
        print(*(f"{key} {value}" for key, value in row.items()), flush=True)
    ran = [row for row in rows if row["ran"]]
    return {
        "days": float(triggers.provenance["days"]),
        "alerts": len(triggers),
        "model_sha256": model.sha256,
        "equal": len({row["ledger_sha256"] for row in ran}) == 1,
        "rows": rows,
    }


def main() -> None:
    """Compare, print and store."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--triggers", type=Path, help="a set of `simulate` instead of ten days of its own")
    parser.add_argument("--model", default="default")
    parser.add_argument("--engine", action="append", help="only this one; may be repeated")
    parser.add_argument("--workers", type=int, default=2)
    given = parser.parse_args()
    engines = given.engine or [*ENGINES, "torch", "c", *target_names()]
    with tempfile.TemporaryDirectory() as folder:
        triggers = (
            read_triggers(given.triggers)
            if given.triggers
            else simulated(Path(folder) / "days.h5", SimConfig(), DAYS, SEED, given.workers)
        )
    result = compare(triggers, given.model, engines)
    print(f"{len(triggers)} alerts: ledgers {'equal' if result['equal'] else 'DIFFER'}")
    store("chain_engines.json", result)
    if not result["equal"]:
        sys.exit(1)


if __name__ == "__main__":
    as_command(main)
