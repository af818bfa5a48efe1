import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from slewguard.export.planes import PlaneRule, make_planes
from slewguard.subimages import COLUMNS, BadInput, TriggerSet, Verdict
from slewguard.train.calibrate import Levels, calibrate, data_hash, order_rank, veto_thresholds


@given(st.integers(0, 3000), st.sampled_from([0.005, 0.01, 0.02, 0.05]))
def test_rank_is_the_largest_that_the_binomial_allows(n, level):
    rank = order_rank(n, level)
    # The r-th lowest lies above the level's quantile where fewer than r of n fall below it.
    if rank:
        assert binom.sf(rank - 1, n, level) >= 0.95
    assert binom.sf(rank, n, level) < 0.95


def test_ranks_of_the_textbook_table():
    # First n at which the lowest of all certifies: ln 0.05 / ln(1 - level).
    for level, n in ((0.05, 59), (0.02, 149), (0.01, 299), (0.005, 598)):
        assert (order_rank(n - 1, level), order_rank(n, level)) == (0, 1)


def test_the_promise_holds_over_many_draws():
    rng = np.random.default_rng(0)
    for n in (299, 473, 1000):
        rank = order_rank(n, 0.01)
        draws = np.sort(rng.random((4000, n)), axis=1)
        broken = (draws[:, rank - 1] > 0.01).mean()  # a uniform score's share below t is t
        assert broken <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 4000)
        assert broken == pytest.approx(1 - binom.sf(rank - 1, n, 0.01), abs=0.012)


