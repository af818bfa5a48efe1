"""Trigger and classifier in a row: which slews are made over a stretch of the mission, with and without it.

The alerts arrive in order of time (:mod:`slewguard.sim.chain_loop`). One at or above the slew threshold asks for a
slew. A classifier can only take requests away: one whose verdict is ``VETO`` is not made, and a later alert of the
sequence may still ask. Every alert has its line in a ledger (:mod:`slewguard.sim.chain_ledger`).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slewguard.sim.chain_ground import pass_ground
from slewguard.sim.chain_ledger import Ledger, make_ledger
from slewguard.sim.chain_loop import Passage, in_order, pass_alerts
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


@dataclass(frozen=True, eq=False)
class Replay:
    """A stretch of the mission, replayed in both timings.

    Parameters
    ----------
    triggers : TriggerSet
    result : ChainResult
        With the classifier on board.
    onboard, ground : Passage
        What was made of each alert.
    engine : str
        Name of who answered.
    """

    triggers: TriggerSet
    result: ChainResult
    onboard: Passage
    ground: Passage
    engine: str

    def ledger(self, timing: str = "onboard") -> Ledger:
        """Every alert with verdict and consequence, for ``onboard`` or ``ground``."""
        passage = {"onboard": self.onboard, "ground": self.ground}[timing]
        return make_ledger(self.triggers, passage, in_order(self.triggers), self.engine)


def run_chain(
    triggers: TriggerSet, classifier: Classifier | None, config: SimConfig, engine: str = "numpy", *, ahead: bool = True
) -> Replay:
    """Replay a simulated stretch of the mission with and without a classifier.

    Parameters
    ----------
    triggers : TriggerSet
        Simulated alerts in order of time within each sequence, with labels, causes and ``peak_snr``; the length
        in days is read from its provenance.
    classifier : Classifier or None
        None abstains throughout.
    config : SimConfig
        For the slew threshold.
    engine : str
        Name of what runs the classifier, for the ledger.
    ahead : bool
        As of :func:`slewguard.sim.chain_loop.pass_alerts`.

    Raises
    ------
    BadInput
        If the set lacks a label, a cause, the peak SNR or the number of days, is one shard of several, or was
        simulated with another configuration.
    """
    _check(triggers, config)
    threshold = config.trigger.slew_threshold
    onboard = pass_alerts(triggers, classifier, threshold, ahead=ahead)
    ground = pass_ground(triggers, classifier, threshold)
    return Replay(triggers, summarise(triggers, onboard), onboard, ground, engine if classifier else "")


def replay(triggers: TriggerSet, classifier: Classifier | None, config: SimConfig) -> ChainResult:
    """Headline of :func:`run_chain`."""
    return run_chain(triggers, classifier, config).result


def _check(triggers: TriggerSet, config: SimConfig) -> None:
    for name in ("label", "cause", "peak_snr"):
        if name not in triggers.columns:
            raise BadInput(f"trigger set has no /{name}, which the chain needs")
    days = triggers.provenance.get("days")
    if days is None:
        raise BadInput("trigger set does not say in its provenance how many days it spans")
    if not isinstance(days, int | float) or not 0 < days < np.inf:
        raise BadInput("trigger set says in its provenance that it spans a number of days that is none")
    shard = triggers.provenance.get("shard", [0, 1])
    if shard != [0, 1]:
        raise BadInput(f"trigger set is shard {shard} of a campaign; the chain needs a whole one")
    made_with = triggers.provenance.get("config_sha256", config.digest())
    if made_with != config.digest():
        raise BadInput("trigger set was simulated with another configuration than the one given for the slew threshold")


@dataclass(frozen=True, eq=False)
class Kinds:
    """Which alerts are of a burst, of an outburst, or false: bool arrays [N]."""

    burst: NDArray[np.bool_]
    outburst: NDArray[np.bool_]
    false: NDArray[np.bool_]

    @classmethod
    def of(cls, triggers: TriggerSet) -> Kinds:
        """Kinds of the alerts of a labelled trigger set."""
        real = triggers.label == TRUE
        burst = real & np.isin(triggers.cause, BURST_CAUSES)
        return cls(burst, real & (triggers.cause == "outburst"), triggers.label == FALSE)


def summarise(triggers: TriggerSet, passage: Passage) -> ChainResult:
    """Count what a passage through the onboard loop made of the sequences."""
    kinds, asks, still = Kinds.of(triggers), passage.asks, passage.still_asks

    def slews(of: NDArray[np.bool_]) -> set[int]:
        return {int(s) for s in triggers.sequence[of]}

    first, first_still = first_of(triggers.sequence, asks), first_of(triggers.sequence, still)
    false_without, false_with = slews(first & kinds.false), slews(first_still & kinds.false)
    bursts, outbursts = slews(asks & kinds.burst), slews(asks & kinds.outburst)
    bursts_vetoed = len(bursts - slews(still & kinds.burst))
    outbursts_vetoed = len(outbursts - slews(still & kinds.outburst))
    avoided = len(false_without - false_with)
    abstained = int((passage.verdict == Verdict.ABSTAIN).sum())
    return ChainResult(
        days=float(triggers.provenance["days"]),
        enrich=float(triggers.provenance.get("enrich", 1.0)),
        slews_without=len(slews(asks)),
        slews_with=len(slews(still)),
        false_slews_without=len(false_without),
        false_slews_avoided=avoided,
        bursts=len(bursts),
        bursts_vetoed=bursts_vetoed,
        outbursts=len(outbursts),
        outbursts_vetoed=outbursts_vetoed,
        alerts=len(triggers),
        abstained=abstained,
        false_avoided_share=Share.of(avoided, len(false_without)),
        bursts_kept_share=Share.of(len(bursts) - bursts_vetoed, len(bursts)),
        outbursts_kept_share=Share.of(len(outbursts) - outbursts_vetoed, len(outbursts)),
        abstained_share=Share.of(abstained, len(triggers)),
    )


def first_of(sequence: NDArray[np.int64], marked: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Mark in each sequence the first alert that is marked: bool [N]."""
    index = np.flatnonzero(marked)
    _, first = np.unique(sequence[index], return_index=True)
    found = np.zeros(len(sequence), dtype=bool)
    found[index[first]] = True
    return found
