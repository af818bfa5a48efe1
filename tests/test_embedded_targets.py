"""Emulated machines: the same bytes from every build, exact counts, and the promises that are made of them.

A test that needs a program which is not here is skipped with the Debian package that has it; CI installs them all.
"""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest

from slewguard.benchmarks.targets import reference_model
from slewguard.embedded.generate import generate_c
from slewguard.embedded.measure import expect, measure_target
from slewguard.embedded.mix import cycle_band, instruction_mix, kind_of
from slewguard.embedded.stack import stack_bound
from slewguard.embedded.target import CLANG, load_target, run_tool, target_names
from slewguard.export.flight import HANDMADE, random_model
from slewguard.export.package import open_model
from slewguard.subimages import BadInput

MODEL = open_model("default")
FEW = expect(MODEL, 4)
# Instructions of a multiply-accumulate on the reference network, best flags, fast style.
PER_MAC = {"leon3": 1.25, "m4": 1.3, "rv32": 1.45}


def target_or_skip(name, *more):
    target = load_target(name)
    missing = target.missing() | {program: package for program, package in more if shutil.which(program) is None}
    if missing:
        pytest.skip(f"needs {', '.join(missing)}: apt install {' '.join(sorted(set(missing.values())))}")
    return target


@pytest.fixture(params=target_names())
def target(request):
    return target_or_skip(request.param)


@pytest.fixture
def leon3():
    return target_or_skip("leon3")


def test_the_first_wave_is_there():
    assert set(target_names()) >= {"leon3", "m4", "rv32"}


def test_fast_style_is_equal_constant_and_within_its_limits(target):
    model = reference_model(0)
    run = measure_target(model, target, inputs=60)
    assert run.equal
    assert (run.spread, run.judge_spread) == (0, 0)
    assert run.instructions <= PER_MAC[target.name] * model.macs
    assert run.writable_bytes == 0
    assert 0 < run.stack_bytes < 1024
    assert abs(sum(run.layers) - run.instructions) < 0.02 * run.instructions


def test_plain_style_is_equal_constant_and_small(target):
    run = measure_target(MODEL, target, style="plain", inputs=4, expected=FEW)
    assert run.equal
    assert (run.spread, run.judge_spread) == (0, 0)
    assert run.code_bytes + run.const_bytes <= 14_000
    assert run.scratch_bytes <= 10_000
    assert 0 < run.stack_bytes < 1024


def test_the_flight_model_keeps_its_budget_on_leon3(leon3):
    run = measure_target(MODEL, leon3, inputs=1000)
    assert run.equal
    assert (run.spread, run.judge_spread) == (0, 0)
    assert run.instructions <= 450_000
    assert run.code_bytes + run.const_bytes <= 36_000
    assert run.scratch_bytes <= 12_000


@pytest.mark.parametrize("level", ["-O0", "-O1", "-O2", "-O3", "-Os"])
@pytest.mark.parametrize("style", ["plain", "fast"])
def test_every_level_gives_the_same_bytes_on_leon3(leon3, style, level):
    run = measure_target(MODEL, leon3, style=style, flags=(level,), inputs=4, expected=FEW)
    assert run.equal
    assert run.spread == 0


@pytest.mark.parametrize("style", ["plain", "fast"])
@pytest.mark.parametrize("name", target_names())
def test_clang_gives_the_same_bytes(name, style):
    target = target_or_skip(name, (CLANG, CLANG))
    run = measure_target(MODEL, target, style=style, flags=("-O2",), clang=True, inputs=4, expected=FEW)
    assert run.equal
    assert run.spread == 0


@pytest.mark.parametrize("style", ["plain", "fast"])
def test_no_undefined_behaviour_traps_on_leon3(leon3, style):
    flags = ("-O1", "-fsanitize=undefined", "-fsanitize-undefined-trap-on-error")
    assert measure_target(MODEL, leon3, style=style, flags=flags, inputs=4, expected=FEW).equal


