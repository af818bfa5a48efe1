"""`slewguard train`: a trigger set becomes a run folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from slewguard.cli.console import say

if TYPE_CHECKING:
    from slewguard.train.loop import Progress

BASELINES = ("handmade", "handmade-no-catalogue", "resnet50", "rule", "logistic", "trees")


def tell(epoch: Progress) -> None:
    """Print the figures of an epoch."""
    auc = "-" if epoch.auc is None else f"{epoch.auc:.4f}"
    rejection = "-" if epoch.rejection is None else f"{epoch.rejection:.3f}"
    say(
        f"{epoch.phase} {epoch.epoch}/{epoch.epochs}  loss {epoch.loss:.4f}  held-out AUC {auc}  "
        f"rejection at 0.99 {rejection}  {epoch.seconds:.0f} s"
    )


@click.command("train")
@click.argument("triggers_from", metavar="TRIGGERS", type=click.Path(path_type=Path))
@click.option(
    "--also",
    multiple=True,
    type=click.Path(path_type=Path),
    help="More alerts to fit, of another population; may be given several times. flight only.",
)
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Run folder to write.")
@click.option("--recipe", type=click.Choice(["flight", *BASELINES]), default="flight", show_default=True)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of split, weights, views.")
@click.option("--epochs", type=click.IntRange(1), help="Instead of the recipe's.")
@click.option("--weights", type=click.Path(path_type=Path), help="ImageNet checkpoint for resnet50 to start from.")
@click.option(
    *("--from", "start"),
    metavar="RUN",
    type=click.Path(path_type=Path),
    help="Flight run to fine-tune, or default: the model that ships with slewguard.",
)
@click.option(
    *("--with", "beside"),
    metavar="ALERTS",
    type=click.Path(path_type=Path),
    help="Simulated alerts fitted beside TRIGGERS, as varied as those that RUN was trained on. With --from only.",
)
@click.option(
    "--calibrate",
    "calibrate_on",
    type=click.Path(path_type=Path),
    help="Alerts that set the thresholds in place of held-out TRIGGERS, such as a campaign with more bursts.",
)
@click.option("--resume", is_flag=True, help="Go on where an interrupted run of the same command stopped.")
def command(
    triggers_from: Path,
    also: tuple[Path, ...],
    out: Path,
    recipe: str,
    seed: int,
    epochs: int | None,
    weights: Path | None,
    start: Path | None,
    beside: Path | None,
    calibrate_on: Path | None,
    resume: bool,
) -> None:
    """Train a network on labelled TRIGGERS.

    `flight`: the quantised network that is exported. The others are baselines. `handmade`: the talk's network of
    1,624,993 parameters, and the same without the known sources in its mask. `resnet50`: the talk's second network,
    frozen but for its last layers where `--weights` are given. `rule`, `logistic`, `trees`: on named features.

    `--from RUN` fine-tunes the flight network of RUN, or with `default` the one that ships with slewguard, on TRIGGERS,
    such as real alerts. Where these are too few to
    certify thresholds, all of them are fitted and the thresholds come from held-out alerts of `--with`.
    """
    from slewguard.subimages import BadInput, read_triggers

    if (also or calibrate_on) and recipe != "flight":
        raise click.UsageError(f"--also and --calibrate go with recipe flight, not {recipe}")
    if beside is not None and start is None:
        raise click.UsageError("--with goes with --from RUN")
    if start is not None and (also or calibrate_on or weights or epochs or recipe != "flight"):
        raise click.UsageError("--from takes recipe flight as it is: no --also, --calibrate, --weights or --epochs")
    triggers = read_triggers(triggers_from)
    try:
        if start is not None:
            from slewguard.train.finetune import fine_tune

            simulated = None if beside is None else read_triggers(beside)
            fine_tune(triggers, out, start, simulated=simulated, seed=seed, progress=tell, resume=resume)
        elif recipe in BASELINES:
            from slewguard.train.fit_baseline import train_baseline

            train_baseline(
                *(triggers, out),
                recipe=recipe,
                seed=seed,
                epochs=epochs,
                weights=weights,
                progress=tell,
                resume=resume,
            )
        else:
            from slewguard.train.fit import train

            if weights is not None:
                raise BadInput("recipe 'flight' starts from no weights; resnet50 does")
            others = [read_triggers(path) for path in also]
            train(
                *(triggers, out),
                recipe=recipe,
                seed=seed,
                epochs=epochs,
                progress=tell,
                resume=resume,
                also=others,
                calibration=None if calibrate_on is None else read_triggers(calibrate_on),
            )
    except ModuleNotFoundError as error:
        raise click.UsageError(f"{error.name} is not installed: pip install 'slewguard[train]'") from error
    say(f"wrote {out}")
