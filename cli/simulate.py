"""`slewguard simulate`: mission days as a trigger set."""

from __future__ import annotations

import os
from pathlib import Path

import click

from slewguard.cli.console import json_option, progress, say, table, write_json


class _Shard(click.ParamType):
    name = "i/n"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        if isinstance(value, tuple):
            return value
        index, slash, total = str(value).partition("/")
        if not (slash and index.isdigit() and total.isdigit() and int(index) < int(total)):
            self.fail(f"{value!r} is not i/n with 0 <= i < n", param, ctx)
        return int(index), int(total)


@click.command("simulate")
@click.option("--days", type=click.FloatRange(min=0, min_open=True), default=365.0, show_default=True)
@click.option("--seed", type=click.IntRange(0, 2**64 - 1), default=1, show_default=True)
@click.option("--shard", type=_Shard(), default="0/1", show_default=True, help="Every n-th event from the i-th on.")
@click.option("--workers", type=click.IntRange(1), default=os.cpu_count() or 1, help="Processes [default: all cores].")
@click.option("--config", "config_from", type=click.Path(path_type=Path), help="YAML; see --drop-config.")
@click.option("--drop-config", is_flag=True, help="Print the commented configuration and stop.")
@click.option("--out", type=click.Path(path_type=Path), help="HDF5 trigger set to write.")
@json_option
def command(
    days: float,
    seed: int,
    shard: tuple[int, int],
    workers: int,
    config_from: Path | None,
    drop_config: bool,
    out: Path | None,
    json_to: str | None,
) -> None:
    """Simulate mission days and write their alerts with labels and causes.

    The same seed gives the same alerts, whatever the shards and workers.
    """
    from slewguard.sim import config as sim_config

    config = sim_config.load_config(config_from) if config_from else sim_config.SimConfig()
    if drop_config:
        click.echo(sim_config.drop_config(config), nl=False)
        return
    if out is None:
        raise click.UsageError("Missing option '--out'.")
    from slewguard.sim.campaign import simulate
    from slewguard.subimages.atomic import atomic_output
    from slewguard.subimages.describe import describe
    from slewguard.subimages.hdf5 import write_triggers_hdf5

    with atomic_output(out) as beside:  # the place is tried before the hours of work
        with progress("simulating") as shown:
            triggers = simulate(config, days=days, seed=seed, shard=shard, workers=workers, progress=shown)
        write_triggers_hdf5(beside, triggers)
    found = describe(triggers)
    rows = [(cause, str(n)) for cause, n in sorted(found["causes"].items())]
    table(f"{len(triggers)} alerts in {days:g} days", ("cause", "alerts"), rows, to_stderr=json_to == "-")
    say(f"wrote {out}")
    write_json(found, json_to)
