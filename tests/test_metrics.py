import json
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest
from sklearn.metrics import roc_auc_score

from slewguard.subimages import COLUMNS, BadInput, Judgement, TriggerSet, Verdict
from slewguard.train.metrics import auc, evaluate, rejection_at_retention, share


def trigger_set(label, cause=None, sequence=None):
    n = len(label)
    mask = np.ones((n, 56, 56), dtype=np.uint8)
    mask[:, 28, 28] = 3
    columns = {"label": label, "cause": cause, "sequence": sequence}
    columns = {k: np.array(v).astype(COLUMNS[k]) for k, v in columns.items() if v is not None}
    return TriggerSet(np.zeros((n, 56, 56), dtype=np.float32), mask, columns)


scored = st.lists(st.tuples(st.integers(-5, 5), st.integers(0, 1)), min_size=2, max_size=60).filter(
    lambda rows: len({label for _, label in rows}) == 2
)


@settings(deadline=None)
@given(scored)
def test_auc_is_that_of_scikit_learn(rows):
    score, label = np.array(rows).T
    assert auc(score, label) == pytest.approx(roc_auc_score(label, score), abs=1e-12)


@settings(deadline=None)
@given(scored, st.sampled_from([0.5, 0.8, 0.95]))
def test_rejection_is_the_best_that_any_cut_gives(rows, retention):
    score, label = np.array(rows).T
    true, false = score[label == 1], score[label == 0]
    found = rejection_at_retention(score, label, retention)
    if len(true) * (1 - retention) < 1 - 1e-9:
        assert found is None
        return
    allowed = [cut for cut in range(-6, 7) if (true < cut).sum() <= len(true) * (1 - retention) + 1e-9]
    assert found == max((false < cut).mean() for cut in allowed)


def test_a_tie_with_the_cut_is_kept():
    score, label = np.array([0] * 20 + [0] * 5), np.array([1] * 20 + [0] * 5)
    assert rejection_at_retention(score, label, 0.95) == 0.0


@settings(deadline=None)  # the first call imports scipy
@given(st.integers(1, 400), st.data())
def test_share_has_the_interval_of_the_exact_test(n, data):
    hits = data.draw(st.integers(0, n))
    found = share(hits, n)
    expected = binomtest(hits, n).proportion_ci(0.95, method="exact")
    assert (found["value"], found["n"]) == (hits / n, n)
    assert found["lo"] == pytest.approx(expected.low, abs=1e-9)
    assert found["hi"] == pytest.approx(expected.high, abs=1e-9)


def test_share_of_sequences_covers_both_whole_numbers():
    found = share(7, 10, trials=3)  # 2.1 of 3
    assert found["value"] == 0.7
    assert found["lo"] == pytest.approx(binomtest(2, 3).proportion_ci(0.95, "exact").low)
    assert found["hi"] == pytest.approx(binomtest(3, 3).proportion_ci(0.95, "exact").high)


def overlapping(rng, n):
    label = np.arange(n) % 2
    return rng.normal(label * 2.0, 1.0), label


def test_copies_of_an_alert_in_its_sequence_bring_no_certainty():
    score, label = overlapping(np.random.default_rng(0), 200)
    once = evaluate(score, trigger_set(label, sequence=np.arange(200)))
    copies = evaluate(np.repeat(score, 5), trigger_set(np.repeat(label, 5), sequence=np.repeat(np.arange(200), 5)))
    assert copies["auc"] == once["auc"]
    assert copies["auc_interval"]["lo"] == once["auc_interval"]["lo"]
    assert copies["accuracy_interval"]["lo"] == once["accuracy_interval"]["lo"]
    assert copies["rejection_at_retention"]["0.95"]["lo"] == once["rejection_at_retention"]["0.95"]["lo"]


def test_bootstrap_interval_covers_the_truth():
    # Two unit normals two sigma apart: the area is Phi(2 / sqrt 2) = 0.92135.
    rng = np.random.default_rng(1)
    inside = 0
    for _ in range(20):
        score, label = overlapping(rng, 300)
        interval = evaluate(score, trigger_set(label))["auc_interval"]
        inside += interval["lo"] <= 0.92135 <= interval["hi"]
    assert inside >= 15  # P(Binomial(20, 0.95) < 15) = 0.0003


