"""Baselines: fitted by scikit-learn or torch, kept as JSON or safetensors, evaluated by ourselves."""

import json
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, roc_auc_score
from synthetic_alerts import synthetic_alerts

from slewguard.benchmarks.difficulty import large_draw, talk_draw
from slewguard.export.features import FEATURES
from slewguard.export.forest import Forest
from slewguard.subimages import BadInput, TriggerSet
from slewguard.train.baseline import load_baseline, measure, source_of
from slewguard.train.evaluate import evaluate_run
from slewguard.train.fit_baseline import train_baseline
from slewguard.train.folds import folds
from slewguard.train.forest import to_forest
from slewguard.train.logistic import fit_logistic, standardise
from slewguard.train.nets import parameters
from slewguard.train.pooled import Scored, pooled
from slewguard.train.recipes import BASELINES, FEATURE_MODELS
from slewguard.train.resnet import FrozenSource, ResNet50, ResNetSource, load_weights
from slewguard.train.rule import Rule, fit_rule
from slewguard.train.runs import split

ALERTS = synthetic_alerts(160)
TEST = synthetic_alerts(60, seed=9)


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    return {name: train_baseline(ALERTS, folder / name, recipe=name, seed=3) for name in FEATURE_MODELS}


def noisy(n=400, seed=0):
    """Features that overlap, so that trees have something to do."""
    rng = np.random.default_rng(seed)
    measured = rng.normal(size=(n, len(FEATURES)))
    label = measured[:, 0] + measured[:, 1] * measured[:, 2] + rng.normal(size=n) > 0
    return measured, label, np.arange(n) // 2


@pytest.mark.parametrize("leaves", [2, 16])
def test_trees_give_scikit_learns_scores_to_the_bit(leaves):
    measured, label, _ = noisy()
    measured[:, 3] = np.round(measured[:, 3])  # many equal values
    fitted = HistGradientBoostingClassifier(max_iter=60, max_leaf_nodes=leaves, max_features=0.5, random_state=1)
    fitted.fit(measured, label)
    forest = to_forest(fitted)
    new = np.concatenate([measured, noisy(seed=5)[0], np.full((1, len(FEATURES)), 1e300)])
    assert np.array_equal(forest.score(new), fitted.decision_function(new))
    # Values that lie on a threshold go to the left in both.
    on = new[:50].copy()
    for tree in forest.trees[:20]:
        on[:, tree.feature[0]] = tree.threshold[0]
    assert np.array_equal(forest.score(on), fitted.decision_function(on))
    written = Forest.of(json.loads(json.dumps(forest.content())))
    assert np.array_equal(written.score(new), fitted.decision_function(new))


def test_a_tree_that_does_not_end_is_refused():
    good = {"feature": [0, -1, -1], "threshold": [0.5, 0, 0], "left": [1, 0, 0], "right": [2, 0, 0], "value": [0, 1, 2]}
    assert Forest.of({"start": 0.0, "trees": [good]}).score(np.array([[0.5] * 31, [0.6] * 31])).tolist() == [1, 2]
    faults = {
        "does not follow": {"left": [0, 0, 0]},
        "follow its parent": {"right": [3, 0, 0]},
        "that there is not": {"feature": [31, -1, -1]},
        "not whole": {"feature": [0.0, -1, -1]},
        "differ in length": {"value": [1.0]},
        "not finite": {"value": [0, 1, float("nan")]},
    }
    for fault, change in faults.items():
        with pytest.raises(ValueError, match=fault):
            Forest.of({"start": 0.0, "trees": [{**good, **change}]})


def test_logistic_regression_is_scikit_learns():
    measured, label, sequence = noisy()
    found = fit_logistic(measured, label, sequence, 0)
    z = standardise(measured, measured.mean(axis=0), measured.std(axis=0))
    scores = [LogisticRegression(C=c, max_iter=5000).fit(z, label).decision_function(z) for c in (0.01, 0.1, 1.0, 10.0)]
    # 1e-9: a dot product may add in another order.
    assert any(np.allclose(found.score(measured), s, rtol=0, atol=1e-9) for s in scores)
    # Noise in most columns: the strongest freedom is not what cross-validation chooses.
    assert not np.allclose(found.score(measured), scores[-1], rtol=0, atol=1e-9)


