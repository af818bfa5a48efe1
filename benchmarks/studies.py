"""The November 2025 talk's two studies on the held-back alerts: ``python -m slewguard.benchmarks.studies``.

1. *All alerts*: 450 to train and 113 to test, as the talk's handmade network had. Ten splits: five folds, twice, so
   that every alert is tested exactly twice.
2. *An easier subset*: 136 to train and 34 to test, as the talk's ResNet50 had. How its subset was made is not
   published. Assumed here: whole sub-images (no missing data), 170 of them in the balance of study 1, drawn twice and
   tested in five folds each.

No split parts a sequence. Every classifier is trained anew on every split, on its training alerts alone, and figures
are pooled over the splits (:mod:`slewguard.train.pooled`). The flight net is compared with each of the others draw by
draw of the same sequences; a difference is claimed where its 95 % interval excludes 0. Nothing of the design was
chosen on these alerts; how long the flight net is trained comes from simulated ones
(:mod:`slewguard.benchmarks.study_epochs`).

Each cell (study, split, classifier) is kept in ``--cells FOLDER`` when it is done, and a later run goes on from there.
ResNet50 has no ImageNet weights here and is trained whole: one split, few epochs, and only with ``--resnet``.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import multiprocessing
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slewguard.benchmarks.command import as_command
from slewguard.benchmarks.provenance import machine, put_table
from slewguard.benchmarks.study_hardest import KINDS, hardest
from slewguard.benchmarks.study_tables import render, write_plot
from slewguard.subimages.atomic import atomic_output
from slewguard.subimages.contract import FALSE, TRUE, UNCLEAR, TriggerSet
from slewguard.subimages.files import read_triggers
from slewguard.train.calibrate import data_hash
from slewguard.train.cells import fit_cell, recipe_of
from slewguard.train.pooled import Pool, Scored, differences, summary
from slewguard.train.strata import STUDY_STRATA, study_strata

HERE = Path(__file__).parent
DATA = HERE / "data" / "alerts563.h5"
PAGE = Path(__file__).parent.parent / "docs" / "studies.md"
RESULT = HERE / "results" / "studies.json"
CELLS = HERE.parent / "build" / "studies"

STUDIES = {"all": "all alerts, 450 to train and 113 to test", "subset": "whole sub-images, 136 to train and 34 to test"}
NETWORKS = ("rule", "logistic", "trees", "flight", "handmade", "handmade-no-catalogue")
FOLDS = 5
SUBSET = 170
OURS, FLOAT = "flight", "flight-float"


@dataclass(frozen=True, eq=False)
class Task:
    """One cell: a classifier on a split; ``train`` and ``test`` are indices of alerts."""

    study: str
    split: int
    name: str
    seed: int
    epochs: int | None
    train: NDArray[np.intp]
    test: NDArray[np.intp]

    @property
    def file(self) -> str:
        """Name of the file that keeps the cell."""
        return f"{self.study}-{self.split:02d}-{self.name}.json"

    def settings(self, data: str) -> dict[str, Any]:
        """What the cell follows from; a cell of other settings is trained anew."""
        parts = np.concatenate([[len(self.train)], self.train, self.test]).astype("<i8")
        return {
            "data": data,
            "alerts": hashlib.sha256(parts.tobytes()).hexdigest(),
            "recipe": recipe_of(self.name, self.epochs),
            "seed": self.seed,
        }


def main() -> None:
    """Train what is missing, store, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--triggers", type=Path, default=DATA)
    parser.add_argument("--splits", type=int, default=10, help="of each study")
    parser.add_argument("--only", nargs="+", default=NETWORKS, choices=NETWORKS, help="classifiers to train")
    parser.add_argument("--resnet", action="store_true", help="also ResNet50, on the first split of each study")
    parser.add_argument("--epochs", type=int, help="of every network, instead of its own (to try the command)")
    parser.add_argument("--workers", type=int, default=1, help="processes, one thread each")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cells", type=Path, default=CELLS, help="folder that keeps finished cells")
    parser.add_argument("--json", type=Path, default=RESULT, help="file to write, the plot beside it")
    parser.add_argument("--table", action="store_true", help="only render what is stored")
    given = parser.parse_args()
    if not given.table:
        triggers = labelled(given.triggers)
        tasks = list(all_tasks(triggers, tuple(given.only), given.splits, given.resnet, given.epochs, given.seed))
        cells = train(given.triggers, data_hash(triggers), tasks, given.cells, given.workers)
        result = measure(triggers, tasks, cells, given.seed)
        with atomic_output(given.json) as beside:
            beside.write_text(json.dumps(result, indent=1, allow_nan=False) + "\n", encoding="utf-8")
        write_plot(result, given.json.with_suffix(".png"))
    table = render(json.loads(given.json.read_text(encoding="utf-8")))
    if given.json == RESULT:
        put_table(PAGE, "studies", table)
    print(table)


