"""The kinds of files that are fuzzed: valid originals, the edits that know their format, and the reader.

Beside what slewguard writes there are files as others write them: those lack the checksums on which most damage
to ours is caught.
"""

from __future__ import annotations

import gzip
import io
import json
import random
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np

from slewguard.benchmarks.mutations import ON_FITS, ON_FLATBUFFERS, ON_HDF5, ON_JSON, ON_PROTOBUF, Edit, mutate
from slewguard.export.familiar import Familiar
from slewguard.export.flight import LayerShape, random_model
from slewguard.export.model import IntegerModel
from slewguard.export.onnx_file import read_onnx, write_onnx
from slewguard.export.outside import with_ordinary_scales
from slewguard.export.package import open_model
from slewguard.export.planes import PlaneRule
from slewguard.export.sequence import SequenceRule
from slewguard.export.tflite_file import write_tflite
from slewguard.export.tflite_read import read_tflite
from slewguard.export.verdict import VerdictRule
from slewguard.subimages import COLUMNS, SIDE, BadInput, TriggerSet, read_triggers, write_triggers

Originals = Callable[[], dict[str, bytes]]
Judge = Callable[[Path], str]


@dataclass(frozen=True)
class Kind:
    """A kind of file.

    Parameters
    ----------
    suffix : str
        Of the file that is read.
    originals : function
        Gives valid files by name, the same bytes at each call.
    edits : tuple of Edit
    judge : function
        Reads a file and says what came of it: ``same`` (the model of an original), ``stated`` (another model, the
        very one that the file states with its right hash), ``read`` (a trigger set that keeps the contract) or
        ``other``, which must not be. It raises what the reader raises.
    """

    suffix: str
    originals: Originals
    edits: tuple[Edit, ...]
    judge: Judge

    def mutant(self, name: str, seed: int, index: int) -> bytes:
        """Return the mutated file of that number; ``name`` is the kind's own."""
        return mutate(random.Random(f"{name}:{seed}:{index}"), list(self.originals().values()), self.edits)


_SMALL = (
    LayerShape("first", "conv2d", 3, 4, 4, 4),
    LayerShape("second", "depthwise_conv2d", 4, 4, 3, 2, (0, 1, 0, 1)),
    LayerShape("third", "conv2d", 4, 5, 3, 1, (1, 1, 1, 1)),
    LayerShape("fourth", "depthwise_conv2d", 5, 5, 7),
    LayerShape("fifth", "conv2d", 5, 1, 1),
)


_POOLED = (
    LayerShape("first", "conv2d", 3, 4, 4, 4),
    LayerShape("second", "max_pool2d", 4, 4, 2, 2),
    LayerShape("third", "conv2d", 4, 1, 7),
)


@cache
def _models() -> dict[str, IntegerModel]:
    verdict = VerdictRule(-3, 5, min_valid=9, familiar=Familiar(9, (1, 99), (2, 500)), sequence=SequenceRule(2))
    small = replace(random_model(1, _SMALL), planes=PlaneRule(3, 20, 3))
    sample = np.random.default_rng(0).integers(-40, 40, size=(4, 3, SIDE, SIDE)).astype(np.int8)
    return {
        "flight": random_model(0),
        "small": small.with_verdict(verdict, {"n": 299, "text": "größer", "level": 0.01}),
        "outside": with_ordinary_scales(random_model(2, _POOLED), sample, "double_up"),
    }


@cache
def _hashes() -> frozenset[str]:
    return frozenset(model.sha256 for model in _models().values())


@cache
def onnx_originals() -> dict[str, bytes]:
    """ONNX files: the flight network, a small one with its layers tapped, one with a maximum and ordinary scales."""
    return {name: write_onnx(model, tap=name == "small") for name, model in _models().items()}


@cache
def tflite_originals() -> dict[str, bytes]:
    """TensorFlow Lite files of the same."""
    return {name: write_tflite(model, tap=name == "small") for name, model in _models().items()}


@cache
def json_originals() -> dict[str, bytes]:
    """Files ``model.json`` of the same."""
    return {name: model.to_json().encode() for name, model in _models().items()}


def _triggers(n: int) -> TriggerSet:
    rng = np.random.default_rng(0)
    snr = rng.normal(size=(n, SIDE, SIDE)).astype("f4")
    mask = np.ones((n, SIDE, SIDE), dtype="u1")
    mask[:, 40, 10] = 2
    mask[:, :5] = 0
    mask[:, 28, 28] = 3
    snr[mask == 0] = np.nan
    columns = {
        "label": (np.arange(n) % 2).astype("i1"),
        "cause": np.array([b"grb"] * n, dtype="S16"),
        "window_s": np.full(n, 20.48, dtype="f4"),
        "trigger": np.array([b"IMT"] * n, dtype="S3"),
    }
    return TriggerSet(snr, mask, columns, simulated=True, provenance={"what": "fuzz"})