def test_rule_is_the_best_of_all_thresholds():
    rng = np.random.default_rng(0)
    measured = np.zeros((60, len(FEATURES)))
    names = list(FEATURES)
    p, second, distance = (names.index(n) for n in ("peak_over_std", "second_ratio", "source_distance"))
    measured[:, p] = rng.integers(3, 12, 60)
    measured[:, second] = rng.uniform(0, 1, 60)
    measured[:, distance] = rng.uniform(0, 12, 60)
    label = (measured[:, p] > 6) & (measured[:, distance] > 3) ^ (rng.random(60) < 0.1)
    rule = fit_rule(measured, label)
    right = ((rule.score(measured) >= 0) == label).mean()
    best = 0.0
    for cut in np.arange(2.5, 12.5):
        for s in (0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, np.inf):
            for d in (0, 1, 2, 3, 4, 6, 8):
                says = (measured[:, p] >= cut) & (measured[:, second] <= s) & (measured[:, distance] >= d)
                best = max(best, accuracy_score(label, says))
    assert right == pytest.approx(best)


def test_rule_ranks_whoever_fails_below_whoever_passes():
    measured = np.zeros((4, len(FEATURES)))
    names = list(FEATURES)
    measured[:, names.index("peak_over_std")] = [100, 1, 8, 5]
    measured[:, names.index("source_distance")] = [1, 1, 40, 40]
    score = Rule(6.0, 0.8, 4.0).score(measured)
    assert (score >= 0).tolist() == [False, False, True, False]
    assert np.argsort(score).tolist() == [1, 0, 3, 2]


@pytest.mark.parametrize("name", FEATURE_MODELS)
def test_run_of_a_feature_model_is_evaluated_like_any_other(runs, name):
    run = runs[name]
    files = {path.name for path in run.iterdir()}
    assert files == {"baseline.json", "weights.json", "metrics.json", "provenance.json"}
    found = evaluate_run(run, TEST)
    assert found["model"]["name"] == name
    assert set(found["certified"].values()) == {None}
    assert found["auc"] > {"rule": 0.6}.get(name, 0.95)
    assert found["auc"] == pytest.approx(roc_auc_score(TEST.label, load_baseline(run).scores(TEST)))
    stated = json.loads((run / "metrics.json").read_text())
    assert stated["weights_sha256"] == found["model"]["sha256"]
    held_out = split(ALERTS, 0.3, 3)[1]
    assert stated["float"]["auc"] == evaluate_run(run, held_out)["auc"]


def test_same_seed_gives_the_same_bytes(runs, tmp_path):
    for name in ("logistic", "trees"):
        again = train_baseline(ALERTS, tmp_path / name, recipe=name, seed=3)
        assert {p.name: p.read_bytes() for p in again.iterdir()} == {
            p.name: p.read_bytes() for p in runs[name].iterdir()
        }


def test_a_broken_sub_image_gets_a_score_all_the_same(runs):
    snr = TEST.snr.copy()
    snr[0] = np.inf
    broken = TriggerSet(snr, TEST.mask, TEST.columns)
    for run in runs.values():
        baseline = load_baseline(run)
        assert baseline.scores(broken)[0] == 0
        # The others as without it: floating point may depend on how many are asked at once.
        assert np.array_equal(baseline.scores(broken)[1:], baseline.scores(TEST.select(np.arange(1, len(TEST)))))
        assert baseline.scores(broken.select(np.zeros(len(TEST), dtype=bool))).shape == (0,)


def damage(run, place, change):
    """A copy of a run whose weights are changed and state their own SHA-256."""
    import hashlib

    shutil.copytree(run, place)
    content = json.loads((place / "weights.json").read_text())
    change(content)
    text = json.dumps(content)
    (place / "weights.json").write_text(text)
    about = json.loads((place / "baseline.json").read_text())
    about["sha256"] = hashlib.sha256(text.encode()).hexdigest()
    (place / "baseline.json").write_text(json.dumps(about))
    return place


@pytest.mark.parametrize(
    ("name", "key", "value", "fault"),
    [
        ("rule", "ratio", "high", "not finite numbers"),
        ("rule", "ratio", float("inf"), "not finite numbers"),
        ("logistic", "scale", [0.0] * len(FEATURES), "scales above 0"),
        ("logistic", "weight", [1.0], "finite numbers"),
        ("trees", "trees", [{"feature": [0]}], "lacks 'left'"),
        ("trees", "trees", 3, "not iterable"),
        ("trees", "features", ["peak_snr"], "other features"),
        ("trees", "start", None, "not a finite number"),
    ],
)
def test_weights_that_do_not_fit_are_refused(runs, tmp_path, name, key, value, fault):
    place = damage(runs[name], tmp_path / "run", lambda content: content.update({key: value}))
    with pytest.raises(BadInput, match=rf"weights\.json: not the weights of {name}.*{fault}"):
        load_baseline(place)


