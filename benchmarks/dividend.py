"""The threshold dividend: ``python -m slewguard.benchmarks.dividend FOLDER [--model MODEL] [--days D]``.

A hypothetical configuration, never the default: from today's slew threshold on a slew is made unless vetoed, and
below it, down to a lower threshold, only if the classifier *confirms*. How far may the threshold drop until there are
as many false slews as today without the classifier, and how many bursts does that gain?

Each alert threshold needs a simulation of its own, because the trigger sends nothing below it (``trigger.*`` keys of
the configuration); the sets are kept in FOLDER and a killed run goes on. Peaks of pure noise, which the time line
leaves out, are counted by the tail of a Gaussian over the independent places of all maps of a day, and confirmed as
often as false alerts in the set are below today's threshold (upper end of the interval).

Stores ``benchmarks/results/dividend.json``, the curve as ``docs/dividend.png`` and the table of ``docs/chain.md``
(``--table`` renders what is stored).
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slewguard.benchmarks.chain_sets import RESULTS, simulated, store
from slewguard.benchmarks.command import as_command
from slewguard.benchmarks.markdown import figure, share, table
from slewguard.benchmarks.provenance import put_table
from slewguard.cli.engines import open_classifier
from slewguard.export.package import open_model
from slewguard.sim.chain import Kinds, Share, first_of
from slewguard.sim.chain_cost import YEAR_DAYS, Rate
from slewguard.sim.chain_loop import pass_alerts
from slewguard.sim.config import SimConfig
from slewguard.sim.settings_trigger import Trigger
from slewguard.subimages import TriggerSet, Verdict

DAYS, SEED, ENRICH = 200.0, 53, 5.0
ALERT_THRESHOLDS = (6.5, 6.0, 5.5)
STEP = 0.25
PLOT = Path(__file__).parent.parent / "docs" / "dividend.png"
PAGE = PLOT.parent / "chain.md"
PLACES = 199**2 / 7.0
"""Independent places of a sky map: pixels over the area of the point spread, FWHM 3 px (docs/imaging.md)."""
_DAY_S = 86400.0


def noise_per_day(threshold: float, trigger: Trigger) -> float:
    """Peaks of pure noise at or above a threshold in all image exposures of a day, without SAA and duty cycle."""
    from scipy.special import ndtr

    per_band = sum(_DAY_S / trigger.window_s(scale) for scale in range(trigger.image_scales))
    return float(ndtr(-threshold)) * PLACES * per_band * len(trigger.bands_kev)


def slewing(
    triggers: TriggerSet, verdict: NDArray[np.uint8] | None, today: float, lowered: float
) -> tuple[set[int], set[int]]:
    """Burst sequences that slew to a burst's alert, and sequences whose first slew is false.

    Parameters
    ----------
    triggers : TriggerSet
    verdict : uint8 array [N] or None
        None for today's decision alone.
    today : float
        Slew threshold of today.
    lowered : float
        Below ``today`` and from here on a slew needs ``confirm``.
    """
    snr, kinds = triggers.columns["peak_snr"], Kinds.of(triggers)
    if verdict is None:
        granted = snr >= today
    else:
        granted = np.where(snr >= today, verdict != Verdict.VETO, (snr >= lowered) & (verdict == Verdict.CONFIRM))
    bursts = set(triggers.sequence[granted & kinds.burst].tolist())
    false = set(triggers.sequence[first_of(triggers.sequence, granted) & kinds.false].tolist())
    return bursts, false


def measure(folder: Path, model_from: str, days: float, seed: int, workers: int, enrich: float) -> dict[str, Any]:
    """Simulate with each alert threshold and count slews at every lowered slew threshold."""
    model = open_model(model_from)
    classifier = open_classifier(model, "numpy")
    today = Trigger().slew_threshold
    base: dict[str, Any] = {}
    rows: list[dict[str, Any]] = []
    known: set[int] = set()
    for alert_threshold in ALERT_THRESHOLDS:
        lowered = {"alert_threshold": alert_threshold} if alert_threshold != ALERT_THRESHOLDS[0] else {}
        config = SimConfig.model_validate({"trigger": lowered, "rates": {"enrich": enrich}})
        triggers = simulated(folder / f"alerts_from_{alert_threshold:g}.h5", config, days, seed, workers)
        verdict = pass_alerts(triggers, classifier, today).verdict
        below = (triggers.columns["peak_snr"] < today) & Kinds.of(triggers).false
        confirmed = Share.of(int((below & (verdict == Verdict.CONFIRM)).sum()), int(below.sum()))
        if not base:
            known, false = slewing(triggers, None, today, today)
            base = {
                "bursts_per_year": asdict(Rate.of(len(known), days, 1 / enrich)),
                "false_slews_per_year": asdict(Rate.of(len(false), days)),
            }
            steps = np.arange(today, alert_threshold - 1e-9, -STEP)
        else:
            # Above, the trigger of this set sends more alerts than one with a higher alert threshold would.
            steps = np.array([alert_threshold])
        for threshold in steps.tolist():
            bursts, false = slewing(triggers, verdict, today, threshold)
            noise = noise_per_day(threshold, config.trigger) - noise_per_day(today, config.trigger)
            from_noise = noise * confirmed.hi * YEAR_DAYS
            false_rate = Rate.of(len(false), days)
            rows.append(
                {
                    "slew_threshold": threshold,
                    "alert_threshold": alert_threshold,
                    "false_slews_per_year": asdict(false_rate),
                    "noise_peaks_per_year": noise * YEAR_DAYS,
                    "noise_slews_per_year_at_most": from_noise,
                    "false_confirmed_below": asdict(confirmed),
                    "bursts_per_year": asdict(Rate.of(len(bursts), days, 1 / enrich)),
                    "bursts_gained_per_year": asdict(Rate.of(len(bursts - known), days, 1 / enrich)),
                    "bursts_lost_per_year": asdict(Rate.of(len(known - bursts), days, 1 / enrich)),
                    "within_todays_false_slews": false_rate.value + from_noise <= base["false_slews_per_year"]["value"],
                }
            )
    within = [row for row in rows if row["within_todays_false_slews"]]
    best = min(within, key=lambda row: float(row["slew_threshold"]), default=None)
    return {
        "days": days,
        "seed": seed,
        "enrich": enrich,
        "model_sha256": model.sha256,
        "today": base | {"slew_threshold": today},
        "rows": rows,
        "lowest_at_equal_false_slews": best,
    }


def plot(result: dict[str, Any], place: Path) -> None:
    """Draw bursts gained and false slews against the lowered threshold."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    rows, today = result["rows"], result["today"]
    at = [row["slew_threshold"] for row in rows]
    figure, (upper, lower) = pyplot.subplots(2, 1, sharex=True, figsize=(6.4, 6.0), layout="constrained")
    for axis, name, label in (
        (upper, "bursts_per_year", "bursts that slew, a year"),
        (lower, "false_slews_per_year", "false slews a year"),
    ):
        value = np.array([row[name]["value"] for row in rows])
        ends = np.abs(np.array([[row[name]["lo"], row[name]["hi"]] for row in rows]).T - value)
        axis.errorbar(at, value, ends, fmt="o", color="#1f5a99", label="confirm below today's threshold")
        axis.axhline(today[name]["value"], color="#a33", linestyle="--", label="today, without the classifier")
        axis.set_ylabel(label)
        axis.legend(fontsize="small")
    noise = [row["false_slews_per_year"]["value"] + row["noise_slews_per_year_at_most"] for row in rows]
    lower.plot(at, noise, "v", color="#888", label="with noise peaks, at most")
    lower.legend(fontsize="small")
    lower.set_ylim(0.0, 1.1 * max(today["false_slews_per_year"]["hi"], *noise))
    lower.set_xlabel("slew threshold, sigma")
    lower.invert_xaxis()
    figure.savefig(place, dpi=120, metadata={"Software": None})
    pyplot.close(figure)


