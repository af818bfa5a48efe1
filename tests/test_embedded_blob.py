"""The weights object: its image, its CRC, what the CRC is proved to find, scrubbing and replacement."""

from __future__ import annotations

import ctypes
import zlib
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slewguard.embedded.blob import RESIDUE, syndromes
from slewguard.embedded.generate import STYLES, Printer
from slewguard.embedded.host import CBackend
from slewguard.export.flight import random_model
from slewguard.export.verdict import VerdictRule

MODEL = random_model(0)
BLOBS = {style: Printer(MODEL, style).blob for style in STYLES}
RUNNING, INTACT, DAMAGED = range(3)


@pytest.fixture(scope="module", params=STYLES)
def built(request):
    return CBackend(MODEL, ("-O1",), request.param), BLOBS[request.param]


def in_memory(blob):
    """The object as it lies in the memory of this little-endian machine."""
    words = np.frombuffer(blob.image[: blob.words], ">u4").astype("<u4").tobytes()
    return words + blob.image[blob.words :]


def call(backend, name, *arguments):
    function = getattr(backend._library, name)
    function.restype = ctypes.c_uint32
    return function(*arguments)


def test_image_is_what_lies_in_memory(built):
    backend, blob = built
    held = (ctypes.c_char * len(blob.image)).in_dll(backend._library, "slewguard_weights").raw
    assert held == in_memory(blob)
    assert int.from_bytes(blob.image[8:12], "big") == len(blob.image)
    assert blob.image[:4] == b"SLGW"
    assert blob.image[16:48].hex() == MODEL.sha256


@pytest.mark.parametrize("style", STYLES)
def test_image_ends_with_its_own_crc(style):
    blob = BLOBS[style]
    assert zlib.crc32(blob.image[:-4]) == blob.crc
    assert zlib.crc32(blob.image) == RESIDUE