def test_a_baseline_names_its_own_weights_only(runs, tmp_path):
    place = tmp_path / "run"
    shutil.copytree(runs["rule"], place)
    about = json.loads((place / "baseline.json").read_text())
    for change in ({"weights": "../../secret"}, {"recipe": "forest"}, {"recipe": ["rule"]}, {"version": 2}):
        (place / "baseline.json").write_text(json.dumps({**about, **change}))
        with pytest.raises(BadInput, match="not a baseline that slewguard knows"):
            load_baseline(place)


def test_folds_part_no_sequence_and_judge_everything_once():
    _, label, sequence = noisy(101)
    judged = []
    for fit, judge in folds(label, sequence, 7):
        assert not set(sequence[fit]) & set(sequence[judge])
        judged.extend(judge)
    assert sorted(judged) == list(range(101))
    with pytest.raises(BadInput, match="1 sequences with alerts of one kind"):
        list(folds(np.array([True, False, False]), np.arange(3), 0))


def test_without_the_catalogue_no_mark_reaches_the_network():
    marks = TEST.mask == 2
    assert marks.any()
    with_them = source_of("handmade", TEST).batch(np.arange(len(TEST)), None)
    without = source_of("handmade-no-catalogue", TEST).batch(np.arange(len(TEST)), None)
    assert torch.equal(with_them[:, 0], without[:, 0])
    assert (without[:, 1].numpy()[marks] == np.float32(1) / 3).all()
    assert torch.equal(with_them[:, 1][torch.from_numpy(~marks)], without[:, 1][torch.from_numpy(~marks)])


def test_handmade_without_the_catalogue_does_not_see_it(tmp_path):
    few = ALERTS.select(np.arange(40))
    run = train_baseline(few, tmp_path / "run", recipe="handmade-no-catalogue", epochs=1)
    baseline = load_baseline(run)
    unmarked = TriggerSet(TEST.snr, np.where(TEST.mask == 2, 1, TEST.mask).astype(np.uint8), TEST.columns)
    assert np.array_equal(baseline.scores(TEST), baseline.scores(unmarked))
    assert json.loads((run / "metrics.json").read_text())["parameters"] == 1_624_993


def test_an_interrupted_network_resumes_to_the_same_bytes(tmp_path):
    few = ALERTS.select(np.arange(40))

    class PowerCut(Exception):
        pass

    def interrupt(progress):
        if progress.epoch == 1:
            raise PowerCut

    whole = train_baseline(few, tmp_path / "whole", recipe="handmade", epochs=2)
    with pytest.raises(PowerCut):
        train_baseline(few, tmp_path / "run", recipe="handmade", epochs=2, progress=interrupt)
    assert (tmp_path / "run.checkpoint").is_file()
    told = []
    run = train_baseline(few, tmp_path / "run", recipe="handmade", epochs=2, progress=told.append, resume=True)
    assert [t.epoch for t in told] == [2]
    assert {p.name: p.read_bytes() for p in run.iterdir()} == {p.name: p.read_bytes() for p in whole.iterdir()}
    assert not (tmp_path / "run.checkpoint").exists()


@pytest.fixture(scope="module")
def resnet():
    torch.manual_seed(0)
    return ResNet50()


def test_resnet_has_the_parameters_and_names_of_the_common_checkpoint(resnet):
    assert parameters(resnet) - parameters(resnet.fc) == 23_508_032
    state = resnet.state_dict()
    assert len(state) == 320
    shapes = {
        "conv1.weight": (64, 3, 7, 7),
        "bn1.running_var": (64,),
        "layer1.0.downsample.0.weight": (256, 64, 1, 1),
        "layer1.0.downsample.1.num_batches_tracked": (),
        "layer1.2.conv3.weight": (256, 64, 1, 1),
        "layer2.0.conv2.weight": (128, 128, 3, 3),
        "layer2.0.downsample.0.weight": (512, 256, 1, 1),
        "layer3.5.bn2.bias": (256,),
        "layer4.2.conv1.weight": (512, 2048, 1, 1),
        "layer4.2.bn3.running_mean": (2048,),
        "fc.weight": (1, 2048),
    }
    assert {name: tuple(state[name].shape) for name in shapes} == shapes
    assert sum("downsample.0" in name for name in state) == 4
    # The stride of a stage lies in the 3x3 convolution of its first block.
    strides = [getattr(resnet, f"layer{i}")[0].conv2.stride[0] for i in (1, 2, 3, 4)]
    assert strides == [1, 2, 2, 2]
    assert [getattr(resnet, f"layer{i}")[0].conv1.stride[0] for i in (1, 2, 3, 4)] == [1] * 4


