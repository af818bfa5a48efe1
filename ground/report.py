"""A folder of results as one page: opens offline, light and dark, on paper; no script, nothing from elsewhere.

What lies in the folder is taken as text of strangers: everything is escaped, and a policy in the page forbids scripts
and requests. A part that is missing is said to be, with what makes it; a file that is not understood is listed.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from slewguard.export.model import IntegerModel, load_model
from slewguard.ground import report_chain as chain_parts
from slewguard.ground import report_parts as parts
from slewguard.ground import report_tables as tables
from slewguard.ground.advice import basis
from slewguard.ground.markup import Html, join, tag
from slewguard.ground.report_files import Results, read_results, same_ledgers
from slewguard.ground.report_style import STYLE
from slewguard.subimages.atomic import atomic_output
from slewguard.subimages.contract import TriggerSet
from slewguard.subimages.errors import BadInput

POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
"""Content Security Policy of the page: its own style and pictures, nothing else."""


def write_report(folder: str | Path, out: str | Path, triggers: Sequence[TriggerSet] = ()) -> Results:
    """Write the report of a folder; the same folder gives the same bytes.

    Parameters
    ----------
    folder : path-like
        JSON files of the verbs and benchmarks, ledgers, runs and packages, in any depth.
    out : path-like
        The page.
    triggers : sequence of TriggerSet
        Where the sub-images of the ledgers are found.

    Returns
    -------
    Results
        What was found.

    Raises
    ------
    BadInput
        If there is no such folder or the page cannot be written.
    """
    results = read_results(folder)
    page = render(results, Path(folder), triggers)
    with atomic_output(out) as beside:
        beside.write_text(page, encoding="utf-8", newline="\n")
    return results


def render(results: Results, folder: Path, triggers: Sequence[TriggerSet] = ()) -> str:
    """Return the page."""
    model, fault = _model(results, folder)
    alerts = parts.Alerts(triggers)
    sections = [
        ("headline", "Headline", _headline(results)),
        ("slews", "Slews", _slews(results)),
        ("bursts", "Bursts lost", _ledgers(results, parts.lost, alerts, model)),
        ("saved", "Slews saved", _ledgers(results, parts.saved, alerts, model)),
        ("faults", "Under faults", _faults(results)),
        ("classification", "True against false", _classification(results, model)),
        ("size", "Size and latency", _size(results, model)),
        ("dividend", "With a lower threshold", _dividend(results)),
        ("exactness", "The same bytes everywhere", _exactness(results)),
        ("scorecard", "The simulator against public facts", _scorecard(results)),
        ("certificate", "Certificate", _certificate(model, fault)),
        ("provenance", "Provenance", _provenance(results, model)),
    ]
    name = model.name if model else "a classifier"
    lead = "Trigger and classifier of SVOM/ECLAIRs as one chain: false slews avoided, bursts kept, and at which cost."
    head = tag(
        "header",
        tag("h1", f"What {name} saves, and what it costs"),
        tag("p", lead, class_="lead"),
        tag("p", _stands_on(results, model), class_="small"),
        tag("nav", *(tag("a", title, href=f"#{key}") for key, title, _ in sections)),
    )
    body = [tag("section", tag("h2", title, id=key), content) for key, title, content in sections]
    out = io.StringIO()
    out.write("<!DOCTYPE html>\n")
    out.write(
        tag(
            "html",
            tag(
                "head",
                tag("meta", charset="utf-8"),
                tag("meta", http_equiv="Content-Security-Policy", content=POLICY),
                tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
                tag("title", f"slewguard report: {name}"),
                Html(f"<style>{STYLE}</style>"),
            ),
            "\n",
            tag("body", head, tag("main", *body)),
            lang="en",
        )
    )
    out.write("\n")
    return out.getvalue()


def _model(results: Results, folder: Path) -> tuple[IntegerModel | None, str]:
    """The model that the results are of: the one the chain names, else the first."""
    named = [found.get("model_sha256") for _, found in results.of("chain")]
    first, fault = None, ""
    for name, _ in results.of("model"):
        try:
            model = load_model(folder / name)
        except BadInput as error:
            fault = fault or f"{name}: {error.fault}"
            continue
        first = first or model
        if model.sha256 in named:
            return model, ""
    return first, fault


def _stands_on(results: Results, model: IntegerModel | None) -> str:
    told = f"{basis(model.certificate).capitalize()}. " if model else "No model in the folder. "
    read = f"{len(results.files):,} files read by slewguard {version('slewguard')}"
    return f"{told}{read}; each is listed below with its SHA-256."


def _natural(results: Results) -> list[tuple[str, Any]]:
    """Chains of bursts as nature sends them first, longest first; the others behind them."""

    def key(one: tuple[str, Any]) -> tuple[bool, float]:
        try:
            return float(one[1].get("enrich", 1)) != 1, -float(one[1].get("days", 0))
        except (TypeError, ValueError):
            return True, 0.0

    return sorted(results.of("chain"), key=key)


def _headline(results: Results) -> Html:
    chains = _natural(results)
    if not chains:
        return parts.missing("No replay in the folder: slewguard chain MODEL --json FOLDER/chain.json")
    shown = [parts.guarded(chains[0][0], parts.headline, chains[0][1])]
    more = [(name, found) for name, found in chains[1:] if found.get("enrich", 1) != 1]
    return join([*shown, *(parts.guarded(name, chain_parts.enriched, found) for name, found in more)])


def _slews(results: Results) -> Html:
    if not results.of("chain"):
        return parts.missing("No replay in the folder.")
    return join(parts.guarded(name, parts.slews, name, found) for name, found in _natural(results))


def _ledgers(results: Results, make: Any, alerts: parts.Alerts, model: IntegerModel | None) -> Html:
    ledgers = results.of("ledger")
    if not ledgers:
        return parts.missing("No ledger in the folder: slewguard chain MODEL --ledger FOLDER/ledger.csv")
    shown = []
    for names, rows in same_ledgers(ledgers):
        if len(ledgers) > 1:
            shown.append(tag("h3", ", ".join(names)))
            if len(names) > 1:
                shown.append(tag("p", f"{len(names)} ledgers, identical but for the engine's name.", class_="small"))
        shown.append(parts.guarded(names[0], make, rows, alerts, model))
    if not alerts.given:
        shown.append(parts.missing("Without pictures: --triggers names the sub-images."))
    return join(shown)


def _classification(results: Results, model: IntegerModel | None) -> Html:
    found = results.of("evaluation")
    curves = [
        parts.guarded(names[0], parts.operating_curve, rows, model, found)
        for names, rows in same_ledgers(results.of("ledger"))[:1]
    ]
    if not curves:
        curves = [parts.missing("No curve: it is drawn from the scores of a ledger.")]
    if found:
        curves.append(parts.guarded("evaluations", tables.evaluations, found))
    else:
        curves.append(
            parts.missing("No evaluation in the folder: slewguard evaluate MODEL ALERTS --json FOLDER/evaluation.json")
        )
    return join(curves)


def _size(results: Results, model: IntegerModel | None) -> Html:
    shown = [parts.guarded("size", tables.size, model, results)]
    sessions = tables.every(results, "latency", tables.latency)
    if not sessions:
        sessions = [
            parts.missing("No latency session: slewguard bench MODEL --session FOLDER/latency --also handmade,resnet50")
        ]
        sessions += tables.every(results, "bench", tables.bench)
    budgets = [parts.guarded(name, chain_parts.budget, name, found) for name, found in _natural(results)[:1]]
    return join([*shown, *sessions, *tables.every(results, "targets", tables.targets), *budgets])


def _faults(results: Results) -> Html:
    shown = tables.every(results, "faults", chain_parts.faults)
    return join(shown) if shown else parts.missing("Not challenged: slewguard faults MODEL --json FOLDER/faults.json")


def _dividend(results: Results) -> Html:
    shown = tables.every(results, "dividend", chain_parts.dividend)
    return join(shown) if shown else parts.missing("Not measured: python -m slewguard.benchmarks.dividend")


def _exactness(results: Results) -> Html:
    shown = tables.every(results, "conformance", tables.conformance)
    return (
        join(shown)
        if shown
        else parts.missing("Not compared: slewguard conformance PACKAGE --json FOLDER/conformance.json")
    )


def _scorecard(results: Results) -> Html:
    shown = tables.every(results, "scorecard", tables.scorecard)
    return join(shown) if shown else parts.missing("No scorecard in the folder: slewguard simulate --scorecard")


def _certificate(model: IntegerModel | None, fault: str) -> Html:
    if model is None:
        return parts.missing(f"No model that could be read in the folder. {fault}")
    return parts.guarded("certificate", tables.certificate, model)


def _provenance(results: Results, model: IntegerModel | None) -> Html:
    shown = []
    if model is not None:
        shown.append(tag("p", "Model ", tag("span", model.sha256, class_="hash")))
    shown += tables.every(results, "run", tables.run_facts)
    return join([*shown, tag("h3", "Files"), tables.files(results)])
