"""`slewguard simulate`: mission days as a trigger set."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from slewguard.cli.console import json_option, progress, say, table, write_json

if TYPE_CHECKING:
    from slewguard.sim.config import SimConfig
    from slewguard.subimages.contract import TriggerSet


class _Shard(click.ParamType):
    name = "i/n"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        if isinstance(value, tuple):
            return value
        index, slash, total = str(value).partition("/")
        if not (slash and index.isdigit() and total.isdigit() and int(index) < int(total)):
            self.fail(f"{value!r} is not i/n with 0 <= i < n", param, ctx)
        return int(index), int(total)


class _Cluster(click.ParamType):
    name = "dask:ADDRESS"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> str:
        kind, _, address = str(value).partition(":")
        if kind != "dask" or not address:
            self.fail(f"{value!r} is not dask:ADDRESS, such as dask:tcp://host:8786", param, ctx)
        return address


@click.command("simulate")
@click.argument("shards", nargs=-1, metavar="[SHARDS]...", type=click.Path(path_type=Path))
@click.option("--days", type=click.FloatRange(min=0, min_open=True), default=365.0, show_default=True)
@click.option("--seed", type=click.IntRange(0, 2**64 - 1), default=1, show_default=True)
@click.option(
    "--enrich",
    type=click.FloatRange(min=0, min_open=True),
    help="Factor on the rates of grb and unknown_source: more of the same bursts. Counts are then not nature's.",
)
@click.option("--shard", type=_Shard(), default="0/1", show_default=True, help="Every n-th event from the i-th on.")
@click.option("--join", is_flag=True, help="Join SHARDS, all of one campaign, into what one run gives.")
@click.option("--workers", type=click.IntRange(1), default=os.cpu_count() or 1, help="Processes [default: all cores].")
@click.option("--cluster", type=_Cluster(), help="Compute on a Dask cluster (extra campaign).")
@click.option("--sbatch", type=click.IntRange(1), metavar="N", help="Print a script that submits N shards to Slurm.")
@click.option("--config", "config_from", type=click.Path(path_type=Path), help="YAML; see --drop-config.")
@click.option("--drop-config", is_flag=True, help="Print the commented configuration and stop.")
@click.option("--out", type=click.Path(path_type=Path), help="HDF5 trigger set to write.")
@click.option(
    "--scorecard", is_flag=True, help="Compare the simulator with public facts instead; see docs/scorecard.md."
)
@click.option(
    "--from",
    "triggers_from",
    type=click.Path(path_type=Path),
    help="Campaign that --scorecard reads instead of simulating.",
)
@json_option
@click.pass_context
def command(
    ctx: click.Context,
    shards: tuple[Path, ...],
    days: float,
    seed: int,
    enrich: float | None,
    shard: tuple[int, int],
    join: bool,
    workers: int,
    cluster: str | None,
    sbatch: int | None,
    config_from: Path | None,
    drop_config: bool,
    out: Path | None,
    scorecard: bool,
    triggers_from: Path | None,
    json_to: str | None,
) -> None:
    """Simulate mission days and write their alerts with labels and causes.

    The same seed gives the same bytes, whatever the shards, workers and interruptions. Finished events are kept in
    OUT.work: after a kill the same command goes on from there.
    """
    if join:
        _refuse(ctx, "--join", "days", "seed", "enrich", "shard", "workers", "cluster", "sbatch", "config_from")
    elif shards:
        raise click.UsageError(f"Got unexpected argument ({shards[0]}); shards are for --join.")
    if sbatch:
        _refuse(ctx, "--sbatch", "shard", "workers", "cluster", "json_to")
    if cluster:
        _refuse(ctx, "--cluster", "workers")
    if scorecard:
        _refuse(ctx, "--scorecard", "enrich", "shard", "join", "cluster", "sbatch", "drop_config", "out")
    elif triggers_from:
        raise click.UsageError("--from is for --scorecard.")
    if triggers_from:
        _refuse(ctx, "--from", "days", "workers")
    if drop_config:
        from slewguard.sim.config import drop_config as dropped

        click.echo(dropped(_config(config_from, enrich)), nl=False)
        return
    if scorecard:
        from slewguard.cli.scorecard import show

        config = _config(config_from, enrich)
        show(config, seed=seed, days=days, workers=workers, triggers_from=triggers_from, json_to=json_to)
        return
    if out is None:
        raise click.UsageError("Missing option '--out'.")
    if join:
        from slewguard.sim.shards import join as joined
        from slewguard.subimages.hdf5 import write_triggers_hdf5

        triggers = joined(shards)
        write_triggers_hdf5(out, triggers)
    elif sbatch:
        from slewguard.sim.slurm import sbatch_script

        _config(config_from, enrich)  # a fault is told now, not by N tasks
        options = {"--days": days, "--seed": seed, "--enrich": enrich, "--config": config_from}
        words = [str(word) for pair in options.items() if pair[1] is not None for word in pair]
        click.echo(sbatch_script(words, sbatch, out), nl=False)
        return
    else:
        triggers = _simulate(ctx, _config(config_from, enrich), days, seed, shard, workers, cluster, out)
    _tell(triggers, out, json_to)


def _refuse(ctx: click.Context, option: str, *others: str) -> None:
    """Refuse options that mean nothing beside another."""
    for parameter in ctx.command.params:
        given = parameter.name is not None and ctx.get_parameter_source(parameter.name)
        if parameter.name in others and given == click.core.ParameterSource.COMMANDLINE:
            raise click.UsageError(f"{option} does not go with {parameter.opts[0]}.")


def _config(config_from: Path | None, enrich: float | None) -> SimConfig:
    from slewguard.sim.config import SimConfig, load_config

    config = load_config(config_from) if config_from else SimConfig()
    if enrich is None:
        return config
    return config.model_copy(update={"rates": config.rates.model_copy(update={"enrich": enrich})})


def _simulate(
    ctx: click.Context,
    config: SimConfig,
    days: float,
    seed: int,
    shard: tuple[int, int],
    workers: int,
    cluster: str | None,
    out: Path,
) -> TriggerSet:
    from slewguard.sim.campaign import Campaign, simulate_to_file
    from slewguard.sim.cluster import dask, processes
    from slewguard.sim.workers import WorkersLost

    run = dask(cluster) if cluster else processes(workers)
    try:
        with progress("simulating", unit="events") as shown:
            return simulate_to_file(Campaign(config, days, seed, shard), out, run=run, progress=shown)
    except WorkersLost as error:
        say(f"slewguard: {error}; the same command goes on where this one stopped")
        ctx.exit(1)
    except KeyboardInterrupt:
        say("slewguard: interrupted; the same command goes on where this one stopped")
        ctx.exit(1)


def _tell(triggers: TriggerSet, out: Path, json_to: str | None) -> None:
    from slewguard.subimages.describe import describe

    found: Mapping[str, Any] = describe(triggers)
    rows = [(cause, str(n)) for cause, n in sorted(found["causes"].items())]
    days, enrich = triggers.provenance["days"], triggers.provenance["enrich"]
    title = f"{len(triggers)} alerts in {days:g} days" + (f", bursts x {enrich:g}" if enrich != 1 else "")
    table(title, ("cause", "alerts"), rows, to_stderr=json_to == "-")
    say(f"wrote {out}")
    write_json(found, json_to)
