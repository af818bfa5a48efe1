"""A small labelled trigger set for tests of training: blobs are true, columns false. No physics is meant."""

from __future__ import annotations

import numpy as np

from slewguard.subimages import COLUMNS, TriggerSet


def synthetic_alerts(n: int, seed: int = 0, *, per_sequence: int = 2) -> TriggerSet:
    rng = np.random.default_rng(seed)
    row, column = np.mgrid[:56, :56]
    sequence = np.arange(n) // per_sequence
    label = sequence % 2
    snr = rng.normal(size=(n, 56, 56)).astype(np.float32)
    peak = rng.uniform(6, 12, size=n)
    blob = np.exp(-((column - 28) ** 2 + (row - 28) ** 2) / 2.5)
    line = np.exp(-((column - 28) ** 2) / 2.5) * np.exp(-((row - 28) ** 2) / 60)
    snr += (peak[:, None, None] * np.where(label[:, None, None] == 1, blob, line)).astype(np.float32)
    mask = np.ones((n, 56, 56), dtype=np.uint8)
    for i in np.flatnonzero(rng.random(n) < 0.3):
        mask[i, : rng.integers(3, 15)] = 0
    for i in np.flatnonzero(rng.random(n) < 0.5):
        mask[i, rng.integers(20, 56), rng.integers(1, 56)] = 2
    mask[:, 28, 28] = 3
    snr[mask == 0] = np.nan
    columns = {
        "label": label,
        "cause": np.where(label == 1, b"grb", b"column"),
        "sequence": sequence,
        "catalogue_id": np.where(rng.random(n) < 0.2, 7, -1),
    }
    columns = {name: values.astype(COLUMNS[name]) for name, values in columns.items()}
    return TriggerSet(snr, mask, columns, simulated=True, provenance={"made_by": "a test"})
