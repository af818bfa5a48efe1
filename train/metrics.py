"""What a classifier is worth on a labelled trigger set, with the n and the 95 % interval of every figure.

Scores are higher for true alerts. Of the figures, *area under the curve*, *accuracy* and *rejection at
retention* look at the scores alone and read their cut on the set itself, so they describe it; *certified* counts
the verdicts, whose thresholds were set elsewhere.

Alerts of one event are alike. The bootstrap therefore draws sequences, not alerts, and the exact intervals count
as many trials as there are sequences.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slewguard.subimages.contract import FALSE, TRUE, TriggerSet
from slewguard.subimages.errors import BadInput
from slewguard.subimages.intervals import clopper_pearson
from slewguard.subimages.verdict import Judgement, Verdict

CONFIDENCE = 0.95
RETENTIONS = ("0.95", "0.99", "0.998")
_DRAWS = 1000
Share = dict[str, Any]


def share(hits: int, n: int, trials: int | None = None) -> Share:
    """Share with its n and exact 95 % interval, as results hold it.

    Parameters
    ----------
    hits, n : int
        Successes among ``n``; the value is None where ``n`` is 0.
    trials : int, optional
        Independent trials behind the ``n``, such as sequences. The same share of these need not be a whole
        number; the interval then covers those of both neighbours.
    """
    if n == 0:
        return {"value": None, "lo": 0.0, "hi": 1.0, "n": 0}
    trials = n if trials is None else trials
    lo = clopper_pearson(hits * trials // n, trials, CONFIDENCE)[0]
    hi = clopper_pearson(-(-hits * trials // n), trials, CONFIDENCE)[1]
    return {"value": hits / n, "lo": lo, "hi": hi, "n": n}


def check_seed(seed: int) -> None:
    """Raise :class:`BadInput` unless the seed is one that numpy and torch both take."""
    if not 0 <= seed < 2**63:
        raise BadInput(f"seed is {seed}, expected a whole number from 0 to 2^63 - 1")


def is_burst(triggers: TriggerSet) -> NDArray[np.bool_]:
    """Whether each alert is of a burst: the alerts that carry the certificate. bool [N].

    Every true alert counts as one unless it is said to be an outburst of a known source, because it may be.
    """
    return (triggers.label == TRUE) & (triggers.cause != "outburst")


def auc(score: NDArray[Any], label: NDArray[Any]) -> float | None:
    """Area under the receiver operating characteristic: P(true > false) + P(equal) / 2.

    Parameters
    ----------
    score : array [N]
    label : array [N]
        1 true, 0 false.

    Returns
    -------
    float or None
        None where a class is missing.
    """
    return auc_of_counts(*_counts(score, label))


def rejection_at_retention(score: NDArray[Any], label: NDArray[Any], retention: float) -> float | None:
    """Share of false alerts below the highest cut that keeps the given share of true ones.

    An alert is lost if its score lies *below* the cut; one that equals it is kept.

    Returns
    -------
    float or None
        None where the retention allows less than one loss, or a class is missing.
    """
    return rejection_of_counts(*_counts(score, label), retention)


def auc_of_counts(true: NDArray[Any], false: NDArray[Any]) -> float | None:
    """Area under the curve from the weight of true and of false alerts at each score, in rising order of scores."""
    if not true.sum() or not false.sum():
        return None
    below = np.cumsum(false) - false
    return float((true * (below + false / 2)).sum() / (true.sum() * false.sum()))


def rejection_of_counts(true: NDArray[Any], false: NDArray[Any], retention: float) -> float | None:
    """Rejection at retention from the weight of true and of false alerts at each score, in rising order of scores."""
    cut = _cut(true, retention)
    return None if cut is None or not false.sum() else float(false[:cut].sum() / false.sum())


def draw_sequences(member: NDArray[np.intp], true: NDArray[np.bool_], seed: int) -> Iterator[NDArray[np.float64]]:
    """Draw sequences with replacement again and again, those with a true alert and those without apart.

    Parameters
    ----------
    member : int array [N]
        Number of each alert's sequence, from 0 on without gaps.
    true : bool array [N]
        Whether the alert is true.
    seed : int
        The same seed and alerts give the same draws: whatever is compared is compared draw by draw.

    Yields
    ------
    float64 array [sequences]
        How often each was drawn.
    """
    rng = np.random.default_rng(seed)
    is_true = np.bincount(member, weights=true) > 0
    groups = [group for group in (np.flatnonzero(is_true), np.flatnonzero(~is_true)) if len(group)]
    for _ in range(_DRAWS):
        times = np.zeros(len(is_true))
        for group in groups:
            times[group] = np.bincount(rng.integers(len(group), size=len(group)), minlength=len(group))
        yield times


@dataclass(frozen=True, eq=False)
class Measured:
    """Alerts labelled true or false, with what a classifier made of them.

    Parameters
    ----------
    index : int array [N]
        Which alerts of the trigger set.
    rank : int array [N]
        Rank of the score among the distinct ones; what breaks the contract ranks highest, since it cannot be vetoed.
    label : int8 array [N]
    sequence : int64 array [N]
    cause : str array [N]
    burst : bool array [N]
        As of :func:`is_burst`.
    verdict : uint8 array [N] or None
    cut : int or None
        Rank below which at most 1 % of the true alerts of the whole set lie.
    """

    index: NDArray[np.intp]
    rank: NDArray[np.intp]
    label: NDArray[np.int8]
    sequence: NDArray[np.int64]
    cause: NDArray[np.str_]
    burst: NDArray[np.bool_]
    verdict: NDArray[np.uint8] | None
    cut: int | None

    @property
    def true(self) -> NDArray[np.bool_]:
        """Labelled true, bool [N]."""
        return self.label == TRUE

    @property
    def false(self) -> NDArray[np.bool_]:
        """Labelled false, bool [N]."""
        return self.label == FALSE

    @property
    def outburst(self) -> NDArray[np.bool_]:
        """Of an outburst of a known source, bool [N]."""
        return self.cause == "outburst"

    def select(self, group: NDArray[np.bool_]) -> Measured:
        """Some of the alerts, judged at the same cut."""
        return Measured(
            self.index[group],
            self.rank[group],
            self.label[group],
            self.sequence[group],
            self.cause[group],
            self.burst[group],
            None if self.verdict is None else self.verdict[group],
            self.cut,
        )


def measured(score: NDArray[Any], triggers: TriggerSet, judgement: Judgement | None = None) -> Measured:
    """Bring scores and verdicts of a labelled trigger set into the form that figures are made of.

    Parameters
    ----------
    score : array [N]
    triggers : TriggerSet
    judgement : Judgement, optional

    Raises
    ------
    BadInput
        If there are no labels, or none that is true or false.
    """
    label = triggers.label
    if len(score) != len(triggers):
        raise ValueError(f"{len(score)} scores for {len(triggers)} alerts")
    known = np.flatnonzero(np.isin(label, (TRUE, FALSE)))
    if not len(known):
        raise BadInput("trigger set holds no alert labelled true or false")
    rank = np.unique(np.asarray(score)[known], return_inverse=True)[1]
    # The network is not asked about these, and what it is not asked it cannot veto.
    rank = np.where(triggers.rejected[known] != 0, rank.max(initial=0) + 1, rank)
    return Measured(
        known,
        rank,
        label[known],
        triggers.sequence[known],
        triggers.cause[known],
        is_burst(triggers)[known],
        None if judgement is None else judgement.verdict[known],
        _cut(np.bincount(rank[label[known] == TRUE]), 0.99),
    )


def evaluate(
    score: NDArray[Any],
    triggers: TriggerSet,
    judgement: Judgement | None = None,
    *,
    centre: float = 0.0,
    seed: int = 0,
) -> dict[str, Any]:
    """Measure a classifier on a labelled trigger set.

    Parameters
    ----------
    score : array [N]
        One score an alert, of any real type.
    triggers : TriggerSet
        With labels; the unclear ones are left out.
    judgement : Judgement, optional
        Verdicts at the classifier's own thresholds; without them the ``certified`` figures are None.
    centre : float
        Accuracy calls an alert true from this score on.
    seed : int
        Of the bootstrap.

    Returns
    -------
    dict
        ``n_true``, ``n_false``, ``n_unclear``, ``auc``, ``auc_interval``, ``accuracy``, ``accuracy_interval``,
        ``rejection_at_retention``, ``certified`` and ``per_cause``; shares are ``{"value", "lo", "hi", "n"}``.

    Raises
    ------
    BadInput
        If there are no labels, or none that is true or false, or the seed is out of range.
    """
    check_seed(seed)
    found = measured(score, triggers, judgement)
    label, rank, sequence = found.label, found.rank, found.sequence
    draws = _bootstrap(rank, label, sequence, seed)
    correct = (np.asarray(score)[found.index] >= centre) == found.true
    result: dict[str, Any] = {
        "n_true": int(found.true.sum()),
        "n_false": int(found.false.sum()),
        "n_unclear": len(triggers) - len(found.index),
        "auc": auc(rank, label),
        "auc_interval": _interval(draws["auc"], len(label)),
        "accuracy": float(correct.mean()),
        "accuracy_interval": clustered(correct, sequence),
        "rejection_at_retention": {key: _rejection_share(rank, label, sequence, key, draws[key]) for key in RETENTIONS},
        "certified": thresholds_shares(found),
    }
    del result["accuracy_interval"]["value"]
    result["per_cause"] = {str(name): _one_cause(found.select(found.cause == name)) for name in np.unique(found.cause)}
    return result


def _counts(score: NDArray[Any], label: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Histograms of the true and of the false over the distinct scores, in rising order."""
    rank = np.unique(score, return_inverse=True)[1]
    bins = int(rank.max(initial=-1)) + 1
    true, false = (np.bincount(rank[label == kind], minlength=bins) for kind in (TRUE, FALSE))
    return true, false


