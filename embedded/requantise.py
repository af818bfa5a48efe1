"""From accumulator to output byte: shift and clamp, portable and without a branch.

C99 leaves the right shift of a negative number to the implementation, so only numbers that are not negative are
shifted: a rectified layer first clears negative accumulators (they would be clamped to 0 anyway), a signed one adds
2^19, a multiple of every 2^shift, and takes it off again behind the shift.
"""

from __future__ import annotations

from slewguard.embedded.max_pool2d import HELPER
from slewguard.embedded.plan import Step
from slewguard.export.layers import MaxPool

_CLAMPS = """\
/* The value, or 0 if it is negative. Bit 31 of the unsigned copy is the sign. */
static uint32_t rectify(int32_t value)
{
    const uint32_t bits = (uint32_t)value;
    return bits & ((bits >> 31) - 1u);
}

/* The value, or 255 if it is greater; value < 2^31. */
static uint32_t at_most_255(uint32_t value)
{
    const uint32_t above = (255u - value) >> 31;
    return (value | (0u - above)) & 255u;
}
"""

_UNSIGNED = """
/* clamp(acc >> shift, 0, 255). */
static uint8_t requantise_uint8(int32_t acc, uint8_t shift)
{
    return (uint8_t)at_most_255(rectify(acc) >> shift);
}
"""

_SIGNED = """
/* clamp(acc >> shift, -128, 127), for |acc| < 2^19 and shift <= 19. C99 leaves the right shift of a
 * negative number open; acc + 2^19 is never negative, and 2^19 is a multiple of 2^shift. */
static int8_t requantise_int8(int32_t acc, uint8_t shift)
{
    const uint32_t offset = (uint32_t)1 << 19;
    const uint32_t shifted = ((uint32_t)acc + offset) >> shift;
    const int32_t value = (int32_t)shifted - (int32_t)(offset >> shift);
    return (int8_t)((int32_t)at_most_255(rectify(value + 128)) - 128);
}
"""


def clamps(*, unsigned: bool, signed: bool) -> str:
    """Helper functions in C: the clamps, and the requantisations that are wanted."""
    return _CLAMPS + (_UNSIGNED if unsigned else "") + (_SIGNED if signed else "")


def helpers(steps: tuple[Step, ...]) -> str:
    """Helper functions that the layers of a model call."""
    signed = {step.layer.lo < 0 for step in steps}
    pooled = any(isinstance(step.layer, MaxPool) for step in steps)
    return clamps(unsigned=False in signed, signed=True in signed) + (HELPER if pooled else "")


def store(step: Step, target: str, channel: str) -> str:
    """Statement that requantises ``acc`` into an output element."""
    name = step.layer.name
    return f"{target} = requantise_{step.layer.dtype.name}(acc, weights->shift_{name}[{channel}]);"
