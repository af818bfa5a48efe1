"""Latency sessions: statistics, the timed processes, the folder, and the quotas that a median does not show."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slewguard.benchmarks.latency import render
from slewguard.cli.contenders import ENGINES, contenders
from slewguard.cli.engines import sample_planes
from slewguard.cli.main import main
from slewguard.cli.session import run_session
from slewguard.cli.workers import Worker, pinned
from slewguard.export.backends import ENGINES as BACKENDS
from slewguard.export.backends import EngineUnavailable
from slewguard.export.execute import run
from slewguard.export.flight import random_model
from slewguard.export.latency import summarise
from slewguard.export.quota import QuotaUnavailable, best_mechanism, hold
from slewguard.subimages import BadInput
from slewguard.train.float_nets import float_inputs

MODEL = random_model(5)
PLANES = sample_planes(MODEL, None, 4)


@given(st.lists(st.integers(0, 10**12), min_size=1, max_size=50))
def test_summary_is_numpys_and_quotes_no_percentile_of_few_calls(taken):
    found = summarise(np.array(taken))
    assert found["p50_us"] == np.median(np.array(taken) / 1000)
    assert found["max_us"] == max(taken) / 1000
    assert found["p99_us"] is found["p999_us"] is None


def test_percentiles_from_a_thousand_and_from_ten_thousand_calls():
    taken = np.arange(1, 1001) * 1000
    assert summarise(taken)["p99_us"] == pytest.approx(990.01)  # numpy's linear rule: 1 + 0.99 * 999
    assert summarise(taken[:-1])["p99_us"] is None
    assert summarise(taken)["p999_us"] is None
    assert summarise(np.tile(taken, 10))["p999_us"] == pytest.approx(999.001)  # the 9,990th and the next


@pytest.fixture(scope="module")
def session(tmp_path_factory):
    folder = tmp_path_factory.mktemp("latency") / "session"
    engines = ("numpy", "ort", "tflite-ref", "c", "c-fast")
    return folder, run_session(MODEL, PLANES, folder, engines=engines, quotas=(100, 5), calls=13, seconds=0.2)


def test_session_keeps_every_call_and_the_figures_follow_from_them(session):
    folder, summary = session
    assert {path.name for path in folder.iterdir()} == {"summary.json", "system.json", "calls.npz"}
    assert json.loads((folder / "summary.json").read_text()) == summary
    assert {row["engine"] for row in summary["rows"]} == {"numpy", "ort", "tflite-ref", "c", "c-fast"}
    with np.load(folder / "calls.npz", allow_pickle=False) as calls:
        for row in summary["rows"]:
            wall = calls[f"{row['key']}.wall_ns"]
            assert row["calls"] == len(wall) >= 13
            assert row["p50_us"] == np.median(wall / 1000)
            assert row["equal"] is True
            assert row["cold_ms"] > row["first_us"] / 1000
            assert row["p99_us"] is None
        for row in summary["quotas"]:
            wall = calls[f"{row['key']}.quota{row['percent']:g}.wall_ns"]
            assert row["max_us"] == wall.max() / 1000
            assert row["calls"] == len(wall)
    assert "not a submission" in summary["note"]


def test_c_needs_no_python(session):
    memory = {row["engine"]: row["peak_rss_bytes"] for row in session[1]["rows"]}
    assert memory["c"] < memory["ort"] / 5
    assert memory["c"] < 8e6


def test_tables_of_a_session_can_be_stored(session):
    _, summary = session
    text = render({**summary, "rows": [{**row, "network": "flight"} for row in summary["rows"]]})
    assert text.count("\n| ") > len(summary["rows"]) + len(summary["quotas"])
    assert text.count("MLPerf") == 2  # named in the note alone: in the manner of it, and no result of it
    assert summary["note"] in text


def test_a_session_is_replaced_and_other_folders_are_not(session, tmp_path):
    folder, _ = session
    run_session(MODEL, PLANES, folder, engines=("c",), calls=2)
    (tmp_path / "mine.txt").write_text("only copy")
    with pytest.raises(BadInput, match="not empty"):
        run_session(MODEL, PLANES, tmp_path, engines=("c",), calls=2)
    assert (tmp_path / "mine.txt").read_text() == "only copy"


def test_float_networks_run_beside_ours_and_are_marked_random(tmp_path):
    found, not_run = contenders(MODEL, PLANES, tmp_path, ("handmade",), ("ort",))
    assert not not_run
    names = {(one.network, one.precision, one.weights) for one in found}
    assert names == {
        (MODEL.name, "int8", "given"),
        ("handmade", "int8", "random"),
        ("handmade", "float32", "random"),
    }
    scores = {}
    for one in found:
        worker = Worker(one)
        scores[one.network, one.precision] = worker.call(3).score
        worker.close()
    assert (scores[MODEL.name, "int8"] == run(MODEL, PLANES)[:3]).all()
    assert len(set(scores["handmade", "float32"])) == 3


def test_the_resnet50_sees_the_handmade_networks_channels_made_larger():
    small, large = (float_inputs(name, PLANES[:2]) for name in ("handmade", "resnet50"))
    assert large.shape == (2, 3, 224, 224)
    assert (large[:, 0] == large[:, 2]).all()
    # Bilinear without aligned corners keeps the mean of a constant and the place of every fourth block.
    assert large[:, :2].mean() == pytest.approx(small.mean(), abs=0.01)


def test_an_engine_that_cannot_start_is_told(tmp_path):
    (one,), _ = contenders(MODEL, PLANES, tmp_path, (), ("ort",))
    Path(one.command[-1].replace("given-int8.ort.job", "given.onnx")).write_bytes(b"no model")
    with pytest.raises(EngineUnavailable):
        Worker(one)


def test_engines_are_those_of_the_exporters():
    assert set(ENGINES) == {*BACKENDS, "torch", "c", "c-fast"}


def test_unknown_engine_and_options_that_do_not_go_together(tmp_path, monkeypatch, capsys):
    with pytest.raises(BadInput, match="unknown engine 'brain'"):
        contenders(MODEL, PLANES, tmp_path, (), ("brain",))
    for words in (["--quota", "5"], ["--also", "handmade"], ["--session", str(tmp_path / "s"), "--also", "vgg"]):
        monkeypatch.setattr(sys, "argv", ["slewguard", "bench", "default", *words])
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code == 2
    assert "--also takes" in capsys.readouterr().err


def test_pinning_is_undone():
    before = os.sched_getaffinity(0)
    with pinned() as (core, on_core):
        assert core in before
        with on_core():
            assert os.sched_getaffinity(0) == {core}
    assert os.sched_getaffinity(0) == before


@pytest.fixture
def busy():
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    yield process
    process.kill()
    process.wait()


def cpu_seconds(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@pytest.mark.parametrize("mechanism", sorted({best_mechanism()[0], "signals"}))
def test_a_busy_process_gets_no_more_than_its_quota(busy, mechanism):
    with hold(busy.pid, 10, mechanism=mechanism) as quota:
        before, begun = cpu_seconds(busy.pid), time.monotonic()
        time.sleep(1.0)
        share = (cpu_seconds(busy.pid) - before) / (time.monotonic() - begun)
        stopped = quota.stopped()
    # One period's quota and one clock tick more may fall into the second; a late wake-up of ours adds to signals.
    assert share < 0.2
    assert quota.mechanism == mechanism
    assert stopped >= 1 or share < 0.09  # a crowded machine may give it less than the quota
    before = cpu_seconds(busy.pid)
    for _ in range(100):  # free again
        time.sleep(0.1)
        if cpu_seconds(busy.pid) - before > 0.05:
            return
    pytest.fail("the process stayed stopped")


def test_a_held_process_that_ends_leaves_nothing_behind(busy):
    with hold(busy.pid, 50) as quota:
        busy.send_signal(signal.SIGKILL)
        busy.wait()
    assert quota.percent == 50
    left = [path for root in Path("/sys/fs/cgroup").glob("*") for path in root.glob(f"slewguard-{busy.pid}-*")]
    assert left == []


def fake_system(root, handed_down):
    """A cgroup v2 hierarchy as files: /app, whose parent hands down what it is told."""
    group = root / "sys/fs/cgroup/app"
    group.mkdir(parents=True)
    for place, controllers in ((group.parent, handed_down), (group, "")):
        (place / "cgroup.subtree_control").write_text(controllers)
        (place / "cgroup.procs").write_text("")
    proc = root / "proc"
    (proc / "7").mkdir(parents=True)
    (proc / "7/cgroup").write_text("0::/app\n")
    (proc / "self").mkdir()
    (proc / "self/mountinfo").write_text("30 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw\n")
    return (proc, root), group.parent


def test_cgroup_v2_gets_quota_and_period_in_the_nearest_group_that_may(tmp_path):
    roots, parent = fake_system(tmp_path, "cpuset cpu memory")
    with hold(7, 20, mechanism="cgroup2", roots=roots) as quota:
        (group,) = parent.glob("slewguard-7-*")
        assert (group / "cpu.max").read_text() == "20000 100000"
        assert (group / "cgroup.procs").read_text() == "7"
        (group / "cpu.stat").write_text("nr_periods 9\nnr_throttled 4\nthrottled_usec 5\n")
        assert quota.stopped() == 4
        for file in group.iterdir():  # the kernel's files go with the folder
            file.unlink()
    assert not list(parent.glob("slewguard-*"))
    assert (parent / "app/cgroup.procs").read_text() == "7"


def test_without_the_controller_the_reason_is_told(tmp_path):
    roots, _ = fake_system(tmp_path, "memory")
    with (
        pytest.raises(QuotaUnavailable, match="hands the cpu controller down"),
        hold(7, 20, mechanism="cgroup2", roots=roots),
    ):
        pass


@pytest.mark.parametrize("percent", [0, -5, 101, 0.5])
def test_no_quota_beyond_what_the_kernel_takes(percent):
    with pytest.raises(ValueError, match="no quota"), hold(os.getpid(), percent):
        pass