def _cut(true: NDArray[Any], retention: float) -> int | None:
    """Highest score, as its rank, with at most the allowed losses below it."""
    # The margin keeps 0.05 * 100, which is 4.999... in binary, at five losses.
    allowed = np.floor((1 - retention) * true.sum() + 1e-9)
    if allowed < 1:
        return None
    return int(np.searchsorted(np.cumsum(true), allowed, side="right"))


def _bootstrap(
    rank: NDArray[np.intp], label: NDArray[Any], sequence: NDArray[np.int64], seed: int
) -> dict[str, NDArray[Any]]:
    _, member = np.unique(sequence, return_inverse=True)
    found: dict[str, list[float]] = {"auc": [], **{key: [] for key in RETENTIONS}}
    bins = int(rank.max(initial=0)) + 1
    true, false = label == TRUE, label == FALSE
    for times in draw_sequences(member, true, seed):
        weight = times[member]
        drawn_true = np.bincount(rank[true], weights=weight[true], minlength=bins)
        drawn_false = np.bincount(rank[false], weights=weight[false], minlength=bins)
        for key, value in (
            ("auc", auc_of_counts(drawn_true, drawn_false)),
            *((key, rejection_of_counts(drawn_true, drawn_false, float(key))) for key in RETENTIONS),
        ):
            if value is not None:
                found[key].append(value)
    return {key: np.array(values) for key, values in found.items()}


