"""Planes made by the C code, from fixed point and from float32: equal to the specification everywhere."""

from __future__ import annotations

import ctypes

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slewguard.embedded.api import SNR_FRACTION
from slewguard.embedded.host import CBackend
from slewguard.export.execute import run
from slewguard.export.flight import random_model
from slewguard.export.golden import golden_inputs
from slewguard.export.planes import PlaneRule, make_planes, quantise_snr
from slewguard.subimages.contract import CENTRE, REASONS, SIDE, rejections

MODEL = random_model(0)
MISSING = np.int32(-(2**31))


@pytest.fixture(scope="module")
def backend():
    return CBackend(MODEL, ("-O1", "-g"))


def alert(seed=0):
    rng = np.random.default_rng(seed)
    # Multiples of 2^-16, which both forms hold exactly.
    snr = (np.rint(rng.normal(0, 4, (SIDE, SIDE)) * 2**SNR_FRACTION) / 2**SNR_FRACTION).astype(np.float32)
    mask = np.ones((SIDE, SIDE), dtype=np.uint8)
    mask[CENTRE, CENTRE] = 3
    return snr, mask


def fixed(snr):
    """SNR as the fixed point that the C code takes."""
    scaled = np.where(np.isnan(snr), 0, np.rint(np.nan_to_num(snr).astype(np.float64) * 2**SNR_FRACTION))
    return np.where(np.isnan(snr), MISSING, scaled.clip(-(2**31) + 1, 2**31 - 1)).astype(np.int32)


def both(backend, snr, mask, catalogue_id):
    """Planes and reasons by float32 and by fixed point, of SNR that both can hold."""
    return [backend.make_planes(values, mask, catalogue_id) for values in (snr, fixed(snr))]


def assert_as_specified(backend, snr, mask, catalogue_id=-1):
    reason = rejections(snr[None], mask[None])[0]
    expected = make_planes(snr[None], mask[None], np.array([catalogue_id]), MODEL.planes)[0]
    for planes, found in both(backend, snr, mask, catalogue_id):
        assert found == reason
        np.testing.assert_array_equal(planes, expected)


@pytest.mark.parametrize("snr_log2", [0, 2, 6])
def test_quantisation_at_every_float_around_every_step(snr_log2):
    model = random_model(0)
    object.__setattr__(model, "planes", PlaneRule(snr_log2=snr_log2))
    backend = CBackend(model, ("-O2",))
    steps = ((np.arange(-128, 129) + 0.5) / 2**snr_log2).astype(np.float32)
    around, below, above = [steps], steps, steps
    for _ in range(20):
        below, above = np.nextafter(below, np.float32(-np.inf)), np.nextafter(above, np.float32(np.inf))
        around += [below, above]
    # Where the sum with 1/2 is itself rounded, and beyond every range.
    special = np.array([0.0, -0.0, 1e-45, -1e-45, 3.4e38, -3.4e38, 0.49999997, -0.49999997], dtype=np.float32)
    values = np.concatenate([*around, special, special / np.float32(2**snr_log2)])
    width = (SIDE - 1) * (SIDE - 1)
    for start in range(0, len(values), width):
        part = values[start : start + width]
        snr, mask = np.zeros((SIDE, SIDE), dtype=np.float32), alert()[1]
        snr[1:, 1:].reshape(-1)[: len(part)] = 0
        inner = np.zeros(width, dtype=np.float32)
        inner[: len(part)] = part
        snr[1:, 1:] = inner.reshape(SIDE - 1, SIDE - 1)
        planes, reason = backend.make_planes(snr, mask, -1)
        assert reason == 0
        np.testing.assert_array_equal(planes[0, 1:, 1:].ravel()[: len(part)], quantise_snr(part, snr_log2))


def test_fixed_point_is_exact_at_every_step(backend):
    """One unit of fixed point below, on and above every step: equal to the specification of the same real number."""
    unit = 2**SNR_FRACTION
    steps = (2 * np.arange(-130, 131) + 1) * unit // 8
    values = np.concatenate([steps - 1, steps, steps + 1, [2**31 - 1, -(2**31) + 1]]).astype(np.int64)
    snr = np.zeros((SIDE, SIDE), dtype=np.int32)
    inner = np.zeros((SIDE - 1) ** 2, dtype=np.int32)
    inner[: len(values)] = values
    snr[1:, 1:] = inner.reshape(SIDE - 1, SIDE - 1)
    planes, reason = backend.make_planes(snr, alert()[1], -1)
    assert reason == 0
    expected = np.floor(np.clip(values / unit * 4, -127, 127) + 0.5)
    np.testing.assert_array_equal(planes[0, 1:, 1:].ravel()[: len(values)], expected)


