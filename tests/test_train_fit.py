import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from synthetic_alerts import synthetic_alerts

from slewguard.embedded.fast_plan import make_fast
from slewguard.export.execute import NumpyClassifier
from slewguard.export.model import load_model
from slewguard.subimages import BadInput, TriggerSet, read_folder, write_folder
from slewguard.train import fit
from slewguard.train.baseline import load_baseline
from slewguard.train.calibrate import data_hash
from slewguard.train.data import split_by_sequence
from slewguard.train.evaluate import evaluate_run
from slewguard.train.fit import train
from slewguard.train.loop import Phase, Trainer, one_cycle

ALERTS = synthetic_alerts(240)
TEST = synthetic_alerts(120, seed=9)
SHORT = {"epochs": 2, "qat_epochs": 2, "seed": 3}


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def flight(tmp_path_factory):
    told = []
    return train(ALERTS, tmp_path_factory.mktemp("a") / "run", progress=told.append, **SHORT), told


@pytest.fixture(scope="module")
def handmade(tmp_path_factory):
    return train(ALERTS, tmp_path_factory.mktemp("b") / "run", recipe="handmade", epochs=2)


def content(run):
    return {path.name: path.read_bytes() for path in run.iterdir()}


def test_run_folder_holds_what_the_design_names(flight):
    run, told = flight
    assert {"model.json", "float.safetensors", "metrics.json", "provenance.json", "training.png"} == set(content(run))
    assert [(p.phase, p.epoch) for p in told] == [("float", 1), ("float", 2), ("qat", 1), ("qat", 2)]
    metrics = json.loads((run / "metrics.json").read_text())
    assert [row["loss"] for row in metrics["history"]] == [p.loss for p in told]
    assert metrics["parameters"] == 3689
    split = json.loads((run / "provenance.json").read_text())["split"]
    assert split["fitted"]["alerts"] + split["held_out"]["alerts"] == len(ALERTS)
    assert not list(run.parent.glob("*.checkpoint"))


def test_it_learns(tmp_path):
    told = []
    run = train(synthetic_alerts(600), tmp_path / "run", progress=told.append, epochs=6)
    assert told[-1].loss < 0.5 * told[0].loss
    found = evaluate_run(run, TEST)
    assert found["auc"] > 0.99
    assert found["model"]["sha256"] == load_model(run / "model.json").sha256
    # 90 burst sequences certify nothing at 1 %, so nothing may be vetoed.
    assert found["model"]["certificate"]["veto"]["certified"] is False
    assert found["certified"]["rejection"]["value"] == 0.0


def test_figures_of_the_run_are_those_of_the_file(flight):
    run, _ = flight
    classifier = NumpyClassifier(load_model(run / "model.json"))
    metrics = json.loads((run / "metrics.json").read_text())["quantised"]
    held_out = ALERTS.select(split_by_sequence(ALERTS, 0.3, SHORT["seed"])[1])
    judged = classifier.judge(held_out)
    verdict = np.bincount(judged.verdict, minlength=3)
    assert metrics["n_true"] + metrics["n_false"] == len(held_out) == verdict.sum()
    assert metrics["certified"]["abstained_true"]["value"] == (judged.verdict[held_out.label == 1] == 0).mean()


def test_same_seed_gives_the_same_bytes(flight, tmp_path):
    assert content(train(ALERTS, tmp_path / "run", **SHORT)) == content(flight[0])


@pytest.mark.parametrize("stop", [("float", 1), ("float", 2), ("qat", 1)])
def test_an_interrupted_run_resumes_to_the_same_bytes(flight, tmp_path, stop):
    class PowerCut(Exception):
        pass

    def interrupt(progress):
        if (progress.phase, progress.epoch) == stop:
            raise PowerCut

    with pytest.raises(PowerCut):
        train(ALERTS, tmp_path / "run", progress=interrupt, **SHORT)
    assert [path.name for path in tmp_path.iterdir()] == ["run.checkpoint"]
    told = []
    run = train(ALERTS, tmp_path / "run", progress=told.append, resume=True, **SHORT)
    assert len(told) == 4 - [("float", 1), ("float", 2), ("qat", 1)].index(stop) - 1
    assert content(run) == content(flight[0])


