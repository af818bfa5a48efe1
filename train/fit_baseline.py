"""From a labelled trigger set to the run folder of a baseline, on the same split as the flight network's."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from slewguard.subimages.atomic import atomic_folder
from slewguard.subimages.contract import TRUE, TriggerSet
from slewguard.subimages.errors import BadInput
from slewguard.train.baseline import FeatureModel, measure, network, source_of, write_baseline, write_feature_model
from slewguard.train.forest import fit_forest
from slewguard.train.logistic import fit_logistic
from slewguard.train.metrics import check_seed, evaluate
from slewguard.train.recipes import BASELINES, FEATURE_MODELS, RECIPES, Recipe
from slewguard.train.rule import fit_rule
from slewguard.train.runs import FILES, MARKER, marker, plot_history, provenance, split, write_json

if TYPE_CHECKING:
    from torch import nn

    from slewguard.train.loop import Progress, Source

_HELD_OUT = RECIPES["flight"].held_out


def fit_feature_model(
    name: str, measured: NDArray[np.float64], label: NDArray[np.bool_], sequence: NDArray[np.int64], seed: int
) -> FeatureModel:
    """Fit the rule, the logistic regression or the trees.

    Parameters
    ----------
    name : str
        One of :data:`slewguard.train.recipes.FEATURE_MODELS`.
    measured : float64 array [N, F]
    label : bool array [N]
    sequence : int64 array [N]
        Cross-validation never parts one.
    seed : int

    Raises
    ------
    BadInput
        If there are too few sequences to choose anything by.
    """
    if name == "rule":
        return fit_rule(measured, label)
    return (fit_logistic if name == "logistic" else fit_forest)(measured, label, sequence, seed)


def fit_network(recipe: Recipe, fitted: TriggerSet, test: TriggerSet, seed: int) -> NDArray[np.float32]:
    """Train a network anew and score other alerts with it, for studies over many splits.

    Parameters
    ----------
    recipe : Recipe
        One of :data:`slewguard.train.recipes.BASELINES`.
    fitted, test : TriggerSet
        To train on and to score, both labelled and without broken sub-images.
    seed : int

    Returns
    -------
    float32 array [len(test)]
        Log-odds.
    """
    import torch

    from slewguard.train.loop import Trainer, float_phase, predict

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = network(recipe.name)
        judged = source_of(recipe.name, test)
        for _ in Trainer(net, float_phase(recipe), seed).epochs(
            0, source_of(recipe.name, fitted), judged, _nothing, 0.0
        ):
            pass
        return predict(net, judged)


def train_baseline(
    triggers: TriggerSet,
    out: str | Path,
    *,
    recipe: str,
    seed: int = 0,
    epochs: int | None = None,
    weights: str | Path | None = None,
    progress: Callable[[Progress], None] = lambda _: None,
    resume: bool = False,
) -> Path:
    """Train a baseline on a labelled trigger set.

    Parameters
    ----------
    triggers : TriggerSet
        Labelled; sub-images that break the contract and unclear alerts are left out.
    out : path-like
        The run folder, written whole at the end or not at all; an older run folder is replaced.
    recipe : str
        A name of :data:`~slewguard.train.recipes.BASELINES` or :data:`~slewguard.train.recipes.FEATURE_MODELS`.
    seed : int
        Of the split, of the initial weights and of all that is drawn.
    epochs : int, optional
        Instead of a network's own.
    weights : path-like, optional
        Checkpoint of ``resnet50`` (:func:`slewguard.train.resnet.load_weights`): all but the last block and the last
        layer are then frozen. Without it the whole network is trained.
    progress : callable
        Told after each epoch of a network.
    resume : bool
        Go on from a network's checkpoint beside ``out``, if there is one.

    Returns
    -------
    Path
        The run folder.

    Raises
    ------
    BadInput
        For an unknown recipe, options that it has not, labels that cannot be trained on, a folder that cannot be
        written, weights or a checkpoint that do not fit.
    """
    check_seed(seed)
    if recipe not in BASELINES and recipe not in FEATURE_MODELS:
        raise BadInput(f"unknown recipe {recipe!r}, expected one of {', '.join([*BASELINES, *FEATURE_MODELS])}")
    if weights is not None and recipe != "resnet50":
        raise BadInput(f"recipe {recipe!r} starts from no weights; resnet50 does")
    if recipe in FEATURE_MODELS and (epochs is not None or resume):
        raise BadInput(f"recipe {recipe!r} has no epochs and nothing to resume")
    fitted, held_out = split(triggers, _HELD_OUT, seed)
    place = Path(os.path.realpath(out))
    with atomic_folder(out, marker=marker(place), ours=FILES.__contains__) as folder:
        if recipe in FEATURE_MODELS:
            settings: dict[str, Any] = {"name": recipe, "held_out": _HELD_OUT}
            about = provenance(triggers, settings, seed, (fitted, held_out), ("scikit-learn",))
            metrics = _features(recipe, fitted, held_out, seed, folder)
        else:
            chosen = replace(BASELINES[recipe], epochs=BASELINES[recipe].epochs if epochs is None else epochs)
            about = provenance(triggers, asdict(chosen), seed, (fitted, held_out), ("torch",))
            run = _NetworkRun(chosen, seed, about, place, progress)
            metrics = run.fit(fitted, held_out, weights, resume, folder)
        write_json(folder / "metrics.json", metrics)
        write_json(folder / MARKER, about)
    place.with_name(place.name + ".checkpoint").unlink(missing_ok=True)
    return Path(out)


def _features(name: str, fitted: TriggerSet, held_out: TriggerSet, seed: int, folder: Path) -> dict[str, Any]:
    model = fit_feature_model(name, measure(fitted), fitted.label == TRUE, fitted.sequence, seed)
    digest = write_feature_model(folder, model, name)
    return {"weights_sha256": digest, "float": evaluate(model.score(measure(held_out)), held_out)}


class _NetworkRun:
    """Trains a network, with progress and a checkpoint."""

    def __init__(
        self, recipe: Recipe, seed: int, about: dict[str, Any], place: Path, progress: Callable[[Progress], None]
    ) -> None:
        self._recipe = recipe
        self._seed = seed
        self._about = about
        self._place = place
        self._progress = progress

    def fit(
        self, fitted: TriggerSet, held_out: TriggerSet, weights: str | Path | None, resume: bool, folder: Path
    ) -> dict[str, Any]:
        import torch

        from slewguard.train.loop import predict
        from slewguard.train.nets import parameters

        self._about["threads"] = torch.get_num_threads()
        name = self._recipe.name
        source, test = source_of(name, fitted), source_of(name, held_out)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self._seed)
            net = network(name)
            trained, inputs, judged = self._prepared(net, source, test, weights)
            history = self._epochs(trained, inputs, judged, resume)
        digest = write_baseline(folder, net, name)
        plot_history(folder / "training.png", history)
        return {
            "parameters": parameters(net),
            "trained_parameters": parameters(trained),
            "weights_sha256": digest,
            "float": evaluate(predict(net, test), held_out),
            "history": history,
        }

    def _prepared(
        self, net: nn.Module, source: Source, test: Source, weights: str | Path | None
    ) -> tuple[nn.Module, Source, Source]:
        """Return what is trained, on which inputs, and on which it is judged while training."""
        if weights is None:
            return net, source, test
        from slewguard.train.resnet import FrozenSource, ResNet50, load_weights

        assert isinstance(net, ResNet50)
        self._about["weights_sha256"] = load_weights(net, weights)
        return net.tail(), FrozenSource(net, source), FrozenSource(net, test)

    def _epochs(self, net: nn.Module, source: Source, test: Source, resume: bool) -> list[dict[str, Any]]:
        from slewguard.train.checkpoint import Checkpoint
        from slewguard.train.loop import Trainer, float_phase

        recipe = self._recipe
        checkpoint = Checkpoint(self._place.with_name(self._place.name + ".checkpoint"), self._about)
        if not resume:
            checkpoint.remove()
        trainer = Trainer(net, float_phase(recipe), self._seed)
        history: list[dict[str, Any]] = []
        first = 0
        if saved := checkpoint.load():
            trainer.restore(dict(saved.tensors))
            history, first = list(saved.history), saved.epoch
        for told in trainer.epochs(first, source, test, _nothing, time.monotonic()):
            history.append(told.figures())
            checkpoint.save(0, told.epoch, history, trainer.state())
            self._progress(told)
        return history


def _nothing() -> None:
    """After a step nothing is bounded: these networks stay in floating point."""
