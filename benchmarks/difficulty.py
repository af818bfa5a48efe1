"""How hard a trigger set is: ``python -m slewguard.benchmarks.difficulty TRIGGERS.h5 [--splits 10]``.

Each split draws as many alerts as the November 2025 talk had, in its mix (450 to train, 113 to test, 59 % true), no
sequence on both sides, and trains on them the talk's handmade network with its recipe, without and with the known
sources in the mask, and the baselines on named features. The same baselines trained on a large part of the set stand
beside them. Labels are taken as they are.

A set is as hard as the real one seems to be where the handmade network without the catalogue scores 0.90 to 0.96 in
accuracy (the talk: 0.92 of 113), and can rank networks where the trees stay below 0.995 in area under the curve.
What makes it easy is told by the causes and by what single features reach.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slewguard.benchmarks.command import as_command
from slewguard.benchmarks.markdown import figure, table
from slewguard.export.features import FEATURES
from slewguard.subimages import BadInput, read_triggers
from slewguard.subimages.contract import TRUE, UNCLEAR, TriggerSet
from slewguard.train.baseline import measure
from slewguard.train.calibrate import data_hash
from slewguard.train.data import split_by_sequence
from slewguard.train.fit_baseline import fit_feature_model, fit_network
from slewguard.train.metrics import auc
from slewguard.train.pooled import Scored, pooled
from slewguard.train.recipes import BASELINES, FEATURE_MODELS

RESULT = Path(__file__).parent / "results" / "difficulty.json"
TRAIN, TEST = (266, 184), (67, 46)
"""True and false alerts of a split: 333 and 230 of the talk, four to one."""

NETWORKS = ("handmade-no-catalogue", "handmade")
ACCURACY, AUC = (0.90, 0.96), 0.995
_PER_SEQUENCE = 2
"""Most alerts of a sequence in a draw: the satellite sends one sub-image at a sequence's end (VHF packets, CNES 2017),
and with all of up to 34 alerts a split of 113 would hold a dozen sequences."""
_TEST_SHARE = 0.3
_SINGLE = 8


def main() -> None:
    """Measure, store, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "triggers", type=Path, nargs="?", help="labelled trigger set; without one, print what is stored"
    )
    parser.add_argument("--splits", type=int, default=10)
    parser.add_argument("--large", type=int, default=10_000, help="most alerts of the large training sample")
    parser.add_argument("--epochs", type=int, help="of the networks, instead of the talk's")
    parser.add_argument("--workers", type=int, default=2, help="processes, one thread each")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, default=RESULT, help="file to write")
    given = parser.parse_args()
    if given.triggers:
        result = run(given.triggers, given.splits, given.large, given.epochs, given.workers, given.seed)
        given.json.write_text(json.dumps(result, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    print(render(json.loads(given.json.read_text(encoding="utf-8"))))


def run(path: Path, splits: int, large: int, epochs: int | None, workers: int, seed: int) -> dict[str, Any]:
    """Measure a trigger set.

    Parameters
    ----------
    path : Path
        Trigger set.
    splits : int
    large : int
        Most alerts of the large training sample.
    epochs : int or None
        Instead of the recipe's.
    workers : int
    seed : int
        Of draws, trainings and bootstrap.

    Raises
    ------
    BadInput
        If the set has too few alerts for one split.
    """
    start = time.monotonic()
    # Set before the workers load torch or scikit-learn: one thread each.
    os.environ["OMP_NUM_THREADS"] = "1"
    triggers = labelled(path)
    draws = [talk_draw(triggers, np.random.default_rng([seed, i])) for i in range(splits)]
    draws.append(large_draw(triggers, large, seed))
    # The short ones first, so that something is seen soon.
    tasks = [_Task(name, i, seed, epochs, *draws[i]) for i in range(splits + 1) for name in FEATURE_MODELS]
    tasks += [_Task(name, i, seed, epochs, *draws[i]) for i in range(splits) for name in NETWORKS]
    found: dict[tuple[str, int], NDArray[np.float64]] = {}
    with multiprocessing.get_context("spawn").Pool(workers, _open, (path,)) as pool:
        for done, (name, i, score) in enumerate(pool.imap_unordered(_score, tasks), 1):
            found[name, i] = score
            right = ((score >= 0) == (triggers.label[draws[i][1]] == TRUE)).mean()
            seconds = time.monotonic() - start
            print(f"{done}/{len(tasks)}  split {i + 1}  {name}  accuracy {right:.3f}  {seconds:.0f} s", flush=True)

    def row(name: str, which: range) -> dict[str, Any]:
        tested = [_scored(triggers, draws[i][1], found[name, i]) for i in which]
        trained = len(draws[which[0]][0])
        return {"classifier": name, "trained_on": trained, "splits": len(which), **pooled(tested, seed)}

    rows = [row(name, range(splits)) for name in (*NETWORKS, *FEATURE_MODELS)]
    rows += [row(name, range(splits, splits + 1)) for name in FEATURE_MODELS]
    return {
        "data": {
            "sha256": data_hash(triggers),
            "alerts": len(triggers),
            "true": int((triggers.label == TRUE).sum()),
            "sequences": len(np.unique(triggers.sequence)),
        },
        "epochs": BASELINES["handmade"].epochs if epochs is None else epochs,
        "rows": rows,
        "criteria": criteria(rows),
        "single_features": single_features(triggers),
        "seconds": round(time.monotonic() - start),
        "workers": workers,
    }


def labelled(path: Path) -> TriggerSet:
    """Alerts of a trigger set that are labelled true or false."""
    triggers = read_triggers(path)
    return triggers.select(np.flatnonzero(triggers.label != UNCLEAR))


def talk_draw(triggers: TriggerSet, rng: np.random.Generator) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Draw as many alerts as the talk had, sequence by sequence: first those to test, then those to train on.

    Returns
    -------
    train, test : int arrays
        Indices of 450 and 113 alerts, at most two of a sequence; what is beyond what is still wanted is left out.

    Raises
    ------
    BadInput
        If the set does not hold as many.
    """
    wanted = np.array([TEST, TRAIN])
    chosen: tuple[list[int], list[int]] = ([], [])
    for whole in _by_sequence(triggers.sequence, rng):
        members = rng.permutation(whole)[:_PER_SEQUENCE]
        kind = np.where(triggers.label[members] == TRUE, 0, 1)
        here = next((i for i in (0, 1) if (wanted[i][np.unique(kind)] > 0).any()), None)
        if here is None:
            if not wanted.any():
                break
            continue
        for alert, column in zip(members, kind, strict=True):
            if wanted[here][column] > 0:
                wanted[here][column] -= 1
                chosen[here].append(int(alert))
    if wanted.any():
        need = f"{TRAIN[0] + TEST[0]} true and {TRAIN[1] + TEST[1]} false"
        raise BadInput(f"a split of the talk's size needs {need} alerts of enough sequences")
    return np.sort(chosen[1]), np.sort(chosen[0])


def large_draw(triggers: TriggerSet, size: int, seed: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Hold out three in ten sequences for the test, and draw the training alerts from the others."""
    first, second = split_by_sequence(triggers, _TEST_SHARE, seed)
    rng = np.random.default_rng([seed, len(first)])
    train: list[int] = []
    for members in _by_sequence(triggers.sequence[first], rng):
        train.extend(first[members].tolist())
        if len(train) >= size:
            break
    return np.sort(train[:size]), second


def criteria(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What is asked of the set, and whether it holds."""
    net = rows[0]["accuracy"]
    found = [
        {
            "what": f"accuracy of the handmade network without the catalogue, {ACCURACY[0]:.2f} to {ACCURACY[1]:.2f}",
            **net,
            "verdict": "too hard"
            if net["value"] < ACCURACY[0]
            else "too easy"
            if net["value"] > ACCURACY[1]
            else "met",
        }
    ]
    for row in rows:
        if row["classifier"] == "trees":
            found.append(
                {
                    "what": f"area under the curve of trees trained on {row['trained_on']:,}, below {AUC}",
                    **row["auc"],
                    "verdict": "met" if row["auc"]["value"] < AUC else "too easy",
                }
            )
    return found


def single_features(triggers: TriggerSet) -> list[dict[str, Any]]:
    """The features that separate the classes best on their own, with their area under the curve."""
    measured = measure(triggers)
    found = []
    for column, name in enumerate(FEATURES):
        value = auc(measured[:, column], triggers.label)
        assert value is not None  # both classes were drawn from
        found.append((max(value, 1 - value), name, "true" if value >= 0.5 else "false"))
    best = sorted(found, reverse=True)[:_SINGLE]
    return [{"feature": name, "auc": value, "higher_for": kind, "n": len(triggers)} for value, name, kind in best]


def render(result: dict[str, Any]) -> str:
    """Markdown tables of a stored result."""
    rows = [
        [
            row["classifier"],
            f"{row['trained_on']:,}",
            figure(row["accuracy"]),
            figure(row["auc"]),
            f"{row['accuracy']['n']:,} in {row['splits']}, of {row['sequences']:,} sequences",
        ]
        for row in result["rows"]
    ]
    by_name = {row["classifier"]: row["per_cause"] for row in result["rows"] if row["splits"] > 1}
    causes = sorted(by_name["trees"], key=lambda name: by_name["trees"][name]["value"])
    per_cause = [
        [name, str(by_name["trees"][name]["n"]), *(figure(by_name[c][name]) for c in (*NETWORKS, "trees"))]
        for name in causes
    ]
    single = [[one["feature"], f"{one['auc']:.3f}", one["higher_for"]] for one in result["single_features"]]
    verdicts = [[one["what"], figure(one), one["verdict"]] for one in result["criteria"]]
    return "\n\n".join(
        (
            table(["classifier", "trained on", "accuracy", "area under the curve", "tested in splits"], rows),
            table(["asked", "value [95 %]", "verdict"], verdicts),
            table(["cause", "tested", *(f"{name}: right" for name in (*NETWORKS, "trees"))], per_cause),
            table(["single feature", "area under the curve", "higher for"], single),
            f"{result['data']['alerts']:,} alerts, {result['epochs']} epochs, {result['seconds']} s with "
            f"{result['workers']} processes",
        )
    )


def _by_sequence(sequence: NDArray[np.int64], rng: np.random.Generator) -> Iterator[NDArray[np.intp]]:
    """Yield the alerts of each sequence, the sequences in random order."""
    order = np.argsort(sequence, kind="stable")
    starts = np.flatnonzero(np.diff(sequence[order])) + 1
    groups = np.split(order, starts)
    for i in rng.permutation(len(groups)):
        yield groups[i]


def _scored(triggers: TriggerSet, index: NDArray[np.intp], score: NDArray[np.float64]) -> Scored:
    return Scored(score, triggers.label[index] == TRUE, triggers.sequence[index], triggers.cause[index])


@dataclass(frozen=True, eq=False)
class _Task:
    """One training; ``train`` and ``test`` are indices of alerts."""

    name: str
    split: int
    seed: int
    epochs: int | None
    train: NDArray[np.intp]
    test: NDArray[np.intp]


_opened: dict[str, Any] = {}


def _open(path: Path) -> None:
    triggers = labelled(path)
    _opened.update(triggers=triggers, measured=measure(triggers))


def _score(task: _Task) -> tuple[str, int, NDArray[np.float64]]:
    triggers, measured = _opened["triggers"], _opened["measured"]
    train, test, seed = task.train, task.test, task.seed + task.split
    if task.name in FEATURE_MODELS:
        label = triggers.label[train] == TRUE
        model = fit_feature_model(task.name, measured[train], label, triggers.sequence[train], seed)
        return task.name, task.split, model.score(measured[test])
    recipe = BASELINES[task.name]
    recipe = recipe if task.epochs is None else replace(recipe, epochs=task.epochs)
    score = fit_network(recipe, triggers.select(train), triggers.select(test), seed)
    return task.name, task.split, score.astype(np.float64)


if __name__ == "__main__":
    as_command(main)