def test_a_checkpoint_of_another_run_is_refused(tmp_path):
    (tmp_path / "run.checkpoint").write_bytes(b"no checkpoint")
    with pytest.raises(BadInput, match=r"run\.checkpoint: not a checkpoint"):
        train(ALERTS, tmp_path / "run", resume=True, **SHORT)

    def interrupt(_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(ALERTS, tmp_path / "run", progress=interrupt, **SHORT)
    with pytest.raises(BadInput, match="of another run"):
        train(TEST, tmp_path / "run", resume=True, **SHORT)


def test_handmade_run_is_evaluated_like_any_other(handmade):
    assert {"baseline.json", "weights.safetensors", "metrics.json", "provenance.json", "training.png"} == set(
        content(handmade)
    )
    scores = load_baseline(handmade).scores(TEST)
    assert scores.dtype == np.float32
    found = evaluate_run(handmade, TEST)
    assert found["model"]["name"] == "handmade"
    assert set(found["certified"].values()) == {None}
    assert found["auc"] > 0.9


def test_a_broken_sub_image_gets_a_score_all_the_same(handmade):
    snr = TEST.snr.copy()
    snr[0] = np.inf
    scores = load_baseline(handmade).scores(TriggerSet(snr, TEST.mask, TEST.columns))
    assert scores[0] == 0
    assert np.isfinite(scores).all()


def test_damaged_baselines_are_refused(handmade, tmp_path):
    for name, data in content(handmade).items():
        (tmp_path / name).write_bytes(data)
    damaged = bytearray((tmp_path / "weights.safetensors").read_bytes())
    damaged[-1] ^= 1
    (tmp_path / "weights.safetensors").write_bytes(damaged)
    with pytest.raises(BadInput, match=r"weights\.safetensors: content does not have the SHA-256"):
        load_baseline(tmp_path)
    (tmp_path / "baseline.json").write_text("{")
    with pytest.raises(BadInput, match=r"baseline\.json: not valid JSON"):
        evaluate_run(tmp_path, TEST)


def test_other_alerts_may_set_the_thresholds_and_are_then_named(flight, tmp_path):
    others = synthetic_alerts(900, seed=9, per_sequence=2)
    train(ALERTS, tmp_path / "run", calibration=others, **SHORT)
    found = json.loads((tmp_path / "run" / "provenance.json").read_text())
    model = load_model(tmp_path / "run" / "model.json")
    assert model.certificate["population"]["data_sha256"] == found["calibration"]["sha256"] == data_hash(others)
    assert "set no threshold" in json.loads((tmp_path / "run" / "metrics.json").read_text())["measured_on"]
    # The network is the same, whatever sets its thresholds.
    assert [layer.weights.tobytes() for layer in model.layers] == [
        layer.weights.tobytes() for layer in load_model(flight[0] / "model.json").layers
    ]
    with pytest.raises(BadInput, match="among those that are fitted"):
        train(ALERTS, tmp_path / "other", calibration=ALERTS)


def test_what_cannot_be_trained_on_is_refused(tmp_path):
    unlabelled = TriggerSet(ALERTS.snr, ALERTS.mask)
    with pytest.raises(BadInput, match="no /label"):
        train(unlabelled, tmp_path / "run")
    with pytest.raises(BadInput, match="both kinds"):
        train(ALERTS.select(ALERTS.label == 1), tmp_path / "run")
    with pytest.raises(BadInput, match="unknown recipe"):
        train(ALERTS, tmp_path / "run", recipe="resnet")
    with pytest.raises(BadInput, match=r"no model\.json"):
        evaluate_run(tmp_path, TEST)
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "letter").write_text("dear")
    with pytest.raises(BadInput, match="not empty"):
        train(ALERTS, tmp_path / "home")
    with pytest.raises(BadInput, match="seed is -1"):
        train(ALERTS, tmp_path / "run", seed=-1)
    with pytest.raises(BadInput, match="contradict"):
        train(TriggerSet(ALERTS.snr, ALERTS.mask, {**ALERTS.columns, "label": 1 - ALERTS.label}), tmp_path / "run")
    with pytest.raises(BadInput, match="root of all folders"):
        train(ALERTS, "/")
    assert [path.name for path in tmp_path.iterdir()] == ["home"]


