"""`slewguard chain`: mission days with and without the classifier."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from slewguard.cli.console import json_option, progress, share, table, write_json

if TYPE_CHECKING:
    from slewguard.export.model import IntegerModel
    from slewguard.sim.chain import ChainResult
    from slewguard.sim.chain_cost import Cost
    from slewguard.sim.config import SimConfig
    from slewguard.subimages import TriggerSet

_LISTED = 20


def show(result: ChainResult, title: str, *, to_stderr: bool = False) -> None:
    """Print the table of a replay."""
    found = result.as_dict()
    rows = [
        ["alerts", f"{result.alerts}"],
        ["slews without the classifier", f"{result.slews_without}, {result.false_slews_without} of them false"],
        ["slews with it", f"{result.slews_with}"],
        ["false slews avoided", f"{result.false_slews_avoided}: {share(found['false_avoided_share'])}"],
        ["bursts that slew", f"{result.bursts}"],
        ["bursts vetoed", f"{result.bursts_vetoed}; kept {share(found['bursts_kept_share'])}"],
        ["outbursts vetoed", f"{result.outbursts_vetoed}; kept {share(found['outbursts_kept_share'])}"],
        ["abstained", share(found["abstained_share"])],
    ]
    if result.enrich != 1.0:
        rows.insert(0, ["bursts and new sources", f"{result.enrich:g} times as many as nature sends"])
    table(title, ("figure", "value [95 %] of n"), rows, to_stderr=to_stderr, facts=True)


def show_figures(found: Mapping[str, Any], *, to_stderr: bool = False) -> None:
    """Print the further figures of a replay."""
    rows = [["minutes saved a year", _rate(found["minutes_saved_per_year"], "avoided slews")]]
    for name, late in (found["delays"] or {}).items():
        told = "" if late["median_s"] is None else f"; median {late['median_s']:.0f} s, most {late['max_s']:.0f} s"
        rows.append([f"{name} delayed", share(late["delayed_share"]) + told])
    for name, figure in found["abstained_by"].items():
        rows.append([f"abstained, {name.replace('_', ' ')}", share(figure)])
    ground = found["ground"]
    recalls = {
        "false": "false slews",
        "bursts": "bursts",
        "outbursts": "outbursts",
        "beside_true": "false, beside true",
    }
    for name, what in recalls.items():
        rows.append([f"on the ground: {what} called back", share(ground[f"{name}_recalled_share"])])
    rows.append(["on the ground: minutes saved a year", _rate(ground["minutes_saved_per_year"], "slews called back")])
    for budget in found["onboard_budget"]:
        low, high = (f"{100 * end:.1f}" for end in budget["share_of_image"])
        told = f"{budget['judge_instructions']:,} instructions a sub-image; {low} to {high} % of the time of a sky map"
        other = "" if budget["this_model"] else " (counted on another model)"
        rows.append([f"{budget['target']} at {budget['clock_mhz']:g} MHz, {budget['style']}", told + other])
    table("What it saves and costs", ("figure", "value [95 %] of n"), rows, to_stderr=to_stderr, facts=True)
    head = ("group", "bursts kept", "outbursts kept", "false slews avoided", "alerts abstained on")
    parts = ("bursts_kept", "outbursts_kept", "false_avoided", "abstained")
    for by in ("cause", "band", "snr"):
        groups = [[name, *(share(row.get(part)) for part in parts)] for name, row in found[f"per_{by}"].items()]
        table(f"By {by} of the first alert that asks", head, groups, to_stderr=to_stderr)
    left = [f"{cause} {sum(said.values())}" for cause, said in found["false_slews_left"].items()]
    if left:
        click.echo(f"false slews still made, by cause: {', '.join(left)}", err=to_stderr)
    lost = found["lost_bursts"]
    for entry in lost[:_LISTED]:
        click.echo(_lost(entry), err=to_stderr)
    if len(lost) > _LISTED:
        click.echo(f"and {len(lost) - _LISTED} more lost bursts", err=to_stderr)


def _rate(rate: Mapping[str, Any], what: str) -> str:
    return f"{rate['value']:,.0f} [{rate['lo']:,.0f}, {rate['hi']:,.0f}] of {rate['n']} {what}"


def _lost(entry: Mapping[str, Any]) -> str:
    near = "no known source in view" if entry["source_px"] is None else f"known source {entry['source_px']:.0f} px away"
    scores = ", ".join("-" if score is None else str(score) for score in entry["scores"])
    return (
        f"lost: sequence {entry['sequence']} ({entry['cause']}), SNR {entry['highest_snr']:.1f}, "
        f"{entry['alerts']} alerts with scores {scores}; {100 * entry['covered']:.0f} % of the sub-image has data, "
        f"{near}"
    )


def onboard_budget(model: IntegerModel, cost: Cost) -> list[dict[str, Any]]:
    """Instructions of one verdict on a LEON3 against the time of one sky map, from the stored results of `bench`.

    Returns
    -------
    list of dict
        One for each style; ``share_of_image`` are the ends of the band of cycles, without cache misses.
    """
    stored = files("slewguard.benchmarks") / "results" / "targets.json"
    if not stored.is_file():
        return []
    rows = json.loads(stored.read_text(encoding="utf-8"))["counts"]
    found = []
    for row in rows:
        if row["target"] != "leon3" or row["case"] != "model" or "cycles" not in row:
            continue
        # The band of cycles is of the network; the rule around it has the same mix of instructions, to first order.
        whole = row["judge_instructions"] / row["instructions"]
        seconds = [cycles * whole / (1e6 * cost.clock_mhz) for cycles in row["cycles"]]
        found.append(
            {
                "target": row["target"],
                "style": row["style"],
                "this_model": row["model_sha256"] == model.sha256,
                "judge_instructions": row["judge_instructions"],
                "clock_mhz": cost.clock_mhz,
                "images_per_s": cost.images_per_s,
                "instructions_per_s_at_each_image": row["judge_instructions"] * cost.images_per_s,
                "seconds": seconds,
                "share_of_image": [second * cost.images_per_s for second in seconds],
            }
        )
    return found


def read_set(paths: Sequence[Path]) -> TriggerSet:
    """Read a trigger set, or the shards of a campaign."""
    from slewguard.sim.shards import join
    from slewguard.subimages import read_triggers

    return join(paths) if len(paths) > 1 else read_triggers(paths[0], strict=False)


def measure(
    triggers: TriggerSet,
    model: IntegerModel,
    config: SimConfig,
    *,
    engine: str = "numpy",
    cost: Cost | None = None,
    ledger_to: Path | None = None,
    timing: str = "onboard",
) -> tuple[ChainResult, dict[str, Any]]:
    """Replay a trigger set and collect everything that `chain` writes.

    Parameters
    ----------
    triggers : TriggerSet
    model : IntegerModel
    config : SimConfig
    engine : str
        Name as of :func:`slewguard.cli.engines.open_classifier`.
    cost : Cost, optional
    ledger_to : Path, optional
        Where the ledger goes.
    timing : str
        Of the ledger: ``onboard`` or ``ground``.
    """
    from slewguard.cli.engines import open_classifier
    from slewguard.ground.advice import basis
    from slewguard.sim.chain import run_chain
    from slewguard.sim.chain_cost import Cost
    from slewguard.sim.chain_figures import figures

    cost = cost or Cost()
    replay = run_chain(triggers, open_classifier(model, engine), config, engine)
    found = figures(replay, cost) | {"onboard_budget": onboard_budget(model, cost)}
    if ledger_to is not None:
        replay.ledger(timing).write(ledger_to)
    of = {"model": model.name, "model_sha256": model.sha256, "basis": basis(model.certificate)}
    return replay.result, replay.result.as_dict() | found | of


@click.command("chain")
@click.argument("model_from", metavar="MODEL", default="default")
@click.option("--days", type=click.FloatRange(min=0, min_open=True), default=365.0, show_default=True)
@click.option("--seed", type=click.IntRange(0, 2**64 - 1), default=2, show_default=True)
@click.option("--workers", type=click.IntRange(1), default=os.cpu_count() or 1, help="Processes [default: all cores].")
@click.option("--config", "config_from", type=click.Path(path_type=Path), help="YAML of `simulate --drop-config`.")
@click.option(
    "--triggers",
    "triggers_from",
    type=click.Path(path_type=Path),
    multiple=True,
    help="Replay this set of `simulate`; repeated: all shards of one.",
)
@click.option("--engine", default="numpy", show_default=True, help="What runs MODEL: numpy, ort, litert, c, leon3, ...")
@click.option("--ledger", "ledger_to", type=click.Path(path_type=Path), help="Write every alert to this CSV file.")
@click.option(
    "--timing",
    type=click.Choice(["onboard", "ground"]),
    default="onboard",
    show_default=True,
    help="Of the ledger: a verdict on each alert before the slew, or one after it.",
)
@click.option("--cost", "cost_from", type=click.Path(path_type=Path), help="YAML with what slews cost.")
@json_option
def command(
    model_from: str,
    days: float,
    seed: int,
    workers: int,
    config_from: Path | None,
    triggers_from: tuple[Path, ...],
    engine: str,
    ledger_to: Path | None,
    timing: str,
    cost_from: Path | None,
    json_to: str | None,
) -> None:
    """Replay simulated mission days with and without MODEL: slews, false slews avoided, bursts lost.

    Every alert has one line in the ledger, with its verdict and what came of it.
    """
    from slewguard.export.package import open_model
    from slewguard.sim.campaign import simulate
    from slewguard.sim.chain_cost import load_cost
    from slewguard.sim.config import SimConfig, load_config
    from slewguard.subimages import BadInput

    model = open_model(model_from)
    config = load_config(config_from) if config_from else SimConfig()
    cost = load_cost(cost_from) if cost_from else None
    if ledger_to is not None and not ledger_to.absolute().parent.is_dir():
        raise BadInput("cannot be written: no such folder", ledger_to)
    if triggers_from:
        triggers = read_set(triggers_from)
    else:
        with progress("simulating") as shown:
            triggers = simulate(config, days=days, seed=seed, workers=workers, progress=shown)
    try:
        result, found = measure(triggers, model, config, engine=engine, cost=cost, ledger_to=ledger_to, timing=timing)
    except BadInput as error:
        raise (
            error if error.path else error.within(triggers_from[0] if triggers_from else "simulated alerts")
        ) from error
    to_stderr = json_to == "-"
    show(result, f"{model.name} over {result.days:g} simulated days", to_stderr=to_stderr)
    show_figures(found, to_stderr=to_stderr)
    click.echo(found["basis"], err=to_stderr)
    write_json(found, json_to)
