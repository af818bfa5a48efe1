"""From a labelled trigger set to a run folder: the whole of training in one function.

Flight recipe: floating point, fold, quantisation-aware, integers, thresholds. The held-out sequences are never
trained on and choose nothing while training (the last epoch is taken, always), so they may show its progress and
then set the thresholds; figures on them at those thresholds describe the calibration, they do not test it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from slewguard.export.execute import run
from slewguard.export.model import IntegerModel
from slewguard.export.planes import PlaneRule, make_planes
from slewguard.subimages.atomic import atomic_folder
from slewguard.subimages.contract import TriggerSet
from slewguard.subimages.errors import BadInput
from slewguard.subimages.places import places
from slewguard.subimages.verdict import Judgement
from slewguard.train.calibrate import Levels, calibrate, data_hash
from slewguard.train.checkpoint import Checkpoint
from slewguard.train.data import joined, with_more_marks
from slewguard.train.fit_baseline import train_baseline
from slewguard.train.grid import QuantNet
from slewguard.train.loop import (
    Phase,
    Progress,
    Source,
    Trainer,
    float_phase,
    load_tensors,
    named_tensors,
    predict,
    qat_phase,
)
from slewguard.train.metrics import check_seed, evaluate
from slewguard.train.nets import FlightNet
from slewguard.train.quantise import quantise, rescale_score, to_integer_model
from slewguard.train.recipes import BASELINES, Recipe, recipe_named
from slewguard.train.runs import FILES, MARKER, about, labelled, marker, plot_history, provenance, split, write_json
from slewguard.train.sources import FlightSource

_SAMPLE = 4096
_APART = "The held-out sequences, which were not fitted and set no threshold; they showed the progress of the training."
_CALIBRATED_ON = (
    "The held-out sequences, which also set the thresholds: this describes the calibration and does not test it."
)


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
    calibration: TriggerSet | None = None,
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
        ``flight``, or a network of :data:`slewguard.train.recipes.BASELINES`.
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
    calibration : TriggerSet, optional
        Alerts that set the thresholds in place of the held-out ones, none of which is fitted; such as a campaign with
        more bursts.

    Returns
    -------
    Path
        The run folder.

    Raises
    ------
    BadInput
        If labels are missing or contradict causes, a class is missing, the seed is out of range, the folder cannot be
        written, the checkpoint is of another run or thresholds are to be set on what is fitted.
    """
    if recipe in BASELINES:
        if also or qat_epochs or levels or calibration is not None:
            raise BadInput(f"recipe {recipe!r} is trained in floating point on one set, without thresholds")
        return train_baseline(triggers, out, recipe=recipe, seed=seed, epochs=epochs, progress=progress, resume=resume)
    check_seed(seed)
    chosen = recipe_named(recipe)
    chosen = replace(
        chosen,
        epochs=chosen.epochs if epochs is None else epochs,
        qat_epochs=chosen.qat_epochs if qat_epochs is None or not chosen.qat_epochs else qat_epochs,
    )
    fitted, held_out = split(triggers, chosen.held_out, seed)
    fitted = joined([fitted, *(labelled(other) for other in also)]) if also else fitted
    follows = provenance(triggers, asdict(chosen), seed, (fitted, held_out), ("torch", "brevitas"))
    follows["threads"] = torch.get_num_threads()
    if also:
        follows["also"] = [about(other) for other in also]
    if calibration is not None:
        follows["calibration"] = about(calibration)
        if data_hash(calibration) in {data_hash(seen) for seen in (triggers, *also)}:
            raise BadInput("the alerts that are to set the thresholds are among those that are fitted")
    plan = Plan(
        chosen,
        seed,
        follows,
        lambda: flight_source(fitted, chosen, seed),
        held_out,
        whole_sequences(triggers, held_out) if calibration is None else calibration,
        levels,
        apart=calibration is not None,
    )
    return fit_flight(plan, out, progress=progress, resume=resume)


@dataclass(frozen=True, eq=False)
class Plan:
    """What one run of the flight network does.

    Parameters
    ----------
    recipe : Recipe
    seed : int
        Of the initial weights and all that is drawn.
    follows : dict
        What the run follows from: its provenance.
    source : callable
        Gives the alerts to fit.
    held_out : TriggerSet
        Labelled alerts that are not fitted, to show the progress.
    calibration : TriggerSet
        What sets the thresholds.
    levels : Levels, optional
    start : mapping of str to tensor, optional
        State of a float network to start from.
    note : str
        What the certificate's population has to say of the alerts that were fitted.
    apart : bool
        Whether other alerts than the held-out ones set the thresholds.
    """

    recipe: Recipe
    seed: int
    follows: dict[str, Any]
    source: Callable[[], Source]
    held_out: TriggerSet
    calibration: TriggerSet
    levels: Levels | None = None
    start: Mapping[str, Tensor] | None = None
    note: str = ""
    apart: bool = False


