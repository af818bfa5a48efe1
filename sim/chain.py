"""Trigger and classifier in a row: which slews are made over a stretch of the mission, with and without it.

The alerts of a sequence arrive in order. One at or above the slew threshold asks for a slew. A classifier can only
take requests away: one whose verdict is ``VETO`` is not made, and a later alert of the sequence may still ask.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slewguard.sim.config import SimConfig
from slewguard.subimages.contract import BURST_CAUSES, FALSE, TRUE, TriggerSet
from slewguard.subimages.errors import BadInput
from slewguard.subimages.intervals import clopper_pearson
from slewguard.subimages.verdict import Classifier, Verdict


@dataclass(frozen=True)
class Share:
    """A share k / n with its 95 % interval (Clopper-Pearson)."""

    value: float | None
    lo: float
    hi: float
    n: int

    @classmethod
    def of(cls, k: int, n: int) -> Share:
        """Share of k in n; the value is None where n is 0."""
        return cls(k / n if n else None, *clopper_pearson(k, n), n)


@dataclass(frozen=True)
class ChainResult:
    """Slews over ``days``; counts are of sequences, each slews at most once.

    A slew is false where the alert that asks for it is labelled false, and then counts by sequence. ``bursts`` and
    ``outbursts`` are sequences that slew to a true alert of that kind without the classifier; *vetoed* ones no
    longer slew to any true alert with it.
    """

    days: float
    enrich: float
    """Factor by which the set holds more bursts and new sources than nature sends; 1 for a headline."""
    slews_without: int
    slews_with: int
    false_slews_without: int
    false_slews_avoided: int
    bursts: int
    bursts_vetoed: int
    outbursts: int
    outbursts_vetoed: int
    alerts: int
    abstained: int
    false_avoided_share: Share
    bursts_kept_share: Share
    outbursts_kept_share: Share
    abstained_share: Share

    def as_dict(self) -> dict[str, Any]:
        """The same as plain data for JSON."""
        return asdict(self)


def replay(triggers: TriggerSet, classifier: Classifier | None, config: SimConfig) -> ChainResult:
    """Replay a simulated stretch of the mission with and without a classifier.

    Parameters
    ----------
    triggers : TriggerSet
        Simulated alerts in order of time within each sequence, with labels, causes and ``peak_snr``; the length
        in days is read from its provenance.
    classifier : Classifier or None
        Asked once for all alerts; None abstains throughout.
    config : SimConfig
        For the slew threshold.

    Raises
    ------
    BadInput
        If the set lacks a label, a cause, the peak SNR or the number of days, is one shard of several, or was
        simulated with another configuration.
    """
    for name in ("label", "cause", "peak_snr"):
        if name not in triggers.columns:
            raise BadInput(f"trigger set has no /{name}, which the chain needs")
    if "days" not in triggers.provenance:
        raise BadInput("trigger set does not say in its provenance how many days it spans")
    shard = triggers.provenance.get("shard", [0, 1])
    if shard != [0, 1]:
        raise BadInput(f"trigger set is shard {shard} of a campaign; the chain needs a whole one")
    made_with = triggers.provenance.get("config_sha256", config.digest())
    if made_with != config.digest():
        raise BadInput("trigger set was simulated with another configuration than the one given for the slew threshold")
    n = len(triggers)
    verdict = np.full(n, Verdict.ABSTAIN, dtype=np.uint8)
    if classifier is not None and n:
        verdict = classifier.judge(triggers).verdict
    asks = triggers.columns["peak_snr"] >= config.trigger.slew_threshold
    asks_still = asks & (verdict != Verdict.VETO)
    cause, label = triggers.cause, triggers.label
    burst = (label == TRUE) & np.isin(cause, BURST_CAUSES)
    outburst = (label == TRUE) & (cause == "outburst")

    def slews(of: NDArray[np.bool_]) -> set[int]:
        return {int(s) for s in triggers.sequence[of]}

    first, first_still = _first(triggers.sequence, asks), _first(triggers.sequence, asks_still)
    false_without, false_with = slews(first & (label == FALSE)), slews(first_still & (label == FALSE))
    bursts, outbursts = slews(asks & burst), slews(asks & outburst)
    bursts_vetoed = len(bursts - slews(asks_still & burst))
    outbursts_vetoed = len(outbursts - slews(asks_still & outburst))
    avoided = len(false_without - false_with)
    abstained = int((verdict == Verdict.ABSTAIN).sum())
    return ChainResult(
        days=float(triggers.provenance["days"]),
        enrich=float(triggers.provenance.get("enrich", 1.0)),
        slews_without=len(slews(asks)),
        slews_with=len(slews(asks_still)),
        false_slews_without=len(false_without),
        false_slews_avoided=avoided,
        bursts=len(bursts),
        bursts_vetoed=bursts_vetoed,
        outbursts=len(outbursts),
        outbursts_vetoed=outbursts_vetoed,
        alerts=n,
        abstained=abstained,
        false_avoided_share=Share.of(avoided, len(false_without)),
        bursts_kept_share=Share.of(len(bursts) - bursts_vetoed, len(bursts)),
        outbursts_kept_share=Share.of(len(outbursts) - outbursts_vetoed, len(outbursts)),
        abstained_share=Share.of(abstained, n),
    )


def _first(sequence: NDArray[np.int64], asks: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Mark in each sequence the first alert that asks."""
    index = np.flatnonzero(asks)
    _, first = np.unique(sequence[index], return_index=True)
    marked = np.zeros(len(sequence), dtype=bool)
    marked[index[first]] = True
    return marked
