"""The known sources of a field as the telescope sees them and as the onboard catalogue lists them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Float64 = NDArray[np.float64]


@dataclass(frozen=True)
class Sources:
    """Known sources in the field; arrays of length n, directions in sky pixels.

    Parameters
    ----------
    number : int array [n]
        Onboard catalogue number.
    y, z : float array [n]
        True direction.
    catalogue_y, catalogue_z : float array [n]
        Direction that the trigger works with.
    rate : float array [n, atoms]
        True photons/cm2/s that are detected.
    listed : float array [n, atoms]
        The same of the onboard catalogue.
    subtraction : float array [n]
        Factor by which the onboard model gets each source's counts wrong.
    """

    number: NDArray[np.int64]
    y: Float64
    z: Float64
    catalogue_y: Float64
    catalogue_z: Float64
    rate: Float64
    listed: Float64
    subtraction: Float64

    def __len__(self) -> int:
        return len(self.number)

    def moved(self, which: NDArray[np.bool_], dy: float, dz: float) -> Sources:
        """Return the sources with some catalogue positions displaced, sky pixels."""
        return replace(
            self,
            catalogue_y=self.catalogue_y + np.where(which, dy, 0.0),
            catalogue_z=self.catalogue_z + np.where(which, dz, 0.0),
        )

    def brightened(self, which: NDArray[np.bool_], factor: float) -> Sources:
        """Return the sources with some true fluxes multiplied."""
        return replace(self, rate=self.rate * np.where(which, factor, 1.0)[:, None])

    def listed_at(self, which: NDArray[np.bool_], factor: float) -> Sources:
        """Return the sources with some catalogue fluxes multiplied."""
        return replace(self, listed=self.listed * np.where(which, factor, 1.0)[:, None])

    def subtracted(self, which: NDArray[np.bool_], error: float) -> Sources:
        """Return the sources with an error added to the onboard model of some."""
        return replace(self, subtraction=self.subtraction + np.where(which, error, 0.0))


@dataclass(frozen=True)
class Fault:
    """What is wrong with the onboard catalogue in all exposures that end while it lasts.

    Parameters
    ----------
    cause : str
        ``residual``, ``stale_catalogue`` or ``attitude``.
    number : int
        Catalogue number of the source concerned; -1: all.
    dy, dz : float
        Displacement of the catalogue position, sky pixels.
    flux_factor : float
        True flux over what the catalogue expects.
    model_error : float
        Error of the subtracted counts.
    listed_factor : float
        Catalogue flux over what the catalogue should hold.
    """

    cause: str
    number: int
    dy: float = 0.0
    dz: float = 0.0
    flux_factor: float = 1.0
    model_error: float = 0.0
    listed_factor: float = 1.0

    def concerns(self, sources: Sources) -> NDArray[np.bool_]:
        """Which sources it concerns, bool [n]."""
        which: NDArray[np.bool_] = (sources.number == self.number) | (self.number < 0)
        return which

    def apply(self, sources: Sources) -> Sources:
        """Return the sources with the fault in force."""
        which = self.concerns(sources)
        moved = sources.moved(which, self.dy, self.dz)
        true = moved.brightened(which, self.flux_factor).listed_at(which, self.listed_factor)
        return true.subtracted(which, self.model_error)
