"""Learning curve: what 50, 150 and 450 labels of another simulator add to a run that has seen none of them.

    python -m slewguard.benchmarks.learning_curve default benchmarks/data/alerts563.h5 --with simulated.h5

Ten times the labelled alerts are split by sequence (450 to train, 113 to test); the run is fine-tuned on the first 50,
150 and 450 of the training alerts, jointly with simulated ones, as ``slewguard train --from`` does, and judged in int8
on the test alerts. *0 labels* is the run itself; *control* goes through the same training with 450 labels of the
simulated set instead, so that what more training alone does is seen apart. The test alerts of all splits are pooled,
the scores on the common scale of log-odds; differences to 0 labels are paired by bootstrap over sequences.

Stores ``benchmarks/results/learning_curve.json``, ``docs/learning_curve.png`` and the table of ``docs/training.md``
(``--table`` renders what is stored). Each fine-tuned network is a cell of
its own under ``--cells``: an interrupted run goes on where it stopped.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import tempfile
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slewguard.benchmarks.command import as_command
from slewguard.benchmarks.markdown import figure, table
from slewguard.benchmarks.paired import compare
from slewguard.benchmarks.provenance import machine, put_table
from slewguard.export.execute import run as execute
from slewguard.export.model import IntegerModel, load_model
from slewguard.export.package import open_model
from slewguard.export.planes import make_planes
from slewguard.subimages import TriggerSet, read_triggers
from slewguard.subimages.atomic import atomic_output
from slewguard.subimages.contract import TRUE
from slewguard.train.calibrate import data_hash
from slewguard.train.loop import use_one_thread
from slewguard.train.pooled import Pool, Scored
from slewguard.train.runs import labelled

RESULTS = Path(__file__).parent / "results" / "learning_curve.json"
PLOT = Path(__file__).parent.parent / "docs" / "learning_curve.png"
PAGE = PLOT.parent / "training.md"
LABELS = (50, 150, 450)
TRAIN, TEST, SPLITS = 450, 113, 10
CONTROL = "control"


def splits(labels: TriggerSet, n: int, seed: int) -> list[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Training alerts, in the order in which they are taken, and test alerts; no sequence on both sides.

    Sequences are drawn at random, for the training first, until there are enough alerts.
    """
    found = []
    for i in range(n):
        rng = np.random.default_rng([seed, i])
        names, member = np.unique(labels.sequence, return_inverse=True)
        place = rng.permutation(len(names))[member]
        order = np.argsort(place, kind="stable")
        cut = min(TRAIN, len(order) - TEST)
        first = place[order[cut - 1]]
        train = order[place[order] <= first][:TRAIN]
        test = order[place[order] > first][:TEST]
        found.append((train, np.sort(test)))
    return found


def thinned(triggers: TriggerSet, most: int, seed: int) -> TriggerSet:
    """At most so many labelled alerts, whole sequences."""
    triggers = labelled(triggers)
    names, member = np.unique(triggers.sequence, return_inverse=True)
    place = np.random.default_rng(seed).permutation(len(names))[member]
    within = np.cumsum(np.bincount(place)) <= most
    chosen = triggers.select(np.flatnonzero(within[place]))
    # Only scores are judged here: that a part is held out again for thresholds does no harm.
    return replace(chosen, provenance={**triggers.provenance, "part": "fitted sequences"})


class Curve:
    """Fine-tunes and judges; each network once."""

    def __init__(self, given: argparse.Namespace) -> None:
        from slewguard.train.finetune import Start, Tuning

        self.start: Path = given.run
        begun = Start.of(given.run)
        self.labels = labelled(read_triggers(given.labels))
        # The run's own split of its training set holds whichever of its sequences are fitted again.
        self.simulated = thinned(_fitted(begun.past, read_triggers(given.simulated)), given.alerts, 0)
        self.tuning = replace(Tuning(), epochs=given.epochs or Tuning.epochs)
        self.splits = splits(self.labels, given.splits, given.seed)
        self.about = {
            "start": begun.identity,
            "labels_sha256": data_hash(self.labels),
            "simulated_sha256": data_hash(self.simulated),
            "simulated_alerts": len(self.simulated),
            "tuning": asdict(self.tuning),
            "splits": len(self.splits),
            "seed": given.seed,
        }
        text = json.dumps(self.about, sort_keys=True)
        self.cells: Path = given.cells / hashlib.sha256(text.encode()).hexdigest()[:12]
        self.cells.mkdir(parents=True, exist_ok=True)
        control = np.random.default_rng(given.seed).permutation(len(self.simulated))[: max(LABELS)]
        self.control = self.simulated.select(np.sort(control))

    def scores(self, split: int, n: int | str) -> NDArray[np.float64]:
        """Log-odds of the test alerts of a split after fine-tuning."""
        train, test = self.splits[split]
        chosen = self.labels.select(test)
        if n == 0:
            return log_odds(open_model(self.start), chosen)
        place = self.cells / f"{n}-{split}.npy"
        if not place.is_file():
            start = time.process_time()
            labels = self.control if n == CONTROL else self.labels.select(np.sort(train[: int(n)]))
            found = log_odds(self._tuned(labels, split), chosen)
            with atomic_output(place) as beside, open(beside, "wb") as file:
                np.save(file, found, allow_pickle=False)
            print(f"split {split}, {n} labels: {time.process_time() - start:.0f} s", flush=True)
        scores: NDArray[np.float64] = np.load(place, allow_pickle=False)
        return scores

    def _tuned(self, labels: TriggerSet, seed: int) -> IntegerModel:
        from slewguard.train.finetune import fine_tune

        with tempfile.TemporaryDirectory(prefix="slewguard-curve-") as folder:
            given: dict[str, Any] = {"simulated": self.simulated, "tuning": self.tuning, "seed": seed}
            return load_model(fine_tune(labels, Path(folder) / "run", self.start, **given) / "model.json")

    def pool(self, n: int | str) -> Pool:
        """Test alerts of all splits."""
        found = []
        for i, (_, test) in enumerate(self.splits):
            chosen = self.labels.select(test)
            found.append(Scored(self.scores(i, n), chosen.label == TRUE, chosen.sequence, chosen.cause))
        return Pool(found)


