"""Two pixels in one 32-bit word: the numbers that make it exact.

A word holds two sums in lanes of 16 bits. Adding and multiplying words is arithmetic modulo 2^32, so the high lane is
right if the final value of the low one lies in 0..65535, whatever it was on the way, and then the high one is right
modulo 2^16 and so exact if it lies there too. The sums are made to lie there by an offset *D 2^s* with the layer's
shift *s*: with the accumulator's least and greatest value

    least + D 2^s >= 0    and    greatest + D 2^s <= 65535.

The offset costs no instruction: ``(acc + D 2^s) >> s = (acc >> s) + D``, which only moves the place in the table that
clamps. Such a *D* exists just if ``(least mod 2^s) + greatest - least <= 65535``; the width ``greatest - least`` is
``255 sum|w|`` for inputs of 0..255. A channel that misses it is summed in *chunks* that keep it, whose lanes are
added after they were taken out. Channels of one layer share a *D* where they can.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LANE = 65535
MAX_TABLE = 4096
"""Farthest that a value may lie from the step of the table that clamps; beyond, the clamp is arithmetic."""


@dataclass(frozen=True)
class Channel:
    """How one output channel is summed.

    Parameters
    ----------
    ends : tuple of int
        After which input each chunk ends; the last is the number of inputs.
    starts : tuple of int
        What each chunk starts from, in each lane.
    rest : int
        Added to the lanes after they were taken out.
    offset : int
        D.
    shift : int
    table : bool
        Whether the clamp is a table.
    """

    ends: tuple[int, ...]
    starts: tuple[int, ...]
    rest: int
    offset: int
    shift: int
    table: bool

    @property
    def whole(self) -> bool:
        """Whether one word holds the sum with its offset."""
        return len(self.ends) == 1 and self.rest == 0


@dataclass(frozen=True)
class Range:
    """A channel before it is placed: sums of the inputs' extremes, bias and shift.

    Parameters
    ----------
    low, high : int64 array [inputs]
        Least and greatest product of each input with its weight.
    bias, shift : int
    """

    low: NDArray[np.int64]
    high: NDArray[np.int64]
    bias: int
    shift: int

    @property
    def least(self) -> int:
        """Least accumulator."""
        return int(self.low.sum()) + self.bias

    @property
    def greatest(self) -> int:
        """Greatest accumulator."""
        return int(self.high.sum()) + self.bias

    @property
    def first(self) -> int:
        """Least offset."""
        return max(0, -(self.least >> self.shift))

    @property
    def last(self) -> int:
        """Greatest offset with which one word is enough; less than :attr:`first` if none is."""
        return (LANE - self.greatest) >> self.shift

    @property
    def table(self) -> bool:
        """Whether the values behind the shift lie near enough to 0..255 for a table."""
        return self.first <= MAX_TABLE and self.greatest >> self.shift <= MAX_TABLE


def place(ranges: Sequence[Range], *, share: bool = True) -> list[Channel]:
    """Offsets and chunks for the channels of one layer.

    Parameters
    ----------
    ranges : sequence of Range
    share : bool
        Let channels share offsets, so that the code needs few addresses in the table.
    """
    # The fewest points that meet all intervals: always the right end of the first that is not met.
    limits = [(r.last if r.last >= r.first else max(r.first, MAX_TABLE), i) for i, r in enumerate(ranges)]
    offsets = [r.first for r in ranges]
    left = sorted((min(last, max(MAX_TABLE // 2, ranges[i].first)), i) for last, i in limits if ranges[i].table)
    while left and share:
        point = left[0][0]
        met = [i for _, i in left if ranges[i].first <= point]
        for i in met:
            offsets[i] = max(ranges[j].first for j in met)
        left = [pair for pair in left if pair[1] not in met]
    return [_channel(r, offset) for r, offset in zip(ranges, offsets, strict=True)]


def _channel(r: Range, offset: int) -> Channel:
    start = r.bias + (offset << r.shift)
    if r.last >= r.first:
        return Channel((len(r.low),), (start,), 0, offset, r.shift, r.table)
    ends, starts, begin = [], [], 0
    for end in range(1, len(r.low) + 1):
        if end == len(r.low) or int((r.high - r.low)[begin : end + 1].sum()) > LANE:
            ends.append(end)
            starts.append(-int(r.low[begin:end].sum()))
            begin = end
    return Channel(tuple(ends), tuple(starts), start - sum(starts), offset, r.shift, r.table)


def word(value: int) -> int:
    """The same value in both lanes, modulo 2^32."""
    return (value * 0x10001) % 2**32