def _written(triggers: TriggerSet, name: str) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        write_triggers(path, triggers)
        return path.read_bytes()


@cache
def hdf5_originals() -> dict[str, bytes]:
    """Trigger sets.

    Ours; one with old metadata (no checksums), chunks, filters, texts of variable length; a big-endian one with
    checksummed, shuffled and resizable data.
    """
    import h5py

    triggers = _triggers(3)
    buffer = io.BytesIO()
    with h5py.File(buffer, "w", libver=("earliest", "v110")) as file:
        chunks = (2, SIDE, SIDE)
        file.create_dataset("snr", data=triggers.snr, chunks=chunks, compression="gzip", track_times=False)
        file.create_dataset(
            "mask", data=triggers.mask.astype("i4"), chunks=chunks, compression="lzf", track_times=False
        )
        file.create_dataset("cause", data=["grb", "saa", ""], track_times=False)
        file.attrs["provenance"] = "{}"
        file.attrs["format"] = "slewguard-triggers"
    other = io.BytesIO()
    with h5py.File(other, "w", libver="latest") as file:
        kept = {"chunks": True, "shuffle": True, "fletcher32": True, "compression": "gzip", "track_times": False}
        file.create_dataset("snr", data=triggers.snr.astype(">f8"), maxshape=(None, SIDE, SIDE), **kept)
        file.create_dataset("mask", data=triggers.mask.astype(">u2"), maxshape=(None, SIDE, SIDE), **kept)
        file.create_dataset("label", data=triggers.columns["label"].astype(">i8"), track_times=False)
        file.create_dataset("sequence", data=np.array([1, 1, 2], dtype=">i4"), maxshape=(None,), **kept)
    return {"ours": _written(triggers, "a.h5"), "theirs": buffer.getvalue(), "other": other.getvalue()}


@cache
def fits_originals() -> dict[str, bytes]:
    """Sub-images: ours, a compressed one without checksums, one of doubles and scaled integers, a gzipped one."""
    from astropy.io import fits

    triggers = _triggers(1)
    buffer = io.BytesIO()
    images = [fits.CompImageHDU(triggers.snr[0], name="SNR"), fits.ImageHDU(triggers.mask[0], name="MASK")]
    fits.HDUList([fits.PrimaryHDU(), *images]).writeto(buffer)
    ours = _written(triggers, "a.fits")
    scaled = io.BytesIO()
    mask = fits.ImageHDU(triggers.mask[0].astype("i2"), name="MASK")
    mask.scale("int16", bscale=1, bzero=3)
    double = fits.ImageHDU(triggers.snr[0].astype("f8"), name="SNR")
    fits.HDUList([fits.PrimaryHDU(), double, mask]).writeto(scaled)
    zipped = gzip.compress(ours, mtime=0)
    return {"ours": ours, "theirs": buffer.getvalue(), "scaled": scaled.getvalue(), "zipped": zipped}


def _judge_model(path: Path) -> str:
    return "same" if open_model(path).sha256 in _hashes() else "other"


def _judge_json(path: Path) -> str:
    model = open_model(path)
    if model.sha256 in _hashes():
        return "same"
    if json.loads(path.read_bytes()) != json.loads(model.to_json()):
        return "other"
    # Whatever the file states may be nonsense as a classifier, but must go through every writer or be refused.
    for write, read in ((write_onnx, read_onnx), (write_tflite, read_tflite)):
        try:
            content = write(model)
        except BadInput:
            continue
        if read(content) != model:
            return "other"
    return "stated"


def _judge_triggers(path: Path) -> str:
    triggers = read_triggers(path)
    n = len(triggers)
    kept = (
        (triggers.snr.shape, triggers.snr.dtype) == ((n, SIDE, SIDE), np.float32)
        and (triggers.mask.shape, triggers.mask.dtype) == ((n, SIDE, SIDE), np.uint8)
        and not triggers.rejected.any()
        and all((len(found), found.dtype) == (n, COLUMNS[name]) for name, found in triggers.columns.items())
    )
    return "read" if kept else "other"


KINDS = {
    "onnx": Kind(".onnx", onnx_originals, ON_PROTOBUF, _judge_model),
    "tflite": Kind(".tflite", tflite_originals, ON_FLATBUFFERS, _judge_model),
    "json": Kind(".json", json_originals, ON_JSON, _judge_json),
    "hdf5": Kind(".h5", hdf5_originals, ON_HDF5, _judge_triggers),
    "fits": Kind(".fits", fits_originals, ON_FITS, _judge_triggers),
}
