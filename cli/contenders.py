"""The networks and engines that are timed side by side, each as a command that starts a process of its own."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from slewguard.subimages.errors import BadInput

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from slewguard.embedded.generate import Style
    from slewguard.export.model import IntegerModel

ALSO = ("handmade", "resnet50")
"""Networks to which the model may be compared."""
ENGINES = (
    *("numpy", "ort", "tflite", "tflite-builtin", "tflite-ref", "litert", "litert-builtin", "litert-ref"),
    *("torch", "c", "c-fast"),
)
MOST_CALLS = 100_000
"""Calls that one request may ask of a process."""
_LARGE_INPUTS = 8  # of 224x224 pixels; more would only fill memory


@dataclass(frozen=True)
class Contender:
    """A network in an engine.

    Parameters
    ----------
    network, precision, engine : str
    weights : str
        ``given`` or ``random``: weights do not change the time.
    command : list of str
        Starts its process.
    file_bytes : int
        Size of what is shipped: model file, or program.
    macs : int or None
    version : str
        Of the compiler; of other engines the process tells it.
    expected : int8 array or None
        Scores of the integer model, where they must be equal.
    """

    network: str
    precision: str
    weights: str
    engine: str
    command: list[str]
    file_bytes: int
    macs: int | None
    version: str | None
    expected: NDArray[np.int8] | None

    @property
    def name(self) -> str:
        """Network, precision and engine."""
        return f"{self.network}-{self.precision}.{self.engine}"


def contenders(
    model: IntegerModel,
    planes: NDArray[np.int8],
    folder: Path,
    also: Sequence[str] = (),
    engines: Sequence[str] | None = None,
) -> tuple[list[Contender], dict[str, str]]:
    """Print the networks in every form and say how each is started.

    Parameters
    ----------
    model : IntegerModel
    planes : int8 array [N, 3, 56, 56]
        Inputs.
    folder : Path
        Where the files go; they must stay there as long as processes are started.
    also : sequence of str
        Of :data:`ALSO`, with random weights: the handmade net through our exporters and in floating point, and the
        ResNet50 in floating point.
    engines : sequence of str, optional
        Only these.

    Returns
    -------
    found : list of Contender
    not_run : dict of name to reason

    Raises
    ------
    BadInput
        For an unknown engine.
    """
    from slewguard.export.flight import HANDMADE, random_model

    for name in engines or ():
        if name not in ENGINES:
            raise BadInput(f"unknown engine {name!r}, expected one of {', '.join(ENGINES)}")
    wanted = set(ENGINES if engines is None else engines)
    found = list(_of_model(model, model.name, "given", planes, folder, wanted))
    if "handmade" in also:
        found += _of_model(random_model(0, HANDMADE), "handmade", "random", planes, folder, wanted)
    for network in also:
        try:
            found += _in_floating_point(network, planes, folder, wanted)
        except ImportError as error:
            reason = f"{error.name} is not installed"
            found += [(network, "float32", engine, reason) for engine in sorted(wanted & {"ort", "torch"})]
    usable = [one for one in found if isinstance(one, Contender)]
    return usable, {"{}-{}.{}".format(*one): one[3] for one in found if not isinstance(one, Contender)}


_Refused = tuple[str, str, str, str]  # network, precision, engine, reason


def _of_model(
    model: IntegerModel, network: str, weights: str, planes: NDArray[np.int8], folder: Path, wanted: set[str]
) -> Iterator[Contender | _Refused]:
    """An integer model in every engine; its files are named by whose weights they hold, not by the model."""
    from slewguard.embedded.timing import build_timing_program
    from slewguard.export.backends import KERNELS
    from slewguard.export.execute import run
    from slewguard.export.onnx_file import write_onnx
    from slewguard.export.tflite_file import write_tflite

    expected = run(model, planes)
    inputs = folder / "planes.npy"
    np.save(inputs, planes)
    places = {kind: folder / f"{weights}.{kind}" for kind in ("json", "onnx", "tflite", "planes")}
    model.save(places["json"])
    places["onnx"].write_bytes(write_onnx(model))
    places["tflite"].write_bytes(write_tflite(model))
    places["planes"].write_bytes(planes.tobytes())
    jobs: dict[str, dict[str, Any]] = {"numpy": {"kind": "numpy", "model": "json"}}
    jobs["ort"] = {"kind": "ort", "model": "onnx"}
    for name, package in (("tflite", "tflite_runtime"), ("litert", "ai_edge_litert")):
        for end, kernels in KERNELS.items():
            job = {"kind": "tflite", "model": "tflite", "package": package, "resolver": kernels}
            jobs[name + end] = job
    jobs["torch"] = {"kind": "torch", "model": "json"}
    for engine, job in jobs.items():
        if engine not in wanted:
            continue
        place = places[job["model"]]
        job |= {"model": str(place), "inputs": str(inputs)}
        command = _python(folder / f"{weights}-int8.{engine}.job", job)
        size = place.stat().st_size
        yield Contender(network, "int8", weights, engine, command, size, model.macs, None, expected)
    styles: dict[str, Style] = {"c": "plain", "c-fast": "fast"}
    for engine, style in styles.items():
        if engine not in wanted:
            continue
        program = folder / f"{weights}-{engine}"
        try:
            told = build_timing_program(model, program, len(planes), MOST_CALLS, style)
        except BadInput as error:
            yield network, "int8", engine, error.fault
            continue
        command = [str(program), str(places["planes"])]
        size = program.stat().st_size
        yield Contender(network, "int8", weights, engine, command, size, model.macs, told, expected)


def _in_floating_point(network: str, planes: NDArray[np.int8], folder: Path, wanted: set[str]) -> Iterator[Contender]:
    """An untrained network of the talk."""
    if not wanted & {"ort", "torch"}:
        return
    from slewguard.train.float_nets import float_inputs, float_onnx

    given = float_inputs(network, planes[:_LARGE_INPUTS] if network == "resnet50" else planes)
    inputs, file = folder / f"{network}-float32.npy", folder / f"{network}-float32.onnx"
    np.save(inputs, given)
    file.write_bytes(float_onnx(network, given[:1]))
    for engine, kind in (("ort", "ort"), ("torch", "float")):
        if engine not in wanted:
            continue
        job = {"kind": kind, "model": str(file), "network": network, "inputs": str(inputs)}
        command = _python(folder / f"{network}-float32.{engine}.job", job)
        yield Contender(network, "float32", "random", engine, command, file.stat().st_size, None, None, None)


def _python(place: Path, job: dict[str, Any]) -> list[str]:
    place.write_text(json.dumps(job), encoding="utf-8")
    return [sys.executable, "-m", "slewguard.cli.latency_worker", str(place)]
