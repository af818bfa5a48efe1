"""Whatever training or export wrote, opened to be measured: a package, a run, its float checkpoint, a baseline."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from slewguard.export.execute import NumpyClassifier
from slewguard.export.flight import LayerShape
from slewguard.export.layers import TIE_FREE, Layer
from slewguard.export.model import IntegerModel
from slewguard.export.package import open_model
from slewguard.export.planes import PlaneRule, make_planes
from slewguard.subimages.contract import TriggerSet
from slewguard.subimages.errors import BadInput
from slewguard.subimages.paths import read_bytes
from slewguard.subimages.verdict import Judgement
from slewguard.train.baseline import FILE, load_baseline

if TYPE_CHECKING:
    from torch import Tensor

_LARGEST = 2**26


@dataclass(frozen=True, eq=False)
class Opened:
    """A classifier to measure.

    Parameters
    ----------
    name : str
    sha256 : str
        Of the model, or of the weights.
    certificate : dict or None
    judge : callable
        From a trigger set to one score an alert, and verdicts where the classifier has thresholds.
    unit : float or None
        Log-odds of one unit of the score; None where it has no meaning as one.
    """

    name: str
    sha256: str
    certificate: dict[str, Any] | None
    judge: Callable[[TriggerSet], tuple[NDArray[Any], Judgement | None]]
    unit: float | None

    def about(self) -> dict[str, Any]:
        """What results say of it."""
        return {"name": self.name, "sha256": self.sha256, "certificate": self.certificate}


def open_classifier(path: str | Path) -> Opened:
    """Open a trained classifier.

    Parameters
    ----------
    path : path-like
        A baseline's run folder; the ``float.safetensors`` of a run folder, which needs the ``model.json`` beside it
        for its shape and its planes; or whatever :func:`slewguard.export.package.open_model` takes.

    Raises
    ------
    BadInput
        If there is no classifier at ``path``.
    """
    if (Path(path) / FILE).is_file():
        baseline = load_baseline(path)
        unit = None if baseline.name == "rule" else 1.0
        return Opened(baseline.name, baseline.sha256, None, lambda triggers: (baseline.scores(triggers), None), unit)
    if Path(path).suffix == ".safetensors":
        return _open_float(Path(path))
    model = open_model(path)

    def judge(triggers: TriggerSet) -> tuple[NDArray[Any], Judgement | None]:
        judgement = NumpyClassifier(model).judge(triggers)
        return judgement.score, judgement

    # Of models from outside it is not known that the score is a logarithm of odds.
    unit = None if model.arithmetic != TIE_FREE else 2.0 ** -model.layers[-1].out_log2
    return Opened(model.name, model.sha256, dict(model.certificate) or None, judge, unit)


def _open_float(path: Path) -> Opened:
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load

    from slewguard.train.loop import load_tensors, predict
    from slewguard.train.nets import FlightNet

    model = open_model(path.with_name("model.json"))
    content = read_bytes(path, _LARGEST)
    net = FlightNet(_shapes(model, path)).to(memory_format=torch.channels_last)
    try:
        load_tensors(net, load(content))
    except (SafetensorError, ValueError) as error:
        raise BadInput(f"not the float checkpoint of the model.json beside it ({error})", path) from error

    def judge(triggers: TriggerSet) -> tuple[NDArray[Any], Judgement | None]:
        score = np.zeros(len(triggers), dtype=np.float32)
        good = np.flatnonzero(triggers.rejected == 0)
        if len(good):
            score[good] = predict(net, _Planes(triggers.select(good), model.planes))
        return score, None

    return Opened(f"{model.name} in floating point", hashlib.sha256(content).hexdigest(), None, judge, 1.0)


def _shapes(model: IntegerModel, path: Path) -> tuple[LayerShape, ...]:
    found = []
    for layer in model.layers:
        if not isinstance(layer, Layer):
            raise BadInput(f"layer {layer.name!r} of the model.json beside it is not one of a flight network", path)
        outputs, inner, kernel, _ = layer.weights.shape
        depthwise = layer.op == "depthwise_conv2d"
        op: Literal["conv2d", "depthwise_conv2d"] = "depthwise_conv2d" if depthwise else "conv2d"
        inputs = outputs if depthwise else inner
        found.append(LayerShape(layer.name, op, inputs, outputs, kernel, layer.stride, layer.pad))
    return tuple(found)


class _Planes:
    """Alerts without labels as the flight network wants them."""

    def __init__(self, triggers: TriggerSet, rule: PlaneRule) -> None:
        self._triggers, self._rule = triggers, rule
        self.label = np.zeros(len(triggers), dtype=np.float32)
        self.weight = np.ones(len(triggers), dtype=np.float32)

    def batch(self, index: NDArray[np.intp], rng: np.random.Generator | None) -> Tensor:
        """Real planes, float32 [B, 3, 56, 56], as they are."""
        import torch

        from slewguard.train.nets import real_planes

        t = self._triggers
        planes = make_planes(t.snr[index], t.mask[index], t.catalogue_id[index], self._rule)
        return real_planes(torch.from_numpy(planes))