def test_only_a_run_folder_is_replaced(flight, tmp_path, monkeypatch):
    for name, data in content(flight[0]).items():
        (tmp_path / name).write_bytes(data)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notes").write_text("mine")
    with pytest.raises(BadInput, match="holds 'notes'"):
        train(ALERTS, ".", recipe="handmade", epochs=1)
    (tmp_path / "notes").unlink()
    write_folder(tmp_path / "alerts", TEST.select(np.arange(4)))
    with pytest.raises(BadInput, match="not empty"):
        train(ALERTS, "alerts")
    assert len(read_folder("alerts")) == 4
    shutil.rmtree("alerts")
    train(ALERTS.select(np.arange(60)), ".", recipe="handmade", epochs=1)
    assert "baseline.json" in content(tmp_path)
    assert not (tmp_path.parent / f"{tmp_path.name}.checkpoint").exists()


def test_unclear_alerts_of_held_out_events_set_the_thresholds_too(tmp_path):
    label, cause = ALERTS.columns["label"].copy(), ALERTS.columns["cause"].copy()
    label[::2], cause[::2] = -1, b"unclear"
    some = TriggerSet(ALERTS.snr, ALERTS.mask, {**ALERTS.columns, "label": label, "cause": cause})
    run = train(some, tmp_path / "run", epochs=1, qat_epochs=1)
    split = json.loads((run / "provenance.json").read_text())["split"]["held_out"]
    population = load_model(run / "model.json").certificate["population"]
    assert population["alerts"] == 2 * split["alerts"] == 2 * split["sequences"]


def test_the_loss_of_a_true_alert_counts_more_than_in_proportion():
    class Fixed:
        label, weight = np.array([1, 1, 0, 0], np.float32), np.ones(4, np.float32)

        def batch(self, index, rng):
            return torch.tensor([-2.0, 1.0, 2.0, -1.0])[index][:, None]

    net = torch.nn.Linear(1, 1)
    torch.nn.init.ones_(net.weight)
    torch.nn.init.zeros_(net.bias)
    flat = torch.nn.Sequential(net, torch.nn.Flatten(0))
    (told,) = Trainer(flat, Phase("float", 0, 1, 4, 0.0, 0.0, tail=0.5), 0).epochs(0, Fixed(), Fixed(), lambda: None, 0)
    right, wrong = np.log1p(np.exp(-1)), np.log1p(np.exp(2))
    expected = (wrong * (1 + wrong / 2) + right * (1 + right / 2) + wrong + right) / 4
    assert told.loss == pytest.approx(expected, rel=1e-6)


def test_one_cycle_rises_once_and_falls_to_nothing():
    rates = np.array([one_cycle(step, 100, 2.0) for step in range(100)])
    assert rates[0] == pytest.approx(2.0 / 25)
    assert rates.max() == pytest.approx(2.0)
    assert (np.diff(np.sign(np.diff(rates))) != 0).sum() == 1
    assert rates[-1] < 0.01


def test_a_recipe_can_keep_every_channel_in_its_lane(tmp_path, monkeypatch):
    lane = replace(fit.recipe_named("flight"), in_lane=True)
    monkeypatch.setattr(fit, "recipe_named", lambda name: lane)
    run = train(ALERTS, tmp_path / "run", **SHORT)
    assert json.loads((run / "provenance.json").read_text())["recipe"]["in_lane"] is True
    stages = make_fast(load_model(run / "model.json")).stages
    assert all(channel.whole for stage in stages for channel in stage.channels)
