"""Mask, shadows and sky against the geometry they must obey and the figures of the reference recipe."""

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy.ndimage import label
from scipy.signal import correlate2d

from slewguard.sim.instrument import Telescope, telescope
from slewguard.sim.mask import mask_pattern
from slewguard.sim.settings_instrument import Instrument
from slewguard.sim.spectra import cxb, photon_flux
from slewguard.subimages.errors import BadInput

GEOMETRY = Instrument()
THIN = Instrument(mask_thickness_mm=0.0)
SEEDS = (1, 2, 5)


def open_neighbours(pattern: np.ndarray) -> np.ndarray:
    p = np.pad(pattern, 1).astype(int)
    return (p[2:, 1:-1] + p[:-2, 1:-1] + p[1:-1, 2:] + p[1:-1, :-2])[pattern]


@pytest.mark.parametrize("seed", SEEDS)
def test_mask_supports_itself(seed: int) -> None:
    pattern = mask_pattern(seed, 46, 0.40)
    assert label(np.pad(~pattern, 1, constant_values=True))[1] == 1
    assert pattern.sum() == round(0.40 * 46 * 46)
    assert open_neighbours(pattern).max() <= 1
    centred = pattern - pattern.mean()
    lags = [(a * b).mean() / centred.var() for a, b in ((centred[1:], centred[:-1]), (centred[:, 1:], centred[:, :-1]))]
    # Reference recipe: about -0.25; all holes of two cells would give -0.24.
    assert lags == pytest.approx([-0.25, -0.25], abs=0.03)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**31), st.integers(8, 24), st.floats(0.06, 0.38), st.sampled_from([0, 2]))
