import itertools
import json
from dataclasses import replace
from fractions import Fraction
from math import floor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slewguard.embedded.halved import halve
from slewguard.export import rounding
from slewguard.export.flight import random_model
from slewguard.export.layers import Layer
from slewguard.export.onnx_file import read_scales as read_onnx_scales
from slewguard.export.onnx_file import write_onnx
from slewguard.export.package import open_model
from slewguard.export.powers import Scales, weight_scales
from slewguard.export.proof import ARITHMETICS, Lattice, first_differences, prove, prove_layer, step_positions
from slewguard.export.tflite_file import read_scales as read_tflite_scales
from slewguard.export.tflite_file import write_tflite

HALF = Fraction(1, 2)


def half_up(x):
    return floor(x + HALF)


def half_away(x):
    return half_up(x) if x >= 0 else -half_up(-x)


def clamp(x, lo, hi):
    return min(max(x, lo), hi)


def scales_of(layer, in_log2=0):
    """What the writers would put into the ONNX file and, for doubled weights, into the TensorFlow Lite file."""
    x, y = np.float32(2.0**-in_log2), np.float32(2.0**-layer.out_log2)
    weights = weight_scales(layer, in_log2)
    return Scales(x, weights, y), Scales(x, weights / 2, y)


def outputs(layer, channel, acc):
    """The specification and each arithmetic of one channel at every accumulator given."""
    s, lo, hi = np.int64(layer.shift[channel]), layer.lo, layer.hi
    q, e = rounding.quantise_multiplier(np.float64(2.0) ** -(s + 1))
    return {
        "specification": rounding.specification(acc, s, lo, hi),
        "c": rounding.c(acc, s, lo, hi),
        "onnx_rne": rounding.rne(acc, np.float32(2.0**-s), lo, hi),
        "tflite_rne": rounding.rne(2 * acc, np.float32(2.0 ** -(s + 1)), lo, hi),
        "tflite_double": rounding.double(2 * acc, q, e, lo, hi),
        "tflite_double_up": rounding.double_up(2 * acc, q, e, lo, hi),
    }


def pointwise(weights, bias, shift, lo=0, hi=255):
    """A 1x1 convolution, whether or not a model would take it."""
    array = np.array(weights, dtype=np.int8).reshape(len(bias), -1, 1, 1)
    numbers = np.array(bias, dtype=np.int32), np.array(shift, dtype=np.uint8)
    return Layer("a", "conv2d", array, *numbers, 1, (0, 0, 0, 0), lo, hi, 3)


@pytest.mark.parametrize("model", [random_model(0), open_model("default")], ids=lambda model: model.name)
def test_enumeration_of_every_accumulator_confirms_the_proof(model):
    proof = prove(model)
    assert proof.equal
    rows = iter(proof.rows)
    total, lo, hi = 0, -128, 127
    for layer in model.layers:
        least, greatest = layer.accumulator_bounds(lo, hi)
        for channel in range(len(layer.weights)):
            row = next(rows)
            assert (row.layer, row.channel) == (layer.name, channel)
            acc = np.arange(least[channel], greatest[channel] + 1, row.step)
            assert (row.least, row.greatest, row.accumulators) == (acc[0], acc[-1], len(acc))
            expected, *others = outputs(layer, channel, acc).values()
            rises = np.diff(expected)
            assert (rises >= 0).all()
            assert row.steps == np.count_nonzero(rises) <= 255
            for found in others:
                assert np.array_equal(found, expected)
            total += len(acc)
        lo, hi = layer.lo, layer.hi
    assert next(rows, None) is None
    assert proof.accumulators == total > 5_000_000


