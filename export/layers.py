"""The operators of the integer model: convolutions with their requantisation, and the maximum of a block.

A dense layer is a convolution whose kernel is the whole of its input.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slewguard.subimages.errors import BadInput

TIE_FREE = "tie_free"
ARITHMETICS = (TIE_FREE, "rne", "single", "double", "double_up", "double_mixed")
"""How accumulators are requantised: :mod:`slewguard.export.rounding` has the formulae. ``double_mixed`` is ``double``
for depthwise convolutions and ``double_up`` for others."""
CONVOLUTIONS = ("conv2d", "depthwise_conv2d")
MAX_POOL = "max_pool2d"
MAX_WEIGHT = 62
"""Largest magnitude of a tie-free weight: 6 bits, doubled to be even."""
MAX_ACCUMULATOR = 2**19
"""Bound of the accumulators of a signed tie-free layer: the C code adds 2^19 before it shifts."""
MAX_RECTIFIED = 2**24
"""Bound of those of a rectified one: a float32 holds every odd number below it, and its double."""
SHIFTS = (2, 20)
MULTIPLIERS = (2.0**-30, 1.0)
"""Least real multiplier, and the one that none reaches: then every arithmetic shifts to the right."""

Shape = tuple[int, int, int]
_RECTIFIED, _SIGNED = (0, 255), (-128, 127)


@dataclass(frozen=True, eq=False)
class RealScales:
    """Scales of a layer of a model that is not tie-free: any positive float32.

    Parameters
    ----------
    weights : float32 array [out]
        Value of one unit of a weight.
    out : float32
        Value of one unit of the output.
    """

    weights: NDArray[np.float32]
    out: np.float32


@dataclass(frozen=True, eq=False)
class Layer:
    """One convolution with its requantisation.

    Parameters
    ----------
    name : str
        Used in every file and in the C function names: a C identifier.
    op : str
        ``conv2d`` or ``depthwise_conv2d`` (one filter a channel).
    weights : int8 array [out, in, height, width]
        Even in a tie-free model; ``in`` is 1 for a depthwise layer.
    bias : int32 array [out]
        In units of the accumulator; odd in a tie-free model.
    shift : uint8 array [out]
        s of the tie-free formula; 0 where ``real`` scales take its place.
    stride : int
    pad : tuple of four int
        Zeros added at top, bottom, left and right.
    lo, hi : int
        The clamp: 0 and 255 after a rectifier (uint8), -128 and 127 for the score (int8).
    out_log2 : int
        One unit of the output is 2^-out_log2 of the network's real number; it enters no verdict. 0 with ``real``.
    real : RealScales, optional
        Of a model that is not tie-free.
    """

    name: str
    op: str
    weights: NDArray[np.int8]
    bias: NDArray[np.int32]
    shift: NDArray[np.uint8]
    stride: int
    pad: tuple[int, int, int, int]
    lo: int
    hi: int
    out_log2: int
    real: RealScales | None = None

    @property
    def depthwise(self) -> bool:
        """Whether each channel has one filter of its own."""
        return self.op == "depthwise_conv2d"

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the output: uint8 or int8."""
        return _dtype(self.lo)

    def out_shape(self, shape: Shape) -> Shape:
        """Channels, height and width of the output for those of the input.

        Raises
        ------
        BadInput
            If the weights do not fit the input.
        """
        channels, height, width = shape
        out, inner, kernel_h, kernel_w = self.weights.shape
        expected = (channels, 1) if self.depthwise else (out, channels)
        if (out, inner) != expected:
            raise BadInput(f"layer {self.name:.64}: weights {self.weights.shape} do not fit {channels} channels")
        top, bottom, left, right = self.pad
        rows = (height + top + bottom - kernel_h) // self.stride + 1
        columns = (width + left + right - kernel_w) // self.stride + 1
        if rows < 1 or columns < 1:
            raise BadInput(f"layer {self.name:.64}: kernel is larger than its input {shape}")
        return out, rows, columns

    def accumulator_bounds(self, lo: int, hi: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Least and greatest accumulator of each channel for inputs from ``lo`` to ``hi`` (padding is 0).

        Returns
        -------
        two int64 arrays [out]
        """
        lo, hi = min(lo, 0), max(hi, 0)
        weights = self.weights.reshape(len(self.weights), -1).astype(np.int64)
        positive, negative = np.maximum(weights, 0).sum(axis=1), np.minimum(weights, 0).sum(axis=1)
        return positive * lo + negative * hi + self.bias, positive * hi + negative * lo + self.bias

    def check(self, shape: Shape, lo: int, hi: int) -> None:
        """Refuse a layer of a tie-free model that breaks the construction.

        Parameters
        ----------
        shape : (channels, height, width)
            Of the input.
        lo, hi : int
            Range of the input.

        Raises
        ------
        BadInput
        """
        self._check_form(shape)
        self._must(self.real is None, "a tie-free layer has shifts, no scales")
        self._must(not (self.weights % 2).any(), "a weight is odd")
        magnitude = np.abs(self.weights.astype(int))
        self._must(bool((magnitude <= MAX_WEIGHT).all()), f"a weight exceeds {MAX_WEIGHT}")
        self._must(bool((self.bias % 2 == 1).all()), "a bias is even")
        fits = (self.shift >= SHIFTS[0]) & (self.shift <= SHIFTS[1])
        self._must(bool(fits.all()), f"shift not in {SHIFTS}")
        self._must(-64 <= self.out_log2 <= 64, f"out_log2 {self.out_log2} not in -64..64")
        least, greatest = self.accumulator_bounds(lo, hi)
        bound = MAX_ACCUMULATOR if self.lo < 0 else MAX_RECTIFIED
        reached = f"an accumulator can reach 2^{bound.bit_length() - 1}"
        self._must(bool((np.maximum(-least, greatest) < bound).all()), reached)

    def check_real(self, shape: Shape, in_scale: np.float32) -> None:
        """Refuse a layer with real scales that some runtime could not run.

        Parameters
        ----------
        shape : (channels, height, width)
            Of the input.
        in_scale : float32
            Value of one unit of the input.

        Raises
        ------
        BadInput
        """
        self._check_form(shape)
        real = self.real
        if real is None or real.weights.shape != self.bias.shape:
            raise BadInput(f"layer {self.name:.64}: one weight scale a channel is needed")
        scales = np.append(real.weights, real.out)
        normal = np.isfinite(scales) & (scales >= np.finfo(np.float32).tiny)
        self._must(bool(normal.all()), "a scale is not a positive normal number")
        multiplier = np.float64(in_scale) * real.weights.astype(np.float64) / np.float64(real.out)
        right = (multiplier >= MULTIPLIERS[0]) & (multiplier < MULTIPLIERS[1])
        self._must(bool(right.all()), "scale_x scale_w / scale_y is not in 2^-30..1")
        self._must(not self.shift.any() and self.out_log2 == 0, "shifts beside scales")
        self._must(bool((self.weights > -128).all()), "a weight is -128")
        total = np.abs(self.weights.reshape(len(self.weights), -1).astype(np.int64)).sum(axis=1)
        partial = np.abs(self.bias.astype(np.int64)) + 383 * total
        self._must(bool((partial < 2**31).all()), "a partial sum can leave int32")

    def _check_form(self, shape: Shape) -> None:
        check_name(self.name)
        self._must(self.op in CONVOLUTIONS, f"operator {self.op!r} is not one of {', '.join(CONVOLUTIONS)}")
        self._must(self.weights.ndim == 4 and self.weights.size > 0, "weights are not [out, in, height, width]")
        out = len(self.weights)
        self._must(self.bias.shape == (out,) and self.shift.shape == (out,), "one bias and one shift a channel")
        self._must(self.stride in (1, 2, 4), f"stride {self.stride} is not 1, 2 or 4")
        kernel = max(self.weights.shape[2:])
        self._must(len(self.pad) == 4 and all(0 <= p < kernel for p in self.pad), "bad padding")
        self._must((self.lo, self.hi) in (_RECTIFIED, _SIGNED), "clamp is neither 0..255 nor -128..127")
        self.out_shape(shape)

    def _must(self, holds: bool, fault: str) -> None:
        if not holds:
            raise BadInput(f"layer {self.name:.64}: {fault}")


@dataclass(frozen=True)
class MaxPool:
    """Largest value of each ``size`` x ``size`` block, channel by channel; a rest at the bottom or right is dropped.

    It takes and gives the same type and scale, so that there is nothing to round.

    Parameters
    ----------
    name : str
        As of :class:`Layer`.
    size : int
        Side of a block, and the stride: 2, 3 or 4.
    lo, hi : int
        Range of its input, and of its output.
    out_log2 : int
        That of its input.
    """

    name: str
    size: int
    lo: int
    hi: int
    out_log2: int

    @property
    def op(self) -> str:
        """Name of the operator."""
        return MAX_POOL

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the output: uint8 or int8."""
        return _dtype(self.lo)

    def out_shape(self, shape: Shape) -> Shape:
        """Channels, height and width of the output for those of the input."""
        channels, height, width = shape
        if min(height, width) < self.size:
            raise BadInput(f"layer {self.name:.64}: block is larger than its input {shape}")
        return channels, height // self.size, width // self.size

    def check(self, shape: Shape, before: Layer | MaxPool | None) -> None:
        """Refuse a block that its input does not fill, or another type or scale than the layer before has.

        Raises
        ------
        BadInput
        """
        check_name(self.name)
        if self.size not in (2, 3, 4):
            raise BadInput(f"layer {self.name:.64}: block of {self.size} is not 2, 3 or 4 wide")
        if before is None or (before.lo, before.hi, before.out_log2) != (self.lo, self.hi, self.out_log2):
            raise BadInput(f"layer {self.name:.64}: a maximum has the range and the scale of the layer before")
        self.out_shape(shape)


def check_name(name: str) -> None:
    """Refuse what is no C identifier of at most 64 characters.

    Raises
    ------
    BadInput
    """
    if not (name.isidentifier() and name.isascii()):
        raise BadInput(f"layer {name:.64}: name is not an identifier")
    if len(name) > 64:
        raise BadInput(f"layer {name:.64}: name is longer than 64 characters")


def _dtype(lo: int) -> np.dtype[Any]:
    return np.dtype(np.uint8 if lo >= 0 else np.int8)