def test_the_handmade_network_in_plain_style_on_leon3(leon3):
    model = random_model(0, HANDMADE)
    run = measure_target(model, leon3, style="plain", inputs=1)
    assert run.equal


def test_a_folder_named_like_a_forbidden_instruction_is_none(leon3, tmp_path, monkeypatch):
    (tmp_path / "popc").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "popc"))
    assert measure_target(MODEL, leon3, flags=("-O1",), inputs=4, expected=FEW).equal


def test_an_instruction_that_is_forbidden_is_found(leon3):
    strict = replace(leon3, forbidden=r"\bnop\b")
    with pytest.raises(BadInput, match="cannot execute: nop"):
        measure_target(MODEL, strict, flags=("-O1",), inputs=4, expected=FEW)


def test_a_wrong_answer_is_told(leon3):
    wrong = replace(FEW, answers=FEW.answers + 1)
    assert not measure_target(MODEL, leon3, flags=("-O1",), inputs=4, expected=wrong).equal
    wrong = replace(FEW, crc=FEW.crc + 1)
    assert not measure_target(MODEL, leon3, flags=("-O1",), inputs=4, expected=wrong).equal


def test_the_mix_adds_up_to_the_count_and_bounds_the_cycles(leon3):
    mix = instruction_mix(MODEL, leon3, "fast")
    run = measure_target(MODEL, leon3, inputs=4, expected=FEW)
    # The counter includes the call, with its arguments, and the return.
    assert 0 <= run.instructions - sum(mix.values()) <= 10
    low, high = cycle_band(mix, leon3)
    assert run.instructions < low < high < 3 * run.instructions


@pytest.mark.parametrize(
    ("mnemonic", "kind"),
    [
        *(("smul", "mul"), ("umul", "mul"), ("ldub", "load"), ("ldd", "load"), ("sth", "store"), ("std", "store")),
        *(("bne", "branch"), ("ba,a", "branch"), ("call", "branch"), ("ret", "branch"), ("retl", "branch")),
        *(("add", "alu"), ("sll", "alu"), ("sethi", "alu"), ("save", "alu"), ("restore", "alu"), ("btst", "alu")),
    ],
)
def test_kinds_of_instructions(mnemonic, kind):
    assert kind_of(mnemonic) == kind


TRAPPING = """
#include "target.h"
void target_trapped(uint32_t number)
{
    target_put((char)('a' + number / 16u));
    target_put((char)('a' + number % 16u));
    target_exit();
}
static uint32_t deep(uint32_t n, volatile uint32_t *sum)
{
    *sum += n;
    return (n == 0u) ? *sum : deep(n - 1u, sum) + (*sum & 1u);
}
int main(void)
{
    volatile uint32_t sum = 0;
    volatile uint32_t bytes[2] = {0, 0};

    target_put((deep(40u, &sum) == 820u) ? '+' : '-');
    __asm__ volatile("st %%g0, [%0]" : : "r"((uint32_t)bytes + 1u) : "memory");
    return 0;
}
"""


def built(leon3, folder, text, *flags):
    source, elf = folder / "own.c", folder / "own.elf"
    source.write_text(text)
    run_tool([leon3.compiler, *leon3.arch, "-ffreestanding", f"-I{leon3.folder.parent}", *flags, "-c", source,
              "-o", folder / "own.o"])  # fmt: skip
    leon3.link([folder / "own.o"], elf)
    return elf


def test_register_windows_and_traps_of_leon3_work(leon3, tmp_path):
    """Forty calls deep through eight windows, then a misaligned store, which is trap 7."""
    assert leon3.run(built(leon3, tmp_path, TRAPPING, "-O1")) == "+ah"


def test_an_elf_file_for_a_newer_sparc_is_refused(leon3, tmp_path):
    plain = "void target_trapped(unsigned n) { (void)n; }\n"
    longs = plain + 'int main(void) { __asm__ volatile("srlx %g1, 3, %g1"); return 0; }\n'
    with pytest.raises(BadInput, match="ELF file for leon3"):
        built(leon3, tmp_path, longs, "-Wa,-Av8plus")


