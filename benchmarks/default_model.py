"""Measure the default model and print the README's table: ``python -m slewguard.benchmarks.default_model``.

Runs the verbs that a person would run, stores what each writes under ``benchmarks/results/`` and renders the table
from there. The test alerts are of a time line that nothing was trained, calibrated or chosen on (seed 31).
``--table`` renders what is stored, without measuring. With ``--baseline RUN`` the network of the talk, trained on the
same alerts as the default model, is measured beside it.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from slewguard.benchmarks.command import as_command
from slewguard.benchmarks.markdown import figure, share, table

HERE = Path(__file__).parent
RESULTS = HERE / "results"
DAYS = 500
SETS = {"simulated": f"simulated mission, {DAYS} days", "alerts563": "`alerts563.h5`, another simulator"}


def main() -> None:
    """Measure, store, render."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", action="store_true", help="only render what is stored")
    parser.add_argument("--baseline", type=Path, help="run folder of the handmade network")
    parser.add_argument("--mission", type=Path, help="the test alerts, simulated before with --days 500 --seed 31")
    arguments = parser.parse_args()
    if not arguments.table:
        measure(arguments.baseline, arguments.mission)
    print(render(RESULTS))


def measure(baseline: Path | None, simulated: Path | None = None) -> None:
    """Run the verbs and store their results."""
    with tempfile.TemporaryDirectory() as folder:
        mission = simulated or Path(folder) / "mission.h5"
        if simulated is None:
            _slewguard("simulate", "--days", str(DAYS), "--seed", "31", "--out", str(mission))
        sets = {"simulated": mission, "alerts563": HERE / "data" / "alerts563.h5"}
        for name, model in {"default": "default", "handmade": baseline}.items():
            for on, triggers in sets.items():
                if model is not None:
                    _slewguard("evaluate", str(model), str(triggers), "--json", str(RESULTS / f"{name}_on_{on}.json"))
        _slewguard("chain", "default", "--triggers", str(mission), "--json", str(RESULTS / "chain.json"))
    _slewguard("conformance", "default", "--n", "1000", "--json", str(RESULTS / "conformance.json"))
    _slewguard("bench", "default", "--calls", "1000", "--json", str(RESULTS / "bench.json"))


def render(results: Path) -> str:
    """Markdown tables of the stored results.

    Parameters
    ----------
    results : Path
        Folder with what :func:`measure` wrote.
    """
    return "\n\n".join((_classification(results), _slews(results), _engines(results)))


def _slewguard(*words: str) -> None:
    subprocess.run([sys.executable, "-m", "slewguard.cli.main", *words], check=True)


def _load(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def _classification(results: Path) -> str:
    rows = []
    for on, title in SETS.items():
        for name, size in (("default", "3,689"), ("handmade", "1,624,993")):
            if not (results / f"{name}_on_{on}.json").is_file():
                continue
            found = _load(results / f"{name}_on_{on}.json")
            certified = found["certified"] or {}
            rows.append(
                [
                    f"{'flight' if name == 'default' else name}, {size}",
                    title,
                    figure({"value": found["auc"], **found["auc_interval"]}),
                    share(found["rejection_at_retention"]["0.99"]),
                    share(certified.get("retention_burst_sequences")),
                    share(certified.get("rejection")),
                ]
            )
    head = ["network, parameters", "alerts", "AUC", "rejection at 0.99 retention", "burst sequences kept", "rejection"]
    return table(head, rows)


def _slews(results: Path) -> str:
    chain = _load(results / "chain.json")
    rows = [
        ["slews without the classifier", f"{chain['slews_without']}, {chain['false_slews_without']} of them false"],
        ["slews with it", f"{chain['slews_with']}"],
        ["false slews avoided", share(chain["false_avoided_share"])],
        ["bursts kept", share(chain["bursts_kept_share"])],
        ["outbursts of known sources kept", share(chain["outbursts_kept_share"])],
    ]
    return table([f"{chain['days']:,.0f} simulated days", "value [95 %] of n"], rows)


def _engines(results: Path) -> str:
    timed = {row["engine"]: row for row in _load(results / "bench.json")}
    fastest = min(row["p50_us"] for row in timed.values())
    rows = [
        [
            f"{row['engine']} ({row['version']})",
            f"{row['bytes_compared']:,}",
            f"{row['bytes_different']:,}",
            f"{row['verdict_flips']}",
            f"{timed[row['engine']]['p50_us'] / fastest:.1f}",
        ]
        for row in _load(results / "conformance.json")
    ]
    return table(["engine", "bytes compared", "different", "verdicts flipped", "median time, ratio"], rows)


if __name__ == "__main__":
    as_command(main)
