"""Benchmarks are commands: bad input is one line that names the file, exit code 2, and nothing is stored."""

import subprocess
import sys

import pytest

from slewguard.benchmarks.default_model import RESULTS


@pytest.mark.parametrize(
    "words",
    [
        ("certificate", "{bad}"),
        ("quantised", "{bad}", "{bad}"),
        ("retention", "{bad}"),
        ("without_labels", "{bad}"),
    ],
    ids=lambda words: words[0],
)
def test_a_damaged_set_is_one_line_and_nothing_is_stored(words, tmp_path):
    bad = tmp_path / "bad.h5"
    bad.write_bytes(b"not a trigger set")
    before = {path: path.stat().st_mtime_ns for path in RESULTS.iterdir()}
    command = [sys.executable, "-m", f"slewguard.benchmarks.{words[0]}", *(w.format(bad=bad) for w in words[1:])]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"{words[0]}: ")
    assert "bad.h5" in line
    assert {path: path.stat().st_mtime_ns for path in RESULTS.iterdir()} == before


def test_a_test_set_without_a_name_is_bad_use(tmp_path):
    command = [sys.executable, "-m", "slewguard.benchmarks.without_labels", "a.h5", "--test", "b.h5"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert "NAME=SET" in done.stderr.splitlines()[-1]
