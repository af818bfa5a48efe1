"""Fine-tuning of a flight run on the labels of other alerts, real ones above all.

The network starts from the run's floating-point checkpoint, or from the integers of the model that ships with
slewguard, and is fitted to the new labels together with the simulated alerts that it may forget otherwise; then it
goes on the grid and gets its thresholds as ever.

*What is held out.* A set on which the run was trained keeps the split that it had there: what was fitted once is never
held out later. The thresholds come from held-out sequences of the new labels where these are enough to certify the
level. Where they are not, all new labels are fitted and the thresholds come from the held-out simulated sequences,
which the certificate names as its population. It then promises nothing on the alerts of the new labels, and whoever
has more of these sets thresholds on them with ``slewguard calibrate``.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from slewguard.export.model import IntegerModel
from slewguard.export.package import open_model
from slewguard.export.planes import make_planes
from slewguard.subimages.contract import TriggerSet
from slewguard.subimages.errors import BadInput
from slewguard.subimages.paths import read_bytes
from slewguard.train.calibrate import CONFIDENCE, Levels, data_hash, order_rank
from slewguard.train.fit import Plan, fit_flight, flight_source, whole_sequences
from slewguard.train.loop import Progress, Source, load_tensors, named_tensors
from slewguard.train.metrics import check_seed, is_burst
from slewguard.train.nets import FlightNet, real_planes
from slewguard.train.recipes import RECIPES
from slewguard.train.runs import MARKER, about, labelled, provenance, split
from slewguard.train.unfold import unfold

FLOAT = "float.safetensors"
_LARGEST = 2**26
_SAMPLE = 1024


@dataclass(frozen=True)
class Tuning:
    """How new labels are fitted.

    Parameters
    ----------
    epochs, qat_epochs : int
        Over the simulated alerts.
    rate : float
        Highest learning rate in floating point; on the grid it is the recipe's.
    share : float
        Largest share of what is fitted that new labels make up.
    repeats : int
        How often an epoch shows each new label at most: as often as there are views of it. So few labels weigh little
        and many weigh up to their share.
    """

    epochs: int = 3
    qat_epochs: int = 2
    rate: float = 2e-3
    share: float = 0.5
    repeats: int = 8


class JointSource:
    """New labels, each several times, among the simulated alerts.

    Parameters
    ----------
    labels : Source
    simulated : Source, optional
    tuning : Tuning
    """

    def __init__(self, labels: Source, simulated: Source | None, tuning: Tuning) -> None:
        self._parts = [labels] if simulated is None else [labels, simulated]
        self.repeats = tuning.repeats
        if simulated is not None:
            room = tuning.share / (1 - tuning.share) * len(simulated.label) / len(labels.label)
            self.repeats = min(max(int(room), 1), tuning.repeats)
        n = len(labels.label)
        ends = np.cumsum([len(part.label) for part in self._parts])
        self._at = np.concatenate([np.tile(np.arange(n), self.repeats), np.arange(n, ends[-1])])
        self._ends = ends
        self.label = np.concatenate([part.label for part in self._parts])[self._at]
        self.weight = np.concatenate([part.weight for part in self._parts])[self._at]

    def batch(self, index: NDArray[np.intp], rng: np.random.Generator | None) -> Tensor:
        """Real planes, float32 [B, 3, 56, 56]."""
        at = self._at[index]
        which = np.searchsorted(self._ends, at, side="right")
        found: Tensor | None = None
        for i, part in enumerate(self._parts):
            own = np.flatnonzero(which == i)
            if not len(own):
                continue
            planes = part.batch(at[own] - (self._ends[i - 1] if i else 0), rng)
            if found is None:
                size = (len(index), *planes.shape[1:])
                found = torch.empty(size).contiguous(memory_format=torch.channels_last)
            found[torch.from_numpy(own)] = planes
        assert found is not None
        return found


def fine_tune(
    labels: TriggerSet,
    out: str | Path,
    start: str | Path,
    *,
    simulated: TriggerSet | None = None,
    tuning: Tuning | None = None,
    seed: int = 0,
    levels: Levels | None = None,
    progress: Callable[[Progress], None] = lambda _: None,
    resume: bool = False,
) -> Path:
    """Fine-tune a flight run.

    Parameters
    ----------
    labels : TriggerSet
        Labelled alerts, such as real ones.
    out : path-like
        The run folder to write; an older one is replaced.
    start : path-like
        Run folder of the flight recipe, or ``default``: the model that ships with slewguard.
    simulated : TriggerSet, optional
        Alerts to fit beside them: those that the run was trained on, or others of their kind.
    tuning : Tuning, optional
    seed : int
        Of all that is drawn, and of the split of a set that the run has not seen.
    levels : Levels, optional
        What the thresholds promise.
    progress : callable
        Told after each epoch.
    resume : bool
        Go on from the checkpoint beside ``out``, if there is one.

    Returns
    -------
    Path
        The run folder.

    Raises
    ------
    BadInput
        If ``start`` is no run of the flight recipe, the labels cannot be trained on, nothing is left to hold out, the
        folder cannot be written or the checkpoint is of another run.
    """
    check_seed(seed)
    tuning, levels = tuning or Tuning(), levels or Levels()
    begun = Start.of(start)
    past = begun.past
    recipe = replace(RECIPES["flight"], epochs=tuning.epochs, qat_epochs=tuning.qat_epochs, rate=tuning.rate)
    own, held_out = _parted(labels, past, recipe.held_out, seed)
    certifies = "sequence" in labels.columns and order_rank(_burst_sequences(held_out), levels.veto) > 0
    whole, fitted, note = labels, None, ""
    if simulated is not None:
        fitted, unseen = _parted(simulated, past, recipe.held_out, seed)
        if not certifies:
            own, held_out, whole = labelled(labels), unseen, simulated
            note = _note(own, labels, levels)
    if not len(held_out):
        raise BadInput("the run that it starts from has fitted every alert: nothing is left to hold out")
    follows = provenance(labels, asdict(recipe), seed, (own, held_out), ("torch", "brevitas"))
    follows |= {"threads": torch.get_num_threads(), "tuning": asdict(tuning), "held_out_of": data_hash(whole)}
    follows["from"] = {**begun.identity, "provenance": past}
    if simulated is not None and fitted is not None:
        follows["with"] = {**about(simulated), "fitted": len(fitted)}

    def source() -> Source:
        more = None if fitted is None else flight_source(fitted, recipe, seed)
        return JointSource(flight_source(own, recipe, seed), more, tuning)

    state = begun.state(own if fitted is None else fitted, seed)
    plan = Plan(recipe, seed, follows, source, held_out, whole_sequences(whole, held_out), levels, state, note)
    return fit_flight(plan, out, progress=progress, resume=resume)


def splits_of(past: Mapping[str, Any]) -> dict[str, tuple[float, int] | None]:
    """What a run and those before it were fitted to: by data hash its split (share, seed), None if fitted whole."""
    found = splits_of(past["from"]["provenance"]) if "from" in past else {}
    seed, share = int(past["seed"]), float(past["recipe"]["held_out"])
    main = past["data"]["sha256"]
    # Labels that set no thresholds were fitted whole.
    found.setdefault(main, (share, seed) if past.get("held_out_of", main) == main else None)
    if "with" in past:
        found.setdefault(past["with"]["sha256"], (share, seed))
    for other in past.get("also", []):
        found[other["sha256"]] = None
    return found


def _parted(triggers: TriggerSet, past: Mapping[str, Any], share: float, seed: int) -> tuple[TriggerSet, TriggerSet]:
    try:
        known = splits_of(past)
    except (KeyError, TypeError, ValueError) as error:
        raise BadInput("the run that it starts from does not tell what it was trained on") from error
    name = data_hash(triggers)
    if name not in known and _same_campaign(triggers, past):
        raise BadInput("other alerts of the very campaign that the run was trained on: it may have fitted them")
    found = known.get(name, (share, seed))
    if found is None:
        everything = labelled(triggers)
        return everything, everything.select(np.zeros(0, dtype=np.intp))
    return split(triggers, *found)


def _same_campaign(triggers: TriggerSet, past: Mapping[str, Any]) -> bool:
    """Whether the alerts come from the very time line that the run, or one before it, was trained on."""
    own = dict(triggers.provenance)
    sets = [past["data"], *past.get("also", []), *([past["with"]] if "with" in past else [])]
    before = "from" in past and _same_campaign(triggers, past["from"]["provenance"])
    return before or ("config_sha256" in own and own in [one["provenance"] for one in sets])


def _note(own: TriggerSet, labels: TriggerSet, levels: Levels) -> str:
    need = int(np.ceil(np.log(1 - CONFIDENCE) / np.log1p(-levels.veto)))
    kind = "simulated" if labels.simulated else "real"
    return (
        f"also {len(own)} labels of other alerts ({kind}, SHA-256 {data_hash(labels)}), of whose "
        f"{_burst_sequences(own)} burst sequences too few could be held out: {need} are needed. "
        "What is certified holds for this population and not for that one"
    )


def _burst_sequences(triggers: TriggerSet) -> int:
    return len(np.unique(triggers.sequence[is_burst(triggers)]))


@dataclass(frozen=True, eq=False)
class Start:
    """What is fine-tuned.

    Parameters
    ----------
    past : dict
        Provenance of the run.
    identity : dict of str to str
        Hash of its weights.
    floating : dict of str to tensor, or None
        Its checkpoint in floating point.
    model : IntegerModel or None
        Where there is no such checkpoint.
    """

    past: dict[str, Any]
    identity: dict[str, str]
    floating: dict[str, Tensor] | None = None
    model: IntegerModel | None = None

    @classmethod
    def of(cls, start: str | Path) -> Start:
        """Open a run folder of the flight recipe, or ``default``.

        Raises
        ------
        BadInput
            If it is neither.
        """
        if str(start) == "default":
            model = open_model("default")
            with as_file(files("slewguard.export") / "default" / MARKER) as shipped:
                return cls(_provenance(shipped), {"model_sha256": model.sha256}, model=model)
        state, digest = _float_state(Path(start) / FLOAT)
        return cls(_provenance(Path(start) / MARKER), {"float_sha256": digest}, state)

    def state(self, fitted: TriggerSet, seed: int) -> dict[str, Tensor]:
        """State of the float network; from integers with the statistics of a sample of what is fitted."""
        if self.floating is not None:
            return self.floating
        assert self.model is not None
        chosen = np.sort(np.random.default_rng(seed).permutation(len(fitted))[:_SAMPLE])
        few = fitted.select(chosen)
        planes = make_planes(few.snr, few.mask, few.catalogue_id, self.model.planes)
        return dict(named_tensors(unfold(self.model, real_planes(torch.from_numpy(planes)))))


def _float_state(path: Path) -> tuple[dict[str, Tensor], str]:
    from safetensors import SafetensorError
    from safetensors.torch import load

    if not path.is_file():
        raise BadInput(f"no {FLOAT}: expected the run folder of a flight network", path.parent)
    content = read_bytes(path, _LARGEST)
    try:
        state = load(content)
        load_tensors(FlightNet(), state)
    except (SafetensorError, ValueError) as error:
        raise BadInput(f"not the weights of the flight network ({error})", path) from error
    return state, hashlib.sha256(content).hexdigest()


def _provenance(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(read_bytes(path, _LARGEST))
    except (ValueError, RecursionError) as error:
        if isinstance(error, BadInput):
            raise
        raise BadInput("not valid JSON", path) from error
    if not isinstance(found, dict):
        raise BadInput("not the provenance of a run", path)
    return found
