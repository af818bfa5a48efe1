"""Mutated files end in one clear line or a faithful reading, and the harness sees what does not."""

import ctypes
import json
import os
import random
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from slewguard.benchmarks import mutations
from slewguard.benchmarks.default_model import RESULTS
from slewguard.benchmarks.fuzz import ADDRESS_SPACE, FAILURES, OUTCOMES, fuzz, render, run_range, summary
from slewguard.benchmarks.fuzz_kinds import KINDS, Kind
from slewguard.subimages import BadInput

# Files, and distinct faults that at least are reached: far fewer would mean that the damage stays at the surface.
SHARE = {"onnx": (700, 30), "tflite": (700, 25), "json": (600, 25), "hdf5": (150, 4), "fits": (150, 8)}


@pytest.mark.parametrize("name", KINDS)
def test_mutated_files_are_refused_or_read_faithfully(name):
    n, faults = SHARE[name]
    tally = fuzz({name: KINDS[name]}, n)[name]
    assert tally.failures == []
    assert tally.outcomes.total() == n
    assert tally.outcomes["error"] > n / 2
    assert sum(tally.outcomes[outcome] for outcome in ("same", "stated", "read")) > n / 200
    assert len(tally.faults) >= faults
    # Other models with a right hash: the forger's case, on which the rules alone stand.
    assert name != "json" or tally.outcomes["stated"] > n / 100


@pytest.mark.parametrize("name", KINDS)
def test_mutants_are_the_same_again_and_differ(name):
    kind = KINDS[name]
    files = [kind.mutant(name, 3, i) for i in range(40)]
    assert files == [kind.mutant(name, 3, i) for i in range(40)]
    assert len({*files, *kind.originals().values()}) > 35
    assert files[0] != kind.mutant(name, 4, 0)


@pytest.mark.parametrize(
    ("name", "edit"), [(n, e) for n, k in KINDS.items() for e in dict.fromkeys((*k.edits, *mutations.ON_BYTES))]
)
def test_edits_change_files_and_survive_any(name, edit):
    originals = list(KINDS[name].originals().values())
    rng = random.Random(0)
    assert sum(edit(rng, originals[0], originals[1]) != originals[0] for _ in range(20)) > 5
    for content in (b"\0", b"{}", b"x", bytes(100), b"\xff" * 33):
        assert isinstance(edit(rng, content, content), bytes)


def test_a_protobuf_with_a_field_dropped_still_parses():
    import onnx

    content = KINDS["onnx"].originals()["small"]
    for field in mutations._all_fields(content):
        if field.wire != 2 or len(field.parents) < 3:
            onnx.ModelProto.FromString(mutations._replace_field(content, field, b""))


PLANTED = (
    (lambda path: ctypes.string_at(0), "crash", "SIGSEGV"),
    (lambda path: time.sleep(60), "hang", "in test_fuzz.py"),
    (lambda path: {}["stray"], "exception", "KeyError in test_fuzz.py"),
    (lambda path: _raise(BadInput("long " * 200, path)), "exception", "no clear line"),
    (lambda path: _raise(BadInput("of which file?")), "exception", "no clear line"),
    (lambda path: np.ones(ADDRESS_SPACE, dtype=np.uint8), "exception", "MemoryError"),
    (lambda path: sys.exit(0), "exception", "SystemExit"),
    (lambda path: os._exit(0), "crash", "exit code 0"),
    (lambda path: signal.raise_signal(signal.SIGKILL), "crash", "SIGKILL"),
    (lambda path: "other", "other", ""),
    (lambda path: _raise(BadInput("plain", path)), "error", "plain"),
    (lambda path: "same", "same", ""),
)


def _raise(error):
    raise error


def _planted(path):
    return PLANTED[path.read_bytes()[0]][0](path)


def _harmless():
    return {"a": bytes([len(PLANTED) - 1])}


class Planted(Kind):
    def mutant(self, name, seed, index):
        return bytes([index])


def test_planted_faults_are_seen_and_the_rest_goes_on():
    kind = Planted(".x", _harmless, (), _planted)
    tallies = fuzz({"planted": kind}, len(PLANTED), seconds=1.0)
    (tally,) = tallies.values()
    expected = [(i, outcome) for i, (_, outcome, _) in enumerate(PLANTED) if outcome in FAILURES]
    assert [(bad.index, bad.outcome) for bad in tally.failures] == expected
    for bad in tally.failures:
        assert PLANTED[bad.index][2] in bad.detail
        assert bad.detail.isprintable()
    assert tally.outcomes.total() == len(PLANTED)
    stored = summary(tallies, 0)
    assert [entry["file"] for entry in stored["failures"]] == [f"planted:0:{i}" for i, _ in expected]
    assert sum(stored["kinds"]["planted"][outcome] for outcome in OUTCOMES) == stored["kinds"]["planted"]["n"]
    assert "planted" in render(tallies)


def test_a_child_that_cannot_start_is_no_finding():
    with pytest.raises(RuntimeError, match="before its first file"):
        run_range("planted", Planted(".x", _planted, (), _planted), 0, 0, 1)


@pytest.mark.parametrize("name", KINDS)
def test_originals_are_read(tmp_path, name):
    for content in KINDS[name].originals().values():
        path = tmp_path / f"a{KINDS[name].suffix}"
        path.write_bytes(content)
        assert KINDS[name].judge(path) in ("same", "read")


def command(*words):
    words = (sys.executable, "-m", "slewguard.benchmarks.fuzz", *words)
    return subprocess.run(words, capture_output=True, text=True, timeout=100)


def test_command_stores_its_figures_and_repeats_one_file(tmp_path):
    done = command("--n", "40", "--kinds", "json,tflite", "--workers", "1", "--json", str(tmp_path / "a.json"))
    assert done.returncode == 0
    assert "tflite" in done.stdout
    stored = json.loads((tmp_path / "a.json").read_text())
    assert {name: kind["n"] for name, kind in stored["kinds"].items()} == {"json": 20, "tflite": 20}
    done = command("--only", "json:0:7", "--keep", str(tmp_path))
    assert done.returncode == 0
    assert done.stdout.split()[0] in OUTCOMES
    assert (tmp_path / "json_0_7.json").read_bytes() == KINDS["json"].mutant("json", 0, 7)
    assert command("--kinds", "png").returncode == 2


def test_stored_run_is_whole_and_without_failures():
    stored = json.loads((RESULTS / "fuzz.json").read_text())
    assert stored["failures"] == []
    assert sum(kind["n"] for kind in stored["kinds"].values()) == 100_000
    assert set(stored["kinds"]) == set(KINDS)
