"""Configuration of the telescope: geometry of mask and detector, what the instrument team owns, deconvolution."""

from __future__ import annotations

from pydantic import model_validator

from slewguard.sim.keys import Section, key


class Instrument(Section):
    """Telescope geometry, efficiency of the pixels and the formula of the sky map."""

    pixels: int = key(80, "detector pixels per side", "published", "arXiv:1406.7759", ge=40, multiple_of=40)
    pitch_mm: float = key(
        4.5, "pixel pitch, mm", "computed", "R90 x SNR = 77 arcmin in 25 GCN notices of 2025-2026", gt=0
    )
    active_mm: float = key(
        4.0, "active side of a pixel, mm", "computed", "1024 cm2 / 6400 pixels, arXiv:1406.7759", gt=0
    )
    mask_mm: float = key(540.0, "side of the mask, mm", "computed", "R90 x SNR = 77 arcmin", gt=0)
    mask_cells: int = key(46, "mask cells per side", "computed", "R90 x SNR = 77 arcmin", ge=8)
    distance_mm: float = key(
        460.0, "middle of the mask to detector, mm", "computed", "R90 x SNR = 77 arcmin in 25 GCN notices", gt=0
    )
    open_fraction: float = key(
        0.40,
        "open share of the mask cells outside the cross",
        "published",
        "CEA/DRF dossier, 2024-07-05",
        gt=0.05,
        le=0.40,
    )
    mask_seeds: tuple[int, ...] = key(
        (1, 2, 3, 4, 5, 6),
        "seeds of the mask patterns an event draws from; the flight pattern is unpublished",
        "assumed",
        "none",
        min_length=1,
    )
    mask_path: str | None = key(
        None,
        "the flight pattern instead of the seeds: FITS image or text, one row of 0 (opaque) and 1 (open) per line, rows"
        " along z, columns along y",
        "assumed",
        "owned by the instrument team",
    )
    cross_cells: int = key(
        0,
        "width of an opaque cross through the middle of the mask, cells; it must leave as many cells on either side",
        "assumed",
        "photographs show a cross, arXiv:2604.24261; width unpublished",
        ge=0,
        le=2,
    )
    hole_to_cell: float = key(
        1.0, "side of a hole over the side of its cell", "assumed", "between 0.9 and 1; unpublished", ge=0.9, le=1.0
    )
    mask_thickness_mm: float = key(
        0.6,
        "thickness of the tantalum, mm: the walls of the holes hide part of an oblique beam",
        "assumed",
        "recalled",
        ge=0,
        le=5,
    )
    efficiency_map_path: str | None = key(
        None,
        "relative efficiency of every pixel, 0 to 2, instead of 1: FITS image, .npy or text; rows along z",
        "assumed",
        "owned by the instrument team",
    )
    variance_cross_term: bool = key(
        True,
        "whether the variance of the sky map keeps its cross term; without it the SNR of a blank map scatters by 0.91"
        " instead of 0.99",
        "assumed",
        "flight normalisation unpublished",
    )

    @model_validator(mode="after")
    def _bins_fit(self) -> Instrument:
        bins = self.mask_mm / self.pitch_mm
        if abs(bins - round(bins)) > 1e-6 or round(bins) < self.pixels or (round(bins) - self.pixels) % 2:
            raise ValueError("mask_mm must be a whole number of pitches that exceeds pixels by an even number")
        if self.active_mm > self.pitch_mm:
            raise ValueError("active_mm must not exceed pitch_mm")
        steep = 0.5 * self.sky_side * self.pitch_mm / self.distance_mm
        if self.mask_thickness_mm * steep >= self.hole_to_cell * self.mask_cell_mm:
            raise ValueError("mask_thickness_mm must leave the holes open at the edge of the field")
        if self.cross_cells and (self.mask_cells - self.cross_cells) % 2:
            raise ValueError("mask_cells less cross_cells must be even, so that the cross is in the middle")
        return self

    @property
    def mask_cell_mm(self) -> float:
        """Side of one mask cell, mm."""
        return self.mask_mm / self.mask_cells

    @property
    def mask_bins(self) -> int:
        """Bins of the mask rebinned to the detector pitch."""
        return round(self.mask_mm / self.pitch_mm)

    @property
    def sky_side(self) -> int:
        """Side of the sky map in pixels."""
        return self.mask_bins + self.pixels - 1