def log_odds(model: IntegerModel, triggers: TriggerSet) -> NDArray[np.float64]:
    """Scores in int8 as the real numbers that they stand for, one scale for all networks."""
    planes = make_planes(triggers.snr, triggers.mask, triggers.catalogue_id, model.planes)
    scores: NDArray[np.float64] = execute(model, planes) * 2.0 ** -model.convolutions[-1].out_log2
    return scores


def _fitted(past: dict[str, Any], simulated: TriggerSet) -> TriggerSet:
    """Alerts of the simulated set that the run was fitted to; those held out stay so."""
    from slewguard.train.runs import split

    if past["data"]["sha256"] != data_hash(simulated):
        return simulated
    return split(simulated, past["recipe"]["held_out"], past["seed"])[0]


def draw(result: dict[str, Any], place: Path) -> None:
    """Draw the figures over the number of labels, the control apart."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = [row for row in result["rows"] if row["labels"] != CONTROL]
    control = next(row for row in result["rows"] if row["labels"] == CONTROL)
    figure = Figure(figsize=(9, 3.2), layout="constrained")
    FigureCanvasAgg(figure)
    keys = ("auc", "rejection_at_0.95", "rejection_at_0.99")
    for axes, key in zip(figure.subplots(1, 3), keys, strict=True):
        # Too few true alerts have no rejection at this retention; matplotlib leaves NaN out.
        y, lo, hi = np.array([[row[key][end] for end in ("value", "lo", "hi")] for row in rows], dtype=float).T
        x = np.arange(len(rows))
        axes.errorbar(x, y, np.maximum([y - lo, hi - y], 0), fmt="o-", capsize=3, label="labels of the other simulator")
        level = np.array(control[key]["value"], dtype=float)
        axes.axhline(level, color="0.5", linestyle="--", label="control: as many simulated ones")
        axes.set_xticks(x, [str(row["labels"]) for row in rows])
        axes.set(xlabel="labels", title=key.replace("_", " "))
        axes.grid(alpha=0.3)
    figure.axes[0].legend(fontsize=7)
    with atomic_output(place) as beside:
        figure.savefig(beside, dpi=110, format="png", metadata={"Software": None})


def render(result: dict[str, Any]) -> str:
    """Markdown table of a stored result."""
    names = {
        "auc": "AUC",
        "accuracy": "accuracy",
        "rejection_at_0.95": "rejection at 0.95",
        "rejection_at_0.99": "at 0.99",
    }
    rows = []
    for row in result["rows"]:
        cells = [figure(row[key]) for key in names]
        less = [figure(row["minus_reference"][key], sign="+") for key in ("auc", "rejection_at_0.99")]
        rows.append([str(row["labels"]), *cells, *(less if row["labels"] else ["", ""])])
    head = ["labels", *names.values(), "AUC less that of 0", "rejection at 0.99 less that of 0"]
    about = (
        f"{result['n_true']:,} true and {result['n_false']:,} false alerts tested in {result['splits']} splits, of "
        f"{result['sequences']:,} sequences; fitted beside {result['simulated_alerts']:,} simulated alerts."
    )
    return f"{about}\n\n{table(head, rows)}"


def main() -> None:
    """Measure, store, render."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, nargs="?", help="run folder that has seen none of the labels, or default")
    parser.add_argument("labels", type=Path, nargs="?", help="labelled alerts of another simulator")
    parser.add_argument("--with", dest="simulated", type=Path, help="simulated alerts, as those of the run's training")
    parser.add_argument("--table", action="store_true", help="only render what is stored")
    parser.add_argument("--alerts", type=int, default=6000, help="of these, to fit beside the labels")
    parser.add_argument("--epochs", type=int, help="in floating point, instead of the recipe's")
    parser.add_argument("--splits", type=int, default=SPLITS)
    parser.add_argument("--seed", type=int, default=0, help="of the splits")
    parser.add_argument("--cells", type=Path, default=Path("build/learning_curve"), help="folder of finished networks")
    parser.add_argument("--json", type=Path, default=RESULTS)
    parser.add_argument("--plot", type=Path, default=PLOT)
    given = parser.parse_args()
    if not given.table:
        if None in (given.run, given.labels, given.simulated):
            parser.error("a run, labels and --with are needed")
        measure(given)
    shown = render(json.loads(given.json.read_text(encoding="utf-8")))
    if given.json == RESULTS:
        put_table(PAGE, "labels", shown)
    print(shown)


def measure(given: argparse.Namespace) -> None:
    """Fine-tune, judge, store and draw."""
    use_one_thread()
    curve = Curve(given)
    sizes: list[int | str] = [0, *LABELS, CONTROL]
    found = compare({str(n): [curve.pool(n)] for n in sizes}, "0")
    rows = [{"labels": n, **found[str(n)]} for n in sizes]
    pool = curve.pool(0)
    n_true = int(pool.label.sum())
    counts = {"n_true": n_true, "n_false": len(pool.label) - n_true, "sequences": pool.sequences}
    result = {"machine": machine(), **curve.about, **counts, "rows": rows}
    with atomic_output(given.json) as beside:
        beside.write_text(json.dumps(result, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    draw(result, given.plot)


if __name__ == "__main__":
    as_command(main)