@settings(deadline=None, max_examples=100)
@given(
    st.lists(st.integers(-9, 9), min_size=1, max_size=3),
    st.integers(-40, 40),
    st.integers(1, 9),
    st.booleans(),
    st.integers(-3, 0),
    st.integers(1, 3),
)
def test_every_accumulator_that_inputs_give_is_among_those_proved(weights, bias, shift, signed, lo, hi):
    layer = pointwise(weights, [bias], [shift], *((-128, 127) if signed else (0, 255)))
    (row,) = prove_layer(layer, lo, hi, *scales_of(layer))
    reached = {
        bias + sum(w * x for w, x in zip(weights, inputs, strict=True))
        for inputs in itertools.product(range(lo, hi + 1), repeat=len(weights))
    }
    assert reached <= set(range(row.least, row.greatest + 1, row.step))
    assert {row.least, row.greatest} <= reached


@settings(deadline=None, max_examples=200)
@given(
    st.lists(st.lists(st.integers(-62, 62), min_size=2, max_size=2), min_size=2, max_size=2),
    st.lists(st.integers(-5000, 5000), min_size=2, max_size=2),
    st.lists(st.integers(1, 9), min_size=2, max_size=2),
    st.booleans(),
)
def test_first_differences_are_those_of_brute_force(weights, bias, shift, signed):
    layer = pointwise(weights, bias, shift, *((-128, 127) if signed else (0, 255)))
    for row in prove_layer(layer, 0, 255, *scales_of(layer)):
        acc = np.arange(row.least, row.greatest + 1, row.step)
        found = outputs(layer, row.channel, acc)
        expected = found.pop("specification")
        assert row.monotone
        assert row.steps == np.count_nonzero(np.diff(expected))
        for name, values in found.items():
            wrong = acc[values != expected]
            assert row.differs[name] == (wrong[0] if len(wrong) else None), name
        assert row.equal is all(np.array_equal(values, expected) for values in found.values())


def changed(array, index, value):
    array = array.copy()
    array[index] = value
    return array


@pytest.mark.parametrize(
    ("change", "found_by"),
    [
        (lambda layer: {"bias": changed(layer.bias, 5, layer.bias[5] + 1)}, {"c", "onnx_rne", "tflite_rne"}),
        (lambda layer: {"weights": changed(layer.weights, (5, 2, 0, 0), 9)}, {"c", "onnx_rne", "tflite_rne"}),
        (lambda layer: {"shift": changed(layer.shift, 5, 1)}, {"c", "onnx_rne", "tflite_rne"}),
    ],
    ids=["even bias", "odd weight", "shift 1"],
)
def test_planted_errors_are_found_in_their_channel(change, found_by):
    sound = random_model(0).layers[2]
    layer = replace(sound, **change(sound))
    rows = prove_layer(layer, 0, 255, *scales_of(layer))
    assert [row.channel for row in rows if not row.equal] == [5]
    assert {name for name in ARITHMETICS if rows[5].differs[name] is not None} >= found_by
    assert all(row.equal for row in prove_layer(sound, 0, 255, *scales_of(sound)))


def test_scales_that_do_not_fit_the_shift_are_found():
    layer = random_model(0).layers[2]
    onnx, tflite = scales_of(layer)
    nudged = Scales(tflite.x, changed(tflite.weights, 3, tflite.weights[3] * np.float32(1.01)), tflite.y)
    other = Scales(onnx.x, changed(onnx.weights, 4, onnx.weights[4] / 2), onnx.y)
    rows = prove_layer(layer, 0, 255, other, nudged)
    differing = {(row.channel, name) for row in rows for name in ARITHMETICS if row.differs[name] is not None}
    assert differing == {(3, "tflite_rne"), (3, "tflite_double"), (3, "tflite_double_up"), (4, "onnx_rne")}


def steps_of(arithmetic, lattice):
    positions, monotone = step_positions(arithmetic, lattice, 0, 255)
    assert monotone.all()
    return positions


def test_accumulators_that_are_not_doubled_are_found():
    lattice = Lattice(*(np.array([value], dtype=np.int64) for value in (-4095, 2, 4096)))
    shift = np.array([[3]])
    expected = steps_of(lambda acc: rounding.specification(acc, shift, 0, 255), lattice)
    q, e = rounding.quantise_multiplier(np.array([[1 / 8]]))
    found = steps_of(lambda acc: rounding.double(acc, q, e, 0, 255), lattice)
    # The example of docs/arithmetic.md.
    assert first_differences(expected, found, lattice) == [3]


