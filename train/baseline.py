"""Baselines in a run folder: ``baseline.json`` and the weights beside it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from slewguard.subimages.contract import TriggerSet
from slewguard.subimages.errors import BadInput
from slewguard.subimages.paths import read_bytes

if TYPE_CHECKING:
    from slewguard.train.nets import HandmadeNet

FILE = "baseline.json"
_FORMAT = "slewguard-baseline"
_WEIGHTS = "weights.safetensors"
_LARGEST = 512 * 2**20


class Baseline:
    """A trained baseline.

    Parameters
    ----------
    name : str
        The recipe.
    sha256 : str
        Of the weights.
    net : HandmadeNet
    """

    def __init__(self, name: str, sha256: str, net: HandmadeNet) -> None:
        self.name = name
        self.sha256 = sha256
        self._net = net

    def scores(self, triggers: TriggerSet) -> NDArray[np.float32]:
        """Score of each alert, float32 [N], a log-odds; 0 for a sub-image that breaks the contract."""
        from slewguard.train.loop import predict
        from slewguard.train.sources import HandmadeSource

        score = np.zeros(len(triggers), dtype=np.float32)
        good = np.flatnonzero(triggers.rejected == 0)
        if len(good):
            score[good] = predict(self._net, HandmadeSource(triggers.select(good)))
        return score


def write_baseline(folder: Path, net: HandmadeNet, name: str) -> str:
    """Write a baseline into a folder and return the SHA-256 of its weights."""
    from safetensors.torch import save

    weights = save({key: tensor.detach().contiguous() for key, tensor in net.named_parameters()})
    digest = hashlib.sha256(weights).hexdigest()
    about = {"format": _FORMAT, "version": 1, "recipe": name, "weights": _WEIGHTS, "sha256": digest}
    (folder / _WEIGHTS).write_bytes(weights)
    (folder / FILE).write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
    return digest


def load_baseline(run: str | Path) -> Baseline:
    """Read a baseline from its run folder.

    Raises
    ------
    BadInput
        With the file and the fault.
    """
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load

    from slewguard.train.loop import load_tensors
    from slewguard.train.nets import HandmadeNet

    about_file, weights_file = Path(run) / FILE, Path(run) / _WEIGHTS
    about = _about(about_file)
    content = read_bytes(weights_file, _LARGEST)
    if hashlib.sha256(content).hexdigest() != about["sha256"]:
        raise BadInput(f"content does not have the SHA-256 that {FILE} states", weights_file)
    net = HandmadeNet().to(memory_format=torch.channels_last)
    try:
        load_tensors(net, load(content))
    except (SafetensorError, ValueError) as error:
        raise BadInput(f"not the weights of the handmade net ({error})", weights_file) from error
    return Baseline(about["recipe"], about["sha256"], net.eval())


def _about(path: Path) -> dict[str, Any]:
    try:
        about = json.loads(read_bytes(path, 2**20))
    except (ValueError, RecursionError) as error:
        if isinstance(error, BadInput):
            raise
        raise BadInput("not valid JSON", path) from error
    wanted = {"format": _FORMAT, "version": 1, "recipe": "handmade", "weights": _WEIGHTS}
    if not isinstance(about, dict) or {key: about.get(key) for key in wanted} != wanted:
        raise BadInput("not a baseline that slewguard knows", path)
    if not isinstance(about.get("sha256"), str):
        raise BadInput("states no SHA-256 of its weights", path)
    return about
