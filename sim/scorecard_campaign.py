"""Scorecard rows of the population: rates, mixes and distributions of alerts against what is public of flight."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from slewguard.sim.imaging import imager
from slewguard.sim.pointing import to_sky_px, unit_vector
from slewguard.sim.scorecard_population import Notice, Population, notices, wakeups
from slewguard.sim.scorecard_rows import Inputs, Row, Section, compared, number, unmeasured
from slewguard.sim.scorecard_statistics import LEVEL, bootstrap, poisson_interval, smallest_shift
from slewguard.subimages.contract import CAUSES, CENTRE, FALSE, SIDE, TRUE
from slewguard.subimages.intervals import clopper_pearson

Float64 = NDArray[np.float64]
_STREAM = 0x504F50
_FEWEST = 5
_NOTICES = "GCN notices of 2025-2026"
_TALK = "Hubert & Schanne 2025"
_TALK_TRUE, _TALK_ALL = 333, 563
# Noise alone does not reach the threshold, so this is a class of the judge and not a cause of the talk.
_TALK_CAUSES = tuple(cause for cause in CAUSES if cause != "statistical")


def distribution_rows(inputs: Inputs) -> list[Row]:
    """Off-axis angles and SNRs of first burst alerts against the notices."""
    from scipy.stats import ks_2samp

    rng = np.random.Generator(np.random.Philox(key=[inputs.seed, _STREAM]))
    population, public = inputs.population, wakeups(retracted=False)
    first = population.first_burst
    g = inputs.config.instrument
    y, z = (population.column(name)[first].astype(np.float64) - g.sky_side // 2 for name in ("sky_y", "sky_z"))
    angles = np.degrees(np.arctan(np.hypot(y, z) * g.pitch_mm / g.distance_mm))
    snrs = population.column("peak_snr")[first].astype(np.float64)
    rows = []
    for name, what, ours, theirs, factor, largest in (
        ("off_axis", "off-axis angles", angles, [n.off_axis_deg() for n in public], False, 30.0),
        ("snr", "SNRs", snrs, [n.snr for n in public], True, 2.5),
    ):
        fact = f"{what} of first burst alerts above SNR 7.9: median {np.median(theirs):.1f}, n = {len(theirs)}"
        if len(ours) < _FEWEST:
            rows.append(unmeasured(f"ks_{name}", "not tuned on", fact, _NOTICES, f"{len(ours)} such alerts"))
            continue
        test = ks_2samp(theirs, ours)
        d, p = float(test.statistic), float(test.pvalue)
        sample = np.log(ours) if factor else ours
        shift = smallest_shift(rng, sample, len(theirs), lambda x, by: x + by, largest)
        if shift is None:
            seen = "none up to " + (f"a factor {np.exp(largest):.0f}" if factor else f"{largest:g} deg")
        else:
            seen = f"a factor {np.exp(shift):.2f}" if factor else f"{shift:.1f} deg"
        verdict = f"not contradicted (smallest shift the test could see: {seen})"
        if p < LEVEL:
            verdict = f"differs by D = {d:.2f} at p = {number(p)} (smallest shift the test could see: {seen})"
        rows.append(
            Row(
                f"ks_{name}",
                "not tuned on",
                fact,
                _NOTICES + ", the retracted one left out",
                f"D = {d:.2f}, p = {number(p)}; median {np.median(ours):.1f}, n = {len(ours):,} sequences",
                verdict,
                value=d,
                n=len(ours),
                note="two-sample KS; a shift is seen if 80 % of trials reject it at 5 %, in either direction",
            )
        )
    return rows


def first_alert_rows(inputs: Inputs) -> list[Row]:
    """Shares among first burst alerts above 7.9: count-rate trigger, partial sub-images, near known sources."""
    population, first = inputs.population, inputs.population.first_burst
    public = wakeups(retracted=True)
    crt = population.column("trigger")[first] == b"CRT"
    partial = population.partial
    sequences = population.column("sequence")
    all_partial = float(partial.mean()) if len(partial) else float("nan")
    rows = []
    for key, fact, flags, theirs, tuned_on, note in (
        (
            "crt_share",
            "share of first burst alerts by the count-rate trigger",
            crt,
            [n.trigger == "CRT" for n in public],
            "trigger: crt_threshold",
            "",
        ),
        (
            "partial_share",
            "share of first burst alerts whose sub-image reaches over the edge of the field",
            partial[first],
            [_partial(inputs, n) for n in public],
            "",
            f"{all_partial:.2f} of all {len(partial):,} sub-images of {len(np.unique(sequences)):,} sequences",
        ),
        (
            "near_known_share",
            "share of first burst alerts within 10 px of a known source",
            population.near_known(first),
            [_near_known(inputs, n) for n in public],
            "",
            "notices: by our catalogue, the Earth left aside",
        ),
    ):
        k = sum(theirs)
        accepted = clopper_pearson(k, len(theirs))
        fact = f"{fact} {accepted[0]:.2f} to {accepted[1]:.2f} ({k} of {len(theirs)}, Clopper-Pearson)"
        section: Section = "tuned on" if tuned_on else "not tuned on"
        if not len(first):
            rows.append(unmeasured(key, section, fact, _NOTICES, "no such alerts", tuned_on=tuned_on))
            continue
        rows.append(
            compared(
                key,
                section,
                fact,
                _NOTICES,
                float(flags.mean()),
                accepted,
                interval=clopper_pearson(int(flags.sum()), len(flags)),
                n=len(flags),
                of="sequences",
                tuned_on=tuned_on,
                note=note,
            )
        )
    return rows


def _pixel(inputs: Inputs, notice: Notice) -> tuple[float, float]:
    where = unit_vector(notice.ra_deg, notice.dec_deg)
    y, z, _ = to_sky_px(notice.attitude(), where, inputs.config.instrument)
    return float(y), float(z)


def _partial(inputs: Inputs, notice: Notice) -> bool:
    config = inputs.config
    valid = imager(config.instrument, config.instrument.mask_seeds[0], config.trigger.min_coding).valid
    y, z = _pixel(inputs, notice)
    padded = np.pad(valid, SIDE)
    top, left = round(z) - CENTRE + SIDE, round(y) - CENTRE + SIDE
    return not bool(padded[top : top + SIDE, left : left + SIDE].all())


def _near_known(inputs: Inputs, notice: Notice) -> bool:
    from slewguard.sim.catalogue import catalogue
    from slewguard.sim.scorecard_population import NEAR_PX

    config = inputs.config
    y, z = _pixel(inputs, notice)
    ys, zs, front = to_sky_px(notice.attitude(), catalogue(config.catalogue).direction, config.instrument)
    return bool((np.hypot(ys[front] - y, zs[front] - z) <= NEAR_PX).any())


def sequence_rows(inputs: Inputs) -> list[Row]:
    """Alerts per sequence, bursts and sequences per year."""
    population = inputs.population
    sequences, burst = population.column("sequence"), population.burst
    bright = np.unique(sequences[burst & (population.column("peak_snr") > 15.0)])
    lengths = np.array([int((sequences == s).sum()) for s in bright])
    fact = "median 6 to 17 alerts per sequence for bursts above SNR 15 (public: 6, 15, 17, 34)"
    source = "svom.eu/?p=5482; GCN 41243, 44181, 44870"
    cap = inputs.config.trigger.sequence_alerts
    if len(lengths) < _FEWEST:
        rows = [unmeasured("alerts_per_sequence", "not tuned on", fact, source, f"{len(lengths)} such sequences")]
    else:
        rng = np.random.Generator(np.random.Philox(key=[inputs.seed, _STREAM + 1]))
        rows = [
            compared(
                "alerts_per_sequence",
                "not tuned on",
                fact,
                source,
                float(np.median(lengths)),
                (6.0, 17.0),
                interval=bootstrap(rng, lengths, lambda x: float(np.median(x))),
                n=len(lengths),
                of="sequences",
                note=f"longest {lengths.max()}; trigger.sequence_alerts = {cap} caps it and is the longest one told of",
            )
        ]
    named = population.causes == "grb"
    bursts = len(np.unique(sequences[burst & named]))
    others = len(np.unique(sequences[burst & ~named]))
    every = len(population.sequences)
    return [
        *rows,
        _per_year(
            "bursts_per_year",
            "40 to 70 bursts a year",
            "Antier 2016SACLS467; GCN page: 60",
            bursts,
            population,
            (40.0, 70.0),
            "rates.grb",
            f"new Galactic sources come on top: {number(others / population.years)} a year",
        ),
        _per_year(
            "sequences_per_year",
            "300 to 600 sequences a year",
            f"{_TALK}: 75 bursts, hundreds of known sources, hundreds of false alerts",
            every,
            population,
            (300.0, 600.0),
            "rates: all",
            "",
        ),
    ]


def _per_year(
    key: str,
    fact: str,
    source: str,
    count: int,
    population: Population,
    accepted: tuple[float, float],
    tuned_on: str,
    note: str,
) -> Row:
    lo, hi = poisson_interval(count)
    return compared(
        key,
        "tuned on",
        fact,
        source,
        count / population.years,
        accepted,
        unit="a year",
        interval=(lo / population.years, hi / population.years),
        n=count,
        of=f"in {population.days:g} days",
        tuned_on=tuned_on,
        note=note,
    )


def mix_rows(inputs: Inputs) -> list[Row]:
    """Share of true sub-images, causes, windows and bands."""
    population = inputs.population
    label, sequences = population.column("label"), population.column("sequence")
    accepted = clopper_pearson(_TALK_TRUE, _TALK_ALL)
    fact = f"true sub-images are {accepted[0]:.2f} to {accepted[1]:.2f} of true and false ones (333 of 563)"
    clear = (label == TRUE) | (label == FALSE)
    numbers, at = np.unique(sequences[clear], return_inverse=True)
    rows = []
    if len(numbers) < _FEWEST:
        rows.append(unmeasured("true_share", "tuned on", fact, _TALK, f"{len(numbers)} sequences", "rates: all"))
    else:
        rng = np.random.Generator(np.random.Philox(key=[inputs.seed, _STREAM + 2]))
        true = np.bincount(at, weights=label[clear] == TRUE)
        per_sequence = np.column_stack([true, np.bincount(at)])
        rows.append(
            compared(
                "true_share",
                "tuned on",
                fact,
                _TALK,
                float(per_sequence[:, 0].sum() / per_sequence[:, 1].sum()),
                accepted,
                interval=bootstrap(rng, per_sequence, lambda x: float(x[:, 0].sum() / x[:, 1].sum())),
                n=int(clear.sum()),
                of=f"sub-images of {len(numbers):,} sequences",
                tuned_on="rates: all",
                note=f"{int((~clear).sum()):,} unclear ones left aside; by sequence {(true > 0).mean():.2f}",
            )
        )
    found = {cause: int((population.causes == cause).sum()) for cause in _TALK_CAUSES}
    noise = int((population.causes == "statistical").sum())
    rows.append(
        _present(
            "causes",
            "tuned on",
            "every cause of the talk's list makes alerts",
            _TALK,
            found,
            f"statistical {noise}: noise alone does not reach the threshold",
            "rates: one key per cause",
        )
    )
    kinds = population.column("trigger").astype(str)
    seconds = population.column("window_s").astype(np.float64)
    true_alert = label == TRUE
    windows = {_window(n.trigger, n.window_s): 0 for n in sorted(notices(), key=lambda n: n.window_s)}
    for kind, length in zip(kinds[true_alert], seconds[true_alert], strict=True):
        name = _window(kind, length)
        if name in windows:
            windows[name] += 1
    low, high = (population.column(name)[true_alert] for name in ("band_lo_kev", "band_hi_kev"))
    pairs = sorted({n.band_kev for n in notices()})
    bands = {f"{lo:g}-{hi:g} keV": int(((low == lo) & (high == hi)).sum()) for lo, hi in pairs}
    return [
        *rows,
        _present(
            "windows",
            "tuned on",
            "windows of the notices occur in true alerts",
            _NOTICES,
            windows,
            "count-rate windows are 10 ms x 2^n cut to 0.1 s",
            "trigger: short_window_s, image_scales, crt_scales",
        ),
        _present(
            "bands",
            "tuned on",
            "energy bands of the notices occur in true alerts",
            _NOTICES,
            bands,
            "",
            "trigger.bands_kev",
        ),
    ]


def _window(kind: str, seconds: float) -> str:
    # The notices print count-rate windows cut to a tenth of a second: 10.24 is 10.2.
    shown = np.floor(10.0 * seconds + 1e-3) / 10.0 if kind == "CRT" else round(seconds, 2)
    return f"{kind} {shown:g} s"


def _present(
    key: str, section: Section, fact: str, source: str, found: dict[str, int], note: str, tuned_on: str
) -> Row:
    lacking = [name for name, count in found.items() if not count]
    verdict = "agrees" if not lacking else f"differs by {len(lacking)} of {len(found)} absent: {', '.join(lacking)}"
    ours = ", ".join(f"{name} {count:,}" for name, count in found.items())
    return Row(key, section, fact, source, ours, verdict, tuned_on, n=sum(found.values()), note=note)
