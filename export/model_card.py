"""The model card of a flight package, generated: what the model is for, where it ends, and its figures.

Sections after Mitchell et al., "Model Cards for Model Reporting" (FAT* 2019).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from slewguard.export.model import IntegerModel

_LIMITS = """\
* It judges 56x56 sub-images of the ECLAIRs sky map as the trigger cuts them, about a pixel at row 28, column 28.
  For anything else it abstains or its answer means nothing.
* It can only take slews away. *Abstain* means that today's onboard decision stands; every sub-image that breaks
  the contract or lies outside the sanity limits gets it.
* A certificate holds for the population that it names and for no other: another sky, another detector state or
  another trigger configuration needs `slewguard calibrate` with alerts of its own.
* The thresholds were set at the arithmetic stated in `model.json`; another quantisation is another model.
"""


def model_card(model: IntegerModel, run: Mapping[str, Any]) -> str:
    """Write the card of a model.

    Parameters
    ----------
    model : IntegerModel
    run : mapping
        What is known of the training: ``metrics`` and whatever else belongs to its provenance. Unless it says
        ``"simulated": false`` the alerts count as simulated.

    Returns
    -------
    str
        Markdown.
    """
    rule = model.verdict
    if is_simulated(run, model.certificate):
        data = "**SIMULATED alerts.** Every figure and the certificate below were measured on simulated alerts."
    else:
        data = "Alerts of the instrument."
    shares = list(_shares(run.get("metrics", {}), ""))
    figures = [f"| {name} | {_cell(s)} | {_interval(s)} | {s.get('n', '')} |" for name, s in shares]
    parts = [
        f"# {model.name}",
        "Tells true from false alerts of the SVOM/ECLAIRs trigger: `confirm`, `veto` or `abstain`, before the "
        "satellite is turned.",
        data,
        "## Intended use",
        "Advice to the onboard slew decision and to the Burst Advocate. A veto means: this alert is not worth a slew.",
        "## Limits",
        _LIMITS.rstrip(),
        "## Model",
        f"{len(model.layers)} integer convolutions, {model.parameters:,} parameters, {model.macs:,} "
        f"multiply-accumulates. SHA-256 `{model.sha256}`.",
        f"Veto if score < {rule.t_veto}, confirm if score > {rule.t_confirm}; abstain below {rule.min_valid} pixels "
        f"with data, below a quantised trigger SNR of {rule.min_trigger} or above {rule.max_saturated} saturated "
        "pixels.",
        "## Figures",
        "\n".join(["| figure | value | 95 % interval | n |", "|---|---|---|---|", *figures])
        if figures
        else "None were handed in.",
        "## Certificate",
        _json(model.certificate)
        if model.certificate
        else "None: no share of bursts kept is promised of these thresholds.",
        "## Training",
        _json({key: value for key, value in run.items() if key != "metrics"}),
    ]
    return "\n\n".join(parts) + "\n"


def is_simulated(run: Mapping[str, Any], certificate: Mapping[str, Any]) -> bool:
    """Whether any figure rests on simulated alerts; so it is taken to be unless both say that it does not."""
    population = certificate.get("population")
    stated = [run.get("simulated", True)]
    if isinstance(population, Mapping):
        stated.append(population.get("simulated", True))
    return any(value is not False for value in stated)


def _shares(value: Any, name: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every figure in nested metrics: a mapping with ``value``, or a number with its ``NAME_interval`` beside it."""
    if not isinstance(value, Mapping):
        return
    if "value" in value:
        yield name, value
        return
    for key, item in value.items():
        inner = f"{name} {key}".strip().replace("_", " ")
        beside = value.get(f"{key}_interval")
        if isinstance(beside, Mapping):
            yield inner, {"n": "", **beside, "value": item}
        elif not key.endswith("_interval"):
            yield from _shares(item, inner)


def _cell(share: Mapping[str, Any]) -> str:
    value = share["value"]
    return f"{value:.4g}" if isinstance(value, int | float) else str(share.get("reason") or "-")


def _interval(share: Mapping[str, Any]) -> str:
    ends = share.get("lo"), share.get("hi")
    return " – ".join(f"{end:.4g}" for end in ends) if all(isinstance(end, int | float) for end in ends) else "-"


def _json(value: Mapping[str, Any]) -> str:
    return "```json\n" + json.dumps(value, indent=2, sort_keys=True, allow_nan=False) + "\n```"