def test_too_few_true_alerts_give_no_figure_but_a_reason():
    score, label = overlapping(np.random.default_rng(2), 300)
    found = evaluate(score, trigger_set(label))["rejection_at_retention"]
    assert list(found) == ["0.95", "0.99", "0.998"]
    assert found["0.95"]["value"] is not None
    assert found["0.95"]["n"] == 150
    assert found["0.998"]["value"] is None
    assert found["0.998"]["reason"] == "150 true alerts, 500 allow the first loss"


def test_perfect_rejection_still_has_an_interval():
    label = np.arange(200) % 2
    found = evaluate(label.astype(float), trigger_set(label))["rejection_at_retention"]["0.95"]
    assert found["value"] == 1.0
    assert found["lo"] == pytest.approx(binomtest(100, 100).proportion_ci(0.95, "exact").low)


@pytest.mark.parametrize("seed", [-1, 2**63])
def test_odd_seeds_are_refused(seed):
    with pytest.raises(BadInput, match="seed is"):
        evaluate(np.arange(2), trigger_set([0, 1]), seed=seed)


def test_certified_shares_are_counted_by_hand():
    cause = ["grb"] * 4 + ["unknown_source"] * 2 + ["outburst"] * 2 + ["column"] * 4 + ["unclear"]
    label = [1] * 8 + [0] * 4 + [-1]
    sequence = [1, 1, 2, 2, 3, 3, 4, 5, 6, 6, 7, 8, 9]
    v, c, a = Verdict.VETO, Verdict.CONFIRM, Verdict.ABSTAIN
    verdict = np.array([v, c, c, c, c, a, v, c, v, v, v, a, v], dtype=np.uint8)
    score = np.arange(13, dtype=np.int8)
    judgement = Judgement(score, verdict, np.zeros(13, dtype=np.uint8))
    found = evaluate(score, trigger_set(label, cause, sequence), judgement)
    assert (found["n_true"], found["n_false"], found["n_unclear"]) == (8, 4, 1)
    certified = found["certified"]
    values = {name: (entry["value"], entry["n"]) for name, entry in certified.items()}
    assert values == {
        "retention_bursts": (5 / 6, 6),
        "retention_burst_sequences": (2 / 3, 3),
        "retention_outbursts": (1 / 2, 2),
        "rejection": (3 / 4, 4),
        "abstained_true": (1 / 8, 8),
        "abstained_false": (1 / 4, 4),
    }
    assert found["per_cause"]["column"]["vetoed"]["value"] == 3 / 4
    assert "unclear" not in found["per_cause"]
    json.dumps(found, allow_nan=False)


def test_a_true_alert_without_a_cause_counts_as_a_burst():
    verdict = np.array([Verdict.VETO, Verdict.VETO], dtype=np.uint8)
    score = np.zeros(2, dtype=np.int8)
    found = evaluate(score, trigger_set([1, 0]), Judgement(score, verdict, verdict * 0))
    assert found["certified"]["retention_bursts"]["value"] == 0.0


def test_without_verdicts_nothing_is_certified():
    found = evaluate(np.array([0.5, -0.5]), trigger_set([1, 0], ["grb", "saa"]))
    assert set(found["certified"].values()) == {None}
    assert found["accuracy"] == 1.0


def test_what_cannot_be_judged_is_kept():
    triggers = trigger_set([1, 0, 0])
    snr = triggers.snr.copy()
    snr[1, 0, 0] = np.inf
    found = evaluate(np.array([5, -9, -9]), TriggerSet(snr, triggers.mask, triggers.columns))
    assert found["auc"] == 0.5


def test_unlabelled_sets_are_refused():
    with pytest.raises(BadInput, match="no /label"):
        evaluate(np.zeros(3), TriggerSet(*[a.copy() for a in (trigger_set([1] * 3).snr, trigger_set([1] * 3).mask)]))
    with pytest.raises(BadInput, match="no alert labelled"):
        evaluate(np.zeros(3), trigger_set([-1, -1, -1]))


def test_measuring_and_calibrating_need_no_torch():
    modules = "metrics", "evaluate", "calibrate", "recipes", "data", "backend", "baseline"
    code = "import sys\n" + "".join(f"import slewguard.train.{m}\n" for m in modules)
    code += "sys.exit(any(m in sys.modules for m in ('torch', 'brevitas', 'scipy', 'sklearn')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