@pytest.mark.parametrize("at", [8, 200, 900])
def test_an_arithmetic_that_falls_is_not_taken_for_a_staircase(at):
    lattice = Lattice(*(np.array([value], dtype=np.int64) for value in (0, 1, 1020)))
    for fall in (lambda acc: np.where(acc >= at, 0, acc >> 2), lambda acc: np.where(acc >= at, 1, 255)):
        assert not step_positions(fall, lattice, 0, 255)[1].any()


def test_lattice_of_one_and_of_none_of_the_values():
    lattice = Lattice(*(np.array(value, dtype=np.int64) for value in ([7, 2000], [1, 2], [1, 3])))
    positions, monotone = step_positions(lambda acc: np.clip(acc >> 3, 0, 255), lattice, 0, 255)
    assert monotone.all()
    assert (positions[0] == 1).all()
    assert (positions[1, :250] == 0).all()
    assert positions[1, 250:].tolist() == [3] * 5


@pytest.mark.parametrize(
    ("weights", "bias", "int32", "float32", "lane_width"),
    [
        ([62] * 4, 1, True, True, 255 * 31 * 4),
        ([62] * 4, 2**24 - 62 * 255 * 4 - 1, True, True, 255 * 31 * 4),
        ([62] * 4, 2**24 - 62 * 255 * 4 + 1, True, False, 255 * 31 * 4),
        ([-62] * 9, 2**30 - 1 - 383 * 62 * 9, True, False, 255 * 31 * 9),
        ([-62] * 9, 2**30 - 383 * 62 * 9, False, False, 255 * 31 * 9),
        ([0, 0], 5, True, True, 0),
    ],
)
def test_bounds(weights, bias, int32, float32, lane_width):
    layer = pointwise(weights, [bias], [7])
    (row,) = prove_layer(layer, 0, 255, *scales_of(layer))
    assert (row.int32, row.float32, row.lane_width) == (int32, float32, lane_width)
    assert row.lane is (lane_width <= 65535)
    assert not row.equal or int32


@settings(deadline=None, max_examples=300)
@given(
    st.integers(-(2**31), 2**31 - 1), st.floats(2.0**-31, 1, exclude_max=True) | st.integers(1, 31).map(lambda s: 2**-s)
)
def test_integer_roundings_equal_big_integers(acc, real):
    exponent = 0
    while Fraction(real) * 2**-exponent < HALF:
        exponent -= 1
    multiplier = half_up(Fraction(real) * 2**-exponent * 2**31)
    if multiplier == 2**31:
        multiplier, exponent = 2**30, exponent + 1
    q, e = rounding.quantise_multiplier(np.array([real]))
    assert (q.tolist(), e.tolist()) == ([multiplier], [exponent])
    if exponent <= 0:
        # The saturated product lies in -2^31..2^31 and is rounded half up; then half away from zero.
        first = half_up(Fraction(acc * multiplier, 2**31))
        expected = half_away(Fraction(first, 2**-exponent))
        assert rounding.double(np.array([acc]), q, e, -(2**31), 2**31).tolist() == [expected]
        expected = half_up(Fraction(first, 2**-exponent))
        assert rounding.double_up(np.array([acc]), q, e, -(2**31), 2**31).tolist() == [expected]
        expected = half_up(Fraction(acc * multiplier, 2 ** (31 - exponent)))
        assert rounding.single(np.array([acc]), q, e, -(2**31), 2**31).tolist() == [expected]


@settings(deadline=None, max_examples=300)
@given(st.integers(-(2**20), 2**20), st.integers(2, 20), st.sampled_from([(0, 255), (-128, 127)]))
def test_single_roundings_equal_fractions(number, shift, clamps):
    s, quotient = np.array([shift]), Fraction(number, 2**shift)
    found = rounding.specification(np.array([number]), s, *clamps)
    assert found.tolist() == [clamp(half_up(quotient), *clamps)]
    to_even = rounding.rne(np.array([number]), np.float32([2.0**-shift]), *clamps)
    assert to_even.tolist() == [clamp(round(quotient), *clamps)]
    halved = rounding.c(np.array([number | 1]), s, *clamps)
    assert halved.tolist() == [clamp(half_up(Fraction(number | 1, 2**shift)), *clamps)]


