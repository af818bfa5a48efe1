"""Sections of a report about the chain beyond the replay: faults, a lower threshold, and the budget on board."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from slewguard.ground.markup import Content, Html, facts, join, table, tag
from slewguard.ground.report_parts import share_cells
from slewguard.ground.report_tables import number


def faults(file: str, found: Mapping[str, Any]) -> Html:
    """Challenges of the chain, each against the same alerts without the fault."""
    rows: list[list[Content]] = []
    for row in found["kinds"]:
        newly, unaccounted = int(row["bursts_newly_vetoed"]), int(row["unaccounted"])
        rows.append(
            [
                f"{row['family']}: {row['kind']}",
                number(row["burst_alerts"]),
                tag("span", f"{newly:,}", class_="bad" if newly else "good"),
                number(row["bursts_newly_lost"]),
                number(row["alerts"]),
                tag("span", f"{unaccounted:,}", class_="bad" if unaccounted else "good"),
                f"{int(row['avoided_with']):,} / {int(row['avoided_without']):,}",
            ]
        )
    header = (
        "fault",
        "burst alerts",
        "newly vetoed",
        "bursts lost",
        "alerts",
        "unaccounted for",
        "avoided with / without",
    )
    parts = [tag("h3", file), table(header, rows)]
    physical = found.get("physical") or []
    if physical:
        events = number(found.get("events"))
        shown = [
            (
                str(row["kind"]).replace("_", " "),
                number(row["applied"]),
                number(row["silent"]),
                *share_cells(row["vetoed_share"]),
            )
            for row in physical
        ]
        parts.append(tag("p", f"{events} bursts seen again with the same photons under physical faults:"))
        parts.append(table(("fault", "acts on", "no slew asked", "vetoed only with it", ""), shown))
    files = found.get("model_files")
    if files:
        told = ", ".join(f"{key} {int(value):,}" for key, value in files.items())
        parts.append(tag("p", f"model.json with one bit flipped: {told}.", class_="small"))
    return join(parts)


def dividend(file: str, found: Mapping[str, Any]) -> Html:
    """How far the slew threshold may drop at equal false slews, and what that gains."""
    today, best = found["today"], found.get("lowest_at_equal_false_slews")
    rows = [
        (
            f"{float(row['slew_threshold']):.2f} σ",
            _rate(row["bursts_per_year"]),
            _rate(row["bursts_gained_per_year"]),
            _rate(row["bursts_lost_per_year"]),
            _rate(row["false_slews_per_year"]),
            number(row["noise_slews_per_year_at_most"]),
            "yes" if row["within_todays_false_slews"] else "no",
        )
        for row in found["rows"]
    ]
    header = (
        "slew threshold",
        "bursts a year",
        "gained",
        "lost",
        "false slews a year",
        "of noise, at most",
        "within today's",
    )
    now = (
        f"Hypothetical, never the default: below today's {float(today['slew_threshold']):g} σ a slew needs the verdict "
        f"confirm. Today, without the classifier: {_rate(today['bursts_per_year'])} bursts and "
        f"{_rate(today['false_slews_per_year'])} false slews a year."
    )
    end = "At no lower threshold are there as few false slews as today."
    if best is not None:
        end = f"At no more false slews than today the threshold may drop to {float(best['slew_threshold']):g} σ."
    return join((tag("h3", file), tag("p", now), table(header, rows), tag("p", end)))


def _rate(figure: Mapping[str, Any]) -> str:
    value, lo, hi = (number(figure[key]) for key in ("value", "lo", "hi"))
    return f"{value} [{lo}, {hi}]"


def budget(file: str, chain: Mapping[str, Any]) -> Html:
    """What the classifier takes of a flight processor that judges images at a steady rate."""
    rows = chain.get("onboard_budget") or []
    if not rows:
        return Html("")
    shown = [
        (
            row["target"],
            f"{row['style']}{'' if row['this_model'] else ' (of another model of the same shape)'}",
            number(row["judge_instructions"]),
            f"{float(row['clock_mhz']):g} MHz",
            f"{float(row['images_per_s']):g} / s",
            " to ".join(f"{1000 * float(s):.1f}" for s in row["seconds"]) + " ms",
            " to ".join(f"{100 * float(s):.1f}" for s in row["share_of_image"]) + " %",
        )
        for row in rows
    ]
    header = ("target", "style", "instructions", "clock", "images", "time", "share of the time between images")
    about = "Cycles by published tables; cache misses, waits and interrupts come on top. Not a worst-case time."
    return join((tag("h3", f"Budget on board: {file}"), table(header, shown, words=2), tag("p", about, class_="small")))


def enriched(chain: Mapping[str, Any]) -> Html:
    """Retention on a campaign with more bursts than nature sends, as a line for the headline."""
    share = chain["bursts_kept_share"]
    value, lo, hi = (100 * float(share[key]) for key in ("value", "lo", "hi"))
    told = (
        f"{value:.2f} % [{lo:.2f}, {hi:.2f}] of {int(share['n']):,} bursts kept on a campaign of the same population "
        f"with {float(chain['enrich']):g} times as many bursts; {int(chain['bursts_vetoed']):,} lost."
    )
    return facts((("bursts, more of them", told),))
