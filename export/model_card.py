"""The model card of a flight package, generated: what the model is for, where it ends, and its figures.

Sections after Mitchell et al., "Model Cards for Model Reporting" (FAT* 2019).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from slewguard.export.model import IntegerModel
from slewguard.export.proof import Proof

_LIMITS = """\
* It judges 56x56 sub-images of the ECLAIRs sky map as the trigger cuts them, about a pixel at row 28, column 28.
  For anything else it abstains or its answer means nothing.
* It can only take slews away. *Abstain* means that today's onboard decision stands; every sub-image that breaks
  the contract or lies outside the sanity limits gets it.
* A certificate holds for the population that it names and for no other: another sky, another detector state or
  another trigger configuration needs `slewguard calibrate` with alerts of its own.
* The thresholds were set at the arithmetic stated in `model.json`; another quantisation is another model.
"""


def model_card(model: IntegerModel, run: Mapping[str, Any], proof: Proof) -> str:
    """Write the card of a model.

    Parameters
    ----------
    model : IntegerModel
    run : mapping
        What is known of the training: ``metrics`` and whatever else belongs to its provenance. Unless it says
        ``"simulated": false`` the alerts count as simulated.
    proof : Proof
        Of the model, in the package beside the card.

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
    figures = _figures(run.get("metrics", {}))
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
        f"{len(model.convolutions)} integer convolutions, {model.parameters:,} parameters, {model.macs:,} "
        f"multiply-accumulates. SHA-256 `{model.sha256}`.",
        f"Of the highest score so far in a sequence: veto if it is < {rule.t_veto}, from usable look {rule.first_look} "
        f"on, confirm if it is > {rule.t_confirm}; abstain below {rule.min_valid} pixels "
        f"with data, below a quantised trigger SNR of {rule.min_trigger} or above {rule.max_saturated} saturated "
        f"pixels{', and on sub-images unlike those of the calibration (`unfamiliar`)' if rule.familiar else ''}.",
        "The specification, the C code and the arithmetics of onnxruntime, XNNPACK and TensorFlow Lite's own kernels "
        f"give the same bytes: proved over {proof.accumulators:,} accumulators of {len(proof.rows)} channels "
        "(`proof.json`).",
        "## Figures",
        *(figures or ["None were handed in."]),
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


def _figures(metrics: Any) -> list[str]:
    """Tables of the metrics: one for each group, and one of its causes where it tells them apart."""
    if not isinstance(metrics, Mapping):
        return []
    parts = [str(metrics["measured_on"])] if "measured_on" in metrics else []
    alone = {key: value for key, value in metrics.items() if not _is_group(value)}
    groups = [("", alone), *((key, value) for key, value in metrics.items() if _is_group(value))]
    for title, group in groups:
        causes = group.get("per_cause")
        shares = list(_shares({key: value for key, value in group.items() if key != "per_cause"}, ""))
        rows = [f"| {name} | {_cell(s)} | {_interval(s)} | {s.get('n', '')} |" for name, s in shares]
        if title and (rows or causes):
            parts.append(f"### {title.capitalize()}")
        if rows:
            parts.append("\n".join(["| figure | value | 95 % interval | n |", "|---|---|---|---|", *rows]))
        if isinstance(causes, Mapping) and all(isinstance(found, Mapping) for found in causes.values()):
            parts.append(_causes(causes))
    return parts


def _is_group(value: Any) -> bool:
    return isinstance(value, Mapping) and "auc" in value


def _causes(causes: Mapping[str, Mapping[str, Any]]) -> str:
    """One row a cause, one column a share with its interval."""
    shares = {cause: dict(_shares(found, "")) for cause, found in causes.items()}
    names = list(dict.fromkeys(name for found in shares.values() for name in found))
    rows = [
        [cause, str(causes[cause].get("n", "")), *(_with_interval(found.get(name)) for name in names)]
        for cause, found in shares.items()
    ]
    head = ["cause", "n", *names]
    return "\n".join("| " + " | ".join(row) + " |" for row in (head, ["---"] * len(head), *rows))


def _with_interval(share: Mapping[str, Any] | None) -> str:
    return "-" if share is None else f"{_cell(share)} [{_interval(share)}]"


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
    return f"{round(value, 4):g}" if isinstance(value, int | float) else str(share.get("reason") or "-")


def _interval(share: Mapping[str, Any]) -> str:
    lo, hi = share.get("lo"), share.get("hi")
    if isinstance(lo, int | float) and isinstance(hi, int | float):
        return f"{round(lo, 4):g} – {round(hi, 4):g}"
    return "-"


def _json(value: Mapping[str, Any]) -> str:
    return "```json\n" + json.dumps(value, indent=2, sort_keys=True, allow_nan=False) + "\n```"
