"""The networks of the talk in floating point, for whoever times them; weights do not matter for that and are random."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from slewguard.train.baseline import network
from slewguard.train.nets import real_planes
from slewguard.train.resnet import INPUT

FLOAT_NETS = ("handmade", "resnet50")
_SEED = 0


def float_inputs(name: str, planes: NDArray[np.int8]) -> NDArray[np.float32]:
    """What a network sees of sub-images.

    Parameters
    ----------
    name : str
        Of :data:`FLOAT_NETS`.
    planes : int8 array [N, 3, 56, 56]

    Returns
    -------
    float32 array [N, 2, 56, 56] (handmade) or [N, 3, 224, 224] (resnet50)
    """
    real = real_planes(torch.from_numpy(planes))
    both = torch.stack([real[:, 0], real[:, 2] - real[:, 1]], dim=1)
    if name == "resnet50":
        both = F.interpolate(both[:, [0, 1, 0]], size=(INPUT, INPUT), mode="bilinear", align_corners=False)
    return np.ascontiguousarray(both.numpy())


def float_onnx(name: str, example: NDArray[np.float32]) -> bytes:
    """ONNX file of an untrained network, for inputs shaped as the example."""
    file = io.BytesIO()
    with warnings.catch_warnings():
        # torch announces another exporter, which needs one more package.
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.onnx.export(_untrained(name), (torch.from_numpy(example),), file, dynamo=False, opset_version=17)
    return file.getvalue()


def float_scorer(name: str) -> tuple[str, Callable[[NDArray[np.float32]], float]]:
    """Version of torch, and an untrained network as a function of one input [1, C, H, W]."""
    torch.set_num_threads(1)
    net = _untrained(name)

    @torch.inference_mode()
    def score(one: NDArray[np.float32]) -> float:
        both = torch.from_numpy(one).contiguous(memory_format=torch.channels_last)
        return float(net(both))

    return torch.__version__, score


def _untrained(name: str) -> torch.nn.Module:
    torch.manual_seed(_SEED)
    return network(name).eval()
