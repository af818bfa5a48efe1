"""What skipping costs: whole days with every exposure imaged against the same events with skipping.

``python -m slewguard.benchmarks.cadence [--days 3] [--factor 10] [--workers 2]`` simulates days at full cadence, with
the rates of all events multiplied so that three days hold enough of them, and the same events one by one as campaigns
do. Sequences and their highest SNR are compared per cause: the counts as two Poisson counts (two-sided conditional
binomial test), the SNRs as two samples (Kolmogorov-Smirnov). Quiet exposures that alert are counted apart.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import defaultdict
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from slewguard.benchmarks.command import as_command
from slewguard.sim.cadence import full_cadence
from slewguard.sim.config import SimConfig
from slewguard.sim.settings_detector import Rates
from slewguard.sim.timeline import MAX_EVENTS_PER_DAY, alerts, events
from slewguard.subimages.contract import SubImage
from slewguard.subimages.intervals import clopper_pearson

RESULTS = Path(__file__).parent / "results" / "cadence.json"
SEED = 41


def main() -> None:
    """Measure, print, store."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--days", type=int, default=3)
    parser.add_argument("--factor", type=float, default=10.0, help="on the rates of all events")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--json", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    found = measure(arguments.days, arguments.factor, arguments.workers)
    arguments.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(f"{'cause':18} {'full':>5} {'skipped':>8} {'p(rate)':>8} {'p(SNR)':>8}")
    for row in found["causes"]:
        print(f"{row['cause']:18} {row['full']:5} {row['skipping']:8} {row['p_rate']:8.2f} {row['p_snr'] or 1.0:8.2f}")
    quiet = found["quiet_exposures_that_alert"]
    print(f"quiet exposures that alert: {quiet['value']:.2g} [{quiet['lo']:.2g}, {quiet['hi']:.2g}] of {quiet['n']:,}")


def measure(days: int, factor: float, workers: int) -> dict[str, Any]:
    """Simulate both ways and compare.

    Parameters
    ----------
    days : int
        At full cadence, and the same days event by event.
    factor : float
        On all rates.
    workers : int
        Processes.
    """
    nature = Rates().model_dump()
    config = SimConfig(rates=Rates(**{name: r if name == "enrich" else r * factor for name, r in nature.items()}))
    ids = list(events(config, float(days), SEED))
    start = time.perf_counter()
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        whole = [
            image for part in pool.map(full_cadence, [config] * days, [SEED] * days, range(days)) for image in part
        ]
        middle = time.perf_counter()
        one_by_one = pool.map(alerts, [config] * len(ids), [SEED] * len(ids), ids, chunksize=8)
        single = [image for part in one_by_one for image in part]
    stop = time.perf_counter()
    # Sequence numbers from the middle of a day's range on belong to no event.
    quiet = [i for i in whole if i.meta["sequence"] % MAX_EVENTS_PER_DAY >= MAX_EVENTS_PER_DAY // 2]
    per_band = sum(86400.0 / config.trigger.window_s(k) for k in range(config.trigger.image_scales))
    exposures = round(days * per_band * len(config.trigger.bands_kev))
    full, skipping = (
        _highest([i for i in whole if i.meta["sequence"] % MAX_EVENTS_PER_DAY < MAX_EVENTS_PER_DAY // 2]),
        _highest(single),
    )
    causes = sorted({e.cause for e in ids})
    of_event = {e.sequence: e.cause for e in ids}
    rows = [_compare(cause, _of(full, of_event, cause), _of(skipping, of_event, cause)) for cause in causes]
    rows.append(_compare("all", list(full.values()), list(skipping.values())))
    lo, hi = clopper_pearson(len(quiet), exposures)
    return {
        "days": days,
        "factor": factor,
        "seed": SEED,
        "config_sha256": config.digest(),
        "events": len(ids),
        "alerts": {"full": len(whole), "skipping": len(single)},
        "sequences_in_both": len(full.keys() & skipping.keys()),
        "seconds": {"full": round(middle - start), "skipping": round(stop - middle), "workers": workers},
        "quiet_exposures_that_alert": {"value": len(quiet) / exposures, "lo": lo, "hi": hi, "n": exposures},
        "causes": rows,
    }


def _highest(images: list[SubImage]) -> dict[int, float]:
    """Highest SNR of every sequence."""
    highest: dict[int, float] = defaultdict(float)
    for image in images:
        sequence = int(image.meta["sequence"])
        highest[sequence] = max(highest[sequence], float(image.meta["peak_snr"]))
    return dict(highest)


def _of(highest: dict[int, float], of_event: dict[int, str], cause: str) -> list[float]:
    return [snr for sequence, snr in highest.items() if of_event[sequence] == cause]


def _compare(cause: str, full: list[float], skipping: list[float]) -> dict[str, Any]:
    from scipy.stats import binomtest, ks_2samp

    n = len(full) + len(skipping)
    return {
        "cause": cause,
        "full": len(full),
        "skipping": len(skipping),
        "p_rate": float(binomtest(len(full), n, 0.5).pvalue) if n else 1.0,
        "p_snr": float(ks_2samp(full, skipping).pvalue) if full and skipping else None,
    }


if __name__ == "__main__":
    as_command(main)