def render(result: dict[str, Any]) -> str:
    """Markdown table of a stored result."""
    today, best = result["today"], result["lowest_at_equal_false_slews"]
    rows = [
        ["today", "-", figure(today["false_slews_per_year"], 0), "-", figure(today["bursts_per_year"], 1), "-", "-"]
    ]
    for row in result["rows"]:
        rows.append(
            [
                f"{row['slew_threshold']:.2f}",
                share(row["false_confirmed_below"]),
                figure(row["false_slews_per_year"], 0),
                f"{row['noise_slews_per_year_at_most']:,.1f}",
                *(figure(row[f"bursts_{name}per_year"], 1) for name in ("", "gained_", "lost_")),
            ]
        )
    head = ["slew threshold, sigma", "false alerts below today's that are confirmed", "false slews a year"]
    head += ["of noise, at most", "bursts that slew, a year", "gained", "lost"]
    told = "nowhere are there as few false slews as today"
    if best is not None:
        told = f"as few false slews as today down to {best['slew_threshold']:g} sigma"
    days, enrich = result["days"], result["enrich"]
    about = f"{days:g} days, bursts {enrich:g} times as frequent and counted down; today's threshold is"
    return f"{about} {today['slew_threshold']:g} sigma; {told}.\n\n{table(head, rows)}"


def main() -> None:
    """Measure, draw, store, render."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", metavar="FOLDER", help="where the simulated sets are kept")
    parser.add_argument("--table", action="store_true", help="only render what is stored")
    parser.add_argument("--model", default="default")
    parser.add_argument("--days", type=float, default=DAYS)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--enrich", type=float, default=ENRICH)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--plot", type=Path, default=PLOT)
    given = parser.parse_args()
    if not given.table:
        if given.folder is None:
            parser.error("a folder for the simulated sets is needed")
        given.folder.mkdir(parents=True, exist_ok=True)
        result = measure(given.folder, given.model, given.days, given.seed, given.workers, given.enrich)
        plot(result, given.plot)
        store("dividend.json", result)
    shown = render(json.loads((RESULTS / "dividend.json").read_text(encoding="utf-8")))
    put_table(PAGE, "dividend", shown)
    print(shown)


if __name__ == "__main__":
    as_command(main)
