"""Damage for files: seeded edits of bytes, and edits that know how a format is built.

Blind damage seldom gets past the first check of a reader. So each format has edits of its own that keep most of the
file valid: fields of a protobuf whose enclosing lengths are put right, offsets of a flatbuffer and addresses of HDF5
that point to another real place, tokens and values of JSON (with the hash put right, too), cards of FITS.

An edit is a function ``(rng, content, other) -> content``; ``other`` is a second valid file of the same kind.
"""

from __future__ import annotations

import hashlib
import json
import random
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

Edit = Callable[[random.Random, bytes, bytes], bytes]

_BYTES = (0, 1, 2, 10, 27, 127, 128, 254, 255)
_WORDS = (0, 1, 2, 4, 8, 127, 128, 255, 256, 2**15, 2**16 - 1, 2**24, 2**31 - 1, 2**31, 2**32 - 4, 2**32 - 1)
_LONGS = (*_WORDS, 2**32, 2**40, 2**62, 2**63 - 1, 2**63, 2**64 - 8, 2**64 - 1)
_MAX_GROWTH = 2_000_000


def mutate(rng: random.Random, originals: list[bytes], edits: tuple[Edit, ...]) -> bytes:
    """Return one of the originals after one to four edits.

    Parameters
    ----------
    rng : random.Random
        Decides everything; the same state gives the same bytes.
    originals : list of bytes
        At least one valid file.
    edits : tuple of Edit
        Those of the format; half of the files get these alone, the others :data:`ON_BYTES` too.
    """
    content = rng.choice(originals)
    choice = edits if rng.random() < 0.5 else (*ON_BYTES, *edits)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        edit = rng.choice(choice)
        if content:
            content = edit(rng, content, rng.choice(originals))[:_MAX_GROWTH]
    # An edit that found nothing of its own (a gzipped file has no cards) leaves no file as it was.
    return _flip(rng, content, content) if content in originals else content


def _place(rng: random.Random, content: bytes) -> int:
    """Any byte of a file; half of the time one of the first kilobytes, where headers are."""
    return rng.randrange(len(content) if rng.random() < 0.5 else min(len(content), 4096))


def _span(rng: random.Random, content: bytes) -> tuple[int, int]:
    start = _place(rng, content)
    return start, min(len(content), start + rng.choice((1, 2, 4, 8, 16, 64, 256, 4096)))


def _flip(rng: random.Random, content: bytes, other: bytes) -> bytes:
    copy = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 8))):
        copy[_place(rng, content)] ^= 1 << rng.randrange(8)
    return bytes(copy)


def _set(rng: random.Random, content: bytes, other: bytes) -> bytes:
    copy = bytearray(content)
    for _ in range(rng.choice((1, 2, 5, 20))):
        copy[_place(rng, content)] = rng.choice((*_BYTES, rng.randrange(256)))
    return bytes(copy)


def _truncate(rng: random.Random, content: bytes, other: bytes) -> bytes:
    return content[: _place(rng, content)]


def _insert(rng: random.Random, content: bytes, other: bytes) -> bytes:
    at, n = _place(rng, content), rng.choice((1, 2, 4, 8, 80, 1000))
    return content[:at] + rng.choice((rng.randbytes(n), bytes(n), bytes([rng.choice(_BYTES)]) * n)) + content[at:]


def _delete(rng: random.Random, content: bytes, other: bytes) -> bytes:
    start, end = _span(rng, content)
    return content[:start] + content[end:]


def _duplicate(rng: random.Random, content: bytes, other: bytes) -> bytes:
    (start, end), at = _span(rng, content), _place(rng, content)
    return content[:at] + content[start:end] * rng.choice((1, 1, 2, 100)) + content[at:]


def _overwrite(rng: random.Random, content: bytes, other: bytes) -> bytes:
    (start, end), at = _span(rng, other), _place(rng, content)
    return content[:at] + other[start:end] + content[at + end - start :]


