"""ResNet50, the talk's second network, with the tensor names of the common ImageNet checkpoints.

He et al., CVPR 2016, 1512.03385, table 1 and figure 5; the stride of a block lies in its 3x3 convolution, as in the
checkpoints that are common today. Body 23,508,032 parameters, and one output in the place of the thousand classes.
"""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from slewguard.subimages.errors import BadInput
from slewguard.subimages.paths import read_bytes
from slewguard.train.loop import Source
from slewguard.train.sources import HandmadeSource

INPUT = 224
"""Side to which a sub-image is brought."""

_STAGES = ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2))  # width, blocks, stride of the first
_WIDER = 4
_CHUNK = 32
_LARGEST = 512 * 2**20


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions, added to what came in."""

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        outputs = width * _WIDER
        self.conv1 = nn.Conv2d(inputs, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, outputs, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.downsample = (
            nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))
            if stride != 1 or inputs != outputs
            else nn.Identity()
        )

    def forward(self, x: Tensor) -> Tensor:
        """Output of the block."""
        y = F.relu(self.bn1(self.conv1(x)))
        y = F.relu(self.bn2(self.conv2(y)))
        found: Tensor = F.relu(self.bn3(self.conv3(y)) + self.downsample(x))
        return found


class ResNet50(nn.Module):
    """Input float32 [N, 3, 224, 224], output float32 [N], a log-odds."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        inputs, stages = 64, []
        for width, blocks, stride in _STAGES:
            stage: list[nn.Module] = []
            for i in range(blocks):
                stage.append(Bottleneck(inputs, width, stride if i == 0 else 1))
                inputs = width * _WIDER
            stages.append(nn.Sequential(*stage))
        self.layer1, self.layer2, self.layer3, self.layer4 = stages
        self.fc = nn.Linear(inputs, 1)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def stem(self, x: Tensor) -> Tensor:
        """All but the last block and the last layer: float32 [N, 2048, 7, 7]."""
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 3, 2, padding=1)
        for stage in (self.layer1, self.layer2, self.layer3, self.layer4[:-1]):
            x = stage(x)
        return x

    def forward(self, x: Tensor) -> Tensor:
        """Score of each image."""
        tail = self.tail()
        if self.training:
            scores: Tensor = tail(self.stem(x))
            return scores
        # Few at a time: the first layers need 20 MB an image.
        return torch.cat([tail(self.stem(part)) for part in x.split(_CHUNK)])

    def tail(self) -> Tail:
        """The last block and the last layer, the same tensors."""
        return Tail(self.layer4[-1], self.fc)


class Tail(nn.Module):
    """What is trained on frozen layers: input float32 [N, 2048, 7, 7], output float32 [N]."""

    def __init__(self, block: nn.Module, fc: nn.Linear) -> None:
        super().__init__()
        self.block = block
        self.fc = fc

    def forward(self, x: Tensor) -> Tensor:
        """Score of each image."""
        scores: Tensor = self.fc(self.block(x).mean(dim=(2, 3))).flatten()
        return scores


class ResNetSource(HandmadeSource):
    """SNR, mask and SNR again as the three colours, brought to 224x224 (assumed: the talk does not tell)."""

    def batch(self, index: NDArray[np.intp], rng: np.random.Generator | None) -> Tensor:
        """Images, float32 [B, 3, 224, 224]."""
        both = super().batch(index, rng)
        large = F.interpolate(both[:, [0, 1, 0]], size=(INPUT, INPUT), mode="bilinear", align_corners=False)
        return large.contiguous(memory_format=torch.channels_last)


class FrozenSource:
    """Outputs of the frozen layers, computed once: 200 kB an alert."""

    def __init__(self, net: ResNet50, source: Source) -> None:
        self.label, self.weight = source.label, source.weight
        net.eval()
        index = np.arange(len(source.label))
        with torch.no_grad():
            parts = [net.stem(source.batch(index[i : i + _CHUNK], None)).half() for i in range(0, len(index), _CHUNK)]
        self._outputs = torch.cat(parts)

    def batch(self, index: NDArray[np.intp], rng: np.random.Generator | None) -> Tensor:
        """Outputs of the frozen layers, float32 [B, 2048, 7, 7]."""
        return self._outputs[torch.from_numpy(index)].float()


def load_weights(net: ResNet50, path: str | Path) -> str:
    """Load the body from a checkpoint with the common names; a last layer of a thousand classes is left aside.

    Parameters
    ----------
    net : ResNet50
    path : path-like
        Safetensors, or a state dict that ``torch.load`` reads with ``weights_only``.

    Returns
    -------
    str
        SHA-256 of the file.

    Raises
    ------
    BadInput
        If the file is no such checkpoint; the first name that is missing, left over or of another shape is told.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    content = read_bytes(path, _LARGEST)
    try:
        found = load(content)
    except SafetensorError:
        try:
            found = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
        except Exception as error:  # torch tells of a bad file in many ways
            raise BadInput("neither safetensors nor a state dict of torch", path) from error
    if not isinstance(found, dict) or not all(isinstance(t, Tensor) for t in found.values()):
        raise BadInput("holds no state dict", path)
    own = {name: t for name, t in net.state_dict().items() if not name.startswith("fc.")}
    given = {name: t for name, t in found.items() if not name.startswith("fc.")}
    for name, tensor in own.items():
        if name.endswith("num_batches_tracked"):
            given.setdefault(name, tensor)  # older checkpoints do not count batches
        if name not in given:
            raise BadInput(f"has no tensor {name}: not a ResNet50", path)
        if given[name].shape != tensor.shape:
            raise BadInput(f"{name} has shape {tuple(given[name].shape)}, expected {tuple(tensor.shape)}", path)
    for name in given:
        if name not in own:
            raise BadInput(f"holds {name!r:.80}, which a ResNet50 has not", path)
    if not all(bool(torch.isfinite(t).all()) for t in given.values()):
        raise BadInput("holds weights that are not finite", path)
    net.load_state_dict(given, strict=False)
    return hashlib.sha256(content).hexdigest()
