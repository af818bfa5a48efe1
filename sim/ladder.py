"""Sky maps of all windows and bands at full cadence, from the shadowgrams of short windows and narrow energy atoms.

The image trigger makes a sky map of every window of 20.48 s x 2^k in every band. S and V are linear in the counts
(:mod:`slewguard.sim.imaging`), so only the atoms of the short windows are transformed; a wide band is a sum of atoms
and a long window a sum of two shorter ones. Windows lie on an absolute grid.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slewguard.sim.imaging import Field, Float32, Float64, SkyMap


@dataclass(frozen=True)
class Rung:
    """The sky maps of one window in all bands."""

    scale: int
    """The window is 2^scale short windows long."""
    first: int
    """Number of its first short window on the absolute grid, a multiple of 2^scale."""
    counts: Float64
    """Shadowgrams, float64 [bands, 80, 80]."""
    amplitudes: Float64
    """Subtracted amplitudes of the known sources, float64 [bands, n]."""
    maps: SkyMap
    """Arrays [bands, 199, 199]."""


@dataclass
class _Sums:
    excess: Float32
    spread: Float32
    counts: Float64
    limits: Float64

    def __iadd__(self, other: _Sums) -> _Sums:
        self.excess += other.excess
        self.spread += other.spread
        self.counts += other.counts
        self.limits += other.limits
        return self


def climb(
    field: Field,
    counts: NDArray[Any],
    limits: Float64,
    bands: Sequence[tuple[int, int]],
    *,
    first: int = 0,
    scales: int = 7,
    factors: Float64 | None = None,
) -> Iterator[Rung]:
    """Yield the sky maps of every window in every band, in order of the windows' ends, short ones first.

    Parameters
    ----------
    field : Field
    counts : array [windows, atoms, 80, 80]
        Shadowgrams of successive short windows in every energy atom.
    limits : array [windows, bands, n]
        Largest amplitude of each known source per short window, 0 where it is behind the Earth. Those of a long
        window are the sums.
    bands : sequence of (int, int)
        First atom and the atom after the last, of each band.
    first : int
        Number of the first short window on the absolute grid. Longer windows that began before it are left out.
    scales : int
        Windows of 2^0 to 2^(scales - 1) short ones.
    factors : float array [n], optional
        Factors by which the subtraction gets the fitted amplitudes wrong.

    Yields
    ------
    Rung
    """
    waiting: list[_Sums | None] = [None] * scales
    for number, planes in enumerate(counts, first):
        excess, spread = (_add_atoms(atoms, bands) for atoms in field.imager.linear(planes))
        whole = _add_atoms(planes.astype(np.float64), bands)
        sums = _Sums(excess, spread, whole, limits[number - first].astype(np.float64))
        for scale in range(scales):
            yield _rung(field, sums, scale, number + 1 - 2**scale, factors)
            earlier, waiting[scale] = waiting[scale], None
            if not number >> scale & 1:
                waiting[scale] = sums
                break
            if earlier is None:  # its first half lies before the first window
                break
            sums += earlier


def _add_atoms(atoms: NDArray[Any], bands: Sequence[tuple[int, int]]) -> NDArray[Any]:
    """Sum the atoms of each band; a third of the time of a product with a matrix of 0 and 1."""
    found = np.empty((len(bands), *atoms.shape[1:]), dtype=atoms.dtype)
    for band, (low, high) in zip(found, bands, strict=True):
        band[:] = atoms[low]
        for atom in atoms[low + 1 : high]:
            band += atom
    return found


def _rung(field: Field, sums: _Sums, scale: int, first: int, factors: Float64 | None) -> Rung:
    amplitudes = field.solve(field.right_side(sums.counts), sums.limits)
    if factors is not None:
        amplitudes = amplitudes * factors
    quadratic = field.quadratic(sums.counts, amplitudes)
    maps = field.subtracted(sums.excess, sums.spread, amplitudes, quadratic)
    return Rung(scale, first, sums.counts.copy(), amplitudes, maps)
