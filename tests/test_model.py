import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slewguard.export.execute import run, run_layer, run_layers
from slewguard.export.flight import FLIGHT, LayerShape, random_model
from slewguard.export.layers import MAX_ACCUMULATOR, Layer
from slewguard.export.model import load_model, model_from_json
from slewguard.export.planes import PlaneRule
from slewguard.export.verdict import VerdictRule
from slewguard.subimages import BadInput

SMALL = (
    LayerShape("first", "conv2d", 3, 4, 4, 4),
    LayerShape("second", "depthwise_conv2d", 4, 4, 3, 2, (0, 1, 0, 1)),
    LayerShape("third", "conv2d", 4, 5, 3, 1, (1, 1, 1, 1)),
    LayerShape("fourth", "depthwise_conv2d", 5, 5, 7),
    LayerShape("fifth", "conv2d", 5, 1, 1),
)


def one_layer(op="conv2d", **changes):
    rng = np.random.default_rng(0)
    inner = 3 if op == "conv2d" else 1
    layer = Layer(
        name="a",
        op=op,
        weights=(2 * rng.integers(-31, 32, size=(3, inner, 3, 3))).astype(np.int8),
        bias=np.array([1, -7, 301], dtype=np.int32),
        shift=np.array([2, 5, 7], dtype=np.uint8),
        stride=1,
        pad=(1, 1, 1, 1),
        lo=0,
        hi=255,
        out_log2=3,
    )
    return replace(layer, **changes)


