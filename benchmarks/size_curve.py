"""Accuracy against size: networks of 300 to 20,000 parameters with weights of 8, 7, 6 and 4 bits.

    python -m slewguard.benchmarks.size_curve training.h5 --judge shift=other.h5 [--judge NAME=FILE ...]

trains each shape with each seed in floating point, then on the grid of each width, and judges every network on the
held-out sequences of the training set and on the other sets, which no network has seen. Instructions are counted with
QEMU's LEON3 on the fast C style of the very network, for weights of 6 bits and fewer. No integer model holds wider
ones, which are judged as Brevitas rounds them; their instructions are those of the same shape at 6 bits, a lower bound,
and marked as estimated. ``6 in lane`` keeps every channel's sums within 16 bits inside the training loop.

Stores ``benchmarks/results/size_curve.json``, ``docs/size_curve.png`` and the tables of ``docs/training.md``
(``--table`` renders what is stored). Each network is a cell of its own under ``--cells``: an interrupted run goes on
where it stopped.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slewguard.benchmarks.command import as_command
from slewguard.benchmarks.markdown import figure, table
from slewguard.benchmarks.paired import compare
from slewguard.benchmarks.provenance import machine, put_table
from slewguard.benchmarks.size_plot import draw
from slewguard.export.flight import FLIGHT, LayerShape
from slewguard.export.model import IntegerModel
from slewguard.subimages import TriggerSet, read_triggers
from slewguard.subimages.atomic import atomic_output
from slewguard.subimages.contract import TRUE
from slewguard.train.calibrate import data_hash
from slewguard.train.loop import use_one_thread
from slewguard.train.pooled import Pool, Scored
from slewguard.train.recipes import RECIPES, Recipe
from slewguard.train.runs import labelled, split
from slewguard.train.widths import fit_widths

RESULTS = Path(__file__).parent / "results" / "size_curve.json"
PLOT = Path(__file__).parent.parent / "docs" / "size_curve.png"
PAGE = PLOT.parent / "training.md"
WIDTHS = ((2, 2, 3, 3), (4, 6, 8, 10), (6, 10, 16, 20), (8, 16, 24, 32), (12, 24, 40, 56), (20, 48, 72, 104))
"""Channels after the first, second, third and last separable convolution."""
PER_SEQUENCE = 4
"""Alerts taken of one sequence: more are nearly the same picture."""
REFERENCE = "8-16-24-32, 6 bits"
EPOCHS, QAT_EPOCHS = 6, 1


@dataclass(frozen=True)
class Width:
    """How the weights of a network are held."""

    bits: int
    in_lane: bool = False

    @property
    def name(self) -> str:
        """As the table calls it."""
        return f"{self.bits} bits" + (" in lane" if self.in_lane else "")

    @property
    def printable(self) -> bool:
        """Whether an integer model, and so C code, holds them."""
        return self.bits <= 6


WEIGHTS = (Width(8), Width(7), Width(6), Width(6, in_lane=True), Width(4))


def shapes() -> dict[str, tuple[LayerShape, ...]]:
    """The flight shape with other numbers of channels, and with a stride of 4 at the start, by name."""
    found = {"-".join(map(str, widths)): scaled(widths) for widths in WIDTHS}
    coarse = [replace(s, stride=4) if i == 0 else s for i, s in enumerate(FLIGHT)]
    coarse[1] = replace(coarse[1], stride=1, pad=(1, 1, 1, 1))
    return {**found, "8-16-24-32 stride 4": tuple(coarse)}


def scaled(widths: tuple[int, int, int, int]) -> tuple[LayerShape, ...]:
    """Flight shape with these channels instead of 8, 16, 24 and 32."""
    to = {3: 3, 1: 1, **dict(zip((8, 16, 24, 32), widths, strict=True))}
    return tuple(replace(s, inputs=to[s.inputs], outputs=to[s.outputs]) for s in FLIGHT)


def thinned(triggers: TriggerSet, most: int | None, seed: int) -> TriggerSet:
    """A few labelled alerts of each sequence, and of these at most ``most``."""
    triggers = labelled(triggers)
    order = np.random.default_rng(seed).permutation(len(triggers))
    sequence = triggers.sequence[order]
    by_sequence = np.argsort(sequence, kind="stable")
    _, start, count = np.unique(sequence[by_sequence], return_index=True, return_counts=True)
    rank = np.empty(len(order), dtype=np.int64)
    rank[by_sequence] = np.arange(len(order)) - np.repeat(start, count)
    return triggers.select(np.sort(order[rank < PER_SEQUENCE][:most]))


class Study:
    """Trains, judges and counts; each network once."""

    def __init__(self, given: argparse.Namespace) -> None:
        whole = read_triggers(given.training)
        self.recipe: Recipe = replace(RECIPES["flight"], epochs=given.epochs, qat_epochs=QAT_EPOCHS)
        fitted, held_out = split(whole, self.recipe.held_out, 0)
        self.fitted = thinned(fitted, given.alerts, 0)
        self.judges = {"held-out": thinned(held_out, None, 0)}
        for name, _, file in (text.partition("=") for text in given.judge):
            self.judges[name] = thinned(read_triggers(file), None, 0)
        self.data = {name: data_hash(triggers) for name, triggers in {"training": self.fitted, **self.judges}.items()}
        about = json.dumps([self.data, asdict(self.recipe)], sort_keys=True)
        self.cells: Path = given.cells / hashlib.sha256(about.encode()).hexdigest()[:12]
        self.cells.mkdir(parents=True, exist_ok=True)
        self.count = not given.no_count

    def cell(self, shape: str, seed: int, width: Width) -> Path:
        """File of a network's figures; its scores lie beside it."""
        return self.cells / f"{shape}-{width.name}-{seed}.json".replace(" ", "_")

    def train(self, shape: str, seed: int) -> None:
        """Train one shape from one seed at every width that is not there yet."""
        missing = [width for width in WEIGHTS if not self.cell(shape, seed, width).is_file()]
        if not missing:
            return
        asked = [(width.bits, width.in_lane) for width in missing]
        floating, trained = fit_widths(shapes()[shape], self.recipe, self.fitted, self.judges, seed, asked)
        for width, found in zip(missing, trained, strict=True):
            figures: dict[str, Any] = {"parameters": found.parameters, "seconds": found.seconds}
            if found.model is not None:
                figures |= self._counted(found.model, width)
            place = self.cell(shape, seed, width)
            with atomic_output(place.with_suffix(".npz")) as beside, open(beside, "wb") as file:
                np.savez(file, **found.scores, **{f"float {name}": score for name, score in floating.items()})
            with atomic_output(place) as beside:
                beside.write_text(json.dumps(figures), encoding="utf-8")
            print(f"{place.stem}: {figures}", flush=True)

    def _counted(self, model: IntegerModel, width: Width) -> dict[str, Any]:
        """Multiply-accumulates, and instructions where QEMU is there."""
        from slewguard.embedded.fast_plan import make_fast
        from slewguard.embedded.measure import measure_target
        from slewguard.embedded.target import load_target

        channels = [channel for stage in make_fast(model).stages for channel in stage.channels]
        found: dict[str, Any] = {"macs": model.macs, "channels": len(channels)}
        found["summed_in_chunks"] = sum(not channel.whole for channel in channels)
        if self.count:
            run = measure_target(model, load_target("leon3"), inputs=2)
            if not run.equal:
                raise RuntimeError(f"{width.name}: the bytes on LEON3 are not those of numpy")
            kept = ("instructions", "judge_instructions", "code_bytes", "const_bytes", "scratch_bytes")
            found |= {name: getattr(run, name) for name in kept}
        return found

    def scored(self, shape: str, seed: int, width: Width | None, on: str) -> Scored:
        """Scores of a network on one set; in floating point without a width."""
        triggers = self.judges[on]
        with np.load(self.cell(shape, seed, width or WEIGHTS[0]).with_suffix(".npz")) as scores:
            score: NDArray[np.float32] = scores[on if width else f"float {on}"]
        return Scored(score, triggers.label == TRUE, triggers.sequence, triggers.cause)


