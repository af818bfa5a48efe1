"""A watch over the spacecraft's clock: a jump of it can part a sequence or join two, which nothing else would show.

The trigger ends a sequence by the clock. After a jump forward the later looks at a burst count as a new sequence, and
what was seen before is forgotten; after a jump back the alerts of the next event count on in the old one. The guard
therefore compares the time in each packet with a counter of its own that nobody sets, such as the processor's uptime.
Where the two have moved apart, it vetoes nothing until every sequence that the jump can have torn is over.
"""

from __future__ import annotations

TOLERANCE_MS = 1000
"""Assumed: far above what two oscillators drift apart between packets, far below a sequence."""
QUIET_MS = 655_360
"""The length of a sequence: ``trigger.sequence_s``."""


class ClockWatch:
    """Tell when the spacecraft's clock cannot be trusted; times are whole milliseconds."""

    def __init__(self) -> None:
        self._offset: int | None = None
        self._quiet_until: int | None = None

    def disturbed(self, clock_ms: int, counter_ms: int) -> bool:
        """Take note of a packet's time and of the counter at its arrival; True while nothing may be vetoed."""
        offset = clock_ms - counter_ms
        if self._offset is not None and abs(offset - self._offset) > TOLERANCE_MS:
            self._quiet_until = counter_ms + QUIET_MS
        self._offset = offset
        return self._quiet_until is not None and counter_ms <= self._quiet_until
