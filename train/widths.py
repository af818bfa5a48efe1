"""One network trained in floating point and then on the grid of several widths of weights, for the size curve."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from slewguard.export.flight import LayerShape
from slewguard.export.model import IntegerModel
from slewguard.export.planes import PlaneRule
from slewguard.subimages.contract import TriggerSet
from slewguard.train.fit import flight_source
from slewguard.train.grid import WEIGHT_BITS
from slewguard.train.loop import Trainer, float_phase, predict, qat_phase
from slewguard.train.nets import FlightNet
from slewguard.train.quantise import quantise, rescale_score, to_integer_model
from slewguard.train.recipes import Recipe
from slewguard.train.sources import FlightSource

_SAMPLE = 4096
Scores = dict[str, NDArray[np.float32]]


@dataclass(frozen=True, eq=False)
class AtWidth:
    """What became of the network at one width.

    Parameters
    ----------
    model : IntegerModel or None
        None where no integer model holds weights so wide.
    parameters : int
    scores : dict of str to float32 array
        Log-odds of each set that was judged.
    seconds : float
        Processor time of the training, in floating point and on the grid.
    """

    model: IntegerModel | None
    parameters: int
    scores: Scores
    seconds: float


def fit_widths(
    shapes: tuple[LayerShape, ...],
    recipe: Recipe,
    fitted: TriggerSet,
    judges: Mapping[str, TriggerSet],
    seed: int,
    widths: Sequence[tuple[int, bool]],
) -> tuple[Scores, list[AtWidth]]:
    """Train a shape once in floating point and then at each width.

    Parameters
    ----------
    shapes : tuple of LayerShape
    recipe : Recipe
    fitted : TriggerSet
        Labelled alerts to fit.
    judges : mapping of str to TriggerSet
        Labelled alerts to score.
    seed : int
    widths : sequence of (bits, in lane)

    Returns
    -------
    floating : dict of str to float32 array
        Log-odds of each set in floating point.
    trained : list of AtWidth
    """
    start = time.process_time()
    source = flight_source(fitted, recipe, seed)
    judged = {name: FlightSource(triggers, PlaneRule(), 0.0) for name, triggers in judges.items()}
    few = FlightSource(fitted.select(np.arange(0, len(fitted), 40)), PlaneRule(), 0.0)
    torch.manual_seed(seed)
    net = FlightNet(shapes).to(memory_format=torch.channels_last)
    for _ in Trainer(net, float_phase(recipe), seed).epochs(0, source, few, _nothing, 0.0):
        pass
    net.eval()
    rng = np.random.default_rng([seed, len(fitted)])
    sample = source.batch(np.sort(rng.permutation(len(source.label))[:_SAMPLE]), rng)
    in_float = time.process_time() - start
    trained = []
    for bits, in_lane in widths:
        start = time.process_time()
        quantised = quantise(net, sample, bits=bits, in_lane=in_lane)
        for _ in Trainer(quantised, qat_phase(recipe), seed).epochs(0, source, few, quantised.bound, 0.0):
            pass
        quantised.eval()
        convolutions = quantised.convolutions()
        parameters = sum(layer.conv.weight.numel() + layer.conv.bias.numel() for layer in convolutions)
        scores = {name: predict(quantised, one) for name, one in judged.items()}
        model = None
        if bits <= WEIGHT_BITS:
            model = to_integer_model(rescale_score(quantised, sample), "curve", PlaneRule())
        trained.append(AtWidth(model, parameters, scores, in_float + time.process_time() - start))
    return {name: predict(net, one) for name, one in judged.items()}, trained


def _nothing() -> None:
    """After a step in floating point nothing is bounded."""
