"""Build a model for a target, run it in the emulator, compare every byte with numpy, and count."""

from __future__ import annotations

import tempfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from slewguard.embedded.generate import NETWORK, SELFTEST, Printer, Style
from slewguard.embedded.harness import PROBE, TRACE, probe_planes, probe_source
from slewguard.embedded.stack import FLAG, stack_bound
from slewguard.embedded.target import CLANG, LANGUAGE, Target, run_tool
from slewguard.export.execute import run_layers
from slewguard.export.model import IntegerModel
from slewguard.subimages.errors import BadInput

TRACED = 16
"""Inputs whose layers are compared one by one."""
_CHUNK = 64


@dataclass(frozen=True)
class Run:
    """What one build of a model did on a target.

    Parameters
    ----------
    equal : bool
        Whether the self-test passed and every layer, score, verdict and reason is that of numpy.
    instructions : int
        Of one ``slewguard_score``, the most over the inputs.
    spread : int
        The most less the least over the inputs.
    judge_instructions, judge_spread : int
        Of one ``slewguard_judge``.
    layers : tuple of int
        Instructions of each layer; in the fast style the first has the packing of the planes.
    code_bytes, const_bytes, writable_bytes, scratch_bytes, stack_bytes : int
        Of the sources that fly; ``stack_bytes`` bounds ``slewguard_judge`` from its own frame on, 0 with clang.
    compiler, flags : str
    inputs : int
    """

    equal: bool
    instructions: int
    spread: int
    judge_instructions: int
    judge_spread: int
    layers: tuple[int, ...]
    code_bytes: int
    const_bytes: int
    writable_bytes: int
    scratch_bytes: int
    stack_bytes: int
    compiler: str
    flags: str
    inputs: int


@dataclass(frozen=True)
class Expected:
    """What numpy makes of the inputs that the probe makes; computed once for many builds."""

    crc: NDArray[np.uint32]
    answers: NDArray[np.int64]


def expect(model: IntegerModel, inputs: int) -> Expected:
    """Run the numpy executor on the probe's inputs."""
    planes = probe_planes(model, inputs)
    crc, scores = [], []
    for start in range(0, inputs, _CHUNK):
        outputs = run_layers(model, planes[start : start + _CHUNK])
        scores.append(outputs[-1][:, 0, 0, 0])
        for i in range(start, min(start + _CHUNK, TRACED)):
            crc.append([zlib.crc32(output[i - start].tobytes()) for output in outputs])
    score = np.concatenate(scores)
    verdict, reason = model.verdict.verdicts(planes, score)
    answers = np.column_stack([score.astype(int) + 128, verdict, reason]).astype(np.int64)
    return Expected(np.array(crc, dtype=np.uint32), answers)


def measure_target(
    model: IntegerModel,
    target: Target,
    *,
    style: Style = "fast",
    flags: Sequence[str] | None = None,
    clang: bool = False,
    inputs: int = TRACED,
    expected: Expected | None = None,
) -> Run:
    """Build, run, compare and count.

    Parameters
    ----------
    model : IntegerModel
    target : Target
    style : str
        ``plain`` or ``fast``.
    flags : sequence of str, optional
        Instead of the target's best ones.
    clang : bool
        With clang instead of the target's gcc.
    inputs : int
        Sub-images that are judged and counted.
    expected : Expected, optional
        As of :func:`expect` for as many inputs.

    Raises
    ------
    BadInput
        If a tool is missing, the program traps or does not end, or the ELF file is not right.
    """
    target.require()
    chosen = tuple(target.best if flags is None else flags)
    printer = Printer(model, style)
    expected = expected or expect(model, inputs)
    with tempfile.TemporaryDirectory(prefix="slewguard-target-") as name:
        folder = Path(name)
        files = printer.files()
        files |= {TRACE: printer.trace(), PROBE: probe_source(model, min(TRACED, inputs), inputs).encode("ascii")}
        for file, content in files.items():
            (folder / file).write_bytes(content)
        usage = () if clang else (FLAG,)
        network = target.compile([folder / s for s in NETWORK], (*chosen, *usage), folder, clang=clang)
        rest = target.compile([folder / s for s in (*SELFTEST, TRACE)], chosen, folder, clang=clang)
        rest += target.compile([folder / PROBE], ("-O1", f"-I{target.folder.parent}"), folder)
        elf = folder / "probe.elf"
        target.link([*network, *rest], elf)
        text = target.run(elf)
        sizes = target.section_bytes(network)
        stack = 0 if clang else stack_bound(path.with_suffix(".ci") for path in network)
    version = run_tool([CLANG if clang else target.compiler, "--version"]).splitlines()[0]
    shown = " ".join((*(target.clang_arch if clang else target.arch), *LANGUAGE, *chosen))
    return _read(text, target, expected, sizes, printer.scratch_bytes, stack, version, shown)


def _read(
    text: str,
    target: Target,
    expected: Expected,
    sizes: dict[str, int],
    scratch: int,
    stack: int,
    compiler: str,
    flags: str,
) -> Run:
    lines = [line.split() for line in text.splitlines() if line.strip()]
    if not lines or lines[-1] != ["end"]:
        raise BadInput(f"target {target.name} stopped with {' '.join(lines[-1]) if lines else 'no output'!r}")
    named = {key: [[int(v, 16) for v in line[1:]] for line in lines if line[0] == key] for key in ("layers", "judge")}
    layers = np.array(named["layers"])
    judged = np.array(named["judge"])
    (selftest,) = (int(line[1], 16) for line in lines if line[0] == "selftest")
    (empty,) = (int(line[1], 16) for line in lines if line[0] == "empty")
    equal = (
        selftest == 0
        and np.array_equal(layers[:, 0::2], expected.crc[: len(layers)])
        and np.array_equal(judged[:, :3], expected.answers)
    )
    counts = np.rint((judged[:, 3:] - empty) / target.ticks_per_instruction).astype(int)
    return Run(
        equal=bool(equal),
        instructions=int(counts[:, 0].max()),
        spread=int(np.ptp(counts[:, 0])),
        judge_instructions=int(counts[:, 1].max()),
        judge_spread=int(np.ptp(counts[:, 1])),
        layers=tuple(np.rint(layers[0, 1::2] / target.ticks_per_instruction).astype(int).tolist()),
        code_bytes=sizes[".text"],
        const_bytes=sizes[".rodata"],
        writable_bytes=sizes[".data"] + sizes[".bss"],
        scratch_bytes=scratch,
        stack_bytes=stack,
        compiler=compiler,
        flags=flags,
        inputs=len(judged),
    )
