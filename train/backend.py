"""The Brevitas network, rebuilt from ``model.json``, as one of the engines that must give the same bytes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from slewguard.export.model import IntegerModel

_CHUNK = 256


class TorchBackend:
    """Runs an integer model as the fake-quantised network it was trained as.

    Float32 holds every number of it exactly: scales are powers of two and accumulators stay under 2^19.

    Parameters
    ----------
    model : IntegerModel

    Raises
    ------
    ImportError
        If torch or Brevitas is not installed.
    BadInput
        If the model has a layer that the training network cannot express.
    """

    name = "torch"

    def __init__(self, model: IntegerModel) -> None:
        import brevitas
        import torch

        from slewguard.train.quantise import from_integer_model

        self.version = f"{torch.__version__}, brevitas {brevitas.__version__}"
        self._model = model
        self._net = from_integer_model(model)

    def layers(self, planes: NDArray[np.int8]) -> list[NDArray[np.integer]]:
        """Outputs of every layer.

        Parameters
        ----------
        planes : int8 array [N, 3, 56, 56]

        Returns
        -------
        list of int8 or uint8 arrays [N, out, rows, columns]
        """
        parts = [self._run(planes[i : i + _CHUNK]) for i in range(0, max(len(planes), 1), _CHUNK)]
        return [np.concatenate(outputs) for outputs in zip(*parts, strict=True)]

    def score(self, planes: NDArray[np.int8]) -> NDArray[np.int8]:
        """Scores.

        Parameters
        ----------
        planes : int8 array [N, 3, 56, 56]

        Returns
        -------
        int8 array [N]
        """
        parts = [self._run(planes[i : i + _CHUNK])[-1] for i in range(0, max(len(planes), 1), _CHUNK)]
        return np.concatenate(parts)[:, 0, 0, 0]

    def _run(self, planes: NDArray[np.int8]) -> list[NDArray[np.integer]]:
        import torch

        from slewguard.train.nets import real_planes

        with torch.no_grad():
            outputs = self._net.outputs(real_planes(torch.from_numpy(np.ascontiguousarray(planes))))
        return [
            (real * 2.0**layer.out_log2).numpy().astype(layer.dtype, order="C")
            for real, layer in zip(outputs, self._model.layers, strict=True)
        ]
