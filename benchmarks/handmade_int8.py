"""Quantise the handmade network to the integer model's contract and measure what becomes of it.

``python -m slewguard.benchmarks.handmade_int8 [--triggers SET] [--json FILE]`` trains the network of the talk
(1,624,993 parameters) on a part of the sequences of a labelled trigger set, quantises it after training by the maxima
over a calibration sample, and measures size, figures on held-out sequences before and after, proof and conformance.
Without a set it simulates one. Fewer epochs and alerts than the talk's recipe: what is measured is the quantisation.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

from slewguard.benchmarks.command import as_command
from slewguard.benchmarks.provenance import machine
from slewguard.cli.engines import open_engines
from slewguard.export.conformance import conformance
from slewguard.export.execute import run
from slewguard.export.onnx_file import write_onnx
from slewguard.export.planes import PlaneRule
from slewguard.export.proof import prove
from slewguard.export.tflite_file import write_tflite
from slewguard.subimages import TriggerSet, read_triggers
from slewguard.subimages.atomic import atomic_output
from slewguard.subimages.contract import UNCLEAR

SEED = 0
SAMPLE = 2000
FIGURES = ("n_true", "n_false", "accuracy", "accuracy_interval", "auc", "auc_interval", "rejection_at_retention")


def measure(triggers: TriggerSet, *, alerts: int, epochs: int, inputs: int) -> dict[str, Any]:
    """Train, quantise and compare.

    Parameters
    ----------
    triggers : TriggerSet
        Labelled.
    alerts : int
        Most alerts that are trained on.
    epochs : int
    inputs : int
        Held-out sub-images on which the engines are compared, beside the adversarial ones.
    """
    from slewguard.train.data import split_by_sequence
    from slewguard.train.handmade_int8 import PlaneSource, fit_handmade, quantise_handmade
    from slewguard.train.loop import Phase
    from slewguard.train.metrics import evaluate

    rule = PlaneRule()
    usable = triggers.select(np.flatnonzero((triggers.rejected == 0) & (triggers.label != UNCLEAR)))
    first, second = split_by_sequence(usable, 0.3, SEED)
    fitted, held_out = usable.select(first[:alerts]), usable.select(second)
    source, test = PlaneSource(fitted, rule), PlaneSource(held_out, rule)
    phase = Phase("float", 0, epochs, batch=32, rate=1e-3, decay=0.0)
    net, float_score = fit_handmade(source, test, phase, SEED, lambda told: print(told.figures(), flush=True))
    model = quantise_handmade(net, source.planes[:SAMPLE], rule)
    proof = prove(model)
    before, after = (evaluate(score, held_out, seed=SEED) for score in (float_score, run(model, test.planes)))
    report = conformance(model, test.planes[:inputs], open_engines(model))
    return {
        "machine": machine(),
        "trained_on": {"alerts": len(fitted), "epochs": epochs, "batch": 32, "provenance": dict(triggers.provenance)},
        "parameters_float": sum(parameter.numel() for parameter in net.parameters()),
        "parameters_int8": model.parameters,
        "macs": model.macs,
        "bytes": {
            "float32_weights": 4 * sum(parameter.numel() for parameter in net.parameters()),
            "onnx": len(write_onnx(model)),
            "tflite": len(write_tflite(model)),
        },
        "largest_accumulator": max(max(-row.least, row.greatest) for row in proof.rows),
        "proof": {"equal": proof.equal, "channels": len(proof.rows), "accumulators": proof.accumulators},
        "before": {name: before[name] for name in FIGURES},
        "after": {name: after[name] for name in FIGURES},
        "conformance": report.to_json(),
        "inputs": report.n,
    }


def simulated() -> TriggerSet:
    """A training set of some thousand alerts."""
    from slewguard.sim.campaign import simulate
    from slewguard.sim.config import SimConfig

    return simulate(SimConfig(), days=1000, seed=17)


def main() -> None:
    """Print the figures, and write them where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--triggers", type=Path, help="labelled trigger set [default: 1,000 simulated days]")
    parser.add_argument("--alerts", type=int, default=4000, help="most alerts to train on")
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--inputs", type=int, default=200, help="sub-images for the conformance")
    parser.add_argument("--json", type=Path, help="file to write")
    arguments = parser.parse_args()
    triggers = read_triggers(arguments.triggers) if arguments.triggers else simulated()
    result = measure(triggers, alerts=arguments.alerts, epochs=arguments.epochs, inputs=arguments.inputs)
    for name in ("parameters_float", "parameters_int8", "macs", "bytes", "largest_accumulator", "proof"):
        print(f"{name:20} {result[name]}")
    for name in FIGURES:
        print(f"{name:20} {result['before'][name]} -> {result['after'][name]}")
    for row in result["conformance"]:
        print(f"{row['engine']:16} {row['bytes_different']} of {row['bytes_compared']} {row['reason']}")
    if arguments.json:
        with atomic_output(arguments.json) as beside:
            beside.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    as_command(main)
