"""Evaluation by stratum, reliability, paired comparison and pictures."""

import json
import sys

import numpy as np
import pytest
import torch
from safetensors.torch import save
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss
from synthetic_alerts import synthetic_alerts

from slewguard.benchmarks.quantised import verdict
from slewguard.cli.main import main
from slewguard.export.flight import FLIGHT, random_model
from slewguard.export.planes import PlaneRule
from slewguard.subimages import COLUMNS, BadInput, Judgement, TriggerSet, Verdict
from slewguard.subimages.hdf5 import write_triggers_hdf5
from slewguard.train.evaluate import compare_runs, evaluate_run
from slewguard.train.loop import named_tensors, predict
from slewguard.train.metrics import measured
from slewguard.train.nets import FlightNet
from slewguard.train.opened import open_classifier
from slewguard.train.pictures import INDEX, worst, write_pictures
from slewguard.train.reliability import Mapping, fit_mapping, reliability
from slewguard.train.sources import FlightSource
from slewguard.train.strata import by_stratum, nearest_source, quantities, study_strata

ALERTS = synthetic_alerts(120)


def with_columns(triggers, **columns):
    columns = {name: np.asarray(values).astype(COLUMNS[name]) for name, values in columns.items()}
    return TriggerSet(triggers.snr, triggers.mask, {**triggers.columns, **columns}, simulated=True)


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    """A run with random weights: figures are bad, and that is no matter here."""
    folder = tmp_path_factory.mktemp("run")
    random_model(5).save(folder / "model.json")
    torch.manual_seed(0)
    net = FlightNet()
    (folder / "float.safetensors").write_bytes(save({n: t.detach().contiguous() for n, t in named_tensors(net)}))
    return folder


def test_strata_part_the_alerts_by_what_they_are_like():
    sky_y, sky_z = np.full(120, 99.0), 99.0 + np.arange(120) % 5 * 20
    triggers = with_columns(ALERTS, sky_y=sky_y, sky_z=sky_z, trigger=np.where(np.arange(120) % 3, b"IMT", b"CRT"))
    label = triggers.label
    verdicts = np.where(np.arange(120) % 4 == 0, Verdict.VETO, Verdict.CONFIRM).astype(np.uint8)
    score = np.arange(120)
    found = measured(score, triggers, Judgement(score.astype(np.int8), verdicts, verdicts * 0))
    strata = by_stratum(found, triggers)
    assert set(strata) == {"snr", "off_axis_deg", "coverage", "source_distance_px", "trigger"}
    for name, parts in strata.items():
        assert sum(part["n"] for part in parts) == 120, name
    # One sky pixel is 4.5 mm over 460 mm: 80 of them are 38.05 degrees, as 33.6 arcmin a pixel on the axis say.
    angle = quantities(triggers)["off_axis_deg"]
    assert angle[1] == pytest.approx(np.degrees(np.arctan(20 * 4.5 / 460)), rel=1e-6)
    ten = next(part for part in strata["off_axis_deg"] if part["stratum"] == "10 to 20")
    group = (angle >= 10) & (angle < 20)
    assert ten["rejection"]["value"] == (verdicts[group & (label == 0)] == Verdict.VETO).mean()
    assert ten["retention_bursts"]["n"] == (group & (label == 1)).sum()
    crt = next(part for part in strata["trigger"] if part["stratum"] == "CRT")
    assert crt["n"] == 40


def test_what_a_set_does_not_tell_makes_no_stratum():
    strata = by_stratum(measured(np.arange(120), ALERTS), ALERTS)
    assert strata["off_axis_deg"] is None
    assert strata["trigger"] is None
    assert strata["snr"][0]["retention_bursts"] is None
    assert strata["coverage"][-1]["bursts_kept_at_0.99"] is None  # 60 true alerts allow no loss


