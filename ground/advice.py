"""Advice for the Burst Advocate on shift: a verdict, the reasons for it, and one sentence to send on.

Nothing here decides anything: today's onboard decision stands unless the model's own rule says ``veto``, and a
sub-image that cannot be judged gets ``abstain`` with the reason. The probable cause comes from another model
(:mod:`slewguard.ground.causes`), which has no part in the verdict.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slewguard.export.execute import NumpyClassifier
from slewguard.export.model import IntegerModel
from slewguard.export.planes import source_positions
from slewguard.ground.causes import MEANING, CauseModel, shipped_causes
from slewguard.subimages.contract import CENTRE, REASONS, SubImage, TriggerSet
from slewguard.subimages.verdict import Verdict

SENTENCE = 280
"""Most characters of the one sentence: what a chat message or a pager takes."""
_LIKELY = 0.5
"""A cause less probable than this is not named alone."""


@dataclass(frozen=True)
class Advice:
    """What is said of one alert.

    Parameters
    ----------
    name : str
        File, or file and number, of the alert.
    verdict : str
        ``confirm``, ``veto`` or ``abstain``.
    score : int or None
        The network's output, -128 to 127; None where it was not asked.
    reason : str
        ``ok``, or why the network was not asked.
    findings : tuple of str
        What a person sees in the sub-image, measured.
    sentence : str
        Verdict, probable cause and findings in at most 280 characters.
    causes : dict of str to float
        Probability of each group of causes, the likeliest first; empty where the network was not asked. Learned from
        simulated alerts, and no part of the verdict.
    """

    name: str
    verdict: str
    score: int | None
    reason: str
    findings: tuple[str, ...]
    sentence: str
    causes: dict[str, float] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """JSON form."""
        return asdict(self)


def advise(triggers: TriggerSet, names: list[str], model: IntegerModel) -> list[Advice]:
    """Judge every alert of a set, the ones that break the contract with ``abstain``.

    Parameters
    ----------
    triggers : TriggerSet
        Alerts, read without refusing rejected ones.
    names : list of str
        What to call each.
    model : IntegerModel
    """
    judgement = NumpyClassifier(model).judge(triggers)
    teller = shipped_causes()
    probability = teller.probabilities(triggers)
    advice = []
    for i, name in enumerate(names):
        reason = REASONS[judgement.reason[i]]
        asked = reason == "ok"
        verdict = Verdict(int(judgement.verdict[i])).name.lower()
        score = int(judgement.score[i]) if asked else None
        seen = findings(triggers[i], model.planes.patch) if triggers.rejected[i] == 0 else ()
        causes = _ranked(teller, probability[i]) if asked else {}
        told = (*_probably(teller, causes), *seen)
        sentence = _sentence(name, verdict, score, reason, told, model)
        advice.append(Advice(name, verdict, score, reason, seen, sentence, causes))
    return advice


def _ranked(teller: CauseModel, probability: NDArray[np.float64]) -> dict[str, float]:
    names = list(teller.groups)
    return {names[i]: round(float(probability[i]), 3) for i in np.argsort(-probability, kind="stable")}


def _probably(teller: CauseModel, causes: Mapping[str, float]) -> tuple[str, ...]:
    """What is said of the cause, or of the two likeliest ones, and of where that comes from."""
    if not causes:
        return ()
    likeliest = list(causes.items())[:2]
    if likeliest[0][1] >= _LIKELY:
        likeliest = likeliest[:1]
    told = " or ".join(f"{MEANING.get(name, name)} ({100 * probability:.0f} %)" for name, probability in likeliest)
    learned = "simulated" if teller.population.get("simulated", True) else "labelled"
    return (f"by {learned} alerts probably {told}",)


def not_judged(name: str, reason: str, fault: str) -> Advice:
    """Advice on a sub-image that no file reader would accept: ``abstain``."""
    return Advice(name, "abstain", None, reason, (fault,), _fit(name, f"abstain, not judged ({reason})", fault))


def findings(subimage: SubImage, patch: int) -> tuple[str, ...]:
    """Describe a sub-image in the terms in which alerts are discussed.

    Parameters
    ----------
    subimage : SubImage
    patch : int
        Side of the square that counts as one source, pixels.
    """
    snr = subimage.snr
    rows, columns = np.indices(snr.shape)
    away = np.hypot(rows - CENTRE, columns - CENTRE) > patch
    around = snr[away & np.isfinite(snr)]
    found = [f"SNR {snr[CENTRE, CENTRE]:.1f}"]
    if around.size:
        found.append(f"second peak {around.max():.1f}, deepest minimum {around.min():.1f}")
        found.append(f"rms around {np.sqrt(np.mean(np.square(around, dtype=np.float64))):.2f}")
    found.append(_nearest(subimage, patch))
    missing = float(np.isnan(snr).mean())
    if missing > 0:
        found.append(f"{100 * missing:.0f} % of the sub-image outside the field")
    return tuple(found)


def _nearest(subimage: SubImage, patch: int) -> str:
    positions: NDArray[np.intp] = source_positions(subimage.mask, subimage.catalogue_id, patch)
    if subimage.catalogue_id >= 0:
        return f"at catalogue source {subimage.catalogue_id}"
    if not len(positions):
        return "no known source in view"
    nearest = np.hypot(*(positions - CENTRE).T).min()
    return f"nearest known source {nearest:.1f} px away"


def basis(certificate: Mapping[str, Any]) -> str:
    """Say what the thresholds of a certificate rest on: no verdict is printed without it."""
    if not certificate.get("veto", {}).get("certified", False):
        return "thresholds not certified"
    simulated = certificate.get("population", {}).get("simulated", True)
    return "thresholds from simulated alerts" if simulated is not False else "thresholds certified on real alerts"


def _sentence(
    name: str, verdict: str, score: int | None, reason: str, seen: tuple[str, ...], model: IntegerModel
) -> str:
    if score is None:
        told = f"{verdict}, not judged ({reason})"
    else:
        rule = model.verdict
        told = f"{verdict}, score {score} (veto below {rule.t_veto}, confirm above {rule.t_confirm})"
    return _fit(name, f"{told}; {basis(model.certificate)}", "; ".join(seen))


def _fit(name: str, told: str, more: str) -> str:
    """Name, what is told and more in one sentence; the name and the rest are shortened, never what is told."""
    name = _shortened(name, SENTENCE // 3)
    told = f"{name}: {told}"
    room = SENTENCE - len(told) - len("; ")
    return f"{told}; {_shortened(more, room)}" if more and room > 0 else told


def _shortened(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"
