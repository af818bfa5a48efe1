"""The other timing: the classifier on the ground, which sees one sub-image, in the last packet of the sequence.

By then the satellite has turned. A veto can only call it back earlier than a person would have.
"""

from __future__ import annotations

import numpy as np

from slewguard.sim.chain_ledger import rows_of
from slewguard.sim.chain_loop import Answer, Consequence, Passage, SlewDesk, ask, counts, in_order
from slewguard.subimages.contract import TriggerSet
from slewguard.subimages.verdict import Classifier, Verdict


def pass_ground(triggers: TriggerSet, classifier: Classifier | None, slew_threshold: float) -> Passage:
    """Judge the last alert of every sequence, by itself.

    Which of a sequence's sub-images is sent down last is unpublished; we take that of its last alert.

    Parameters
    ----------
    triggers : TriggerSet
        With ``peak_snr``.
    classifier : Classifier or None
    slew_threshold : float

    Returns
    -------
    Passage
        Answers on the last alert of each sequence; the others, of which the ground has no sub-image, are not asked
        about. A veto after a slew gives ``RECALLED`` on the last alert.
    """
    asks = np.asarray(triggers.columns["peak_snr"] >= slew_threshold)
    desk = SlewDesk()
    consequence = np.zeros(len(triggers), dtype=np.uint8)
    for i in in_order(triggers).tolist():
        consequence[i] = desk.decide(int(triggers.sequence[i]), bool(asks[i]), None)
    slew = consequence == Consequence.SLEW
    last = np.array([rows[-1] for rows in rows_of(triggers.sequence).values()], dtype=np.int64)
    answers = [Answer(reason="not_asked")] * len(triggers)
    for i, said in zip(last.tolist(), ask(classifier, triggers.select(last)), strict=True):
        answers[i] = Answer(said.verdict, said.reason, said.score, said.score if said.reason == "ok" else None)
    turned = set(triggers.sequence[slew].tolist())
    for i in last.tolist():
        if answers[i].verdict == Verdict.VETO and int(triggers.sequence[i]) in turned:
            consequence[i] = Consequence.RECALLED
    return Passage(counts(triggers.sequence), asks, slew, answers, consequence)
