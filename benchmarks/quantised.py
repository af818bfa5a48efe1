"""What quantisation costs: ``python -m slewguard.benchmarks.quantised RUN TEST.h5``.

The integer model of a run folder and the floating-point network that it came from, on the same labelled alerts,
compared draw by draw of the same sequences. Asked: at most 0.002 of the area under the curve and 0.005 of the rejection
at 0.99 retention lost. An allowance counts as kept where the whole interval keeps it, as broken where the whole
interval breaks it, and else as open: then the alerts are too few to tell.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from slewguard.benchmarks.command import as_command
from slewguard.benchmarks.markdown import figure, table
from slewguard.benchmarks.provenance import put_table
from slewguard.subimages.atomic import atomic_output
from slewguard.subimages.files import read_triggers
from slewguard.train.calibrate import data_hash
from slewguard.train.evaluate import compare_runs

PAGE = Path(__file__).parent.parent / "docs" / "studies.md"
RESULT = Path(__file__).parent / "results" / "quantised.json"
ALLOWED = {"auc": 0.002, "rejection_at_0.99": 0.005}
_NAMES = {"auc": "AUC", "rejection_at_0.99": "rejection at 0.99 retention"}


def main() -> None:
    """Measure, store, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, nargs="?", help="run folder; without one, print what is stored")
    parser.add_argument("triggers", type=Path, nargs="*", help="labelled alerts that the run was not fitted on")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, default=RESULT, help="file to write")
    given = parser.parse_args()
    if given.run and not given.triggers:
        parser.error("no labelled alerts given")
    if given.run:
        result = {"allowed": ALLOWED, "sets": [measure(given.run, path, given.seed) for path in given.triggers]}
        with atomic_output(given.json) as beside:
            beside.write_text(json.dumps(result, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    table = render(json.loads(given.json.read_text(encoding="utf-8")))
    if given.json == RESULT:
        put_table(PAGE, "quantised", table)
    print(table)


def measure(run: Path, path: Path, seed: int) -> dict[str, Any]:
    """Compare the integers of a run with its floating point on one set."""
    triggers = read_triggers(path)
    found = compare_runs(run, run / "float.safetensors", triggers, seed=seed)
    allowed = {name: verdict(found["differences"][name], limit) for name, limit in ALLOWED.items()}
    return {"name": path.stem, "data_sha256": data_hash(triggers), **found, "allowance": allowed}


def verdict(difference: dict[str, Any], limit: float) -> str:
    """Whether a loss of at most ``limit`` is kept: "kept", "broken" or "open"."""
    if difference["lo"] is None:
        return "open"
    return "kept" if difference["lo"] >= -limit else "broken" if difference["hi"] < -limit else "open"


def render(result: dict[str, Any]) -> str:
    """Markdown table of a stored result."""
    head = ["alerts", "figure", "int8", "float", "difference [95 %]", "allowed loss", "verdict"]
    lines = []
    for one in result["sets"]:
        for name, limit in result["allowed"].items():
            difference, figures = one["differences"][name], one["figures"]
            if difference["value"] is None:
                continue
            values = [f"{figures[which][name]:.4f}" for which in ("ours", "other")]
            alerts = f"{one['name']}, {one['n_true']:,} + {one['n_false']:,} of {one['sequences']:,} sequences"
            lines.append(
                [alerts, _NAMES[name], *values, figure(difference, sign="+"), f"{limit}", one["allowance"][name]]
            )
    return table(head, lines)


if __name__ == "__main__":
    as_command(main)