def population(n_burst, n_false, seed=0):
    rng = np.random.default_rng(seed)
    cause = np.repeat([b"grb", b"outburst", b"column"], [2 * n_burst, 5, 2 * n_false])
    sequence = np.concatenate([np.arange(2 * n_burst) // 2, 10**6 + np.arange(5), 10**7 + np.arange(2 * n_false) // 2])
    label = (cause != b"column").astype(int)
    score = np.clip(rng.normal(np.where(label, 40, -40), 20), -128, 127).astype(np.int8)
    score[cause == b"outburst"] = -128
    n = len(cause)
    snr = rng.normal(size=(n, 56, 56)).astype(np.float32)
    mask = np.ones((n, 56, 56), dtype=np.uint8)
    mask[:, 28, 28] = 3
    snr[:, 28, 28] = rng.uniform(6.5, 20, n)
    columns = {"label": label, "cause": cause, "sequence": sequence}
    columns = {k: v.astype(COLUMNS[k]) for k, v in columns.items()}
    triggers = TriggerSet(snr, mask, columns, simulated=True)
    return score, make_planes(snr, mask, triggers.catalogue_id, PlaneRule()), triggers


def test_veto_threshold_is_the_order_statistic_of_the_lowest_statistic_of_each_burst():
    score, planes, triggers = population(500, 100)
    rule, certificate = calibrate(score, planes, triggers)
    # The statistic never falls, so that its lowest is the first look's score.
    lowest = np.sort(score[:1000].reshape(500, 2)[:, 0])
    verdict, reason = rule.verdicts(planes, score, triggers.sequence)
    assert not reason.any()
    assert (verdict[:1000].reshape(500, 2) == Verdict.VETO).any(axis=1).sum() <= 1
    veto = certificate["veto"]
    assert (veto["n"], veto["rank"], veto["allowed"], veto["certified"]) == (500, 2, 1, True)
    assert rule.t_veto == lowest[1]
    assert (lowest < rule.t_veto).sum() <= 1
    assert veto["statement"] == (
        "at most 1 % of burst sequences with an alert on the burst vetoed, 95 % one-sided confidence"
    )
    assert certificate["population"]["simulated"] is True
    assert certificate["population"]["sequences"] == "stated"
    assert certificate["population"]["causes"] == ["grb", "unknown_source"]
    assert certificate["population"]["data_sha256"] == data_hash(triggers)
    # Every alert that the limits were drawn from lies within them.
    assert not rule.outside_limits(planes).any()


def test_confirm_threshold_is_the_mirror_image():
    score, planes, triggers = population(300, 200)
    rule, certificate = calibrate(score, planes, triggers)
    highest = np.sort(score[triggers.label == 0].reshape(200, 2).max(axis=1))[::-1]
    rank = certificate["confirm"]["rank"]
    assert rank == order_rank(200, 0.05)
    assert rule.t_confirm == highest[rank - 1]
    assert (highest > rule.t_confirm).sum() <= rank - 1


def test_false_alerts_beside_a_true_one_set_no_confirm_threshold():
    score, planes, triggers = population(300, 200)
    label, cause = triggers.columns["label"].copy(), triggers.columns["cause"].copy()
    before, certificate = calibrate(score, planes, triggers)
    label[1:100:2], cause[1:100:2] = 0, b"column"  # second looks of bursts, whose statistic is the first's
    after, beside = calibrate(score, planes, changed(triggers, label=label, cause=cause))
    assert after.t_confirm == before.t_confirm
    assert beside["confirm"]["n"] == certificate["confirm"]["n"] == 200


def test_too_few_sequences_certify_nothing_and_veto_nothing():
    score, planes, triggers = population(298, 58)
    rule, certificate = calibrate(score, planes, triggers)
    assert (rule.t_veto, rule.t_confirm) == (-128, 127)
    assert certificate["veto"]["certified"] is False
    assert certificate["veto"]["statement"].startswith("nothing: 298 sequences, 299 certify at most 1 %")
    rule, certificate = calibrate(score, planes, triggers, Levels(veto=0.05))
    assert certificate["veto"]["certified"] is True
    assert rule.t_veto > -128


def test_classes_far_apart_do_not_cross_the_thresholds():
    score, planes, triggers = population(300, 100)
    score[triggers.label == 1] = 100
    score[triggers.label == 0] = -100
    rule, _ = calibrate(score, planes, triggers)
    assert (rule.t_veto, rule.t_confirm) == (100, 99)


def changed(triggers, **columns):
    columns = {**triggers.columns, **columns}
    return TriggerSet(triggers.snr, triggers.mask, {name: v for name, v in columns.items() if v is not None})


def test_without_sequences_nothing_is_certified_and_nothing_vetoed():
    score, planes, triggers = population(300, 100)
    rule, certificate = calibrate(score, planes, changed(triggers, sequence=None))
    assert (rule.t_veto, rule.t_confirm) == (-128, 127)
    assert certificate["population"]["sequences"] == "not stated: each alert counted as one"
    for name in ("veto", "confirm"):
        assert (certificate[name]["certified"], certificate[name]["rank"]) == (False, 0)
        assert certificate[name]["statement"].startswith("nothing: no /sequence")


def test_unclear_looks_at_a_burst_count_and_false_ones_do_not():
    score, planes, triggers = population(300, 100)
    score[:] = np.where(triggers.label == 1, 40, -40)
    score[0], score[2] = -100, -110
    label, cause = triggers.columns["label"].copy(), triggers.columns["cause"].copy()
    label[0], cause[0] = -1, b"unclear"  # its sequence has a true alert beside it
    label[2], cause[2] = 0, b"column"
    label[4:6], cause[4:6] = -1, b"unclear"  # a sequence of unclear alerts alone is no burst sequence
    rule, certificate = calibrate(score, planes, changed(triggers, label=label, cause=cause))
    assert certificate["veto"]["n"] == 299
    assert rule.t_veto == -100
    # What was never labelled true or false widens no limit.
    odd = planes.copy()
    odd[0, 0, 28, 28] = -127
    assert calibrate(score, odd, changed(triggers, label=label, cause=cause))[0].min_trigger == rule.min_trigger


@pytest.mark.parametrize(("cause", "n"), [(b"unclear", 300), (b"", 300), (b"outburst", 299)])
def test_every_true_alert_but_outbursts_is_of_a_burst(cause, n):
    score, planes, triggers = population(300, 100)
    causes = triggers.columns["cause"].copy()
    causes[:2] = cause
    _, certificate = calibrate(score, planes, changed(triggers, cause=causes))
    assert certificate["veto"]["n"] == n
    assert ("not stated" in certificate["population"]["causes"]) == (cause in (b"", b"unclear"))


@pytest.mark.parametrize(
    ("label", "cause", "said"), [(1, b"column", "true, but column"), (0, b"grb", "false, but grb")]
)
def test_labels_that_contradict_their_causes_are_refused(label, cause, said):
    score, planes, triggers = population(3, 3)
    labels, causes = triggers.columns["label"].copy(), triggers.columns["cause"].copy()
    labels[1], causes[1] = label, cause
    with pytest.raises(BadInput, match=f"1 labels contradict their causes, first alert 1: {said}"):
        calibrate(score, planes, changed(triggers, label=labels, cause=causes))


def test_hash_follows_the_content():
    *_, triggers = population(3, 3)
    other = TriggerSet(triggers.snr, triggers.mask, {**triggers.columns, "label": 1 - triggers.label})
    assert data_hash(triggers) == data_hash(triggers.select(np.arange(len(triggers))))
    assert data_hash(triggers) != data_hash(other)


def test_empty_sets_and_odd_levels_are_refused():
    score, planes, triggers = population(3, 3)
    with pytest.raises(BadInput, match="empty"):
        calibrate(score[:0], planes[:0], triggers.select(np.arange(0)))
    with pytest.raises(BadInput, match="labelled true or false"):
        calibrate(score, planes, changed(triggers, label=np.full(len(score), -1, "i1")))
    with pytest.raises(ValueError, match="levels"):
        Levels(veto=0.0)


def test_thresholds_of_many_draws_are_those_of_each():
    rng = np.random.default_rng(3)
    scores = rng.integers(-128, 128, (7, 500))
    found = veto_thresholds(scores, 0.01)
    assert [veto_thresholds(row, 0.01) for row in scores] == found.tolist()
    assert found.tolist() == np.sort(scores, axis=1)[:, order_rank(500, 0.01) - 1].tolist()
    with pytest.raises(ValueError, match="certify nothing"):
        veto_thresholds(scores[:, :298], 0.01)
