"""Labels and causes by what made the peak, on parts made by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sim_scenes import CONFIG

from slewguard.sim.imaging import imager
from slewguard.sim.judge import Judged, judge
from slewguard.sim.scene import Part
from slewguard.sim.trigger import Peak
from slewguard.subimages.contract import FALSE, TRUE, UNCLEAR

VIEW = imager(CONFIG.instrument, 1, CONFIG.trigger.min_coding)
ROW, COL, HEIGHT, THRESHOLD = 90, 105, 1000.0, 6.5
WEIGHTS = VIEW.flattened(VIEW.weights(ROW, COL))


def signal(share: float, dy: float = 0.0, dz: float = 0.0, cause: str = "grb") -> Part:
    """A source some pixels from the peak that makes a share of it."""
    return Part("signal", cause, 7, _of(VIEW.telescope.shadow(COL + dy, ROW + dz), share), COL + dy, ROW + dz)


def artefact(share: float, cause: str = "column", sequence: int = 9) -> Part:
    return Part("artefact", cause, sequence, _of(WEIGHTS, share))


def source(share: float, away: float, cause: str = "residual", sequence: int = -1) -> tuple[Part, np.ndarray]:
    """A known source, and the counts subtracted for it that leave a share of the peak."""
    plane = 5.0 * VIEW.telescope.shadow(COL + away, float(ROW))
    return Part("source", cause, sequence, plane, COL + away, float(ROW)), plane - _of(WEIGHTS, share)


def _of(plane: np.ndarray, share: float) -> np.ndarray:
    return plane * (share * HEIGHT / float(np.vdot(WEIGHTS, plane)))


def label(*parts: Part, known: tuple[tuple[Part, np.ndarray], ...] = (), snr: float = 20.0) -> Judged:
    modelled = np.array([m for _, m in known]).reshape(-1, 80, 80)
    peak = Peak(ROW, COL, snr, 0.0, 1.0, -1)
    judged = judge([*parts, *(p for p, _ in known)], modelled, peak, HEIGHT, VIEW, THRESHOLD)
    return Judged(judged.label, judged.cause, judged.sequence)


@pytest.mark.parametrize(
    ("made", "disturbed", "snr", "want"),
    [
        (0.95, 0.05, 20.0, (TRUE, "grb", 7)),
        (0.55, 0.45, 20.0, (TRUE, "grb", 7)),
        (0.55, 0.24, 8.0, (TRUE, "grb", 7)),  # below the threshold alone, but no artefact of a quarter lifted it
        (0.55, 0.45, 8.0, (UNCLEAR, "unclear", 7)),  # lifted: 0.55 x 8 is below 6.5
        (0.90, 0.26, 7.0, (UNCLEAR, "unclear", 7)),
        (0.95, 0.26, 7.0, (TRUE, "grb", 7)),
        (0.60, 0.55, 20.0, (UNCLEAR, "unclear", 7)),  # both above half
        (0.45, 0.40, 20.0, (UNCLEAR, "unclear", 7)),  # neither
        (0.30, 0.70, 20.0, (FALSE, "column", 9)),
        (0.00, 1.00, 20.0, (FALSE, "column", 9)),
    ],
)
def test_labels_at_a_source(made: float, disturbed: float, snr: float, want: tuple[int, str, int]) -> None:
    judged = label(signal(made), artefact(disturbed), snr=snr)
    assert (judged.label, judged.cause, judged.sequence) == want


@given(st.floats(0.0, 1.2), st.floats(0.0, 1.2), st.floats(6.5, 50.0))
def test_the_rule_is_the_one_that_is_stated(made: float, disturbed: float, snr: float) -> None:
    margins = [abs(v - e) for v in (made, disturbed) for e in (0.25, 0.5)] + [abs(made * snr - THRESHOLD)]
    if min(margins) < 1e-6:
        return
    judged = label(signal(made), artefact(disturbed), snr=snr)
    if made >= 0.5 and disturbed < 0.5:
        lifted = disturbed >= 0.25 and made * snr < THRESHOLD
        assert judged.label == (UNCLEAR if lifted else TRUE)
    else:
        assert judged.label == (FALSE if made < 0.5 and disturbed >= 0.5 else UNCLEAR)


@pytest.mark.parametrize("cause", ["grb", "unknown_source", "outburst"])
def test_a_true_alert_has_its_sources_cause(cause: str) -> None:
    assert label(signal(0.9, 1.2, -1.0, cause), artefact(0.1)) == Judged(TRUE, cause, 7)


def test_an_alert_beside_a_source_is_not_its_own() -> None:
    near, far = signal(0.9, 1.7, 1.7), signal(0.9, 1.9, 1.8)
    assert label(near, artefact(0.1)).label == TRUE
    assert label(far, artefact(0.1)) == Judged(FALSE, "coding_noise", 7)
    assert label(signal(0.4, 9.0), artefact(0.6)) == Judged(FALSE, "column", 9)


def test_without_a_source_the_largest_artefact_is_the_cause() -> None:
    assert label(artefact(0.3, "xrdpix", 3), artefact(0.5, "hot_pixel", 4)) == Judged(FALSE, "hot_pixel", 4)
    # Shares of one cause and event add up.
    three = [artefact(0.3, "xrdpix", 3), artefact(0.3, "xrdpix", 3), artefact(0.5, "hot_pixel", 4)]
    assert label(*three) == Judged(FALSE, "xrdpix", 3)
    assert label(artefact(0.24)) == Judged(FALSE, "statistical", -1)
    assert label(artefact(0.26)) == Judged(FALSE, "column", 9)
    assert label(artefact(-0.9), artefact(0.1, "saa")) == Judged(FALSE, "statistical", -1)


@pytest.mark.parametrize(
    ("cause", "away", "want"),
    [
        ("residual", 11.0, "residual"),
        ("residual", 13.0, "coding_noise"),
        ("stale_catalogue", 5.0, "stale_catalogue"),
        ("stale_catalogue", 7.0, "coding_noise"),
        ("attitude", 60.0, "attitude"),
    ],
)
def test_what_sources_leave_behind(cause: str, away: float, want: str) -> None:
    assert label(artefact(0.1), known=(source(0.8, away, cause, 5),)) == Judged(FALSE, want, 5)


def test_leftovers_of_all_sources_add_up_under_the_worst() -> None:
    known = (source(0.2, 5.0), source(0.3, 3.0, "stale_catalogue", 5), source(-0.1, 20.0))
    assert label(artefact(0.35), known=known) == Judged(FALSE, "stale_catalogue", 5)
    # 0.2 + 0.3 - 0.1 = 0.4
    assert label(artefact(0.45), known=known) == Judged(FALSE, "column", 9)


def test_a_burst_near_a_badly_subtracted_source_may_be_unclear() -> None:
    assert label(signal(0.55), artefact(0.0), known=(source(0.52, 2.0, "residual", 5),)).label == UNCLEAR
    assert label(signal(0.8), artefact(0.0), known=(source(0.2, 2.0, "residual", 5),)) == Judged(TRUE, "grb", 7)


def test_a_slope_over_the_plane_makes_no_peak() -> None:
    z, y = np.mgrid[:80, :80]
    slope = Part("artefact", "saa", 2, 1e4 + 300.0 * y - 2.0 * z * y)
    assert label(signal(0.9), slope) == Judged(TRUE, "grb", 7)
    assert label(slope) == Judged(FALSE, "statistical", -1)
