"""The generated C: the same bytes as the numpy executor, and the promises that its header makes."""

from __future__ import annotations

import ctypes
import re
import shutil
import subprocess
import sys
import zlib
from dataclasses import replace
from itertools import pairwise
from math import prod
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slewguard.embedded.generate import FLOAT, NETWORK, SELFTEST, Printer, generate_c
from slewguard.embedded.generate import PLANES as PLANES_SOURCES
from slewguard.embedded.golden import built_in_planes, make_looks, make_reasons, selftest_planes
from slewguard.embedded.halved import halve
from slewguard.embedded.host import (
    FLAGS,
    CBackend,
    compiler_version,
    measure_sizes,
    open_c_backend,
    run_selftest,
)
from slewguard.embedded.plan import make_plan
from slewguard.export.backends import EngineUnavailable, VerdictBackend
from slewguard.export.execute import run_layers
from slewguard.export.familiar import Familiar, Features
from slewguard.export.flight import LayerShape, random_model
from slewguard.export.model import IntegerModel, Layer
from slewguard.export.package import open_model
from slewguard.export.planes import PlaneRule
from slewguard.export.sequence import SequenceRule
from slewguard.export.verdict import VerdictRule
from slewguard.subimages import BadInput, Verdict
from slewguard.subimages.contract import REASONS

OUTSIDE, BAD, UNFAMILIAR = (REASONS.index(name) for name in ("outside_limits", "bad_value", "unfamiliar"))


def adversarial_planes(seed=0):
    """Constant extremes, no data, single pixels at every corner, dense and sparse noise."""
    rng = np.random.default_rng(seed)
    constant = [np.full((3, 56, 56), value) for value in (0, 1, 127, -127)]
    no_data = np.zeros((3, 56, 56))
    no_data[1] = 16
    known = np.zeros((3, 56, 56))
    known[2] = 16
    checker = np.where(np.indices((3, 56, 56)).sum(axis=0) % 2, 127, -127)
    points = []
    for row, column in ((0, 0), (0, 55), (55, 0), (55, 55), (28, 28)):
        point = np.zeros((3, 56, 56))
        point[:, row, column] = 127
        points.append(point)
    dense = list(rng.integers(-127, 128, size=(6, 3, 56, 56)))
    likely = rng.normal(0, 12, size=(8, 3, 56, 56)).clip(-127, 127)
    likely[:, 1:] = 16 * (rng.random((8, 2, 56, 56)) < 0.1)
    likely[:, 0, 28, 28] = rng.integers(0, 128, size=8)
    return np.array([*constant, no_data, known, checker, *points, *dense, *likely]).astype(np.int8)


PLANES = adversarial_planes()


def odd_model(seed):
    """A model of random layers: any kernel, stride, padding and clamp that the integer model allows."""
    rng = np.random.default_rng(seed)
    shape, lo, hi = (3, 56, 56), -127, 127
    layers = []
    for i in range(4):
        last = i == 3
        depthwise = not last and bool(rng.integers(2))
        kernel = shape[1:] if last else tuple(rng.integers(1, 5, size=2).tolist())
        out = 1 if last else shape[0] if depthwise else int(rng.integers(1, 6))
        weights = 2 * rng.integers(-4, 5, size=(out, 1 if depthwise else shape[0], *kernel))
        if last:
            weights *= rng.random(weights.shape) < 500 / weights.size
        signed = last or bool(rng.integers(2))
        layer = Layer(
            name=f"layer{i}",
            op="depthwise_conv2d" if depthwise else "conv2d",
            weights=weights.astype(np.int8),
            bias=(2 * rng.integers(-500, 500, size=out) + 1).astype(np.int32),
            shift=rng.integers(2, 8, size=out).astype(np.uint8),
            stride=1 if last else int(rng.choice([1, 2, 4], p=[0.2, 0.4, 0.4])),
            pad=(0, 0, 0, 0) if last else tuple(rng.integers(0, max(kernel), size=4).tolist()),
            lo=-128 if signed else 0,
            hi=127 if signed else 255,
            out_log2=0,
        )
        layer.check(shape, lo, hi)
        layers.append(layer)
        shape, lo, hi = layer.out_shape(shape), layer.lo, layer.hi
    return IntegerModel(f"odd-{seed}", PlaneRule(), tuple(layers), VerdictRule())