def labelled(path: Path) -> TriggerSet:
    """Alerts of a trigger set that are labelled true or false."""
    triggers = read_triggers(path)
    return triggers.select(np.flatnonzero(triggers.label != UNCLEAR))


def all_tasks(
    triggers: TriggerSet, names: tuple[str, ...], splits: int, resnet: bool, epochs: int | None, seed: int
) -> Iterator[Task]:
    """Yield the cells, cheap classifiers first, so that something is seen soon."""
    for study in STUDIES:
        found = [*study_splits(triggers, study, splits, seed)]
        for name in (*names, *("resnet50",) * resnet):
            for i, (train, test) in enumerate(found[: 1 if name == "resnet50" else None]):
                yield Task(study, i, name, seed + i, epochs, train, test)


def study_splits(
    triggers: TriggerSet, study: str, splits: int, seed: int
) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Splits of a study: five folds by sequence, drawn anew after every five.

    Yields
    ------
    train, test : int arrays
        Indices of alerts, in rising order.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    for repeat in range(-(-splits // FOLDS)):
        chosen = np.arange(len(triggers)) if study == "all" else subset(triggers, seed + repeat)
        folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed + repeat)
        label, sequence = triggers.label[chosen], triggers.sequence[chosen]
        for i, (train, test) in enumerate(folds.split(label, label, sequence)):
            if repeat * FOLDS + i < splits:
                yield chosen[train], chosen[test]


def subset(triggers: TriggerSet, seed: int) -> NDArray[np.intp]:
    """Draw the alerts of the second study: whole sub-images, in the balance of the whole set."""
    whole = ~np.isnan(triggers.snr[:, 1:, 1:]).any(axis=(1, 2))
    n_true = round(SUBSET * float((triggers.label == TRUE).mean()))
    rng = np.random.default_rng([seed, 2])
    parts = []
    for kind, n in ((TRUE, n_true), (FALSE, SUBSET - n_true)):
        there = np.flatnonzero(whole & (triggers.label == kind))
        parts.append(rng.permutation(there)[:n])
    return np.sort(np.concatenate(parts))


def train(path: Path, data: str, tasks: list[Task], folder: Path, workers: int) -> dict[str, dict[str, Any]]:
    """Train the cells that are not kept yet, and return all of them by file name."""
    os.environ["OMP_NUM_THREADS"] = "1"  # before the workers load torch or scikit-learn
    folder.mkdir(parents=True, exist_ok=True)
    found = {task.file: cell for task in tasks if (cell := kept(folder / task.file, task.settings(data)))}
    missing = [task for task in tasks if task.file not in found]
    start = time.monotonic()
    print(f"{len(found)} cells kept, {len(missing)} to train", flush=True)
    if not missing:
        return found
    with multiprocessing.get_context("spawn").Pool(workers, _open, (path,)) as pool:
        for done, (task, cell) in enumerate(pool.imap_unordered(_fit, missing), 1):
            cell["settings"] = task.settings(data)
            with atomic_output(folder / task.file) as beside:
                beside.write_text(json.dumps(cell) + "\n", encoding="utf-8")
            found[task.file] = cell
            took = f"{cell['seconds']:.0f} s of processor time, {time.monotonic() - start:.0f} s in all"
            print(f"{done}/{len(missing)}  {task.file}  {took}", flush=True)
    return found


def kept(path: Path, settings: dict[str, Any]) -> dict[str, Any] | None:
    """Return a cell that an earlier run finished, or None."""
    try:
        cell: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return cell if cell.get("settings") == settings else None


def measure(triggers: TriggerSet, tasks: list[Task], cells: dict[str, dict[str, Any]], seed: int) -> dict[str, Any]:
    """Pool the splits of every classifier, and compare the flight net with each.

    Returns
    -------
    dict
        By study: ``rows`` (one a classifier: figures, strata, cost, mean seconds), and ``differences`` (flight less
        each other classifier, and quantised less float).
    """
    strata = study_strata(triggers)
    return {
        "data": {
            "sha256": data_hash(triggers),
            "alerts": len(triggers),
            "true": int((triggers.label == TRUE).sum()),
            "sequences": len(np.unique(triggers.sequence)),
            "strata": {name: int(strata[name].sum()) for name in STUDY_STRATA},
        },
        "machine": machine(),
        "studies": {
            study: _one_study(triggers, strata, [t for t in tasks if t.study == study], cells, seed)
            for study in STUDIES
        },
    }


def _one_study(
    triggers: TriggerSet,
    strata: dict[str, NDArray[np.bool_]],
    tasks: list[Task],
    cells: dict[str, dict[str, Any]],
    seed: int,
) -> dict[str, Any]:
    tested: dict[str, list[tuple[Task, str]]] = {}
    for task in tasks:
        for name in cells[task.file]["scores"]:
            tested.setdefault(name, []).append((task, name))
    pools, draws, rows = {}, {}, []
    by_split: dict[str, list[tuple[NDArray[np.intp], Scored]]] = {}
    for name, where in tested.items():
        index = np.concatenate([task.test for task, _ in where])
        splits = [_scored(triggers, task.test, cells[task.file]["scores"][name]) for task, _ in where]
        by_split[name] = list(zip((task.test for task, _ in where), splits, strict=True))
        pools[name] = Pool(splits)
        draws[name] = pools[name].draws(seed)
        first = where[0][0]
        rows.append(
            {
                "classifier": name,
                "splits": len(where),
                "trained_on": len(first.train),
                "recipe": recipe_of(first.name, first.epochs),
                **cells[first.file]["cost"],
                "training_seconds": float(np.mean([cells[task.file]["seconds"] for task, _ in where])),
                **summary(pools[name], draws[name]),
                "strata": {key: _stratum(splits, strata[key], index, pools[name], seed) for key in STUDY_STRATA},
            }
        )
    ends = {name: len(where) for name, where in tested.items()}
    return {
        "hardest": hardest(triggers, by_split) if set(KINDS) <= set(by_split) else None,
        "what": STUDIES[tasks[0].study],
        "rows": rows,
        "differences": [
            {"ours": ours, "other": other, **differences(pools[ours], draws[ours], pools[other], draws[other])}
            for ours in (OURS, FLOAT)
            for other in pools
            if ours in pools and other != ours and ends[other] == ends[ours] and (ours, other) != (FLOAT, OURS)
        ],
    }


def _scored(triggers: TriggerSet, index: NDArray[np.intp], score: list[float]) -> Scored:
    return Scored(np.array(score), triggers.label[index] == TRUE, triggers.sequence[index], triggers.cause[index])


def _stratum(
    splits: list[Scored], member: NDArray[np.bool_], index: NDArray[np.intp], whole: Pool, seed: int
) -> dict[str, Any] | None:
    """Figures of one stratum, and what of it the cut at 0.99 retention of all alerts keeps and rejects."""
    ends = np.cumsum([len(split.label) for split in splits])[:-1]
    parts = [split.select(chosen) for split, chosen in zip(splits, np.split(member[index], ends), strict=True)]
    if not sum(len(part.label) for part in parts):
        return None
    pool = Pool(parts)
    found = summary(pool, pool.draws(seed))
    cut = whole.cut("0.99")
    below = None if cut is None else pool.score < cut
    return {
        **{key: found[key] for key in ("n_true", "n_false", "sequences", "accuracy", "auc")},
        "retention_at_the_cut": None if below is None else pool.share_of(~below, pool.label),
        "rejection_at_the_cut": None if below is None else pool.share_of(below, ~pool.label),
    }


_opened: dict[str, TriggerSet] = {}


def _open(path: Path) -> None:
    _opened["triggers"] = labelled(path)


def _fit(task: Task) -> tuple[Task, dict[str, Any]]:
    triggers = _opened["triggers"]
    fitted, test = triggers.select(task.train), triggers.select(task.test)
    return task, fit_cell(task.name, fitted, test, task.seed, task.epochs)


if __name__ == "__main__":
    as_command(main)
