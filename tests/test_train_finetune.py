import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from synthetic_alerts import synthetic_alerts

from slewguard.export.model import load_model
from slewguard.subimages import BadInput
from slewguard.train.calibrate import Levels, data_hash
from slewguard.train.data import split_by_sequence
from slewguard.train.finetune import JointSource, Tuning, fine_tune, splits_of
from slewguard.train.fit import train

SIMULATED = synthetic_alerts(240)
REAL = replace(synthetic_alerts(60, seed=5), simulated=False)
SHORT = Tuning(epochs=1, qat_epochs=1)
LOOSE = Levels(veto=0.2)  # 14 sequences certify it


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    return train(SIMULATED, tmp_path_factory.mktemp("a") / "run", epochs=1, qat_epochs=1, seed=3, levels=LOOSE)


def told(run):
    return json.loads((run / "provenance.json").read_text()), load_model(run / "model.json").certificate


def test_too_few_labels_are_all_fitted_and_the_certificate_is_of_the_simulated_alerts(start, tmp_path):
    run = fine_tune(REAL, tmp_path / "run", start, simulated=SIMULATED, tuning=SHORT, levels=LOOSE)
    follows, certificate = told(run)
    assert follows["split"]["fitted"]["alerts"] == len(REAL)
    # What the run had held out is held out again, whatever the seed of this one.
    held_out = SIMULATED.select(split_by_sequence(SIMULATED, 0.3, 3)[1])
    assert follows["split"]["held_out"]["alerts"] == len(held_out)
    population = certificate["population"]
    assert population["data_sha256"] == data_hash(held_out)
    assert population["simulated"] is True
    assert data_hash(REAL) in population["fitted_on"]
    assert "not for that one" in population["fitted_on"]
    assert certificate["veto"]["certified"] is True
    assert follows["from"]["provenance"]["seed"] == 3
    assert (run / "float.safetensors").read_bytes() != (start / "float.safetensors").read_bytes()


def test_labels_that_suffice_are_held_out_and_certified(start, tmp_path):
    many = replace(synthetic_alerts(240, seed=6), simulated=False)
    run = fine_tune(many, tmp_path / "run", start, simulated=SIMULATED, tuning=SHORT, levels=LOOSE, seed=1)
    follows, certificate = told(run)
    held_out = many.select(split_by_sequence(many, 0.3, 1)[1])
    assert certificate["population"]["data_sha256"] == data_hash(held_out)
    assert certificate["population"]["simulated"] is False
    assert "fitted_on" not in certificate["population"]
    assert certificate["veto"]["certified"] is True
    assert follows["split"]["fitted"]["alerts"] == len(many) - len(held_out)


def test_without_simulated_alerts_too_few_labels_certify_nothing(start, tmp_path):
    _, certificate = told(fine_tune(REAL, tmp_path / "run", start, tuning=SHORT, levels=LOOSE))
    assert certificate["population"]["simulated"] is False
    assert certificate["veto"]["certified"] is False


def test_a_chain_of_runs_never_holds_out_what_one_of_them_fitted(start, tmp_path):
    first = fine_tune(REAL, tmp_path / "first", start, simulated=SIMULATED, tuning=SHORT, levels=LOOSE, seed=8)
    known = splits_of(told(first)[0])
    assert known == {data_hash(SIMULATED): (0.3, 3), data_hash(REAL): None}
    with pytest.raises(BadInput, match="nothing is left to hold out"):
        fine_tune(REAL, tmp_path / "second", first, tuning=SHORT)
    second = fine_tune(synthetic_alerts(40, seed=7), tmp_path / "second", first, simulated=SIMULATED, tuning=SHORT)
    assert told(second)[1]["population"]["data_sha256"] == told(first)[1]["population"]["data_sha256"]


def test_the_same_command_gives_the_same_bytes(start, tmp_path):
    runs = [fine_tune(REAL, tmp_path / name, start, simulated=SIMULATED, tuning=SHORT) for name in "ab"]
    a, b = ({path.name: path.read_bytes() for path in run.iterdir()} for run in runs)
    assert a == b


class Numbers:
    """Alerts whose planes are their own number."""

    def __init__(self, first, n):
        self.first = first
        self.label = np.arange(first, first + n, dtype=np.float32)
        self.weight = -self.label

    def batch(self, index, rng):
        planes = torch.from_numpy(self.label[index]).view(-1, 1, 1, 1)
        return planes.expand(-1, 3, 56, 56)


def test_joint_source_shows_labels_as_often_as_the_recipe_says():
    few = JointSource(Numbers(0, 5), Numbers(100, 1000), Tuning(share=0.5, repeats=8))
    assert few.repeats == 8
    assert len(few.label) == 5 * 8 + 1000
    assert np.array_equal(np.bincount(few.label.astype(int))[:5], [8] * 5)
    many = JointSource(Numbers(0, 50), Numbers(100, 100), Tuning(share=0.5, repeats=8))
    assert many.repeats == 2
    assert (many.label < 50).mean() == 0.5
    alone = JointSource(Numbers(0, 5), None, Tuning(repeats=3))
    assert len(alone.label) == 15
    index = np.random.default_rng(0).permutation(len(many.label))[:64]
    planes = many.batch(index, None)
    assert np.array_equal(planes[:, 2, 7, 7].numpy(), many.label[index])
    assert np.array_equal(many.weight[index], -many.label[index])


def test_what_is_no_flight_run_is_refused(start, tmp_path):
    with pytest.raises(BadInput, match=r"no float\.safetensors"):
        fine_tune(REAL, tmp_path / "run", tmp_path, simulated=SIMULATED)
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "float.safetensors").write_bytes(b"no tensors")
    with pytest.raises(BadInput, match="not the weights of the flight network"):
        fine_tune(REAL, tmp_path / "run", broken, simulated=SIMULATED)
    (broken / "float.safetensors").write_bytes((start / "float.safetensors").read_bytes())
    (broken / "provenance.json").write_text("{}")
    with pytest.raises(BadInput, match="does not tell what it was trained on"):
        fine_tune(REAL, tmp_path / "run", broken, simulated=SIMULATED)
    assert not (tmp_path / "run").exists()


def test_part_of_the_campaign_that_was_fitted_is_refused(start, tmp_path):
    copy = tmp_path / "copy"
    copy.mkdir()
    (copy / "float.safetensors").write_bytes((start / "float.safetensors").read_bytes())
    past = json.loads((start / "provenance.json").read_text())
    past["data"]["provenance"] = {"config_sha256": "c", "seed": 1}
    (copy / "provenance.json").write_text(json.dumps(past))
    part = replace(SIMULATED.select(np.arange(100)), provenance={"config_sha256": "c", "seed": 1})
    with pytest.raises(BadInput, match="very campaign"):
        fine_tune(REAL, tmp_path / "run", copy, simulated=part, tuning=SHORT)
    assert not (tmp_path / "run").exists()
