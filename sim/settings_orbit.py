"""Keys of the orbit, the pointing plan and the onboard catalogue."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from pydantic import AfterValidator

from slewguard.sim.keys import Range, Section, key


def _off_axis(ends: tuple[float, float]) -> tuple[float, float]:
    if not 0.01 <= ends[0] <= ends[1] <= 90.0:
        # Exactly opposite to the Sun the roll is undefined.
        raise ValueError(f"must lie between 0.01 and 90, not {list(ends)}")
    return ends


def _utc(text: str) -> str:
    """Check an ISO 8601 date and time in UTC; without an offset it is UTC."""
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"must be an ISO 8601 date and time such as 2026-01-01T00:00:00, not {text!r}") from None
    if when.tzinfo is not None and when.utcoffset() != UTC.utcoffset(None):
        raise ValueError(f"must be in UTC, not {text!r}")
    if not 1972 <= when.year <= 2100:
        raise ValueError(f"must lie between 1972 and 2100, not {text!r}")
    return text


UtcText = Annotated[str, AfterValidator(_utc)]


class Orbit(Section):
    """Circular orbit, start of the mission time line, and outline of the South Atlantic Anomaly (SAA)."""

    start: UtcText = key("2026-01-01T00:00:00", "start of the time line (t_s = 0), UTC", "assumed", "none")
    altitude_km: float = key(625.0, "altitude, km", "published", "svom.eu; notices 616-621 km", ge=300, le=2000)
    inclination_deg: float = key(30.0, "inclination, degrees", "published", "svom.eu", gt=0, lt=90)
    raan_deg: float = key(0.0, "right ascension of the ascending node at the start, degrees", "assumed", "none")
    phase_deg: float = key(0.0, "angle from the ascending node at the start, degrees", "assumed", "none")
    saa_centre_deg: tuple[float, float] = key(
        (-40.0, -25.0), "centre of the SAA ellipse: east longitude, latitude, degrees", "assumed", "none"
    )
    saa_half_axes_deg: Range = key(
        (25.0, 50.0),
        "its half axes on the map (north-south, east-west before the tilt), degrees",
        "assumed",
        "such that 13 % of the time is lost: Antier thesis 2016SACLS467, 1.3.3",
    )
    saa_tilt_deg: float = key(-10.0, "its tilt, counterclockwise on the map, degrees", "assumed", "none")
    saa_margin_s: float = key(
        60.0, "the trigger stops this long before entry and starts as long after exit, s", "assumed", "none", ge=0
    )


class Plan(Section):
    """Pointing plan: law B1 (about anti-solar) and targets of opportunity (ToO), one attitude per slot."""

    slot_s: float = key(60000.0, "length of a pointing slot, s", "assumed", "2/3 day", gt=0)
    sun_offset_deg: Annotated[Range, AfterValidator(_off_axis)] = key(
        (30.0, 55.0),
        "angle of the B1 axis from the anti-solar point, degrees",
        "computed",
        "30.5 to 53.2 in the notices whose attitude is neither a burst's place nor near the Sun limit",
    )
    galactic_avoid_deg: float = key(
        18.0, "B1 keeps its axis this far from the Galactic plane, degrees", "assumed", "notices: 19.7 and more", ge=0
    )
    sco_x1_avoid_deg: float = key(
        48.0, "B1 keeps its axis this far from Sco X-1, degrees", "assumed", "outside the field of view", ge=0, lt=90
    )
    too_share: float = key(0.35, "share of slots on a ToO", "published", "svom.eu news: 35 % of year 1", ge=0, le=1)
    too_galactic_share: float = key(
        0.3, "share of ToO in the Galactic plane, the others are isotropic", "assumed", "none", ge=0, le=1
    )
    too_galactic_sigma_deg: float = key(
        3.0, "scatter of their Galactic latitude, degrees", "assumed", "X-ray binaries", gt=0, le=20
    )
    too_sun_min_deg: float = key(
        90.0, "smallest angle of a ToO from the Sun, degrees", "computed", "least in the notices: 90.1", ge=0, le=120
    )


class Catalogue(Section):
    """The onboard catalogue of strong sources."""

    path: str = key(
        "default",
        "file of the catalogue (columns: docs/orbit.md); default is the one that ships",
        "assumed",
        "the flight catalogue is unpublished",
        min_length=1,
    )
    variability: float = key(
        1.0, "factor on the scatter of every source's flux from event to event", "assumed", "none", ge=0, le=5
    )
