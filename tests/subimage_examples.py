"""Sub-images for the tests of files, drawing and description, and strategies that make them."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from slewguard.subimages import CAUSES, COLUMNS, SubImage, TriggerSet


def plain_arrays(n: int = 3, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """SNR and mask of n sub-images that keep the contract: noise, a peak, an edge without data, a source."""
    rng = np.random.default_rng(seed)
    snr = rng.normal(size=(n, 56, 56)).astype("f4")
    mask = np.ones((n, 56, 56), dtype="u1")
    mask[:, 40, 10] = 2
    for i in range(n):
        mask[i, : 5 * (i % 4)] = 0
    mask[:, 28, 28] = 3
    snr[:, 28, 28] = 9.0
    snr[mask == 0] = np.nan
    return snr, mask


def plain_set(n: int = 3, seed: int = 0) -> TriggerSet:
    snr, mask = plain_arrays(n, seed)
    columns = {
        "label": (np.arange(n) % 3 - 1).astype("i1"),
        "cause": np.array([CAUSES[i % len(CAUSES)] for i in range(n)], dtype="S16"),
        "sequence": np.arange(n, dtype="i8") // 2,
        "catalogue_id": np.full(n, -1, dtype="i4"),
        "window_s": np.full(n, 20.48, dtype="f4"),
        "trigger": np.array([b"IMT"] * n, dtype="S3"),
    }
    return TriggerSet(snr, mask, columns, simulated=True, provenance={"what": "test", "seed": seed})


def _values(name: str, n: int) -> st.SearchStrategy[np.ndarray]:
    kind = COLUMNS[name]
    if name == "label":
        return hnp.arrays(kind, n, elements=st.integers(-1, 1))
    if name == "cause":
        return st.lists(st.sampled_from(["", *CAUSES]), min_size=n, max_size=n).map(lambda v: np.array(v, kind))
    if name == "trigger":
        return st.lists(st.sampled_from(["", "CRT", "IMT"]), min_size=n, max_size=n).map(lambda v: np.array(v, kind))
    return hnp.arrays(kind, n)


@st.composite
def trigger_sets(draw: Any, max_size: int = 4) -> TriggerSet:
    n = draw(st.integers(0, max_size))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    mask = rng.integers(0, 3, size=(n, 56, 56)).astype("u1")
    mask[:, 28, 28] = 3
    scale = draw(st.sampled_from([1e-45, 1.0, 1e30]))
    snr = (rng.normal(size=mask.shape) * scale).astype("f4")
    snr[mask == 0] = np.nan
    names = draw(st.sets(st.sampled_from(list(COLUMNS))))
    columns = {name: draw(_values(name, n)) for name in names}
    provenance = draw(st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=9), max_size=3))
    return TriggerSet(snr, mask, columns, draw(st.booleans()), provenance)


def assert_same(a: TriggerSet, b: TriggerSet) -> None:
    """Equal to the bit, apart from which NaN a NaN is."""
    np.testing.assert_array_equal(a.snr, b.snr)
    np.testing.assert_array_equal(a.mask, b.mask)
    assert set(a.columns) == set(b.columns)
    for name, values in a.columns.items():
        np.testing.assert_array_equal(values, b.columns[name], err_msg=name)
        assert b.columns[name].dtype == COLUMNS[name]
    assert (a.simulated, dict(a.provenance)) == (b.simulated, dict(b.provenance))
    assert b.snr.dtype == np.float32
    assert b.mask.dtype == np.uint8


def broken(reason: str) -> tuple[np.ndarray, np.ndarray]:
    """SNR and mask that break one invariant."""
    (snr,), (mask,) = plain_arrays(1)
    if reason == "empty":
        snr[:], mask[:] = np.nan, 0
    elif reason == "off_centre":
        mask[3, 4] = 3
    elif reason == "no_trigger_pixel":
        mask[28, 28] = 1
    else:
        snr[30, 30] = np.inf
    return snr, mask


def one(seed: int = 0) -> SubImage:
    return plain_set(1, seed)[0]