def _splice(rng: random.Random, content: bytes, other: bytes) -> bytes:
    at = _place(rng, content)
    return content[:at] + other[rng.choice((at, _place(rng, other))) :]


def _integer(rng: random.Random, content: bytes, other: bytes) -> bytes:
    copy, size = bytearray(content), rng.choice((2, 4, 8))
    for _ in range(rng.choice((1, 1, 3))):
        at = _place(rng, content) & ~3
        old = int.from_bytes(copy[at : at + size], "little")
        near = old + rng.choice((-4, -1, 1, 4))
        value = rng.choice((*_LONGS, near, rng.randrange(len(content)), -rng.randrange(len(content))))
        copy[at : at + size] = (value % 2 ** (8 * size)).to_bytes(size, "little")
    return bytes(copy)


ON_BYTES: tuple[Edit, ...] = (
    _flip, _set, _truncate, _insert, _delete, _duplicate, _overwrite, _splice, _integer,
)  # fmt: skip
"""Edits that ask for no format."""


# --- flatbuffers and HDF5: places that point to other places ---


@lru_cache(maxsize=8)
def _pointers(content: bytes, size: int, signed: bool, relative: bool) -> list[tuple[int, int]]:
    """Aligned words that may point into the file: where they stand, and where to."""
    found = []
    for at in range(0, len(content) - size + 1, size):
        value = int.from_bytes(content[at : at + size], "little", signed=signed)
        target = at + value if relative else value
        if value and 0 < target < len(content):
            found.append((at, target))
    return found


def _repoint(rng: random.Random, content: bytes, size: int, signed: bool, relative: bool) -> bytes:
    pointers = _pointers(content, size, signed, relative)
    if not pointers:
        return content
    copy = bytearray(content)
    for _ in range(rng.choice((1, 1, 2))):
        at, old = rng.choice(pointers)
        near = old + rng.choice((-size, -2, -1, 1, 2, size))
        target = rng.choice((rng.choice(pointers)[1], near, at, rng.choice(pointers)[0]))
        value = (target - at if relative else target) % 2 ** (8 * size)
        copy[at : at + size] = value.to_bytes(size, "little")
    return bytes(copy)


def _unsigned_offset(rng: random.Random, content: bytes, other: bytes) -> bytes:
    return _repoint(rng, content, 4, False, True)


def _vtable_offset(rng: random.Random, content: bytes, other: bytes) -> bytes:
    return _repoint(rng, content, 4, True, True)


