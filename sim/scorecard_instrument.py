"""Scorecard rows of geometry, count rates, orbit and pointing."""

from __future__ import annotations

import numpy as np

from slewguard.sim.imaging import imager
from slewguard.sim.instrument import telescope
from slewguard.sim.mission import mission
from slewguard.sim.orbit import earth_radius_deg, period_s, saa_passages
from slewguard.sim.pointing import position_angle_deg, unit_vector
from slewguard.sim.scene import Lit
from slewguard.sim.scorecard_optics import blank_field, crab_planes, masks, quiet_plane, reference_band
from slewguard.sim.scorecard_population import notices
from slewguard.sim.scorecard_rows import Inputs, Row, compared
from slewguard.sim.spectra import crab, cxb, response

_YEAR_S = 365.25 * 86400.0
_IDEAL_BANDS = ((4.0, 120.0), (5.0, 20.0))
_EXPOSURE_S = 20.48


def field_of_view_rows(inputs: Inputs) -> list[Row]:
    """Width and solid angle of the field of view."""
    g = inputs.config.instrument
    plane = g.pixels * g.pitch_mm
    total = 2.0 * float(np.degrees(np.arctan(0.5 * (g.mask_mm + plane) / g.distance_mm)))
    full = 2.0 * float(np.degrees(np.arctan(0.5 * (g.mask_mm - plane) / g.distance_mm)))
    tangent = (np.arange(g.sky_side) - g.sky_side // 2) * g.pitch_mm / g.distance_mm
    solid = (g.pitch_mm / g.distance_mm) ** 2 / (1.0 + tangent[:, None] ** 2 + tangent**2) ** 1.5
    camera = imager(g, g.mask_seeds[0], inputs.config.trigger.min_coding)
    searched = float(solid[camera.valid].sum())
    source = "svom.fr, cea.fr"
    note = "the geometry is fixed by R90 x SNR, not by this"
    return [
        compared(
            "fov_deg",
            "not tuned on",
            "field of view 89 x 89 degrees",
            source,
            total,
            (88.5, 89.5),
            unit="deg",
            note=note,
        ),
        compared(
            "fov_sr",
            "not tuned on",
            "field of view 2 sr",
            source,
            float(solid[camera.coding > 0].sum()),
            (1.95, 2.05),
            unit="sr",
            note=f"{searched:.2f} sr of it are searched (coding above {inputs.config.trigger.min_coding:g})",
        ),
        compared(
            "fov_coded_deg", "not tuned on", "fully coded about 22 x 22 degrees", source, full, (21.5, 22.5), unit="deg"
        ),
    ]


def count_rate_rows(inputs: Inputs) -> list[Row]:
    """Counts of sky and Crab for an ideal response, with those of the configuration beside them."""
    config = inputs.config
    flight = mission(config, inputs.seed)
    thin = config.instrument.model_copy(update={"mask_thickness_mm": 0.0})
    ideal = response(_IDEAL_BANDS)
    seeds = masks(config.instrument)
    band = reference_band(flight)
    rows = []
    for index, fact in enumerate((3090.0, 1980.0)):
        lo, hi = _IDEAL_BANDS[index]
        rate = float(ideal.rate(cxb)[ideal.bands[index]].sum())
        flat = [rate * float(telescope(thin, s).diffuse.sum()) for s in seeds]
        thick = [rate * float(telescope(config.instrument, s).diffuse.sum()) for s in seeds]
        note = f"{np.mean(thick):,.0f} with holes {config.instrument.mask_thickness_mm:g} mm deep"
        if (lo, hi) == config.trigger.bands_kev[band]:
            quiet = [float(_sky(inputs, s)) for s in seeds]
            note += f"; {np.mean(quiet):,.0f} with the configuration's response, particles included"
        rows.append(
            compared(
                f"cxb_{lo:.0f}_{hi:.0f}",
                "own computation",
                f"cosmic background {fact:,.0f} counts/s +- 2 % in {lo:g}-{hi:g} keV (efficiency 1, opaque thin mask)",
                "computed from Moretti 2009 as in Antier 2016SACLS467",
                float(np.mean(flat)),
                (0.98 * fact, 1.02 * fact),
                unit="counts/s",
                interval=(min(flat), max(flat)),
                n=len(seeds),
                of="masks (their range in brackets)",
                note=note,
            )
        )
    return [*rows, _crab_row(inputs)]


def _crab_row(inputs: Inputs) -> Row:
    config, flight = inputs.config, mission(inputs.config, inputs.seed)
    ideal = response(_IDEAL_BANDS)
    atoms = ideal.bands[1]
    half = config.instrument.sky_side // 2
    thin = {
        cross: config.instrument.model_copy(update={"mask_thickness_mm": 0.0, "variance_cross_term": cross})
        for cross in (False, True)
    }
    snrs: dict[bool, list[float]] = {False: [], True: []}
    own = []
    band = reference_band(flight)
    for s in masks(config.instrument):
        for cross, geometry in thin.items():
            camera = imager(geometry, s, config.trigger.min_coding)
            tel = camera.telescope
            lit = Lit.of(tel, [(half, half)], ideal.mask_transparency)
            source = lit.plane(0, ideal.rate(crab) * _EXPOSURE_S, atoms)
            sky = float(ideal.rate(cxb)[atoms].sum()) * tel.diffuse * _EXPOSURE_S
            snrs[cross].append(float(camera.sky_map(source + sky, sky).snr[half, half]))
        tel, _, field = blank_field(flight, s)
        plane = quiet_plane(flight, tel, band) + crab_planes(flight, tel, [(half, half)], band)[0]
        own.append(float(field.sky_maps(plane[None], np.zeros((1, 0))).snr[0, half, half]))
    return compared(
        "crab_snr",
        "own computation",
        "the Crab on axis has SNR 39 +- 3 in 20.48 s, 5-20 keV (efficiency 1, opaque thin mask, no cross term)",
        "reference computation; 10 E^-2.1 as in Antier 2016SACLS467",
        float(np.mean(snrs[False])),
        (36.0, 42.0),
        interval=(min(snrs[False]), max(snrs[False])),
        n=len(own),
        of="masks (their range in brackets)",
        note=f"{np.mean(snrs[True]):.1f} with the cross term; {np.mean(own):.1f} with the configuration's response,"
        " thick holes and particles as well",
    )


def _sky(inputs: Inputs, mask_seed: int) -> float:
    flight = mission(inputs.config, inputs.seed)
    tel = telescope(inputs.config.instrument, mask_seed)
    return float(quiet_plane(flight, tel, reference_band(flight)).sum()) / inputs.config.trigger.short_window_s


def orbit_rows(inputs: Inputs) -> list[Row]:
    """Earth, period, SAA."""
    orbit = inputs.config.orbit
    asleep = sum(min(b, _YEAR_S) - max(a, 0.0) for a, b in saa_passages(orbit, 0.0, _YEAR_S))
    return [
        compared(
            "orbit_period",
            "own computation",
            "orbital period 97.1 min",
            "computed from the published altitude of 625 km",
            period_s(orbit) / 60.0,
            (97.05, 97.15),
            unit="min",
        ),
        compared(
            "earth_radius",
            "own computation",
            "angular radius of the Earth 65.6 degrees",
            "computed from the published altitude of 625 km",
            earth_radius_deg(orbit),
            (65.55, 65.65),
            unit="deg",
        ),
        compared(
            "saa_share",
            "tuned on",
            "the SAA costs 13 % of the time",
            "Antier 2016SACLS467, 1.3.3",
            100.0 * asleep / _YEAR_S,
            (12.5, 13.5),
            unit="%",
            tuned_on="orbit: saa_centre_deg, saa_half_axes_deg, saa_tilt_deg",
            note="a year of passages, margins included",
        ),
    ]


def roll_rows(inputs: Inputs) -> list[Row]:
    """Law of the roll against the attitudes in the notices."""
    worst = []
    for notice in notices():
        axis = unit_vector(notice.attitude_ra_deg, notice.attitude_dec_deg)
        roll = -position_angle_deg(axis, notice.attitude()[2])
        worst.append(abs((roll - notice.roll_deg + 180.0) % 360.0 - 180.0))
    # Attitudes are printed to 0.01 degrees, and a pointing keeps its roll while the Sun moves on (1 degree a day).
    return [
        compared(
            "roll_law",
            "tuned on",
            "roll is minus the Sun's position angle, within 0.3 degrees (largest difference)",
            "attitudes of the 25 GCN notices",
            max(worst),
            (0.0, 0.3),
            unit="deg",
            n=len(worst),
            of="notices",
            tuned_on="the law itself was found in these notices; no key",
            note=f"median {np.median(worst):.2f}",
        )
    ]
