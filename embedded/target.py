"""Machines that the C code is built for and run on, described by one small folder each under ``targets/``.

The emulator counts instead of measuring: under QEMU's ``-icount shift=N,sleep=off`` every instruction takes 2^N ns
of the machine's own time, so that a timer of the machine is a count of instructions, the same in every run.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any

from slewguard.subimages.errors import BadInput

LANGUAGE = ("-std=c99", "-pedantic", "-Wall", "-Wextra", "-Wconversion", "-Wcast-qual", "-Werror")
"""Language and warnings with which the generated C is clean."""
CLANG = "clang-16"
_FREESTANDING = ("-ffreestanding", "-fno-pic", "-fno-pie", "-fno-common")
_LINK = ("-nostdlib", "-static", "-Wl,--build-id=none,--no-warn-execstack,--no-warn-rwx-segments")
_SUPPORT = ("start.S", "console.c")
_RUN_SECONDS = 300


@dataclass(frozen=True)
class Target:
    """Facts of a machine: the keys of its ``target.toml``.

    Parameters
    ----------
    name, describes : str
    emulator : tuple of str
        Command; the ELF file is appended.
    icount_shift : int
        An instruction takes 2^shift ns of the machine's time.
    ticks_per_instruction : float
        Of the counter that ``target_now`` reads.
    compiler, binutils : str
        The compiler and the prefix of ``readelf``, ``objdump`` and ``size``.
    emulator_package, compiler_package, binutils_package : str
        Debian packages.
    arch, best, clang_arch : tuple of str
        Flags: of the processor, of the fewest instructions, of the processor for clang.
    elf_machine, elf_flags, forbidden : str
        What ``readelf`` says of a right ELF file; a regular expression of instructions that it must not hold.
    cycles : mapping of str to (low, high)
        Cycles of each kind of instruction, from published tables; empty if none are cited.
    """

    name: str
    describes: str
    emulator: tuple[str, ...]
    emulator_package: str
    icount_shift: int
    ticks_per_instruction: float
    compiler: str
    compiler_package: str
    binutils: str
    binutils_package: str
    arch: tuple[str, ...]
    best: tuple[str, ...]
    clang_arch: tuple[str, ...]
    elf_machine: str
    elf_flags: str
    forbidden: str
    cycles: Mapping[str, Sequence[float]] = field(default_factory=dict)

    @cached_property
    def folder(self) -> Path:
        """Where the start-up, the linker script and the console lie."""
        return _targets() / self.name

    def missing(self) -> dict[str, str]:
        """Programs that are not installed, each with its Debian package."""
        needed = {
            self.emulator[0]: self.emulator_package,
            self.compiler: self.compiler_package,
            f"{self.binutils}readelf": self.binutils_package,
        }
        return {program: package for program, package in needed.items() if shutil.which(program) is None}

    def require(self) -> None:
        """Raise :class:`BadInput` with the packages to install if the target cannot run here."""
        missing = self.missing()
        if missing:
            packages = " ".join(sorted(set(missing.values())))
            raise BadInput(f"target {self.name} needs {', '.join(missing)}: apt install {packages}")

    def compile(
        self, sources: Sequence[Path], flags: Sequence[str], folder: Path, *, clang: bool = False
    ) -> list[Path]:
        """Compile C files of the network, with every warning an error.

        Parameters
        ----------
        sources : sequence of Path
        flags : sequence of str
            Optimisation and the like.
        folder : Path
            Where the objects go.
        clang : bool
            With clang instead of the target's gcc.
        """
        driver = [CLANG, *self.clang_arch] if clang else [self.compiler, *self.arch]
        objects = []
        for source in sources:
            built = folder / f"{source.stem}.o"
            run_tool([*driver, *LANGUAGE, *_FREESTANDING, *flags, "-c", source, "-o", built])
            objects.append(built)
        return objects

    def link(self, objects: Sequence[Path], output: Path) -> None:
        """Link objects with the target's start-up and console, without any library, and check the ELF file."""
        support = [self.folder / name for name in _SUPPORT]
        options = [*self.arch, *_FREESTANDING, "-O1", f"-I{_targets()}", *_LINK, f"-Wl,-T,{self.folder / 'link.ld'}"]
        run_tool([self.compiler, *options, *support, *objects, "-o", output])
        self.check_elf(output)

    def check_elf(self, elf: Path) -> None:
        """Raise :class:`BadInput` unless an ELF file is of this machine and free of what it cannot execute."""
        header = run_tool([f"{self.binutils}readelf", "-h", elf])
        for key, expected in (("Machine", self.elf_machine), ("Flags", self.elf_flags)):
            found = re.search(rf"^\s*{key}:\s*([^,\n]*?)\s*(?:,.*)?$", header, re.MULTILINE)
            if found is None or found[1] != expected:
                raise BadInput(f"ELF file for {self.name} has {key} {found and found[1]}, expected {expected}")
        if self.forbidden:
            listing = run_tool([f"{self.binutils}objdump", "-d", elf])
            # Of an instruction's line; others name the file, whose folder may be called anything.
            listing = "\n".join(re.findall(r"^\s*[0-9a-f]+:\t.*$", listing, re.MULTILINE))
            wrong = sorted({match[0] for match in re.finditer(self.forbidden, listing)})
            if wrong:
                raise BadInput(f"ELF file for {self.name} holds instructions it cannot execute: {', '.join(wrong)}")

    def run(self, elf: Path, options: Sequence[str] | None = None) -> str:
        """Text that a program writes to the console.

        Parameters
        ----------
        elf : Path
        options : sequence of str, optional
            Of the emulator, instead of counting.
        """
        counting = ("-icount", f"shift={self.icount_shift},sleep=off")
        command = [*self.emulator, *(counting if options is None else options), "-kernel", str(elf)]
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=_RUN_SECONDS, stdin=subprocess.DEVNULL, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise BadInput(f"target {self.name} did not end within {_RUN_SECONDS} s") from error
        if done.returncode:
            raise BadInput(f"{self.emulator[0]} failed: {(done.stderr or done.stdout).strip()[-200:]}")
        return done.stdout

    def section_bytes(self, objects: Sequence[Path]) -> dict[str, int]:
        """Bytes of code, constants and writable data of objects: keys ``.text``, ``.rodata``, ``.data``, ``.bss``."""
        return section_bytes(f"{self.binutils}size", objects)


