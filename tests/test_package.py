import hashlib
import io
import json
import subprocess
import sys
import zlib
from dataclasses import replace

import numpy as np
import pytest

from slewguard.export import package as package_module
from slewguard.export.conformance import conformance
from slewguard.export.execute import run_layers
from slewguard.export.flight import random_model
from slewguard.export.golden import MAX_ALERTS, golden_files, golden_inputs, read_inputs
from slewguard.export.package import MANIFEST, open_model, verify_package, write_package
from slewguard.export.planes import make_planes
from slewguard.export.proof import prove
from slewguard.export.verdict import VerdictRule
from slewguard.subimages import BadInput, TriggerSet, Verdict

RUN = {
    "seed": 1,
    "metrics": {
        "auc": 0.987,
        "auc_interval": {"lo": 0.98, "hi": 0.99},
        "rejection_at_retention": {
            "0.95": {"value": 0.8, "lo": 0.7, "hi": 0.9, "n": 412, "reason": None},
            "0.998": {"value": None, "lo": None, "hi": None, "n": 412, "reason": "allows less than one loss"},
        },
    },
}
EXTRA = {"c/slewguard.c": b"int x;\n", "c/empty.h": b""}
CERTIFICATE = {"population": {"simulated": True}, "veto": {"n": 299, "rank": 1, "level": 0.01, "confidence": 0.95}}


def some_model():
    model = random_model(0)
    return model.with_verdict(model.verdict, CERTIFICATE)


@pytest.fixture
def package(tmp_path):
    return write_package(some_model(), tmp_path / "flight", run=RUN, extra=EXTRA)


def content(folder):
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_package_holds_what_it_should_and_verifies(package):
    files = content(package)
    assert {"model.json", "model.onnx", "model.tflite", "proof.json", "MODEL_CARD.md", MANIFEST, *EXTRA} < set(files)
    assert {f"golden/layer_{layer.name}.npy" for layer in some_model().layers} < set(files)
    assert sum(map(len, files.values())) < 500_000
    assert verify_package(package) == []
    manifest = json.loads(files[MANIFEST])
    assert set(manifest["files"]) == set(files) - {MANIFEST}
    assert manifest["run"] == RUN
    assert manifest["certificate"] == CERTIFICATE
    assert manifest["simulated"] is True
    assert [p.name for p in package.parent.iterdir()] == ["flight"]


def test_written_twice_is_the_same_to_the_byte(package):
    again = package.parent / "again"
    code = (
        "from slewguard.export.package import open_model, write_package; import json, sys;"
        "write_package(open_model(sys.argv[1]), sys.argv[2], run=json.loads(sys.argv[3]),"
        "extra={'c/empty.h': b'', 'c/slewguard.c': b'int x;\\n'})"
    )
    command = [sys.executable, "-c", code, str(package), str(again), json.dumps(RUN)]
    subprocess.run(command, check=True)
    assert content(again) == content(package)


def test_no_place_or_host_is_named(package):
    for data in content(package).values():
        assert str(package.parent).encode() not in data


