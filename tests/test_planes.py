from collections import deque
from fractions import Fraction
from math import floor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slewguard.export.planes import PlaneRule, make_planes, quantise_snr, source_positions
from slewguard.subimages.contract import BACKGROUND, CENTRE, KNOWN_SOURCE, NO_DATA, SIDE, TRIGGER_PIXEL

RULE = PlaneRule()
HALF = Fraction(1, 2)
# Every third pixel of the field, the trigger's neighbourhood left out: single marks there never touch.
PLACES = [(r, c) for r in range(1, SIDE, 3) for c in range(1, SIDE, 3) if max(abs(r - 28), abs(c - 28)) > 1]


def float32_of(value: Fraction) -> Fraction:
    """Nearest float32, ties to even, in exact arithmetic."""
    if value == 0:
        return value
    exponent = 0
    while abs(value) >= 2 ** (exponent + 1):
        exponent += 1
    while abs(value) < Fraction(2) ** exponent:
        exponent -= 1
    unit = Fraction(2) ** (exponent - 23)
    return round(value / unit) * unit


def oracle(x: float, k: int) -> tuple[int, int]:
    """The stated formula with its one IEEE addition, and the same without rounding."""
    scaled = min(max(Fraction(x) * 2**k, Fraction(-127)), Fraction(127))
    return floor(float32_of(scaled + HALF)), floor(scaled + HALF)


@pytest.mark.parametrize("k", range(7))
def test_quantisation_around_every_step(k):
    steps = ((np.arange(-129, 129) + 0.5) / 2**k).astype(np.float32)
    values = [steps]
    for direction in (-np.inf, np.inf):
        near = steps
        for _ in range(3):
            near = np.nextafter(near, np.float32(direction))
            values.append(near)
    x = np.concatenate(values)
    found = quantise_snr(x, k)
    expected = [oracle(float(v), k) for v in x]
    assert found.tolist() == [with_addition for with_addition, _ in expected]
    # The rounding of the addition moves one single float32: the one below half a unit.
    moved = {float(v) for v, (a, b) in zip(x, expected, strict=True) if a != b}
    assert moved == {float(np.nextafter(np.float32(0.5), np.float32(0))) / 2**k}


@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1), st.integers(0, 6))
def test_quantisation_of_any_float32(values, k):
    x = np.array(values, dtype=np.float32)
    assert quantise_snr(x, k).tolist() == [oracle(float(v), k)[0] for v in x]


@pytest.mark.filterwarnings("error")
def test_quantisation_of_no_data_and_extremes():
    x = np.array([np.nan, 3.4e38, -3.4e38, 1e-45, -1e-45, -0.0, 31.75, 31.875], dtype=np.float32)
    assert quantise_snr(x, 2).tolist() == [0, 127, -127, 0, 0, 0, 127, 127]


def subimage(seed, marks, side=1):
    rng = np.random.default_rng(seed)
    snr = rng.normal(0, 12, size=(SIDE, SIDE)).astype(np.float32)
    mask = np.full((SIDE, SIDE), BACKGROUND, dtype=np.uint8)
    mask[rng.random(mask.shape) < 0.1] = NO_DATA
    half = side // 2
    for row, column in marks:
        mask[row - half : row + half + 1, column - half : column + half + 1] = KNOWN_SOURCE
    mask[0, :] = mask[:, 0] = NO_DATA
    mask[CENTRE, CENTRE] = TRIGGER_PIXEL
    snr[mask == NO_DATA] = np.nan
    return snr, mask


def planes_of(snr, mask, catalogue_id=-1, rule=RULE):
    return make_planes(snr[None], mask[None], np.array([catalogue_id], dtype=np.int32), rule)[0]


def turn(field, quarter, mirror):
    """One of the eight flips and rotations about [28, 28]: of the 55x55 field, row 0 and column 0 stay."""
    out = field.copy()
    inner = np.rot90(field[..., 1:, 1:], quarter, axes=(-2, -1))
    out[..., 1:, 1:] = inner[..., ::-1] if mirror else inner
    return out