def fit_flight(
    plan: Plan, out: str | Path, *, progress: Callable[[Progress], None] = lambda _: None, resume: bool = False
) -> Path:
    """Train the flight network and write its run folder, whole or not at all.

    Raises
    ------
    BadInput
        If a class is missing, the folder cannot be written or the checkpoint is of another run.
    """
    place = Path(os.path.realpath(out))  # a name, whatever stands for it, such as a dot
    checkpoint = Checkpoint(place.parent / (place.name + ".checkpoint"), plan.follows)
    if not resume:
        checkpoint.remove()
    # The folder is opened first: hours of work are not spent on a place that cannot be written.
    with (
        atomic_folder(out, marker=marker(place), ours=FILES.__contains__) as folder,
        torch.random.fork_rng(devices=[]),
    ):
        torch.manual_seed(plan.seed)
        work = _Work(plan.seed, checkpoint, progress)
        metrics = _flight(work, plan, folder)
        write_json(folder / "metrics.json", {**metrics, "history": work.history})
        write_json(folder / MARKER, plan.follows)
        plot_history(folder / "training.png", work.history)
    checkpoint.remove()
    return Path(out)


class _Work:
    """Runs phases, with progress and checkpoints."""

    def __init__(self, seed: int, checkpoint: Checkpoint, progress: Callable[[Progress], None]) -> None:
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


def _flight(work: _Work, plan: Plan, folder: Path) -> dict[str, Any]:
    from safetensors.torch import save

    recipe, held_out = plan.recipe, plan.held_out
    source, test = plan.source(), FlightSource(held_out, PlaneRule(), 0.0)
    net = FlightNet().to(memory_format=torch.channels_last)
    if plan.start is not None:
        load_tensors(net, dict(plan.start))
    work.fit(net, float_phase(recipe), source, test)
    float_score = predict(net, test)
    float_state = {name: t.detach().contiguous() for name, t in named_tensors(net)}

    rng = np.random.default_rng([work.seed, len(source.label)])
    chosen = np.sort(rng.permutation(len(source.label))[:_SAMPLE])
    sample = source.batch(chosen, rng)
    quantised = quantise(net, sample, in_lane=recipe.in_lane)
    work.fit(quantised, qat_phase(recipe), source, test, float_state, quantised.bound)
    quantised.eval()
    model = _calibrated(rescale_score(quantised, sample), plan)

    model.save(folder / "model.json")
    (folder / "float.safetensors").write_bytes(save(float_state))
    score = run(model, test.examples.planes)
    verdict, reason = model.verdict.verdicts(test.examples.planes, score, places(held_out))
    return {
        "measured_on": _APART if plan.apart else _CALIBRATED_ON,
        "parameters": model.parameters,
        "macs": model.macs,
        "model_sha256": model.sha256,
        "saturated": float(np.isin(score, (-128, 127)).mean()),
        "float": evaluate(float_score, held_out),
        "quantised": evaluate(score, held_out, Judgement(score, verdict, reason)),
    }


def flight_source(fitted: TriggerSet, recipe: Recipe, seed: int) -> FlightSource:
    """Alerts to fit as the flight network sees them while it is trained."""
    fitted = with_more_marks(fitted, recipe.more_marks, seed)
    return FlightSource(fitted, PlaneRule(), recipe.drop_id, recipe.outburst_weight, recipe.faded)


def whole_sequences(triggers: TriggerSet, held_out: TriggerSet) -> TriggerSet:
    """Held-out alerts with the unclear ones of the same events, which calibration counts as looks at a burst."""
    if "sequence" not in triggers.columns:
        return held_out
    kept = (triggers.rejected == 0) & np.isin(triggers.sequence, held_out.sequence)
    return triggers.select(np.flatnonzero(kept))


def _calibrated(net: QuantNet, plan: Plan) -> IntegerModel:
    alerts, rule = plan.calibration, PlaneRule()
    model = to_integer_model(net, "flight", rule)
    planes = make_planes(alerts.snr, alerts.mask, alerts.catalogue_id, rule)
    verdict, certificate = calibrate(run(model, planes), planes, alerts, plan.levels)
    if plan.note:
        certificate["population"]["fitted_on"] = plan.note
    return model.with_verdict(verdict, certificate)