def assert_equal_to_numpy(backend, model, planes):
    expected = run_layers(model, planes)
    outputs = backend.layers(planes)
    assert len(outputs) == len(expected)
    for layer, ours, theirs in zip(model.layers, outputs, expected, strict=True):
        assert ours.dtype == theirs.dtype, layer.name
        np.testing.assert_array_equal(ours, theirs, err_msg=layer.name)
    score, verdict, reason = backend.judge(planes)
    np.testing.assert_array_equal(score, expected[-1][:, 0, 0, 0])
    for ours, theirs in zip((verdict, reason), model.verdict.verdicts(planes, score), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.fixture(scope="module")
def model():
    return random_model(0)


@pytest.fixture(scope="module")
def backend(model):
    return open_c_backend(model)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_every_layer_equals_numpy(seed):
    model = random_model(seed)
    assert_equal_to_numpy(open_c_backend(model), model, adversarial_planes(seed))


@pytest.mark.parametrize("seed", range(8))
def test_any_geometry_equals_numpy(seed):
    model = odd_model(seed)
    assert_equal_to_numpy(CBackend(model, ("-O1",)), model, PLANES[:16])


@pytest.mark.parametrize("flags", ["-O0", "-O2 -funsigned-char", "-O3", "-Os -fsigned-char"])
def test_every_optimisation_equals_numpy(model, flags):
    assert_equal_to_numpy(CBackend(model, flags.split()), model, PLANES)


def test_verdicts_take_all_values(model, backend):
    low, high = np.quantile(backend.score(PLANES[-14:]), (0.4, 0.6)).astype(int).tolist()
    rule = replace(model.verdict, t_veto=low, t_confirm=high)
    spread = model.with_verdict(rule, {})
    judge = open_c_backend(spread)
    assert_equal_to_numpy(judge, spread, PLANES)
    _, verdict, reason = judge.judge(PLANES)
    assert set(verdict) == {Verdict.ABSTAIN, Verdict.CONFIRM, Verdict.VETO}
    assert set(reason) == {0, OUTSIDE}


def test_a_score_on_a_threshold_is_kept(model, backend):
    planes = PLANES[-8:]
    scores = backend.score(planes).tolist()
    inside = 0
    for value in sorted(set(scores))[:3]:
        rule = VerdictRule(t_veto=value, t_confirm=value)
        tied = open_c_backend(model.with_verdict(rule, {}))
        for score, verdict in zip(scores, tied.verdicts(planes), strict=True):
            expected = Verdict.VETO if score < value else Verdict.CONFIRM if score > value else Verdict.ABSTAIN
            assert verdict == expected
            inside += score == value
    assert inside


@pytest.mark.parametrize("ends", [(-128, 127), (128, 127), (-128, -129)])
def test_thresholds_at_the_ends_of_their_range(model, ends):
    rule = VerdictRule(*ends)
    verdict = open_c_backend(model.with_verdict(rule, {})).verdicts(PLANES)
    expected = {(-128, 127): Verdict.ABSTAIN, (128, 127): Verdict.VETO, (-128, -129): Verdict.CONFIRM}[ends]
    assert set(verdict) == {expected}


def test_looks_at_one_event(model):
    """Several looks at events that are mixed, against the rule in Python."""
    rng = np.random.default_rng(5)
    planes = np.concatenate([PLANES, PLANES])
    sequence = rng.integers(0, 20, size=len(planes)) * 1000 - 7
    scores = run_layers(model, planes)[-1][:, 0, 0, 0]
    low, high = np.quantile(scores, (0.7, 0.9)).astype(int).tolist()
    rule = VerdictRule(low, high, sequence=SequenceRule(2))
    score, verdict, reason = open_c_backend(model.with_verdict(rule, {})).judge(planes, sequence)
    np.testing.assert_array_equal(score, scores)
    np.testing.assert_array_equal(reason, rule.reasons(rule.count(planes)))
    np.testing.assert_array_equal(verdict, rule.decide_looks(score, reason, sequence))
    assert set(verdict) == {Verdict.ABSTAIN, Verdict.CONFIRM, Verdict.VETO}


@pytest.mark.parametrize("limit", ["min_valid", "min_trigger", "max_saturated"])
def test_sanity_limits_hold_to_the_unit(model, limit):
    planes = built_in_planes(model)
    at = {
        "min_valid": int((planes[0, 1] == 0).sum()),
        "min_trigger": int(planes[0, 0, 28, 28]),
        "max_saturated": int((planes[0, 0] == 127).sum() + (planes[0, 0] == -127).sum()),
    }
    assert all(at.values())
    beyond = {**at, limit: at[limit] + (-1 if limit == "max_saturated" else 1)}
    for limits, verdict, reason in ((at, Verdict.VETO, 0), (beyond, Verdict.ABSTAIN, OUTSIDE)):
        rule = VerdictRule(t_veto=128, t_confirm=127, **limits)
        judged = open_c_backend(model.with_verdict(rule, {})).judge(planes)
        assert (judged[1][0], judged[2][0]) == (verdict, reason)


def test_a_plane_value_that_no_sub_image_gives_is_not_judged(model):
    always_veto = open_c_backend(model.with_verdict(VerdictRule(t_veto=128, t_confirm=127), {}))
    planes = np.zeros((4, 3, 56, 56), dtype=np.int8)
    planes[1, 0, 0, 0] = planes[2, 1, 30, 7] = planes[3, 2, 55, 55] = -128
    _, verdict, reason = always_veto.judge(planes)
    assert verdict.tolist() == [Verdict.VETO, *3 * [Verdict.ABSTAIN]]
    assert reason.tolist() == [0, *3 * [REASONS.index("bad_value")]]


@given(
    terms=st.lists(st.tuples(st.integers(-31, 31), st.integers(-128, 255)), max_size=30),
    half_bias=st.integers(-(2**17), 2**17),
    shift=st.integers(2, 20),
)
def test_halved_weights_give_the_same_rounding(terms, half_bias, shift):
    """The derivation of slewguard.embedded.halved, in Python's unbounded integers."""
    layer = Layer(
        name="any",
        op="conv2d",
        weights=np.array([[2 * v for v, _ in terms] or [0]], dtype=np.int8).reshape(1, -1, 1, 1),
        bias=np.array([2 * half_bias + 1], dtype=np.int32),
        shift=np.array([shift], dtype=np.uint8),
        stride=1,
        pad=(0, 0, 0, 0),
        lo=0,
        hi=255,
        out_log2=0,
    )
    halved = halve(layer)
    model_sum = sum(2 * v * x for v, x in terms) + 2 * half_bias + 1
    c_sum = sum(int(v) * x for v, (_, x) in zip(halved.weights[0], terms, strict=False)) + int(halved.bias[0])
    assert c_sum >> int(halved.shift[0]) == (model_sum + 2 ** (shift - 1)) >> shift


def compile_c(folder, files, sources, *flags):
    for name, content in files.items():
        (folder / name).write_bytes(content)
    subprocess.run(["cc", *FLAGS, *flags, *sources], cwd=folder, check=True)


def test_requantisation_of_every_accumulator(tmp_path, model):
    check = b"""
#include "slewguard_network.c"
void check(uint8_t shift, uint8_t rectified[], int8_t clamped[])
{
    for (int32_t i = 0; i < 1 << 20; i++) {
        rectified[i] = requantise_uint8(i - (1 << 19), shift);
        clamped[i] = requantise_int8(i - (1 << 19), shift);
    }
}
"""
    files = {**generate_c(model), "check.c": check}
    compile_c(
        tmp_path, files, ("check.c", "slewguard.c", "slewguard_weights.c"), "-O2", "-shared", "-fPIC", "-o", "check.so"
    )
    library = ctypes.CDLL(str(tmp_path / "check.so"))
    rectified, clamped = np.zeros(2**20, dtype=np.uint8), np.zeros(2**20, dtype=np.int8)
    acc = np.arange(2**20) - 2**19
    for shift in range(1, 20):
        library.check(shift, ctypes.c_void_p(rectified.ctypes.data), ctypes.c_void_p(clamped.ctypes.data))
        floor = np.floor_divide(acc, 2**shift)
        np.testing.assert_array_equal(rectified, floor.clip(0, 255))
        np.testing.assert_array_equal(clamped, floor.clip(-128, 127))


def test_plan_keeps_what_is_in_use_apart():
    for model in (random_model(0), *map(odd_model, range(20))):
        plan = make_plan(model)
        needs = []
        for step in plan.steps:
            spans = [(step.out_offset, prod(step.out_shape))]
            if step.number:
                spans.append((step.in_offset, prod(step.in_shape)))
            if step.window_shape:
                spans.append((step.window_offset, prod(step.window_shape)))
            spans.sort()
            assert all(offset % 4 == 0 for offset, _ in spans)
            assert all(a + size <= b for (a, size), (b, _) in pairwise(spans))
            assert spans[0][0] >= 0
            assert sum(spans[-1]) <= plan.scratch_bytes
            needs.append(sum(-(-size // 4) * 4 for _, size in spans))
        assert plan.scratch_bytes == max(needs)
        for before, after in pairwise(plan.steps):
            assert after.in_offset == before.out_offset


def test_scratch_is_not_overrun_and_its_content_means_nothing(model, backend):
    size = make_plan(model).scratch_bytes
    planes = PLANES[:8].copy()
    answers = []
    backend._library.slewguard_score.restype = ctypes.c_int8
    weights = ctypes.byref(ctypes.c_char.in_dll(backend._library, "slewguard_weights"))
    for fill in (0x00, 0x5A, 0xFF):
        arena = np.full(size + 128, fill, dtype=np.uint8)
        score = np.zeros(len(planes), dtype=np.int8)
        for i, one in enumerate(planes):
            score[i] = backend._library.slewguard_score(
                weights, ctypes.c_void_p(one.ctypes.data), ctypes.c_void_p(arena.ctypes.data + 64)
            )
        assert (arena[:64] == fill).all()
        assert (arena[64 + size :] == fill).all()
        answers.append(score.tolist())
    assert answers[0] == answers[1] == answers[2] == backend.score(planes).tolist()
    np.testing.assert_array_equal(planes, PLANES[:8])


def test_selftest_passes_under_sanitizers(model):
    flags = ("-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
    for built in (model, odd_model(3)):
        result = run_selftest(generate_c(built, PLANES), flags)
        assert result.passed, result.message
        assert result.message == f"slewguard {built.sha256[:12]}: self-test passed"


def changed_number(source, after, nth):
    """The C text with the nth number behind a name increased by one."""
    start = source.index(after) + len(after)
    number = list(re.finditer(rb"-?\d+", source[start:]))[nth]
    value = str(int(number[0]) + 1).encode()
    return source[: start + number.start()] + value + source[start + number.end() :]


@pytest.mark.parametrize(
    ("table", "nth"),
    [
        (b"/* weights_conv0 */", 17),
        (b"/* bias_pool7 */", 31),
        (b"/* shift_score */", 0),
        (b"/* t_veto */", 0),
        (b"/* model */", 3),
        (b"/* first_look */", 0),
    ],
)
def test_selftest_finds_a_changed_table(model, table, nth):
    files = generate_c(model)
    files["slewguard_weights.c"] = changed_number(files["slewguard_weights.c"], table, nth)
    result = run_selftest(files, ("-O0",))
    assert not result.passed
    assert result.message.endswith("failed at check 1")


@pytest.mark.parametrize(
    ("was", "becomes", "check"),
    [
        (b"rectify(acc) >> shift", b"rectify(acc + 1) >> shift", 2),
        (b"(wanted < 56) ? -1 : 0", b"(wanted < 56) ? -1 : -1", 2),
        (b"bias_pw4[out];", b"bias_pw4[out] + 8;", 6),
        (b"rectify(value + 128)", b"rectify(value + 129)", 10),
    ],
)
def test_selftest_finds_changed_code(model, was, becomes, check):
    # The built-in sub-image scores exactly t_confirm, so that the tie counts.
    score = int(run_layers(model, built_in_planes(model))[-1][0, 0, 0, 0])
    files = generate_c(model.with_verdict(VerdictRule(t_veto=-128, t_confirm=score), {}))
    assert was in files["slewguard_network.c"]
    files["slewguard_network.c"] = files["slewguard_network.c"].replace(was, becomes)
    result = run_selftest(files, ("-O0",))
    assert not result.passed
    assert result.message.endswith(f"failed at check {check}")


@pytest.mark.parametrize(
    ("changes", "check"),
    [
        # Veto and confirm exchanged; comparisons widened, narrowed and left out, one after the other.
        ([(b"veto * SLEWGUARD_VETO + confirm * SLEWGUARD_CONFIRM", b"veto * 1 + confirm * 2")], 11),
        ([(b"below(maximum, weights->t_veto)", b"below(maximum, weights->t_veto + 1)")], 13),
        ([(b"below(weights->t_confirm, maximum)", b"below(weights->t_confirm, maximum + 1)")], 13),
        ([(b"below(looks, weights->first_look)", b"below(looks, weights->first_look + 1)")], 13),
        ([(b"below(sequence->looks, 255)", b"1")], 13),
        ([(b"usable * below(sequence->maximum, score)", b"below(sequence->maximum, score)")], 13),
        ([(b"usable = 1 - below(0, reason)", b"usable = 1 - 0 * reason")], 13),
        ([(b"below(features->valid, weights->min_valid)", b"below(features->valid, weights->min_valid + 1)")], 12),
        ([(b"below(features->valid, weights->min_valid)", b"below(features->valid, weights->min_valid - 1)")], 12),
        ([(b"below(features->trigger, weights->min_trigger)", b"below(features->trigger, -200)")], 12),
        ([(b"below(weights->max_saturated, features->saturated)", b"below(4000, features->saturated)")], 12),
        ([(b"bad = below(0, features->damaged)", b"bad = below(1, features->damaged)")], 12),
        ([(b"(1 - bad) * (outside", b"(outside")], 12),
        ([(b"(1 - outside) * unfamiliar", b"unfamiliar")], 12),
        ([(b"below(weights->max_peak, features->peak)", b"0")], 12),
        ([(b"below(weights->max_mean * features->valid, mean)", b"0")], 12),
        ([(b"below(weights->max_bright, features->bright)", b"0")], 12),
        ([(b"below(weights->max_marked, features->marked)", b"0")], 12),
    ],
)
def test_selftest_finds_a_changed_verdict_of_the_default_model(changes, check):
    assert (Verdict.CONFIRM, Verdict.VETO) == (1, 2)
    model = open_model("default")
    familiar = Familiar(level=20, peak=(3, 126), mean=(1, 200), bright=(2, 3000), marked=(0, 3000))
    files = generate_c(model.with_verdict(replace(model.verdict, familiar=familiar), {}))
    for was, becomes in changes:
        assert files["slewguard.c"].count(was) == 1
        files["slewguard.c"] = files["slewguard.c"].replace(was, becomes)
    result = run_selftest(files, ("-O0",))
    assert not result.passed
    assert result.message.endswith(f"failed at check {check}")


def test_selftest_of_the_default_model_holds_every_verdict():
    model = open_model("default")
    planes = selftest_planes(model)
    verdict, _ = model.verdict.verdicts(planes, run_layers(model, planes)[-1][:, 0, 0, 0])
    assert verdict.tolist() == [Verdict.ABSTAIN, Verdict.VETO, Verdict.CONFIRM]
    assert run_selftest(generate_c(model)).passed


@given(st.integers(-128, 128), st.integers(-129, 127), st.integers(1, 255))
def test_known_looks_lie_on_every_edge_of_the_rule(t_veto, t_confirm, first_look):
    rule = VerdictRule(min(t_veto, t_confirm + 1), t_confirm, sequence=SequenceRule(first_look))
    rows = {tuple(row[:4]): tuple(row[4:]) for row in make_looks(rule).tolist()}
    for score in (rule.t_veto - 1, rule.t_veto, rule.t_confirm, rule.t_confirm + 1):
        if -128 <= score <= 127:
            free = Verdict.VETO if score < rule.t_veto else Verdict.CONFIRM if score > t_confirm else Verdict.ABSTAIN
            assert rows[first_look - 1, -128, score, 0] == (free, first_look, score)
            if first_look > 1:
                early = Verdict.ABSTAIN if free == Verdict.VETO else free
                assert rows[first_look - 2, -128, score, 0] == (early, first_look - 1, score)
            assert rows[first_look - 1, -128, score, 6] == (Verdict.ABSTAIN, first_look - 1, -128)


def test_known_reasons_have_each_limit_kept_and_missed_by_one():
    familiar = Familiar(level=20, peak=(3, 90), mean=(5, 50), bright=(2, 300), marked=(1, 100))
    rule = VerdictRule(-20, 20, min_valid=500, min_trigger=20, max_saturated=30, familiar=familiar)
    reason = {tuple(row[:-1]): row[-1] for row in make_reasons(rule).tolist()}
    kept = Features(500, 20, 30, 0, 90, 1562, 300, 100)
    assert reason[kept] == 0
    least = kept._replace(peak=3, total=157, bright=2, marked=1)
    assert reason[least] == 0
    for change in ({"valid": 499}, {"trigger": 19}, {"saturated": 31}):
        assert reason[kept._replace(**change)] == OUTSIDE
        assert reason[kept._replace(damaged=1, **change)] == BAD
    for change in ({"peak": 91}, {"total": 1563}, {"bright": 301}, {"marked": 101}):
        assert reason[kept._replace(**change)] == UNFAMILIAR
    for change in ({"peak": 2}, {"total": 156}, {"bright": 1}, {"marked": 0}):
        assert reason[least._replace(**change)] == UNFAMILIAR


def test_header_is_for_cplusplus_too(model):
    text = generate_c(model)["slewguard.h"].decode()
    opened, closed = text.index('#ifdef __cplusplus\nextern "C" {\n#endif'), text.index("#ifdef __cplusplus\n}\n#endif")
    declared = [match.start() for match in re.finditer(r"^(?:extern const|\w+ slewguard_\w+\()", text, re.MULTILINE)]
    assert len(declared) == 2 + 14 + len(model.layers)
    assert opened < min(declared)
    assert max(declared) < closed


def test_golden_crcs_are_those_of_the_outputs(model):
    text = generate_c(model, PLANES[:2])["slewguard_golden.c"].decode()
    found = [int(value, 16) for value in re.findall(r"0x([0-9a-f]{8})u", text)]
    outputs = run_layers(model, PLANES[:2])
    assert found == [zlib.crc32(output[i].tobytes()) for i in range(2) for output in outputs]


@pytest.mark.parametrize("level", ["-O0", "-O2", "-O3", "-Os"])
def test_objects_need_nothing_and_hold_no_writable_data(tmp_path, level):
    """Also that no compiler turns a copying loop into a call of memcpy."""
    columns_padded = (
        LayerShape("a", "conv2d", 3, 4, 3, 2, (0, 0, 1, 1)),
        LayerShape("b", "depthwise_conv2d", 4, 4, 3, 4, (0, 0, 1, 1)),
        LayerShape("c", "conv2d", 4, 1, 7),
    )
    for model in (random_model(0), random_model(0, columns_padded)):
        files = generate_c(model)
        sources = (*NETWORK, *PLANES_SOURCES, *FLOAT, *SELFTEST)
        compile_c(tmp_path, files, sources, level, "-c")
        for source in sources:
            listing = subprocess.run(
                ["nm", source.replace(".c", ".o")], cwd=tmp_path, check=True, capture_output=True, text=True
            ).stdout
            kinds = [(line.split()[-2], line.split()[-1]) for line in listing.splitlines()]
            assert kinds
            for kind, symbol in kinds:
                assert kind in "UTtRr", (source, symbol)
                assert symbol.startswith("slewguard_") or kind in "tr", (source, symbol)


def test_sizes_are_those_promised_for_the_plain_style(model):
    sizes = measure_sizes(model, ("-Os",))
    assert len(Printer(model).blob.image) < sizes.const_bytes < len(Printer(model).blob.image) + 400
    assert sizes.code_bytes > 1000
    assert sizes.writable_bytes == 0
    assert sizes.code_bytes + sizes.const_bytes <= 14_000
    assert sizes.scratch_bytes == make_plan(model).scratch_bytes <= 10_000


def test_network_text_keeps_the_language_it_promises(model):
    files = generate_c(model)
    for name, content in files.items():
        text = content.decode("ascii")
        assert "\t" not in text
        if name.endswith(".csv"):
            continue
        assert text.endswith("}\n") or text.endswith("};\n") or text.endswith("#endif\n"), name
        assert max(map(len, text.splitlines())) <= 120, name
        code = re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)
        assert (
            not re.search(r"\b(float|double|long long|u?int64_t|malloc|goto|union)\b", code)
            or "main" in name
            or "float" in name
        )
        headers = re.findall(r"#include <(.*)>", code)
        assert set(headers) <= ({"stdio.h"} if "main" in name else {"stdint.h"})
    network = re.sub(r"/\*.*?\*/", "", files["slewguard_network.c"].decode(), flags=re.DOTALL)
    assert not re.search(r"\b(if|while|switch)\b", network)


def test_generation_is_deterministic():
    program = (
        "import hashlib; from slewguard.embedded.generate import generate_c;"
        "from slewguard.export.flight import LayerShape, random_model;"
        "files = generate_c(random_model(5));"
        "print(hashlib.sha256(b''.join(n.encode() + c for n, c in files.items())).hexdigest())"
    )
    hashes = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={"PYTHONHASHSEED": seed, "TZ": zone},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for seed, zone in (("1", "UTC"), ("2", "Asia/Tokyo"))
    }
    assert len(hashes) == 1


def test_names_cannot_break_the_code():
    """Layers may be called like keywords or like our own names; a model may be called anything."""
    model = random_model(4)
    names = ("int", "double", "score", "planes", "scratch", "tables_crc", "_", "selftest", "judge")
    layers = tuple(replace(layer, name=name) for layer, name in zip(model.layers, names, strict=True))
    name = 'evil */ "?" ??/ \\ \n é #include <x>'
    model = replace(model, layers=layers, name=name)
    backend = CBackend(model, ("-O0",))
    assert_equal_to_numpy(backend, model, PLANES[-4:])
    assert run_selftest(generate_c(model), ("-O0",)).passed
    held = (ctypes.c_char * 200).in_dll(backend._library, "slewguard_model")
    assert held.raw.startswith(name.encode() + b"\0" + model.sha256.encode() + b"\0")


def test_example_of_the_documentation_compiles(tmp_path, model):
    page = (Path(__file__).parents[1] / "docs" / "integration.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```c\n(.*?)```", page, flags=re.DOTALL)
    files = {**generate_c(model), "example.c": example.encode()}
    compile_c(tmp_path, files, (*NETWORK, "example.c"), "-O2", "-shared", "-fPIC", "-o", "example.so")
    library = ctypes.CDLL(str(tmp_path / "example.so"))
    false = [library.slew_is_false(ctypes.c_void_p(planes.ctypes.data)) for planes in PLANES]
    expected = model.verdict.verdicts(PLANES, run_layers(model, PLANES)[-1][:, 0, 0, 0])[0] == Verdict.VETO
    assert false == expected.astype(int).tolist()
    assert 0 < sum(false) < len(false)


def test_a_missing_compiler_is_named_in_one_line(model, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(EngineUnavailable, match="'cc' is not installed; on Debian it is in the package gcc") as caught:
        open_c_backend(model)
    assert "\n" not in str(caught.value)


def test_c_that_does_not_compile_is_told_in_one_line(model):
    files = {**generate_c(model), "slewguard.c": b"int32_t x = ;\n"}
    with pytest.raises(BadInput, match=r"generated C does not compile: slewguard\.c:1") as caught:
        run_selftest(files)
    assert "\n" not in str(caught.value)


def test_backend_says_what_it_is_and_refuses_other_planes(backend):
    assert isinstance(backend, VerdictBackend)
    assert backend.name == "c"
    assert backend.version == f"{compiler_version()}, -O2"
    for planes in (np.zeros((1, 3, 56, 56), dtype=np.int16), np.zeros((1, 2, 56, 56), dtype=np.int8)):
        with pytest.raises(ValueError, match="expected int8"):
            backend.score(planes)
    assert backend.score(PLANES[:0]).shape == (0,)
    assert [len(output) for output in backend.layers(PLANES[:0])] == [0] * 9
