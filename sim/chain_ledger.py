"""The ledger of a replay: one line for each alert, with what it was, what was said of it and what came of it.

A CSV table with a header. Numbers are printed with fixed digits, so that the same alerts and verdicts give the same
bytes on every machine; only the column ``engine`` tells which engine spoke.
"""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from slewguard.sim.chain_loop import Consequence, Passage
from slewguard.subimages.atomic import atomic_output
from slewguard.subimages.contract import BURST_CAUSES, FALSE, TRUE, TriggerSet

LABELS = {1: "true", 0: "false", -1: "unclear"}
_DAY_S = 86400.0

OUTCOMES = (
    "no_slew",
    "same",
    "burst_lost",
    "outburst_lost",
    "avoided",
    "delayed",
    "unclear_denied",
    "recalled",
    "burst_recalled",
    "outburst_recalled",
    "unclear_recalled",
)
"""What came of a sequence: it asks for no slew; the same alert slews as without the classifier; none of its burst (or
outburst) alerts slews any longer; it no longer slews to a false alert; a later alert slews; an unclear one no longer
does; on the ground: the satellite is called back from a false, a burst's, an outburst's or an unclear alert."""

COLUMNS = (
    "time_s",
    "day",
    "sequence",
    "look",
    "cause",
    "label",
    "trigger",
    "band_lo_kev",
    "band_hi_kev",
    "window_s",
    "snr",
    "score",
    "statistic",
    "verdict",
    "reason",
    "engine",
    "asks",
    "slew_without",
    "slew_with",
    "consequence",
    "outcome",
)
"""Columns in their order: end of the window in mission time and its day; number of the event and of the look in it;
truth; how it was found; SNR; score, highest score so far, verdict and reason (``CHAIN_REASONS``); whether it asks for
a slew and whether the satellite turns for it without and with the classifier (0 or 1); the alert's ``Consequence``
and the sequence's outcome (:data:`OUTCOMES`). What is not known is empty."""


@dataclass(frozen=True, eq=False)
class Ledger:
    """Lines of text under :data:`COLUMNS`, in order of time; those of a sequence in the order of its looks."""

    lines: Sequence[tuple[str, ...]]

    def text(self) -> str:
        """The table as CSV."""
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(self.lines)
        return out.getvalue()

    def digest(self) -> str:
        """SHA-256 of the table without its column ``engine``: equal for engines that say the same of every alert."""
        at = COLUMNS.index("engine")
        kept = "\n".join("\t".join((*line[:at], *line[at + 1 :])) for line in self.lines)
        return hashlib.sha256(kept.encode("ascii")).hexdigest()

    def column(self, name: str) -> list[str]:
        """Texts of a column."""
        at = COLUMNS.index(name)
        return [line[at] for line in self.lines]

    def write(self, path: str | Path) -> None:
        """Write the table; it is whole or not there."""
        with atomic_output(path) as beside:
            Path(beside).write_text(self.text(), encoding="ascii")


def make_ledger(triggers: TriggerSet, passage: Passage, order: NDArray[np.integer], engine: str) -> Ledger:
    """Account for every alert of a replay.

    Parameters
    ----------
    triggers : TriggerSet
        With labels, causes and ``peak_snr``; other columns where it has them.
    passage : Passage
    order : integer array [N]
        Alerts in the order of the lines.
    engine : str
        Name of who answered.
    """

    def printed(name: str, digits: int) -> list[str]:
        values = triggers.columns.get(name)
        return [""] * len(triggers) if values is None else [f"{value:.{digits}f}" for value in values.tolist()]

    kinds = triggers.columns.get("trigger")
    time = printed("time_s", 2)
    columns = [
        time,
        [t and str(int(float(t) // _DAY_S)) for t in time],
        [str(number) for number in triggers.sequence.tolist()],
        [str(count) for count in passage.count.tolist()],
        [str(cause) for cause in triggers.cause],
        [LABELS[label] for label in triggers.label.tolist()],
        [""] * len(triggers) if kinds is None else [kind.decode("ascii") for kind in kinds],
        printed("band_lo_kev", 0),
        printed("band_hi_kev", 0),
        printed("window_s", 2),
        printed("peak_snr", 3),
        ["" if answer.score is None else str(answer.score) for answer in passage.answers],
        ["" if answer.statistic is None else str(answer.statistic) for answer in passage.answers],
        [answer.verdict.name.lower() for answer in passage.answers],
        [answer.reason for answer in passage.answers],
        [engine] * len(triggers),
        [str(int(value)) for value in passage.asks],
        [str(int(value)) for value in passage.slew_without],
        [str(int(value)) for value in passage.slew_with],
        [Consequence(value).name.lower() for value in passage.consequence.tolist()],
        outcomes(triggers, passage),
    ]
    rows = list(zip(*columns, strict=True))
    return Ledger([rows[i] for i in order.tolist()])


def outcomes(triggers: TriggerSet, passage: Passage) -> list[str]:
    """Outcome of the sequence of each alert (:data:`OUTCOMES`)."""
    burst = (triggers.label == TRUE) & np.isin(triggers.cause, BURST_CAUSES)
    still, recalled = passage.still_asks, passage.consequence == Consequence.RECALLED
    found = {
        number: _outcome(triggers.label[rows], burst[rows], passage.asks[rows], still[rows], recalled[rows])
        for number, rows in rows_of(triggers.sequence).items()
    }
    return [found[number] for number in triggers.sequence.tolist()]


def rows_of(sequence: NDArray[np.integer]) -> dict[int, NDArray[np.int64]]:
    """Indices of the alerts of each sequence, in their order."""
    order = np.argsort(sequence, kind="stable")
    names, starts = np.unique(sequence[order], return_index=True)
    return dict(zip(names.tolist(), np.split(order, starts[1:]), strict=True))


def _outcome(
    label: NDArray[np.int8],
    burst: NDArray[np.bool_],
    asks: NDArray[np.bool_],
    still: NDArray[np.bool_],
    recalled: NDArray[np.bool_],
) -> str:
    if not asks.any():
        return "no_slew"
    first, real = int(np.argmax(asks)), label == TRUE
    if recalled.any():
        # From a false peak the satellite is rightly called back, whatever else the event shows.
        if label[first] == FALSE:
            return "recalled"
        if burst[asks].any():
            return "burst_recalled"
        return "outburst_recalled" if real[asks].any() else "unclear_recalled"
    if (asks & burst).any() and not (still & burst).any():
        return "burst_lost"
    if (asks & real & ~burst).any() and not (still & real).any():
        return "outburst_lost"
    first_still = int(np.argmax(still)) if still.any() else None
    if label[first] == FALSE and (first_still is None or label[first_still] != FALSE):
        return "avoided"
    if first_still is None:
        return "unclear_denied"
    return "same" if first == first_still else "delayed"
