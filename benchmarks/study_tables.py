"""Tables and the plot of the talk's studies (:mod:`slewguard.benchmarks.studies`)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from slewguard.benchmarks import study_hardest
from slewguard.benchmarks.markdown import figure, table

TITLES = {
    "rule": "rule",
    "logistic": "logistic regression",
    "trees": "boosted trees",
    "handmade": "handmade (talk)",
    "handmade-no-catalogue": "handmade, no catalogue",
    "resnet50": "ResNet50, whole, few epochs",
    "flight": "flight, int8",
    "flight-float": "flight, float",
}
STRATA = {
    "source_in_view": "known source in view",
    "no_source_in_view": "none in view",
    "burst": "bursts",
    "outburst": "outbursts",
    "CRT": "CRT",
    "IMT": "IMT",
    "partial": "partial",
    "whole": "whole",
}


def render(result: dict[str, Any]) -> str:
    """Markdown tables of a stored result."""
    parts = []
    for study in result["studies"].values():
        parts += [
            f"**{study['what'].capitalize()}.** Values with 95 % intervals, pooled over the splits.",
            _figures(study["rows"]),
            _costs(study["rows"]),
            "Paired differences, ours less the other; in bold where the interval excludes 0:",
            _differences(study["differences"]),
            "By stratum (true + false alerts): called rightly / true alerts kept / false alerts rejected, the latter "
            "two at the cut that keeps 0.99 of all true alerts:",
            _strata(study["rows"]),
        ]
        if study.get("hardest"):
            parts.append(study_hardest.render(study["hardest"], TITLES))
    return "\n\n".join(parts)


def write_plot(result: dict[str, Any], path: Path) -> None:
    """Draw rejection at 0.99 retention of every classifier, with its interval and parameters, for each study."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    from slewguard.subimages.atomic import atomic_output

    picture = Figure(figsize=(11, 3.2), layout="constrained")
    FigureCanvasAgg(picture)
    panels = picture.subplots(1, len(result["studies"]), squeeze=False)[0]
    for axes, study in zip(panels, result["studies"].values(), strict=True):
        rows = [row for row in study["rows"] if row["rejection_at_retention"]["0.99"]["value"] is not None][::-1]
        for place, row in enumerate(rows):
            found = row["rejection_at_retention"]["0.99"]
            spread = [[found["value"] - found["lo"]], [found["hi"] - found["value"]]]
            colour = "#c0392b" if row["classifier"].startswith("flight") else "#34495e"
            axes.errorbar(found["value"], place, xerr=spread, fmt="o", capsize=3, color=colour)
        axes.set_yticks(range(len(rows)), [f"{TITLES[row['classifier']]}, {row['parameters']:,}" for row in rows])
        axes.set_xlabel("rejection at 0.99 retention, 95 %")
        axes.set_title(study["what"], fontsize=9, loc="right")
        axes.grid(axis="x", alpha=0.3)
    with atomic_output(path) as beside:
        picture.savefig(beside, dpi=110, format="png", metadata={"Software": None})


def _figures(rows: list[dict[str, Any]]) -> str:
    head = ["classifier", "splits", "accuracy", "AUC", "rejection at 0.95", "rejection at 0.99", "tested"]
    return table(
        head,
        [
            [
                TITLES[row["classifier"]],
                str(row["splits"]),
                figure(row["accuracy"]),
                figure(row["auc"]),
                *(figure(row["rejection_at_retention"][at]) for at in ("0.95", "0.99")),
                f"{row['accuracy']['n']:,} of {row['sequences']:,} sequences",
            ]
            for row in rows
        ],
    )


def _costs(rows: list[dict[str, Any]]) -> str:
    return table(
        ["classifier", "parameters", "MACs", "bytes", "training, s of one core", "epochs"],
        [
            [
                TITLES[row["classifier"]],
                f"{row['parameters']:,}",
                "-" if row["macs"] is None else f"{row['macs']:,}",
                f"{row['bytes']:,}",
                f"{row['training_seconds']:.0f}",
                _epochs(row),
            ]
            for row in rows
        ],
    )


def _epochs(row: dict[str, Any]) -> str:
    recipe = row["recipe"]
    if "epochs" not in recipe:
        return "-"
    return f"{recipe['epochs']}{' + ' + str(recipe['qat_epochs']) if recipe.get('qat_epochs') else ''}"


def _differences(found: list[dict[str, Any]]) -> str:
    names = ("accuracy", "auc", "rejection_at_0.95", "rejection_at_0.99")
    return table(
        ["ours", "other", "accuracy", "AUC", "rejection at 0.95", "rejection at 0.99"],
        [[TITLES[one["ours"]], TITLES[one["other"]], *(_difference(one[name]) for name in names)] for one in found],
    )


def _strata(rows: list[dict[str, Any]]) -> str:
    known = [key for key in STRATA if rows and rows[0]["strata"].get(key)]
    sizes = [
        f"{STRATA[key]} ({rows[0]['strata'][key]['n_true']} + {rows[0]['strata'][key]['n_false']})" for key in known
    ]
    return table(
        ["classifier", *sizes],
        [[TITLES[row["classifier"]], *(_stratum(row["strata"][key]) for key in known)] for row in rows],
    )


def _stratum(found: dict[str, Any] | None) -> str:
    if found is None:
        return "-"
    parts = (found["accuracy"], found["retention_at_the_cut"], found["rejection_at_the_cut"])
    return " / ".join("-" if part is None or part["value"] is None else f"{part['value']:.3f}" for part in parts)


def _difference(found: dict[str, Any]) -> str:
    text = figure(found, sign="+")
    return text if found["better"] is None else f"**{text}**"
