"""Sections of a report about the classifier itself: figures, size, latency, exactness, scorecard, files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from slewguard.export.model import IntegerModel
from slewguard.ground.advice import basis
from slewguard.ground.markup import Content, Html, facts, join, table, tag
from slewguard.ground.report_files import Results
from slewguard.ground.report_parts import guarded, missing, share_text
from slewguard.ground.report_plots import decades, time_range


def number(value: Any, digits: int = 3) -> str:
    """A number for a person, a dash for none."""
    if value is None:
        return "–"
    value = float(value)
    return f"{value:,.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.{digits}g}"


def evaluations(found: Sequence[tuple[str, Any]]) -> Html:
    """Figures of every model that was evaluated."""
    rows: list[Sequence[Content]] = []
    for file, figures in found:
        certified = figures.get("certified") or {}
        auc, at = figures.get("auc"), figures["rejection_at_retention"]
        interval = figures.get("auc_interval") or {}
        area = "–" if auc is None else f"{float(auc):.4f} [{float(interval['lo']):.4f}, {float(interval['hi']):.4f}]"
        rows.append(
            (
                join((figures.get("model", {}).get("name", "model"), tag("br"), tag("span", file, class_="small"))),
                f"{int(figures['n_true']):,} / {int(figures['n_false']):,}",
                area,
                share_text(at.get("0.99")),
                share_text(certified.get("retention_burst_sequences")),
                share_text(certified.get("rejection")),
            )
        )
    header = ("model", "true / false alerts", "AUC", "rejection at 0.99 retention", "burst sequences kept", "rejection")
    about = "The last two are at the model's own thresholds; rejection at retention is read off these alerts."
    return join((table(header, rows), tag("p", about, class_="small")))


def latency(file: str, summary: Mapping[str, Any]) -> Html:
    """A latency session: every network in every engine, and under quotas."""
    rows = list(summary["rows"])
    least, most = decades(v for row in rows for v in (float(row["p50_us"]), float(row["max_us"])))
    shown: list[Sequence[Content]] = [
        (
            f"{row['network']} {row['precision']}",
            f"{row['engine']}",
            time_range(float(row["p50_us"]), float(row["p99_us"] or row["p50_us"]), float(row["max_us"]), least, most),
            number(row["p50_us"]),
            number(row["p99_us"]),
            number(row["max_us"]),
            f"{float(row['ratio']):.1f}",
            number(row["cold_ms"]),
            number(float(row["file_bytes"]) / 1e3),
            number(None if row["peak_rss_bytes"] is None else float(row["peak_rss_bytes"]) / 1e6),
            number(row["macs"]),
        )
        for row in sorted(rows, key=lambda row: float(row["p50_us"]))
    ]
    scale = f"log, {number(least)}–{number(most)} µs"
    header = ("network", "engine", scale, "median µs", "p99", "max", "ratio", "cold ms", "file kB", "peak MB", "MAC")
    system = summary["system"]
    about = (
        f"{system['processor']}, {system['kernel']}, load {number(system.get('load_before'))} before; Python "
        f"{system['python']}; {int(summary['calls']):,} calls each, batch 1, one core. {summary['note']} Weights of "
        f"networks beside the model are random. Dot: median; thick line: to p99; thin line: to the largest."
    )
    parts = [tag("h3", f"Latency: {file}"), table(header, shown, words=3), tag("p", about, class_="small")]
    if summary.get("quotas"):
        parts.append(_quotas(summary["quotas"], system.get("quota") or {}))
    refused = [(name, str(reason)) for name, reason in (summary.get("not_run") or {}).items()]
    parts += [tag("p", f"Not run: {name} ({reason}).", class_="small") for name, reason in refused]
    return join(parts)


def _quotas(rows: Sequence[Mapping[str, Any]], quota: Mapping[str, Any]) -> Html:
    order = sorted(
        rows, key=lambda row: (str(row["network"]), str(row["precision"]), str(row["engine"]), -float(row["percent"]))
    )
    shown = [
        (
            f"{row['network']} {row['precision']}",
            row["engine"],
            f"{float(row['percent']):g} %",
            number(row["throughput_per_s"]),
            *(number(row[key]) for key in ("p50_us", "p99_us", "max_us")),
            f"{100 * float(row['late_share']):.1f} %",
        )
        for row in order
    ]
    header = ("network", "engine", "quota", "calls/s", "median µs", "p99", "max", "late")
    period = number(float(quota.get("period_us", 0)) / 1000)
    about = f"Held by {quota.get('mechanism', 'unknown')}, period {period} ms. A quota hides in the median."
    return join((tag("h3", "Under a CPU quota"), tag("p", about), table(header, shown, words=2)))


def bench(file: str, rows: Sequence[Mapping[str, Any]]) -> Html:
    """Rows of ``bench`` without a session."""
    shown = [
        (row["engine"], row["version"], *(number(row[key]) for key in ("p50_us", "p99_us", "max_us"))) for row in rows
    ]
    header = ("engine", "version", "median µs", "p99", "max")
    return join((tag("h3", f"Latency in one process: {file}"), table(header, shown, words=2)))


def size(model: IntegerModel | None, results: Results) -> Html:
    """Size of the network against those it is compared with."""
    rows: list[Sequence[Content]] = []
    if model is not None:
        rows.append((model.name, "int8", number(model.parameters), number(model.macs), _files(results, model.name)))
    for _, found in results.of("quantised"):
        sizes = found["bytes"]
        rows.append(
            ("handmade", "int8", number(found["parameters_int8"]), number(found["macs"]), number(sizes["onnx"]))
        )
        rows.append(("handmade", "float32", number(found["parameters_float"]), "–", number(sizes["float32_weights"])))
    for _, summary in results.of("latency"):
        for row in summary["rows"]:
            if (row["network"], row["engine"]) == ("resnet50", "ort"):
                rows.append(("resnet50", row["precision"], "–", "–", number(row["file_bytes"])))
    if not rows:
        return missing("No model.json in the folder and no baseline to compare it with.")
    return table(("network", "precision", "parameters", "MAC", "bytes"), rows, words=2)


def _files(results: Results, name: str) -> str:
    for _, summary in results.of("latency"):
        for row in summary["rows"]:
            if (row["network"], row["engine"]) == (name, "ort"):
                return number(row["file_bytes"])
    return next((number(file.size) for file in results.files if file.name.endswith("model.onnx")), "–")


def targets(file: str, found: Mapping[str, Any]) -> Html:
    """Instructions on emulated machines."""
    rows = [
        (
            row["target"],
            row["style"],
            number(row["instructions"]),
            number(row["judge_instructions"]),
            *(number(row[key]) for key in ("code_bytes", "const_bytes", "scratch_bytes", "stack_bytes")),
            "yes" if row["equal"] is True else "NO",
        )
        for row in found["counts"]
        if row.get("case", "model") == "model"
    ]
    header = (
        "target",
        "style",
        "instructions",
        "with the rule",
        "code",
        "constants",
        "scratch",
        "stack",
        "equal bytes",
    )
    return join((tag("h3", f"On flight processors, in emulation: {file}"), table(header, rows, words=2)))


def conformance(file: str, rows: Sequence[Mapping[str, Any]]) -> Html:
    """Bytes in which engines differ from the integer model."""
    shown = [
        (
            row["engine"],
            row["version"],
            number(row["bytes_compared"]),
            number(row["bytes_different"]),
            number(row["verdict_flips"]),
        )
        if row["ran"]
        else (row["engine"], f"not run: {row.get('reason', '')}", "–", "–", "–")
        for row in rows
    ]
    header = ("engine", "version", "bytes compared", "different", "verdicts flipped")
    return join((tag("h3", file), table(header, shown, words=2)))


def scorecard(file: str, card: Mapping[str, Any]) -> Html:
    """The simulator against what is public."""
    rows = list(card["rows"])
    counts = Counter(str(row["section"]) for row in rows)
    agree = sum(str(row["verdict"]).startswith(("agrees", "not contradicted")) for row in rows)
    parts = [tag("p", f"{agree} of {len(rows)} facts agree or are not contradicted ({file}).")]
    for section in counts:
        shown = [
            (
                row["fact"],
                row["ours"],
                tag("span", row["verdict"], class_="good" if str(row["verdict"]).startswith("agrees") else "part"),
                tag("span", row["source"], class_="small"),
            )
            for row in rows
            if str(row["section"]) == section
        ]
        parts += [tag("h3", section), table(("fact", "ours", "verdict", "source"), shown, words=4)]
    return join(parts)


def certificate(model: IntegerModel) -> Html:
    """What the thresholds promise, for which population."""
    told = model.certificate
    about: list[tuple[Content, Content]] = [
        ("thresholds", f"veto below {model.verdict.t_veto}, confirm above {model.verdict.t_confirm}")
    ]
    for kind in ("veto", "confirm"):
        part = told.get(kind)
        if isinstance(part, Mapping):
            state = "certified" if part.get("certified") is True else "not certified"
            words = f"{part.get('statement', '')} (n = {part.get('n')}, rank {part.get('rank')})"
            about.append((kind, join((tag("span", state, class_="badge"), " ", words))))
    population = told.get("population")
    if isinstance(population, Mapping):
        about += [(str(key).replace("_", " "), _value(value)) for key, value in population.items()]
    return join(
        (
            tag("p", f"{basis(told).capitalize()}. A certificate holds for its population and for no other."),
            facts(about),
        )
    )


def _value(value: Any) -> Content:
    if isinstance(value, list):
        return "; ".join(str(item) for item in value)
    if isinstance(value, str) and len(value) == 64:
        return tag("span", value, class_="hash")
    return str(value)


def run_facts(file: str, run: Mapping[str, Any]) -> Html:
    """Where a trained network comes from."""
    flat: list[tuple[Content, Content]] = []

    def walk(name: str, value: Any) -> None:
        if isinstance(value, Mapping):
            for key, inner in value.items():
                walk(f"{name} {key}".strip(), inner)
        else:
            flat.append((name, _value(value)))

    walk("", run)
    return join((tag("h3", f"Training: {file}"), facts(flat, tight=True)))


def files(results: Results) -> Html:
    """Every file of the folder."""
    rows = [
        (
            file.name,
            file.kind if not file.fault else tag("span", file.fault, class_="bad"),
            tag("span", file.sha256, class_="hash") if file.sha256 else "not read",
            "–" if file.size is None else f"{file.size:,}",
        )
        for file in results.files
    ]
    return table(("file", "holds", "SHA-256", "bytes"), rows, words=3)


def every(results: Results, kind: str, make: Any) -> list[Html]:
    """A part for each file of a kind."""
    return [guarded(name, make, name, found) for name, found in results.of(kind)]
