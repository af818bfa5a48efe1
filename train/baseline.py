"""Baselines in a run folder: ``baseline.json`` and the weights beside it.

Networks keep their weights as safetensors, models on the named features as JSON. Nothing is a pickle.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from slewguard.export.features import FEATURES, features
from slewguard.export.forest import Forest
from slewguard.subimages.contract import BACKGROUND, KNOWN_SOURCE, TriggerSet
from slewguard.subimages.errors import BadInput
from slewguard.subimages.paths import read_bytes
from slewguard.train.logistic import Logistic
from slewguard.train.recipes import BASELINES, FEATURE_MODELS
from slewguard.train.rule import Rule

if TYPE_CHECKING:
    from torch import nn

    from slewguard.train.sources import HandmadeSource

FILE = "baseline.json"
_FORMAT = "slewguard-baseline"
_TENSORS, _NUMBERS = "weights.safetensors", "weights.json"
_LARGEST = 512 * 2**20
_MODELS: dict[str, type[Rule] | type[Logistic] | type[Forest]] = {"rule": Rule, "logistic": Logistic, "trees": Forest}


class FeatureModel(Protocol):
    """A model on the named features."""

    def score(self, measured: NDArray[np.float64]) -> NDArray[np.float64]:
        """Score, float64 [N], higher for true, at least 0 where it says true."""
        ...

    def content(self) -> dict[str, Any]:
        """What its file holds."""
        ...


class Baseline:
    """A trained baseline.

    Parameters
    ----------
    name : str
        The recipe.
    sha256 : str
        Of the weights.
    score : callable
        From sub-images that keep the contract to their scores.
    """

    def __init__(self, name: str, sha256: str, score: Callable[[TriggerSet], NDArray[Any]]) -> None:
        self.name = name
        self.sha256 = sha256
        self._score = score

    def scores(self, triggers: TriggerSet) -> NDArray[Any]:
        """Score of each alert, float [N], true from 0 on; 0 for a sub-image that breaks the contract.

        Log-odds, but for the rule. float32 of a network, float64 of a model on features.
        """
        good = np.flatnonzero(triggers.rejected == 0)
        found = self._score(triggers.select(good))
        score = np.zeros(len(triggers), dtype=found.dtype)
        score[good] = found
        return score


def measure(triggers: TriggerSet) -> NDArray[np.float64]:
    """Named features of a trigger set that keeps the contract, float64 [N, F]."""
    return features(triggers.snr, triggers.mask, triggers.catalogue_id)


def source_of(name: str, triggers: TriggerSet) -> HandmadeSource:
    """Alerts as the network of a recipe wants them."""
    from slewguard.train.sources import HandmadeSource

    if name == "resnet50":
        from slewguard.train.resnet import ResNetSource

        return ResNetSource(triggers)
    if name == "handmade-no-catalogue":
        mask = np.where(triggers.mask == KNOWN_SOURCE, BACKGROUND, triggers.mask).astype(np.uint8)
        triggers = replace(triggers, mask=mask)
    return HandmadeSource(triggers)


def network(name: str) -> nn.Module:
    """Untrained network of a recipe."""
    import torch

    from slewguard.train.nets import HandmadeNet
    from slewguard.train.resnet import ResNet50

    net: nn.Module = ResNet50() if name == "resnet50" else HandmadeNet()
    return net.to(memory_format=torch.channels_last)


def write_baseline(folder: Path, net: nn.Module, name: str) -> str:
    """Write a network into a folder and return the SHA-256 of its weights."""
    from safetensors.torch import save

    from slewguard.train.loop import named_tensors

    return _write(folder, name, _TENSORS, save({key: t.detach().contiguous() for key, t in named_tensors(net)}))


def write_feature_model(folder: Path, model: FeatureModel, name: str) -> str:
    """Write a model on features into a folder and return the SHA-256 of its weights."""
    content = {"features": list(FEATURES), **model.content()}
    return _write(folder, name, _NUMBERS, (json.dumps(content, allow_nan=False) + "\n").encode())


def _write(folder: Path, name: str, file: str, weights: bytes) -> str:
    digest = hashlib.sha256(weights).hexdigest()
    about = {"format": _FORMAT, "version": 1, "recipe": name, "weights": file, "sha256": digest}
    (folder / file).write_bytes(weights)
    (folder / FILE).write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
    return digest


def load_baseline(run: str | Path) -> Baseline:
    """Read a baseline from its run folder.

    Raises
    ------
    BadInput
        With the file and the fault.
    """
    about_file = Path(run) / FILE
    about = _about(about_file)
    weights_file = Path(run) / about["weights"]
    content = read_bytes(weights_file, _LARGEST)
    if hashlib.sha256(content).hexdigest() != about["sha256"]:
        raise BadInput(f"content does not have the SHA-256 that {FILE} states", weights_file)
    name = about["recipe"]
    read = _feature_model if name in FEATURE_MODELS else _network
    return Baseline(name, about["sha256"], read(name, content, weights_file))


def _network(name: str, content: bytes, path: Path) -> Callable[[TriggerSet], NDArray[np.float32]]:
    from safetensors import SafetensorError
    from safetensors.torch import load

    from slewguard.train.loop import load_tensors, predict

    net = network(name)
    try:
        load_tensors(net, load(content))
    except (SafetensorError, ValueError) as error:
        raise BadInput(f"not the weights of {name} ({error})", path) from error

    def score(triggers: TriggerSet) -> NDArray[np.float32]:
        return predict(net, source_of(name, triggers)) if len(triggers) else np.zeros(0, np.float32)

    return score


def _feature_model(name: str, content: bytes, path: Path) -> Callable[[TriggerSet], NDArray[np.float64]]:
    try:
        found = json.loads(content)
        if found["features"] != list(FEATURES):
            raise ValueError("made for other features than this version measures")
        model = _MODELS[name].of(found)
    except KeyError as error:
        raise BadInput(f"not the weights of {name}: lacks {error}", path) from error
    except (ValueError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise BadInput(f"not the weights of {name} ({error})", path) from error
    return lambda triggers: model.score(measure(triggers))


def _about(path: Path) -> dict[str, Any]:
    try:
        about = json.loads(read_bytes(path, 2**20))
    except (ValueError, RecursionError) as error:
        if isinstance(error, BadInput):
            raise
        raise BadInput("not valid JSON", path) from error
    if not isinstance(about, dict) or (about.get("format"), about.get("version")) != (_FORMAT, 1):
        raise BadInput("not a baseline that slewguard knows", path)
    recipe = about.get("recipe")
    weights = {**dict.fromkeys(BASELINES, _TENSORS), **dict.fromkeys(FEATURE_MODELS, _NUMBERS)}
    if not isinstance(recipe, str) or recipe not in weights or about.get("weights") != weights[recipe]:
        raise BadInput("not a baseline that slewguard knows", path)
    if not isinstance(about.get("sha256"), str):
        raise BadInput("states no SHA-256 of its weights", path)
    return about
