"""The chain's ledger and figures, against counts made by hand."""

import csv
import json
from dataclasses import asdict

import numpy as np
import pytest
from scipy.stats import chi2, norm

from slewguard.benchmarks.dividend import PLACES, noise_per_day, slewing
from slewguard.benchmarks.retention import at_thresholds, render, vetoed_alone
from slewguard.cli.chain import onboard_budget
from slewguard.export.package import open_model
from slewguard.export.verdict import VerdictRule
from slewguard.sim.chain import Share, run_chain
from slewguard.sim.chain_cost import Cost, Rate, load_cost
from slewguard.sim.chain_figures import figures
from slewguard.sim.chain_ledger import COLUMNS
from slewguard.sim.config import SimConfig
from slewguard.sim.settings_trigger import Trigger
from slewguard.subimages import BadInput, Judgement, TriggerSet, Verdict

V, C, A = Verdict.VETO, Verdict.CONFIRM, Verdict.ABSTAIN
LABEL = {"grb": 1, "unknown_source": 1, "outburst": 1, "unclear": -1}
# sequence, cause, SNR, verdict on board, verdict on the ground, seconds
ROWS = [
    (1, "grb", 7.0, A, A, 10.0),
    (1, "grb", 9.0, V, A, 20.0),
    (1, "grb", 12.0, C, C, 60.0),  # kept, 40 s late
    (2, "unknown_source", 10.0, V, V, 100.0),  # lost
    (3, "column", 20.0, V, A, 200.0),  # avoided; not found on the ground
    (3, "column", 19.0, V, A, 220.0),
    (4, "residual", 9.0, A, V, 300.0),  # not avoided; called back on the ground
    (5, "outburst", 30.0, V, A, 400.0),  # lost
    (6, "saa", 7.0, V, V, 500.0),  # never asked
    (7, "unclear", 9.0, V, V, 86401.0),
    (
        8,
        "heat_pipe",
        9.0,
        V,
        A,
        86500.0,
    ),  # denied at first, then slews; on the ground the first look counts
    (8, "heat_pipe", 10.0, A, V, 86600.0),
]


def triggers() -> TriggerSet:
    n = len(ROWS)
    mask = np.ones((n, 56, 56), np.uint8)
    mask[:, :7, :] = 0
    mask[:, 28, 28] = 3
    mask[3, 28, 38] = 2
    snr = np.zeros((n, 56, 56), np.float32)
    snr[mask == 0] = np.nan
    columns = {
        "sequence": np.array([r[0] for r in ROWS], np.int64),
        "label": np.array([LABEL.get(r[1], 0) for r in ROWS], np.int8),
        "cause": np.array([r[1] for r in ROWS], "S16"),
        "peak_snr": np.array([r[2] for r in ROWS], np.float32),
        "time_s": np.array([r[5] for r in ROWS]),
        "band_lo_kev": np.full(n, 5.0, np.float32),
        "band_hi_kev": np.full(n, 20.0, np.float32),
        "trigger": np.full(n, b"IMT", "S3"),
    }
    return TriggerSet(snr, mask, columns, True, {"days": 36.525})


class ByHand:
    """Verdicts as written down above: on board for all alerts at once, on the ground for one of each sequence."""

    def judge(self, given: TriggerSet) -> Judgement:
        n = len(given)
        column = 3 if n == len(ROWS) else 4
        told = {(r[0], np.float32(r[2])): r[column] for r in ROWS}
        keys = zip(given.sequence.tolist(), given.columns["peak_snr"], strict=True)
        return Judgement(np.full(n, 5, np.int8), np.array([told[k] for k in keys], np.uint8), np.zeros(n, np.uint8))


