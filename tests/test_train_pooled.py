"""Figures pooled over splits, and paired differences of two classifiers."""

import numpy as np
import pytest

from slewguard.train.metrics import rejection_at_retention
from slewguard.train.pooled import FIGURES, Pool, Scored, differences, pooled


def splits(shift=0.0, seed=0, n=3, size=200):
    """Test alerts of a few splits; ``shift`` moves the true alerts of an else equal classifier."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(n):
        label = rng.random(size) < 0.6
        score = rng.normal(label * 1.5, 1) - 0.75
        sequence = rng.permutation(1000)[:size] * 2 + label
        found.append(Scored(score + shift * label, label, sequence, np.where(label, "grb", "column")))
    return found


def test_rejection_is_read_at_one_cut_on_all_splits():
    parts = splits()
    score, label = (np.concatenate([getattr(s, name) for s in parts]) for name in ("score", "label"))
    found = pooled(parts)["rejection_at_retention"]
    for at in ("0.95", "0.99"):
        assert found[at]["value"] == rejection_at_retention(score, label, float(at))
        assert found[at]["lo"] <= found[at]["value"] <= found[at]["hi"]
        assert found[at]["n"] == (~label).sum()
    # Scores that wander from training to training count against a classifier; its areas within a split do not care.
    wandering = [Scored(s.score + 3 * i, s.label, s.sequence, s.cause) for i, s in enumerate(parts)]
    assert pooled(wandering)["rejection_at_retention"]["0.95"]["value"] < found["0.95"]["value"]


def test_the_cut_loses_what_is_allowed():
    pool = Pool(splits())
    true = pool.score[pool.label]
    assert (true < pool.cut("0.95")).sum() == int(0.05 * len(true))
    assert Pool([splits()[0].select(np.arange(200) < 50)]).cut("0.99") is None


def test_a_classifier_differs_from_itself_by_nothing_and_no_one_is_better():
    pool = Pool(splits())
    draws = pool.draws(3)
    found = differences(pool, draws, Pool(splits()), Pool(splits()).draws(3))
    assert found["rejection_at_0.998"]["value"] is None  # 360 true alerts allow no loss
    for name in FIGURES[:-1]:
        assert (found[name]["value"], found[name]["lo"], found[name]["hi"]) == (0.0, 0.0, 0.0)
        assert found[name]["better"] is None
    assert found["auc"]["n"] == 600


def test_who_is_better_is_told_where_the_interval_excludes_nothing():
    weak, strong = Pool(splits()), Pool(splits(shift=1.0))
    a, b = weak.draws(0), strong.draws(0)
    ahead, behind = differences(strong, b, weak, a), differences(weak, a, strong, b)
    assert (ahead["auc"]["better"], behind["auc"]["better"]) == ("ours", "other")
    assert ahead["auc"]["lo"] == -behind["auc"]["hi"]
    assert ahead["auc"]["lo"] > 0
    # Drawn in pairs, the interval of the difference is narrower than those of the two would make it.
    apart = np.hypot(np.ptp(np.quantile(a["auc"], [0.025, 0.975])), np.ptp(np.quantile(b["auc"], [0.025, 0.975])))
    assert ahead["auc"]["hi"] - ahead["auc"]["lo"] < 0.9 * apart


def test_only_the_same_alerts_are_compared():
    one, other = Pool(splits()), Pool(splits(seed=1))
    with pytest.raises(ValueError, match="not tested on the same"):
        differences(one, one.draws(0), other, other.draws(0))


def test_one_class_alone_has_accuracy_and_no_area():
    bursts = [s.select(s.label) for s in splits()]
    found = pooled(bursts)
    assert found["accuracy"]["value"] is not None
    assert found["auc"]["value"] is None
    assert found["rejection_at_retention"]["0.95"]["value"] is None
