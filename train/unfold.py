"""A flight network in floating point from the integers of a model, to fine-tune it where no checkpoint is at hand.

The inverse of :func:`slewguard.train.quantise.fold`. Any split of a folded layer into convolution and batch
normalisation answers alike; taken is the one whose statistics are those of a sample, so that training, which
normalises by the statistics of each batch, starts where the model stands.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from slewguard.export.flight import FLIGHT
from slewguard.export.model import IntegerModel
from slewguard.subimages.errors import BadInput
from slewguard.train.nets import FlightNet, pad
from slewguard.train.quantise import from_integer_model


@torch.no_grad()
def unfold(model: IntegerModel, sample: Tensor) -> FlightNet:
    """Return the network in floating point that answers as the model does, but for rounding and saturation.

    Parameters
    ----------
    model : IntegerModel
        Tie-free, of the flight shape.
    sample : float32 tensor [N, 3, 56, 56]
        Real planes, such as the alerts to be fitted.

    Raises
    ------
    BadInput
        If the model has another shape or arithmetic.
    """
    layers = from_integer_model(model).convolutions()
    if len(model.layers) != len(FLIGHT) or tuple(layer.grid.shape for layer in layers) != FLIGHT:
        raise BadInput(f"model {model.name:.64} has not the shape of the flight network")
    net = FlightNet().to(memory_format=torch.channels_last)
    x = sample
    for i, layer in enumerate(layers):
        shape, conv = net.shapes[i], net.convs[i]
        conv.weight.copy_(layer.conv.weight)
        if i == len(net.norms):
            conv.bias.copy_(layer.conv.bias)
            break
        norm = net.norms[i]
        x = conv(pad(x, shape))
        norm.running_mean.copy_(x.mean(dim=(0, 2, 3)))
        norm.running_var.copy_(x.var(dim=(0, 2, 3)))
        norm.weight.copy_(torch.sqrt(norm.running_var + norm.eps))
        norm.bias.copy_(norm.running_mean + layer.conv.bias)
        x = F.relu(x + layer.conv.bias.view(-1, 1, 1))
    return net
