"""The generated C with its weights in memory that bits can flip in."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slewguard.embedded.generate import Printer
from slewguard.embedded.host import CBackend
from slewguard.export.model import IntegerModel
from slewguard.subimages.verdict import Verdict


class HeldWeights:
    """The weights object of a model in this machine's memory, and the C code that judges with it.

    Parameters
    ----------
    model : IntegerModel

    Raises
    ------
    BadInput
        If there is no C compiler.
    """

    def __init__(self, model: IntegerModel) -> None:
        self._backend = CBackend(model)
        blob = Printer(model).blob
        words = np.frombuffer(blob.image[: blob.words], ">u4").astype("=u4").tobytes()
        self._sound = words + blob.image[blob.words :] if sys.byteorder == "little" else blob.image
        self._memory = bytearray(self._sound)
        self._object = (ctypes.c_uint32 * (len(self._memory) // 4)).from_buffer(self._memory)

    @property
    def bits(self) -> int:
        """Size of the object."""
        return 8 * len(self._memory)

    def flip(self, bits: Iterable[int]) -> None:
        """Flip bits of the object."""
        for bit in bits:
            self._memory[bit // 8] ^= 1 << bit % 8

    def load(self) -> None:
        """Load the object anew."""
        self._memory[:] = self._sound

    def intact(self) -> bool:
        """What ``slewguard_weights_intact`` says."""
        return bool(self._call("slewguard_weights_intact"))

    def judge(self, planes: NDArray[np.int8], looks: int, maximum: int) -> tuple[Verdict, int, int, int, int]:
        """One look through ``slewguard_judge``, whatever the weights hold.

        Parameters
        ----------
        planes : int8 array [3, 56, 56]
        looks, maximum : int
            State of the sequence before.

        Returns
        -------
        verdict : Verdict
        reason, score : int
        looks, maximum : int
            State after.
        """
        planes = np.ascontiguousarray(planes, dtype=np.int8)
        state, answer = (ctypes.c_uint8 * 2)(looks, maximum & 0xFF), (ctypes.c_uint8 * 3)()
        scratch = self._backend.scratch
        self._call("slewguard_judge", ctypes.c_void_p(planes.ctypes.data), ctypes.c_void_p(scratch), state, answer)
        score, after = (ctypes.c_int8(value).value for value in (answer[2], state[1]))
        return Verdict(answer[0]), answer[1], score, state[0], after

    def _call(self, name: str, *arguments: Any) -> int:
        function = getattr(self._backend.library, name)
        function.restype = ctypes.c_uint32
        return int(function(self._object, *arguments))
