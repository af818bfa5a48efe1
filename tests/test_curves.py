import json
import sys

import numpy as np
import pytest
import torch
from synthetic_alerts import synthetic_alerts

from slewguard.benchmarks import learning_curve, size_curve
from slewguard.benchmarks.paired import compare
from slewguard.embedded.fast_plan import make_fast
from slewguard.export.flight import FLIGHT, random_model
from slewguard.subimages import write_triggers_hdf5
from slewguard.train.fit import train
from slewguard.train.metrics import auc
from slewguard.train.pooled import Pool, Scored

ALERTS = synthetic_alerts(120)


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def pool(noise, seed, n=400):
    rng = np.random.default_rng(0)
    label = rng.random(n) < 0.5
    score = label + noise * np.random.default_rng(seed).normal(size=n) - 0.5
    return Pool([Scored(score, label, np.arange(n) // 2, np.array(["grb"] * n))])


def test_paired_differences_are_those_of_the_means_and_know_what_is_common():
    found = compare({"good": [pool(0.3, 1), pool(0.3, 2)], "bad": [pool(0.6, 3)], "same": [pool(0.6, 3)]}, "bad")
    good, bad = ([auc(p.score, p.label) for p in pools] for pools in ([pool(0.3, 1), pool(0.3, 2)], [pool(0.6, 3)]))
    assert found["good"]["auc"]["of_trainings"] == pytest.approx(good)
    assert found["good"]["minus_reference"]["auc"]["value"] == pytest.approx(np.mean(good) - bad[0])
    assert found["good"]["minus_reference"]["auc"]["lo"] > 0
    assert [found["same"]["minus_reference"]["auc"][end] for end in ("value", "lo", "hi")] == [0.0, 0.0, 0.0]
    with pytest.raises(ValueError, match="same alerts"):
        compare({"a": [pool(0.3, 1)], "b": [pool(0.3, 1, n=200)]}, "a")


def test_shapes_run_from_300_to_20000_parameters_and_all_have_a_fast_form():
    assert size_curve.scaled((8, 16, 24, 32)) == FLIGHT
    models = [random_model(0, shape) for shape in size_curve.shapes().values()]
    assert [model.parameters for model in models] == [307, 979, 2095, 3689, 7561, 19393, 3689]
    assert models[-1].macs < 0.7 * models[3].macs
    for model in models:
        assert make_fast(model).model is model


def test_few_alerts_of_each_sequence_are_taken():
    many = synthetic_alerts(60, per_sequence=10)
    few = size_curve.thinned(many, None, 0)
    assert np.array_equal(np.unique(few.sequence, return_counts=True)[1], [size_curve.PER_SEQUENCE] * 6)
    assert len(size_curve.thinned(many, 7, 0)) == 7


def test_size_curve_stores_a_row_for_each_network_and_resumes(tmp_path, monkeypatch):
    monkeypatch.setattr(size_curve, "shapes", lambda: {"8-16-24-32": FLIGHT})
    monkeypatch.setattr(size_curve, "WEIGHTS", (size_curve.Width(8), size_curve.Width(6), size_curve.Width(6, True)))
    write_triggers_hdf5(tmp_path / "a.h5", ALERTS)
    write_triggers_hdf5(tmp_path / "b.h5", synthetic_alerts(200, seed=4))
    told = [tmp_path / "a.h5", "--judge", f"other={tmp_path / 'b.h5'}", "--seeds", 2, "--epochs", 1, "--no-count"]
    told += ["--cells", tmp_path / "cells", "--json", tmp_path / "c.json", "--plot", tmp_path / "c.png"]
    monkeypatch.setattr(sys, "argv", ["size_curve", *map(str, told)])
    size_curve.main()
    first = (tmp_path / "c.json").read_text()
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "cells").rglob("*.json")}
    assert len(times) == 6
    size_curve.main()
    assert times == {path: path.stat().st_mtime_ns for path in times}
    assert (tmp_path / "c.json").read_text() == first
    rows = {row["network"]: row for row in json.loads(first)["rows"]}
    assert set(rows) == {f"8-16-24-32, {kind}" for kind in ("float", "8 bits", "6 bits", "6 bits in lane")}
    lane = rows["8-16-24-32, 6 bits in lane"]
    assert lane["summed_in_chunks"] == 0 < rows["8-16-24-32, 6 bits"]["summed_in_chunks"]
    assert rows["8-16-24-32, 8 bits"]["instructions_are"].startswith("estimated")
    assert set(lane["figures"]) == {"held-out, bursts", "held-out, true", "other, bursts", "other, true"}
    assert len(lane["figures"]["other, true"]["auc"]["of_trainings"]) == 2
    assert (tmp_path / "c.png").read_bytes()[:4] == b"\x89PNG"


def test_splits_part_no_sequence_and_are_nested(monkeypatch):
    monkeypatch.setattr(learning_curve, "TRAIN", 60)
    monkeypatch.setattr(learning_curve, "TEST", 20)
    found = learning_curve.splits(ALERTS, 5, 0)
    for fitted, test in found:
        assert len(fitted) == 60
        assert len(test) == 20
        assert not set(ALERTS.sequence[fitted]) & set(ALERTS.sequence[test])
        # Taken in the order of their sequences: the first few are whole events of both kinds.
        assert len(np.unique(ALERTS.sequence[fitted[:10]])) == 5
    assert not np.array_equal(found[0][0], found[1][0])


def test_learning_curve_compares_with_the_run_itself(tmp_path, monkeypatch):
    monkeypatch.setattr(learning_curve, "TRAIN", 40)
    monkeypatch.setattr(learning_curve, "TEST", 40)
    monkeypatch.setattr(learning_curve, "LABELS", (40,))
    run = train(ALERTS, tmp_path / "run", epochs=1, qat_epochs=1)
    write_triggers_hdf5(tmp_path / "simulated.h5", ALERTS)
    write_triggers_hdf5(tmp_path / "labels.h5", synthetic_alerts(120, seed=8))
    told = [run, tmp_path / "labels.h5", "--with", tmp_path / "simulated.h5", "--splits", 2, "--epochs", 1]
    told += ["--cells", tmp_path / "cells", "--json", tmp_path / "c.json", "--plot", tmp_path / "c.png"]
    monkeypatch.setattr(sys, "argv", ["learning_curve", *map(str, told)])
    learning_curve.main()
    found = json.loads((tmp_path / "c.json").read_text())
    assert [row["labels"] for row in found["rows"]] == [0, 40, "control"]
    assert found["n_true"] + found["n_false"] == 80
    assert found["rows"][0]["minus_reference"]["auc"] == {"value": 0.0, "lo": 0.0, "hi": 0.0, "n": 80}
    assert found["rows"][1]["auc"]["value"] != found["rows"][0]["auc"]["value"]
    assert len(list((tmp_path / "cells").rglob("*.npy"))) == 4
