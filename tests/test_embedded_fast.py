"""The fast style: equal to numpy at every layer, and the bound of the lanes, which its exactness stands on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slewguard.embedded.fast_plan import POINTWISE, make_fast, ranges_of
from slewguard.embedded.generate import Printer, generate_c
from slewguard.embedded.harness import probe_planes
from slewguard.embedded.host import CBackend, measure_sizes, run_selftest
from slewguard.embedded.lanes import LANE, Range, place, word
from slewguard.export.execute import run_layers
from slewguard.export.flight import HANDMADE, LayerShape, random_model
from slewguard.export.package import open_model
from slewguard.export.planes import PlaneRule
from slewguard.export.verdict import VerdictRule
from slewguard.subimages import BadInput, Verdict
from slewguard.subimages.contract import REASONS

PLANES = probe_planes(random_model(0), 20)

SMALL = (
    LayerShape("a", "conv2d", 3, 5, 2, 4, (1, 0, 1, 0)),
    LayerShape("b", "conv2d", 5, 7, 1),
    LayerShape("c", "depthwise_conv2d", 7, 7, 3, 1, (1, 1, 1, 1)),
    LayerShape("d", "depthwise_conv2d", 7, 7, 3, 2, (0, 1, 0, 1)),
    LayerShape("e", "depthwise_conv2d", 7, 7, 7),
    LayerShape("f", "conv2d", 7, 6, 1),
    LayerShape("g", "conv2d", 6, 1, 1),
)
"""Odd channels, other kernels and strides, a pooling that is followed by two dense layers."""


def assert_equal(model, planes, flags=("-O1",)):
    backend = CBackend(model, flags, "fast")
    expected = run_layers(model, planes)
    for layer, ours, theirs in zip(model.layers, backend.layers(planes), expected, strict=True):
        assert ours.dtype == theirs.dtype
        np.testing.assert_array_equal(ours, theirs, err_msg=layer.name)
    score, verdict, reason = backend.judge(planes)
    np.testing.assert_array_equal(score, expected[-1][:, 0, 0, 0])
    for ours, theirs in zip((verdict, reason), model.verdict.verdicts(planes, score), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("seed", [0, 1])
def test_every_layer_equals_numpy(seed):
    """Seeds in which channels miss the bound of a lane, one of them by its last unit."""
    model = random_model(seed)
    fast = make_fast(model)
    assert any(not channel.whole for stage in fast.stages for channel in stage.channels)
    if seed == 0:
        widths = [r.greatest - r.least for stage in fast.stages[:7] for r in ranges_of(stage, 16)]
        assert LANE in widths
    assert_equal(model, PLANES)


def test_other_shapes_equal_numpy():
    assert_equal(random_model(3, SMALL), PLANES)


@pytest.mark.parametrize("dead", ["column of the first", "column of a pointwise layer", "all of a pointwise layer"])
def test_weights_that_are_all_zero_leave_no_unused_name(dead):
    """Compilers are told to take no warning; a network of few bits and channels has such columns."""
    model = random_model(2)
    number = 0 if dead == "column of the first" else 2
    weights = model.layers[number].weights.copy()
    weights[:, 0, 0, 0] = 0
    if dead.startswith("all"):
        weights[:] = 0
    layers = list(model.layers)
    layers[number] = replace(layers[number], weights=weights)
    assert_equal(replace(model, layers=tuple(layers)), PLANES[:8])


def heavy(model, shift):
    """The model with weights as large as they may be and other shifts, so that sums are in many chunks."""
    layers = []
    for layer in model.layers:
        if layer.lo < 0:
            layers.append(layer)
            continue
        sign = np.where(np.arange(layer.weights.size).reshape(layer.weights.shape) % 3, 62, -62)
        layers.append(replace(layer, weights=sign.astype(np.int8), shift=np.full_like(layer.shift, shift)))
    return replace(model, layers=tuple(layers))


@pytest.mark.parametrize("shift", [2, 9, 18])
def test_the_heaviest_weights_equal_numpy(shift):
    model = heavy(random_model(2), shift)
    stages = make_fast(model).stages
    assert max(len(channel.ends) for stage in stages if stage.kind == POINTWISE for channel in stage.channels) >= 3
    assert any(not stage.whole for stage in stages if stage.kind == "depthwise")
    assert any(not channel.table for stage in stages for channel in stage.channels) == (shift == 2)
    assert_equal(model, PLANES[:8], ("-O0",))


@pytest.mark.parametrize("level", [1, 127])
def test_any_level_of_the_binary_planes_equals_numpy(level):
    model = replace(random_model(4), planes=PlaneRule(level=level))
    planes = PLANES[:8].copy()
    planes[:, 1:] = np.where(planes[:, 1:] != 0, level, 0)
    assert_equal(model, planes, ("-O0",))


def test_the_default_model_equals_numpy_and_passes_its_selftest_under_sanitizers():
    model = open_model("default")
    assert_equal(model, probe_planes(model, 32), ("-O2",))
    flags = ("-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
    result = run_selftest(generate_c(model, PLANES, style="fast"), flags)
    assert result.passed, result.message


ranges = st.lists(
    st.builds(
        lambda weights, bias, shift: Range(
            np.minimum(255 * np.array(weights, dtype=np.int64), 0),
            np.maximum(255 * np.array(weights, dtype=np.int64), 0),
            bias,
            shift,
        ),
        st.lists(st.integers(-31, 31), min_size=1, max_size=40),
        st.integers(-(2**16), 2**16),
        st.integers(1, 19),
    ),
    min_size=1,
    max_size=12,
)


@given(ranges, st.booleans(), st.integers(0, 2**32 - 1))
def test_lanes_hold_every_sum_at_its_extremes(given_ranges, share, seed):
    """The lane bound, checked on the extremes of every chunk, and the sum of the chunks against the plain formula."""
    rng = np.random.default_rng(seed)
    for r, channel in zip(given_ranges, place(given_ranges, share=share), strict=True):
        values = np.where(rng.random(len(r.low)) < 0.5, r.low, r.high)
        total, begin = 0, 0
        for end, start in zip(channel.ends, channel.starts, strict=True):
            assert start + r.low[begin:end].sum() >= 0
            assert start + r.high[begin:end].sum() <= LANE
            lanes = (word(start) + int(values[begin:end].sum()) * 0x10001) % 2**32
            assert lanes & LANE == lanes >> 16
            total += lanes & LANE
            begin = end
        assert begin == len(r.low)
        assert total + channel.rest >= 0
        exact = (int(values.sum()) + r.bias) >> r.shift
        assert ((total + channel.rest) >> channel.shift) - channel.offset == exact
        residue = r.least % 2**r.shift if r.least < 0 else r.least
        assert channel.whole <= (residue + r.greatest - r.least <= LANE)


def test_channels_share_offsets():
    fast = make_fast(open_model("default"))
    for stage in fast.stages:
        if stage.kind == POINTWISE:
            assert len({channel.offset for channel in stage.channels}) <= len(stage.channels) // 3


def test_rows_are_ready_when_they_are_read():
    """Each call of the schedule finds its rows made before and not yet overwritten in their ring."""
    for model in (random_model(0), random_model(3, SMALL)):
        fast = make_fast(model)
        held = [{} for _ in fast.rings]
        for number, row in fast.schedule():
            if number >= 0:
                stage = fast.stages[number]
                needed = [row] if stage.kind == "pool" else [r for r in stage.needs(row) if r >= 0]
                for r in needed:
                    assert held[number][r % fast.rings[number]] == r
            if number + 1 < len(fast.rings):
                held[number + 1][row % fast.rings[number + 1]] = row
        assert row == fast.pooled.in_shape[1] - 1


def test_sizes_are_those_promised_for_the_fast_style():
    sizes = measure_sizes(open_model("default"), ("-Os",), "fast")
    assert sizes.writable_bytes == 0
    assert sizes.scratch_bytes <= 12_000


def test_a_network_of_another_kind_is_refused_in_one_line():
    tail = (LayerShape("c", "depthwise_conv2d", 4, 4, 6), LayerShape("d", "conv2d", 4, 1, 1))
    deep = (LayerShape("a", "conv2d", 3, 4, 3, 4), LayerShape("b", "conv2d", 4, 4, 3, 2), *tail)
    for shapes, fault in ((HANDMADE, "pool1"), (deep, "b")):
        with pytest.raises(BadInput, match=f"fast style has no form for layer {fault}"):
            generate_c(random_model(0, shapes), PLANES[:1], style="fast")


def test_weights_are_literal_and_tables_lie_in_the_object():
    model = random_model(0)
    members = {member.name for member in Printer(model, "fast").blob.members}
    assert {"masks_conv0", "weights_dw1", "weights_pool7", "clamp"} <= members
    assert "weights_pw2" not in members


def test_binary_planes_of_other_values_abstain():
    """The tables know 0 and the level; anything else is damage, so that a wrong sum never decides."""
    model = random_model(0)
    backend = CBackend(model.with_verdict(VerdictRule(t_veto=128, t_confirm=127), {}), ("-O1",), "fast")
    planes = np.zeros((256, 3, 56, 56), dtype=np.int8)
    planes[:, 1, 30, 7] = np.arange(-128, 128)
    for plane in (1, 2):
        _, verdict, reason = backend.judge(np.roll(planes, plane - 1, axis=1))
        good = np.isin(np.arange(-128, 128), (0, model.planes.level))
        np.testing.assert_array_equal(verdict, np.where(good, Verdict.VETO, Verdict.ABSTAIN))
        np.testing.assert_array_equal(reason, np.where(good, 0, REASONS.index("bad_value")))