def pool(scored: Scored, *, bursts: bool) -> Pool:
    """Alerts of one training, with or without outbursts of known sources."""
    return Pool([scored.select(scored.cause != "outburst") if bursts else scored])


def rows(study: Study, seeds: int) -> Iterator[dict[str, Any]]:
    """One row a shape and width of weights: cost, and figures on every set."""
    figures: dict[str, dict[str, Any]] = {}
    for on in study.judges:
        for kind in ("bursts", "true"):
            classifiers = {
                f"{shape}, {'float' if width is None else width.name}": [
                    pool(study.scored(shape, seed, width, on), bursts=kind == "bursts") for seed in range(seeds)
                ]
                for shape in shapes()
                for width in (None, *WEIGHTS)
            }
            figures[f"{on}, {kind}"] = compare(classifiers, REFERENCE)
    for shape in shapes():
        of_six = _cost(study, shape, seeds, Width(6))
        for width in (None, *WEIGHTS):
            name = f"{shape}, {'float' if width is None else width.name}"
            own = _cost(study, shape, seeds, width) if width and width.printable else of_six
            yield {
                "network": name,
                "shape": shape,
                "bits": 32 if width is None else width.bits,
                "in_lane": width is not None and width.in_lane,
                "instructions_are": "measured" if width and width.printable else "estimated: of 6 bits, a lower bound",
                **own,
                "figures": {on: found[name] for on, found in figures.items()},
            }


