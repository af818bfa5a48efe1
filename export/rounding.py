"""From accumulator to output value, in every arithmetic that is in use, as plain functions of the accumulator.

All work on int64 and give int64, so that nothing wraps round unseen; that int32 and float32 suffice is proved apart, in
:mod:`slewguard.export.proof`. *a* is the accumulator of the specification, *s* the shift of its channel; arrays
broadcast, so that a column of channels meets a row of accumulators. ``rne``, ``single`` and ``double`` take any scale,
and are what a model from outside is run under.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]


def specification(acc: Integers, shift: Integers, lo: int, hi: int) -> Integers:
    """Half up, after one shift: what ``model.json`` means.

    ``clamp((a + 2^(s-1)) >> s, lo, hi)``, ``>>`` rounding down.

    Parameters
    ----------
    acc : int64 array
        *a*.
    shift : int64 array
        *s*, at least 1.
    lo, hi : int
        Range of the layer's output.
    """
    return np.clip((acc + (1 << (shift - 1))) >> shift, lo, hi)


def c(acc: Integers, shift: Integers, lo: int, hi: int) -> Integers:
    """What the C code computes, with the factor of two taken out of the weights.

    It sums ``v x`` with ``v = w / 2`` and a bias that holds ``(b - 1) / 2`` and the rounding constant, so that its
    accumulator is ``m = (a - 1) / 2 + 2^(s-2)``, and gives ``clamp(m >> (s-1), lo, hi)``. It shifts no negative
    number, which C99 leaves open: a rectified layer (lo = 0) first puts 0 for a negative m, a signed one computes
    ``((m + 2^19) >> (s-1)) - 2^(20-s)``, for ``|m| < 2^19`` and ``s <= 20``.

    For an odd *a*, ``a + 2^(s-1) = 2m + 1`` and ``floor((2m + 1) / 2^s) = floor(m / 2^(s-1))``: the specification.
    With s = 1 the constant, a half, is cut off.

    Parameters
    ----------
    acc, shift, lo, hi
        As for :func:`specification`.
    """
    m = ((acc - 1) >> 1) + ((1 << shift) >> 2)
    if lo == 0:
        return np.minimum(np.maximum(m, 0) >> (shift - 1), hi)
    return np.clip(((m + (1 << 19)) >> (shift - 1)) - ((1 << 19) >> (shift - 1)), lo, hi)


def rne(acc: Integers, scale: NDArray[np.float32], lo: int, hi: int) -> Integers:
    """Half to even after one float32 product: onnxruntime, and XNNPACK in LiteRT.

    ``clamp(rint(float32(acc) * scale), lo, hi)``; the conversion and the product each round half to even as well
    (IEEE 754), where they are not exact.

    Parameters
    ----------
    acc : int64 array
        Of a tie-free model, *a* for the ONNX file and *2a* for the TensorFlow Lite file.
    scale : float32 array
        ``scale_x * scale_w / scale_y``, in float32.
    lo, hi : int
        Range of the layer's output.
    """
    return np.clip(np.rint(acc.astype(np.float32) * scale), lo, hi).astype(np.int64)


def quantise_multiplier(real: NDArray[np.float64]) -> tuple[Integers, Integers]:
    """Multiplier and shift in which TensorFlow Lite's own kernels hold a real multiplier.

    ``real = f * 2^e`` with f in [1/2, 1), ``q = round(f * 2^31)``, half away from zero; a q of 2^31 becomes 2^30 with
    e + 1.

    Parameters
    ----------
    real : float64 array
        Positive.

    Returns
    -------
    two int64 arrays
        q in [2^30, 2^31), and e.
    """
    fraction, exponent = np.frexp(real)
    q = np.floor(np.ldexp(fraction, 31) + 0.5).astype(np.int64)
    full = q == 1 << 31
    return np.where(full, 1 << 30, q), exponent.astype(np.int64) + full


def single(acc: Integers, q: Integers, e: Integers, lo: int, hi: int) -> Integers:
    """One rounding of the exact 64-bit product, half up: TensorFlow Lite Micro and CMSIS-NN where they are told so.

    ``clamp((acc * q + 2^(30-e)) >> (31-e), lo, hi)`` with the multiplier ``q * 2^(e-31)``, e <= 0.

    Parameters
    ----------
    acc : int64 array
        Within int32, so that the product stays within int64.
    q, e : int64 arrays
        Of :func:`quantise_multiplier`.
    lo, hi : int
        Range of the layer's output.
    """
    return np.clip((acc * q + (1 << (30 - e))) >> (31 - e), lo, hi)


def double(acc: Integers, q: Integers, e: Integers, lo: int, hi: int) -> Integers:
    """Two roundings: TensorFlow Lite's reference kernels (gemmlowp), CMSIS-NN by default.

    With the multiplier ``q * 2^(e-31)``, e <= 0:

    1. ``SaturatingRoundingDoublingHighMul``: ``t = floor((acc * q + 2^30) / 2^31)``, half up. (It is written with a
       quotient that rounds towards zero and a nudge of 2^30 or 1 - 2^30 after the sign, which is the same; it
       saturates for ``acc = q = -2^31`` alone, and q is positive.)
    2. ``RoundingDivideByPOT``: ``t / 2^-e``, half away from zero: ``t >> -e``, and one more if the remainder exceeds
       ``(2^-e - 1) >> 1``, plus 1 for a negative t.

    Parameters
    ----------
    acc : int64 array
        *2a* for a tie-free model, whose TensorFlow Lite file holds weights and biases doubled.
    q, e : int64 arrays
        Of :func:`quantise_multiplier`.
    lo, hi : int
        Range of the layer's output.
    """
    t = (acc * q + (1 << 30)) >> 31
    mask = (1 << -e) - 1
    return np.clip((t >> -e) + ((t & mask) > (mask >> 1) + (t < 0)), lo, hi)


def double_up(acc: Integers, q: Integers, e: Integers, lo: int, hi: int) -> Integers:
    """Two roundings, the second half up: TensorFlow Lite's optimised convolutions (ruy, its ``apply_multiplier.cc``).

    As :func:`double`, but ``RoundingRightShift``: ``(t + 2^(-e-1)) >> -e``, and t itself for e = 0. It differs from
    :func:`double` for negative ties alone, so never after a rectifier.

    Parameters
    ----------
    acc, q, e, lo, hi
        As for :func:`double`.
    """
    t = (acc * q + (1 << 30)) >> 31
    return np.clip((t + ((1 << -e) >> 1)) >> -e, lo, hi)
