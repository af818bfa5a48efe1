"""`slewguard demo`: the main job end to end, small enough to watch."""

from __future__ import annotations

import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from slewguard.cli.console import progress, say, share, table, write_json

if TYPE_CHECKING:
    from slewguard.export.model import IntegerModel
    from slewguard.sim.chain import ChainResult
    from slewguard.subimages import TriggerSet


@dataclass(frozen=True)
class _Size:
    """How much of everything; the training days hold more bursts than nature sends."""

    training_days: float
    enrich: float
    days: float
    epochs: int | None
    handmade_epochs: int
    compared: int
    calls: int


_VETO_LEVEL = 0.02
"""Coarser than the 1 % of the default model: certifying that takes 299 burst sequences, more than minutes simulate."""
_FULL = _Size(training_days=120, enrich=20, days=60, epochs=None, handmade_epochs=3, compared=1000, calls=200)
_QUICK = _Size(training_days=40, enrich=5, days=20, epochs=2, handmade_epochs=1, compared=100, calls=20)


@click.command("demo")
@click.option("--out", type=click.Path(path_type=Path), default="out/demo", show_default=True, help="Folder to write.")
@click.option("--seed", type=click.IntRange(0), default=1, show_default=True)
@click.option("--workers", type=click.IntRange(1), default=os.cpu_count() or 1, help="Processes [default: all cores].")
@click.option("--quick", is_flag=True, help="Every stage for real, but too short to certify anything.")
def command(out: Path, seed: int, workers: int, quick: bool) -> None:
    """Simulate, train, export, compare, replay, and print one table.

    Exit code 1 if an engine gives other bytes than the integer model.
    """
    import numpy as np

    try:
        from slewguard.train.fit import train
    except ModuleNotFoundError as error:
        raise click.UsageError(f"{error.name} is not installed: pip install 'slewguard[train]'") from error
    from slewguard.cli.conformance import show as show_conformance
    from slewguard.cli.engines import open_engines, reference_alerts, sample_planes
    from slewguard.cli.export import export
    from slewguard.cli.train import tell
    from slewguard.export.conformance import conformance
    from slewguard.export.execute import NumpyClassifier
    from slewguard.export.package import open_model
    from slewguard.sim.campaign import simulate
    from slewguard.sim.chain import replay
    from slewguard.sim.config import Rates, SimConfig
    from slewguard.subimages.hdf5 import write_triggers_hdf5
    from slewguard.train.calibrate import Levels
    from slewguard.train.evaluate import evaluate_run

    started = time.monotonic()
    size = _QUICK if quick else _FULL
    out.mkdir(parents=True, exist_ok=True)
    enriched = SimConfig(rates=Rates(enrich=size.enrich))

    _stage(1, f"{size.training_days:g} mission days with {size.enrich:g} times the bursts, to train on")
    with progress("simulating") as shown:
        training = simulate(enriched, days=size.training_days, seed=seed, workers=workers, progress=shown)
    write_triggers_hdf5(out / "training.h5", training)

    _stage(2, f"flight network on {len(training)} alerts, then the network of the talk")
    levels = Levels(veto=_VETO_LEVEL)
    train(training, out / "run", seed=seed, epochs=size.epochs, levels=levels, progress=tell)
    train(training, out / "handmade", recipe="handmade", seed=seed, epochs=size.handmade_epochs, progress=tell)

    _stage(3, "flight package: model.json, ONNX, int8 TFLite, C99, golden vectors")
    export(out / "run", out / "flight")
    model = open_model(out / "flight")

    _stage(4, f"every engine on {size.compared} sub-images, every layer")
    with progress("comparing") as shown:
        report = conformance(model, sample_planes(model, None, size.compared), open_engines(model), shown)
    show_conformance(report)

    _stage(5, "time of one inference")
    from slewguard.cli.bench import measure

    with progress("timing") as shown:
        latency, _ = measure(model, None, None, size.calls, shown)

    _stage(6, f"{size.days:g} mission days as nature sends them, with and without the classifier")
    with progress("simulating") as shown:
        fresh = simulate(SimConfig(), days=size.days, seed=seed + 1, workers=workers, progress=shown)
    write_triggers_hdf5(out / "mission.h5", fresh)
    chain = replay(fresh, NumpyClassifier(model), SimConfig())

    _stage(7, "figures on alerts that nothing was trained or calibrated on")
    sets = {"mission days": fresh, "alerts563": reference_alerts()}
    known = {name: triggers.select(np.flatnonzero(triggers.label >= 0)) for name, triggers in sets.items()}
    figures = {
        name: {run: evaluate_run(out / run, triggers) for run in ("flight", "handmade")}
        for name, triggers in known.items()
    }
    pictures = _pictures(out / "advice", fresh, model)

    click.echo("")
    _classification(figures, model, out)
    _engines(report.to_json(), latency)
    _slews(chain)
    written = [out / name for name in ("run", "handmade", "flight", "training.h5", "mission.h5", "demo.json")]
    result = {
        "figures": figures,
        "conformance": report.to_json(),
        "bench": latency,
        "chain": chain.as_dict(),
        "parameters": model.parameters,
        "macs": model.macs,
        "seconds": time.monotonic() - started,
    }
    write_json(result, str(out / "demo.json"))
    click.echo("\n".join(["wrote:", *(f"  {path}" for path in (*written, *pictures))]))
    click.echo(f"{time.monotonic() - started:.0f} s of work; all alerts are simulated")
    if not report.equal:
        say("an engine differs from the integer model")
        sys.exit(1)