def _interval(draws: NDArray[Any], n: int) -> Share:
    if not len(draws):
        return {"lo": None, "hi": None, "n": n}
    tail = (1 - CONFIDENCE) / 2
    lo, hi = np.quantile(draws, [tail, 1 - tail])
    return {"lo": float(lo), "hi": float(hi), "n": n}


def _rejection_share(
    rank: NDArray[np.intp], label: NDArray[Any], sequence: NDArray[np.int64], key: str, draws: NDArray[Any]
) -> Share:
    n_true, n_false = int((label == TRUE).sum()), int((label == FALSE).sum())
    value = rejection_at_retention(rank, label, float(key))
    if value is None:
        need = int(np.ceil(1 / (1 - float(key)) - 1e-9))
        reason = "no false alerts" if not n_false else f"{n_true} true alerts, {need} allow the first loss"
        return {"value": None, "lo": None, "hi": None, "n": n_false, "reason": reason}
    found: Share = {"value": value, **_interval(draws, n_false), "reason": None}
    if found["lo"] == found["hi"]:
        # Where nothing varies between draws the bootstrap knows no uncertainty; the exact interval does.
        exact = share(round(value * n_false), n_false, len(np.unique(sequence[label == FALSE])))
        found |= {"lo": exact["lo"], "hi": exact["hi"], "reason": "no spread between draws: exact interval"}
    return found


def clustered(hit: NDArray[np.bool_], sequence: NDArray[np.int64]) -> Share:
    """Share of alerts, with the interval of as many trials as there are sequences."""
    return share(int(hit.sum()), len(hit), len(np.unique(sequence)))


def thresholds_shares(found: Measured) -> dict[str, Share | None]:
    """What a classifier's own thresholds do: ``certified`` of :func:`evaluate`. All None without verdicts."""
    names = (
        "retention_bursts",
        "retention_burst_sequences",
        "retention_outbursts",
        "rejection",
        "abstained_true",
        "abstained_false",
    )
    if found.verdict is None:
        return dict.fromkeys(names)
    veto, abstain = found.verdict == Verdict.VETO, found.verdict == Verdict.ABSTAIN

    def of(group: NDArray[np.bool_], hit: NDArray[np.bool_]) -> Share:
        return clustered(hit[group], found.sequence[group])

    lost = len(np.unique(found.sequence[found.burst & veto]))
    n_sequences = len(np.unique(found.sequence[found.burst]))
    values = (
        of(found.burst, ~veto),
        share(n_sequences - lost, n_sequences),
        of(found.outburst, ~veto),
        of(found.false, veto),
        of(found.true, abstain),
        of(found.false, abstain),
    )
    return dict(zip(names, values, strict=True))


def _one_cause(found: Measured) -> dict[str, Any]:
    def of(hit: NDArray[np.bool_] | None) -> Share | None:
        return None if hit is None else clustered(hit, found.sequence)

    verdict = found.verdict
    return {
        "n": len(found.index),
        "sequences": len(np.unique(found.sequence)),
        "below_cut_at_0.99": of(None if found.cut is None else found.rank < found.cut),
        "vetoed": of(None if verdict is None else verdict == Verdict.VETO),
        "confirmed": of(None if verdict is None else verdict == Verdict.CONFIRM),
        "abstained": of(None if verdict is None else verdict == Verdict.ABSTAIN),
    }
