"""The truth behind an alert as plain data: what happened, when and where, and what made the peak."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from slewguard.sim.defects import Disturbance
from slewguard.sim.onboard import Alert
from slewguard.sim.orbit import absolute_time
from slewguard.sim.pointing import to_world, unit_vector
from slewguard.sim.resimulate import Resimulated
from slewguard.sim.scene import Scene, Truth
from slewguard.sim.settings_trigger import TICK_S
from slewguard.subimages.columns import LABEL_NAMES
from slewguard.subimages.describe import plain

_LABELS = {number: word for word, number in LABEL_NAMES.items()}


def tell(found: Resimulated) -> dict[str, Any]:
    """Return the truth behind a re-simulated alert.

    Returns
    -------
    dict
        JSON-able: ``alert``, ``truth`` (label, cause and ``shares`` of S at the peak), ``event``, ``pointing``,
        ``telescope``, ``known_sources``, ``sequence_alerts``. Times ``*_s`` are s since the start of the time line and
        ``*_utc`` ISO 8601; directions are sky pixels (``sky_y``, ``sky_z``) and ICRS degrees.
    """
    scene, alert = found.simulated.scene, found.alert
    meta = {name: plain(value) for name, value in found.subimage.meta.items()}
    names = {int(n): name for n, name in zip(*_catalogue(scene), strict=True)}
    kept = ("peak_snr", "second_peak", "map_std", "sky_y", "sky_z", "ra_deg", "dec_deg", "r90_arcmin", "slew")
    number = alert.peak.catalogue_id
    return {
        "alert": {
            **_window(scene, alert),
            **{name: meta[name] for name in kept},
            "catalogue_id": number,
            "catalogue_name": names.get(number),
        },
        "truth": {
            "label": _LABELS[alert.truth.label],
            "cause": alert.truth.cause,
            "shares": [{"cause": s.cause, "sequence": s.sequence, "share": s.share} for s in alert.truth.shares],
        },
        "event": _event(found),
        "pointing": _pointing(scene),
        "telescope": _telescope(scene, alert),
        "known_sources": _known_sources(scene, alert, names),
        "sequence_alerts": [
            {**_window(scene, a), "peak_snr": a.peak.snr, "label": _LABELS[a.truth.label], "cause": a.truth.cause}
            for a in found.simulated.alerts
        ],
    }


def utc(scene: Scene, t_s: float) -> str:
    """Absolute time in UTC, ISO 8601 to the millisecond."""
    return str(absolute_time(scene.mission.config.orbit, t_s).isot)


def _catalogue(scene: Scene) -> tuple[Iterable[int], Iterable[str]]:
    table = scene.mission.catalogue
    return table.number, table.name


def _span(scene: Scene, start_s: float, stop_s: float) -> dict[str, Any]:
    return {"start_s": start_s, "stop_s": stop_s, "start_utc": utc(scene, start_s), "stop_utc": utc(scene, stop_s)}


def _window(scene: Scene, alert: Alert) -> dict[str, Any]:
    window = alert.window
    return {
        "trigger": window.kind,
        "window_s": window.seconds,
        **_span(scene, window.start * TICK_S, window.stop * TICK_S),
        "band_kev": list(scene.mission.config.trigger.bands_kev[window.band]),
    }


def _place(scene: Scene, y: float, z: float) -> dict[str, float]:
    ra, dec = to_world(scene.pointing.attitude, y, z, scene.mission.config.instrument)
    return {"sky_y": y, "sky_z": z, "ra_deg": float(ra), "dec_deg": float(dec)}


def _event(found: Resimulated) -> dict[str, Any]:
    event, truth, scene = found.simulated.event_id, found.simulated.truth, found.simulated.scene
    return {
        "cause": event.cause,
        "sequence": event.sequence,
        "day": event.day,
        "number": event.number,
        **_span(scene, truth.start_s, truth.stop_s),
        "new_source": _new_source(found, truth),
        "disturbances": [_disturbance(d) for d in truth.disturbances],
        "catalogue_faults": [vars(fault) for fault in truth.faults],
        "bright_limb": None if truth.glow is None else vars(truth.glow),
    }


def _new_source(found: Resimulated, truth: Truth) -> dict[str, Any] | None:
    new, scene, meta = truth.new, found.simulated.scene, found.subimage.meta
    if new is None:
        return None
    place = _place(scene, new.y, new.z)
    chord = unit_vector(place["ra_deg"], place["dec_deg"]) - unit_vector(meta["ra_deg"], meta["dec_deg"])
    off = np.degrees(2.0 * np.arcsin(min(0.5 * float(np.linalg.norm(chord)), 1.0))) * 60.0
    return {
        "cause": new.cause,
        **place,
        "from_alert_arcmin": float(off),
        "t90_s": new.curve.t90_s,
        "atoms_kev": [list(atom) for atom in scene.mission.response.atoms],
        "detected_per_cm2": [float(f) for f in new.fluence],
    }


def _disturbance(d: Disturbance) -> dict[str, Any]:
    acts = [name for name in ("efficiency", "rate", "counts") if getattr(d, name) is not None]
    return {"cause": d.cause, "acts_on": acts, "start_s": plain(d.start_s), "stop_s": plain(d.stop_s)}


def _pointing(scene: Scene) -> dict[str, Any]:
    p = scene.pointing
    return {
        "kind": p.kind,
        "slot": p.slot,
        "ra_deg": p.ra_deg,
        "dec_deg": p.dec_deg,
        "roll_deg": p.roll_deg,
        **_span(scene, p.start_s, p.stop_s),
    }


def _telescope(scene: Scene, alert: Alert) -> dict[str, Any]:
    middle = 0.5 * (alert.window.start + alert.window.stop) * TICK_S
    earth = scene.mission.earth_in_body(scene.pointing, np.array([middle]))[0]
    return {
        "mask_seed": scene.mask_seed if scene.mission.config.instrument.mask_path is None else None,
        "axis_to_limb_deg": float(np.degrees(np.arccos(np.clip(earth[0], -1, 1)))) - scene.mission.earth_radius_deg,
        "criteria": vars(scene.criteria),
    }


def _known_sources(scene: Scene, alert: Alert, names: dict[int, str]) -> list[dict[str, Any]]:
    s = scene.sources
    band = scene.mission.response.bands[alert.window.band]
    return [
        {
            "number": int(s.number[i]),
            "name": names.get(int(s.number[i])),
            **_place(scene, float(s.y[i]), float(s.z[i])),
            "catalogue_sky_y": float(s.catalogue_y[i]),
            "catalogue_sky_z": float(s.catalogue_z[i]),
            "photons_per_cm2_s": float(s.rate[i, band].sum()),
            "listed_photons_per_cm2_s": float(s.listed[i, band].sum()),
            "seen": bool(alert.seen[i]),
        }
        for i in np.argsort(-s.rate[:, band].sum(axis=1), kind="stable")
    ]
