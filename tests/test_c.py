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
from c_models import PLANES, adversarial_planes, odd_model
from hypothesis import given
from hypothesis import strategies as st

from slewguard.embedded.generate import FLOAT, NETWORK, SELFTEST, Printer, generate_c
from slewguard.embedded.generate import PLANES as PLANES_SOURCES
from slewguard.embedded.golden import built_in_planes
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
from slewguard.export.flight import LayerShape, random_model
from slewguard.export.model import Layer
from slewguard.export.sequence import SequenceRule
from slewguard.export.verdict import VerdictRule
from slewguard.subimages import BadInput, Verdict
from slewguard.subimages.contract import REASONS

OUTSIDE, BAD, UNFAMILIAR = (REASONS.index(name) for name in ("outside_limits", "bad_value", "unfamiliar"))


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
