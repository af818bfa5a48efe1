import json
from importlib.resources import files

import numpy as np
import pytest
from scipy.special import log_softmax, softmax
from scipy.stats import norm
from sklearn.ensemble import HistGradientBoostingClassifier
from synthetic_alerts import synthetic_alerts

from slewguard.benchmarks.causes import _calibration_error, measure
from slewguard.export.features import FEATURES, features
from slewguard.export.flight import random_model
from slewguard.export.forest import Forest
from slewguard.ground.advice import SENTENCE, advise
from slewguard.ground.causes import GROUPS, MEANING, CauseModel, load_causes, shipped_causes
from slewguard.subimages import BadInput, TriggerSet
from slewguard.subimages.contract import CAUSES
from slewguard.train.causes import fit_causes
from slewguard.train.forest import to_forests

CENTRES = np.array([-1.5, 0.0, 1.5])


def draw(n, seed, share=(1 / 3, 1 / 3, 1 / 3)):
    """Three groups that lie on a line, each alert a sequence of its own."""
    rng = np.random.default_rng(seed)
    group = rng.choice(3, size=n, p=share)
    measured = rng.normal(size=(n, len(FEATURES)))
    measured[:, 4] += CENTRES[group]
    return measured, group, np.arange(n)


def posterior(measured, share):
    likelihood = norm.pdf(measured[:, 4, None] - CENTRES) * np.asarray(share)
    return likelihood / likelihood.sum(axis=1, keepdims=True)


@pytest.fixture(scope="module")
def fitted():
    return fit_causes(*draw(4000, 1), (1.0, 1.0, 1.0))


def test_trees_of_several_classes_give_the_log_odds_of_scikit_learn_to_the_bit():
    measured, group, _ = draw(500, 0)
    fitted = HistGradientBoostingClassifier(max_iter=7, max_leaf_nodes=6, random_state=0).fit(measured, group)
    forests = to_forests(fitted)
    found = np.stack([forest.score(measured) for forest in forests], axis=1)
    assert np.array_equal(found, fitted.decision_function(measured))
    early = list(fitted.staged_decision_function(measured))[2]
    assert np.array_equal(np.stack([f.score(measured) for f in to_forests(fitted, 3)], axis=1), early)


def test_probabilities_come_near_the_true_posterior(fitted):
    measured, group, _ = draw(3000, 2)
    log_odds = np.stack([forest.score(measured) for forest in fitted.forests], axis=1) / fitted.temperature
    exact = posterior(measured, (1, 1, 1))
    found = softmax(log_odds, axis=1)
    assert found.mean(axis=0) == pytest.approx(exact.mean(axis=0), abs=0.03)
    own = np.arange(len(group)), group
    # No model does better than the posterior; one that knows the shares alone has a loss of log 3.
    loss, best = -log_softmax(log_odds, axis=1)[own].mean(), -np.log(exact[own]).mean()
    assert best < loss < best + 0.05


def test_enriched_groups_get_their_natural_share():
    found = fit_causes(*draw(4000, 3, (0.6, 0.2, 0.2)), (0.2, 1.0, 1.0))
    natural = np.array([0.12, 0.2, 0.2])
    measured, _, _ = draw(3000, 4, natural / natural.sum())
    log_odds = np.stack([forest.score(measured) for forest in found.forests], axis=1) / found.temperature
    # Of the set's own shares the first would get 0.37 more.
    assert softmax(log_odds, axis=1).mean(axis=0) == pytest.approx(natural / natural.sum(), abs=0.04)


def test_temperature_and_rounds_have_the_least_loss_on_the_held_out_part(fitted):
    # The likelihoods of a temperature of 1 and of 1.2 times the found one are both worse on average over draws alike.
    measured, group, _ = draw(20000, 5)
    log_odds = np.stack([forest.score(measured) for forest in fitted.forests], axis=1)

    def loss(temperature):
        return -log_softmax(log_odds / temperature, axis=1)[np.arange(len(group)), group].mean()

    assert loss(fitted.temperature) < min(loss(0.7 * fitted.temperature), loss(1.4 * fitted.temperature))


def test_a_group_with_one_sequence_is_refused():
    measured, group, sequence = draw(400, 0)
    sequence[group == 2] = 7
    with pytest.raises(BadInput, match="too few sequences"):
        fit_causes(measured, group, sequence, (1.0, 1.0, 1.0))


def small(fitted):
    groups = {"burst": ("grb", "unknown_source"), "outburst": ("outburst",), "column": ("column", "heat_pipe")}
    return CauseModel(groups, fitted.forests, fitted.temperature, {"simulated": True})