def test_golden_inputs_give_the_planes_of_the_specification(backend):
    triggers = golden_inputs()
    expected = make_planes(triggers.snr, triggers.mask, triggers.catalogue_id, MODEL.planes)
    for i in range(len(triggers)):
        planes, reason = backend.make_planes(triggers.snr[i], triggers.mask[i], int(triggers.catalogue_id[i]))
        assert reason == 0
        np.testing.assert_array_equal(planes, expected[i])


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from([0.0, 0.002, 0.02, 0.2, 0.45, 0.9, 1.0]),
    st.sampled_from([0.0, 0.1, 0.5]),
    st.sampled_from([-1, 0, 77]),
)
def test_any_marks_are_reduced_to_the_same_positions(backend, seed, marked, missing, catalogue_id):
    """Single marks, patches, mazes of marks, marks that touch the trigger and the border; against scipy's labelling."""
    rng = np.random.default_rng(seed)
    snr, mask = alert(seed)
    mask[rng.random(mask.shape) < marked] = 2
    gone = rng.random(mask.shape) < missing
    mask[gone] = 0
    mask[CENTRE, CENTRE] = 3
    snr[mask == 0] = np.nan
    assert_as_specified(backend, snr, mask, catalogue_id)


@pytest.mark.parametrize(
    "fault",
    ["empty", "no_trigger_pixel", "off_centre", "two", "infinite", "code", "disagree", "nan"],
)
def test_what_breaks_the_contract_gets_its_reason(backend, fault):
    snr, mask = alert()
    if fault == "empty":
        snr[:], mask[:] = np.nan, 0
    elif fault == "no_trigger_pixel":
        mask[CENTRE, CENTRE] = 1
    elif fault == "off_centre":
        mask[CENTRE, CENTRE], mask[3, 3] = 1, 3
    elif fault == "two":
        mask[3, 3] = 3
    elif fault == "infinite":
        snr[5, 5] = -np.inf
    elif fault == "code":
        mask[9, 9] = 4
    elif fault == "disagree":
        mask[9, 9] = 0
    elif fault == "nan":
        snr[9, 9] = np.nan
    expected = rejections(snr[None], mask[None])[0]
    assert expected
    assert backend.make_planes(snr, mask, -1)[1] == expected
    if fault != "infinite":
        assert backend.make_planes(fixed(snr), mask, -1)[1] == expected


def answer(backend, snr, mask):
    planes = np.zeros((3, SIDE, SIDE), dtype=np.int8)
    state, found = (ctypes.c_uint8 * 2)(0, 0x80), (ctypes.c_uint8 * 3)()
    weights = ctypes.byref(ctypes.c_char.in_dll(backend._library, "slewguard_weights"))
    arrays = [ctypes.c_void_p(array.ctypes.data) for array in (snr, mask, planes, backend._scratch)]
    judge = backend._library.slewguard_judge_alert
    judge.restype = ctypes.c_uint8
    verdict = judge(weights, *arrays[:2], ctypes.c_int32(-1), *arrays[2:], state, found)
    assert verdict == found[0]
    return list(found), list(state), planes


def test_an_alert_is_judged_in_one_call(backend):
    snr, mask = alert()
    snr[CENTRE, CENTRE] = 12
    found, state, planes = answer(backend, fixed(snr), mask)
    score = run(MODEL, planes[None])
    verdict, reason = MODEL.verdict.verdicts(planes[None], score)
    assert found == [verdict[0], reason[0], score[0] & 255]
    assert state == [1, score[0] & 255]


def test_an_alert_that_breaks_the_contract_abstains_and_leaves_the_sequence(backend):
    snr, mask = alert()
    mask[CENTRE, CENTRE] = 1
    found, state, _ = answer(backend, fixed(snr), mask)
    assert found == [0, REASONS.index("no_trigger_pixel"), 0]
    assert state == [0, 0x80]


def test_shadow_mode_writes_a_record_and_nothing_else(backend):
    snr, mask = alert()
    snr[CENTRE, CENTRE] = 12
    _, _, planes = answer(backend, fixed(snr), mask)
    weights = ctypes.byref(ctypes.c_char.in_dll(backend._library, "slewguard_weights"))
    state, record = (ctypes.c_uint8 * 2)(0, 0x80), (ctypes.c_uint8 * 10)(*10 * [0xA5])
    scratch = ctypes.c_void_p(backend._scratch.ctypes.data)
    shadow = backend._library.slewguard_shadow
    shadow(weights, ctypes.c_void_p(planes.ctypes.data), scratch, state, ctypes.c_uint8(9), record)
    score = run(MODEL, planes[None])
    verdict, reason = MODEL.verdict.verdicts(planes[None], score)
    sha = bytes.fromhex(MODEL.sha256)
    expected = [16 + verdict[0], reason[0], score[0] & 255, score[0] & 255, 1, 9, sha[0], sha[1]]
    assert list(record) == [*expected, 0xA5, 0xA5]
