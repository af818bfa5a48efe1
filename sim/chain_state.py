"""What the guard keeps of a sequence and of each place in it, sealed: four bytes and their CRC-32 in a word of 64 bits.

A flipped bit in a running maximum could make a veto, so no state is used that does not match its check sum. At this
length the CRC of IEEE 802.3 finds any seven flips or fewer (Koopman 2002, doi:10.1109/DSN.2002.1028931: distance 8 up
to 91 bits); a test counts it for six.
"""

from __future__ import annotations

import zlib
from typing import NamedTuple

BITS = 64
MOST_LOOKS = 255
_LOWEST = -128


class SequenceTrack(NamedTuple):
    """What is known between two looks: the order of a sequence's looks, or the scores at one place of it.

    Parameters
    ----------
    expected : int
        Number of the look that comes next, 1 to 255.
    settled : bool
        Whether every look before it came, was answered and was in order: only then may it be vetoed.
    looks : int
        Usable looks so far, 0 to 255.
    maximum : int
        Their highest score, -128 to 127.
    """

    expected: int = 1
    settled: bool = True
    looks: int = 0
    maximum: int = _LOWEST

    @property
    def statistic(self) -> int | None:
        """Highest score so far, None before the first usable look."""
        return self.maximum if self.looks else None

    def after(self, score: int) -> SequenceTrack:
        """After one more usable look."""
        return self._replace(looks=min(self.looks + 1, MOST_LOOKS), maximum=max(self.maximum, score))

    def sealed(self) -> int:
        """As one word of :data:`BITS` bits."""
        data = bytes((self.expected, self.settled, self.looks, self.maximum - _LOWEST))
        return int.from_bytes(data + zlib.crc32(data).to_bytes(4, "little"), "big")


def opened(word: int) -> SequenceTrack | None:
    """Read a sealed word; None where it is damaged."""
    data, crc = word.to_bytes(BITS // 8, "big")[:4], word & 0xFFFFFFFF
    if zlib.crc32(data).to_bytes(4, "little") != crc.to_bytes(4, "big"):
        return None
    return SequenceTrack(data[0], bool(data[1]), data[2], data[3] + _LOWEST)