def test_file_gives_the_same_probabilities_back(fitted, tmp_path):
    model = small(fitted)
    (tmp_path / "causes.json").write_text(json.dumps(model.content()))
    again = load_causes(tmp_path / "causes.json")
    alerts = synthetic_alerts(40)
    assert np.array_equal(again.probabilities(alerts), model.probabilities(alerts))
    expected = model.log_odds(features(alerts.snr, alerts.mask, alerts.catalogue_id)) / model.temperature
    assert model.probabilities(alerts) == pytest.approx(softmax(expected, axis=1))
    assert again.group_of(np.array(["heat_pipe", "grb", "unclear", "unknown_source"])).tolist() == [2, 0, -1, 0]


def test_calibration_error_is_the_mean_distance_of_the_bins():
    top = np.array([0.95, 0.95, 0.95, 0.95, 0.55, 0.55])
    right = np.array([True, True, True, False, True, False])
    # 0.95 against 3/4 in one bin, 0.55 against 1/2 in the other.
    assert _calibration_error(top, right, np.ones(6)) == pytest.approx((4 * 0.2 + 2 * 0.05) / 6)
    assert _calibration_error(top, right, np.array([0, 0, 0, 0, 1, 1.0])) == pytest.approx(0.05)


def test_measured_figures_count_every_alert_once(fitted):
    alerts = synthetic_alerts(60)
    cause = alerts.columns["cause"].copy()
    cause[:4] = b"statistical"
    model = small(fitted)
    found = measure(model, TriggerSet(alerts.snr, alerts.mask, {**alerts.columns, "cause": cause}))
    assert (found["alerts"], found["in_no_group"]) == (56, 4)
    assert sum(sum(row.values()) for row in found["confusion"].values()) == 56
    diagonal = sum(row[name] for name, row in found["confusion"].items())
    assert found["accuracy"]["value"] == diagonal / 56
    assert sum(row["right"]["n"] for row in found["reliability"]) == 56
    assert {name: row["called_rightly"]["n"] for name, row in found["per_group"].items()} == {
        "burst": int((cause == b"grb").sum()),
        "column": int((cause == b"column").sum()),
    }


@pytest.mark.parametrize(
    ("damage", "fault"),
    [
        ({"format": "x"}, "another format"),
        ({"features": []}, "other features"),
        ({"groups": {"a": ["grb"], "b": ["grb"], "c": ["saa"]}}, "in two groups"),
        ({"groups": {"a": ["grb"], "b": ["saa"]}}, "not one set of trees"),
        ({"temperature": 0.0}, "temperature"),
        ({"temperature": None}, "temperature"),
        ({"population": []}, "no population"),
        ({"forests": [{}, {}, {}]}, "lacks 'start'"),
    ],
)
def test_damaged_files_are_refused(fitted, tmp_path, damage, fault):
    path = tmp_path / "causes.json"
    path.write_text(json.dumps({**small(fitted).content(), **damage}))
    with pytest.raises(BadInput, match=rf"causes\.json: not a cause model.*{fault}"):
        load_causes(path)


def test_shipped_model_is_small_simulated_and_knows_every_group():
    assert (files("slewguard.ground") / "causes.json").stat().st_size < 300_000
    model = shipped_causes()
    assert model.groups == GROUPS
    assert set(MEANING) == set(GROUPS)
    named = {cause for causes in GROUPS.values() for cause in causes}
    assert set(CAUSES) - named == {"statistical", "unclear"}
    assert model.population["simulated"] is True
    assert all(isinstance(forest, Forest) for forest in model.forests)
    alerts = synthetic_alerts(60)
    probability = model.probabilities(alerts)
    assert probability.sum(axis=1) == pytest.approx(np.ones(60))
    # A line of counts through the trigger is what columns look like.
    column = list(GROUPS).index("column")
    assert probability[alerts.label == 0, column].mean() > probability[alerts.label == 1, column].mean() + 0.3


def test_advice_names_the_cause_and_that_it_is_from_simulated_alerts():
    alerts = synthetic_alerts(6)
    snr = alerts.snr.copy()
    snr[1] = np.inf
    told = advise(TriggerSet(snr, alerts.mask, alerts.columns), [str(i) for i in range(6)], random_model(0))
    broken = told[1]
    assert broken.causes == {}
    assert "probably" not in broken.sentence
    asked = [advice for advice in told if advice.reason == "ok"]
    assert asked
    for advice in asked:
        assert list(advice.causes.values()) == sorted(advice.causes.values(), reverse=True)
        assert sum(advice.causes.values()) == pytest.approx(1, abs=0.005)
        first, share = next(iter(advice.causes.items()))
        assert f"by simulated alerts probably {MEANING[first]} ({100 * share:.0f} %)" in advice.sentence
        assert len(advice.sentence) <= SENTENCE
        assert json.loads(json.dumps(advice.as_dict()))["causes"] == advice.causes
