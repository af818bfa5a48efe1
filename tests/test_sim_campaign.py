"""Configuration, labels, repeatability of campaigns, and the chain."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from slewguard.sim.campaign import simulate
from slewguard.sim.chain import replay
from slewguard.sim.config import SimConfig, drop_config, load_config
from slewguard.sim.timeline import events
from slewguard.subimages import BadInput, Judgement, TriggerSet, Verdict
from slewguard.subimages.contract import COLUMNS, FALSE_CAUSES, TRUE_CAUSES
from slewguard.subimages.intervals import clopper_pearson, wilson

CONFIG = SimConfig()


@pytest.fixture(scope="module")
def campaign() -> TriggerSet:
    return simulate(CONFIG, days=6, seed=11)


def same(a: TriggerSet, b: TriggerSet) -> bool:
    return (
        a.snr.tobytes() == b.snr.tobytes()
        and a.mask.tobytes() == b.mask.tobytes()
        and all(a.columns[name].tobytes() == b.columns[name].tobytes() for name in COLUMNS)
    )


def test_campaign_keeps_the_contract(campaign: TriggerSet) -> None:
    assert len(campaign) > 5
    assert not campaign.rejected.any()
    assert set(campaign.columns) == set(COLUMNS)
    assert (np.diff(campaign.sequence) >= 0).all()
    assert campaign.simulated
    assert (campaign.snr[:, 28, 28] == campaign.columns["peak_snr"]).all()
    assert (campaign.columns["peak_snr"] >= CONFIG.trigger.alert_threshold).all()
    assert (campaign.columns["second_peak"] < 1.2 * campaign.columns["peak_snr"]).all()
    for label, cause in zip(campaign.label, campaign.cause, strict=True):
        allowed = {1: TRUE_CAUSES, 0: FALSE_CAUSES, -1: ("unclear",)}[int(label)]
        assert cause in allowed


def test_shards_and_workers_do_not_matter(campaign: TriggerSet) -> None:
    shards = [simulate(CONFIG, days=6, seed=11, shard=(i, 3)) for i in range(3)]
    order = np.argsort(np.concatenate([s.sequence for s in shards]), kind="stable")
    snr = np.concatenate([s.snr for s in shards])[order]
    assert snr.tobytes() == campaign.snr.tobytes()
    assert same(simulate(CONFIG, days=6, seed=11, workers=2), campaign)


def test_seed_matters(campaign: TriggerSet) -> None:
    assert not same(simulate(CONFIG, days=6, seed=12), campaign)


def test_longer_campaign_starts_with_the_shorter() -> None:
    short = list(events(CONFIG, 5, 3))
    assert list(events(CONFIG, 9, 3))[: len(short)] == short


def test_event_rates_are_poisson() -> None:
    n = sum(e.cause == "grb" for e in events(CONFIG, 4000, 1))
    mean = 4000 * CONFIG.rates.grb
    assert abs(n - mean) < 5 * np.sqrt(mean)
    rich = SimConfig.model_validate({"rates": {"enrich": 3}})
    assert rich.rates.per_day()["grb"] == pytest.approx(3 * CONFIG.rates.grb)
    assert rich.rates.per_day()["column"] == CONFIG.rates.column


def test_dropped_configuration_reads_back_and_names_marks(tmp_path: Path) -> None:
    text = drop_config()
    path = tmp_path / "sim.yaml"
    path.write_text(text, encoding="utf-8")
    assert load_config(path) == CONFIG
    keys = [line for line in text.splitlines() if line.startswith("  ") and not line.startswith("  #")]
    marks = [m for line in text.splitlines() for m in ("[published:", "[computed:", "[assumed:") if m in line]
    assert len(marks) == len(keys) == sum(len(section) for section in yaml.safe_load(text).values())


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("sky:\n  knwon_sources: 3\n", "unknown key 'sky.knwon_sources'"),
        ("skies: {}\n", "unknown key 'skies'"),
        ("rates:\n  grb: -1\n", "rates.grb"),
        ("defects:\n  column_excess: [3, 1]\n", "defects.column_excess"),
        ("instrument:\n  pitch_mm: 4.4\n", "whole number of pitches"),
        ("trigger:\n  band_kev: [20, 20]\n", "band_kev"),
        ("sky:\n  flux_max_crab: .inf\n", "sky.flux_max_crab"),
        ("- 1\n", "mapping"),
        ("a: [\n", "not YAML"),
    ],
)
def test_bad_configuration_is_one_clear_line(tmp_path: Path, text: str, fault: str) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(BadInput) as caught:
        load_config(path)
    assert fault in str(caught.value)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_bad_campaigns_are_refused() -> None:
    days = ({"days": value} for value in (0, float("nan"), float("inf")))
    for wrong in (*days, {"seed": -1}, {"shard": (2, 2)}, {"workers": 0}):
        with pytest.raises(BadInput):
            simulate(CONFIG, **{"days": 1, "seed": 0, **wrong})


class _Fixed:
    def __init__(self, verdicts: list[Verdict]) -> None:
        self._verdicts = np.array(verdicts, dtype=np.uint8)

    def judge(self, triggers: TriggerSet) -> Judgement:
        n = len(triggers)
        return Judgement(np.zeros(n, np.int8), self._verdicts, np.zeros(n, np.uint8))


def _alerts(rows: list[tuple[int, int, str, float]]) -> TriggerSet:
    n = len(rows)
    mask = np.ones((n, 56, 56), np.uint8)
    mask[:, 28, 28] = 3
    columns = {
        "sequence": np.array([r[0] for r in rows], np.int64),
        "label": np.array([r[1] for r in rows], np.int8),
        "cause": np.array([r[2] for r in rows], "S16"),
        "peak_snr": np.array([r[3] for r in rows], np.float32),
    }
    return TriggerSet(np.zeros((n, 56, 56), np.float32), mask, columns, True, {"days": 2.0})


def test_chain_by_hand() -> None:
    triggers = _alerts(
        [
            (1, 1, "grb", 7.0),  # below the slew threshold
            (1, 1, "grb", 9.0),  # vetoed, but
            (1, 1, "grb", 12.0),  # the next one still slews
            (2, 1, "unknown_source", 10.0),  # lost
            (3, 0, "column", 20.0),  # avoided
            (4, 0, "residual", 9.0),  # not avoided
            (5, 1, "outburst", 30.0),  # lost
            (6, 0, "saa", 7.0),  # never asked
        ]
    )
    v, c, a = Verdict.VETO, Verdict.CONFIRM, Verdict.ABSTAIN
    result = replay(triggers, _Fixed([v, v, c, v, v, a, v, v]), CONFIG)
    assert (result.slews_without, result.slews_with) == (5, 2)
    assert (result.false_slews_without, result.false_slews_avoided) == (2, 1)
    assert (result.bursts, result.bursts_vetoed) == (2, 1)
    assert (result.outbursts, result.outbursts_vetoed) == (1, 1)
    assert (result.alerts, result.abstained, result.days) == (8, 1, 2.0)
    assert result.bursts_kept_share.n == 2


def test_chain_without_a_classifier_changes_nothing(campaign: TriggerSet) -> None:
    result = replay(campaign, None, CONFIG)
    assert result.slews_with == result.slews_without > 0
    assert result.bursts_vetoed == result.outbursts_vetoed == result.false_slews_avoided == 0
    assert result.abstained == len(campaign)


@pytest.mark.parametrize(
    ("provenance", "fault"),
    [({"shard": [0, 2]}, "shard"), ({"shard": [1, 2]}, "shard"), ({"config_sha256": "0" * 64}, "configuration")],
)
def test_chain_refuses_parts_and_other_configurations(provenance: dict[str, object], fault: str) -> None:
    ours = {"days": 2.0, "shard": [0, 1], "config_sha256": CONFIG.digest()}
    triggers = _alerts([(1, 0, "column", 9.0)])
    assert replay(replace(triggers, provenance=ours), None, CONFIG).slews_without == 1
    with pytest.raises(BadInput, match=fault) as caught:
        replay(replace(triggers, provenance=ours | provenance), None, CONFIG)
    assert "\n" not in str(caught.value)


def test_chain_tells_that_bursts_are_enriched() -> None:
    plain = _alerts([(1, 1, "grb", 9.0)])
    rich = replace(plain, provenance={"days": 2.0, "enrich": 5.0})
    assert [replay(t, None, CONFIG).enrich for t in (plain, rich)] == [1.0, 5.0]


def test_chain_needs_labels() -> None:
    with pytest.raises(BadInput, match="label"):
        replay(TriggerSet(np.zeros((0, 56, 56), np.float32), np.zeros((0, 56, 56), np.uint8)), None, CONFIG)


@given(st.integers(0, 400), st.integers(1, 400), st.sampled_from([0.9, 0.95, 0.99]))
def test_intervals_against_scipy(k: int, n: int, level: float) -> None:
    k = min(k, n)
    for ours, method in ((clopper_pearson, "exact"), (wilson, "wilson")):
        want = binomtest(k, n).proportion_ci(level, method)
        assert ours(k, n, level) == pytest.approx((want.low, want.high), abs=1e-9)


def test_interval_of_nothing_is_everything() -> None:
    assert clopper_pearson(0, 0) == wilson(0, 0) == (0.0, 1.0)
    with pytest.raises(ValueError, match="no interval"):
        wilson(3, 2)