def section_bytes(size: str, objects: Sequence[Path]) -> dict[str, int]:
    """Bytes of each kind of section over objects, as a ``size`` program tells them."""
    kinds = {".text": 0, ".rodata": 0, ".data": 0, ".bss": 0}
    for line in run_tool([size, "-A", "-d", *objects]).splitlines():
        section, number, *_ = [*line.split(), "", ""]
        for kind, alias in ((".text", ""), (".rodata", ".srodata"), (".data", ".sdata"), (".bss", ".sbss")):
            if any(section == name or section.startswith(name + ".") for name in (kind, alias) if name):
                kinds[kind] += int(number)
    return kinds


def run_tool(command: Sequence[object]) -> str:
    """Standard output of a program; :class:`BadInput` with its first complaint if it fails."""
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if "error" in line or "undefined" in line]
        fault = (lines or done.stderr.splitlines() or [f"exit status {done.returncode}"])[0]
        raise BadInput(f"{command[0]}: {fault}")
    return done.stdout


def _targets() -> Path:
    return Path(str(files("slewguard.embedded") / "targets"))


def target_names() -> list[str]:
    """Names of all targets."""
    return sorted(path.parent.name for path in _targets().glob("*/target.toml"))


def load_target(name: str) -> Target:
    """Read the facts of a target.

    Raises
    ------
    BadInput
        If there is none of this name.
    """
    if name not in target_names():
        raise BadInput(f"no target {name:.40}; there are {', '.join(target_names())}")
    facts: dict[str, Any] = tomllib.loads((_targets() / name / "target.toml").read_text(encoding="utf-8"))
    given: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in facts.items()}
    return Target(**given)
