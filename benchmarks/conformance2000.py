"""All engines on 2,000 sub-images and adversarial inputs, and planted errors: what the promise rests on.

``python -m slewguard.benchmarks.conformance2000`` compares every layer, the score of the shipped file and the verdict,
alone and as looks of a sequence, of the default model. The rule is run twice: with the model's own thresholds, and
with both thresholds on the median score, so that ties occur. Then one weight, one bias or one shift is changed, and
each check must find it. ``--table`` renders what is stored.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from slewguard.benchmarks.command import as_command
from slewguard.benchmarks.markdown import table
from slewguard.benchmarks.planted import FIELDS, found_by
from slewguard.benchmarks.provenance import PAGE, machine, put_table
from slewguard.cli.engines import open_engines, sample_planes
from slewguard.export.conformance import conformance
from slewguard.export.execute import run
from slewguard.export.package import open_model
from slewguard.subimages.atomic import atomic_output

STORED = Path(__file__).parent / "results" / "conformance2000.json"
INPUTS = 2000
PLANTED_INPUTS = 32


def measure() -> dict[str, Any]:
    """Compare all engines under both rules, and plant the errors."""
    model = open_model("default")
    planes = sample_planes(model, None, INPUTS)
    score = run(model, planes)
    middle = int(np.median(score))
    tied = model.with_verdict(replace(model.verdict, t_veto=middle, t_confirm=middle), {})
    reports = [conformance(one, planes, open_engines(one)) for one in (model, tied)]
    return {
        "machine": machine(),
        "model_sha256": model.sha256,
        "inputs": reports[0].n,
        "ties": int((score == middle).sum()),
        "rows": reports[0].to_json(),
        "rows_at_ties": reports[1].to_json(),
        "planted": found_by(model, planes[:PLANTED_INPUTS]),
    }


def render(stored: dict[str, Any]) -> str:
    """Markdown tables: engines, and planted errors."""
    rows, planted = [], []
    for row, tied in zip(stored["rows"], stored["rows_at_ties"], strict=True):
        figures = [f"{row[name]:,}" for name in ("bytes_compared", "bytes_different", "verdict_flips")]
        shown = [*figures, f"{tied['verdict_flips']:,}"] if row["ran"] else ["-", "-", "-", row["reason"]]
        rows.append([row["engine"], row["version"], *shown])
    for name, found in stored["planted"].items():
        planted.append([name, *("found" if found[field] else "MISSED" for field in FIELDS)])
    engines = table(["engine", "version", "bytes compared", "different", "verdicts flipped", "flipped at ties"], rows)
    changed = table(["check", *(f"one {name}" for name in ("weight", "bias", "shift"))], planted)
    text = f"{stored['inputs']:,} inputs; with both thresholds on the median score {stored['ties']} of them are ties:"
    return f"{text}\n\n{engines}\n\nOne number changed in the layer `pw2`:\n\n{changed}"


def main() -> None:
    """Measure, store, render, and put the table into the page on arithmetic."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", action="store_true", help="only render what is stored")
    arguments = parser.parse_args()
    if not arguments.table:
        with atomic_output(STORED) as beside:
            beside.write_text(json.dumps(measure(), indent=1) + "\n", encoding="utf-8")
    table = render(json.loads(STORED.read_text(encoding="utf-8")))
    put_table(PAGE, "conformance", table)
    print(table)


if __name__ == "__main__":
    as_command(main)