def test_figures_by_hand():
    replay = run_chain(triggers(), ByHand(), SimConfig(), "hand")
    assert (replay.result.slews_without, replay.result.slews_with) == (7, 3)
    cost = Cost()
    found = json.loads(json.dumps(figures(replay, cost), allow_nan=False))
    assert found["outcomes"] == {
        "avoided": 1,
        "burst_lost": 1,
        "delayed": 2,
        "no_slew": 1,
        "outburst_lost": 1,
        "same": 1,
        "unclear_denied": 1,
    }
    assert found["false_slews_left"] == {"heat_pipe": {"abstain": 1}, "residual": {"abstain": 1}}
    assert found["reasons"] == {"ok": len(ROWS)}
    assert found["delays"]["bursts"]["sequences"] == [{"sequence": 1, "seconds": 40.0}]
    assert found["delays"]["bursts"]["delayed_share"]["n"] == 1
    (lost,) = found["lost_bursts"]
    assert (lost["sequence"], lost["cause"], lost["source_px"]) == (2, "unknown_source", 10.0)
    assert lost["covered"] == pytest.approx(1 - 7 / 56)
    assert lost["scores"] == [5]
    assert found["per_cause"]["grb"]["bursts_kept"]["value"] == 1.0
    assert found["per_cause"]["unknown_source"]["bursts_kept"]["value"] == 0.0
    assert {name for name, row in found["per_cause"].items() if "false_avoided" in row} == {
        "column",
        "residual",
        "heat_pipe",
    }
    for by in ("cause", "band", "snr"):
        rows = found[f"per_{by}"].values()
        assert sum(row["false_avoided"]["n"] for row in rows if "false_avoided" in row) == 3
        assert sum(row["bursts_kept"]["n"] for row in rows if "bursts_kept" in row) == 2
        assert sum(row["abstained"]["n"] for row in rows) == len(ROWS)
    assert found["abstained_by"]["bursts_alerts"]["n"] == 4
    assert found["bursts_vetoed_any_look_share"] == asdict(Share.of(2, 2))
    # One avoided slew in a tenth of a year is ten a year.
    assert found["minutes_saved_per_year"]["value"] == pytest.approx(10 * cost.false_slew_min)
    ground = found["ground"]
    assert (ground["false_recalled_share"]["n"], ground["false_recalled_share"]["value"]) == (3, pytest.approx(1 / 3))
    assert [entry["sequence"] for entry in ground["lost_bursts"]] == [2]
    assert ground["bursts_recalled_share"]["value"] == 0.5
    assert ground["beside_true_recalled_share"]["n"] == 0
    assert ground["outbursts_recalled_share"] == asdict(Share.of(0, 1))


def test_on_the_ground_a_false_peak_of_an_event_that_shows_a_burst_is_no_burst_called_back():
    columns = {
        "sequence": np.array([1, 1, 2, 2], np.int64),
        "label": np.array([0, 1, -1, 1], np.int8),
        "cause": np.array(["coding_noise", "grb", "unclear", "grb"], "S16"),
        "peak_snr": np.array([9.0, 12.0, 9.0, 12.0], np.float32),
    }
    mask = np.ones((4, 56, 56), np.uint8)
    mask[:, 28, 28] = 3
    given = TriggerSet(np.zeros((4, 56, 56), np.float32), mask, columns, True, {"days": 36.525})

    class Vetoes:
        def judge(self, looks: TriggerSet) -> Judgement:
            n = len(looks)
            return Judgement(np.full(n, -9, np.int8), np.full(n, V, np.uint8), np.zeros(n, np.uint8))

    replay = run_chain(given, Vetoes(), SimConfig(), "hand")
    found = figures(replay, Cost())["ground"]
    assert found["beside_true_recalled_share"] == asdict(Share.of(1, 1))
    # An unclear alert may be a look at the burst: that counts as one called back.
    assert found["bursts_recalled_share"] == asdict(Share.of(1, 1))
    assert found["false_recalled_share"]["n"] == 0
    assert [entry["sequence"] for entry in found["lost_bursts"]] == [2]
    ledger = replay.ledger("ground")
    outcome = dict(zip(ledger.column("sequence"), ledger.column("outcome"), strict=True))
    assert outcome == {"1": "recalled", "2": "burst_recalled"}


def test_ledgers_of_both_timings(tmp_path):
    replay = run_chain(triggers(), ByHand(), SimConfig(), "hand")
    for timing in ("onboard", "ground"):
        replay.ledger(timing).write(tmp_path / "ledger.csv")
        with (tmp_path / "ledger.csv").open(newline="") as file:
            lines = list(csv.DictReader(file))
        assert tuple(lines[0]) == COLUMNS
        assert [(int(line["sequence"]), float(line["snr"])) for line in lines] == [(r[0], r[2]) for r in ROWS]
        assert {line["engine"] for line in lines} == {"hand"}
        assert sum(line["slew_without"] == "1" for line in lines) == replay.result.slews_without
    assert [line["outcome"] for line in lines if line["consequence"] == "recalled"] == [
        "burst_recalled",
        "recalled",
        "unclear_recalled",
    ]
    # On the ground nobody asks about other looks than those that turned the satellite.
    assert [line["reason"] for line in lines].count("not_asked") == len(ROWS) - 8
    onboard = replay.ledger()
    assert [
        c for c, o in zip(onboard.column("consequence"), onboard.column("outcome"), strict=True) if o == "delayed"
    ] == [
        "no_request",
        "denied",
        "late_slew",
        "denied",
        "late_slew",
    ]
    assert onboard.column("day")[-1] == "1"


@pytest.mark.parametrize("n", [0, 1, 7, 300])
def test_yearly_rates_against_scipy(n):
    rate = Rate.of(n, 100.0, 3.0)
    low = chi2.ppf(0.025, 2 * n) / 2 if n else 0.0
    assert (rate.value, rate.lo, rate.hi) == pytest.approx(
        tuple(k * 3.0 * 3.6525 for k in (n, low, chi2.ppf(0.975, 2 * n + 2) / 2))
    )


