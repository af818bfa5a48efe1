"""The other timing: the classifier on the ground, which sees one sub-image, when the sequence has ended.

By then the satellite has turned. A veto can only call it back earlier than a person would have.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from slewguard.sim.chain_ledger import rows_of
from slewguard.sim.chain_loop import Answer, Consequence, Passage, SlewDesk, ask, counts, in_order
from slewguard.subimages.contract import TriggerSet
from slewguard.subimages.verdict import Classifier, Verdict


def pass_ground(triggers: TriggerSet, classifier: Classifier | None, slew_threshold: float) -> Passage:
    """Judge one alert of every sequence by itself: the one that asked for the slew, or the last where none did.

    Which of a sequence's sub-images comes down in its last packet is unpublished. A veto about any other alert than the
    one for which the satellite turned could call it back from a burst because of a false peak elsewhere.

    Parameters
    ----------
    triggers : TriggerSet
        With ``peak_snr``.
    classifier : Classifier or None
    slew_threshold : float

    Returns
    -------
    Passage
        Answers on one alert of each sequence; the others, of which the ground has no sub-image, are not asked about.
        A veto after a slew gives ``RECALLED`` on that alert.
    """
    asks = np.asarray(triggers.columns["peak_snr"] >= slew_threshold)
    desk = SlewDesk()
    consequence = np.zeros(len(triggers), dtype=np.uint8)
    for i in in_order(triggers).tolist():
        consequence[i] = desk.decide(int(triggers.sequence[i]), bool(asks[i]), None)
    slew = consequence == Consequence.SLEW
    sent = np.array([_sent(rows, slew) for rows in rows_of(triggers.sequence).values()], dtype=np.int64)
    answers = [Answer(reason="not_asked")] * len(triggers)
    for i, said in zip(sent.tolist(), ask(classifier, triggers.select(sent)), strict=True):
        answers[i] = Answer(said.verdict, said.reason, said.score, said.score if said.reason == "ok" else None)
    turned = set(triggers.sequence[slew].tolist())
    for i in sent.tolist():
        if answers[i].verdict == Verdict.VETO and int(triggers.sequence[i]) in turned:
            consequence[i] = Consequence.RECALLED
    return Passage(counts(triggers.sequence), asks, slew, answers, consequence)


def _sent(rows: NDArray[np.int64], slew: NDArray[np.bool_]) -> int:
    """Row of the sub-image that comes down."""
    turned = rows[slew[rows]]
    return int(turned[0] if len(turned) else rows[-1])