def checkpoint(resnet):
    state = {name: t.clone() for name, t in resnet.state_dict().items()}
    return {**state, "fc.weight": torch.zeros(1000, 2048), "fc.bias": torch.zeros(1000)}


def test_resnet_takes_a_checkpoint_in_both_formats(resnet, tmp_path):
    state = checkpoint(resnet)
    save_file(state, tmp_path / "a.safetensors")
    torch.save({n: t for n, t in state.items() if "num_batches" not in n}, tmp_path / "b.pth")
    net = ResNet50()
    fc = net.fc.weight.clone()
    for name in ("a.safetensors", "b.pth"):
        with torch.no_grad():
            net.layer4[2].conv3.weight.zero_()
            net.bn1.running_var.zero_()
        assert len(load_weights(net, tmp_path / name)) == 64
        assert torch.equal(net.layer4[2].conv3.weight, resnet.layer4[2].conv3.weight)
        assert torch.equal(net.bn1.running_var, resnet.bn1.running_var)
        assert torch.equal(net.fc.weight, fc)


class Payload:
    def __reduce__(self):
        return (print, ("executed",))


def test_resnet_refuses_what_is_no_checkpoint(resnet, tmp_path, capsys):
    state = checkpoint(resnet)
    lacking = {n: t for n, t in state.items() if n != "layer3.2.conv1.weight"}
    cases = {
        "has no tensor layer3.2.conv1.weight": lacking,
        r"bn1.weight has shape \(3,\), expected \(64,\)": {**state, "bn1.weight": torch.zeros(3)},
        "holds 'layer5.weight'": {**state, "layer5.weight": torch.zeros(3)},
        "not finite": {**state, "bn1.weight": torch.full((64,), float("nan"))},
        "holds no state dict": {"bn1.weight": 3},
        "neither safetensors nor a state dict": Payload(),
    }
    path = tmp_path / "weights.pth"
    net = ResNet50()
    for fault, content in cases.items():
        torch.save(content, path)
        with pytest.raises(BadInput, match=rf"weights\.pth: .*{fault}"):
            load_weights(net, path)
    assert "executed" not in capsys.readouterr().out


def test_frozen_layers_stay_and_the_tail_scores_as_the_whole(resnet, tmp_path):
    save_file(checkpoint(resnet), tmp_path / "w.safetensors")
    few = ALERTS.select(np.arange(8))
    run = train_baseline(few, tmp_path / "run", recipe="resnet50", epochs=1, weights=tmp_path / "w.safetensors")
    metrics = json.loads((run / "metrics.json").read_text())
    block = parameters(resnet.layer4[2]) + parameters(resnet.fc)
    assert (metrics["parameters"], metrics["trained_parameters"]) == (23_508_032 + 2049, block)
    from safetensors.torch import load_file

    written = load_file(run / "weights.safetensors")
    changed = {name for name, t in written.items() if not torch.equal(t, resnet.state_dict()[name])}
    assert changed
    assert all(name.startswith(("layer4.2.", "fc.")) for name in changed)
    loaded = load_baseline(run)
    assert np.isfinite(loaded.scores(few.select(np.arange(2)))).all()
    source = ResNetSource(few)
    frozen = FrozenSource(resnet, source)
    with torch.no_grad():
        index = np.arange(4)
        whole, tail = resnet.eval()(source.batch(index, None)), resnet.tail()(frozen.batch(index, None))
    # The frozen outputs are kept as float16: 11 bits.
    assert whole.numpy() == pytest.approx(tail.numpy(), rel=1e-2, abs=1e-3)


def test_options_that_a_recipe_has_not_are_refused(tmp_path):
    with pytest.raises(BadInput, match="unknown recipe 'forest', expected one of handmade, "):
        train_baseline(ALERTS, tmp_path / "run", recipe="forest")
    with pytest.raises(BadInput, match="has no epochs"):
        train_baseline(ALERTS, tmp_path / "run", recipe="trees", epochs=3)
    with pytest.raises(BadInput, match="starts from no weights"):
        train_baseline(ALERTS, tmp_path / "run", recipe="handmade", weights="w")
    with pytest.raises(BadInput, match="both kinds"):
        train_baseline(ALERTS.select(ALERTS.label == 1), tmp_path / "run", recipe="rule")
    assert not list(tmp_path.iterdir())
    assert (BASELINES["handmade"].epochs, BASELINES["handmade"].batch) == (40, 16)
    assert (BASELINES["resnet50"].epochs, BASELINES["resnet50"].batch) == (20, 32)


