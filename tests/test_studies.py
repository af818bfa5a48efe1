"""The commands that measure: studies over splits, the certificate."""

import json

import numpy as np
import pytest
import torch
from scipy.stats import beta
from synthetic_alerts import synthetic_alerts

from slewguard.benchmarks import certificate, studies
from slewguard.benchmarks.study_hardest import KINDS, hardest, wrong_side
from slewguard.benchmarks.study_tables import render, write_plot
from slewguard.export.execute import run
from slewguard.export.flight import random_model
from slewguard.export.planes import make_planes
from slewguard.subimages import COLUMNS, TriggerSet
from slewguard.subimages.hdf5 import write_triggers_hdf5
from slewguard.train.calibrate import calibrate
from slewguard.train.cells import count_macs, fit_cell
from slewguard.train.metrics import auc, evaluate
from slewguard.train.nets import HandmadeNet
from slewguard.train.pooled import Scored


@pytest.fixture(scope="module")
def alerts():
    triggers = synthetic_alerts(400, seed=2)
    kind = np.where(np.arange(400) % 3, b"IMT", b"CRT").astype(COLUMNS["trigger"])
    cause = np.where(triggers.label == 1, np.where(triggers.sequence % 4 == 1, b"outburst", b"grb"), b"column")
    columns = {**triggers.columns, "trigger": kind, "cause": cause.astype(COLUMNS["cause"])}
    return TriggerSet(triggers.snr, triggers.mask, columns, simulated=True)


@pytest.fixture(scope="module")
def file(alerts, tmp_path_factory):
    path = tmp_path_factory.mktemp("alerts") / "alerts.h5"
    write_triggers_hdf5(path, alerts)
    return path


@pytest.mark.parametrize("study", studies.STUDIES)
def test_every_alert_is_tested_once_in_five_folds_and_no_sequence_is_parted(alerts, study):
    splits = list(studies.study_splits(alerts, study, 10, seed=3))
    assert len(splits) == 10
    for train, test in splits:
        assert not np.isin(alerts.sequence[train], alerts.sequence[test]).any()
    first, second = (np.sort(np.concatenate([test for _, test in part])) for part in (splits[:5], splits[5:]))
    assert len(np.unique(first)) == len(first) == (400 if study == "all" else studies.SUBSET)
    if study == "subset":
        assert not np.isnan(alerts.snr[first][:, 1:, 1:]).any()
        assert not np.array_equal(first, second)
    assert any(not np.array_equal(a[1], b[1]) for a, b in zip(splits[:5], splits[5:], strict=True))


def test_studies_go_on_where_they_stopped_and_give_the_same(alerts, file, tmp_path, capsys):
    tasks = list(studies.all_tasks(alerts, ("rule", "logistic"), 2, False, None, 0))
    data = "a hash"
    half = studies.train(file, data, tasks[:3], tmp_path / "cells", 1)
    whole = studies.train(file, data, tasks, tmp_path / "cells", 1)
    assert "3 cells kept, 5 to train" in capsys.readouterr().out
    assert {name: whole[name] for name in half} == half
    # Other settings make other cells.
    assert studies.kept(tmp_path / "cells" / tasks[0].file, {**tasks[0].settings(data), "seed": 9}) is None
    result = studies.measure(alerts, tasks, whole, 0)
    rows = {row["classifier"]: row for row in result["studies"]["all"]["rows"]}
    assert set(rows) == {"rule", "logistic"}
    assert rows["rule"]["parameters"] == 3
    # One split alone gives the figures that evaluation gives.
    score, test = np.array(whole[tasks[0].file]["scores"]["rule"]), tasks[0].test
    alone = evaluate(score, alerts.select(test))
    one = studies.measure(alerts, [t for t in tasks if t.split == 0], whole, 0)["studies"]["all"]["rows"][0]
    assert one["auc"]["value"] == pytest.approx(alone["auc"])
    assert one["accuracy"]["value"] == alone["accuracy"]
    assert one["rejection_at_retention"]["0.95"]["value"] == alone["rejection_at_retention"]["0.95"]["value"]
    strata = rows["rule"]["strata"]
    for a, b in (("CRT", "IMT"), ("partial", "whole"), ("source_in_view", "no_source_in_view")):
        counts = [strata[name]["n_true"] + strata[name]["n_false"] for name in (a, b)]
        assert sum(counts) == rows["rule"]["n_true"] + rows["rule"]["n_false"]
    assert strata["outburst"]["n_true"] + strata["burst"]["n_true"] == rows["rule"]["n_true"]
    json.dumps(result, allow_nan=False)
    assert "boosted" not in render(result)
    write_plot(result, tmp_path / "plot.png")
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")