def test_c_formula_is_that_of_the_tables_in_c():
    rng = np.random.default_rng(0)
    for layer in random_model(1).layers:
        tables = halve(layer)
        size = layer.weights[0].size
        x = rng.integers(0, 256, size=(50, size))
        acc = x @ layer.weights.reshape(-1, size).T.astype(np.int64) + layer.bias
        m = x @ tables.weights.reshape(-1, size).T.astype(np.int64) + tables.bias
        expected = np.clip(m >> tables.shift.astype(np.int64), layer.lo, layer.hi)
        assert np.array_equal(rounding.c(acc, layer.shift.astype(np.int64), layer.lo, layer.hi), expected)


def test_scales_are_those_of_the_files():
    model = random_model(2)
    in_log2 = model.planes.snr_log2
    read = zip(read_onnx_scales(write_onnx(model)), read_tflite_scales(write_tflite(model)), strict=True)
    for layer, (onnx, tflite) in zip(model.layers, read, strict=True):
        shift = layer.shift.astype(int)
        assert onnx.single().dtype == tflite.single().dtype == np.float32
        assert np.array_equal(onnx.single(), 2.0**-shift)
        assert np.array_equal(tflite.single(), 2.0 ** -(shift + 1))
        assert np.array_equal(tflite.real(), 2.0 ** -(shift + 1))
        assert (onnx.x, onnx.y) == (tflite.x, tflite.y) == (2.0**-in_log2, 2.0**-layer.out_log2)
        in_log2 = layer.out_log2


def test_file_says_what_is_proved():
    proof = prove(random_model(0))
    text = proof.to_json()
    assert text == prove(random_model(0)).to_json()
    content = json.loads(text)
    assert content["equal"] is True
    assert (content["channels"], content["accumulators"]) == (161, proof.accumulators)
    assert content["model_sha256"] == random_model(0).sha256
    assert len(text.splitlines()) < 161 + 20
    row = dict(zip(content["columns"], content["rows"][40], strict=True))
    stated = proof.rows[40]
    assert (row["layer"], row["channel"], row["least"]) == (stated.layer, stated.channel, stated.least)
    assert (row["steps"], row["lane_width"]) == (stated.steps, stated.lane_width)
    assert row["first_difference_tflite_double"] is None
    wrong = replace(stated, differs={**stated.differs, "tflite_double": -17})
    content = json.loads(replace(proof, rows=(wrong,)).to_json())
    assert content["equal"] is False
    assert dict(zip(content["columns"], content["rows"][0], strict=True))["first_difference_tflite_double"] == -17


def test_table_in_the_documentation_is_that_of_the_default_model():
    proof = prove(open_model("default"))
    expected = []
    for layer, group in itertools.groupby(proof.rows, key=lambda row: row.layer):
        rows = list(group)
        largest = max(max(-row.least, row.greatest) for row in rows)
        steps = sorted({min(row.steps for row in rows), max(row.steps for row in rows)})
        figures = [len(rows), sum(row.accumulators for row in rows), largest, sum(row.lane for row in rows)]
        channels, accumulators, greatest, lanes = (f"{figure:,}" for figure in figures)
        expected.append(
            f"| {layer} | {channels} | {accumulators} | {greatest} | {'–'.join(map(str, steps))} | 0 | {lanes} |"
        )
    expected.append(f"| all | {len(proof.rows)} | {proof.accumulators:,} | | | 0 | {proof.lanes} |")
    page = (Path(__file__).parent.parent / "docs" / "arithmetic.md").read_text()
    assert proof.equal
    table = "\n".join(expected)
    assert table in page, f"docs/arithmetic.md should hold\n{table}"
