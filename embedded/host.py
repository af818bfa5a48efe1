"""The C code on this machine: built with ``cc``, loaded as a back end, run as a self-test, and weighed."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slewguard.embedded.generate import NETWORK, SELFTEST, generate_c
from slewguard.embedded.harness import harness_source
from slewguard.embedded.plan import make_plan
from slewguard.export.backends import EngineUnavailable
from slewguard.export.model import IntegerModel
from slewguard.subimages.errors import BadInput

FLAGS = ("-std=c99", "-pedantic", "-Wall", "-Wextra", "-Wconversion", "-Wcast-qual", "-Werror")
"""Language and warnings with which the generated C is clean."""
OPTIMISATION = ("-O2",)
_HARNESS = "slewguard_harness.c"


def find_tool(name: str, package: str) -> str:
    """Path of a program.

    Parameters
    ----------
    name : str
    package : str
        The Debian package that has it.

    Raises
    ------
    BadInput
        If it is not installed.
    """
    path = shutil.which(name)
    if path is None:
        raise BadInput(f"program {name!r} is not installed; on Debian it is in the package {package}")
    return path


def compiler_version() -> str:
    """First line of what the host's ``cc`` says of itself."""
    return _run([find_tool("cc", "gcc"), "--version"]).stdout.splitlines()[0]


def _run(command: Sequence[object]) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)


@contextmanager
def _folder(files: Mapping[str, bytes]) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="slewguard-c-") as name:
        folder = Path(name)
        for file, content in files.items():
            (folder / file).write_bytes(content)
        yield folder


def _compile(folder: Path, sources: Sequence[str], flags: Sequence[str], output: str) -> Path:
    command = [find_tool("cc", "gcc"), *FLAGS, *flags, *(folder / s for s in sources), "-o", folder / output]
    done = _run(command)
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if "error" in line] or done.stderr.splitlines()
        fault = lines[0].replace(f"{folder}/", "") if lines else f"exit status {done.returncode}"
        raise BadInput(f"generated C does not compile: {fault}")
    return folder / output


class CBackend:
    """The generated C as a back end for conformance.

    Parameters
    ----------
    model : IntegerModel
    flags : sequence of str
        Optimisation flags.
    """

    name = "c"

    def __init__(self, model: IntegerModel, flags: Sequence[str] = OPTIMISATION) -> None:
        self.version = f"{compiler_version()}, {' '.join(flags)}"
        plan = make_plan(model)
        self._outputs = [(step.out_shape, step.layer.dtype) for step in plan.steps]
        self._scratch = np.zeros(plan.scratch_bytes, dtype=np.uint8)
        files = {**generate_c(model), _HARNESS: harness_source(plan).encode("ascii")}
        with _folder(files) as folder:
            library = _compile(folder, (*NETWORK, _HARNESS), (*flags, "-shared", "-fPIC"), "slewguard.so")
            # The mapping outlives the file.
            self._library = ctypes.CDLL(str(library))

    def layers(self, planes: NDArray[np.int8]) -> list[NDArray[Any]]:
        """Outputs of every layer.

        Parameters
        ----------
        planes : int8 array [N, 3, 56, 56]

        Returns
        -------
        list of int8 or uint8 arrays [N, out, rows, columns]
        """
        planes = _checked(planes)
        outputs = [np.zeros((len(planes), *shape), dtype=dtype) for shape, dtype in self._outputs]
        pointers = (ctypes.c_void_p * len(outputs))(*(output.ctypes.data for output in outputs))
        self._library.slewguard_harness_layers(
            _pointer(planes), ctypes.c_size_t(len(planes)), _pointer(self._scratch), pointers
        )
        return outputs

    def judge(self, planes: NDArray[np.int8]) -> tuple[NDArray[np.int8], NDArray[np.uint8], NDArray[np.uint8]]:
        """Score, verdict and reason of N sub-images.

        Parameters
        ----------
        planes : int8 array [N, 3, 56, 56]

        Returns
        -------
        score : int8 array [N]
        verdict : uint8 array [N]
            :class:`slewguard.subimages.Verdict` values.
        reason : uint8 array [N]
            Index into :data:`slewguard.subimages.REASONS`.
        """
        planes = _checked(planes)
        score = np.zeros(len(planes), dtype=np.int8)
        verdict, reason = np.zeros((2, len(planes)), dtype=np.uint8)
        arrays = [_pointer(array) for array in (self._scratch, score, verdict, reason)]
        self._library.slewguard_harness_judge(_pointer(planes), ctypes.c_size_t(len(planes)), *arrays)
        return score, verdict, reason

    def score(self, planes: NDArray[np.int8]) -> NDArray[np.int8]:
        """Scores of N sub-images, int8 [N]."""
        return self.judge(planes)[0]

    def verdicts(self, planes: NDArray[np.int8]) -> NDArray[np.uint8]:
        """Verdicts of N sub-images, uint8 [N]."""
        return self.judge(planes)[1]


