"""Keys of what goes wrong: amplitudes of the causes of false alerts, and how often each acts."""

from __future__ import annotations

from slewguard.sim.keys import Range, Section, key


class Defects(Section):
    """Amplitudes of the causes of false alerts. Those called *ever* act at all times, under true sources as well."""

    # A trigger in flight is commissioned so that it is silent where nothing happens: what acts at all times hardly
    # ever alerts alone. The full-cadence days of benchmarks/cadence.py count how rarely.

    ever_pixel_scatter: Range = key(
        (0.005, 0.04), "ever: efficiency scatter of pixels after correction, log-uniform", "assumed", "none"
    )
    ever_module_scatter: Range = key(
        (0.001, 0.012), "ever: efficiency scatter of XRDPIX modules, log-uniform", "assumed", "none"
    )
    ever_column: Range = key((0.005, 0.05), "ever: excess of one mild column, log-uniform", "assumed", "none")
    ever_position_arcmin: Range = key(
        (0.05, 0.4), "ever: catalogue position error, log-uniform, arcmin", "assumed", "catalogue and attitude"
    )
    ever_flux_error: Range = key(
        (0.0003, 0.02), "ever: error of the subtracted flux, log-uniform", "assumed", "response off axis"
    )
    ever_cap_sigma: float = key(
        2.0,
        "ever: largest residual of one source in the longest window, sigma; what was larger has been calibrated away",
        "assumed",
        "a commissioned trigger does not alert on Sco X-1 in every window",
        ge=0,
    )
    episode_s: Range = key(
        (300.0, 20000.0), "length of a detector or catalogue episode, log-uniform, s", "assumed", "none"
    )
    noise_fold_kev: Range = key(
        (2.0, 25.0),
        "e-folding energy of electronic noise, log-uniform, keV",
        "assumed",
        "arXiv:2401.13619: mostly at 4 to 8 keV",
    )
    efficiency_fall: Range = key(
        (0.3, 1.0),
        "efficiency errors: share that is left in each next higher energy interval, uniform",
        "assumed",
        "arXiv:2401.13619: mostly at 4 to 8 keV",
    )
    residual_arcmin: Range = key(
        (0.3, 10.0), "position error of a badly subtracted source, log-uniform, arcmin", "assumed", "none"
    )
    residual_flux: Range = key((0.01, 0.15), "its flux error, log-uniform", "assumed", "none")
    stale_factor: Range = key((1.55, 2.5), "flux over catalogue flux of a stale entry, log-uniform", "assumed", "none")
    wrong_arcmin: Range = key(
        (15.0, 100.0), "error of a wrong catalogue position, log-uniform, arcmin", "assumed", "none"
    )
    wrong_share: float = key(
        0.25, "share of bad catalogue entries whose position is wrong; else the flux", "assumed", "none", ge=0, le=1
    )
    edge_crab: Range = key(
        (0.5, 12.0), "flux of a bright source at the blanked edge, log-uniform, Crab", "assumed", "none"
    )
    attitude_arcmin: Range = key(
        (4.0, 90.0), "attitude error, log-uniform, arcmin", "assumed", "Swift 287421: star tracker lost"
    )
    column_excess: Range = key((0.05, 3.0), "excess of a column, log-uniform", "assumed", "none")
    module_excess: Range = key(
        (0.03, 0.5), "efficiency scatter of disturbed XRDPIX modules, log-uniform", "assumed", "none"
    )
    sector_excess: Range = key((0.03, 0.8), "efficiency offset of a readout sector, log-uniform", "assumed", "none")
    heat_pipe_excess: Range = key(
        (0.04, 2.0), "noise of the two heat-pipe edges, log-uniform", "assumed", "arXiv:2401.13619: families"
    )
    hot_excess: Range = key(
        (3.0, 120.0), "rate of a hot pixel over its neighbours in the first band, log-uniform", "assumed", "none"
    )
    noisy_excess: Range = key(
        (0.3, 8.0), "rate of noisy pixels over their neighbours in the first band, log-uniform", "assumed", "none"
    )
    saa_rate: Range = key(
        (0.1, 30.0), "SAA particles at the edge of a passage over the quiet rate, log-uniform", "assumed", "none"
    )
    saa_growth_s: Range = key((40.0, 600.0), "SAA e-folding time, log-uniform, s", "assumed", "minutes")
    shower_counts: Range = key((20.0, 3000.0), "counts of a particle shower, log-uniform", "assumed", "none")
    limb_brightness: Range = key(
        (10.0, 1000.0),
        "brightness of the Earth's limb over the CXB, log-uniform",
        "assumed",
        "X-ray aurorae, flares reflected",
    )
    limb_width_rad: Range = key(
        (0.03, 0.6), "Gaussian half width of the bright part along the limb, log-uniform, rad", "assumed", "none"
    )
    limb_s: Range = key((30.0, 900.0), "how long the limb is bright, log-uniform, s", "assumed", "none")


class Rates(Section):
    """Mean number of events per day that could alert; the trigger decides which do."""

    enrich: float = key(1.0, "factor on the rates of grb and unknown_source", "assumed", "1 is nature", ge=0)
    grb: float = key(
        0.45, "bursts per day in the field, faint ones included", "assumed", "40-70 alerted a year, Antier 2016", ge=0
    )
    unknown_source: float = key(0.15, "new Galactic sources per day", "assumed", "none", ge=0)
    outburst: float = key(1.4, "known-source outbursts per day", "assumed", "hundreds of alerts a year", ge=0)
    residual: float = key(0.8, "badly subtracted sources per day", "assumed", "hundreds of false alerts", ge=0)
    stale_catalogue: float = key(0.07, "wrong or stale catalogue entries per day", "assumed", "as above", ge=0)
    edge_source: float = key(0.06, "bright sources at the edge per day", "assumed", "as above", ge=0)
    attitude: float = key(0.05, "attitude errors per day", "assumed", "as above", ge=0)
    column: float = key(0.14, "column effects per day", "assumed", "as above", ge=0)
    xrdpix: float = key(0.2, "XRDPIX inhomogeneities per day", "assumed", "as above", ge=0)
    sector: float = key(0.25, "sector offsets per day", "assumed", "as above", ge=0)
    heat_pipe: float = key(0.15, "heat-pipe disturbances per day", "assumed", "as above", ge=0)
    hot_pixel: float = key(0.055, "hot pixels not yet masked per day", "assumed", "as above", ge=0)
    noisy_pixel: float = key(0.075, "noisy pixel groups per day", "assumed", "as above", ge=0)
    saa: float = key(0.35, "disturbed edges of SAA passages per day", "assumed", "as above", ge=0)
    particle_shower: float = key(0.25, "particle showers per day", "assumed", "as above", ge=0)
    earth_limb: float = key(0.3, "bright limb passages per day", "assumed", "as above", ge=0)

    def per_day(self) -> dict[str, float]:
        """Events per day of each cause, with the enrichment applied."""
        rates = {cause: rate for cause, rate in self.model_dump().items() if cause != "enrich"}
        for cause in ("grb", "unknown_source"):
            rates[cause] *= self.enrich
        return rates
