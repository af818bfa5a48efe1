"""The sub-image contract: every invariant, every reason, and what a cleared answer means."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from subimage_examples import broken, plain_arrays, plain_set, trigger_sets

from slewguard.subimages import REASONS, BadInput, RejectedSubImage, SubImage, TriggerSet, Verdict, rejections

FAULTS = ("empty", "off_centre", "no_trigger_pixel", "bad_value")


def test_cleared_memory_abstains():
    assert Verdict(0) is Verdict.ABSTAIN
    assert Verdict.VETO != 0


@pytest.mark.parametrize("reason", FAULTS)
def test_each_broken_invariant_has_its_reason(reason):
    snr, mask = broken(reason)
    with pytest.raises(RejectedSubImage) as caught:
        SubImage(snr, mask)
    assert caught.value.reason == reason
    assert TriggerSet(snr[None], mask[None]).rejected.tolist() == [REASONS.index(reason)]


def _with(row, column, *, snr=None, mask=None):
    (image,), (codes,) = plain_arrays(1)
    if snr is not None:
        image[row, column] = snr
    if mask is not None:
        codes[row, column] = mask
    return image, codes


@pytest.mark.parametrize(
    "planes",
    [
        _with(20, 20, snr=-np.inf),
        _with(20, 20, snr=np.nan),  # no data, yet the mask says background
        _with(20, 20, mask=0),  # data, yet the mask says none
        _with(20, 20, mask=4),
        _with(20, 20, mask=255),
    ],
)
def test_bad_values(planes):
    with pytest.raises(RejectedSubImage) as caught:
        SubImage(*planes)
    assert caught.value.reason == "bad_value"


def test_trigger_elsewhere_is_off_centre():
    snr, mask = _with(28, 28, mask=1)
    mask[27, 28] = 3
    with pytest.raises(RejectedSubImage) as caught:
        SubImage(snr, mask)
    assert caught.value.reason == "off_centre"


@pytest.mark.parametrize("dtype", ["i2", "u2", "i8"])
def test_codes_that_would_wrap_are_rejected(dtype):
    snr, mask = plain_arrays(1)
    wide = mask[0].astype(dtype)
    wide[20, 20] = 257
    with pytest.raises(RejectedSubImage):
        SubImage(snr[0], wide)


def test_float64_beyond_float32_is_rejected():
    snr, mask = plain_arrays(1)
    wide = snr[0].astype("f8")
    wide[20, 20] = 1e300
    with pytest.raises(RejectedSubImage) as caught:
        SubImage(wide, mask[0])
    assert caught.value.reason == "bad_value"


@pytest.mark.parametrize("shape", [(55, 56), (56, 57), (1, 56, 56), (0, 56)])
def test_other_shapes(shape):
    with pytest.raises(BadInput, match="shape"):
        SubImage(np.zeros(shape, "f4"), np.ones(shape, "u1"))


def test_a_sub_image_keeps_its_own_copy():
    snr, mask = plain_arrays(1)
    subimage = SubImage(snr[0], mask[0])
    snr[0, 20, 20] = 99
    assert subimage.snr[20, 20] != 99
    with pytest.raises(ValueError, match="read-only"):
        subimage.mask[0, 0] = 3


def _valid_by_the_words(snr, mask):
    """The invariants pixel by pixel, as the contract words them."""
    threes = [(r, c) for r in range(56) for c in range(56) if mask[r, c] == 3]
    pixels = zip(snr.ravel().tolist(), mask.ravel().tolist(), strict=True)
    fits = all(code in (0, 1, 2, 3) and (s != s) == (code == 0) and abs(s) != np.inf for s, code in pixels)
    return fits and threes == [(28, 28)]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(*[st.integers(26, 30)] * 2, st.sampled_from([None, 1.0, np.nan, np.inf]),
                          st.sampled_from([None, 0, 1, 2, 3, 4])), max_size=4))  # fmt: skip
def test_rejections_agree_with_the_words_of_the_contract(changes):
    snr, mask = plain_arrays(1)
    for row, column, value, code in changes:
        if value is not None:
            snr[0, row, column] = value
        if code is not None:
            mask[0, row, column] = code
    assert (rejections(snr, mask)[0] == 0) == _valid_by_the_words(snr[0], mask[0])


@settings(max_examples=25, deadline=None)
@given(trigger_sets())
def test_sets_give_back_their_sub_images(triggers):
    again = TriggerSet.of(list(triggers), simulated=triggers.simulated)
    np.testing.assert_array_equal(again.snr, triggers.snr)
    np.testing.assert_array_equal(again.catalogue_id, triggers.catalogue_id)
    for name in triggers.columns if len(triggers) else ():
        np.testing.assert_array_equal(again.columns[name], triggers.columns[name])


def test_select_keeps_columns_beside_their_images():
    triggers = plain_set(6)
    part = triggers.select(np.array([4, 1]))
    np.testing.assert_array_equal(part.snr, triggers.snr[[4, 1]])
    assert part.columns["cause"].tolist() == triggers.columns["cause"][[4, 1]].tolist()
    assert part.simulated


def test_sets_refuse_unknown_or_short_columns():
    snr, mask = plain_arrays(2)
    with pytest.raises(BadInput, match="colour"):
        TriggerSet(snr, mask, {"colour": np.zeros(2)})
    with pytest.raises(BadInput, match="label"):
        TriggerSet(snr, mask, {"label": np.zeros(3, "i1")})
    with pytest.raises(BadInput, match="label"):
        _ = TriggerSet(snr, mask).label


def test_import_is_cheap():
    code = "import sys, slewguard.subimages; print(sorted({m.split('.')[0] for m in sys.modules}))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "'numpy'" in loaded
    for heavy in ("h5py", "astropy", "matplotlib", "scipy", "torch"):
        assert f"'{heavy}'" not in loaded


def test_errors_name_the_file_once():
    error = RejectedSubImage("empty", "no data").within("a.fits")
    assert str(error) == "a.fits: no data"
    assert str(error.within("b.fits")) == "a.fits: no data"
    assert error.reason == "empty"