@settings(deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.lists(st.sampled_from(PLACES), max_size=6, unique=True),
    st.integers(0, 3),
    st.booleans(),
    st.sampled_from([-1, 7]),
    st.sampled_from([1, 3, 5, 9]),
)
def test_flips_and_rotations_are_exact(seed, marks, quarter, mirror, catalogue_id, patch):
    snr, mask = subimage(seed, marks)
    rule = PlaneRule(patch=patch)
    turned = planes_of(turn(snr, quarter, mirror), turn(mask, quarter, mirror), catalogue_id, rule)
    assert np.array_equal(turned, turn(planes_of(snr, mask, catalogue_id, rule), quarter, mirror))


@settings(deadline=None)
@given(st.sampled_from([(r, c) for r, c in PLACES if min(r, c) >= 3 and max(r, c) <= 52 and abs(r - 28) > 3]))
def test_a_source_gives_the_same_plane_however_it_is_marked(place):
    planes = [planes_of(*subimage(0, [place], side))[2] for side in (1, 3, 5)]
    assert np.array_equal(planes[0], planes[1])
    assert np.array_equal(planes[0], planes[2])
    row, column = place
    expected = np.zeros((SIDE, SIDE), dtype=np.int8)
    expected[row - 2 : row + 3, column - 2 : column + 3] = RULE.level
    expected[0, :] = expected[:, 0] = 0
    assert np.array_equal(planes[0], expected)


def flood(mask):
    """Centres of the connected marks, half up, in exact arithmetic."""
    left = {(int(r), int(c)) for r, c in np.argwhere(mask == KNOWN_SOURCE)}
    centres = []
    while left:
        queue, source = deque([left.pop()]), []
        while queue:
            row, column = queue.popleft()
            source.append((row, column))
            near = {(row + i, column + j) for i in (-1, 0, 1) for j in (-1, 0, 1)} & left
            left -= near
            queue.extend(near)
        centres.append(tuple(floor(Fraction(sum(axis), len(source)) + HALF) for axis in zip(*source, strict=True)))
    return sorted(centres)


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 2**32 - 1), st.floats(0, 0.2))
def test_source_positions_equal_a_flood_fill(seed, density):
    rng = np.random.default_rng(seed)
    mask = np.where(rng.random((SIDE, SIDE)) < density, KNOWN_SOURCE, BACKGROUND).astype(np.uint8)
    found = sorted(map(tuple, source_positions(mask, -1, 5).tolist()))
    assert found == flood(mask)


def test_source_under_the_trigger_is_drawn_once():
    snr, mask = subimage(0, [])
    centre = (CENTRE, CENTRE)
    assert planes_of(snr, mask)[2][centre] == 0
    drawn = planes_of(snr, mask, catalogue_id=3)[2]
    assert np.count_nonzero(drawn) == 25
    assert (drawn[26:31, 26:31] == RULE.level).all()
    mask[28, 30] = KNOWN_SOURCE
    beside = planes_of(snr, mask, catalogue_id=3)[2]
    assert (beside[26:31, 28:33] == RULE.level).all()
    assert np.count_nonzero(beside) == 25
    mask[28, 30], mask[28, 31] = BACKGROUND, KNOWN_SOURCE
    both = planes_of(snr, mask, catalogue_id=3)[2]
    assert (both[26:31, 26:34] == RULE.level).all()
    assert np.count_nonzero(both) == 40


def test_edges_are_no_data_whatever_they_hold():
    snr = np.full((SIDE, SIDE), 3, dtype=np.float32)
    mask = np.full((SIDE, SIDE), BACKGROUND, dtype=np.uint8)
    mask[0, 5] = KNOWN_SOURCE
    mask[CENTRE, CENTRE] = TRIGGER_PIXEL
    planes = planes_of(snr, mask)
    edge = np.zeros((SIDE, SIDE), dtype=bool)
    edge[0, :] = edge[:, 0] = True
    assert (planes[0][edge] == 0).all()
    assert (planes[1][edge] == RULE.level).all()
    assert (planes[2][edge] == 0).all()
    assert (planes[0][~edge] == 12).all()
    assert (planes[1][~edge] == 0).all()


@pytest.mark.parametrize("fault", [{"snr_log2": 7}, {"snr_log2": -1}, {"level": 0}, {"level": 128}, {"patch": 4}])
def test_rule_refuses(fault):
    with pytest.raises(ValueError, match=next(iter(fault))):
        PlaneRule(**fault)