def test_pooled_figures_are_those_of_the_splits():
    rng = np.random.default_rng(0)
    splits = []
    for i in range(3):
        label = rng.random(80) < 0.6
        score = rng.normal(label * 1.5, 1) + 10 * i  # another scale in each split
        cause = np.where(label, "grb", "column")
        splits.append(Scored(score - 10 * i, label, rng.integers(0, 50, 80) * 2 + label, cause))
    found = pooled(splits)
    right = np.concatenate([(s.score >= 0) == s.label for s in splits])
    assert found["accuracy"]["value"] == right.mean()
    won = sum((s.score[s.label][:, None] > s.score[~s.label][None]).sum() for s in splits)
    pairs = sum(s.label.sum() * (~s.label).sum() for s in splits)
    assert found["auc"]["value"] == pytest.approx(won / pairs)
    one = pooled(splits[:1])
    assert one["auc"]["value"] == pytest.approx(roc_auc_score(splits[0].label, splits[0].score))
    assert found["per_cause"]["grb"]["value"] == right[np.concatenate([s.label for s in splits])].mean()
    for name in ("accuracy", "auc"):
        assert found[name]["lo"] < found[name]["value"] < found[name]["hi"]
        assert found[name]["n"] == 240
    # A shift of a whole split's scores moves no pair.
    moved = [Scored(s.score + 5 * i, s.label, s.sequence, s.cause) for i, s in enumerate(splits)]
    assert pooled(moved)["auc"] == found["auc"]


def test_interval_of_independent_alerts_is_the_binomial_one():
    rng = np.random.default_rng(1)
    label = rng.random(1000) < 0.6
    score = np.where(rng.random(1000) < 0.9, 1.0, -1.0) * np.where(label, 1, -1)
    alone = pooled([Scored(score, label, np.arange(1000), np.full(1000, "x"))])["accuracy"]
    value = alone["value"]
    half = 1.96 * np.sqrt(value * (1 - value) / 1000)
    assert alone["hi"] - alone["lo"] == pytest.approx(2 * half, rel=0.15)
    # Ten copies of each alert in its sequence are no more witnesses.
    tenfold = [Scored(np.tile(score, 10), np.tile(label, 10), np.tile(np.arange(1000), 10), np.full(10_000, "x"))]
    copied = pooled(tenfold)["accuracy"]
    assert (copied["lo"], copied["hi"], copied["n"]) == (alone["lo"], alone["hi"], 10_000)


def long_set(n, per_sequence):
    rng = np.random.default_rng(0)
    label = (np.arange(n) // per_sequence) % 2
    columns = {
        "label": label.astype("i1"),
        "sequence": rng.permutation(n // per_sequence + 1)[np.arange(n) // per_sequence],
    }
    columns["sequence"] = columns["sequence"].astype("i8")
    mask = np.ones((n, 56, 56), dtype=np.uint8)
    mask[:, 28, 28] = 3
    return TriggerSet(np.ones((n, 56, 56), np.float32), mask, columns)


def test_draws_have_the_talks_size_and_part_no_sequence():
    triggers = long_set(2400, 4)
    train, test = talk_draw(triggers, np.random.default_rng(0))
    assert (len(train), len(test)) == (450, 113)
    assert (triggers.label[train].sum(), triggers.label[test].sum()) == (266, 67)
    assert len(np.unique([*train, *test])) == 563
    assert max(np.unique(triggers.sequence[[*train, *test]], return_counts=True)[1]) == 2
    assert not set(triggers.sequence[train]) & set(triggers.sequence[test])
    assert set(train) != set(talk_draw(triggers, np.random.default_rng(1))[0])
    large, held_out = large_draw(triggers, 600, 0)
    assert len(large) == 600
    assert not set(triggers.sequence[large]) & set(triggers.sequence[held_out])
    with pytest.raises(BadInput, match="333 true and 230 false"):
        talk_draw(long_set(400, 1), np.random.default_rng(0))


def test_features_of_a_set_are_measured_with_its_catalogue_numbers():
    named = np.flatnonzero(TEST.catalogue_id >= 0)
    assert (measure(TEST)[named, list(FEATURES).index("associated")] == 1).all()
