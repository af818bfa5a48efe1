"""The onboard catalogue of strong X-ray sources: its file, the sources of a field, and their fluxes in an event.

The flight catalogue, built from Swift/BAT and MAXI/GSC, is unpublished; the file that ships lists where its
positions and fluxes come from, row by row. Fluxes are in units of the Crab's flux in the same band, a soft one
(4-20 keV) and a hard one (from 20 keV).
"""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from slewguard.sim.pointing import Pointing, to_sky_px, unit_vector
from slewguard.sim.settings_instrument import Instrument
from slewguard.sim.settings_orbit import Catalogue
from slewguard.subimages.errors import BadInput

Float64 = NDArray[np.float64]

COLUMNS = (
    "number",
    "name",
    "ra_deg",
    "dec_deg",
    "soft_crab",
    "hard_crab",
    "variability_dex",
    "outburst_share",
    "outburst_crab",
    "kind",
    "marks",
)
KINDS = ("lmxb", "hmxb", "snr", "agn", "cluster", "cv", "magnetar")
HARD_FROM_KEV = 20.0
_MAX_BYTES = 4_000_000
_RANGES = {
    "ra_deg": (0.0, 360.0),
    "dec_deg": (-90.0, 90.0),
    "soft_crab": (0.0, 100.0),
    "hard_crab": (0.0, 100.0),
    "variability_dex": (0.0, 3.0),
    "outburst_share": (0.0, 1.0),
    "outburst_crab": (0.0, 100.0),
}


@dataclass(frozen=True, eq=False)
class SourceTable:
    """Sources, one per index; arrays are read-only."""

    number: NDArray[np.int64]
    """Onboard catalogue number, [n]."""
    name: tuple[str, ...]
    ra_deg: Float64
    dec_deg: Float64
    flux_crab: Float64
    """Soft (4-20 keV) and hard (from 20 keV) catalogue flux, float64 [n, 2]."""
    variability_dex: Float64
    """Sigma of the log10 flux, [n]."""
    outburst_share: Float64
    """Share of the time in outburst, [n]."""
    outburst_crab: Float64
    """Soft flux at the peak of an outburst, [n]."""
    kind: tuple[str, ...]
    direction: Float64
    """ICRS unit vectors, float64 [n, 3]."""

    def __len__(self) -> int:
        return len(self.number)


@dataclass(frozen=True, eq=False)
class FieldSources:
    """The catalogue sources of a field, one per index."""

    row: NDArray[np.int64]
    """Index in the source table, [n]."""
    number: NDArray[np.int64]
    y: Float64
    z: Float64
    """Sky pixels, [n]."""
    direction: Float64
    """ICRS unit vectors, float64 [n, 3]."""
    flux_crab: Float64
    """Catalogue flux, float64 [n, 2]; see :class:`SourceTable`."""
    variability_dex: Float64
    outburst_share: Float64
    outburst_crab: Float64

    def __len__(self) -> int:
        return len(self.number)


def catalogue(settings: Catalogue) -> SourceTable:
    """Return the catalogue that the configuration names (read once per process).

    Raises
    ------
    BadInput
        See :func:`read_catalogue`.
    """
    return _read_once(settings.path)


@lru_cache(maxsize=8)
def _read_once(path: str) -> SourceTable:
    if path != "default":
        return read_catalogue(path)
    from importlib.resources import as_file, files

    with as_file(files("slewguard.sim").joinpath("data/catalogue.csv")) as shipped:
        return read_catalogue(shipped)


def read_catalogue(path: str | Path) -> SourceTable:
    """Read a catalogue: CSV in ASCII, comment lines that begin with ``#``, a header, a source per row.

    Parameters
    ----------
    path : path-like
        The columns are :data:`COLUMNS`, in this order.

    Raises
    ------
    BadInput
        If the file cannot be read, holds no source, or a row is wrong: the fault names the line.
    """
    try:
        with Path(path).open("rb") as stream:
            data = stream.read(_MAX_BYTES + 1)
    except OSError as error:
        raise BadInput(f"cannot be read: {error.strerror or error}", path) from None
    if len(data) > _MAX_BYTES:
        raise BadInput(f"is larger than {_MAX_BYTES} bytes", path)
    try:
        lines = data.decode("ascii").split("\n")
    except UnicodeDecodeError as error:
        at = data.count(b"\n", 0, error.start) + 1
        raise BadInput(f"line {at}: is not ASCII", path) from None
    rows: dict[int, list[str]] = {}
    header = False
    for at, text in enumerate(lines, start=1):
        line = text.removesuffix("\r")
        if not line.strip() or line.startswith("#"):
            continue
        try:
            fields = [field.strip() for field in next(csv.reader([line], strict=True))]
        except csv.Error as error:
            raise BadInput(f"line {at}: {error}", path) from None
        if not header:
            if tuple(fields) != COLUMNS:
                raise BadInput(f"line {at}: the columns must be {','.join(COLUMNS)}", path)
            header = True
            continue
        fault = _fault(fields)
        if fault is None and int(fields[0]) in rows:
            fault = f"number {int(fields[0])} was given before"
        if fault is not None:
            raise BadInput(f"line {at}: {fault}", path)
        rows[int(fields[0])] = fields
    if not rows:
        raise BadInput("holds no source", path)
    return _table(list(rows.values()))


