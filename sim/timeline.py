"""The mission time line: a Poisson process of events per cause, and the labelled alerts of one event.

Only events are simulated. The quiet exposures between them are skipped: the maximum of a blank sky map stays below
the threshold, and with the scatter and the catalogue errors that are always there 1 of 5,500 quiet long windows
alerted, so that at 95 % at most 0.11 % do (docs/simulation.md).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slewguard.sim.config import SimConfig
from slewguard.sim.events import Event, Exposure, draw_event, expose
from slewguard.sim.imaging import Imager, SkyMap, imager
from slewguard.sim.sky import crab_flux
from slewguard.sim.trigger import Peak, cut_sub_image, find_alert, sub_pixel
from slewguard.subimages.contract import FALSE, TRUE, UNCLEAR, SubImage

Float64 = NDArray[np.float64]
MAX_EVENTS_PER_DAY = 1 << 20
_TRUTH_PX = 2.5
"""An alert this near to a source is that source's (more than the PSF's half width, 1.5 sky pixels)."""


@dataclass(frozen=True)
class EventId:
    """Place of an event on the time line."""

    day: int
    number: int
    cause: str

    @property
    def sequence(self) -> int:
        """Number that all alerts of the event share."""
        return self.day * MAX_EVENTS_PER_DAY + self.number


def events(config: SimConfig, days: float, seed: int) -> Iterator[EventId]:
    """Yield the events of a time line in order of day; within a day in random order of cause."""
    for day in range(int(np.ceil(days))):
        rng = _generator(seed, day * MAX_EVENTS_PER_DAY + MAX_EVENTS_PER_DAY - 1)
        share = min(days - day, 1.0)
        causes = [
            cause for cause, rate in config.rates.per_day().items() for _ in range(int(rng.poisson(rate * share)))
        ]
        for number, i in enumerate(rng.permutation(len(causes))):
            yield EventId(day, number, causes[i])


def alerts(config: SimConfig, seed: int, event_id: EventId) -> list[SubImage]:
    """Simulate one event and return its alerts, labelled by the truth, in order of time.

    Parameters
    ----------
    config : SimConfig
    seed : int
        Seed of the whole time line; the event's generator is keyed by it and the event's number.
    event_id : EventId

    Returns
    -------
    list of SubImage
        With every column of the trigger set in ``meta``.
    """
    rng = _generator(seed, event_id.sequence)
    event = draw_event(rng, config, event_id.cause)
    return search(event, expose(rng, event, config), event_id.sequence, config)


def search(event: Event, exposures: Sequence[Exposure], sequence: int, config: SimConfig) -> list[SubImage]:
    """Run the trigger on the exposures of an event and return its alerts, as :func:`alerts` does."""
    mask_imager = imager(config.instrument, event.mask_seed, config.trigger.min_coding)
    found = []
    for exposure in exposures:
        seconds = exposure.stop_s - exposure.start_s
        per_crab = crab_flux(*config.trigger.band_kev) * config.instrument.efficiency * seconds
        area = np.array([event.telescope.projected_area(s.catalogue_y, s.catalogue_z) for s in event.known])
        listed = area.reshape(-1) * per_crab * np.array([s.catalogue_flux for s in event.known])
        _, amplitudes = mask_imager.fit(
            exposure.counts, event.catalogue_shadows, listed * config.trigger.max_flux_ratio
        )
        amplitudes = amplitudes * event.subtraction
        sources = np.tensordot(amplitudes, event.catalogue_shadows, axes=1)
        flat = mask_imager.flattened(exposure.counts - sources)
        sky = mask_imager.sky_map(exposure.counts, exposure.counts - flat)
        peak = find_alert(sky, mask_imager, event.known, listed, event.criteria, config.trigger)
        if peak is None:
            continue
        label, cause = judge(event, exposure, amplitudes, peak, sky, mask_imager, config.trigger.alert_threshold)
        image, mask = cut_sub_image(sky.snr, peak, event.known)
        y, z = sub_pixel(sky.snr, peak.row, peak.column)
        meta: dict[str, Any] = {
            "label": label,
            "cause": cause.encode("ascii"),
            "sequence": sequence,
            "catalogue_id": peak.catalogue_id,
            "peak_snr": peak.snr,
            "second_peak": peak.second,
            "window_s": seconds,
            "band_lo_kev": config.trigger.band_kev[0],
            "band_hi_kev": config.trigger.band_kev[1],
            "sky_y": y,
            "sky_z": z,
            "trigger": b"IMT",
        }
        found.append(SubImage(image, mask, peak.catalogue_id, meta))
    return found


def judge(
    event: Event,
    exposure: Exposure,
    amplitudes: Float64,
    peak: Peak,
    sky: SkyMap,
    mask_imager: Imager,
    threshold: float,
) -> tuple[int, str]:
    """Label an alert by what made it.

    S at the peak is linear in the counts, so every part of the scene has its share of it. An alert near a new or
    flaring source is true where the source makes at least half of the peak and artefacts less than half; unclear
    where both do, where neither does, or where an artefact (a quarter or more) lifted a source that would have
    stayed below the threshold. Any other alert is false,
    and its cause is the artefact with the largest share (*statistical* where none makes a quarter).

    Returns
    -------
    label, cause
    """
    weights = mask_imager.weights(peak.row, peak.column)
    height = float(sky.balanced[peak.row, peak.column])

    def share(plane: Float64) -> float:
        return float(np.sum(weights * mask_imager.flattened(plane))) / height

    shares: dict[str, float] = {}
    for cause, plane in exposure.artefacts:
        shares[cause] = shares.get(cause, 0.0) + share(plane)
    left = [
        share(true * seen_s - a * listed)
        for true, seen_s, a, listed in zip(
            event.true_shadows, exposure.known_s, amplitudes, event.catalogue_shadows, strict=True
        )
    ]
    if left:
        worst = int(np.argmax(left))
        source = event.known[worst]
        distance = np.hypot(source.z - peak.row, source.y - peak.column)
        name = "residual" if distance < 12.0 else "coding_noise"
        shares["attitude" if event.cause == "attitude" else name] = sum(left)
    artefact = max(shares, key=lambda cause: shares[cause])
    new = event.new
    if new is not None:
        signal = share(exposure.signal)
        if np.hypot(new.z - peak.row, new.y - peak.column) <= _TRUTH_PX:
            lifted = shares[artefact] >= 0.25 and signal * peak.snr < threshold
            if signal >= 0.5 and shares[artefact] < 0.5 and not lifted:
                return TRUE, new.cause
            if signal >= 0.5 or shares[artefact] < 0.5:
                return UNCLEAR, "unclear"
        elif signal > shares[artefact]:
            # A side lobe of a true source: nothing shines where the alert points.
            return FALSE, "coding_noise"
    return FALSE, artefact if shares[artefact] >= 0.25 else "statistical"


def _generator(seed: int, counter: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(key=np.array([seed, counter], dtype=np.uint64)))