def _checked(planes: NDArray[np.int8]) -> NDArray[np.int8]:
    if planes.dtype != np.int8 or planes.shape[1:] != (3, 56, 56):
        raise ValueError(f"planes are {planes.dtype} {planes.shape}, expected int8 [N, 3, 56, 56]")
    return np.ascontiguousarray(planes)


def _pointer(array: NDArray[Any]) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.ctypes.data)


def open_c_backend(model: IntegerModel) -> CBackend:
    """Print a model as C, build it with the host's compiler and load it.

    Raises
    ------
    EngineUnavailable
        If there is no C compiler.
    BadInput
        If there is one that does not take the generated C.
    """
    try:
        find_tool("cc", "gcc")
    except BadInput as error:
        raise EngineUnavailable(error.fault) from error
    return CBackend(model)


@dataclass(frozen=True)
class SelfTest:
    """What the self-test said.

    Parameters
    ----------
    passed : bool
    message : str
        Its one line of output.
    """

    passed: bool
    message: str


def run_selftest(files: Mapping[str, bytes], flags: Sequence[str] = OPTIMISATION) -> SelfTest:
    """Build the self-test's program from generated files and run it.

    Parameters
    ----------
    files : mapping of str to bytes
        As :func:`slewguard.embedded.generate.generate_c` gives them, or as they were read from a package.
    flags : sequence of str
        Optimisation flags, sanitizers.

    Raises
    ------
    BadInput
        If there is no C compiler or the files do not compile.
    """
    with _folder(files) as folder:
        program = _compile(folder, (*NETWORK, *SELFTEST, "main_selftest.c"), flags, "selftest")
        done = _run([program])
    return SelfTest(done.returncode == 0, (done.stdout + done.stderr).strip())


@dataclass(frozen=True)
class Sizes:
    """Bytes of the network's objects (self-test and golden vectors apart).

    Parameters
    ----------
    code_bytes, const_bytes : int
        Instructions; tables and strings.
    writable_bytes : int
        Initialised and zeroed data; 0 by construction.
    scratch_bytes : int
        Working memory that the caller lends.
    """

    code_bytes: int
    const_bytes: int
    writable_bytes: int
    scratch_bytes: int


def measure_sizes(model: IntegerModel, flags: Sequence[str] = OPTIMISATION) -> Sizes:
    """Weigh the network as the host's compiler builds it.

    Raises
    ------
    BadInput
        If there is no C compiler or no ``size``.
    """
    kinds = {".text": 0, ".rodata": 0, ".data": 0, ".bss": 0}
    with _folder(generate_c(model)) as folder:
        for source in NETWORK:
            built = _compile(folder, (source,), (*flags, "-c"), source + ".o")
            for line in _run([find_tool("size", "binutils"), "-A", "-d", built]).stdout.splitlines():
                section, size, *_ = [*line.split(), "", ""]
                for kind in kinds:
                    if section == kind or section.startswith(kind + "."):
                        kinds[kind] += int(size)
    return Sizes(kinds[".text"], kinds[".rodata"], kinds[".data"] + kinds[".bss"], make_plan(model).scratch_bytes)
