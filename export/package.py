"""The flight package: one folder with the model in every form, its golden vectors, its card, and a hash of each.

``manifest.json`` names every file with its SHA-256 and hashes itself; it holds no times, hosts or paths, so that
a model exported twice gives the same bytes.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import stat
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from importlib.resources import as_file, files
from pathlib import Path, PurePosixPath
from typing import Any

from slewguard.export.golden import golden_files, golden_inputs, read_inputs
from slewguard.export.model import IntegerModel, load_model, model_from_json
from slewguard.export.model_card import is_simulated, model_card
from slewguard.export.onnx_file import read_onnx, write_onnx
from slewguard.export.powers import MAX_FILE
from slewguard.export.proof import prove
from slewguard.export.tflite_file import write_tflite
from slewguard.export.tflite_read import read_tflite
from slewguard.subimages.atomic import atomic_folder
from slewguard.subimages.errors import BadInput
from slewguard.subimages.paths import read_bytes

FORMAT = "slewguard-package"
VERSION = 1
MANIFEST = "manifest.json"
PROOF = "proof.json"
_TOOLS = ("slewguard", "numpy", "onnx", "flatbuffers")
_MAX_BYTES = 64_000_000


def write_package(
    model: IntegerModel, out: str | Path, *, run: Mapping[str, Any], extra: Mapping[str, bytes] | None = None
) -> Path:
    """Write a flight package, whole or not at all.

    Parameters
    ----------
    model : IntegerModel
    out : path-like
        The folder; an older package there is replaced, anything else is refused, files added to a package too.
    run : mapping
        JSON-able: ``metrics`` and the provenance of the training. Unless it says ``"simulated": false`` the package
        states that its alerts are simulated.
    extra : mapping of str to bytes, optional
        Further files by relative path with ``/``, such as ``c/slewguard.c``.

    Returns
    -------
    Path
        ``out``.

    Raises
    ------
    BadInput
        If the model cannot be printed in a format, its arithmetics are not proved equal, ``run`` is not JSON-able, or
        the folder cannot be written.
    """
    out = Path(out)
    content = _contents(model, run, extra or {})
    former = _listed(out)
    with atomic_folder(out, marker=MANIFEST if former else None, ours=former.__contains__) as beside:
        for name, data in content.items():
            place = beside / name
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(data)
    return out


def verify_package(path: str | Path) -> list[str]:
    """Check a flight package: every hash, every format read back, every golden vector and the proof computed again.

    Parameters
    ----------
    path : path-like
        The folder.

    Returns
    -------
    list of str
        The faults, each naming its file; empty if there is none.

    Raises
    ------
    BadInput
        If there is no such folder.
    """
    path = Path(path)
    if not path.is_dir():
        raise BadInput("no such flight package (expected a folder)", path)
    try:
        content, faults = _read_folder(path)
        stated = _read_manifest(content)
    except BadInput as error:
        return [error.fault]
    listed = stated["files"]
    faults += [f"{name}: missing" for name in sorted(set(listed) - set(content))]
    for name in sorted(set(content) - {MANIFEST}):
        if name not in listed:
            faults.append(f"{name}: not in the manifest")
        elif listed[name] != _entry(content[name]):
            faults.append(f"{name}: SHA-256 or size is not that of the manifest")
    return faults + _model_faults(content, stated)


def open_model(where: str | Path) -> IntegerModel:
    """Open a model, whatever form it is in.

    Parameters
    ----------
    where : path-like
        ``default`` (the model that ships with slewguard), a ``model.json``, a run folder, a flight package, or an
        ``.onnx`` or ``.tflite`` file that slewguard wrote.

    Raises
    ------
    BadInput
        With the file and the fault.
    """
    if str(where) == "default":
        with as_file(files("slewguard.export") / "default" / "model.json") as shipped:
            return load_model(shipped)
    path = Path(where)
    if path.is_dir():
        if not (path / "model.json").exists():
            raise BadInput("folder holds no model.json: neither a run folder nor a flight package", path)
        return load_model(path / "model.json")
    readers = {".onnx": read_onnx, ".tflite": read_tflite}
    if path.suffix not in readers:
        return load_model(path)
    data = read_bytes(path, MAX_FILE)
    try:
        return readers[path.suffix](data)
    except BadInput as error:
        raise error.within(path) from error


def _contents(model: IntegerModel, run: Mapping[str, Any], extra: Mapping[str, bytes]) -> dict[str, bytes]:
    proof = prove(model)
    if not proof.equal:
        raise BadInput("model is not proved to give the same bytes in every arithmetic")
    content = {
        "model.json": model.to_json().encode(),
        "model.onnx": write_onnx(model),
        "model.tflite": write_tflite(model),
        PROOF: proof.to_json().encode(),
        **{f"golden/{name}": data for name, data in golden_files(model, golden_inputs()).items()},
    }
    try:
        run = json.loads(json.dumps(dict(run), allow_nan=False))
        content["MODEL_CARD.md"] = model_card(model, run, proof).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise BadInput(f"what is said of the run is not JSON: {error}") from error
    for name, data in extra.items():
        if not _is_inside(name) or name in content or name == MANIFEST:
            raise BadInput(f"{name!r} is no name for a further file of a flight package")
        content[name] = bytes(data)
    manifest = {
        "format": FORMAT,
        "version": VERSION,
        "name": model.name,
        "model_sha256": model.sha256,
        "simulated": is_simulated(run, model.certificate),
        "files": {name: _entry(data) for name, data in sorted(content.items())},
        "run": run,
        "certificate": dict(model.certificate),
        "tools": {"python": platform.python_version(), **{name: _version(name) for name in _TOOLS}},
    }
    content[MANIFEST] = _manifest_text(manifest).encode()
    return content


def _listed(out: Path) -> set[str]:
    """Names of the files of the package at ``out``, none if there is no sound manifest."""
    try:
        return set(_read_manifest({MANIFEST: read_bytes(out / MANIFEST, MAX_FILE)})["files"])
    except BadInput:
        return set()


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "unknown"


def _entry(data: bytes) -> dict[str, Any]:
    return {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}


def _manifest_text(manifest: Mapping[str, Any]) -> str:
    """Text of the manifest with its own hash; every byte of it is determined by its content."""
    body = {key: value for key, value in manifest.items() if key != "sha256"}
    digest = hashlib.sha256(json.dumps(body, sort_keys=True, allow_nan=False).encode()).hexdigest()
    return json.dumps({**body, "sha256": digest}, indent=1, sort_keys=True, allow_nan=False) + "\n"


def _is_inside(name: str) -> bool:
    path = PurePosixPath(name)
    plain = name == path.as_posix() and not path.is_absolute() and name.isprintable()
    return plain and bool(path.parts) and ".." not in path.parts and "\\" not in name and ":" not in name


def _read_folder(path: Path) -> tuple[dict[str, bytes], list[str]]:
    """Content of each regular file, and the faults of what is something else; no link is followed."""
    content: dict[str, bytes] = {}
    faults: list[str] = []
    total = 0
    for folder, folders, names in os.walk(path):
        for name in sorted(folders + names):
            place = Path(folder) / name
            inside = place.relative_to(path).as_posix()
            status = place.lstat()
            if stat.S_ISREG(status.st_mode):
                total += status.st_size
                if total > _MAX_BYTES:
                    raise BadInput(f"folder holds more than {_MAX_BYTES} bytes, so this is no flight package")
                try:
                    content[inside] = read_bytes(place, MAX_FILE) if status.st_size else b""
                except BadInput as error:
                    faults.append(f"{inside}: {error.fault}")
            elif not stat.S_ISDIR(status.st_mode):
                faults.append(f"{inside}: neither a file nor a folder")
    return content, faults


def _read_manifest(content: Mapping[str, bytes]) -> dict[str, Any]:
    if MANIFEST not in content:
        raise BadInput(f"{MANIFEST}: missing, so this is no flight package")
    try:
        manifest = json.loads(content[MANIFEST])
        text = _manifest_text(manifest).encode() if isinstance(manifest, dict) else b""
    except (ValueError, TypeError, RecursionError) as error:
        raise BadInput(f"{MANIFEST}: not JSON, or damaged") from error
    if text != content[MANIFEST]:
        raise BadInput(f"{MANIFEST}: content is not what its own SHA-256 states")
    known = manifest.get("format") == FORMAT and manifest.get("version") == VERSION
    if not known or not isinstance(manifest.get("files"), dict) or not all(map(_is_inside, manifest["files"])):
        raise BadInput(f"{MANIFEST}: not of a flight package of version {VERSION}")
    return manifest


def _model_faults(content: Mapping[str, bytes], stated: Mapping[str, Any]) -> list[str]:
    faults = []
    try:
        model = model_from_json(content.get("model.json", b"").decode("utf-8", "replace"))
    except BadInput as error:
        return [f"model.json: {error.fault}"]
    if stated.get("model_sha256") != model.sha256:
        faults.append(f"{MANIFEST}: states another model than model.json holds")
    if stated.get("certificate") != dict(model.certificate):
        faults.append(f"{MANIFEST}: states another certificate than model.json holds")
    for name, reader in (("model.onnx", read_onnx), ("model.tflite", read_tflite)):
        try:
            if reader(content.get(name, b"")) != model:
                faults.append(f"{name}: holds another model than model.json")
        except BadInput as error:
            faults.append(f"{name}: {error.fault}")
    try:
        if content.get(PROOF) != prove(model).to_json().encode():
            faults.append(f"{PROOF}: is not what the model gives")
    except BadInput as error:
        faults.append(f"{PROOF}: {error.fault}")
    golden = {name.removeprefix("golden/"): data for name, data in content.items() if name.startswith("golden/")}
    try:
        expected = golden_files(model, read_inputs(golden))
    except BadInput as error:
        return [*faults, f"golden: {error.fault}"]
    return faults + [
        f"golden/{name}: is not what the model gives" for name in sorted(expected) if golden.get(name) != expected[name]
    ]
