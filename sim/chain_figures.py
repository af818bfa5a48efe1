"""Figures of a replay beyond its headline: per cause, band and SNR; delays; lost bursts; abstentions; minutes.

A sequence counts once in every table, under the properties of the alert that asks first for a slew. Shares are of
sequences that slew without the classifier, with Clopper-Pearson intervals; minutes a year with Poisson ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slewguard.sim.chain import Kinds, Replay, Share, first_of
from slewguard.sim.chain_cost import Cost, Rate
from slewguard.sim.chain_ledger import outcomes, rows_of
from slewguard.sim.chain_loop import Consequence, Passage, reason_counts
from slewguard.subimages.contract import CENTRE, KNOWN_SOURCE, NO_DATA, TriggerSet
from slewguard.subimages.verdict import Verdict

SNR_EDGES = (0.0, 9.0, 11.0, 15.0, 25.0, np.inf)
"""Bins of the SNR of the alert that asks first."""
LOST = ("burst_lost", "burst_recalled")


def figures(replay: Replay, cost: Cost) -> dict[str, Any]:
    """All figures of a replay as plain data for JSON.

    Parameters
    ----------
    replay : Replay
    cost : Cost
    """
    triggers, passage = replay.triggers, replay.onboard
    days = replay.result.days
    outcome = np.array(outcomes(triggers, passage), dtype="U20")
    return {
        "timing": "onboard",
        "engine": replay.engine,
        "ledger_sha256": replay.ledger().digest(),
        "outcomes": _counted(triggers, outcome),
        "reasons": reason_counts(passage),
        "bursts_vetoed_any_look_share": vetoed_any_look(triggers, passage),
        "abstained_by": abstained(triggers, passage),
        "false_slews_left": false_slews_left(triggers, passage),
        "delays": delays(triggers, passage),
        "lost_bursts": lost_bursts(triggers, passage, outcome),
        "false_slews_per_year": asdict(Rate.of(replay.result.false_slews_without, days)),
        "minutes_saved_per_year": asdict(Rate.of(replay.result.false_slews_avoided, days, cost.false_slew_min)),
        "per_cause": breakdown(triggers, passage, triggers.cause),
        "per_band": breakdown(triggers, passage, _bands(triggers)),
        "per_snr": breakdown(triggers, passage, _bins(triggers)),
        "ground": ground(replay, cost),
        "cost": cost.model_dump() | {"false_slew_min": cost.false_slew_min, "recall_min": cost.recall_min},
    }


def _counted(triggers: TriggerSet, outcome: NDArray[np.str_]) -> dict[str, int]:
    _, one = np.unique(triggers.sequence, return_index=True)
    names, n = np.unique(outcome[one], return_counts=True)
    return dict(zip(names.tolist(), n.tolist(), strict=True))


def vetoed_any_look(triggers: TriggerSet, passage: Passage) -> dict[str, Any]:
    """Share of burst sequences with a veto on any burst look, slew asked or not: the unit of the certificate."""
    burst = Kinds.of(triggers).burst
    vetoed = np.unique(triggers.sequence[burst & (passage.verdict == Verdict.VETO)])
    return asdict(Share.of(len(vetoed), len(np.unique(triggers.sequence[burst]))))


def abstained(triggers: TriggerSet, passage: Passage) -> dict[str, Any]:
    """Share of alerts of each kind on which the classifier abstains, and of slews that stand because it does."""
    kinds = Kinds.of(triggers)
    abstains = passage.verdict == Verdict.ABSTAIN

    def among(of: NDArray[np.bool_]) -> dict[str, Any]:
        return asdict(Share.of(int((abstains & of).sum()), int(of.sum())))

    turned = passage.slew_with
    parts = {"bursts": kinds.burst, "outbursts": kinds.outburst, "false": kinds.false}
    return {f"{name}_alerts": among(of) for name, of in parts.items()} | {
        f"{name}_slews": among(of & turned) for name, of in parts.items()
    }


def false_slews_left(triggers: TriggerSet, passage: Passage) -> dict[str, dict[str, int]]:
    """What keeps rejection down: false slews that are still made, by cause, each with what was said of its alert.

    Returns
    -------
    dict of cause to dict
        Most frequent cause first; counts under ``confirm``, or ``abstain`` with the reason where it is not the score.
    """
    made = first_of(triggers.sequence, passage.still_asks) & Kinds.of(triggers).false
    found: dict[str, dict[str, int]] = {}
    rows = np.flatnonzero(made)
    for i, cause in zip(rows.tolist(), triggers.cause[rows].tolist(), strict=True):
        answer = passage.answers[i]
        said = answer.verdict.name.lower() + ("" if answer.reason == "ok" else f" {answer.reason}")
        counted = found.setdefault(cause, {})
        counted[said] = counted.get(said, 0) + 1
    return dict(sorted(found.items(), key=lambda entry: (-sum(entry[1].values()), entry[0])))


def delays(triggers: TriggerSet, passage: Passage) -> dict[str, Any] | None:
    """Sequences of bursts and outbursts that slew to a true alert later than without the classifier, with seconds.

    Returns
    -------
    dict or None
        None where the set does not tell the time of its alerts.
    """
    time = triggers.columns.get("time_s")
    if time is None:
        return None
    kinds, found, events = Kinds.of(triggers), {}, rows_of(triggers.sequence)
    asks, still_asks = passage.asks, passage.still_asks
    for name, of in (("bursts", kinds.burst), ("outbursts", kinds.outburst)):
        late: list[dict[str, Any]] = []
        kept = 0
        for number, rows in events.items():
            asked, still = rows[(asks & of)[rows]], rows[(still_asks & of)[rows]]
            if not len(still):
                continue
            kept += 1
            if still[0] != asked[0]:
                late.append({"sequence": number, "seconds": float(time[still[0]] - time[asked[0]])})
        seconds = [entry["seconds"] for entry in late]
        found[name] = {
            "delayed_share": asdict(Share.of(len(late), kept)),
            "median_s": float(np.median(seconds)) if late else None,
            "max_s": max(seconds, default=None),
            "sequences": late,
        }
    return found


def lost_bursts(triggers: TriggerSet, passage: Passage, outcome: NDArray[np.str_]) -> list[dict[str, Any]]:
    """One entry for each burst sequence that no longer slews (or is called back), with what may explain it."""
    found = []
    asks, cause = passage.asks & Kinds.of(triggers).burst, triggers.cause
    for number, rows in rows_of(triggers.sequence).items():
        if outcome[rows[0]] not in LOST:
            continue
        mine = rows[asks[rows]]
        best = int(mine[np.argmax(triggers.columns["peak_snr"][mine])])
        answers = [passage.answers[i] for i in rows.tolist()]
        found.append(
            {
                "sequence": number,
                "cause": str(cause[best]),
                "alerts": len(rows),
                "asked": len(mine),
                "scores": [answer.score for answer in answers],
                "statistic": passage.answers[best].statistic,
                "reasons": sorted({answer.reason for answer in answers}),
                "highest_snr": float(triggers.columns["peak_snr"][best]),
                **_told(triggers, best),
            }
        )
    return found


def _told(triggers: TriggerSet, i: int) -> dict[str, Any]:
    """Facts of one alert: when, through what, how much of the sub-image has data, how far the next source is."""
    columns, mask = triggers.columns, triggers.mask[i]
    sources = np.argwhere(mask == KNOWN_SOURCE)
    away = np.hypot(*(sources - CENTRE).T) if len(sources) else None
    text = {"trigger": columns["trigger"][i].decode("ascii")} if "trigger" in columns else {}
    numbers = ("time_s", "window_s", "band_lo_kev", "band_hi_kev", "second_peak", "sky_y", "sky_z", "map_std")
    return {
        **text,
        **{name: float(columns[name][i]) for name in numbers if name in columns},
        "catalogue_id": int(triggers.catalogue_id[i]),
        "covered": float((mask != NO_DATA).mean()),
        "source_px": None if away is None else float(away.min()),
    }


def breakdown(triggers: TriggerSet, passage: Passage, group: NDArray[np.str_]) -> dict[str, dict[str, Any]]:
    """Shares of sequences kept (bursts, outbursts) or avoided (false), by a property of the alert that asks first.

    Parameters
    ----------
    triggers : TriggerSet
    passage : Passage
    group : text array [N]

    Returns
    -------
    dict of group to dict
        ``bursts_kept``, ``outbursts_kept``, ``false_avoided`` where there are any, and ``abstained`` of its alerts.
    """
    kinds = Kinds.of(triggers)
    first = first_of(triggers.sequence, passage.asks)
    still, abstains = passage.still_asks, passage.verdict == Verdict.ABSTAIN
    first_still = first_of(triggers.sequence, still)
    false_with = set(triggers.sequence[first_still & kinds.false].tolist())
    found: dict[str, dict[str, Any]] = {}
    for name in dict.fromkeys(sorted(group.tolist(), key=_natural)):
        mine, row = group == name, {}
        for kind, of in (("bursts", kinds.burst), ("outbursts", kinds.outburst)):
            all_ = first_of(triggers.sequence, passage.asks & of) & mine
            numbers = set(triggers.sequence[all_].tolist())
            kept = numbers & set(triggers.sequence[still & of].tolist())
            if numbers:
                row[f"{kind}_kept"] = asdict(Share.of(len(kept), len(numbers)))
        false = set(triggers.sequence[first & kinds.false & mine].tolist())
        if false:
            row["false_avoided"] = asdict(Share.of(len(false - false_with), len(false)))
        row["abstained"] = asdict(Share.of(int((mine & abstains).sum()), int(mine.sum())))
        found[name] = row
    return found


def _natural(text: str) -> tuple[float, str]:
    head = text.partition("-")[0].partition(" ")[0]
    try:
        return float(head), text
    except ValueError:
        return 0.0, text


def _bands(triggers: TriggerSet) -> NDArray[np.str_]:
    ends = [triggers.columns.get(name) for name in ("band_lo_kev", "band_hi_kev")]
    if ends[0] is None or ends[1] is None:
        return np.full(len(triggers), "unknown")
    return np.array([f"{lo:g}-{hi:g} keV" for lo, hi in zip(*ends, strict=True)], dtype="U24")


def _bins(triggers: TriggerSet) -> NDArray[np.str_]:
    names = [f"{lo:g}-{hi:g}" if np.isfinite(hi) else f"{lo:g} and more" for lo, hi in pairwise(SNR_EDGES)]
    at = np.searchsorted(np.array(SNR_EDGES[1:-1]), triggers.columns["peak_snr"], side="right")
    return np.array(names, dtype="U24")[at]


def ground(replay: Replay, cost: Cost) -> dict[str, Any]:
    """What a classifier on the ground saves: shorter false slews, and bursts from which it would call back.

    A sequence counts by the alert for which the satellite turned. Where that one is false and the sequence also shows
    a burst or an outburst elsewhere, calling back is right about the alert and saves little; such are told apart.
    """
    triggers, passage, kinds = replay.triggers, replay.ground, Kinds.of(replay.triggers)
    recalled = set(triggers.sequence[passage.consequence == Consequence.RECALLED].tolist())

    def asking(of: NDArray[np.bool_]) -> set[int]:
        return set(triggers.sequence[passage.asks & of].tolist())

    astray = set(triggers.sequence[first_of(triggers.sequence, passage.asks) & kinds.false].tolist())
    bursts, outbursts = asking(kinds.burst), asking(kinds.outburst)
    parts: Mapping[str, set[int]] = {
        "false": astray - bursts - outbursts,
        "bursts": bursts - astray,
        "outbursts": outbursts - bursts - astray,
        "beside_true": astray & (bursts | outbursts),
    }
    shares = {f"{name}_recalled_share": asdict(Share.of(len(of & recalled), len(of))) for name, of in parts.items()}
    saved = Rate.of(len(parts["false"] & recalled), replay.result.days, cost.recall_min)
    return {
        **shares,
        "minutes_saved_per_year": asdict(saved),
        "lost_bursts": lost_bursts(triggers, passage, np.array(outcomes(triggers, passage), dtype="U20")),
    }
