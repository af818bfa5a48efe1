"""Conformance: every engine against the specification, every layer, byte for byte.

The layers come from the tapped graph, the score again from the shipped file, because an optimiser may treat the
two differently. Bytes are equal or they are not: there is no tolerance.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slewguard.export.backends import Backend, Refusal, SequenceBackend, VerdictBackend
from slewguard.export.execute import run_layers
from slewguard.export.model import IntegerModel
from slewguard.export.planes import N_PLANES, Q_MAX, PlaneRule, make_planes
from slewguard.subimages.contract import BACKGROUND, CENTRE, KNOWN_SOURCE, NO_DATA, SIDE, TRIGGER_PIXEL

_CHUNK = 64
LOOKS = 3
"""Inputs in a row that are taken as the looks at one event."""
SHIPPED = "score of the shipped file"


@dataclass
class ConformanceRow:
    """What one engine gave.

    Parameters
    ----------
    engine, version : str
    ran : bool
        An engine that did not run is equal to nothing; ``reason`` says why.
    refused : bool
        Whether it did not run because it does not take what was printed for it.
    bytes_compared, bytes_different : int
        Over all layers and the score of the shipped file.
    verdict_flips : int
        Sub-images on which the verdict differs from that of the specification, alone or as looks of a sequence; an
        engine that runs the sequence rule itself must give the reasons too.
    layers : dict of str to int
        Different bytes of each layer.
    """

    engine: str
    version: str = ""
    ran: bool = False
    refused: bool = False
    reason: str = ""
    bytes_compared: int = 0
    bytes_different: int = 0
    verdict_flips: int = 0
    layers: dict[str, int] = field(default_factory=dict)

    @property
    def equal(self) -> bool:
        """Whether the engine ran and gave the same bytes and verdicts everywhere."""
        return self.ran and self.bytes_compared > 0 and self.bytes_different == self.verdict_flips == 0

    def count(self, what: str, found: NDArray[np.integer], expected: NDArray[np.integer]) -> None:
        """Add the different bytes of one output; another shape or type is all different."""
        self.bytes_compared += expected.size
        same_form = found.shape == expected.shape and found.dtype == expected.dtype
        different = int((found != expected).sum()) if same_form else expected.size
        self.layers[what] = self.layers.get(what, 0) + different
        self.bytes_different += different


@dataclass
class ConformanceReport:
    """Rows of a conformance run on ``n`` inputs (sub-images and adversarial ones) of a model."""

    model_sha256: str
    n: int
    rows: list[ConformanceRow]

    @property
    def equal(self) -> bool:
        """Whether every engine that ran is equal, one beside the specification did, and none refused the model."""
        ran = [row for row in self.rows if row.ran]
        refused = any(row.refused for row in self.rows)
        return not refused and all(row.equal for row in ran) and any(row.engine != "numpy" for row in ran)

    def to_json(self) -> list[dict[str, Any]]:
        """Return the rows as JSON-able data."""
        return [asdict(row) for row in self.rows]


def conformance(
    model: IntegerModel,
    planes: NDArray[np.int8],
    backends: Sequence[tuple[str, Backend | str]],
    progress: Callable[[int, int], None] | None = None,
) -> ConformanceReport:
    """Compare engines with the specification.

    Parameters
    ----------
    model : IntegerModel
        The specification, which the numpy executor runs.
    planes : int8 array [N, 3, 56, 56]
        Inputs, to which :func:`adversarial_planes` and :func:`adversarial_alerts` are added.
    backends : sequence of (name, Backend or reason)
        As :func:`slewguard.export.backends.open_backends` gives it.
    progress : callable, optional
        Told how many of how many sub-images are done.

    Returns
    -------
    ConformanceReport
    """
    rows = [
        ConformanceRow(name, refused=isinstance(backend, Refusal), reason=backend)
        if isinstance(backend, str)
        else ConformanceRow(name, backend.version, ran=True)
        for name, backend in backends
    ]
    planes = np.concatenate([planes, adversarial_planes(0, model.planes.level), adversarial_alerts(model.planes)])
    for start in range(0, len(planes), _CHUNK):
        part = planes[start : start + _CHUNK]
        expected = run_layers(model, part)
        for row, (_, backend) in zip(rows, backends, strict=True):
            if not isinstance(backend, str):
                _compare(model, part, expected, backend, row)
        if progress:
            progress(start + len(part), len(planes))
    return ConformanceReport(model.sha256, len(planes), rows)


def _compare(
    model: IntegerModel,
    planes: NDArray[np.int8],
    expected: list[NDArray[np.integer]],
    backend: Backend,
    row: ConformanceRow,
) -> None:
    for layer, found, right in zip(model.layers, backend.layers(planes), expected, strict=True):
        row.count(layer.name, found, right)
    right_score = expected[-1][:, 0, 0, 0].astype(np.int8)
    score = backend.score(planes)
    row.count(SHIPPED, score, right_score)
    rule, reason = model.verdict, model.verdict.reasons(model.verdict.count(planes))
    alone, looks = np.arange(len(planes)), np.arange(len(planes)) // LOOKS
    verdict, in_sequence = (rule.decide_looks(right_score, reason, sequence) for sequence in (alone, looks))
    judges: VerdictBackend | None = backend if isinstance(backend, VerdictBackend) else None
    found = judges.verdicts(planes) if judges else rule.decide_looks(score, reason, alone)
    row.verdict_flips += int((found != verdict).sum())
    if isinstance(backend, SequenceBackend):
        found, found_reason = backend.sequence_verdicts(planes, looks)
        row.verdict_flips += int((found_reason != reason).sum())
    else:
        found = rule.decide_looks(score, reason, looks)
    row.verdict_flips += int((found != in_sequence).sum())


def adversarial_planes(seed: int, level: int = 16) -> NDArray[np.int8]:
    """Inputs at the edges of the range, where engines that differ would show it.

    Parameters
    ----------
    seed : int
    level : int
        Value of the two binary planes where they are set.

    Returns
    -------
    int8 array [N, 3, 56, 56]
        All zero, all 127, all -127, nothing but no data, nothing but known sources, a chessboard of both extremes,
        one -128 (no plane value, but an int8), extremes at random, all values at random, extremes on a few pixels.
    """
    rng = np.random.default_rng(seed)
    shape = (N_PLANES, SIDE, SIDE)
    no_data, known = np.zeros((2, *shape), dtype=int)
    no_data[1] = level
    known[2] = level
    chessboard = np.where(np.indices(shape).sum(axis=0) % 2, Q_MAX, -Q_MAX)
    cases = [np.zeros(shape, dtype=int), np.full(shape, Q_MAX), np.full(shape, -Q_MAX), no_data, known, chessboard]
    damaged = np.zeros(shape, dtype=int)
    damaged[0, 5, 5] = -Q_MAX - 1
    cases += [-chessboard, damaged]
    cases += [rng.choice([-Q_MAX, Q_MAX], size=shape) for _ in range(4)]
    cases += [rng.integers(-Q_MAX, Q_MAX + 1, size=shape) for _ in range(4)]
    cases += [rng.choice([-Q_MAX, 0, Q_MAX], size=shape, p=[0.01, 0.98, 0.01]) for _ in range(2)]
    return np.array(cases, dtype=np.int8)


def adversarial_alerts(rule: PlaneRule) -> NDArray[np.int8]:
    """Planes of sub-images at the edges of the contract.

    Parameters
    ----------
    rule : PlaneRule
        How planes are made.

    Returns
    -------
    int8 array [5, 3, 56, 56]
        Each float32 on a step of the quantisation, next below and next above it; nothing but halves of a unit, which
        are ties of the quantisation; the largest and the smallest float32 numbers; all masked but the pixel that
        triggered; known sources everywhere and a catalogue number.
    """
    unit = np.float32(2**rule.snr_log2)
    snr = np.zeros((5, SIDE, SIDE), dtype=np.float32)
    mask = np.full(snr.shape, BACKGROUND, dtype=np.uint8)
    steps = (np.arange(-Q_MAX - 1, Q_MAX + 1) + np.float32(0.5)) / unit
    around = np.concatenate([np.nextafter(steps, np.float32(-np.inf)), steps, np.nextafter(steps, np.float32(np.inf))])
    snr[0, 1:, 1:] = np.resize(around, (SIDE - 1, SIDE - 1))
    snr[1, 1:, 1:] = np.resize(steps, (SIDE - 1, SIDE - 1))
    edges = np.array([3.4e38, -3.4e38, 1e-45, -1e-45, -0.0, 1e30, -1e-30], dtype=np.float32)
    snr[2, 1:, 1:] = np.resize(edges, (SIDE - 1, SIDE - 1))
    mask[3] = NO_DATA
    mask[4] = KNOWN_SOURCE
    mask[:, CENTRE, CENTRE] = TRIGGER_PIXEL
    snr[:, CENTRE, CENTRE] = 9
    snr[mask == NO_DATA] = np.nan
    return make_planes(snr, mask, np.array([-1, -1, -1, -1, 7], dtype=np.int32), rule)
