"""`slewguard simulate` with events that cost 20 ms and come from their generator alone.

A script, so that worker processes, which import it too, take the same events. Not a test itself.
"""

import sys
import time

import numpy as np

import slewguard.sim.campaign
from slewguard.cli.main import main
from slewguard.sim.config import SimConfig
from slewguard.sim.timeline import EventId
from slewguard.subimages import SubImage


def quick_alerts(config: SimConfig, seed: int, event: EventId) -> list[SubImage]:
    time.sleep(0.02)
    rng = np.random.Generator(np.random.Philox(key=np.array([seed, event.sequence], dtype=np.uint64)))
    mask = np.ones((56, 56), np.uint8)
    mask[28, 28] = 3
    meta = {
        "label": 0,
        "cause": b"column",
        "sequence": event.sequence,
        "catalogue_id": -1,
        "second_peak": 3.0,
        "window_s": 20.48,
        "band_lo_kev": 5.0,
        "band_hi_kev": 20.0,
        "sky_y": 99.0,
        "sky_z": 99.0,
        "trigger": b"IMT",
    }
    snr = [rng.normal(size=(56, 56)).astype(np.float32) for _ in range(rng.integers(0, 4))]
    return [SubImage(image, mask, -1, {**meta, "peak_snr": image[28, 28]}) for image in snr]


# In the process that runs this script and in its workers, not in one that imports it.
if __name__ in ("__main__", "__mp_main__"):
    slewguard.sim.campaign.alerts = quick_alerts

if __name__ == "__main__":
    sys.argv = ["slewguard", "simulate", *sys.argv[1:]]
    main()
