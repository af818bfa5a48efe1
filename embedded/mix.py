"""What kinds of instructions one call takes, and the band of cycles that follows from published tables.

QEMU logs the address of every block that it executes and, once, the instructions of each block. Their sum over the
functions of the network is the instruction mix of one ``slewguard_score``, exact and in agreement with the counter.
From it a band of cycles: each kind times its least and its greatest published cost. Not a time, and no bound on one.
"""

from __future__ import annotations

import re
import tempfile
from collections import Counter
from pathlib import Path

from slewguard.embedded.generate import NETWORK, SELFTEST, Printer, Style
from slewguard.embedded.harness import MIX, mix_source
from slewguard.embedded.target import Target, run_tool
from slewguard.export.model import IntegerModel
from slewguard.subimages.errors import BadInput

_CONDITIONS = "a|n|e|ne|z|nz|g|le|ge|l|gu|leu|cc|geu|cs|lu|pos|neg|vc|vs"
_KINDS = (
    ("mul", re.compile(r"[us]mul")),
    ("load", re.compile(r"ld")),
    ("store", re.compile(r"st")),
    ("branch", re.compile(rf"(b({_CONDITIONS})(,a)?|call|jmp|ret|retl|rett)$")),
)
"""Kinds of SPARC instructions by their mnemonic; everything else is ``alu``."""
_BLOCK = re.compile(r"^Trace \d+: 0x[0-9a-f]+ \[[0-9a-f]+/([0-9a-f]+)/", re.MULTILINE)
_LINE = re.compile(r"^0x([0-9a-f]+):\s+(\S+)")


def kind_of(mnemonic: str) -> str:
    """Kind of a SPARC instruction."""
    return next((kind for kind, pattern in _KINDS if pattern.match(mnemonic)), "alu")


def instruction_mix(model: IntegerModel, target: Target, style: Style) -> dict[str, int]:
    """Instructions of one ``slewguard_score`` by kind: ``alu``, ``mul``, ``load``, ``store``, ``branch``.

    Raises
    ------
    BadInput
        If the target's tools are missing or the log is not understood.
    """
    target.require()
    printer = Printer(model, style)
    with tempfile.TemporaryDirectory(prefix="slewguard-mix-") as name:
        folder = Path(name)
        for file, content in {**printer.files(), MIX: mix_source().encode("ascii")}.items():
            (folder / file).write_bytes(content)
        network = target.compile([folder / s for s in NETWORK], target.best, folder)
        rest = target.compile([folder / s for s in SELFTEST], target.best, folder)
        rest += target.compile([folder / MIX], ("-O1", f"-I{target.folder.parent}"), folder)
        elf, log = folder / "mix.elf", folder / "log"
        target.link([*network, *rest], elf)
        inside = _functions(target, elf, folder / "slewguard_network.o")
        target.run(elf, ("-d", "in_asm,exec,nochain", "-D", str(log)))
        return _count(log.read_text(encoding="utf-8", errors="replace"), inside)


def _functions(target: Target, elf: Path, network: Path) -> list[tuple[int, int]]:
    """Address ranges of the functions of the network."""
    symbols = [line.split() for line in run_tool([f"{target.binutils}nm", network]).splitlines()]
    names = {symbol[-1] for symbol in symbols if symbol[-2] in "Tt"}
    ranges = []
    for line in run_tool([f"{target.binutils}nm", "-S", elf]).splitlines():
        parts = line.split()
        if len(parts) == 4 and parts[-1] in names:
            ranges.append((int(parts[0], 16), int(parts[0], 16) + int(parts[1], 16)))
    return ranges


def _count(log: str, inside: list[tuple[int, int]]) -> dict[str, int]:
    blocks: dict[int, Counter[str]] = {}
    block: Counter[str] | None = None
    for line in log.splitlines():
        match = _LINE.match(line)
        if line.startswith("IN:"):
            block = Counter()
        elif match and block is not None:
            if not block:
                blocks[int(match[1], 16)] = block
            block[kind_of(match[2])] += 1
        else:
            block = None
    total: Counter[str] = Counter({"alu": 0})
    for start, times in Counter(_BLOCK.findall(log)).items():
        address = int(start, 16)
        if any(low <= address < high for low, high in inside):
            if address not in blocks:
                raise BadInput(f"log of the emulator has no block at {address:#x}")
            for kind, n in blocks[address].items():
                total[kind] += n * times
    return dict(total)


def cycle_band(mix: dict[str, int], target: Target) -> tuple[int, int]:
    """Least and greatest cycles of a mix by the target's table."""
    low, high = (sum(n * target.cycles[kind][end] for kind, n in mix.items()) for end in (0, 1))
    return int(low), int(high)
