"""One cell of the talk's studies: one classifier trained anew on one split, and its scores of the alerts to test.

Every training starts from nothing and sees the cell's own training alerts alone.
"""

from __future__ import annotations

import math
import time
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from slewguard.export.execute import run
from slewguard.export.model import IntegerModel
from slewguard.export.planes import PlaneRule
from slewguard.subimages.contract import TRUE, TriggerSet
from slewguard.train.baseline import measure, network
from slewguard.train.fit_baseline import fit_feature_model, fit_network
from slewguard.train.recipes import BASELINES, FEATURE_MODELS, RECIPES, Recipe

if TYPE_CHECKING:
    from torch import Tensor, nn

    from slewguard.train.loop import Phase, Source

FLIGHT_EPOCHS, QAT_EPOCHS = 40, 8
"""Chosen on simulated alerts drawn to the talk's size (:mod:`slewguard.benchmarks.study_epochs`), never on others."""
RESNET_EPOCHS = 3
"""Of the talk's 20: without weights the whole network is trained, which takes hours on a CPU."""
_OF_BASELINES = ("name", "epochs", "batch", "rate", "decay")


def recipe_of(name: str, epochs: int | None = None) -> dict[str, Any]:
    """Settings of a network or model on features, as a cell stores them."""
    if name in FEATURE_MODELS:
        return {"name": name}
    if name == "flight":
        return asdict(flight_recipe(epochs))
    recipe = asdict(baseline_recipe(name, epochs))
    return {key: recipe[key] for key in _OF_BASELINES}


def flight_recipe(epochs: int | None = None) -> Recipe:
    """The flight recipe with epochs for hundreds of alerts; every true alert counts alike, as in the study."""
    epochs = FLIGHT_EPOCHS if epochs is None else epochs
    qat_epochs = math.ceil(epochs * QAT_EPOCHS / FLIGHT_EPOCHS)
    return replace(RECIPES["flight"], epochs=epochs, qat_epochs=qat_epochs, outburst_weight=1.0)


def baseline_recipe(name: str, epochs: int | None = None) -> Recipe:
    """The recipe of a network to compare with."""
    given = RESNET_EPOCHS if name == "resnet50" and epochs is None else epochs
    return BASELINES[name] if given is None else replace(BASELINES[name], epochs=given)


def fit_cell(name: str, fitted: TriggerSet, test: TriggerSet, seed: int, epochs: int | None = None) -> dict[str, Any]:
    """Train one classifier on one split.

    Parameters
    ----------
    name : str
        ``flight``, one of :data:`~slewguard.train.recipes.BASELINES` or
        :data:`~slewguard.train.recipes.FEATURE_MODELS`.
    fitted, test : TriggerSet
    seed : int
    epochs : int, optional
        Of a network, instead of the recipe's.

    Returns
    -------
    dict
        ``scores`` by name of the classifier (``flight`` gives ``flight`` in int8 and ``flight-float``), lists of one
        number an alert, at least 0 where it says true; ``cost`` with ``parameters``, ``macs``, ``bytes``; ``seconds``
        of processor time on one thread.
    """
    start = time.process_time()
    if name == "flight":
        scores, cost = _fit_flight(fitted, test, seed, flight_recipe(epochs))
    elif name in FEATURE_MODELS:
        scores, cost = _fit_features(name, fitted, test, seed)
    else:
        score = fit_network(baseline_recipe(name, epochs), fitted, test, seed)
        scores, cost = {name: score}, _network_cost(name)
    seconds = time.process_time() - start
    return {
        "scores": {key: [float(x) for x in values] for key, values in scores.items()},
        "cost": cost,
        "seconds": round(seconds, 1),
    }


def _fit_features(
    name: str, fitted: TriggerSet, test: TriggerSet, seed: int
) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    import json

    model = fit_feature_model(name, measure(fitted), fitted.label == TRUE, fitted.sequence, seed)
    content = model.content()
    cost = {"parameters": _numbers(content), "macs": None, "bytes": len(json.dumps(content))}
    return {name: model.score(measure(test))}, cost


def _numbers(content: Any) -> int:
    """Count the numbers of nested JSON."""
    if isinstance(content, dict):
        return sum(_numbers(value) for value in content.values())
    if isinstance(content, list | tuple):
        return sum(_numbers(value) for value in content)
    return int(isinstance(content, int | float))


def _fit_flight(
    fitted: TriggerSet, test: TriggerSet, seed: int, recipe: Recipe
) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    import torch

    from slewguard.train.fit import flight_source
    from slewguard.train.loop import Trainer, float_phase, predict, qat_phase
    from slewguard.train.nets import FlightNet
    from slewguard.train.quantise import quantise, rescale_score, to_integer_model
    from slewguard.train.sources import FlightSource

    rule = PlaneRule()
    source = flight_source(fitted, recipe, seed)
    judged = FlightSource(test, rule, 0.0)

    def epochs(net: nn.Module, phase: Phase, bound: Any) -> None:
        for _ in Trainer(net, phase, seed).epochs(0, source, _First(source), bound, 0.0):
            pass

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = FlightNet().to(memory_format=torch.channels_last)
        epochs(net, float_phase(recipe), _nothing)
        in_float = predict(net, judged)
        sample = source.batch(np.arange(len(source.label)), np.random.default_rng(seed))
        quantised = quantise(net, sample, in_lane=recipe.in_lane)
        epochs(quantised, qat_phase(recipe), quantised.bound)
        quantised.eval()
        model = to_integer_model(rescale_score(quantised, sample), "flight", rule)
    integers = run(model, judged.examples.planes).astype(np.float64)
    # In units of the network's log-odds, so that splits whose scores have other scales can be pooled.
    in_integers = integers * 2.0 ** -model.layers[-1].out_log2
    return {"flight-float": in_float, "flight": in_integers}, _flight_cost(model)


def _flight_cost(model: IntegerModel) -> dict[str, Any]:
    weights = sum(layer.weights.nbytes + layer.bias.nbytes + layer.shift.nbytes for layer in model.convolutions)
    return {"parameters": model.parameters, "macs": model.macs, "bytes": weights}


def _network_cost(name: str) -> dict[str, Any]:
    import torch

    from slewguard.train.nets import parameters

    net = network(name)
    size = parameters(net)
    shape = (1, 3, 224, 224) if name == "resnet50" else (1, 2, 56, 56)
    return {"parameters": size, "macs": count_macs(net, torch.zeros(shape)), "bytes": 4 * size}


def count_macs(net: nn.Module, x: Tensor) -> int:
    """Multiply-accumulates of the convolutions and dense layers of a network on one input."""
    import torch
    from torch import nn

    found: list[int] = []

    def count(layer: nn.Module, _: Any, output: Tensor) -> None:
        assert isinstance(layer, nn.Conv2d | nn.Linear)
        found.append(output[0].numel() * layer.weight[0].numel())

    hooks = [m.register_forward_hook(count) for m in net.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    with torch.no_grad():
        net.eval()(x)
    for hook in hooks:
        hook.remove()
    return sum(found)


class _First:
    """The first alert alone: what a trainer tells after each epoch is not looked at here, and costs time."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self.label, self.weight = source.label[:1], source.weight[:1]

    def batch(self, index: NDArray[np.intp], rng: np.random.Generator | None) -> Tensor:
        """As of the source."""
        return self._source.batch(index, rng)


def _nothing() -> None:
    """After a step nothing is bounded in floating point."""