def test_distance_is_to_the_nearest_mark_or_to_the_trigger_itself():
    marked = (ALERTS.mask == 2).any(axis=(1, 2))
    far = nearest_source(ALERTS)
    named = ALERTS.catalogue_id >= 0
    assert np.isinf(far[~marked & ~named]).all()
    alone = np.flatnonzero(marked & ~named)
    for i in alone[:10]:
        (row, column), *_ = np.argwhere(ALERTS.mask[i] == 2)
        assert far[i] == pytest.approx(np.hypot(row - 28, column - 28))
    strata = study_strata(ALERTS)
    assert np.array_equal(strata["source_in_view"], np.isfinite(far))
    assert np.array_equal(strata["partial"], np.isnan(ALERTS.snr[:, 1:, 1:]).any(axis=(1, 2)))


def test_mapping_is_that_of_scikit_learn():
    rng = np.random.default_rng(0)
    label = np.arange(4000) % 2
    score = rng.normal(20.0 * label, 15.0)
    found = fit_mapping(score, label, "here")
    expected = LogisticRegression(C=np.inf).fit(score[:, None], label)
    # Platt's targets differ from 0 and 1 by 1 in 2,000.
    assert found.slope == pytest.approx(expected.coef_[0, 0], rel=0.01)
    assert found.offset == pytest.approx(expected.intercept_[0], rel=0.01)
    apart = fit_mapping(np.array([-5.0, -4.0, 4.0, 5.0]), np.array([0, 0, 1, 1]), "apart")
    assert np.isfinite([apart.slope, apart.offset]).all()
    with pytest.raises(BadInput, match="both kinds"):
        fit_mapping(score[:3], np.ones(3), "one class")


def test_brier_is_that_of_scikit_learn_and_the_curve_of_a_true_mapping_is_straight():
    rng = np.random.default_rng(1)
    probability = rng.random(5000)
    label = (rng.random(5000) < probability).astype(int)
    found = reliability(probability, label, np.arange(5000), Mapping(1.0, 0.0, "given"))
    assert found["brier"]["value"] == pytest.approx(brier_score_loss(label, probability))
    assert found["brier"]["lo"] < 1 / 6 < found["brier"]["hi"]  # the mean of p (1 - p)
    assert len(found["bins"]) == 10
    inside = [one["true"]["lo"] <= one["mean_probability"] <= one["true"]["hi"] for one in found["bins"]]
    assert sum(inside) >= 8  # P(Binomial(10, 0.95) < 8) = 0.012
    assert sum(one["true"]["n"] for one in found["bins"]) == 5000


def test_probabilities_are_never_fitted_on_what_is_judged(run_folder):
    with pytest.raises(BadInput, match="must not be fitted"):
        evaluate_run(run_folder, ALERTS, calibration=ALERTS)
    other = synthetic_alerts(80, seed=4)
    fitted = evaluate_run(run_folder, ALERTS, calibration=other)["reliability"]
    assert fitted["mapping"]["source"].startswith("fitted on 80 calibration alerts")
    plain = evaluate_run(run_folder, ALERTS)["reliability"]
    assert plain["mapping"]["source"].startswith("as trained")
    json.dumps([plain, fitted], allow_nan=False)


def test_float_checkpoint_of_a_run_is_opened(run_folder, tmp_path):
    opened = open_classifier(run_folder / "float.safetensors")
    score, judgement = opened.judge(ALERTS)
    assert score.dtype == np.float32
    assert score.shape == (120,)
    assert judgement is None
    torch.manual_seed(0)
    net = FlightNet().to(memory_format=torch.channels_last)
    assert np.array_equal(score, predict(net, FlightSource(ALERTS, PlaneRule(), 0.0)))
    random_model(5, FLIGHT).save(tmp_path / "model.json")
    (tmp_path / "float.safetensors").write_bytes(b"nothing")
    with pytest.raises(BadInput, match="not the float checkpoint"):
        open_classifier(tmp_path / "float.safetensors")


