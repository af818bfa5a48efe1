"""From a labelled trigger set to a run folder: the whole of training in one function.

Flight recipe: floating point, fold, quantisation-aware, integers, thresholds. The held-out sequences are never
trained on and choose nothing while training (the last epoch is taken, always), so they may show its progress and
then set the thresholds; figures on them at those thresholds describe the calibration, they do not test it.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from slewguard.export.execute import run
from slewguard.export.model import IntegerModel
from slewguard.export.planes import PlaneRule, make_planes
from slewguard.subimages.atomic import atomic_folder
from slewguard.subimages.contract import UNCLEAR, TriggerSet
from slewguard.subimages.errors import BadInput
from slewguard.subimages.paths import read_bytes
from slewguard.subimages.verdict import Judgement
from slewguard.train.baseline import write_baseline
from slewguard.train.calibrate import Levels, calibrate, check_causes, data_hash
from slewguard.train.checkpoint import Checkpoint
from slewguard.train.data import joined, split_by_sequence, with_more_marks
from slewguard.train.loop import Phase, Progress, Source, Trainer, load_tensors, named_tensors, predict
from slewguard.train.metrics import check_seed, evaluate
from slewguard.train.nets import FlightNet, HandmadeNet, parameters
from slewguard.train.quantise import QuantNet, quantise, rescale_score, to_integer_model
from slewguard.train.recipes import Recipe, recipe_named
from slewguard.train.sources import FlightSource, HandmadeSource

MARKER = "provenance.json"
_FILES = {
    *(MARKER, "metrics.json", "training.png", "model.json", "float.safetensors", "baseline.json", "weights.safetensors")
}
_SAMPLE = 4096


def train(
    triggers: TriggerSet,
    out: str | Path,
    *,
    recipe: str = "flight",
    seed: int = 0,
    epochs: int | None = None,
    qat_epochs: int | None = None,
    levels: Levels | None = None,
    progress: Callable[[Progress], None] = lambda _: None,
    resume: bool = False,
    also: Sequence[TriggerSet] = (),
) -> Path:
    """Train a network on a labelled trigger set.

    Parameters
    ----------
    triggers : TriggerSet
        Labelled; sub-images that break the contract are left out, and unclear alerts are not trained on.
    out : path-like
        The run folder, which is written whole at the end or not at all. An older run folder is replaced, any other
        that is not empty is refused.
    recipe : str
        ``flight`` or ``handmade``.
    seed : int
        Of the split, the initial weights and all that is drawn.
    epochs, qat_epochs : int, optional
        Instead of the recipe's.
    levels : Levels, optional
        What the thresholds promise.
    progress : callable
        Told after each epoch.
    resume : bool
        Go on from the checkpoint beside ``out``, if there is one; the result is that of an uninterrupted run.
    also : sequence of TriggerSet
        Alerts of other populations to fit as well. Held out and calibrated on is the first set alone, so that the
        certificate names one population.

    Returns
    -------
    Path
        The run folder.

    Raises
    ------
    BadInput
        If labels are missing or contradict causes, a class is missing, the seed is out of range, the folder cannot be
        written or the checkpoint is of another run.
    """
    check_seed(seed)
    place = Path(os.path.realpath(out))  # a name, whatever stands for it, such as a dot
    chosen = recipe_named(recipe)
    chosen = replace(
        chosen,
        epochs=chosen.epochs if epochs is None else epochs,
        qat_epochs=chosen.qat_epochs if qat_epochs is None or not chosen.qat_epochs else qat_epochs,
    )
    check_causes(triggers)
    sound = triggers.select(np.flatnonzero(triggers.rejected == 0))
    usable = sound.select(np.flatnonzero(sound.label != UNCLEAR))
    if not len(usable):
        raise BadInput("trigger set holds no alert labelled true or false")
    first, second = split_by_sequence(usable, chosen.held_out, seed)
    fitted, held_out = usable.select(first), usable.select(second)
    for other in also:
        check_causes(other)
        fitted = joined([fitted, other.select(np.flatnonzero((other.rejected == 0) & (other.label != UNCLEAR)))])
    provenance = _provenance(triggers, chosen, seed, fitted, held_out)
    if also:
        provenance["also"] = [_about(other) for other in also]
    # With the unclear alerts of the same events, which calibration counts as looks at a burst.
    whole = np.isin(sound.sequence, held_out.sequence)
    calibration = sound.select(np.flatnonzero(whole)) if "sequence" in sound.columns else held_out
    checkpoint = Checkpoint(place.parent / (place.name + ".checkpoint"), provenance)
    if not resume:
        checkpoint.remove()
    # The folder is opened first: hours of work are not spent on a place that cannot be written.
    with (
        atomic_folder(out, marker=_marker(place), ours=_FILES.__contains__) as folder,
        torch.random.fork_rng(devices=[]),
    ):
        torch.manual_seed(seed)
        work = _Work(chosen, seed, checkpoint, progress)
        metrics = (
            _flight(work, fitted, held_out, calibration, levels, folder)
            if chosen.name == "flight"
            else _handmade(work, fitted, held_out, folder)
        )
        _write_json(folder / "metrics.json", {**metrics, "history": work.history})
        _write_json(folder / MARKER, provenance)
        _plot(folder / "training.png", work.history)
    checkpoint.remove()
    return Path(out)


def _marker(place: Path) -> str | None:
    """Name of the provenance if the one in ``place`` is of a run; folders of alerts hold one as well."""
    try:
        found = json.loads(read_bytes(place / MARKER, 2**26))
    except (BadInput, ValueError, RecursionError):
        return None
    return MARKER if isinstance(found, dict) and {"recipe", "data", "split"} <= set(found) else None


class _Work:
    """Runs phases, with progress and checkpoints."""

    def __init__(self, recipe: Recipe, seed: int, checkpoint: Checkpoint, progress: Callable[[Progress], None]) -> None:
        self.recipe = recipe
        self.seed = seed
        self.history: list[dict[str, Any]] = []
        self._checkpoint = checkpoint
        self._progress = progress
        self._started = time.monotonic()
        self._saved = checkpoint.load()
        if self._saved:
            self.history = list(self._saved.history)

    def fit(
        self,
        net: torch.nn.Module,
        phase: Phase,
        source: Source,
        held_out: Source,
        before: dict[str, Tensor] | None = None,
        after_step: Callable[[], None] = lambda: None,
    ) -> None:
        """Train through one phase; ``before`` is what the checkpoint must keep of earlier ones."""
        saved, first = self._saved, 0
        if saved and saved.phase > phase.number:
            load_tensors(net, saved.part("before"))
            return
        trainer = Trainer(net, phase, self.seed)
        if saved and saved.phase == phase.number:
            trainer.restore(saved.part("now"))
            first = saved.epoch
        for told in trainer.epochs(first, source, held_out, after_step, self._started):
            self.history.append(told.figures())
            tensors = {f"now.{name}": tensor for name, tensor in trainer.state().items()}
            tensors |= {f"before.{name}": tensor for name, tensor in (before or {}).items()}
            self._checkpoint.save(phase.number, told.epoch, self.history, tensors)
            self._progress(told)


def _flight(
    work: _Work,
    fitted: TriggerSet,
    held_out: TriggerSet,
    calibration: TriggerSet,
    levels: Levels | None,
    folder: Path,
) -> dict[str, Any]:
    from safetensors.torch import save

    recipe, rule = work.recipe, PlaneRule()
    fitted = with_more_marks(fitted, recipe.more_marks, work.seed)
    source = FlightSource(fitted, rule, recipe.drop_id, recipe.outburst_weight)
    test = FlightSource(held_out, rule, 0.0)
    net = FlightNet().to(memory_format=torch.channels_last)
    work.fit(net, Phase("float", 0, recipe.epochs, recipe.batch, recipe.rate, recipe.decay), source, test)
    float_score = predict(net, test)
    float_state = {name: t.detach().contiguous() for name, t in named_tensors(net)}

    rng = np.random.default_rng([work.seed, len(fitted)])
    chosen = np.sort(rng.permutation(len(source.label))[:_SAMPLE])
    sample = source.batch(chosen, rng)
    quantised = quantise(net, sample)
    phase = Phase("qat", 1, recipe.qat_epochs, recipe.batch, recipe.qat_rate, 0.0)
    work.fit(quantised, phase, source, test, float_state, quantised.bound)
    quantised.eval()
    model = _calibrated(rescale_score(quantised, sample), rule, calibration, levels)

    model.save(folder / "model.json")
    (folder / "float.safetensors").write_bytes(save(float_state))
    score = run(model, test.examples.planes)
    verdict, reason = model.verdict.verdicts(test.examples.planes, score, held_out.sequence)
    return {
        "measured_on": "The held-out sequences, which also set the thresholds: this describes the calibration "
        "and does not test it.",
        "parameters": model.parameters,
        "macs": model.macs,
        "model_sha256": model.sha256,
        "saturated": float(np.isin(score, (-128, 127)).mean()),
        "float": evaluate(float_score, held_out),
        "quantised": evaluate(score, held_out, Judgement(score, verdict, reason)),
    }


def _calibrated(net: QuantNet, rule: PlaneRule, calibration: TriggerSet, levels: Levels | None) -> IntegerModel:
    model = to_integer_model(net, "flight", rule)
    planes = make_planes(calibration.snr, calibration.mask, calibration.catalogue_id, rule)
    return model.with_verdict(*calibrate(run(model, planes), planes, calibration, levels))


def _handmade(work: _Work, fitted: TriggerSet, held_out: TriggerSet, folder: Path) -> dict[str, Any]:
    recipe = work.recipe
    net = HandmadeNet().to(memory_format=torch.channels_last)
    test = HandmadeSource(held_out)
    phase = Phase("float", 0, recipe.epochs, recipe.batch, recipe.rate, recipe.decay)
    work.fit(net, phase, HandmadeSource(fitted), test)
    digest = write_baseline(folder, net, recipe.name)
    return {
        "parameters": parameters(net),
        "weights_sha256": digest,
        "float": evaluate(predict(net, test), held_out),
    }


def _provenance(
    triggers: TriggerSet, recipe: Recipe, seed: int, fitted: TriggerSet, held_out: TriggerSet
) -> dict[str, Any]:
    """What the run follows from; no times, hosts or paths, so that the same run gives the same bytes."""
    packages = ("slewguard", "numpy", "torch", "brevitas")
    return {
        "recipe": asdict(recipe),
        "seed": seed,
        "threads": torch.get_num_threads(),
        "versions": {
            "python": platform.python_version(),
            **{name: importlib.metadata.version(name) for name in packages},
        },
        "data": _about(triggers),
        "split": {
            name: {"alerts": len(part), "sequences": len(np.unique(part.sequence)), "true": int(part.label.sum())}
            for name, part in (("fitted", fitted), ("held_out", held_out))
        },
    }


def _about(triggers: TriggerSet) -> dict[str, Any]:
    return {
        "sha256": data_hash(triggers),
        "alerts": len(triggers),
        "simulated": triggers.simulated,
        "provenance": dict(triggers.provenance),
    }


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def _plot(path: Path, history: list[dict[str, Any]]) -> None:
    """Draw loss and held-out figures over the epochs, where matplotlib is installed."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        return
    figure = Figure(figsize=(7, 3), layout="constrained")
    FigureCanvasAgg(figure)
    epoch = np.arange(1, len(history) + 1)
    left, right = figure.subplots(1, 2)
    left.plot(epoch, [h["loss"] for h in history], "o-")
    left.set(xlabel="epoch", ylabel="training loss", yscale="log")
    for key, text in (("auc", "area under the curve"), ("rejection", "rejection at 0.99 retention")):
        right.plot(epoch, [np.nan if h[key] is None else h[key] for h in history], "o-", label=text)
    right.set(xlabel="epoch", ylabel="held-out sequences")
    right.legend()
    for axes in (left, right):
        n_float = sum(h["phase"] == "float" for h in history)
        if n_float < len(history):
            axes.axvline(n_float + 0.5, color="0.6", linestyle=":")
    figure.savefig(path, dpi=100, metadata={"Software": None})