def naive(layer, x):
    """The formula of the docstring with Python's integers, one output at a time."""
    channels, height, width = x.shape
    out, _, kernel_h, kernel_w = layer.weights.shape
    top, bottom, left, right = layer.pad
    rows = (height + top + bottom - kernel_h) // layer.stride + 1
    columns = (width + left + right - kernel_w) // layer.stride + 1
    w, pixels = layer.weights.tolist(), x.tolist()
    result = np.zeros((out, rows, columns), dtype=layer.dtype)
    odd = True
    for c, r, k in np.ndindex(out, rows, columns):
        acc = int(layer.bias[c])
        for inner in range(1 if layer.depthwise else channels):
            source = c if layer.depthwise else inner
            for i, j in np.ndindex(kernel_h, kernel_w):
                y, z = r * layer.stride + i - top, k * layer.stride + j - left
                if 0 <= y < height and 0 <= z < width:
                    acc += w[c][inner][i][j] * pixels[source][y][z]
        odd = odd and acc % 2 == 1 and abs(acc) < MAX_ACCUMULATOR
        s = int(layer.shift[c])
        result[c, r, k] = min(max((acc + 2 ** (s - 1)) // 2**s, layer.lo), layer.hi)
    assert odd
    return result


@settings(deadline=None, max_examples=25)
@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from(["conv2d", "depthwise_conv2d"]),
    st.sampled_from([1, 2, 4]),
    st.tuples(*[st.integers(0, 2)] * 4),
    st.booleans(),
)
def test_executor_equals_plain_integers(seed, op, stride, pad, signed):
    rng = np.random.default_rng(seed)
    clamp = {"lo": -128, "hi": 127} if signed else {}
    shift = rng.integers(2, 11, size=3).astype(np.uint8)
    layer = one_layer(op, stride=stride, pad=pad, shift=shift, **clamp)
    x = rng.integers(-127, 256 if signed else 128, size=(2, 3, 6, 7))
    x = np.clip(x, 0, 255).astype(np.uint8) if signed else x.astype(np.int8)
    found = run_layer(layer, x)
    assert found.dtype == layer.dtype
    for one, expected in zip(found, x, strict=True):
        assert np.array_equal(one, naive(layer, expected))


def test_flight_model_equals_plain_integers_end_to_end():
    model = random_model(3, SMALL)
    x = np.random.default_rng(1).integers(-127, 128, size=(1, 3, 56, 56)).astype(np.int8)
    expected = x[0]
    for layer, found in zip(model.layers, run_layers(model, x), strict=True):
        expected = naive(layer, expected)
        assert np.array_equal(found[0], expected)
    assert run(model, x).tolist() == [int(expected[0, 0, 0])]


def test_scores_do_not_depend_on_the_batch():
    model = random_model(0)
    x = np.random.default_rng(1).integers(-127, 128, size=(66, 3, 56, 56)).astype(np.int8)
    one_by_one = np.concatenate([run(model, x[i : i + 1]) for i in range(len(x))])
    assert np.array_equal(run(model, x), one_by_one)
    assert len(set(one_by_one.tolist())) > 10


def high_multiplication(a, q):
    """gemmlowp's SaturatingRoundingDoublingHighMul for one q: round(a q / 2^31), half away from zero upwards."""
    product = a.astype(np.int64) * q
    nudge = np.where(product >= 0, 1 << 30, 1 - (1 << 30))
    total = product + nudge
    return np.sign(total) * (np.abs(total) >> 31)


def divide_by_power(x, exponent):
    """gemmlowp's RoundingDivideByPOT: half away from zero."""
    mask = (1 << exponent) - 1
    remainder, threshold = x & mask, (mask >> 1) + (x < 0)
    return (x >> exponent) + (remainder > threshold)


@pytest.mark.parametrize("shift", range(2, 21))
def test_three_roundings_agree_on_every_odd_accumulator(shift):
    acc = np.arange(-MAX_ACCUMULATOR + 1, MAX_ACCUMULATOR, 2, dtype=np.int64)
    single = (acc + (1 << (shift - 1))) >> shift
    to_even = np.rint(acc.astype(np.float32) * np.float32(2.0**-shift)).astype(np.int64)
    # The TensorFlow Lite file holds 2 acc and the multiplier 2^-(shift + 1) = 2^30 / 2^31 * 2^-shift.
    double = divide_by_power(high_multiplication(2 * acc, 1 << 30), shift)
    assert np.array_equal(single, to_even)
    assert np.array_equal(single, double)


def test_undoubled_accumulators_would_differ():
    acc = np.arange(1, 4096, 2, dtype=np.int64)
    single = (acc + 4) >> 3
    assert (divide_by_power(high_multiplication(acc, 1 << 30), 2) != single).any()


@settings(deadline=None, max_examples=20)
@given(
    st.integers(0, 7),
    st.sampled_from([FLIGHT, SMALL]),
    st.integers(-128, 0),
    st.integers(0, 127),
    st.builds(PlaneRule, st.integers(0, 6), st.integers(1, 127), st.sampled_from([1, 3, 5])),
    st.dictionaries(st.text(max_size=5), st.floats(allow_nan=False, allow_infinity=False) | st.text() | st.integers()),
)
def test_json_round_trip(seed, shapes, t_veto, t_confirm, planes, certificate):
    model = replace(random_model(seed, shapes), planes=planes)
    model = model.with_verdict(VerdictRule(t_veto, t_confirm), certificate)
    again = model_from_json(model.to_json())
    assert again == model
    assert again.to_json() == model.to_json()
    for a, b in zip(model.layers, again.layers, strict=True):
        for name in ("weights", "bias", "shift"):
            assert np.array_equal(getattr(a, name), getattr(b, name))
            assert getattr(a, name).dtype == getattr(b, name).dtype
        assert (a.name, a.op, a.stride, a.pad, a.lo, a.hi, a.out_log2) == (
            b.name, b.op, b.stride, b.pad, b.lo, b.hi, b.out_log2,
        )  # fmt: skip
    assert (again.planes, again.verdict, dict(again.certificate)) == (planes, model.verdict, certificate)


def test_saved_model_is_loaded(tmp_path):
    model = random_model(0)
    model.save(tmp_path / "model.json")
    assert load_model(tmp_path / "model.json") == model
    assert [p.name for p in tmp_path.iterdir()] == ["model.json"]


def test_size_of_the_flight_network():
    model = random_model(0)
    assert (model.parameters, model.macs) == (3689, 361848)
    assert model.shapes[-1] == (1, 1, 1)


ODD_WEIGHT = np.full((3, 3, 3, 3), 1, dtype=np.int8)
BIG_WEIGHT = np.full((3, 3, 3, 3), 64, dtype=np.int8)
ZERO_WEIGHT = np.zeros((3, 3, 3, 3), dtype=np.int8)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"weights": ODD_WEIGHT}, "a weight is odd"),
        ({"weights": BIG_WEIGHT}, "a weight exceeds 62"),
        ({"weights": ZERO_WEIGHT[:, :2]}, "do not fit"),
        ({"weights": ZERO_WEIGHT[:, :, 0]}, "not \\[out, in"),
        ({"bias": np.array([1, 2, 3], dtype=np.int32)}, "a bias is even"),
        ({"bias": np.array([1, 3], dtype=np.int32)}, "one bias and one shift"),
        ({"bias": np.array([1, 3, 2**24 + 1], dtype=np.int32)}, "reach 2\\^24"),
        ({"bias": np.array([1, 3, -(2**24) - 1], dtype=np.int32)}, "reach 2\\^24"),
        ({"bias": np.array([1, 3, 2**19 + 1], dtype=np.int32), "lo": -128, "hi": 127}, "reach 2\\^19"),
        ({"bias": np.array([1, 3, -(2**19) - 1], dtype=np.int32), "lo": -128, "hi": 127}, "reach 2\\^19"),
        ({"shift": np.array([1, 2, 3], dtype=np.uint8)}, "shift not in"),
        ({"shift": np.array([2, 2, 21], dtype=np.uint8)}, "shift not in"),
        ({"stride": 3}, "stride"),
        ({"pad": (0, 0, 0, 3)}, "bad padding"),
        ({"lo": -127}, "clamp"),
        ({"name": "1st"}, "not an identifier"),
        ({"name": "a" * 65}, "longer"),
        ({"op": "mean"}, "operator"),
        ({"out_log2": 65}, "out_log2"),
    ],
)
def test_layer_is_refused(change, fault):
    one_layer().check((3, 56, 56), -127, 127)
    with pytest.raises(BadInput, match=fault):
        one_layer(**change).check((3, 56, 56), -127, 127)