def render(result: dict[str, Any]) -> str:
    """Markdown tables of a stored result: one a set of alerts, a row a shape, a column a width of the weights."""
    kinds = ["float", *(width.name for width in WEIGHTS)]
    found = {row["network"]: row for row in result["rows"]}
    names = list(dict.fromkeys(row["shape"] for row in result["rows"]))
    parts = []
    for on in [name for name in result["rows"][0]["figures"] if name.endswith(", bursts")]:
        rows = []
        for shape in names:
            own = found[f"{shape}, 6 bits"]
            cells = [figure(found[f"{shape}, {kind}"]["figures"][on]["rejection_at_0.99"], 3) for kind in kinds]
            cost = [f"{own[key]:,.0f}" if key in own else "-" for key in ("parameters", "macs", "instructions")]
            rows.append([shape, *cost, *cells])
        n = found[REFERENCE]["figures"][on]["auc"]["n"]
        head = ["channels", "parameters", "MACs", "LEON3 instructions, 6 bits", *kinds]
        title = f"*{on.removesuffix(', bursts')}*: rejection at 0.99 retention of bursts, {n:,} alerts, mean of "
        parts.append(f"{title}{result['seeds']} trainings.\n\n{table(head, rows, numbers_from=1)}")
    return "\n\n".join(parts)


def _cost(study: Study, shape: str, seeds: int, width: Width) -> dict[str, Any]:
    """Means over the seeds."""
    cells = [json.loads(study.cell(shape, seed, width).read_text(encoding="utf-8")) for seed in range(seeds)]
    return {key: float(np.mean([cell[key] for cell in cells])) for key in cells[0] if key != "seconds"}


def main() -> None:
    """Measure, store, render."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("training", type=Path, nargs="?", help="not needed with --table")
    parser.add_argument("--table", action="store_true", help="only render what is stored")
    parser.add_argument("--judge", action="append", default=[], metavar="NAME=FILE", help="further set to judge on")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--alerts", type=int, default=8000, help="to train on")
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--cells", type=Path, default=Path("build/size_curve"), help="folder of finished networks")
    parser.add_argument("--no-count", action="store_true", help="train only; without QEMU")
    parser.add_argument("--json", type=Path, default=RESULTS)
    parser.add_argument("--plot", type=Path, default=PLOT)
    given = parser.parse_args()
    if not given.table:
        if given.training is None:
            parser.error("alerts to train on are needed")
        measure(given)
    tables = render(json.loads(given.json.read_text(encoding="utf-8")))
    if given.json == RESULTS:
        put_table(PAGE, "size", tables)
    print(tables)


def measure(given: argparse.Namespace) -> None:
    """Train, judge, count, store and draw."""
    use_one_thread()
    study = Study(given)
    for seed in range(given.seeds):
        for shape in shapes():
            study.train(shape, seed)
    found = list(rows(study, given.seeds))
    result = {
        "machine": machine(),
        "data_sha256": study.data,
        "alerts": {name: len(one) for name, one in {"training": study.fitted, **study.judges}.items()},
        "recipe": asdict(study.recipe),
        "seeds": given.seeds,
        "reference": REFERENCE,
        "rows": found,
    }
    with atomic_output(given.json) as beside:
        beside.write_text(json.dumps(result, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    draw(result, given.plot)


if __name__ == "__main__":
    as_command(main)
