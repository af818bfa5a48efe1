"""The simulator's configuration: every number with its unit, its source and how sure we are of it.

A mark says how: *published* (read in the source named), *computed* (from published numbers, by us), *assumed*
(nobody has published it; replace it where the instrument team knows better). The words and marks live in the
fields below alone; :func:`drop_config` prints them as a commented YAML file.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from pydantic import ValidationError, model_validator

from slewguard.sim.keys import Range, Section, key
from slewguard.sim.settings_instrument import Instrument as Instrument
from slewguard.subimages.errors import BadInput


class Sky(Section):
    """Diffuse background, known sources, bursts and new sources."""

    particles_per_kev: float = key(
        0.05 / 116,
        "particle background, counts/s/keV/pixel, flat over the plane",
        "assumed",
        "300 counts/s in 4-120 keV",
        ge=0,
    )
    known_sources: float = key(4.0, "mean number of catalogue sources in an ordinary field", "assumed", "none", ge=0)
    crowded_share: float = key(
        0.12, "share of crowded fields (Galactic plane)", "assumed", "pointing law avoids it", ge=0, le=1
    )
    crowded_sources: float = key(15.0, "mean number in a crowded field", "assumed", "none", ge=0)
    flux_median_crab: float = key(
        0.06, "median flux of catalogue sources, Crab", "assumed", "after the list of strong sources", gt=0
    )
    flux_sigma_dex: float = key(0.65, "scatter of their log flux, dex", "assumed", "as above", ge=0)
    flux_max_crab: float = key(12.0, "brightest known source, Crab", "assumed", "Sco X-1", gt=0)
    variability_dex: float = key(
        0.05, "scatter of the true about the catalogue flux, dex", "assumed", "X-ray binaries vary", ge=0
    )
    band_alpha: tuple[float, float] = key(
        (-1.0, 0.3), "Band low-energy index: mean, sigma", "assumed", "usual BATSE/GBM values"
    )
    band_beta: float = key(-2.3, "Band high-energy index", "assumed", "usual BATSE/GBM value", lt=-2.0)
    epeak_median_kev: float = key(150.0, "median Epeak, keV", "assumed", "usual BATSE/GBM value", gt=0)
    epeak_sigma_dex: float = key(0.35, "scatter of log Epeak, dex", "assumed", "as above", ge=0)
    x_ray_rich_share: float = key(
        0.35, "share of X-ray-rich bursts", "assumed", "Antier thesis 2016SACLS467: favoured", ge=0, le=1
    )
    x_ray_rich_epeak_kev: Range = key((5.0, 50.0), "their Epeak, log-uniform, keV", "assumed", "as above")
    x_ray_rich_fluence: float = key(
        0.3, "their 4-1000 keV fluence relative to a classical burst", "assumed", "none", gt=0
    )
    new_source_crab: Range = key((0.08, 3.0), "flux of a new Galactic source, log-uniform, Crab", "assumed", "none")
    new_source_s: Range = key((8.0, 2000.0), "its duration, log-uniform, s", "assumed", "none")
    outburst_factor: Range = key((2.0, 60.0), "outburst flux over catalogue flux, log-uniform", "assumed", "none")
    near_known_share: float = key(
        0.35,
        "share of new sources placed 2 to 10 sky pixels from a known one (Galactic transients cluster there)",
        "assumed",
        "training needs the hard case",
        ge=0,
        le=1,
    )
    disturbed_share: float = key(
        0.6, "share of true events on a disturbed detector or background", "assumed", "as above", ge=0, le=1
    )


class Defects(Section):
    """Amplitudes of the causes of false alerts. The first five act at all times, under true sources as well."""

    # A trigger in flight is commissioned so that it is silent where nothing happens: the ranges of those five are
    # such that they hardly ever alert alone (1 of 5,500 long windows, docs/simulation.md).

    pixel_scatter: Range = key(
        (0.005, 0.04), "efficiency scatter of pixels after correction, log-uniform", "assumed", "none"
    )
    module_scatter: Range = key((0.002, 0.03), "efficiency scatter of XRDPIX modules, log-uniform", "assumed", "none")
    mild_column: Range = key((0.01, 0.1), "excess of a mild column, log-uniform", "assumed", "none")
    position_arcmin: Range = key(
        (0.1, 0.3), "catalogue position error, log-uniform, arcmin", "assumed", "catalogue and attitude"
    )
    flux_error: Range = key((0.0003, 0.01), "error of the subtracted flux, log-uniform", "assumed", "response off axis")
    residual_arcmin: Range = key(
        (0.3, 10.0), "position error of a badly subtracted source, log-uniform, arcmin", "assumed", "none"
    )
    residual_flux: Range = key((0.01, 0.15), "its flux error, log-uniform", "assumed", "none")
    stale_factor: Range = key((1.55, 2.5), "flux over catalogue flux of a stale entry, log-uniform", "assumed", "none")
    edge_crab: Range = key(
        (0.5, 12.0), "flux of a bright source at the blanked edge, log-uniform, Crab", "assumed", "none"
    )
    attitude_arcmin: Range = key(
        (4.0, 90.0),
        "attitude error, log-uniform, arcmin",
        "assumed",
        "Swift 287421: star tracker lost",
    )
    column_excess: Range = key((0.15, 4.0), "excess of a column, log-uniform", "assumed", "none")
    module_excess: Range = key(
        (0.06, 0.5), "efficiency scatter of disturbed XRDPIX modules, log-uniform", "assumed", "none"
    )
    sector_excess: Range = key((0.03, 0.5), "efficiency offset of a readout sector, log-uniform", "assumed", "none")
    heat_pipe_excess: Range = key(
        (0.1, 2.0), "noise of the two heat-pipe edges, log-uniform", "assumed", "arXiv:2401.13619: families"
    )
    hot_excess: Range = key((4.0, 120.0), "rate of a hot pixel over its neighbours, log-uniform", "assumed", "none")
    noisy_excess: Range = key((0.5, 8.0), "rate of noisy pixels, log-uniform", "assumed", "none")
    saa_rate: Range = key(
        (0.3, 30.0), "SAA particles at the end of the window over the CXB, log-uniform", "assumed", "none"
    )
    saa_growth_s: Range = key((40.0, 600.0), "SAA e-folding time, log-uniform, s", "assumed", "minutes")
    shower_counts: Range = key((60.0, 3000.0), "counts of a particle shower, log-uniform", "assumed", "none")
    limb_brightness: Range = key(
        (5.0, 300.0),
        "brightness of the Earth's limb over the CXB, log-uniform",
        "assumed",
        "X-ray aurorae, flares reflected",
    )


class Trigger(Section):
    """Image trigger: windows, band, thresholds and quality criteria."""

    band_kev: Range = key((5.0, 20.0), "energy band, keV", "published", "GCN notices")
    short_window_s: float = key(20.48, "short exposure, s", "published", "GCN notices", gt=0)
    long_factor: int = key(16, "long exposure in short ones (327.68 s)", "published", "GCN notices", ge=2)
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
    exclusion_share: float = key(0.85, "share of events with such an exclusion in force", "assumed", "none", ge=0, le=1)
    outburst_excess: float = key(
        1.0, "excess over the catalogue flux at which a known source alerts", "assumed", "none", ge=0
    )
    association_px: float = key(
        2.0, "distance within which an alert belongs to a catalogue source, sky px", "assumed", "none", gt=0
    )
    max_flux_ratio: float = key(
        1.5, "largest subtracted flux over catalogue flux", "assumed", "so that outbursts survive", ge=1
    )

    @model_validator(mode="after")
    def _band_is_ours(self) -> Trigger:
        if not 4.0 <= self.band_kev[0] < self.band_kev[1] <= 150.0:
            raise ValueError("band_kev must be [low, high] with 4 <= low < high <= 150")
        return self


class Rates(Section):
    """Mean number of events per day that could alert; the trigger decides which do."""

    enrich: float = key(1.0, "factor on the rates of grb and unknown_source", "assumed", "1 is nature", ge=0)
    grb: float = key(0.30, "bursts in the field per day", "assumed", "40-70 alerted a year, Antier 2016", ge=0)
    unknown_source: float = key(0.12, "new Galactic sources per day", "assumed", "none", ge=0)
    outburst: float = key(0.6, "known-source outbursts per day", "assumed", "hundreds of alerts a year", ge=0)
    residual: float = key(0.6, "badly subtracted sources per day", "assumed", "hundreds of false alerts", ge=0)
    coding_noise: float = key(0.25, "stale catalogue fluxes per day", "assumed", "as above", ge=0)
    edge_source: float = key(0.12, "bright sources at the edge per day", "assumed", "as above", ge=0)
    attitude: float = key(0.03, "attitude errors per day", "assumed", "as above", ge=0)
    column: float = key(0.2, "column effects per day", "assumed", "as above", ge=0)
    xrdpix: float = key(0.25, "XRDPIX inhomogeneities per day", "assumed", "as above", ge=0)
    sector: float = key(0.2, "sector offsets per day", "assumed", "as above", ge=0)
    heat_pipe: float = key(0.15, "heat-pipe disturbances per day", "assumed", "as above", ge=0)
    hot_pixel: float = key(0.08, "hot pixels not yet masked per day", "assumed", "as above", ge=0)
    noisy_pixel: float = key(0.1, "noisy pixel groups per day", "assumed", "as above", ge=0)
    saa: float = key(0.2, "SAA edges inside an exposure per day", "assumed", "as above", ge=0)
    particle_shower: float = key(0.2, "particle showers per day", "assumed", "as above", ge=0)
    earth_limb: float = key(0.2, "bright limb passages per day", "assumed", "as above", ge=0)

    def per_day(self) -> dict[str, float]:
        """Events per day of each cause, with the enrichment applied."""
        rates = {cause: rate for cause, rate in self.model_dump().items() if cause != "enrich"}
        for cause in ("grb", "unknown_source"):
            rates[cause] *= self.enrich
        return rates


class SimConfig(Section):
    """Everything the simulator can be told."""

    instrument: Instrument = Instrument()
    sky: Sky = Sky()
    defects: Defects = Defects()
    trigger: Trigger = Trigger()
    rates: Rates = Rates()

    def digest(self) -> str:
        """SHA-256 of the configuration's canonical JSON."""
        text = json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()


