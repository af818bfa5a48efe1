"""How a change of simulator tells: ``python -m slewguard.benchmarks.shift FOLDER [--model NAME=MODEL ...]``.

Judges models on the variants ``benchmarks/shift_*.yaml``, from which no training draws, and on the nominal population
with another seed. FOLDER keeps the simulated alerts; what is missing there is simulated. Stores
``benchmarks/results/shift.json`` and the table of ``docs/training.md``. The alerts are for development: a recipe may
be chosen by them, so that these figures are no test.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from slewguard.benchmarks.command import as_command
from slewguard.benchmarks.markdown import figure, share, table
from slewguard.benchmarks.provenance import machine, put_table
from slewguard.subimages.atomic import atomic_output

HERE = Path(__file__).parent
STORED = HERE / "results" / "shift.json"
PAGE = HERE.parent / "docs" / "training.md"
DAYS, SEED = 120, 555
VARIANTS = {
    "nominal": "nominal, another seed",
    "mask": "a mask of another family",
    "trigger": "another trigger: one wide band, no criteria, no exclusion",
    "defects": "another detector, bursts near known sources in crowded fields",
}


def main() -> None:
    """Simulate what is missing, judge, store, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    parser.add_argument("--model", action="append", metavar="NAME=MODEL", help="[default=default]")
    given = parser.parse_args()
    models = dict(text.split("=", 1) for text in given.model or ["default=default"])
    given.folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for name, title in VARIANTS.items():
        triggers = given.folder / f"{name}.h5"
        if not triggers.exists():
            config = "default" if name == "nominal" else f"shift_{name}"
            words = ("--config", HERE / f"{config}.yaml", "--days", DAYS, "--seed", SEED, "--out", triggers)
            _slewguard("simulate", *words)
        for called, model in models.items():
            found = given.folder / "found.json"
            _slewguard("evaluate", model, triggers, "--json", found)
            rows.append({"variant": name, "title": title, "model": called} | _kept(json.loads(found.read_text())))
    stored = {"days": DAYS, "seed": SEED, "machine": machine(), "rows": rows}
    with atomic_output(STORED) as beside:
        beside.write_text(json.dumps(stored, indent=1) + "\n", encoding="utf-8")
    table = render(stored)
    put_table(PAGE, "shift", table)
    print(table)


def render(stored: dict[str, Any]) -> str:
    """Markdown table of what was stored."""

    head = ["alerts of", "model", "AUC", "rejection at 0.99 retention", "burst sequences kept", "rejection"]
    lines = [
        [
            row["title"],
            row["model"],
            figure(row["auc"]),
            share(row["rejection"]),
            share(row["kept"]),
            share(row["certified_rejection"]),
        ]
        for row in stored["rows"]
    ]
    return table(head, lines)


def _kept(found: dict[str, Any]) -> dict[str, Any]:
    certified = found["certified"] or {}
    return {
        "sha256": found["model"].get("sha256"),
        "auc": {"value": found["auc"], "lo": found["auc_interval"]["lo"], "hi": found["auc_interval"]["hi"]},
        "rejection": found["rejection_at_retention"]["0.99"],
        "kept": certified.get("retention_burst_sequences"),
        "certified_rejection": certified.get("rejection"),
    }


def _slewguard(*words: object) -> None:
    subprocess.run([sys.executable, "-m", "slewguard.cli.main", *(str(word) for word in words)], check=True)


if __name__ == "__main__":
    as_command(main)
