"""Keys of the onboard trigger: bands, windows, thresholds, quality criteria, sequences."""

from __future__ import annotations

from pydantic import model_validator

from slewguard.sim.keys import Range, Section, key

TICK_S = 0.01
"""Shortest count-rate window, s (arXiv:1411.7810)."""


class Trigger(Section):
    """Count-rate and image trigger: bands, windows, thresholds, quality criteria, sequences."""

    bands_kev: tuple[Range, ...] = key(
        ((5.0, 20.0), (8.0, 50.0), (8.0, 120.0), (20.0, 120.0)),
        "energy bands, keV; the first is the one in which amplitudes of noise are given",
        "published",
        "GCN notices (the first three), design (the last)",
        min_length=1,
    )
    short_window_s: float = key(20.48, "shortest image exposure, s", "published", "GCN notices", gt=0)
    image_scales: int = key(
        7, "image exposures of 20.48 x 2^k s, k below this", "published", "arXiv:2208.12767: 20 s to 20 min", ge=1, le=7
    )
    crt_scales: int = key(
        12,
        "count-rate windows of 10 ms x 2^n, n below this",
        "published",
        "arXiv:1411.7810: 10 ms to 20 s",
        ge=0,
        le=12,
    )
    crt_threshold: float = key(
        14.0,
        "count-rate excess that asks for an image, sigma",
        "assumed",
        "tuned: 8 of 15 first alerts in the notices are CRT; an image keeps some 0.6 of the excess",
        gt=0,
    )
    crt_cycle_s: float = key(
        2.56, "the best count-rate excess of each cycle is imaged, s", "assumed", "about one image per second", gt=0
    )
    crt_background_s: float = key(30.72, "length of the count-rate background, s", "assumed", "none", gt=0)
    crt_gap_s: float = key(5.12, "gap between it and the window, s", "assumed", "none", ge=0)
    alert_threshold: float = key(
        6.5, "alert threshold on SNR, times the adaptive factor", "assumed", "6.45 to 7.95: GCN 39818, notices", gt=0
    )
    slew_threshold: float = key(
        8.0, "slew threshold on SNR", "assumed", "above the alert threshold; lowest accepted notice 7.95", gt=0
    )
    min_coding: float = key(
        0.05, "blank sky pixels whose coded share is below this", "computed", "SNR diverges", gt=0, lt=1
    )
    adaptive_cap: Range = key(
        (1.0, 1.8),
        "the alert threshold rises with the map's standard deviation up to this factor, uniform per event",
        "assumed",
        "Hubert & Schanne 2025: criterion without value",
    )
    second_peak_ratio: Range = key(
        (0.85, 1.15),
        "largest second peak over the first, uniform per event (above 1: not asked)",
        "assumed",
        "Hubert & Schanne 2025: criterion without value",
    )
    second_peak_px: float = key(5.0, "distance from which a peak is a second one, sky px", "assumed", "none", gt=0)
    exclusion_px: Range = key(
        (0.0, 3.0), "radius about known sources without new alerts, uniform per event, sky px", "assumed", "none"
    )
    exclusion_share: float = key(0.6, "share of events with such an exclusion in force", "assumed", "none", ge=0, le=1)
    outburst_excess: float = key(
        1.0, "excess over the catalogue flux at which a known source alerts", "assumed", "none", ge=0
    )
    association_px: float = key(
        2.0, "distance within which an alert belongs to a catalogue source, sky px", "assumed", "none", gt=0
    )
    max_flux_ratio: float = key(
        1.5, "largest subtracted flux over catalogue flux", "assumed", "so that outbursts survive", ge=1
    )
    sequence_s: float = key(
        655.36,
        "a sequence ends this long after its first alert, s",
        "assumed",
        "not-slewing is published after 8 min",
        gt=0,
    )
    sequence_alerts: int = key(
        34, "most alerts in a sequence", "published", "GCN 44870: the longest sequence told of", ge=1
    )

    @model_validator(mode="after")
    def _consistent(self) -> Trigger:
        for lo, hi in self.bands_kev:
            if not 4.0 <= lo < hi <= 150.0:
                raise ValueError("bands_kev must be pairs [low, high] with 4 <= low < high <= 150")
        for name in ("short_window_s", "crt_cycle_s", "crt_background_s", "crt_gap_s", "sequence_s"):
            ticks = getattr(self, name) / TICK_S
            if abs(ticks - round(ticks)) > 1e-6:
                raise ValueError(f"{name} must be a multiple of 10 ms")
        return self

    def window_s(self, scale: int) -> float:
        """Length of the image exposure of a scale, s."""
        return self.short_window_s * 2**scale