def _fault(fields: Sequence[str]) -> str | None:
    """Say what is wrong with a row, or None."""
    if len(fields) != len(COLUMNS):
        return f"{len(fields)} fields where {len(COLUMNS)} are needed"
    row = dict(zip(COLUMNS, fields, strict=True))
    if not (row["number"].isdecimal() and len(row["number"]) <= 6 and int(row["number"]) >= 1):
        return f"number must be a whole number from 1 to 999999, not {row['number']!r}"
    if not 1 <= len(row["name"]) <= 40:
        return "name must have 1 to 40 characters"
    for column, (low, high) in _RANGES.items():
        try:
            value = float(row[column])
        except ValueError:
            return f"{column} must be a number, not {row[column][:40]!r}"
        if not low <= value <= high:
            return f"{column} must lie between {low:g} and {high:g}, not {row[column][:40]}"
    if row["kind"] not in KINDS:
        return f"kind must be one of {' '.join(KINDS)}, not {row['kind'][:40]!r}"
    if len(row["marks"]) != 4 or not set(row["marks"]) <= set("pr-"):
        return f"marks must be four of p, r, -, not {row['marks'][:40]!r}"
    if float(row["outburst_share"]) > 0.0 and not 0.0 < float(row["soft_crab"]) <= float(row["outburst_crab"]):
        return "a source with outbursts needs 0 < soft_crab <= outburst_crab"
    return None


def _table(rows: Sequence[Sequence[str]]) -> SourceTable:
    columns = dict(zip(COLUMNS, zip(*rows, strict=True), strict=True))
    value = {column: np.array([float(text) for text in columns[column]]) for column in _RANGES}
    arrays = {
        "number": np.array([int(text) for text in columns["number"]], dtype=np.int64),
        "ra_deg": value["ra_deg"],
        "dec_deg": value["dec_deg"],
        "flux_crab": np.column_stack([value["soft_crab"], value["hard_crab"]]),
        "variability_dex": value["variability_dex"],
        "outburst_share": value["outburst_share"],
        "outburst_crab": value["outburst_crab"],
        "direction": unit_vector(value["ra_deg"], value["dec_deg"]),
    }
    for array in arrays.values():
        array.setflags(write=False)
    return SourceTable(name=tuple(columns["name"]), kind=tuple(columns["kind"]), **arrays)


def sources_in_field(
    table: SourceTable, pointing: Pointing, geometry: Instrument, margin_px: float = 0.0
) -> FieldSources:
    """Catalogue sources on the sky map of a pointing, the Earth left aside.

    Parameters
    ----------
    table : SourceTable
    pointing : Pointing
    geometry : Instrument
    margin_px : float
        Sources as far as this outside the sky map's edge are returned too, sky pixels.

    Returns
    -------
    FieldSources
        In the order of the table.
    """
    y, z, in_front = to_sky_px(pointing.attitude, table.direction, geometry)
    half = geometry.sky_side // 2
    reach = half + 0.5 + margin_px
    row = np.flatnonzero(in_front & (np.abs(y - half) < reach) & (np.abs(z - half) < reach))
    return FieldSources(
        row,
        table.number[row],
        y[row],
        z[row],
        table.direction[row],
        table.flux_crab[row],
        table.variability_dex[row],
        table.outburst_share[row],
        table.outburst_crab[row],
    )


def draw_fluxes(rng: np.random.Generator, sources: FieldSources | SourceTable, settings: Catalogue) -> Float64:
    """Draw the true fluxes of sources during an event.

    Every source scatters log-normally with its sigma, in both bands alike. Times are independent of each other: no
    source remembers its last event. Outbursts are events of the time line.

    Parameters
    ----------
    rng : Generator
    sources : FieldSources or SourceTable
    settings : Catalogue

    Returns
    -------
    float64 array [n, 2]
        Soft and hard flux, Crab.
    """
    scatter = rng.standard_normal(len(sources)) * sources.variability_dex * settings.variability
    fluxes: Float64 = sources.flux_crab * (10.0**scatter)[:, None]
    return fluxes


def atom_fluxes(flux_crab: Float64, edges_kev: Sequence[float]) -> Float64:
    """Fluxes per energy atom: the soft flux below 20 keV, the hard one above.

    Parameters
    ----------
    flux_crab : float64 array [n, 2]
        Soft and hard flux, Crab.
    edges_kev : sequence of float
        Sorted energies that part the atoms.

    Returns
    -------
    float64 array [n, atoms]
        In units of the Crab's flux in the atom; an atom across 20 keV takes the mean by the log of the energy.
    """
    low, high = np.log(np.asarray(edges_kev[:-1])), np.log(np.asarray(edges_kev[1:]))
    hard = np.clip((high - math.log(HARD_FROM_KEV)) / (high - low), 0.0, 1.0)
    mixed: Float64 = flux_crab[:, :1] * (1.0 - hard) + flux_crab[:, 1:] * hard
    return mixed
