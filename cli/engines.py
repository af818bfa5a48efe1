"""Every engine of the project behind one list, and the sub-images on which engines are compared."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.resources import as_file, files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from slewguard.export.backends import Backend
    from slewguard.export.model import IntegerModel
    from slewguard.subimages import Judgement, TriggerSet
    from slewguard.subimages.verdict import Classifier

_CHUNK = 64


def open_engines(model: IntegerModel, names: Iterable[str] | None = None) -> list[tuple[str, Backend | str]]:
    """Load a model into the engines of ``export``, ``train`` (torch) and ``embedded`` (c); see ``open_backends``."""
    from slewguard.embedded.host import open_c_backend
    from slewguard.export.backends import open_backends
    from slewguard.train.backend import TorchBackend

    return open_backends(model, names, {"torch": TorchBackend, "c": open_c_backend})


class EngineClassifier:
    """An engine as a classifier: planes and rule of the model, score from the engine, and its verdict if it has one.

    Parameters
    ----------
    model : IntegerModel
    backend : Backend
        One with ``judge(planes, sequence)``, as generated C has, also decides.
    """

    def __init__(self, model: IntegerModel, backend: Any) -> None:
        self.model = model
        self.backend = backend

    def judge(self, triggers: TriggerSet) -> Judgement:
        """Judge each alert, those of one sequence as looks in the order in which they stand."""
        from slewguard.export.planes import make_planes
        from slewguard.subimages import Judgement, places

        rule, backend = self.model.verdict, self.backend
        score, reason = np.zeros(len(triggers), dtype=np.int8), triggers.rejected.copy()
        verdict = np.zeros(len(triggers), dtype=np.uint8)
        good = np.flatnonzero(reason == 0)
        if not len(good):
            return Judgement(score, verdict, reason)
        planes = np.concatenate(
            [
                make_planes(triggers.snr[part], triggers.mask[part], triggers.catalogue_id[part], self.model.planes)
                for part in np.split(good, range(_CHUNK, len(good), _CHUNK))
            ]
        )
        if hasattr(backend, "judge"):
            score[good], verdict[good], reason[good] = backend.judge(planes, places(triggers)[good])
            return Judgement(score, verdict, reason)
        chunks = [slice(i, i + _CHUNK) for i in range(0, len(good), _CHUNK)]
        score[good] = np.concatenate([backend.score(planes[chunk]) for chunk in chunks])
        reason[good] = np.concatenate([rule.reasons(rule.count(planes[chunk])) for chunk in chunks])
        return Judgement(score, rule.decide_looks(score, reason, places(triggers)), reason)


def open_classifier(model: IntegerModel, name: str) -> Classifier:
    """Load a model into one engine, or an emulated machine such as ``leon3``, as a classifier.

    Raises
    ------
    BadInput
        If there is no such engine, or it does not run here or does not take the model.
    """
    from slewguard.embedded.target import target_names
    from slewguard.export.backends import EngineUnavailable
    from slewguard.export.execute import NumpyClassifier
    from slewguard.subimages import BadInput

    if name == "numpy":
        return NumpyClassifier(model)
    if name in target_names():
        from slewguard.embedded.target_engine import open_target_backend

        try:
            return EngineClassifier(model, open_target_backend(model, name))
        except EngineUnavailable as error:
            raise BadInput(f"engine {name!r} does not run here: {error}") from error
    ((_, backend),) = open_engines(model, [name])
    if isinstance(backend, str):
        raise BadInput(f"engine {name!r} does not run here: {backend}")
    return EngineClassifier(model, backend)


def reference_alerts() -> TriggerSet:
    """The 563 alerts that ship with the project, from a simulator that is not slewguard's."""
    from slewguard.subimages import read_triggers

    with as_file(files("slewguard.benchmarks") / "data" / "alerts563.h5") as shipped:
        return read_triggers(shipped)


def sample_planes(model: IntegerModel, triggers_from: Path | None, n: int) -> NDArray[np.int8]:
    """Planes of n sub-images: of a trigger set, or of the shipped one; flipped and turned where it holds fewer.

    Flips and quarter turns about the trigger pixel are exact on planes (row 0 and column 0 are never data), so
    every view is a valid input of its own.

    Returns
    -------
    int8 array [n, 3, 56, 56]
        At most eight views of each usable sub-image.

    Raises
    ------
    BadInput
        If the set holds no sub-image that keeps the contract.
    """
    from slewguard.export.planes import make_planes
    from slewguard.subimages import BadInput, read_triggers

    triggers = reference_alerts() if triggers_from is None else read_triggers(triggers_from, strict=False)
    triggers = triggers.select(np.flatnonzero(triggers.rejected == 0)[:n])
    if not len(triggers):
        raise BadInput("holds no sub-image that keeps the contract", triggers_from)
    planes = make_planes(triggers.snr, triggers.mask, triggers.catalogue_id, model.planes)
    views = []
    for flip in (1, -1):
        for turn in range(4):
            view = planes.copy()
            view[:, :, 1:, 1:] = np.rot90(planes[:, :, 1:, 1:], turn, axes=(2, 3))[..., ::flip]
            views.append(view)
    return np.concatenate(views)[:n]
