"""Scorecard rows of imaging: error radii by injection, point spread, blank maps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from slewguard.sim.earth import direction
from slewguard.sim.imaging import Field, Imager, imager
from slewguard.sim.instrument import Telescope, telescope
from slewguard.sim.mission import Mission, mission
from slewguard.sim.population import draw_position
from slewguard.sim.scene import Lit
from slewguard.sim.scorecard_rows import Inputs, Row, compared
from slewguard.sim.scorecard_statistics import bootstrap
from slewguard.sim.settings_instrument import Instrument
from slewguard.sim.spectra import particle_rate
from slewguard.sim.trigger import r90_arcmin, sub_pixel

Float64 = NDArray[np.float64]
R90_BY_SNR = 77.0
SNR_BINS = tuple(float(edge) for edge in np.geomspace(8.0, 45.0, 5))
_BATCH = 50
_R90, _BLANK = 0x523930, 0x424C4E
"""Streams of random numbers, so that no row's draws depend on another's."""


def reference_band(flight: Mission) -> int:
    """Number of the band 5-20 keV, or of the first where there is none."""
    kev = list(flight.config.trigger.bands_kev)
    return kev.index((5.0, 20.0)) if (5.0, 20.0) in kev else 0


def masks(instrument: Instrument) -> tuple[int, ...]:
    """Seeds of the masks to look at: one where the pattern comes from a file."""
    return instrument.mask_seeds if instrument.mask_path is None else instrument.mask_seeds[:1]


def quiet_plane(flight: Mission, tel: Telescope, band: int) -> Float64:
    """Expected counts of sky and particles in the shortest image window, no Earth in the field, float64 [80, 80]."""
    leak = flight.response.mask_transparency[:, None, None]
    sky = flight.cxb_rate[:, None, None] * (tel.diffuse + leak * (tel.diffuse_outline - tel.diffuse))
    rate = sky + particle_rate(flight.config.sky, flight.response)[:, None, None]
    plane: Float64 = rate[flight.response.bands[band]].sum(axis=0) * tel.efficiency
    return plane * flight.config.trigger.short_window_s


def crab_planes(flight: Mission, tel: Telescope, where: Sequence[tuple[float, float]], band: int) -> Float64:
    """Expected counts of sources of 1 Crab at sky pixels (y, z) in the shortest image window, float64 [n, 80, 80]."""
    lit = Lit.of(tel, where, flight.response.mask_transparency)
    fluence = flight.crab_rate * flight.config.trigger.short_window_s
    planes = [lit.plane(i, fluence, flight.response.bands[band]) for i in range(len(where))]
    return np.array(planes) * tel.efficiency


def blank_field(flight: Mission, mask_seed: int) -> tuple[Telescope, Imager, Field]:
    """Telescope, imager and a field without known sources."""
    config = flight.config
    camera = imager(config.instrument, mask_seed, config.trigger.min_coding)
    n = config.instrument.pixels
    return telescope(config.instrument, mask_seed), camera, Field(camera, np.zeros((0, n, n)))


def corrected(tel: Telescope, counts: NDArray[np.int64]) -> Float64:
    """Counts over the known efficiency, as the onboard software takes them."""
    return np.divide(counts, tel.efficiency, out=np.zeros(counts.shape), where=tel.efficiency > 0.0)


def steps(injections: int, blank_maps: int) -> int:
    """Steps of work that the rows of this module tell of."""
    return 2 * (len(SNR_BINS) - 1) * injections + blank_maps


def inject(
    flight: Mission,
    seed: int,
    low: float,
    high: float,
    n: int,
    tell: Callable[[int], None] = lambda _: None,
    *,
    min_coding: float | None = None,
) -> Float64:
    """Inject sources into quiet shadowgrams, and find them again.

    Places are uniform in solid angle over the searched field, expected SNRs log-uniform and wider than the bin by
    2.5 sigma at either end; what is measured within the bin counts.

    Parameters
    ----------
    flight : Mission
    seed : int
    low, high : float
        Bin of the measured SNR.
    n : int
        Injections that count.
    tell : callable, optional
        Called with the number of injections just done.
    min_coding : float, optional
        Least coded share of the places; left out, that of the searched field.

    Returns
    -------
    float64 array [n, 3]
        Angle on the sky between injected and fitted position in arcmin, the same as if both lay near the axis, and
        SNR of the peak pixel.
    """
    config = flight.config
    coded = config.trigger.min_coding if min_coding is None else min_coding
    rng = np.random.Generator(np.random.Philox(key=[seed, (_R90 << 32) + round(1000 * (low + coded))]))
    band = reference_band(flight)
    found: list[tuple[float, float, float]] = []
    seeds, batch = masks(config.instrument), 0
    per_px = config.instrument.pitch_mm / config.instrument.distance_mm
    while len(found) < n:
        tel, camera, field = blank_field(flight, seeds[batch % len(seeds)])
        batch += 1
        before = len(found)
        places = [draw_position(rng, config.instrument, coded) for _ in range(_BATCH)]
        wanted = np.exp(rng.uniform(np.log(max(low - 2.5, 1.0)), np.log(high + 2.5), _BATCH))
        quiet = quiet_plane(flight, tel, band)
        lit = crab_planes(flight, tel, places, band)
        fluxes = _flux_for(camera, quiet, lit, places, wanted)
        counts = rng.poisson(quiet + fluxes[:, None, None] * lit)
        maps = field.sky_maps(corrected(tel, counts), np.zeros((_BATCH, 0)))
        for snr, place in zip(maps.snr, places, strict=True):
            row, column = (int(i) for i in np.unravel_index(int(np.nanargmax(snr)), snr.shape))
            top = float(snr[row, column])
            if low <= top < high:
                at = sub_pixel(snr, row, column)
                true, fitted = (direction(config.instrument, *where) for where in (place, at))
                angle = float(np.arctan2(np.linalg.norm(np.cross(true, fitted)), true @ fitted))
                flat = float(np.hypot(at[0] - place[0], at[1] - place[1])) * per_px
                found.append((np.degrees(angle) * 60.0, np.degrees(flat) * 60.0, top))
        tell(min(len(found), n) - before)
    return np.array(found[:n])


def _flux_for(
    camera: Imager, quiet: Float64, lit: Float64, where: list[tuple[float, float]], wanted: Float64
) -> Float64:
    """Flux in Crab that gives each source its wanted SNR at the pixel nearest to it, float64 [k]."""
    last = camera.valid.shape[0] - 1
    fluxes = np.empty(len(lit))
    for i, (y, z) in enumerate(where):
        weights = camera.weights(min(max(round(z), 0), last), min(max(round(y), 0), last))
        height, own, other = np.vdot(weights, lit[i]), np.vdot(weights**2, lit[i]), np.vdot(weights**2, quiet)
        # Height f h, variance q + f o: f^2 h^2 = wanted^2 (q + f o).
        square = wanted[i] ** 2
        fluxes[i] = (square * own + np.sqrt((square * own) ** 2 + 4.0 * height**2 * square * other)) / (2.0 * height**2)
    return fluxes


def error_radius_rows(inputs: Inputs) -> list[Row]:
    """R90 x SNR in four bins of SNR, from injected and fitted positions alone."""
    flight = mission(inputs.config, inputs.seed)
    rng = np.random.Generator(np.random.Philox(key=[inputs.seed, _R90]))
    g = inputs.config.instrument
    active = g.model_copy(update={"pitch_mm": g.active_mm})
    formula = (
        f"the formula: {r90_arcmin(1.0, g):.1f} for the pitch of {g.pitch_mm:g} mm, {r90_arcmin(1.0, active):.1f} for"
        f" the active {g.active_mm:g} mm"
    )
    pixel = float(np.degrees(np.arctan(g.pitch_mm / g.distance_mm))) * 60.0
    central: list[Row] = []
    anywhere: list[Row] = []
    for low, high in pairwise(SNR_BINS):
        fully = inject(flight, inputs.seed, low, high, inputs.injections, inputs.tell, min_coding=0.999)
        whole = inject(flight, inputs.seed, low, high, inputs.injections, inputs.tell)
        for found, rows, column, key, what, note in (
            (fully, central, 0, "r90_coded", "angle on the sky, fully coded field", formula),
            (
                whole,
                anywhere,
                0,
                "r90_sky",
                "angle on the sky, anywhere in the field",
                "off axis a pixel spans less sky",
            ),
            (whole, anywhere, 1, "r90_axis", f"a pixel taken as {pixel:.1f} arcmin, whole field", formula),
        ):
            products = found[:, column] * found[:, 2]
            value = float(np.quantile(products, 0.9))
            away = abs(value / R90_BY_SNR - 1.0)
            rows.append(
                compared(
                    f"{key}_{low:.0f}_{high:.0f}",
                    "tuned on",
                    f"R90 x SNR = 77 arcmin +- 10 % at SNR {low:.3g} to {high:.3g}: {what}",
                    "25 GCN notices of 2025-2026",
                    value,
                    (0.9 * R90_BY_SNR, 1.1 * R90_BY_SNR),
                    unit="arcmin",
                    interval=bootstrap(rng, products, lambda p: float(np.quantile(p, 0.9))),
                    n=len(products),
                    of="injections",
                    tuned_on="instrument: pitch_mm, mask_mm, mask_cells, distance_mm; form of the peak fit",
                    note=f"{100 * away:.0f} % off 77; {note}",
                )
            )
    return central + anywhere


def point_spread_rows(inputs: Inputs) -> list[Row]:
    """The four minima beside the peak of a source on the axis, without noise."""
    flight = mission(inputs.config, inputs.seed)
    band = reference_band(flight)
    half = inputs.config.instrument.sky_side // 2
    minima, places = [], set()
    for mask_seed in masks(inputs.config.instrument):
        tel, _, field = blank_field(flight, mask_seed)
        plane = quiet_plane(flight, tel, band) + crab_planes(flight, tel, [(half, half)], band)[0]
        snr = field.sky_maps(plane[None], np.zeros((1, 0))).snr[0]
        row, column = snr[half], snr[:, half]
        sides = [row[half - 5 : half][::-1], row[half + 1 : half + 6]]
        sides += [column[half - 5 : half][::-1], column[half + 1 : half + 6]]
        minima.append([float(side.min() / snr[half, half]) for side in sides])
        places |= {int(side.argmin()) + 1 for side in sides}
    depths = np.array(minima)
    axes = depths.mean(axis=0)
    worst = float(max(-0.30 - axes.min(), axes.max() + 0.15))
    shallow = int((depths >= -0.1).sum())
    return [
        Row(
            "psf_four_minima",
            "tuned on",
            "the sub-image of a source shows one maximum and four minima",
            "Hubert & Schanne 2025",
            f"{depths.size - shallow} of {depths.size} minima below -0.1 of the peak (four per mask)",
            "agrees" if not shallow else f"differs by {shallow} of {depths.size} minima that are shallower",
            "mask generator: a hole has at most one open neighbour",
            n=depths.size,
        ),
        Row(
            "psf_minima",
            "own computation",
            "point-spread minima of -0.15 to -0.30 of the peak on the four axes, at about +-3 px",
            "reference computation",
            f"means of {len(depths)} masks: {', '.join(f'{a:.2f}' for a in axes)}",
            "agrees" if worst <= 0 else f"differs by {worst:.2f} on one axis",
            value=float(depths.mean()),
            lo=float(depths.min()),
            hi=float(depths.max()),
            n=depths.size,
            accepted=(-0.30, -0.15),
            note=f"single minima {depths.min():.2f} to {depths.max():.2f}, {min(places)} to {max(places)} px off",
        ),
    ]


def blank_map_rows(inputs: Inputs) -> list[Row]:
    """Scatter and maximum of maps of nothing but sky and particles."""
    flight = mission(inputs.config, inputs.seed)
    rng = np.random.Generator(np.random.Philox(key=[inputs.seed, _BLANK]))
    band = reference_band(flight)
    seeds = masks(inputs.config.instrument)
    scatter, highest = [], []
    for k in range(inputs.blank_maps):
        tel, camera, field = blank_field(flight, seeds[k % len(seeds)])
        counts = rng.poisson(quiet_plane(flight, tel, band))[None]
        snr = field.sky_maps(corrected(tel, counts), np.zeros((1, 0))).snr[0][camera.valid]
        scatter.append(float(snr.std()))
        highest.append(float(snr.max()))
        inputs.tell(1)
    low, middle, high = np.quantile(highest, [0.025, 0.5, 0.975])
    above = float(np.mean(np.array(highest) > 4.6))
    off = float(max(3.3 - middle, middle - 4.6))
    return [
        compared(
            "blank_map_std",
            "own computation",
            "standard deviation of a blank SNR map 0.99 +- 0.02 (with the cross term)",
            "reference computation",
            float(np.mean(scatter)),
            (0.97, 1.01),
            interval=bootstrap(rng, np.array(scatter), lambda s: float(s.mean())),
            n=len(scatter),
            of="maps",
            note="" if inputs.config.instrument.variance_cross_term else "instrument.variance_cross_term is off",
        ),
        Row(
            "blank_map_maximum",
            "own computation",
            "maximum of a blank SNR map 3.3 to 4.6",
            "reference computation",
            f"median {middle:.2f}, 95 % of maps in {low:.2f} to {high:.2f}, n = {len(highest):,} maps",
            "agrees in the median" if off <= 0 else f"differs by {off:.2f} in the median",
            value=float(middle),
            lo=float(low),
            hi=float(high),
            n=len(highest),
            accepted=(3.3, 4.6),
            note=f"{100 * above:.0f} % of maps above 4.6, highest {max(highest):.2f}; edge pixels have few counts",
        ),
    ]