def load_config(path: str | Path) -> SimConfig:
    """Read a YAML configuration; keys that are left out keep their defaults.

    Raises
    ------
    BadInput
        If the file cannot be read, is no YAML mapping, or holds an unknown key or a bad value.
    """
    import yaml

    try:
        data = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise BadInput(error.strerror or "cannot be read", path) from error
    except UnicodeDecodeError as error:
        raise BadInput("is not UTF-8 text", path) from error
    except yaml.YAMLError as error:
        raise BadInput("is not YAML: " + " ".join(str(error).split()), path) from error
    if data is None:
        data = {}
    if not isinstance(data, dict):
        raise BadInput("must hold a YAML mapping of sections", path)
    try:
        return SimConfig.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        unknown = first["type"] == "extra_forbidden"
        fault = f"unknown key {where!r}" if unknown else f"key {where!r}: {first['msg']}"
        raise BadInput(fault, path) from error


def drop_config(config: SimConfig | None = None) -> str:
    """Return the configuration as YAML with unit, mark and source of every key as comments."""
    import yaml

    lines = ["# slewguard simulator configuration. Marks: published, computed, assumed."]
    for name, section in config or SimConfig():
        lines += ["", f"# {(type(section).__doc__ or '').strip()}", f"{name}:"]
        for named, field in type(section).model_fields.items():
            extra = field.json_schema_extra
            assert isinstance(extra, dict)
            value = getattr(section, named)
            shown = yaml.safe_dump(
                list(value) if isinstance(value, tuple) else value, default_flow_style=True, width=1000
            )
            lines.append(f"  # {field.description} [{extra['mark']}: {extra['source']}]")
            lines.append(f"  {named}: {shown.removesuffix(chr(10)).removesuffix('...').strip()}")
    return "\n".join(lines) + "\n"