def test_cost_model_is_marked_and_refuses_what_it_does_not_know(tmp_path):
    for field in Cost.model_fields.values():
        assert field.json_schema_extra["mark"] in ("published", "computed", "assumed")
        assert field.json_schema_extra["source"]
    place = tmp_path / "cost.yaml"
    place.write_text("cancel_s: 0\nvisit_s: 0\nobserved_share: 1\n")
    cost = load_cost(place)
    assert cost.false_slew_min == pytest.approx((97 + 20 + 97 + 20) / 60)
    assert cost.recall_min == 0.0
    for text, fault in (
        ("cancel: 3\n", "unknown key 'cancel'"),
        ("slew_s: -1\n", "slew_s"),
        ("- 1\n", "mapping"),
        ("[", "YAML"),
    ):
        place.write_text(text)
        with pytest.raises(BadInput, match=fault) as caught:
            load_cost(place)
        assert str(caught.value).startswith(str(place))
    with pytest.raises(BadInput, match=r"none\.yaml"):
        load_cost(tmp_path / "none.yaml")


def test_onboard_budget_is_of_the_stored_counts():
    model = open_model("default")
    half, whole = (onboard_budget(model, Cost(clock_mhz=clock)) for clock in (50.0, 100.0))
    assert {row["style"] for row in whole} == {"plain", "fast"}
    for slow, quick in zip(half, whole, strict=True):
        low, high = quick["seconds"]
        # No processor of this kind does more than one instruction a cycle, or takes more than some.
        assert quick["judge_instructions"] / 1e8 <= low <= high < 10 * quick["judge_instructions"] / 1e8
        assert slow["share_of_image"] == pytest.approx([2 * share for share in quick["share_of_image"]])


def test_looks_that_stand_alone_are_judged_without_the_looks_before_them():
    score = np.where(triggers().columns["peak_snr"] == 12.0, -50, 50).astype(np.int8)
    said = Judgement(score, np.zeros(len(ROWS), np.uint8), np.zeros(len(ROWS), np.uint8))
    found = vetoed_alone(triggers(), VerdictRule(t_veto=0), said)
    assert found == {"burst_sequences_share": asdict(Share.of(1, 2)), "burst_looks_share": asdict(Share.of(1, 4))}


def test_other_thresholds_by_hand():
    score = np.array([10, -5, 20, -30, -40, -35, 5, 0, -60, -10, -25, 8], np.int8)
    said = Judgement(score, np.zeros(len(ROWS), np.uint8), np.zeros(len(ROWS), np.uint8))
    rows = {row["t_veto"]: row for row in at_thresholds(triggers(), VerdictRule(t_veto=-10), said, 8.0)}
    for t_veto, avoided, outbursts in ((-10, 1, 0), (6, 2, 1)):
        row = rows[t_veto]
        assert row["false_avoided"] == asdict(Share.of(avoided, 3))
        assert row["bursts_lost"] == row["bursts_vetoed_any_look"] == asdict(Share.of(1, 2))
        assert row["outbursts_lost"] == asdict(Share.of(outbursts, 1))
    shown = render({"t_veto": -10, "thresholds": list(rows.values())})
    assert shown.count("**-10**") == 1
    assert len(shown.splitlines()) == 2 + len(rows)


def test_other_thresholds_keep_to_what_a_rule_may_have():
    said = Judgement(*(np.zeros(len(ROWS), kind) for kind in (np.int8, np.uint8, np.uint8)))
    for own, lowest, highest in ((-128, -128, -100), (120, 112, 128)):
        rows = at_thresholds(triggers(), VerdictRule(t_veto=own, t_confirm=127), said, 8.0)
        assert (rows[0]["t_veto"], rows[-1]["t_veto"]) == (lowest, highest)


def test_dividend_grants_confirmed_alerts_alone_below_todays_threshold():
    given = triggers()
    verdict = np.array([r[3] for r in ROWS], np.uint8)
    assert slewing(given, None, 8.0, 8.0) == ({1, 2}, {3, 4, 8})
    assert slewing(given, verdict, 8.0, 8.0) == ({1}, {4, 8})
    # The alerts at 7 sigma are abstained on (a burst) and vetoed (false): neither is confirmed.
    assert slewing(given, verdict, 8.0, 6.5) == ({1}, {4, 8})
    verdict[[0, 8]] = C
    assert slewing(given, verdict, 8.0, 6.5) == ({1}, {4, 6, 8})
    assert slewing(given, verdict, 8.0, 7.5) == ({1}, {4, 8})
    verdict[2] = V
    assert slewing(given, verdict, 8.0, 6.5)[0] == {1}
    assert slewing(given, verdict, 8.0, 8.0)[0] == set()


def test_noise_peaks_follow_the_tail_of_a_gaussian():
    trigger = Trigger()
    assert noise_per_day(6.0, trigger) / noise_per_day(6.5, trigger) == pytest.approx(norm.sf(6.0) / norm.sf(6.5))
    one = Trigger(bands_kev=((5.0, 20.0),), image_scales=1)
    assert noise_per_day(0.0, one) == pytest.approx(0.5 * PLACES * 86400 / 20.48)