def test_a_missing_library_function_does_not_link(leon3, tmp_path):
    text = "void target_trapped(unsigned n) { (void)n; }\nlong long f(long long a, long long b) { return a / b; }\n"
    with pytest.raises(BadInput, match="undefined reference"):
        built(leon3, tmp_path, text + "int main(void) { return (int)f(7, 3); }\n", "-O1")


def test_missing_programs_are_named_with_their_packages(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(BadInput, match=r"needs qemu-system-sparc.*apt install .*gcc-12-sparc64-linux-gnu") as caught:
        measure_target(MODEL, load_target("leon3"))
    assert "\n" not in str(caught.value)


def test_an_unknown_target_is_refused():
    for name in ("vax", "../leon3", "template"):
        with pytest.raises(BadInput, match="there are leon3"):
            load_target(name)


GRAPH = """graph: {{ title: "x"
node: {{ title: "slewguard_judge" label: "slewguard_judge\\nx.c:1:1\\n96 bytes ({kind})\\n0 dynamic objects" }}
node: {{ title: "x.c:leaf" label: "leaf\\nx.c:2:2\\n112 bytes (static)\\n0 dynamic objects" }}
edge: {{ sourcename: "slewguard_judge" targetname: "x.c:leaf" label: "x.c:3:3" }}
{more}
}}
"""


@pytest.mark.parametrize(
    ("kind", "more", "found"),
    [
        ("static", "", 208),
        ("dynamic", "", "has no static frame"),
        ("static", 'edge: { sourcename: "x.c:leaf" targetname: "slewguard_judge" }', "calls itself"),
        ("static", 'edge: { sourcename: "x.c:leaf" targetname: "memcpy" }', "no known frame"),
    ],
)
def test_stack_bound_is_the_deepest_path_or_refused(tmp_path, kind, more, found):
    path = Path(tmp_path / "x.ci")
    path.write_text(GRAPH.format(kind=kind, more=more))
    if isinstance(found, int):
        assert stack_bound([path]) == found
    else:
        with pytest.raises(BadInput, match=found):
            stack_bound([path])


RTEMS = """
#include <stddef.h>
#include <stdint.h>
typedef uint32_t rtems_id, rtems_name, rtems_task_priority, rtems_task_argument, rtems_status_code;
typedef void rtems_task;
typedef rtems_task (*rtems_task_entry)(rtems_task_argument);
enum { RTEMS_SUCCESSFUL, RTEMS_WAIT = 0, RTEMS_NO_TIMEOUT = 0, RTEMS_DEFAULT_MODES = 0, RTEMS_DEFAULT_ATTRIBUTES = 0 };
#define rtems_build_name(a, b, c, d) ((uint32_t)(a) << 24 | (uint32_t)(b) << 16 | (uint32_t)(c) << 8 | (uint32_t)(d))
rtems_status_code rtems_message_queue_receive(rtems_id, void *, size_t *, int, int);
rtems_status_code rtems_task_wake_after(uint32_t);
rtems_status_code rtems_task_create(rtems_name, rtems_task_priority, size_t, int, int, rtems_id *);
rtems_status_code rtems_task_start(rtems_id, rtems_task_entry, rtems_task_argument);
void rtems_task_exit(void) __attribute__((noreturn));
rtems_task Init(rtems_task_argument unused);
"""


def test_the_rtems_example_compiles_against_its_calls(tmp_path):
    example = Path(__file__).parents[1] / "embedded" / "examples" / "rtems_shadow.c"
    (tmp_path / "rtems.h").write_text(RTEMS)
    (tmp_path / "slewguard.h").write_bytes(generate_c(MODEL)["slewguard.h"])
    warnings = ("-std=c99", "-Wall", "-Wextra", "-Wconversion", "-Werror")
    run_tool(["cc", *warnings, f"-I{tmp_path}", "-c", example, "-o", tmp_path / "example.o"])