def test_a_model_compared_with_itself_differs_by_nothing(run_folder):
    found = compare_runs(run_folder, run_folder, ALERTS)
    assert found["differences"]["auc"]["value"] == 0.0
    assert found["differences"]["auc"]["better"] is None
    assert found["at_thresholds"]["verdicts_that_differ"]["value"] == 0.0
    assert found["at_thresholds"]["rejection"]["hi"] == 0.0
    beside = compare_runs(run_folder, run_folder / "float.safetensors", ALERTS)
    assert beside["at_thresholds"] is None
    assert beside["differences"]["auc"]["value"] != 0.0
    assert (beside["n_true"], beside["n_false"], beside["sequences"]) == (60, 60, 60)
    json.dumps([found, beside], allow_nan=False)


def test_an_allowance_is_kept_broken_or_open():
    def interval(lo, hi):
        return {"value": (lo + hi) / 2, "lo": lo, "hi": hi}

    assert verdict(interval(-0.001, 0.001), 0.002) == "kept"
    assert verdict(interval(-0.004, -0.003), 0.002) == "broken"
    assert verdict(interval(-0.004, 0.001), 0.002) == "open"
    assert verdict({"value": None, "lo": None, "hi": None}, 0.002) == "open"


def test_evaluate_shows_strata_and_another_model_and_draws_mistakes(run_folder, tmp_path, monkeypatch, capsys):
    write_triggers_hdf5(tmp_path / "alerts.h5", ALERTS.select(np.arange(24)))
    write_triggers_hdf5(tmp_path / "other.h5", synthetic_alerts(80, seed=4))

    def call(*words):
        monkeypatch.setattr(sys, "argv", ["slewguard", "evaluate", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            main()
        return ended.value.code, *capsys.readouterr()

    words = [run_folder, tmp_path / "alerts.h5", "--compare", run_folder / "float.safetensors"]
    words += ["--probabilities", tmp_path / "other.h5", "--mistakes", tmp_path / "pictures", "--json", "-"]
    code, out, err = call(*words)
    assert code == 0
    figures = json.loads(out)
    assert figures["comparison"]["other"]["name"].endswith("in floating point")
    assert figures["reliability"]["mapping"]["source"].startswith("fitted on 80")
    assert sum(one["n"] for one in figures["strata"]["snr"]) == 24
    assert "At its thresholds" in err
    assert "paired over 12 sequences" in " ".join(err.split())
    assert (tmp_path / "pictures" / "roc.png").is_file()
    code, out, err = call(run_folder, tmp_path / "alerts.h5", "--compare", tmp_path / "nothing")
    assert (code, out) == (2, "")
    assert "nothing" in err
    code, _, err = call(run_folder, tmp_path / "alerts.h5", "--probabilities", tmp_path / "alerts.h5")
    assert code == 2
    assert "must not be fitted on the alerts that are judged" in err


def test_worst_mistakes_are_the_farthest_on_the_wrong_side_one_a_sequence():
    label = np.array([1, 1, 1, 1, 0, 0, 0])
    triggers = with_columns(
        synthetic_alerts(7),
        label=label,
        cause=[b"grb"] * 3 + [b"outburst"] + [b"column"] * 3,
        sequence=[1, 1, 2, 3, 4, 5, 6],
    )
    score = np.array([-3.0, -9.0, -5.0, -1.0, 2.0, 7.0, -2.0])
    found = measured(score, triggers)
    assert worst(found, score, "burst").tolist() == [1, 2]
    assert worst(found, score, "outburst").tolist() == [3]
    assert worst(found, score, "false").tolist() == [5, 4]


def test_pictures_are_written_whole_and_only_over_our_own(tmp_path):
    score = np.where(ALERTS.label == 1, 1.0, -1.0)
    score[ALERTS.label == 1] *= np.where(np.arange(60) < 2, -1, 1)
    folder = tmp_path / "pictures"
    for _ in range(2):
        write_pictures(folder, score, ALERTS, None, "test")
    listed = json.loads((folder / INDEX).read_text())["mistakes"]
    assert [row["file"] for row in listed] == ["burst_01.png"]  # both alerts are of one sequence
    assert {path.name for path in folder.iterdir()} == {INDEX, "roc.png", "confusion.png", "burst_01.png"}
    (folder / "mine.txt").write_text("keep")
    with pytest.raises(BadInput, match=r"mine\.txt"):
        write_pictures(folder, score, ALERTS, None, "test")