def test_a_changed_byte_in_any_file_is_found(package):
    for name, data in content(package).items():
        for at in {0, len(data) // 2, len(data) - 1} if data else ():
            changed = bytearray(data)
            changed[at] ^= 1
            (package / name).write_bytes(changed)
            faults = verify_package(package)
            assert any(fault.startswith(f"{name}:") for fault in faults), (name, at, faults)
        (package / name).write_bytes(data)
    assert verify_package(package) == []


def test_missing_and_further_files_are_found(package):
    (package / "golden" / "snr.npy").rename(package / "other.npy")
    (package / "link").symlink_to("/etc/hostname")
    faults = verify_package(package)
    assert "golden/snr.npy: missing" in faults
    assert "other.npy: not in the manifest" in faults
    assert "link: neither a file nor a folder" in faults
    (package / MANIFEST).unlink()
    assert verify_package(package) == [f"{MANIFEST}: missing, so this is no flight package"]
    with pytest.raises(BadInput, match="no such flight package"):
        verify_package(package / "absent")


def restate(package, change):
    """Change the manifest and its own hash, as somebody would who wants to deceive."""
    from slewguard.export.package import _manifest_text

    manifest = json.loads((package / MANIFEST).read_text())
    change(manifest)
    (package / MANIFEST).write_text(_manifest_text(manifest))


def rewrite(package, name, data):
    """Change a file and its hash in the manifest."""
    entry = {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
    if ".." not in name:
        (package / name).write_bytes(data)
    restate(package, lambda manifest: manifest["files"].__setitem__(name, entry))


@pytest.mark.parametrize(("old", "new"), [('"seed": 1', '"seed": 2'), ('"lo": 0.98', '"lo": 0.97'), ("{\n", "{ \n")])
def test_a_changed_manifest_is_found(package, old, new):
    text = (package / MANIFEST).read_text()
    assert old in text
    (package / MANIFEST).write_text(text.replace(old, new, 1))
    assert verify_package(package) == [f"{MANIFEST}: content is not what its own SHA-256 states"]


def test_a_manifest_with_another_certificate_is_found(package):
    restate(package, lambda manifest: manifest["certificate"]["veto"].__setitem__("level", 0.001))
    assert verify_package(package) == [f"{MANIFEST}: states another certificate than model.json holds"]


def test_files_that_belong_to_another_model_are_found(package):
    other = write_package(random_model(7), package.parent / "other", run={}, extra={})
    for name in (
        "model.onnx",
        "model.tflite",
        "proof.json",
        "golden/layer_pw4.npy",
        "golden/golden.txt",
        "golden/verdict.npy",
    ):
        right, wrong = (package / name).read_bytes(), (other / name).read_bytes()
        if right != wrong:
            rewrite(package, name, wrong)
            assert [fault.split(":")[0] for fault in verify_package(package)] == [name]
            rewrite(package, name, right)
    assert verify_package(package) == []
    rewrite(package, "model.json", (other / "model.json").read_bytes())
    faults = verify_package(package)
    assert f"{MANIFEST}: states another model than model.json holds" in faults
    assert "model.onnx: holds another model than model.json" in faults


def test_a_package_without_its_proof_is_found(package):
    (package / "proof.json").unlink()
    restate(package, lambda manifest: manifest["files"].pop("proof.json"))
    assert verify_package(package) == ["proof.json: is not what the model gives"]


def test_a_model_that_is_not_proved_is_refused(tmp_path, monkeypatch):
    proof = prove(some_model())
    row = replace(proof.rows[7], differs={**proof.rows[7].differs, "c": 3})
    monkeypatch.setattr(package_module, "prove", lambda model: replace(proof, rows=(*proof.rows[:7], row)))
    with pytest.raises(BadInput, match="not proved"):
        write_package(some_model(), tmp_path / "flight", run={})
    assert list(tmp_path.iterdir()) == []


def test_card_states_the_proof(package):
    proof = json.loads((package / "proof.json").read_text())
    stated = f"proved over {proof['accumulators']:,} accumulators of 161 channels"
    assert stated in (package / "MODEL_CARD.md").read_text()


def test_a_manifest_that_leads_outside_is_refused(package):
    rewrite(package, "../secret", b"")
    assert verify_package(package) == [f"{MANIFEST}: not of a flight package of version 1"]


@pytest.mark.parametrize(
    "name", ["../x", "/x", "c/../x", "model.json", "manifest.json", "", ".", "a\\b", "c//x", "a\n"]
)
def test_further_files_stay_inside(tmp_path, name):
    with pytest.raises(BadInput, match="is no name"):
        write_package(some_model(), tmp_path / "flight", run={}, extra={name: b""})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("run", [{"x": float("nan")}, {"x": object()}, {"x": {1, 2}}])
def test_run_that_is_not_json_is_refused(tmp_path, run):
    with pytest.raises(BadInput, match="not JSON"):
        write_package(some_model(), tmp_path / "flight", run=run)
    assert list(tmp_path.iterdir()) == []


def test_only_packages_are_overwritten(package):
    write_package(random_model(3), package, run={})
    assert open_model(package) == random_model(3)
    home = package.parent / "home"
    home.mkdir()
    (home / "thesis.tex").write_text("years of work")
    with pytest.raises(BadInput, match="home"):
        write_package(some_model(), home, run={})
    assert content(home) == {"thesis.tex": b"years of work"}


def test_card_gives_figures_with_intervals_and_says_simulated(package):
    card = (package / "MODEL_CARD.md").read_text()
    assert "SIMULATED" in card
    assert "| auc | 0.987 | 0.98 – 0.99 |" in card
    assert "| rejection at retention 0.95 | 0.8 | 0.7 – 0.9 | 412 |" in card
    assert "| rejection at retention 0.998 | allows less than one loss | - | 412 |" in card
    assert '"rank": 1' in card
    assert some_model().sha256 in card


def test_card_has_a_table_of_causes_for_each_group(tmp_path):
    share = {"value": 0.25, "lo": 0.1, "hi": 0.5, "n": 8}
    group = {"auc": 0.9, "per_cause": {"grb": {"n": 8, "vetoed": share}, "column": {"n": 3, "vetoed": None}}}
    metrics = {"measured_on": "Ten alerts.", "quantised": group}
    out = write_package(some_model(), tmp_path / "flight", run={"metrics": metrics})
    card = (out / "MODEL_CARD.md").read_text()
    assert "Ten alerts." in card
    assert "### Quantised" in card
    assert "| cause | n | vetoed |" in card
    assert "| grb | 8 | 0.25 [0.1 – 0.5] |" in card
    assert "| column | 3 | - |" in card


@pytest.mark.parametrize(
    ("run", "population", "simulated"),
    [(False, False, False), (True, False, True), (False, True, True), (None, False, True), (False, None, True)],
)
def test_simulated_unless_all_say_otherwise(tmp_path, run, population, simulated):
    said = {} if population is None else {"simulated": population}
    model = random_model(0).with_verdict(random_model(0).verdict, {"population": said})
    out = write_package(model, tmp_path / "flight", run={} if run is None else {"simulated": run})
    assert json.loads((out / MANIFEST).read_text())["simulated"] is simulated
    assert ("SIMULATED" in (out / "MODEL_CARD.md").read_text()) is simulated


def test_every_form_opens_as_the_same_model(package):
    for name in ("", "model.json", "model.onnx", "model.tflite"):
        assert open_model(package / name) == some_model()


def test_what_is_no_model_is_refused_by_name(tmp_path):
    for name in ("a.onnx", "a.tflite", "a.json", "a.txt"):
        (tmp_path / name).write_bytes(b"nothing of the kind")
        with pytest.raises(BadInput, match=name):
            open_model(tmp_path / name)
        with pytest.raises(BadInput, match="absent"):
            open_model(tmp_path / f"absent-{name}")
    with pytest.raises(BadInput, match=r"no model\.json"):
        open_model(tmp_path)


def test_golden_vectors_say_what_the_executor_gives():
    model = some_model()
    files = golden_files(model, golden_inputs())
    triggers = read_inputs(files)
    arrays = {name[:-4]: np.load(io.BytesIO(data)) for name, data in files.items() if name[-4:] == ".npy"}
    planes = make_planes(triggers.snr, triggers.mask, triggers.catalogue_id, model.planes)
    assert np.array_equal(arrays["planes"], planes)
    layers = run_layers(model, planes)
    for layer, output in zip(model.layers, layers, strict=True):
        assert np.array_equal(arrays[f"layer_{layer.name}"], output)
        assert arrays[f"layer_{layer.name}"].dtype == output.dtype
    lines = files["golden.txt"].decode().splitlines()
    assert lines[0].split()[-1] == model.sha256
    block = 2 + 3 * 56
    for i in range(len(triggers)):
        head, crc, *rows = lines[2 + i * block : 2 + (i + 1) * block]
        assert head.split()[:4] == ["vector", str(i), "score", str(layers[-1][i, 0, 0, 0])]
        assert [int(word, 16) for word in crc.split()[1:]] == [zlib.crc32(output[i].tobytes()) for output in layers]
        assert np.array_equal(np.frombuffer(bytes.fromhex("".join(rows)), dtype=np.int8), planes[i].reshape(-1))
    assert len(lines) == 2 + block * len(triggers)
    assert (planes[:, 2] != 0).any()
    assert (np.abs(planes[:, 0]) == 127).any()


def test_golden_vectors_of_the_default_model_hold_every_verdict():
    files = golden_files(open_model("default"), golden_inputs())
    verdict = np.load(io.BytesIO(files["verdict.npy"]))
    assert set(verdict.tolist()) == set(Verdict)
    # One more for each verdict that the four do not get.
    missing = set(Verdict) - set(verdict[: len(golden_inputs())].tolist())
    assert len(verdict) == len(golden_inputs()) + len(missing)


def test_golden_vectors_have_no_verdict_that_the_model_does_not_give():
    model = open_model("default").with_verdict(VerdictRule(), {})
    verdict = np.load(io.BytesIO(golden_files(model, golden_inputs())["verdict.npy"]))
    assert verdict.tolist() == [Verdict.ABSTAIN] * len(golden_inputs())


def test_golden_vectors_are_never_more_than_can_be_read():
    model = open_model("default")
    many = golden_inputs()
    repeated = [i % len(many) for i in range(MAX_ALERTS - 1)]
    columns = {"catalogue_id": many.catalogue_id[repeated]}
    files = golden_files(model, TriggerSet(many.snr[repeated], many.mask[repeated], columns))
    assert len(read_inputs(files)) == MAX_ALERTS
    assert golden_files(model, read_inputs(files)) == files


def test_golden_inputs_are_read_back():
    triggers = golden_inputs()
    files = golden_files(some_model(), triggers)
    again = read_inputs(files)
    n = len(triggers)
    assert np.array_equal(again.snr[:n], triggers.snr, equal_nan=True)
    assert np.array_equal(again.mask[:n], triggers.mask)
    assert np.array_equal(again.catalogue_id[:n], triggers.catalogue_id)
    assert golden_files(some_model(), again) == files
    for name in ("snr.npy", "mask.npy", "catalogue_id.npy"):
        for wrong in (b"", files[name][:-1], files[name][:-5], files["planes.npy"], files[name][:128]):
            with pytest.raises(BadInput, match="golden"):
                read_inputs({**files, name: wrong})
    with pytest.raises(BadInput, match="golden"):
        read_inputs({**files, "snr.npy": files["snr.npy"].replace(b"<f4", b">f4")})
    with pytest.raises(BadInput, match="keep the contract"):
        golden_files(some_model(), TriggerSet(triggers.snr[:0], triggers.mask[:0]))
    with pytest.raises(BadInput, match="keep the contract"):
        golden_files(some_model(), TriggerSet(triggers.snr, np.ones_like(triggers.mask)))


def test_an_exported_package_conforms(package):
    from slewguard.export.backends import open_backends

    model = open_model(package)
    planes = np.load(package / "golden" / "planes.npy")
    assert conformance(model, planes, open_backends(model)).equal


def test_import_is_light():
    code = (
        "import sys, slewguard.export;"
        "print(set(sys.modules) & {'onnx', 'onnxruntime', 'scipy', 'pydantic', 'flatbuffers', 'torch'})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_renamed_model_is_another_model():
    assert replace(some_model(), name="other") != some_model()


def test_exporting_the_default_model_needs_no_torch(tmp_path):
    code = (
        "import sys; from pathlib import Path; from slewguard.cli.export import export;"
        "export('default', Path(sys.argv[1])); print(set(sys.modules) & {'torch', 'brevitas', 'onnxruntime'})"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "f")], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "set()"
    assert verify_package(tmp_path / "f") == []