def _stage(number: int, what: str) -> None:
    say(f"[{number}/7] {what}")


def _pictures(folder: Path, triggers: TriggerSet, model: IntegerModel) -> list[Path]:
    """Draw the advice on one alert of each verdict, where there is one."""
    import numpy as np

    from slewguard.export.execute import NumpyClassifier
    from slewguard.ground.advice import advise
    from slewguard.subimages import Verdict
    from slewguard.subimages.draw import draw_subimage

    folder.mkdir(parents=True, exist_ok=True)
    verdicts = NumpyClassifier(model).judge(triggers).verdict
    places = []
    for verdict in Verdict:
        found = np.flatnonzero(verdicts == verdict)
        if len(found):
            i = int(found[0])
            (told,) = advise(triggers.select(found[:1]), [f"alert {i}"], model)
            places.append(folder / f"{verdict.name.lower()}.png")
            draw_subimage(triggers[i], places[-1], title=told.name, verdict_line=told.sentence)
    return places


def _classification(figures: dict[str, dict[str, Any]], model: IntegerModel, out: Path) -> None:
    from slewguard.train.nets import HandmadeNet, parameters

    weights = (out / "handmade").glob("*.safetensors")
    about = {
        "flight": (model.parameters, (out / "flight" / "model.tflite").stat().st_size),
        "handmade": (parameters(HandmadeNet()), sum(file.stat().st_size for file in weights)),
    }
    rows = []
    for name, runs in figures.items():
        for run, found in runs.items():
            certified = found["certified"] or {}
            count, size = about[run]
            rows.append(
                [
                    f"{run} on {name}",
                    f"{count:,}",
                    f"{size:,}",
                    "-" if found["auc"] is None else f"{found['auc']:.4f}",
                    share(certified.get("retention_bursts")),
                    share(certified.get("rejection")),
                    share(found["rejection_at_retention"]["0.99"]),
                ]
            )
    header = ("network", "parameters", "bytes", "AUC", "bursts kept", "false vetoed", "false vetoed at 0.99 kept")
    table("True against false alerts: value [95 %] of n", header, rows)
    click.echo(f"  {_certificate(model)}\n")


def _certificate(model: IntegerModel) -> str:
    veto = model.certificate["veto"]
    if not veto["certified"]:
        return f"no certificate, so nothing is vetoed: {veto['statement']}"
    return f"certificate, from simulated alerts: {veto['statement']} ({veto['n']} sequences, rank {veto['rank']})"


def _engines(rows: list[dict[str, Any]], latency: list[dict[str, Any]]) -> None:
    median = {row["engine"]: row["p50_us"] for row in latency}
    fastest = min(median.values(), default=1.0)
    shown = []
    for row in rows:
        if row["ran"]:
            time_us = median[row["engine"]]
            figures = (f"{row['bytes_compared']:,}", f"{row['bytes_different']:,}", f"{time_us:,.0f}")
            shown.append([row["engine"], *figures, f"{time_us / fastest:.1f}"])
        else:
            shown.append([row["engine"], "not run", "-", "-", "-"])
    header = ("engine", "bytes compared", "bytes different", "median us", "ratio")
    table("The same network in every engine", header, shown)


def _slews(chain: ChainResult) -> None:
    from slewguard.cli.chain import show

    show(chain, f"Slews over {chain.days:g} simulated days")
