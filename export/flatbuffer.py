"""FlatBuffers, the little of it that a TensorFlow Lite file needs: tables by slot number, no schema package.

The format is described at https://flatbuffers.dev/internals/. The reader is for files that may be hostile: each
offset is checked before it is followed, nothing is followed twice without end, and every fault is a
:class:`slewguard.subimages.BadInput`.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slewguard.subimages.errors import BadInput

MAX_ITEMS = 4096
"""Most tables or scalars (other than bytes) in a vector that is read."""
MAX_SLOTS = 64
MAX_TEXT = 1000

_PREPEND = {"b": "Int8", "B": "Uint8", "i": "Int32", "I": "Uint32"}


def put_table(builder: Any, slots: int, fields: Mapping[int, tuple[str, int]]) -> int:
    """Write a table.

    Parameters
    ----------
    builder : flatbuffers.Builder
    slots : int
        Number of slots of the table's schema.
    fields : mapping of slot to (type, value)
        Types as in :mod:`struct`, or ``o`` for the offset of something written before; zeros are left out.

    Returns
    -------
    int
        Offset of the table.
    """
    builder.StartObject(slots)
    for slot, (kind, value) in fields.items():
        if kind == "o":
            builder.PrependUOffsetTRelativeSlot(slot, value, 0)
        else:
            getattr(builder, f"Prepend{_PREPEND[kind]}Slot")(slot, value, 0)
    return int(builder.EndObject())


def put_offsets(builder: Any, offsets: list[int]) -> int:
    """Write a vector of tables and return its offset."""
    builder.StartVector(4, len(offsets), 4)
    for offset in reversed(offsets):
        builder.PrependUOffsetTRelative(offset)
    return int(builder.EndVector())


def put_bytes(builder: Any, data: bytes) -> int:
    """Write bytes, aligned to 16 as runtimes want weights, and return their offset."""
    builder.Prep(16, len(data))
    return int(builder.CreateByteVector(data))


class Table:
    """A table of a FlatBuffer that may be hostile.

    Parameters
    ----------
    data : bytes
        The whole file.
    position : int
        Where the table starts.
    slots : int
        Number of slots that the reader knows; a table that sets a later one says what we cannot understand.
    """

    def __init__(self, data: bytes, position: int, slots: int) -> None:
        self.data = data
        self.position = position
        vtable = position - self._at("<i", position)
        size = self._at("<H", vtable)
        if size > 4 + 2 * MAX_SLOTS:
            raise BadInput(f"TensorFlow Lite file has a table of more than {MAX_SLOTS} fields")
        self._slots = [self._at("<H", vtable + at) for at in range(4, size - 1, 2)]
        if any(self._slots[slots:]):
            raise BadInput("TensorFlow Lite file sets a field that slewguard does not write")

    @classmethod
    def root(cls, data: bytes, identifier: bytes, slots: int) -> Table:
        """Return the root table of a file with an identifier."""
        if data[4:8] != identifier:
            raise BadInput(f"not a file of kind {identifier.decode()}")
        return cls(data, struct.unpack_from("<I", data)[0], slots)

    def scalar(self, slot: int, kind: str, default: int = 0) -> int:
        """Return an integer of a type as in :mod:`struct`."""
        where = self._where(slot)
        return default if where is None else self._at("<" + kind, where)

    def table(self, slot: int, slots: int) -> Table:
        """Return the table that a slot points to."""
        return Table(self.data, self._follow(slot), slots)

    def tables(self, slot: int, slots: int) -> list[Table]:
        """Return the tables of a vector."""
        start, count = self._vector(slot, 4)
        self._bound(count, MAX_ITEMS)
        places = [start + 4 * i for i in range(count)]
        return [Table(self.data, place + self._at("<I", place), slots) for place in places]

    def numbers(self, slot: int, kind: str) -> NDArray[Any]:
        """Return the scalars of a vector, of a numpy type; empty where there is none."""
        dtype = np.dtype(kind).newbyteorder("<")
        start, count = self._vector(slot, dtype.itemsize)
        self._bound(count, MAX_ITEMS)
        return np.frombuffer(self.data, dtype=dtype, count=count, offset=start).astype(kind)

    def raw(self, slot: int) -> bytes:
        """Return the bytes of a vector; empty where there is none."""
        start, count = self._vector(slot, 1)
        return self.data[start : start + count]

    def text(self, slot: int) -> str:
        """Return a string."""
        self._bound(self._vector(slot, 1)[1], MAX_TEXT)
        try:
            return self.raw(slot).decode()
        except UnicodeDecodeError as error:
            raise BadInput("a name in the TensorFlow Lite file is not UTF-8") from error

    def has(self, slot: int) -> bool:
        """Return whether a slot is set."""
        return self._where(slot) is not None

    @staticmethod
    def _bound(count: int, limit: int) -> None:
        if count > limit:
            raise BadInput(f"TensorFlow Lite file has a vector of {count} items where at most {limit} are read")

    def _where(self, slot: int) -> int | None:
        offset = self._slots[slot] if slot < len(self._slots) else 0
        return self.position + offset if offset else None

    def _follow(self, slot: int) -> int:
        where = self._where(slot)
        if where is None:
            raise BadInput("TensorFlow Lite file lacks a part")
        return where + self._at("<I", where)

    def _vector(self, slot: int, size: int) -> tuple[int, int]:
        """Start and length of a vector of items of ``size`` bytes that lies whole in the file."""
        if not self.has(slot):
            return 0, 0
        start = self._follow(slot)
        count = self._at("<I", start)
        if start + 4 + size * count > len(self.data):
            raise BadInput("TensorFlow Lite file is truncated or damaged")
        return start + 4, count

    def _at(self, kind: str, position: int) -> int:
        if not 0 <= position <= len(self.data) - struct.calcsize(kind):
            raise BadInput("TensorFlow Lite file is truncated or damaged")
        return int(struct.unpack_from(kind, self.data, position)[0])