@given(st.binary(min_size=1, max_size=40), st.data())
def test_syndromes_are_what_flips_do(content, data):
    """Against zlib: any set of flips changes the CRC by the exclusive or of their syndromes."""
    word = bytearray(content + zlib.crc32(content).to_bytes(4, "little"))
    bits = 8 * len(word)
    flips = data.draw(st.sets(st.integers(0, bits - 1), max_size=8))
    for bit in flips:
        word[bit // 8] ^= 1 << bit % 8
    found = zlib.crc32(bytes(word[:-4])) ^ int.from_bytes(word[-4:], "little")
    table = syndromes(bits)[::-1]
    assert found == np.bitwise_xor.reduce(table[sorted(flips)], initial=0)


def rank(vectors):
    """Rank over the field of two elements."""
    basis = {}
    for vector in map(int, vectors):
        while vector and vector.bit_length() in basis:
            vector ^= basis[vector.bit_length()]
        if vector:
            basis[vector.bit_length()] = vector
    return len(basis)


@pytest.mark.parametrize("style", STYLES)
def test_crc_finds_every_single_double_and_burst_flip(style):
    """By linearity: no syndrome is 0, no two are equal, and any 32 in a row are independent.

    The last 32 are. One bit further to the front is one step of the shift register, which is linear and can be undone,
    so that the 32 before them are independent too, and so on. In the order of a big-endian machine's memory, such as
    LEON's, which is the order of the code.
    """
    table = syndromes(8 * len(BLOBS[style].image))
    assert table.all()
    assert len(np.unique(table)) == len(table)
    assert rank(table[:32]) == 32
    before = table[:-1]
    step = (before >> np.uint32(1)) ^ np.where(before & np.uint32(1), np.uint32(0xEDB88320), np.uint32(0))
    np.testing.assert_array_equal(table[1:], step)
    # The top bit of the polynomial tells whether a one fell out.
    fell = table[1:] >> np.uint32(31)
    undone = ((table[1:] ^ np.where(fell, np.uint32(0xEDB88320), np.uint32(0))) << np.uint32(1)) | fell
    np.testing.assert_array_equal(undone, before)


def test_crc_on_a_little_endian_machine_finds_bursts_of_17_bits():
    """There the words lie the other way round, and a burst across two of them is none in the order of the code.

    A step of a whole word is linear and can be undone, so that one window for each place within a word is enough, and
    those where words end and bytes begin.
    """
    blob = BLOBS["plain"]
    bits = 8 * len(blob.image)
    forward = syndromes(bits)[::-1].reshape(-1, 8)
    order = np.arange(len(blob.image))
    order[: blob.words] = order[: blob.words].reshape(-1, 4)[:, ::-1].ravel()
    table = forward[order].ravel()
    edge = 8 * blob.words
    starts = [*range(32), *range(edge - 64, edge + 8), bits - 32]
    assert min(rank(table[start : start + 17]) for start in starts) == 17
    assert min(rank(table[start : start + 32]) for start in starts) < 32


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_flips_in_memory_are_found(built, data):
    backend, blob = built
    size = len(blob.image)
    first = data.draw(st.integers(0, 8 * size - 1))
    kind = data.draw(st.sampled_from(["single", "double", "burst"]))
    if kind == "single":
        flips = {first}
    elif kind == "double":
        flips = {first, data.draw(st.integers(0, 8 * size - 1).filter(lambda bit: bit != first))}
    else:
        length = data.draw(st.integers(2, 17))
        flips = {bit for bit in range(first, min(first + length, 8 * size)) if data.draw(st.booleans())} | {first}
    changed = bytearray(in_memory(blob))
    for bit in flips:
        changed[bit // 8] ^= 1 << bit % 8
    memory = (ctypes.c_uint32 * (size // 4)).from_buffer(changed)
    assert call(backend, "slewguard_weights_intact", memory) == 0


def test_scrubbing_in_steps_agrees_with_one_look(built):
    backend, blob = built
    size = len(blob.image)
    for change in (None, 7, blob.words + 3, size - 1):
        memory = bytearray(in_memory(blob))
        if change is not None:
            memory[change] ^= 0x40
        held = (ctypes.c_uint32 * (size // 4)).from_buffer(memory)
        assert call(backend, "slewguard_weights_intact", held) == (change is None)
        for step in (1, 13, 4096, 2**32 - 1):
            state = (ctypes.c_uint32 * 2)(0, 0)
            for _ in range(2):
                steps, found = 0, RUNNING
                while found == RUNNING:
                    found = call(backend, "slewguard_scrub", held, state, ctypes.c_uint32(step))
                    steps += 1
                assert steps == -(-size // min(step, size))
                assert found == (INTACT if change is None else DAMAGED)
                assert list(state) == [0, 0]


def test_scrub_state_that_was_hit_is_not_trusted(built):
    backend, blob = built
    held = ctypes.byref(ctypes.c_char.in_dll(backend._library, "slewguard_weights"))
    state = (ctypes.c_uint32 * 2)(2**31, 12345)
    assert call(backend, "slewguard_scrub", held, state, ctypes.c_uint32(len(blob.image))) == INTACT


def test_weights_may_be_replaced_and_foreign_ones_are_refused():
    """A patch with other thresholds is used; another layout, version, size or magic makes every answer abstain."""
    rule = VerdictRule(t_veto=128, t_confirm=127)
    model = MODEL.with_verdict(rule, {})
    backend = CBackend(MODEL, ("-O1",))
    patch = bytearray(in_memory(Printer(model).blob))
    planes = np.zeros((3, 56, 56), dtype=np.int8)

    def judge(memory):
        held = (ctypes.c_uint32 * (len(memory) // 4)).from_buffer(memory)
        state, answer = (ctypes.c_uint8 * 2)(0, 0x80), (ctypes.c_uint8 * 3)()
        scratch = ctypes.c_void_p(backend._scratch.ctypes.data)
        verdict = call(backend, "slewguard_judge", held, ctypes.c_void_p(planes.ctypes.data), scratch, state, answer)
        assert verdict & 255 == answer[0]
        return list(answer)[:2], list(state)

    assert judge(patch) == ([2, 0], [1, judge(patch)[1][1]])
    for offset in (0, 4, 8, 12):
        foreign = patch.copy()
        foreign[offset] ^= 1
        assert judge(foreign) == ([0, 15], [0, 0x80])


def test_layout_changes_with_the_shape_alone():
    def layout(model, style="plain"):
        return Printer(model, style).blob.image[12:16]

    assert layout(MODEL) == layout(random_model(1))
    renamed = replace(MODEL, layers=(replace(MODEL.layers[0], name="other"), *MODEL.layers[1:]))
    assert layout(MODEL) != layout(renamed)
    assert layout(MODEL) != layout(MODEL, "fast")