def test_bounds_are_reached_and_not_passed():
    layer = one_layer()
    least, greatest = layer.accumulator_bounds(-127, 127)
    for sign, bound in ((1, greatest), (-1, least)):
        for channel in range(3):
            x = np.where(layer.weights[channel] > 0, sign * 127, -sign * 127)
            assert (layer.weights[channel].astype(int) * x).sum() + layer.bias[channel] == bound[channel]


def test_model_is_refused():
    model = random_model(0)
    with pytest.raises(BadInput, match="0 layers"):
        replace(model, layers=())
    with pytest.raises(BadInput, match="last layer"):
        replace(model, layers=model.layers[:-1])
    with pytest.raises(BadInput, match="same name"):
        replace(model, layers=(model.layers[0], *model.layers[:]))
    with pytest.raises(BadInput, match="certificate"):
        replace(model, certificate={"level": float("nan")})


def test_certificate_is_kept_as_the_file_has_it():
    certificate = {"levels": (0.01, 0.05), "n": {1: 2}}
    model = replace(random_model(0), certificate=certificate)
    certificate["n"][1] = 3
    assert model.certificate == {"levels": [0.01, 0.05], "n": {"1": 2}}
    assert model_from_json(model.to_json()) == model


def edited(change):
    content = json.loads(random_model(0).to_json())
    change(content)
    return json.dumps(content)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda c: c["layers"][0]["bias"].__setitem__(0, c["layers"][0]["bias"][0] + 2), "SHA-256"),
        (lambda c: c["verdict"].__setitem__("t_veto", -19), "SHA-256"),
        (lambda c: c.__setitem__("name", "other"), "SHA-256"),
        (lambda c: c["certificate"].__setitem__("n", 1), "SHA-256"),
        (lambda c: c["certificate"].__setitem__("n", float("inf")), "certificate"),
        (lambda c: c.__setitem__("version", 2), "version"),
        (lambda c: c.__setitem__("more", 2), "more"),
        (lambda c: c["layers"][0].__setitem__("stride", 2.0), "stride"),
        (lambda c: c["layers"][0].__setitem__("shape", [8, 3, 3, 4]), "shape"),
        (lambda c: c["layers"][0].__setitem__("op", "mean"), "op"),
        (lambda c: c["planes"].__setitem__("level", 0), "level"),
        (lambda c: c.pop("sha256"), "sha256"),
    ],
)
def test_edited_file_is_refused(change, fault):
    with pytest.raises(BadInput, match=fault):
        model_from_json(edited(change))


def test_unreadable_files_name_themselves(tmp_path):
    for name, content in (("empty.json", b""), ("binary.json", b"\xff\xfe\x00"), ("text.json", b"model")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(BadInput, match=name):
            load_model(tmp_path / name)
    for place in (tmp_path, tmp_path / "absent.json", "a\0b"):
        with pytest.raises(BadInput):
            load_model(place)


def test_a_fault_that_quotes_a_large_value_stays_one_short_line():
    content = json.loads(random_model(1).to_json())
    content["layers"][0]["op"] = list(range(5000))
    with pytest.raises(BadInput) as caught:
        model_from_json(json.dumps(content))
    assert len(str(caught.value)) < 300
