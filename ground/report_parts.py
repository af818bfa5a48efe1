"""Sections of a report about slews, bursts and alerts: from the chain's results, its ledger and the trigger sets."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from slewguard.export.model import IntegerModel
from slewguard.ground.advice import findings
from slewguard.ground.markup import Html, join, table, tag
from slewguard.ground.report_plots import Mark, interval_bar, legend, picture, roc, roc_points
from slewguard.subimages.contract import SubImage, TriggerSet
from slewguard.subimages.errors import BadInput

Row = Mapping[str, str]
LOST = ("burst_lost", "burst_recalled")
AVOIDED = ("avoided", "recalled")
MOST_SAVED = 12
MOST_LOST = 200
MINUTES_A_DAY = 1440


def share_text(figure: Any) -> str:
    """A share with its 95 % interval and its n, or why there is none."""
    if not isinstance(figure, Mapping) or figure.get("value") is None:
        reason = figure.get("reason") if isinstance(figure, Mapping) else None
        return str(reason or "–")
    value, lo, hi = (f"{100 * float(figure[key]):.1f}" for key in ("value", "lo", "hi"))
    return f"{value} % [{lo}, {hi}] of {int(figure['n']):,}"


def share_cells(figure: Any) -> tuple[Html | str, Html | str]:
    """A share as text and as a drawn interval."""
    if not isinstance(figure, Mapping) or figure.get("value") is None:
        return share_text(figure), ""
    return share_text(figure), interval_bar(*(float(figure[key]) for key in ("value", "lo", "hi")))


def missing(what: str) -> Html:
    """Say that a part is not there, and how it is made."""
    return tag("p", what, class_="missing")


def headline(chain: Mapping[str, Any]) -> Html:
    """The figures of a replay that matter, as cards."""
    cards = [
        _card("false slews avoided", chain["false_avoided_share"]),
        _card("bursts kept", chain["bursts_kept_share"]),
    ]
    saved = chain.get("minutes_saved_per_year")
    if saved is not None:
        value, lo, hi = (float(saved[key]) / 60 for key in ("value", "lo", "hi"))
        about = f"[{lo:,.0f}, {hi:,.0f}], from {int(saved['n']):,} false slews avoided"
        cards.append(_plain_card("observing hours saved a year", f"{value:,.0f} h", about))
    cards.append(_card("alerts on which it abstains", chain["abstained_share"]))
    days, enrich = float(chain["days"]), float(chain.get("enrich", 1))
    about = (
        f"{days:,.0f} simulated mission days with {int(chain['alerts']):,} alerts: "
        f"{int(chain['slews_without']):,} slews without the classifier, {int(chain['false_slews_without']):,} of them "
        f"false; {int(chain['slews_with']):,} with it. "
        f"{int(chain['bursts_vetoed']):,} of {int(chain['bursts']):,} bursts lost. Brackets: 95 % intervals."
    )
    if enrich != 1:
        about += f" Bursts and new sources are {enrich:g} times as many as nature sends."
    return join((tag("div", *cards, class_="cards"), tag("p", about)))


def _card(label: str, figure: Mapping[str, Any]) -> Html:
    if figure.get("value") is None:
        return _plain_card(label, "–", share_text(figure))
    value, lo, hi = (100 * float(figure[key]) for key in ("value", "lo", "hi"))
    return _plain_card(label, f"{value:.1f} %", f"[{lo:.1f}, {hi:.1f}] of {int(figure['n']):,}")


def _plain_card(label: str, value: str, about: str) -> Html:
    parts = (tag("div", label, class_="label"), tag("div", value, class_="value"), tag("div", about, class_="small"))
    return tag("div", *parts, class_="card")


def slews(name: str, chain: Mapping[str, Any]) -> Html:
    """What a replay says by cause, band and SNR, on the ground, and at which cost."""
    rows: list[Sequence[Any]] = [
        ("false slews avoided", *share_cells(chain["false_avoided_share"])),
        ("bursts kept", *share_cells(chain["bursts_kept_share"])),
        ("outbursts of known sources kept", *share_cells(chain["outbursts_kept_share"])),
        ("alerts abstained on", *share_cells(chain["abstained_share"])),
    ]
    for key, figure in chain.get("abstained_by", {}).items():
        kind, what = key.split("_", 1)
        words = {"alerts": f"… of {kind}: alerts abstained on", "slews": f"… of {kind}: slews that stand by abstaining"}
        rows.append((words.get(what, key), *share_cells(figure)))
    delays = chain.get("delays", {})
    rows += [(f"{kind} that slew later", *share_cells(found["delayed_share"])) for kind, found in delays.items()]
    ground = chain.get("ground", {})
    words = {
        "false_recalled_share": "called back from the ground: false slews",
        "bursts_recalled_share": "called back from the ground: bursts",
        "outbursts_recalled_share": "called back from the ground: outbursts",
        "beside_true_recalled_share": "called back from the ground: false peaks of events that show a burst elsewhere",
    }
    rows += [(words[key], *share_cells(ground[key])) for key in words if key in ground]
    who = f"{chain.get('model', 'model')}, engine {chain.get('engine', 'not told')}"
    title = f"{name}: {who}, {float(chain['days']):,.0f} days"
    parts = [tag("h3", title), table(("figure", "value [95 %] of n", ""), rows, words=1)]
    parts += [_breakdown(chain.get(key, {}), words) for key, words in _BREAKDOWNS]
    if "cost" in chain:
        told = (f"{key.replace('_', ' ')} {value:g}" for key, value in chain["cost"].items())
        parts.append(tag("p", "Cost model, its values assumed: ", " · ".join(told), ".", class_="small"))
    return join(parts)


_BREAKDOWNS = (("per_cause", "cause"), ("per_band", "band"), ("per_snr", "SNR"))


def _breakdown(groups: Mapping[str, Any], words: str) -> Html:
    if not groups:
        return Html("")
    rows = []
    for group, found in groups.items():
        kept = found.get("bursts_kept") or found.get("outbursts_kept")
        rows.append(
            (group, *share_cells(kept), *share_cells(found.get("false_avoided")), share_text(found.get("abstained")))
        )
    header = (words, "bursts (else outbursts) kept", "", "false slews avoided", "", "alerts abstained on")
    return table(header, rows, words=1)


class Alerts:
    """Sub-images of the trigger sets that were given, found by sequence and look."""

    def __init__(self, sets: Sequence[TriggerSet]) -> None:
        self.given = bool(sets)
        self._sets = [(triggers, _looks(triggers)) for triggers in sets]

    def find(self, row: Row) -> SubImage | None:
        """Sub-image of a line of a ledger; None where no set holds an alert of that sequence, look and SNR."""
        try:
            key = int(row["sequence"]), int(row["look"])
        except ValueError:
            return None
        for triggers, looks in self._sets:
            i = looks.get(key)
            if i is None or triggers.rejected[i]:
                continue
            snr = triggers.columns.get("peak_snr")
            if snr is None or not row.get("snr") or f"{float(snr[i]):.3f}" == row["snr"]:
                return triggers[i]
        return None


def _looks(triggers: TriggerSet) -> dict[tuple[int, int], int]:
    seen: Counter[int] = Counter()
    found = {}
    for i, number in enumerate(triggers.sequence.tolist()):
        seen[number] += 1
        found[number, seen[number]] = i
    return found


def lost(rows: Sequence[Row], alerts: Alerts, model: IntegerModel | None) -> Html:
    """Every burst that no longer slews, or is called back, with its picture and why."""
    sequences = by_sequence([row for row in rows if row["outcome"] in LOST])
    bursts = {row["sequence"] for row in rows if _is_burst(row) and row.get("asks") == "1"}
    if not sequences:
        return tag(
            "p",
            tag("span", "none lost", class_="badge good"),
            f" All {len(bursts):,} bursts that asked for a slew got it.",
        )
    parts = [
        tag("p", tag("span", f"{len(sequences):,} lost", class_="badge bad"), f" of {len(bursts):,} bursts that asked.")
    ]
    for number, looks in list(sequences.items())[:MOST_LOST]:
        best = max((row for row in looks if _is_burst(row)), key=_snr, default=looks[0])
        shown = _picture(best, alerts, f"sequence {number}, look {best['look']}")
        said = [tag("p", tag("b", f"Sequence {number}: {best['cause']}"), ", ", _seen(best), f", {len(looks)} alerts.")]
        said.append(tag("p", _why(looks, model)))
        subimage = alerts.find(best)
        if subimage is not None:
            patch = model.planes.patch if model else 5
            said.append(tag("p", "In the picture: " + "; ".join(findings(subimage, patch)) + ".", class_="small"))
        parts.append(tag("div", shown, tag("div", *said), class_="lost"))
    if len(sequences) > MOST_LOST:
        parts.append(missing(f"{len(sequences) - MOST_LOST:,} more are in the ledger."))
    return join(parts)


def saved(rows: Sequence[Row], alerts: Alerts, model: IntegerModel | None) -> Html:
    """Examples of false slews that are not made, one of each cause, the commonest first."""
    sequences = by_sequence([row for row in rows if row["outcome"] in AVOIDED])
    causes: dict[str, list[Row]] = {}
    for looks in sequences.values():
        asked = next((row for row in looks if row["slew_without"] == "1"), looks[0])
        causes.setdefault(asked["cause"], []).append(asked)
    if not causes:
        return tag("p", "No false slew was avoided.")
    order = sorted(causes, key=lambda cause: (-len(causes[cause]), cause))
    shown = []
    for cause in order[:MOST_SAVED]:
        one = causes[cause][0]
        about = (
            tag("b", cause),
            f", {len(causes[cause]):,} avoided",
            tag("br"),
            _seen(one),
            tag("br"),
            _said(one, model),
        )
        place = f"sequence {one['sequence']}, look {one['look']}"
        shown.append(tag("figure", _picture(one, alerts, f"{cause}, {place}"), tag("figcaption", *about)))
    more = "" if len(order) <= MOST_SAVED else f" {len(order) - MOST_SAVED} more causes are in the ledger."
    words = f"{len(sequences):,} sequences no longer slew to a false alert. Shown: the first of each cause.{more}"
    return join((tag("p", words), tag("div", *shown, class_="gallery")))


def by_sequence(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """Lines of each sequence, in their order."""
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(row["sequence"], []).append(row)
    return found


def _is_burst(row: Row) -> bool:
    return row["label"] == "true" and row["cause"] in ("grb", "unknown_source")


def _snr(row: Row) -> float:
    try:
        return float(row.get("snr") or 0)
    except ValueError:
        return 0.0


def _seen(row: Row) -> str:
    """How the trigger found an alert."""
    parts = [f"{row['snr']} σ" if row.get("snr") else "", row.get("trigger") or ""]
    parts.append(f"{row['window_s']} s" if row.get("window_s") else "")
    parts.append(f"{row['band_lo_kev']}–{row['band_hi_kev']} keV" if row.get("band_lo_kev") else "")
    return ", ".join(part for part in parts if part)


def _said(row: Row, model: IntegerModel | None) -> str:
    limit = f", veto below {model.verdict.t_veto}" if model else ""
    return f"{row['verdict']}: score {row.get('score') or '–'}, highest so far {row.get('statistic') or '–'}{limit}"


def _why(looks: Sequence[Row], model: IntegerModel | None) -> str:
    """The looks that were refused a slew, in the terms of the rule."""
    refused = [row for row in looks if row["verdict"] == "veto"]
    if not refused:
        return "No look of it was vetoed; see the ledger for its consequences."
    numbers = ", ".join(row["look"] for row in refused)
    highest = ", ".join(row.get("statistic") or row.get("score") or "–" for row in refused)
    limit = f", below the veto threshold {model.verdict.t_veto}" if model else ""
    others = Counter(row["reason"] for row in looks if row["verdict"] == "abstain")
    end = (
        f" Abstained on others: {', '.join(f'{reason} {n}' for reason, n in sorted(others.items()))}." if others else ""
    )
    return f"Vetoed at look {numbers}: the highest score so far was {highest}{limit}.{end}"


def _picture(row: Row, alerts: Alerts, name: str) -> Html:
    if not alerts.given:
        return tag("p", "no picture: no trigger set given", class_="small")
    subimage = alerts.find(row)
    if subimage is None:
        return tag("p", "no picture: not in the trigger sets given", class_="small")
    try:
        return picture(subimage, name)
    except BadInput as error:
        return tag("p", f"no picture: {error.fault}", class_="small")


def operating_curve(rows: Sequence[Row], model: IntegerModel | None, evaluations: Sequence[tuple[str, Any]]) -> Html:
    """Receiver operating characteristic of all labelled alerts of a ledger, with the model's own thresholds."""
    known = [row for row in rows if row["label"] in ("true", "false")]
    true = np.array([row["label"] == "true" for row in known])
    if not true.any() or true.all():
        return missing("The ledger holds alerts of one kind only: no curve.")
    # An alert that was not scored cannot be vetoed.
    score = np.array([float(row["score"]) if row.get("score") else np.inf for row in known])
    kept_false, kept_true = roc_points(score, true)
    steps = np.diff(kept_false)
    area = float((steps * (kept_true[1:] + kept_true[:-1]) / 2).sum())
    marks, words = [], []
    if model is not None:
        limits = (("veto", model.verdict.t_veto, "not vetoed"), ("confirm", model.verdict.t_confirm + 1, "confirmed"))
        for style, cut, name in limits:
            at = [float((score[kind] >= cut).mean()) for kind in (~true, true)]
            marks.append(
                Mark(at[0], at[1], f"{name}: {100 * at[1]:.2f} % of true, {100 * at[0]:.2f} % of false", style)
            )
            words.append((style, f"{name} by score ({cut} and more)"))
    for name, figures in evaluations:
        same = (figures.get("n_true"), figures.get("n_false")) == (int(true.sum()), int((~true).sum()))
        if same and figures.get("model", {}).get("sha256") != (model.sha256 if model else None):
            for retention, figure in figures["rejection_at_retention"].items():
                if figure.get("value") is not None:
                    marks.append(
                        Mark(1 - figure["value"], float(retention), f"{name} at {retention} retention", "other")
                    )
            words.append(("other", f"{name}, at fixed retention"))
    about = (
        f"{int(true.sum()):,} true and {int((~true).sum()):,} false alerts, each judged by its own score; area under "
        f"the curve {area:.4f} (its interval is in the table below where evaluated). Right: the top of the left."
    )
    plots = tag("div", roc(kept_false, kept_true, marks), roc(kept_false, kept_true, marks, low=0.9), class_="plots")
    return join((plots, legend(words) if words else "", tag("p", about)))


def guarded(name: str, make: Callable[..., Html], *given: Any) -> Html:
    """A part of the page; content that is not as expected becomes a line that says so."""
    try:
        return make(*given)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError, ZeroDivisionError) as error:
        return tag(
            "p", f"{name}: not as expected, not shown ({type(error).__name__}: {str(error)[:120]})", class_="fault"
        )