def test_any_mask_supports_itself(seed: int, cells: int, share: float, cross: int) -> None:
    pattern = mask_pattern(seed, cells + cells % 2, share, cross)
    middle = pattern.shape[0] // 2
    bar = slice(middle - cross // 2, middle + cross // 2)
    assert label(np.pad(~pattern, 1, constant_values=True))[1] == 1
    assert open_neighbours(pattern).max(initial=0) <= 1
    assert not pattern[bar].any()
    assert not pattern[:, bar].any()
    assert pattern.sum() == round(share * (pattern.shape[0] - cross) ** 2)


def test_a_mask_that_cannot_exist_is_refused() -> None:
    # Holes of one and two cells leave room for at most 41.7 % of 46x46 cells.
    with pytest.raises(BadInput, match="no self-supporting mask"):
        mask_pattern(1, 12, 0.60)


def test_mask_depends_on_its_seed_alone() -> None:
    first = mask_pattern(3, 46, 0.40).copy()
    mask_pattern.cache_clear()
    assert np.array_equal(first, mask_pattern(3, 46, 0.40))
    assert not np.array_equal(first, mask_pattern(4, 46, 0.40))


def test_rebinned_mask_keeps_the_open_area() -> None:
    tel = telescope(GEOMETRY, 1)
    assert tel.transmission.shape == (120, 120)
    assert tel.transmission.mean() == pytest.approx(tel.pattern.mean(), rel=1e-12)
    smaller = telescope(Instrument(hole_to_cell=0.95), 1)
    assert smaller.transmission.mean() == pytest.approx(0.95**2 * tel.pattern.mean(), rel=1e-12)


@pytest.mark.parametrize(
    "geometry",
    [THIN, GEOMETRY, Instrument(hole_to_cell=0.92, mask_thickness_mm=2.0), Instrument(cross_cells=2)],
    ids=["thin", "thick", "bars", "cross"],
)
def test_shadow_is_the_mask_seen_from_the_pixel(geometry: Instrument) -> None:
    tel, rng = telescope(geometry, 1), np.random.default_rng(0)
    cell, inset = 540 / 46, 0.5 * (1 - geometry.hole_to_cell) * 540 / 46

    def through(at_y: np.ndarray, at_z: np.ndarray) -> np.ndarray:
        iz, iy = ((a // cell).astype(int) for a in (at_z, at_y))
        inside = np.outer((iz >= 0) & (iz < 46), (iy >= 0) & (iy < 46))
        hole = [(a % cell > inset) & (a % cell < cell - inset) for a in (at_z, at_y)]
        return tel.pattern[np.ix_(iz.clip(0, 45), iy.clip(0, 45))] & inside & np.outer(*hole)

    points = (np.arange(400) + 0.5) / 400 * 4.0 - 2.0
    for y, z in ((120.37, 81.9), (99.2, 171.6), (150.1, 40.4)):
        shadow = tel.shadow(y, z)
        # A ray passes where it is open at the lower and at the upper face of the plate.
        across = 0.5 * geometry.mask_thickness_mm * (np.array([y, z]) - 99) * 4.5 / 460
        for row, col in rng.integers(80, size=(20, 2)):
            at_y, at_z = ((col - 39.5 + y - 99) * 4.5 + 270 + points, (row - 39.5 + z - 99) * 4.5 + 270 + points)
            low, high = (through(at_y + s * across[0], at_z + s * across[1]) for s in (-1, 1))
            # 400 points per side put an edge within 0.25 %, of which a pixel has up to two on either axis. Where four
            # cells meet the ray is taken as hidden unless all are open: less than (2 mm / 4 mm)^2 times 1.
            assert shadow[row, col] == pytest.approx((low & high).mean(), abs=0.01)


def test_outline_is_the_shadow_of_an_open_mask() -> None:
    tel = telescope(THIN, 1)
    for y, z in ((99.0, 99.0), (130.3, 60.1), (187.9, 12.2)):
        assert np.allclose(tel.outline(y, z), Telescope(THIN, np.ones((46, 46), bool)).shadow(y, z))
        assert (tel.shadow(y, z) <= tel.outline(y, z) + 1e-12).all()
    opened = Telescope(THIN, np.ones((46, 46), bool))
    assert np.allclose(tel.diffuse_outline, opened.diffuse, rtol=1e-5)
    rng = np.random.default_rng(1)
    sky = rng.random((199, 199))
    assert np.allclose(tel.outline_visible(sky), opened.diffuse_visible(sky), rtol=1e-5)


def test_thickness_takes_from_oblique_beams_alone() -> None:
    thick, thin = telescope(GEOMETRY, 1), telescope(THIN, 1)
    assert np.allclose(thick.shadow(99, 99), thin.shadow(99, 99))
    for y, z in ((150.0, 99.0), (99.0, 150.0)):
        lost = 1 - thick.shadow(y, z).sum() / thin.shadow(y, z).sum()
        # Each hole of one or two cells loses a strip of 0.6 mm times 51 * 4.5 / 460: 4.25 % or half of it.
        assert 0.015 < lost < 0.0426
    assert 0.01 < 1 - thick.diffuse.sum() / thin.diffuse.sum() < 0.04


def test_diffuse_sky_is_the_sum_of_point_sources() -> None:
    tel = telescope(Instrument(mask_thickness_mm=1.5), 2)
    at = np.arange(0, 199, 3)
    r2 = ((at - 99) * 4.5) ** 2
    weight = 9 * 0.16 * (4.5 / 460) ** 2 / (1 + (r2[:, None] + r2[None]) / 460**2) ** 2
    total = sum(tel.shadow(float(y), float(z)) * weight[i, j] for i, z in enumerate(at) for j, y in enumerate(at))
    # Every third pixel of the sky: the sum over the plane is then good to some 0.1 %, the loss by thickness is 6 %.
    assert total.sum() == pytest.approx(tel.diffuse.sum(), rel=3e-3)


def test_a_whole_pixel_of_sky_moves_the_shadow_by_a_pixel() -> None:
    tel = telescope(THIN, 2)
    assert np.allclose(tel.shadow(100.2, 97.0)[:, :-1], tel.shadow(99.2, 97.0)[:, 1:])
    assert np.allclose(tel.shadow(99.2, 98.0)[:-1], tel.shadow(99.2, 97.0)[1:])


@pytest.mark.parametrize(("lo", "hi", "rate"), [(5, 20, 1980), (4, 120, 3090)])
def test_cxb_rate(lo: float, hi: float, rate: float) -> None:
    # Reference recipe, section 3, for a thin mask; 2 % covers the rebinning and the mask pattern.
    total = np.mean([telescope(THIN, s).diffuse.sum() for s in SEEDS]) * photon_flux(cxb, lo, hi)
    assert total == pytest.approx(rate, rel=0.02)


def test_diffuse_pattern_against_a_direct_sum() -> None:
    tel = telescope(THIN, 1)
    bins = (np.arange(120) + 0.5) * 4.5 - 270
    for row, col in ((0, 0), (40, 39), (79, 20)):
        y, z = (col - 39.5) * 4.5, (row - 39.5) * 4.5
        r2 = (bins[None, :] - y) ** 2 + (bins[:, None] - z) ** 2 + 460.0**2
        seen = (tel.transmission * 0.16 * 460.0**2 * 4.5**2 / r2**2).sum()
        assert tel.diffuse[row, col] == pytest.approx(seen, rel=1e-9)


def test_hidden_sky_against_one_product_per_direction() -> None:
    tel, rng = telescope(THIN, 1), np.random.default_rng(3)
    sky = rng.random((3, 199, 199))
    got = tel.diffuse_visible(sky)
    t = (np.arange(199) - 99) * 4.5 / 460
    weighted = sky * 0.16 * (4.5 / 460) ** 2 / (1 + t[:, None] ** 2 + t**2) ** 2
    for k in range(3):
        want = correlate2d(np.pad(tel.transmission, 79), weighted[k], mode="valid")
        # Single-precision transforms of 40,000 numbers: some 1e-7 of the sum, 1e-5 asked for.
        assert np.abs(got[k] - want).max() < 1e-5 * want.max()
        assert np.array_equal(got[k], tel.diffuse_visible(sky[k]))


def write_planes(folder: Path, plane: np.ndarray) -> list[Path]:
    fits.PrimaryHDU(plane.astype(np.float64)).writeto(folder / "plane.fits")
    np.save(folder / "plane.npy", plane)
    np.savetxt(folder / "plane.csv", plane, delimiter=",", header="a map")
    return [folder / name for name in ("plane.fits", "plane.npy", "plane.csv")]


def test_the_flight_mask_from_a_file(tmp_path: Path) -> None:
    pattern = mask_pattern(11, 46, 0.40)
    digits = tmp_path / "digits.txt"
    digits.write_text("".join("".join(str(int(c)) for c in row) + "\n" for row in pattern))
    for path in [*write_planes(tmp_path, pattern.astype(int)), digits]:
        tel = telescope(Instrument(mask_path=str(path)), 1)
        assert np.array_equal(tel.pattern, pattern)


def test_an_efficiency_map_from_a_file(tmp_path: Path) -> None:
    values = np.random.default_rng(0).uniform(0, 2, (80, 80))
    for path in write_planes(tmp_path, values):
        assert np.allclose(telescope(Instrument(efficiency_map_path=str(path)), 1).efficiency, values)
    assert (telescope(Instrument(), 1).efficiency == 1.0).all()


class Hostile:
    def __reduce__(self) -> tuple[object, ...]:
        return (Path("ran").touch, ())


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"", "empty"),
        (b"0 1\n1 0\n", "2x2"),
        (b"0 1\n1\n", "line 2 has 1 values"),
        (b"0 1\nx 0\n", "line 2"),
        (b"# nothing\n", "no numbers"),
        (b"\xff\xfe", "neither FITS"),
        (b"SIMPLE  =                    T", "cannot be read"),
        (b"\x93NUMPY\x01\x00", "cannot be read"),
        (("2 " * 46 + "\n").encode() * 46, "neither 0"),
        (("0 " * 46 + "\n").encode() * 46, "all cells are the same"),
        (("nan " * 46 + "\n").encode() * 46, "neither 0"),
    ],
)
def test_bad_mask_files_are_named(tmp_path: Path, content: bytes, fault: str) -> None:
    path = tmp_path / "mask.txt"
    path.write_bytes(content)
    with pytest.raises(BadInput, match=fault) as raised:
        telescope(Instrument(mask_path=str(path)), 1)
    assert raised.value.path == path


def test_bad_efficiency_maps_are_named(tmp_path: Path) -> None:
    path = tmp_path / "map.npy"
    geometry = Instrument(efficiency_map_path=str(path))
    for plane, fault in (
        (np.full((80, 80), 2.1), "outside 0 to 2"),
        (np.full((80, 80), np.nan), "outside 0 to 2"),
        (np.zeros((80, 80)), "all efficiencies are 0"),
        (np.ones((80, 79)), "80x79"),
        (np.full((80, 80), "a"), "kind"),
        (np.full((80, 80), Hostile()), "cannot be read"),
    ):
        np.save(path, plane, allow_pickle=True)
        with pytest.raises(BadInput, match=fault) as raised:
            telescope(geometry, 1)
        assert raised.value.path == path
    assert not Path("ran").exists()
    path.unlink()
    with pytest.raises(BadInput, match="No such file"):
        telescope(geometry, 1)


@pytest.mark.parametrize(
    "keys", [{"cross_cells": 1}, {"cross_cells": 3}, {"hole_to_cell": 0.8}, {"mask_cells": 200, "mask_thickness_mm": 4}]
)
def test_impossible_geometry_is_refused(keys: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        Instrument(**keys)
