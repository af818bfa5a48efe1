"""How long the flight net is trained on 450 alerts: ``python -m slewguard.benchmarks.study_epochs TRAINING.h5``.

Draws of the talk's size from simulated alerts that are no test data, judged on alerts of other sequences. What is best
here is what the talk's studies use (:mod:`slewguard.benchmarks.studies`); the held-back alerts choose nothing.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from slewguard.benchmarks.command import as_command
from slewguard.benchmarks.difficulty import labelled, talk_draw
from slewguard.benchmarks.markdown import table
from slewguard.subimages.atomic import atomic_output
from slewguard.subimages.contract import TRUE
from slewguard.train.calibrate import data_hash
from slewguard.train.cells import fit_cell
from slewguard.train.metrics import auc, rejection_at_retention

RESULT = Path(__file__).parent / "results" / "study_epochs.json"
EPOCHS = (20, 40, 80)
_JUDGED = 2000


def main() -> None:
    """Measure, store, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("triggers", type=Path, help="simulated training alerts")
    parser.add_argument("--draws", type=int, default=3)
    parser.add_argument("--epochs", type=int, nargs="+", default=EPOCHS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, default=RESULT, help="file to write")
    given = parser.parse_args()
    result = run(given.triggers, given.draws, tuple(given.epochs), given.seed)
    with atomic_output(given.json) as beside:
        beside.write_text(json.dumps(result, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    print(render(result))


def run(path: Path, draws: int, epochs: tuple[int, ...], seed: int) -> dict[str, Any]:
    """Train for each number of epochs on each draw and judge, printing as it goes.

    Parameters
    ----------
    path : Path
        Trigger set.
    draws : int
    epochs : tuple of int
        In floating point; the quantisation-aware ones go with them.
    seed : int
    """
    os.environ["OMP_NUM_THREADS"] = "1"
    triggers = labelled(path)
    rows = []
    for draw in range(draws):
        rng = np.random.default_rng([seed, draw])
        train, _ = talk_draw(triggers, rng)
        others = np.flatnonzero(~np.isin(triggers.sequence, triggers.sequence[train]))
        judged = triggers.select(np.sort(rng.permutation(others)[:_JUDGED]))
        for number in epochs:
            cell = fit_cell("flight", triggers.select(train), judged, seed + draw, number)
            for name, score in cell["scores"].items():
                rows.append(
                    {
                        "classifier": name,
                        "draw": draw,
                        "epochs": number,
                        "auc": auc(score, judged.label),
                        "accuracy": float(((np.array(score) >= 0) == (judged.label == TRUE)).mean()),
                        **{f"rejection_{at}": rejection_at_retention(score, judged.label, at) for at in (0.95, 0.99)},
                        "n": len(judged),
                        "seconds": cell["seconds"],
                    }
                )
                print(rows[-1], flush=True)
    return {"data_sha256": data_hash(triggers), "seed": seed, "rows": rows}


def render(result: dict[str, Any]) -> str:
    """Markdown table of a result: means over the draws."""
    lines = []
    for name, number in sorted({(row["classifier"], row["epochs"]) for row in result["rows"]}):
        rows = [row for row in result["rows"] if (row["classifier"], row["epochs"]) == (name, number)]
        means = (np.mean([row[key] for row in rows]) for key in ("auc", "rejection_0.95", "rejection_0.99"))
        lines.append([name, str(number), *(f"{mean:.4f}" for mean in means), str(len(rows))])
    return table(["classifier", "epochs", "AUC", "rejection at 0.95", "rejection at 0.99", "draws"], lines)


if __name__ == "__main__":
    as_command(main)