def test_flight_cell_scores_in_integers_and_in_floating_point():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    cell = fit_cell("flight", synthetic_alerts(96), synthetic_alerts(40, seed=8), 1, epochs=2)
    torch.set_num_threads(threads)
    integers, real = (np.array(cell["scores"][name]) for name in ("flight", "flight-float"))
    # Integers are whole numbers of steps, at most 128 of them; real numbers have no step so coarse.
    for score, few in ((integers, True), (real, False)):
        step = np.gcd.reduce((score * 2.0**40).astype(np.int64)) / 2.0**40
        assert (np.abs(score).max() <= 128 * step) == few
    assert len(integers) == len(real) == 40
    assert cell["cost"]["parameters"] == 3689


def test_macs_of_the_talks_network_are_counted_by_hand():
    by_hand = 56 * 56 * 32 * 2 * 9 + 28 * 28 * 64 * 32 * 9 + 64 * 14 * 14 * 128 + 128
    assert count_macs(HandmadeNet(), torch.zeros(1, 2, 56, 56)) == by_hand


def test_certificate_rows_of_a_uniform_population_agree_with_the_exact_ones():
    found = certificate.rows("uniform", lambda rng, shape: rng.random(shape), lambda t: t, 400, 1)
    assert [(row["n"], row["rank"]) for row in found] == [(299, 1), (473, 2), (1000, 5)]
    for row in found:
        exact = row["above_in_population"]["exact"]
        assert exact == pytest.approx(beta.sf(0.01, row["rank"], row["n"] - row["rank"] + 1))
        assert exact <= 0.05
        assert abs(row["above_in_population"]["value"] - exact) < 4 * np.sqrt(exact / 400)
        assert row["mean_share"] == pytest.approx(row["exact_mean_share"], rel=0.2)


def test_ties_break_the_promise_less_often():
    coarse = np.repeat(np.arange(-20, 20), 50)
    found = certificate.empirical_rows(coarse, 400, 0)
    fine = certificate.empirical_rows(np.arange(2000), 400, 0)
    assert all(a["mean_share"] < b["mean_share"] for a, b in zip(found, fine, strict=True))


def test_population_of_a_model_is_what_its_thresholds_are_set_on():
    triggers, model = synthetic_alerts(700, seed=5), random_model(5)
    planes = make_planes(triggers.snr, triggers.mask, triggers.catalogue_id, model.planes)
    rule, stated = calibrate(run(model, planes), planes, triggers)
    # No burst sequence but those that the thresholds' own limits let be judged differs.
    scores = certificate.population(model.with_verdict(rule, stated), triggers)
    assert len(scores) == stated["veto"]["n"]
    assert not stated["veto"]["certified"] or np.sort(scores)[stated["veto"]["rank"] - 1] == rule.t_veto


def test_the_mean_share_on_the_wrong_side_is_what_the_area_lacks():
    rng = np.random.default_rng(0)
    label = rng.random(60) < 0.4
    score = rng.integers(-3, 4, 60) + 2.0 * label  # with ties
    found = wrong_side(score, label)
    for kind in (label, ~label):
        assert found[kind].mean() == pytest.approx(1 - auc(score, label))


def test_alerts_that_all_kinds_take_for_the_other_class_are_found(alerts):
    rng = np.random.default_rng(1)
    label = alerts.label == 1
    turned, half = np.flatnonzero(~label)[:3], np.arange(0, 400, 2)
    tested = {}
    for name in KINDS:
        score = np.where(label, 3.0, -3.0) + rng.normal(size=400)
        score[turned] = 3.0
        if name == "trees":
            score[np.flatnonzero(label)[0]] = -3.0  # one kind alone errs
        parts = [half, np.setdiff1d(np.arange(400), half)]
        one = [(i, Scored(score[i], label[i], alerts.sequence[i], alerts.cause[i])) for i in parts]
        tested[name] = one
    found = hardest(alerts, tested)
    assert found["alerts"] == turned.tolist()
    assert found["true"] == 0
    assert found["causes"] == {"column": 3}
    assert all(area["without"] > area["auc"] for area in found["areas"].values())
