"""How far engines disagree on a network with ordinary scales, and that each equals its own arithmetic.

``python -m slewguard.benchmarks.disagreement`` runs three models on sub-images and adversarial inputs, every layer:
the default model as it is (tie-free), the same network with ordinary scales (:mod:`slewguard.export.outside`), and a
network of the same shape with random weights, ordinary scales and no rectifiers, on which negative ties show. Every
engine's bytes are compared with those of every arithmetic. ``--table`` renders what is stored.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slewguard.benchmarks.command import as_command
from slewguard.benchmarks.markdown import table
from slewguard.benchmarks.provenance import PAGE, machine, put_table
from slewguard.cli.engines import sample_planes
from slewguard.export.backends import ARITHMETIC_OF, ENGINES
from slewguard.export.conformance import adversarial_planes
from slewguard.export.execute import run_layers
from slewguard.export.flight import random_model
from slewguard.export.layers import ARITHMETICS
from slewguard.export.model import IntegerModel
from slewguard.export.outside import with_ordinary_scales
from slewguard.export.package import open_model
from slewguard.subimages.atomic import atomic_output

STORED = Path(__file__).parent / "results" / "disagreement.json"
OUTSIDE = ARITHMETICS[1:]
INPUTS = 480
_CHUNK = 32


def without_rectifiers(seed: int) -> IntegerModel:
    """A random model of the flight shape whose layers are all signed."""
    model = random_model(seed)
    signed = (replace(layer, lo=-128, hi=127, shift=layer.shift + np.uint8(1)) for layer in model.convolutions)
    return replace(model, name="random, no rectifiers", layers=tuple(signed))


def compare(base: IntegerModel, planes: NDArray[np.int8], arithmetics: tuple[str, ...]) -> dict[str, Any]:
    """Run one network through every engine and under every arithmetic.

    Parameters
    ----------
    base : IntegerModel
        Tie-free.
    planes : int8 array [N, 3, 56, 56]
    arithmetics : tuple of str
        ``("tie_free",)``, or those under which it is run with ordinary scales.

    Returns
    -------
    dict
        ``bytes`` compared for each engine, and for each engine and arithmetic the different ``bytes``, ``scores`` and
        ``layers`` (per layer).
    """
    ordinary = arithmetics != ("tie_free",)
    models = {name: with_ordinary_scales(base, planes, name) if ordinary else base for name in arithmetics}
    # The files hold the same numbers whatever the arithmetic; only the name in the metadata differs.
    written = models[arithmetics[0]]
    engines = {name: ENGINES[name](written) for name in ARITHMETIC_OF}
    layers = np.zeros((len(engines), len(models), len(base.layers)), dtype=np.int64)
    total = 0
    for start in range(0, len(planes), _CHUNK):
        part = planes[start : start + _CHUNK]
        expected = [run_layers(model, part) for model in models.values()]
        total += sum(output.size for output in expected[0])
        for i, engine in enumerate(engines.values()):
            found = engine.layers(part)
            for j, right in enumerate(expected):
                layers[i, j] += [int((a != b).sum()) for a, b in zip(found, right, strict=True)]
    rows = []
    for i, (name, engine) in enumerate(engines.items()):
        different = {
            arithmetic: {
                "bytes": int(layers[i, j].sum()),
                "scores": int(layers[i, j, -1]),
                "layers": layers[i, j].tolist(),
            }
            for j, arithmetic in enumerate(models)
        }
        own = ARITHMETIC_OF[name] if ordinary else "tie_free"
        rows.append({"engine": name, "version": engine.version, "arithmetic": own, "different": different})
    return {"model": base.name, "ordinary_scales": ordinary, "inputs": len(planes), "bytes": total, "rows": rows}


def measure(inputs: int) -> dict[str, Any]:
    """All three comparisons on ``inputs`` sub-images and the adversarial inputs."""
    default = open_model("default")
    planes = np.concatenate([sample_planes(default, None, inputs), adversarial_planes(0, default.planes.level)])
    compared = [
        compare(default, planes, ("tie_free",)),
        compare(default, planes, OUTSIDE),
        compare(without_rectifiers(5), planes, OUTSIDE),
    ]
    return {"machine": machine(), "model_sha256": default.sha256, "compared": compared}


def render(stored: dict[str, Any]) -> str:
    """Markdown tables: a row for each engine; for each arithmetic the different bytes, and the share of scores."""
    tables = []
    for found in stored["compared"]:
        names = list(found["rows"][0]["different"])
        scales = "ordinary scales" if found["ordinary_scales"] else "tie-free"
        head = ["engine", "its arithmetic", *names]
        rows = []
        for row in found["rows"]:
            cells = []
            for name in names:
                different, scores = row["different"][name]["bytes"], row["different"][name]["scores"]
                share = f" ({100 * scores / found['inputs']:.1f} %)" if different else ""
                cells.append(f"{different:,}{share}")
            rows.append([f"{row['engine']} {row['version']}", row["arithmetic"], *cells])
        title = f"*{found['model']}, {scales}*, {found['bytes']:,} bytes of {found['inputs']} inputs:"
        tables.append(f"{title}\n\n{table(head, rows)}")
    return "\n\n".join(tables)


def main() -> None:
    """Measure, store, render, and put the table into the page on arithmetic."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", action="store_true", help="only render what is stored")
    arguments = parser.parse_args()
    if not arguments.table:
        with atomic_output(STORED) as beside:
            beside.write_text(json.dumps(measure(INPUTS), indent=1) + "\n", encoding="utf-8")
    table = render(json.loads(STORED.read_text(encoding="utf-8")))
    put_table(PAGE, "disagreement", table)
    print(table)


if __name__ == "__main__":
    as_command(main)
