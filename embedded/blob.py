"""The numbers of the model as one constant object that can be checked, scrubbed and replaced in flight.

The object is a C structure: a head of 32-bit words (magic, version, size, layout, model hash), the verdict rule, more
32-bit words, then bytes, then zeros up to a multiple of four, then its CRC-32. Its *image* is the words as big-endian
bytes followed by the bytes, which is what lies in the memory of a big-endian machine such as LEON; the CRC is that of
IEEE 802.3 over the image, appended least significant byte first, so that image and CRC are a word of the cyclic
code and the CRC over both is always :data:`RESIDUE`.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slewguard.embedded.ctext import c_type, dimensions, indent, table_body
from slewguard.export.model import IntegerModel
from slewguard.export.verdict import VerdictRule

MAGIC = 0x534C4757
"""``SLGW``."""
VERSION = 1
RESIDUE = 0x2144DF1C
"""CRC-32 of any bytes with their own CRC-32 behind them."""
STRUCT = "slewguard_weights_t"


@dataclass(frozen=True, eq=False)
class Member:
    """One array of the object.

    Parameters
    ----------
    name : str
        Of the structure's member.
    values : int8, uint8, int32 or uint32 array
        Scalars have shape ().
    note : str
        Comment in the declaration.
    """

    name: str
    values: NDArray[Any]
    note: str = ""

    @property
    def declaration(self) -> str:
        """C type, name and dimensions."""
        return f"{c_type(self.values.dtype)} {self.name}{dimensions(self.values.shape)}"

    @property
    def image(self) -> bytes:
        """Bytes in big-endian order."""
        return self.values.astype(self.values.dtype.newbyteorder(">")).tobytes()


@dataclass(frozen=True, eq=False)
class Blob:
    """The whole object.

    Parameters
    ----------
    members : tuple of Member
        In the order of memory, CRC and padding included.
    words : int
        Bytes of the image that belong to 32-bit words.
    """

    members: tuple[Member, ...]
    words: int

    @property
    def image(self) -> bytes:
        """Image with the CRC: what a patch for a big-endian machine holds."""
        return b"".join(member.image for member in self.members)

    @property
    def crc(self) -> int:
        """CRC-32 of the image before its CRC."""
        return int.from_bytes(self.image[-4:], "little")

    def declaration(self) -> list[str]:
        """Members of the structure."""
        return [f"{m.declaration};{f' /* {m.note} */' if m.note else ''}" for m in self.members]

    def definition(self) -> list[str]:
        """Initialiser of the object, braces included."""
        body: list[str] = []
        for member in self.members:
            last = member is self.members[-1]
            lines = table_body(member.values) if member.values.ndim else [_literal(member.values)]
            lines[0] = f"/* {member.name} */ {lines[0]}" if len(lines) == 1 else lines[0]
            if len(lines) > 1:
                body.append(f"/* {member.name} */")
            body += lines if last else [*lines[:-1], lines[-1] + ","]
        return ["{", *indent(body), "}"]


def _literal(value: NDArray[Any]) -> str:
    number = int(value)
    return f"0x{number:08x}u" if value.dtype == np.uint32 else str(number)


def rule_integers(rule: VerdictRule) -> dict[str, int]:
    """Every number of the verdict rule, and whether it has out-of-distribution limits at all."""
    return {**rule.integers(), "familiar": int(rule.familiar is not None)}


def make_blob(model: IntegerModel, members: Sequence[Member]) -> Blob:
    """Put head, rule, members, padding and CRC together.

    Parameters
    ----------
    model : IntegerModel
    members : sequence of Member
        The tables of a style; words are put before bytes, else the order is kept.
    """
    words = [member for member in members if member.values.dtype.itemsize == 4]
    small = [member for member in members if member.values.dtype.itemsize == 1]
    rule = [Member(name, np.array(value, np.int32)) for name, value in rule_integers(model.verdict).items()]
    layout = zlib.crc32("\n".join(member.declaration for member in [*rule, *words, *small]).encode())
    sha256 = np.frombuffer(bytes.fromhex(model.sha256), ">u4").astype(np.uint32)
    head = [
        Member("magic", np.array(MAGIC, np.uint32), "SLGW"),
        Member("version", np.array(VERSION, np.uint32), "of this form"),
        Member("size", np.array(0, np.uint32), "bytes of the whole object, the CRC included"),
        Member("layout", np.array(layout, np.uint32), "CRC-32 of the members' declarations"),
        Member("model", sha256, "SHA-256 of the integer model"),
    ]
    body = [*head, *rule, *words, *small]
    length = sum(len(member.image) for member in body)
    padding = np.zeros(4 + -length % 4, np.uint8)
    head[2] = Member("size", np.array(length + len(padding) + 4, np.uint32), head[2].note)
    body = [*head, *rule, *words, *small, Member("padding", padding)]
    crc = zlib.crc32(b"".join(member.image for member in body))
    code = np.frombuffer(crc.to_bytes(4, "little"), np.uint8)
    body.append(Member("crc", code, "CRC-32 of all before it, least significant byte first"))
    return Blob(tuple(body), sum(len(member.image) for member in [*head, *rule, *words]))


def syndromes(bits: int) -> NDArray[np.uint32]:
    """What a flip of each bit of a code word of so many bits does to its CRC-32, the last bit first.

    The CRC is linear: flips of several bits change it by the exclusive or of their syndromes, and are missed just
    where that is 0. In the order of transmission, which is the bytes in order and each byte's low bit first, one step
    from a bit to the one before it is one step of the shift register.

    Returns
    -------
    uint32 array [bits]
    """
    found = np.empty(bits, dtype=np.uint32)
    state = 0x80000000
    for i in range(bits):
        found[i] = state
        state = (state >> 1) ^ (0xEDB88320 if state & 1 else 0)
    return found
