"""Instructions of one inference on LEON3, Cortex-M4 and RV32IM, and the same bytes from every build.

    python -m slewguard.benchmarks.targets [--quick] [--model MODEL]

prints the tables and stores them in ``benchmarks/results/targets.json``. The reference network has the exact shape of
the flight network with seeded random weights, every channel shrunk until it keeps the bound of a lane, as training
with 16-bit accumulators in mind would leave it.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from slewguard.benchmarks.command import as_command
from slewguard.embedded.generate import STYLES, Style
from slewguard.embedded.measure import Expected, Run, expect, measure_target
from slewguard.embedded.mix import cycle_band, instruction_mix
from slewguard.embedded.target import Target, load_target, target_names
from slewguard.export.flight import FLIGHT, HANDMADE, random_model
from slewguard.export.layers import Layer
from slewguard.export.model import IntegerModel
from slewguard.export.package import open_model

RESULTS = Path(__file__).parent / "results" / "targets.json"
LANE_SUM = 63_000
"""Greatest 255 sum|w| of a channel of the reference network."""
LEVELS = ("-O0", "-O1", "-O2", "-O3", "-Os")
INPUTS = 1000


def reference_model(seed: int) -> IntegerModel:
    """Flight network with random weights of which every channel fits into a lane."""
    model = random_model(seed, FLIGHT)
    layers = []
    for layer in model.layers:
        assert isinstance(layer, Layer)
        halves = layer.weights.astype(int) // 2
        total = np.abs(halves).sum(axis=(1, 2, 3), keepdims=True)
        if layer.lo >= 0:
            halves = np.trunc(halves * np.minimum(1, LANE_SUM / 255 / total)).astype(int)
        layers.append(replace(layer, weights=(2 * halves).astype(np.int8)))
    return replace(model, name=f"reference-{seed}", layers=tuple(layers))


def row(case: str, model: IntegerModel, target: Target, style: Style, run: Run) -> dict[str, Any]:
    """One line of the table."""
    return {
        "case": case,
        "target": target.name,
        "engine": target.name,
        "style": style,
        "model_sha256": model.sha256,
        "macs": model.macs,
        "per_mac": run.instructions / model.macs,
        "instructions_spread": run.spread,
        **{key: value for key, value in vars(run).items() if key != "spread"},
    }


def counts(model: IntegerModel, targets: list[Target], inputs: int) -> Iterator[dict[str, Any]]:
    """Best flags, both styles, the shipped model and the reference network."""
    for case, chosen in (("model", model), *((f"reference-{seed}", reference_model(seed)) for seed in range(3))):
        for style in STYLES:
            n = inputs if style == "fast" else min(inputs, 50)
            if style == "plain" and case not in ("model", "reference-0"):
                continue
            expected = expect(chosen, n)
            for target in targets:
                run = measure_target(chosen, target, style=style, inputs=n, expected=expected)
                found = row(case, chosen, target, style, run)
                if target.cycles and case == "model":
                    mix = instruction_mix(chosen, target, style)
                    found |= {"mix": mix, "cycles": cycle_band(mix, target)}
                yield found


def comparisons(model: IntegerModel, target: Target) -> Iterator[dict[str, Any]]:
    """Without special flags, and the handmade network of another shape, in plain style."""
    for style in STYLES:
        run = measure_target(model, target, style=style, flags=("-O2",))
        yield row("model, plain -O2", model, target, style, run)
    handmade = random_model(0, HANDMADE)
    yield row("handmade", handmade, target, "plain", measure_target(handmade, target, style="plain", inputs=2))


def same_bytes(model: IntegerModel, targets: list[Target], inputs: int) -> Iterator[dict[str, Any]]:
    """Every target, style, level and compiler against numpy."""
    expected: Expected = expect(model, inputs)
    for target in targets:
        for style in STYLES:
            for clang in (False, True):
                for level in LEVELS:
                    given = {"style": style, "flags": (level,), "clang": clang, "inputs": inputs, "expected": expected}
                    run = measure_target(model, target, **given)  # type: ignore[arg-type]
                    yield {
                        "target": target.name,
                        "style": style,
                        "compiler": run.compiler,
                        "level": level,
                        "equal": run.equal,
                        "instructions": run.instructions,
                        "spread": run.spread,
                    }


def main() -> None:
    """Measure, print and store."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="default")
    parser.add_argument("--quick", action="store_true", help="few inputs, no table of all levels")
    parser.add_argument("--out", type=Path, default=RESULTS)
    given = parser.parse_args()
    model = open_model(given.model)
    targets = [load_target(name) for name in target_names()]
    rows = []
    for found in counts(model, targets, 20 if given.quick else INPUTS):
        rows.append(found)
        _print(found)
    for found in comparisons(model, load_target("leon3")):
        rows.append(found)
        _print(found)
    table = []
    for found in () if given.quick else same_bytes(model, targets, 4):
        table.append(found)
        print(*found.values(), flush=True)
    given.out.write_text(json.dumps({"counts": rows, "same_bytes": table}, indent=1) + "\n", encoding="utf-8")


def _print(found: dict[str, Any]) -> None:
    keys = ("case", "target", "style", "equal", "instructions", "instructions_spread", "judge_instructions")
    sizes = ("code_bytes", "const_bytes", "scratch_bytes", "stack_bytes")
    print(*(found[key] for key in (*keys, *sizes)), f"{found['per_mac']:.3f} per MAC", flush=True)


if __name__ == "__main__":
    as_command(main)
