"""Fit the cause model that ships for the ground, and measure it.

    python -m slewguard.benchmarks.causes training.h5 --test natural=test.h5 [--test NAME=FILE ...]

fits the trees, writes ``ground/causes.json`` and stores accuracy, confusion, calibration and the n of each group on the
test sets, which choose nothing, in ``benchmarks/results/causes.json``. Without a training set the shipped model is
measured.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slewguard.benchmarks.command import as_command
from slewguard.benchmarks.provenance import machine
from slewguard.export.features import features
from slewguard.ground.causes import FILE, GROUPS, CauseModel, load_causes
from slewguard.subimages import TriggerSet, read_triggers
from slewguard.subimages.atomic import atomic_output
from slewguard.subimages.contract import BURST_CAUSES
from slewguard.train.calibrate import data_hash
from slewguard.train.causes import fit_causes
from slewguard.train.metrics import share

ROOT = Path(__file__).parent.parent
MODEL = ROOT / "ground" / FILE
RESULTS = ROOT / "benchmarks" / "results" / "causes.json"
BINS = 10
_DRAWS = 500


def fit(triggers: TriggerSet, seed: int) -> CauseModel:
    """Fit the trees to the alerts whose cause is in a group; enriched bursts get their natural share."""
    enriched = float(triggers.provenance.get("enrich", 1.0))
    triggers = triggers.select(np.flatnonzero(triggers.rejected == 0))
    empty = CauseModel(GROUPS, (), 1.0, {})
    group = empty.group_of(triggers.cause)
    known = np.flatnonzero(group >= 0)
    chosen = triggers.select(known)
    weight = [1 / enriched if set(causes) <= set(BURST_CAUSES) else 1.0 for causes in GROUPS.values()]
    measured = features(chosen.snr, chosen.mask, chosen.catalogue_id)
    found = fit_causes(measured, group[known], chosen.sequence, weight, seed)
    population = {
        "simulated": triggers.simulated,
        "data_sha256": data_hash(triggers),
        "provenance": dict(triggers.provenance),
        "bursts_weighed": 1 / enriched,
        "alerts_fitted": found.fitted,
        "alerts_of_the_temperature": found.held_out,
        "rounds": found.rounds,
    }
    return CauseModel(GROUPS, found.forests, found.temperature, population)


def measure(model: CauseModel, triggers: TriggerSet, seed: int = 0) -> dict[str, Any]:
    """Figures of a model on a labelled set; alerts whose cause is in no group are counted and left out."""
    group = model.group_of(triggers.cause)
    known = np.flatnonzero((group >= 0) & (triggers.rejected == 0))
    chosen, group = triggers.select(known), group[known]
    probability = model.probabilities(chosen)
    called, sequence = probability.argmax(axis=1), chosen.sequence
    right, top = called == group, probability.max(axis=1)
    own = probability[np.arange(len(group)), group]
    names = list(model.groups)
    per_group = {}
    for i, name in enumerate(names):
        mine = group == i
        if mine.any():
            n_sequences = len(np.unique(sequence[mine]))
            per_group[name] = {
                "sequences": n_sequences,
                "called_rightly": share(int(right[mine].sum()), int(mine.sum()), n_sequences),
                "mean_probability": float(own[mine].mean()),
                "mean_probability_of_alerts": float(probability[:, i].mean()),
                "share_of_alerts": float(mine.mean()),
            }
    confusion = np.zeros((len(names), len(names)), dtype=int)
    np.add.at(confusion, (group, called), 1)
    error = _calibration_error(top, right, np.ones(len(top)))
    draws = [_calibration_error(top, right, weight) for weight in _drawn(sequence, seed)]
    return {
        "alerts": len(group),
        "sequences": len(np.unique(sequence)),
        "in_no_group": len(triggers) - len(group),
        "accuracy": share(int(right.sum()), len(group), len(np.unique(sequence))),
        "log_loss": float(-np.log(np.maximum(own, 1e-12)).mean()),
        "calibration_error": {
            "value": error,
            "lo": float(np.quantile(draws, 0.025)),
            "hi": float(np.quantile(draws, 0.975)),
            "n": len(group),
        },
        "reliability": _reliability(top, right),
        "confusion": {
            name: dict(zip(names, row.tolist(), strict=True)) for name, row in zip(names, confusion, strict=True)
        },
        "per_group": per_group,
    }


def _bins(top: NDArray[np.float64]) -> NDArray[np.intp]:
    return np.minimum((top * BINS).astype(np.intp), BINS - 1)


def _calibration_error(top: NDArray[np.float64], right: NDArray[np.bool_], weight: NDArray[np.float64]) -> float:
    """Expected calibration error of the likeliest group: mean over the bins of abs(probability - share right)."""
    excess = np.bincount(_bins(top), weights=weight * (top - right), minlength=BINS)
    return float(np.abs(excess).sum() / weight.sum())


def _reliability(top: NDArray[np.float64], right: NDArray[np.bool_]) -> list[dict[str, Any]]:
    rows = []
    for i in range(BINS):
        own = _bins(top) == i
        if own.any():
            rows.append({"probability": float(top[own].mean()), "right": share(int(right[own].sum()), int(own.sum()))})
    return rows


def _drawn(sequence: NDArray[np.int64], seed: int) -> list[NDArray[np.float64]]:
    names, member = np.unique(sequence, return_inverse=True)
    rng = np.random.default_rng(seed)
    return [
        np.bincount(rng.integers(len(names), size=len(names)), minlength=len(names)).astype(float)[member]
        for _ in range(_DRAWS)
    ]


def _print(name: str, found: dict[str, Any]) -> None:
    accuracy, error = found["accuracy"], found["calibration_error"]
    print(
        f"{name}: {found['alerts']} alerts of {found['sequences']} sequences, {found['in_no_group']} in no group; "
        f"right {accuracy['value']:.3f} [{accuracy['lo']:.3f}, {accuracy['hi']:.3f}], "
        f"log loss {found['log_loss']:.3f}, "
        f"calibration error {error['value']:.3f} [{error['lo']:.3f}, {error['hi']:.3f}]"
    )
    for group, row in found["per_group"].items():
        right = row["called_rightly"]
        likely = sorted(found["confusion"][group].items(), key=lambda pair: -pair[1])[:4]
        print(
            f"  {group:16} n {right['n']:5} of {row['sequences']:4} sequences  right {right['value']:.2f} "
            f"[{right['lo']:.2f}, {right['hi']:.2f}]  called {', '.join(f'{a} {b}' for a, b in likely if b)}",
            flush=True,
        )


def main() -> None:
    """Fit, write, measure and store."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("training", type=Path, nargs="?", help="to fit; without it the shipped model is measured")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--test", action="append", default=[], metavar="NAME=FILE")
    parser.add_argument("--model", type=Path, default=MODEL)
    parser.add_argument("--json", type=Path, default=RESULTS)
    given = parser.parse_args()
    if given.training is not None:
        content = fit(read_triggers(given.training), given.seed).content()
        with atomic_output(given.model) as beside:
            beside.write_text(json.dumps(content, separators=(",", ":"), allow_nan=False) + "\n", encoding="utf-8")
    model = load_causes(given.model)
    print(f"{given.model.stat().st_size} bytes, temperature {model.temperature}")
    results: dict[str, Any] = {"machine": machine(), "population": dict(model.population), "tests": {}}
    for name, _, file in (text.partition("=") for text in given.test):
        triggers = read_triggers(file)
        results["tests"][name] = {"data_sha256": data_hash(triggers), **measure(model, triggers)}
        _print(name, results["tests"][name])
    with atomic_output(given.json) as beside:
        beside.write_text(json.dumps(results, indent=1, allow_nan=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    as_command(main)