def _slot(rng: random.Random, content: bytes, other: bytes) -> bytes:
    """Change one of the small 16-bit numbers that a flatbuffer's vtables are made of."""
    copy = bytearray(content)
    sample = [2 * rng.randrange(len(content) // 2 or 1) for _ in range(40)]
    places = [at for at in sample if int.from_bytes(content[at : at + 2], "little") < 64]
    for at in places[: rng.choice((1, 2))]:
        copy[at : at + 2] = rng.choice((0, 1, 2, 3, 4, 6, 8, 12, 16, 255, 2**15, 2**16 - 1)).to_bytes(2, "little")
    return bytes(copy)


def _address(rng: random.Random, content: bytes, other: bytes) -> bytes:
    return _repoint(rng, content, 8, False, False)


ON_FLATBUFFERS: tuple[Edit, ...] = (_unsigned_offset, _vtable_offset, _slot)
ON_HDF5: tuple[Edit, ...] = (_address,)


# --- protobuf ---


@dataclass(frozen=True)
class _Field:
    """A field of a protobuf message: its tag at ``at``, its length or value at ``value``, its content to ``end``."""

    at: int
    value: int
    body: int
    end: int
    wire: int
    parents: tuple[_Field, ...]


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def _read_varint(content: bytes, at: int, end: int) -> tuple[int, int] | None:
    value = 0
    for i in range(min(10, end - at)):
        value |= (content[at + i] & 127) << 7 * i
        if content[at + i] < 128:
            return value, at + i + 1
    return None


def _fields(content: bytes, at: int, end: int, parents: tuple[_Field, ...]) -> list[_Field] | None:
    """All fields of a message and of those in it, or None if the bytes are no message."""
    found: list[_Field] = []
    while at < end:
        tag = _read_varint(content, at, end)
        if tag is None or tag[0] >> 3 == 0:
            return None
        wire, value = tag[0] & 7, tag[1]
        number = _read_varint(content, value, end) if wire in (0, 2) else (0, value + {1: 8, 5: 4}.get(wire, end))
        if number is None:
            return None
        stop = number[1] + (number[0] if wire == 2 else 0)
        if stop > end:
            return None
        field = _Field(at, value, number[1], stop, wire, parents)
        found.append(field)
        if wire == 2 and stop > number[1] and len(parents) < 12:
            found += _fields(content, number[1], stop, (*parents, field)) or []
        at = stop
    return found


@lru_cache(maxsize=8)
def _all_fields(content: bytes) -> list[_Field]:
    return _fields(content, 0, len(content), ()) or []


def _replace_field(content: bytes, field: _Field, new: bytes) -> bytes:
    """Put bytes in the place of a field, and put the lengths of what encloses it right."""
    content, grown = content[: field.at] + new + content[field.end :], len(new) - (field.end - field.at)
    for parent in reversed(field.parents):
        length = _varint(parent.end - parent.body + grown)
        content = content[: parent.value] + length + content[parent.body :]
        grown += len(length) - (parent.body - parent.value)
    return content


def _field(rng: random.Random, content: bytes, other: bytes) -> bytes:
    fields, others = _all_fields(content), _all_fields(other)
    if not fields or not others:
        return content
    field, donor = rng.choice(fields), rng.choice(others)
    old, tag = content[field.at : field.end], content[field.at : field.value]
    body = content[field.body : field.end]
    if field.wire == 2:
        bodies = (b"", body[:-1], body + b"\0", _flip(rng, body, b"") if body else b"\n", other[donor.body : donor.end])
        values = [_varint(len(body)) + body for body in bodies]
    elif field.wire == 0:
        values = [_varint(rng.choice(_LONGS)), _varint(rng.randrange(64))]
    else:
        values = [rng.randbytes(field.end - field.value)]
    new = rng.choice((b"", 2 * old, other[donor.at : donor.end], *(tag + value for value in values)))
    return _replace_field(content, field, new)


def _wrong_length(rng: random.Random, content: bytes, other: bytes) -> bytes:
    """Change a length or a number and nothing about it."""
    fields = _all_fields(content)
    if not fields:
        return content
    field = rng.choice(fields)
    near = max(0, field.end - field.body + rng.choice((-1, 1, 2, 100)))
    return content[: field.value] + _varint(rng.choice((near, *_LONGS))) + content[field.body :]


ON_PROTOBUF: tuple[Edit, ...] = (_field, _field, _wrong_length)


# --- JSON ---

_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"|-?[0-9][0-9.eE+-]*|true|false|null|[\[\]{}:,]')
_TOKENS = (
    b'"', b'""', b"{", b"}", b"[", b"]", b"[" * 3000, b'{"a":' * 3000, b"1e999", b"-1e999", b"NaN", b"Infinity", b"-1",
    b"9" * 5000, b"2.0", b"1e2", b"true", b"null", b'"\\ud800"', b'"\\u0000"', b'"\\n"', b"\xff", b"\xef\xbb\xbf",
    b",", b",,", b"//", b"0x10", b"-", b"00", b"2147483648", b"18446744073709551616",
)  # fmt: skip
_VALUES: tuple[Any, ...] = (
    0, 1, -1, 2, 3, 4, 62, 64, 126, 127, 128, -128, -129, 255, 256, 2**31 - 1, 2**31, -(2**31), 2**63, 10**30, 0.5, 2.0,
    1e308, True, None, "", "a", "\n", "\x1b[2J", "é", "a" * 300, "__proto__", [], {}, [0], [[]], {"a": 1},
)  # fmt: skip


@lru_cache(maxsize=8)
def _tokens(content: bytes) -> list[tuple[int, int]]:
    return [found.span() for found in _TOKEN.finditer(content)]


def _token(rng: random.Random, content: bytes, other: bytes) -> bytes:
    tokens, others = _tokens(content), _tokens(other)
    if not tokens or not others:
        return content
    (start, end), (first, last) = rng.choice(tokens), rng.choice(others)
    old = content[start:end]
    new = rng.choice((b"", old + old, old + b"," + old, other[first:last], rng.choice(_TOKENS), rng.choice(_TOKENS)))
    return content[:start] + new + content[end:]


def _places(value: Any) -> list[tuple[Any, Any]]:
    """Every place in a JSON value, as its container and the key in it."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    found = []
    for key, item in pairs:
        found.append((value, key))
        found += _places(item)
    return found


def _value(rng: random.Random, content: bytes, other: bytes) -> bytes:
    """Change a value, drop or double a member; half of the time with the hash put right, as a forger would."""
    try:
        root = json.loads(content)
    except (ValueError, RecursionError):
        return content
    if not isinstance(root, dict) or not root:
        return content
    # Most values of a model are weights: half of the time a key is taken that is none.
    places = _places(root)
    named = [(container, key) for container, key in places if isinstance(container, dict)]
    container, key = rng.choice(named if rng.random() < 0.5 else places)
    item = container[key]
    action = rng.randrange(6)
    if action == 0:
        del container[key]
    elif action == 1 and isinstance(container, list):
        container.insert(key, item)
    elif action == 1:
        container[rng.choice(("more", f"{key} ", ""))] = item
    elif action <= 3 and type(item) is int:
        container[key] = item + rng.choice((-2, -1, 1, 2, -2 * item))
    elif action == 4:
        container[key] = rng.choice(_VALUES)
    else:
        donor, where = rng.choice(places)
        container[key] = donor[where] if where in range(len(donor)) or where in donor else None
    try:
        if rng.random() < 0.5:
            body = {name: item for name, item in root.items() if name != "sha256"}
            canonical = json.dumps(body, sort_keys=True, separators=(",", ":"))
            root["sha256"] = hashlib.sha256(canonical.encode()).hexdigest()
        return json.dumps(root).encode()
    except (ValueError, RecursionError):  # a list that now holds itself
        return content


ON_JSON: tuple[Edit, ...] = (_token, _value, _value)


# --- FITS ---

_CARD_VALUES = (
    b"T", b"F", b"0", b"-1", b"1", b"2", b"3", b"56", b"57", b"999", b"2147483648", b"99999999999999999999", b"1E400",
    b"NAN", b"-64", b"-32", b"8", b"16", b"64", b"7", b"'SNR'", b"'MASK'", b"'", b"''", b"'GZIP_1'", b"'\n\x1b[2J'",
    b"'IMAGE'", b"'BINTABLE'", b"0.0", b"(1, 2)", b"",
)  # fmt: skip


@lru_cache(maxsize=8)
def _cards(content: bytes) -> list[int]:
    return [at for at in range(0, len(content) - 79, 80) if re.match(rb"[A-Z0-9_-]+ *= ", content[at : at + 10])]


def _card(rng: random.Random, content: bytes, other: bytes) -> bytes:
    cards, others = _cards(content), _cards(other)
    if not cards or not others:
        return content
    copy = bytearray(content)
    for _ in range(rng.choice((1, 1, 2))):
        at, donor = rng.choice(cards), rng.choice(others)
        value = content[at : at + 10] + rng.choice(_CARD_VALUES).rjust(20).ljust(70)
        foreign = other[donor : donor + 80]
        copy[at : at + 80] = rng.choice((value, value, foreign, foreign[:10] + content[at + 10 : at + 80], b" " * 80))
    return bytes(copy)


ON_FITS: tuple[Edit, ...] = (_card,)
