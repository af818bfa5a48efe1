"""The command line as a person meets it: verbs, exit codes, one line for every fault."""

import json
import os
import sys
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from astropy.io import fits
from subimage_examples import plain_arrays, plain_set

from slewguard.cli.console import progress
from slewguard.cli.main import VERBS, main
from slewguard.export.flight import random_model
from slewguard.subimages.fits import write_fits
from slewguard.subimages.hdf5 import write_triggers_hdf5


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "model.json"
    random_model(7).save(path)
    return path


@pytest.fixture
def run(monkeypatch, capsys):
    """Run a command line; gives its exit code, standard output and standard error."""

    def call(*words):
        monkeypatch.setattr(sys, "argv", ["slewguard", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            main()
        code = ended.value.code
        out, err = capsys.readouterr()
        return code, out, err

    return call


def fault(result):
    """The one line of a command that failed for bad input."""
    code, out, err = result
    assert code == 2
    assert out == ""
    lines = [line for line in err.splitlines() if line.startswith("slewguard: ")]
    assert len(lines) == 1
    assert "Traceback" not in err
    return lines[0]


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help(run, verb):
    code, out, _ = run(verb, "--help")
    assert code == 0
    assert out.startswith(f"Usage: slewguard {verb}")


def test_unknown_verb_is_bad_use(run):
    assert run("turn")[0] == 2


@pytest.mark.parametrize("verb", ["evaluate", "advise"])
def test_truncated_hdf5(run, model, tmp_path, verb):
    whole, cut = tmp_path / "whole.h5", tmp_path / "cut.h5"
    write_triggers_hdf5(whole, plain_set(3))
    cut.write_bytes(whole.read_bytes()[:-5000])
    words = (model, cut) if verb == "evaluate" else (cut, "--model", model)
    assert "cut.h5" in fault(run(verb, *words))


def test_fits_of_another_shape(run, model, tmp_path):
    path = tmp_path / "small.fits"
    images = [fits.ImageHDU(np.ones((32, 32), dtype), name=n) for n, dtype in (("SNR", "f4"), ("MASK", "u1"))]
    fits.HDUList([fits.PrimaryHDU(), *images]).writeto(path)
    assert "small.fits" in fault(run("advise", path, "--model", model))


def foreign(path, snr, mask, **columns):
    with h5py.File(path, "w") as file:
        file.create_dataset("snr", data=snr.astype("f8"), compression="gzip", chunks=(1, 56, 56))
        file.create_dataset("mask", data=mask.astype("i4"))
        for name, values in columns.items():
            file[name] = values


def broken_set(path):
    """One good alert, one without data, one with two 3s."""
    snr, mask = (a.copy() for a in plain_arrays(3))
    snr[1] = np.nan
    mask[1] = 0
    mask[2, 5, 5] = 3
    foreign(path, snr, mask, label=np.array([1, 0, 0]))


def test_broken_sub_images_are_refused_by_evaluate(run, model, tmp_path):
    broken_set(tmp_path / "broken.h5")
    assert "broken.h5" in fault(run("evaluate", model, tmp_path / "broken.h5"))


def test_broken_sub_images_are_abstained_on_by_advise(run, model, tmp_path):
    broken_set(tmp_path / "broken.h5")
    code, out, _ = run("advise", tmp_path / "broken.h5", "--model", model, "--json", "-")
    assert code == 0
    told = json.loads(out)
    assert [one["reason"] for one in told][1:] == ["empty", "off_centre"]
    assert [one["verdict"] for one in told][1:] == ["abstain", "abstain"]
    assert [one["score"] for one in told][1:] == [None, None]


def test_unknown_key_in_the_yaml(run, tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text("trigger:\n  alert_treshold: 6.5\n")
    told = fault(run("simulate", "--config", path, "--days", 1, "--out", tmp_path / "out.h5"))
    assert "config.yaml" in told
    assert "alert_treshold" in told
    assert not (tmp_path / "out.h5").exists()


def test_output_without_permission(run, monkeypatch, tmp_path):
    # As root nothing is forbidden, so the operating system's answer is put in its place.
    plain = Path.open

    def forbidden(self, *how, **named):
        if tmp_path in self.parents:
            raise PermissionError(13, os.strerror(13), str(self))
        return plain(self, *how, **named)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "open", forbidden)
        told = fault(run("simulate", "--days", 1, "--out", tmp_path / "out.h5"))
    assert "out.h5" in told
    assert os.strerror(13) in told
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("words", [("evaluate", "nothing.json", "nothing.h5"), ("verify", "nothing"), ("inspect", "x")])
def test_missing_files(run, tmp_path, monkeypatch, words):
    monkeypatch.chdir(tmp_path)
    assert words[1].split(".")[0] in fault(run(*words))


def test_foreign_trigger_set(run, model, tmp_path):
    snr, mask = (np.stack([a[0]] * 4) for a in plain_arrays(1))
    path = tmp_path / "theirs.hdf5"
    foreign(path, snr, mask, label=np.array([1, 0, 1, 0]))
    code, out, _ = run("evaluate", model, path, "--json", "-")
    assert code == 0
    figures = json.loads(out)
    assert (figures["n_true"], figures["n_false"]) == (2, 2)
    assert figures["auc"] == 0.5
    code, out, _ = run("advise", path, "--model", model)
    assert code == 0
    assert len(out.splitlines()) == 4


def test_foreign_fits_and_its_picture(run, model, tmp_path):
    (snr,), (mask,) = plain_arrays(1)
    path = tmp_path / "theirs.fits"
    images = [fits.PrimaryHDU(mask.astype("i2")), fits.ImageHDU(snr.astype("f8"), name="SNR")]
    images.append(fits.ImageHDU(mask.astype("i2"), name="MASK"))
    fits.HDUList(images).writeto(path)
    code, out, _ = run("advise", path, "--model", model, "--out", tmp_path / "pictures")
    assert code == 0
    assert out.startswith("theirs.fits: ")
    assert len(out.strip()) <= 280
    (picture,) = (tmp_path / "pictures").iterdir()
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_evaluate_the_shipped_alerts(run, model):
    shipped = Path(__file__).parent.parent / "benchmarks" / "data" / "alerts563.h5"
    code, out, _ = run("evaluate", model, shipped, "--json", "-")
    assert code == 0
    figures = json.loads(out)
    assert (figures["n_true"], figures["n_false"]) == (334, 229)
    assert set(figures["rejection_at_retention"]) == {"0.95", "0.99", "0.998"}
    for name in ("auc", "accuracy", "certified", "per_cause"):
        assert name in figures


def test_conformance_reports_what_it_did_not_run(run, model, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    words = ("--n", 3, "--engine", "numpy", "--engine", "ort", "--engine", "c", "--json", "-")
    code, out, _ = run("conformance", model, *words)
    assert code == 0
    rows = {row["engine"]: row for row in json.loads(out)}
    assert rows["ort"]["ran"] is False
    assert rows["ort"]["bytes_compared"] == 0
    assert rows["c"]["ran"]
    assert rows["c"]["bytes_different"] == rows["c"]["verdict_flips"] == 0


def test_export_and_verify(run, model, tmp_path):
    package = tmp_path / "flight"
    assert run("export", model, "--out", package)[0] == 0
    assert run("verify", package)[0] == 0
    source = package / "c" / "slewguard_weights.c"
    source.write_bytes(source.read_bytes().replace(b"0", b"1", 1))
    code, out, _ = run("verify", package)
    assert code == 1
    assert "c/slewguard_weights.c" in out


def test_simulate_then_chain_and_calibrate(run, model, tmp_path):
    days = tmp_path / "days.h5"
    code, out, _ = run("simulate", "--days", 4, "--workers", 1, "--out", days, "--json", "-")
    assert code == 0
    n = json.loads(out)["n"]
    assert n > 0
    code, out, _ = run("chain", model, "--triggers", days, "--json", "-")
    assert code == 0
    chain = json.loads(out)
    assert chain["days"] == 4
    assert chain["alerts"] == n
    assert chain["slews_with"] <= chain["slews_without"]
    code, out, _ = run("calibrate", model, days, "--out", tmp_path / "new.json", "--json", "-")
    assert code == 0
    told = json.loads(out)
    # So few sequences certify nothing, and nothing is vetoed.
    assert told["certificate"]["veto"]["certified"] is False
    assert told["verdict"]["t_veto"] == -128


def test_long_work_tells_its_rate_and_what_is_left(monkeypatch, capsys):
    clock = iter([0.0, 0.0, 0.0, 20.0, 20.0])
    monkeypatch.setattr("slewguard.cli.console.time.monotonic", lambda: next(clock, 60.0))
    with progress("simulating", unit="events") as shown:
        shown(4000, 10000)  # by an earlier run
        shown(4030, 10000)
    # At 20 s: 30 events in 20 s, 5970 to go.
    told = capsys.readouterr().err.splitlines()
    assert told[0] == "simulating: 4030/10000 after 20 s, 1.5 events/s, 1 h 06 min left"


def test_bench_counts_calls_and_checks_bytes(run, model):
    code, out, _ = run("bench", model, "--engine", "numpy", "--engine", "c", "--calls", 5, "--json", "-")
    assert code == 0
    rows = {row["engine"]: row for row in json.loads(out)}
    assert all(row["equal"] and row["calls"] == 5 and row["p99_us"] is None for row in rows.values())
    assert rows["c"]["code_bytes"] > 0


def test_inspect_draws_a_sub_image(run, tmp_path):
    path = tmp_path / "one.fits"
    write_fits(path, plain_set(1)[0], simulated=True)
    code, out, _ = run("inspect", path, "--draw", tmp_path / "one.svg", "--json", "-")
    assert code == 0
    assert json.loads(out)
    assert b"<svg" in (tmp_path / "one.svg").read_bytes()


def test_chain_needs_the_days_of_a_simulation(run, model, tmp_path):
    path = tmp_path / "theirs.h5"
    set_ = plain_set(3)
    write_triggers_hdf5(path, replace(set_, columns={**set_.columns, "peak_snr": np.full(3, 9.0, dtype="f4")}))
    told = fault(run("chain", model, "--triggers", path))
    assert "theirs.h5" in told
    assert "days" in told


def test_one_bad_file_silences_no_other(run, model, tmp_path):
    good, cut = tmp_path / "good.fits", tmp_path / "cut.fits"
    write_fits(good, plain_set(1)[0], simulated=True)
    cut.write_bytes(good.read_bytes()[:3000])
    code, out, err = run("advise", cut, good, "--model", model)
    assert code == 2
    assert out.startswith("good.fits: ")
    assert "cut.fits" in err


def test_no_file_name_hides_the_verdict_or_its_basis(run, model, tmp_path):
    path = tmp_path / ("a" * 240 + ".fits")
    write_fits(path, plain_set(1)[0], simulated=True)
    _, out, _ = run("advise", path, "--model", model, "--json", "-")
    (told,) = json.loads(out)
    assert told["verdict"] in told["sentence"]
    assert "thresholds not certified" in told["sentence"]
    assert len(told["sentence"]) <= 280


def run_folder(folder, model, sha256, *, simulated):
    folder.mkdir()
    (folder / "model.json").write_bytes(model.read_bytes())
    (folder / "metrics.json").write_text(
        json.dumps({"model_sha256": sha256, "quantised": {"auc": 0.123, "auc_interval": {"lo": 0.1, "hi": 0.2}}})
    )
    (folder / "provenance.json").write_text(json.dumps({"data": {"simulated": simulated}}))
    return folder


@pytest.mark.parametrize("simulated", [False, True])
def test_package_says_what_the_run_was_trained_on(run, tmp_path, simulated):
    model = random_model(7)
    certificate = {"population": {"simulated": simulated}}
    model.with_verdict(model.verdict, certificate).save(tmp_path / "model.json")
    sha256 = model.with_verdict(model.verdict, certificate).sha256
    folder = run_folder(tmp_path / "run", tmp_path / "model.json", sha256, simulated=simulated)
    assert run("export", folder, "--out", tmp_path / "flight")[0] == 0
    assert json.loads((tmp_path / "flight" / "manifest.json").read_text())["simulated"] is simulated
    assert "0.123" in (tmp_path / "flight" / "MODEL_CARD.md").read_text()


def test_figures_of_another_model_are_left_out(run, model, tmp_path):
    folder = run_folder(tmp_path / "run", model, "0" * 64, simulated=True)
    code, _, err = run("export", folder, "--out", tmp_path / "flight")
    assert code == 0
    assert "another model" in err
    assert "0.123" not in (tmp_path / "flight" / "MODEL_CARD.md").read_text()


def test_verify_names_what_is_missing(run, model, tmp_path):
    from slewguard.export.package import open_model, write_package

    write_package(open_model(model), tmp_path / "flight", run={})
    code, out, _ = run("verify", tmp_path / "flight")
    assert code == 1
    assert "c/slewguard.h: missing" in out


@pytest.mark.parametrize(
    "words",
    [
        ("calibrate", "MODEL", "a.h5", "--out", "b.json", "--level", "nan"),
        ("evaluate", "MODEL", "a.h5", "--seed", "-1"),
        ("bench", "MODEL", "--json", "nowhere/x.json"),
        ("advise", "a.fits", "--pictures", "-1"),
        ("simulate", "--days", "0", "--out", "a.h5"),
        ("simulate", "--shard", "3/3", "--out", "a.h5"),
        ("simulate", "--enrich", "0", "--out", "a.h5"),
        ("simulate", "a.h5", "--out", "b.h5"),
        ("simulate", "--join", "a.h5", "--days", "3", "--out", "b.h5"),
        ("simulate", "--join", "a.h5", "--enrich", "3", "--out", "b.h5"),
        ("simulate", "--sbatch", "2", "--shard", "0/2", "--out", "b.h5"),
        ("simulate", "--cluster", "dask:tcp://a:1", "--workers", "2", "--out", "b.h5"),
        ("simulate", "--cluster", "ray:a", "--out", "b.h5"),
    ],
)
def test_bad_use_is_told_before_any_work(run, model, tmp_path, monkeypatch, words):
    monkeypatch.chdir(tmp_path)
    code, out, err = run(*(model if word == "MODEL" else word for word in words))
    assert code == 2
    assert out == ""
    assert "Error: " in err
    assert list(tmp_path.iterdir()) == []


def test_conformance_of_the_specification_with_itself_proves_nothing(run, model):
    code, _, err = run("conformance", model, "--n", 1, "--engine", "numpy")
    assert code == 1
    assert "nothing was compared" in err
