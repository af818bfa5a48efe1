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

from slewguard.embedded.generate import FLOAT, NETWORK, PLANES, SELFTEST, Printer, Style
from slewguard.embedded.harness import TRACE
from slewguard.embedded.target import LANGUAGE, section_bytes
from slewguard.export.backends import EngineUnavailable
from slewguard.export.model import IntegerModel
from slewguard.subimages.errors import BadInput

FLAGS = LANGUAGE
OPTIMISATION = ("-O2",)
_ANSWER = np.dtype([("verdict", "u1"), ("reason", "u1"), ("score", "i1")])


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


def compiler_version(compiler: str = "cc") -> str:
    """First line of what a compiler of the host says of itself."""
    return _run([find_tool(compiler, "gcc"), "--version"]).stdout.splitlines()[0]


def _run(command: Sequence[object]) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)


@contextmanager
def _folder(files: Mapping[str, bytes]) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="slewguard-c-") as name:
        folder = Path(name)
        for file, content in files.items():
            (folder / file).write_bytes(content)
        yield folder


def _compile(folder: Path, sources: Sequence[str], flags: Sequence[str], output: str, compiler: str = "cc") -> Path:
    command = [find_tool(compiler, "gcc"), *FLAGS, *flags, *(folder / s for s in sources), "-o", folder / output]
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
    style : str
        ``plain`` or ``fast``.
    compiler : str
        Program that compiles.
    """

    def __init__(
        self,
        model: IntegerModel,
        flags: Sequence[str] = OPTIMISATION,
        style: Style = "plain",
        compiler: str = "cc",
    ) -> None:
        self.name = "c" if style == "plain" else f"c-{style}"
        self.version = f"{compiler_version(compiler)}, {' '.join(flags)}"
        printer = Printer(model, style)
        self._outputs = [(shape, layer.dtype) for shape, layer in zip(model.shapes, model.layers, strict=True)]
        self._scratch = np.zeros(printer.scratch_bytes // 4, dtype=np.uint32)
        files = {**printer.files(), TRACE: printer.trace(host=True)}
        with _folder(files) as folder:
            sources = (*NETWORK, *PLANES, *FLOAT, *SELFTEST, TRACE)
            library = _compile(folder, sources, (*flags, "-shared", "-fPIC"), "slewguard.so", compiler)
            # The mapping outlives the file.
            self._library = ctypes.CDLL(str(library))

    @property
    def library(self) -> ctypes.CDLL:
        """The code."""
        return self._library

    @property
    def scratch(self) -> int:
        """Address of working memory for one call at a time."""
        return self._scratch.ctypes.data

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
        sizes = (ctypes.c_size_t * len(outputs))(*(int(np.prod(shape)) for shape, _ in self._outputs))
        self._library.slewguard_trace_all(
            _pointer(planes), ctypes.c_size_t(len(planes)), _pointer(self._scratch), pointers, sizes
        )
        return outputs

    def judge(
        self, planes: NDArray[np.int8], sequence: NDArray[np.integer] | None = None
    ) -> tuple[NDArray[np.int8], NDArray[np.uint8], NDArray[np.uint8]]:
        """Score, verdict and reason of N sub-images.

        Parameters
        ----------
        planes : int8 array [N, 3, 56, 56]
        sequence : integer array [N], optional
            Number of the event of each, in order of time; without it each stands alone.

        Returns
        -------
        score : int8 array [N]
        verdict : uint8 array [N]
            :class:`slewguard.subimages.Verdict` values.
        reason : uint8 array [N]
            Index into :data:`slewguard.subimages.REASONS`.
        """
        planes = _checked(planes)
        numbers = np.arange(len(planes)) if sequence is None else np.unique(sequence, return_inverse=True)[1]
        numbers = np.ascontiguousarray(numbers, dtype=np.uint32)
        answers = np.zeros(len(planes), dtype=_ANSWER)
        states = np.zeros((len(planes), 2), dtype=np.uint8)
        events = ctypes.c_size_t(int(numbers.max(initial=0)) + 1 if len(planes) else 0)
        given = [_pointer(array) for array in (self._scratch, numbers, states)]
        self._library.slewguard_judge_all(
            _pointer(planes), ctypes.c_size_t(len(planes)), *given, events, _pointer(answers)
        )
        return answers["score"].copy(), answers["verdict"].copy(), answers["reason"].copy()

    def make_planes(
        self, snr: NDArray[np.float32] | NDArray[np.int32], mask: NDArray[np.uint8], catalogue_id: int
    ) -> tuple[NDArray[np.int8], int]:
        """Planes of one sub-image and why it breaks the contract, 0 if it does not.

        Parameters
        ----------
        snr : float32 or int32 array [56, 56]
            In sigma with NaN for no data, or fixed point as of ``slewguard_make_planes``.
        mask : uint8 array [56, 56]
        catalogue_id : int
        """
        is_float = snr.dtype == np.float32
        make = self._library.slewguard_make_planes_float if is_float else self._library.slewguard_make_planes
        make.restype = ctypes.c_uint8
        planes = np.zeros((3, 56, 56), dtype=np.int8)
        given = [np.ascontiguousarray(array) for array in (snr, mask)]
        number = ctypes.c_int32(catalogue_id)
        reason = make(_pointer(given[0]), _pointer(given[1]), number, _pointer(planes), _pointer(self._scratch))
        return planes, int(reason)

    def score(self, planes: NDArray[np.int8]) -> NDArray[np.int8]:
        """Scores of N sub-images, int8 [N]."""
        return self.judge(planes)[0]

    def verdicts(self, planes: NDArray[np.int8]) -> NDArray[np.uint8]:
        """Verdicts of N sub-images that stand alone, uint8 [N]."""
        return self.judge(planes)[1]

    def sequence_verdicts(
        self, planes: NDArray[np.int8], sequence: NDArray[np.int64]
    ) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Verdicts and reasons of N looks, those of one event with the same number: two uint8 arrays [N]."""
        return self.judge(planes, sequence)[1:]


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
        program = _compile(folder, (*NETWORK, *PLANES, *SELFTEST, "main_selftest.c"), flags, "selftest")
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


def measure_sizes(model: IntegerModel, flags: Sequence[str] = OPTIMISATION, style: Style = "plain") -> Sizes:
    """Weigh the network as the host's compiler builds it.

    Raises
    ------
    BadInput
        If there is no C compiler or no ``size``.
    """
    printer = Printer(model, style)
    with _folder(printer.files()) as folder:
        built = [_compile(folder, (source,), (*flags, "-c"), source + ".o") for source in NETWORK]
        kinds = section_bytes(find_tool("size", "binutils"), built)
    return Sizes(kinds[".text"], kinds[".rodata"], kinds[".data"] + kinds[".bss"], printer.scratch_bytes)
