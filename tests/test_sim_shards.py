"""Campaigns give the same bytes however they are cut: shards, processes, clusters, kills."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import distributed
import numpy as np
import pytest
import quick_campaign

from slewguard.sim.campaign import Campaign, simulate, simulate_to_file
from slewguard.sim.cluster import dask, processes, versions
from slewguard.sim.config import SimConfig
from slewguard.sim.shards import WorkFolder, join
from slewguard.sim.slurm import sbatch_script
from slewguard.sim.workers import WorkersLost
from slewguard.subimages import BadInput, TriggerSet
from slewguard.subimages.contract import COLUMNS, SHAPE
from slewguard.subimages.hdf5 import read_triggers_hdf5, write_triggers_hdf5

CONFIG = SimConfig()
DAYS = 40
SCRIPT = [sys.executable, quick_campaign.__file__]


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr("slewguard.sim.campaign.alerts", quick_campaign.quick_alerts)


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> bytes:
    """The bytes of an uninterrupted run in one process."""
    out = tmp_path_factory.mktemp("whole") / "whole.h5"
    command(out, "--workers", 1)
    assert len(read_triggers_hdf5(out)) > 100
    return out.read_bytes()


def words(out: Path, *options: object) -> list[str]:
    return [*SCRIPT, *map(str, ("--days", DAYS, "--seed", 3, "--out", out, *options))]


def command(out: Path, *options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(words(out, *options), capture_output=True, text=True, check=True)


def until(true: Callable[[], object]) -> None:
    ends = time.monotonic() + 60
    while not true():
        assert time.monotonic() < ends
        time.sleep(0.005)


def chunks(out: Path) -> int:
    return len([p for p in out.with_name(out.name + ".work").glob("*.h5") if p.stem.isdigit()])


def children(pid: int) -> list[int]:
    """Worker processes of a process (not the resource tracker of multiprocessing)."""
    found = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in map(int, (task / "children").read_text().split()):
            if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes():
                found.append(child)
    return found


def is_running(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.mark.parametrize("n", [1, 8])
def test_shards_in_any_order_join_to_the_same_bytes(whole, tmp_path, n):
    shards = [tmp_path / f"{i}.h5" for i in range(n)]
    for i, shard in enumerate(shards):
        simulate_to_file(Campaign(CONFIG, DAYS, 3, (i, n)), shard)
    write_triggers_hdf5(tmp_path / "all.h5", join(shards[::-1]))
    assert (tmp_path / "all.h5").read_bytes() == whole


def test_the_set_in_memory_is_the_one_in_the_file(whole, tmp_path):
    write_triggers_hdf5(tmp_path / "a.h5", simulate(CONFIG, days=DAYS, seed=3))
    assert (tmp_path / "a.h5").read_bytes() == whole


@pytest.mark.parametrize(("workers", "at"), [(1, 0), (1, 3), (2, 1), (2, 5)])
def test_killed_and_resumed(whole, tmp_path, workers, at):
    out = tmp_path / "out.h5"
    running = subprocess.Popen(words(out, "--workers", workers), stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    until(lambda: workers == 1 or len(children(running.pid)) == workers)
    orphans = children(running.pid)
    until(lambda: (tmp_path / "out.h5.work" / "campaign.json").exists() and chunks(out) >= at)
    running.send_signal(signal.SIGKILL)
    assert running.wait() == -signal.SIGKILL
    until(lambda: not any(map(is_running, orphans)))
    assert [p.name for p in tmp_path.iterdir()] == ["out.h5.work"]
    kept = {p: p.stat().st_mtime_ns for p in (tmp_path / "out.h5.work").glob("[0-9]*.h5")}
    assert len(kept) >= at
    # Resumed with another number of workers, and killed once more.
    running = subprocess.Popen(words(out, "--workers", 1), stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    until(lambda: chunks(out) > len(kept))
    running.send_signal(signal.SIGKILL)
    running.wait()
    assert all(p.stat().st_mtime_ns == kept[p] for p in kept)
    command(out, "--workers", 2)
    assert out.read_bytes() == whole
    assert [p.name for p in tmp_path.iterdir()] == ["out.h5"]


def test_a_killed_worker_is_replaced(whole, tmp_path):
    out = tmp_path / "out.h5"
    running = subprocess.Popen(words(out, "--workers", 2), stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    until(lambda: chunks(out) >= 1)
    os.kill(children(running.pid)[0], signal.SIGKILL)
    _, told = running.communicate(timeout=60)
    assert running.returncode == 0
    assert "Traceback" not in told
    assert out.read_bytes() == whole


def test_workers_that_keep_dying_end_in_one_line_and_keep_what_is_finished(whole, tmp_path):
    out = tmp_path / "out.h5"
    deadly = tmp_path / "deadly.py"
    # One event of the seventh chunk ends its process, as a lack of memory would.
    deadly.write_text(
        f"import sys; sys.path.insert(0, {str(Path(quick_campaign.__file__).parent)!r})\n"
        "import os, quick_campaign, slewguard.sim.campaign as campaign\n"
        "from slewguard.sim.timeline import events\n"
        f"from slewguard.sim.config import SimConfig\n"
        f"fatal = list(events(SimConfig(), {DAYS}, 3))[100]\n"
        "campaign.alerts = lambda c, s, e: os._exit(9) if e == fatal else quick_campaign.quick_alerts(c, s, e)\n"
        "if __name__ == '__main__':\n"
        "    sys.argv.insert(1, 'simulate')\n"
        "    quick_campaign.main()\n"
    )
    done = subprocess.run(
        [sys.executable, deadly, *words(out, "--workers", "2")[2:]], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 1
    (line,) = (line for line in done.stderr.splitlines() if line.startswith("slewguard: "))
    assert "died" in line
    assert "Traceback" not in done.stderr
    assert not out.exists()
    assert chunks(out) >= 1
    command(out)
    assert out.read_bytes() == whole


@pytest.mark.parametrize(
    ("other", "named"),
    [
        (("--seed", 4), "seed is 3, not 4"),
        (("--days", 41), "days is 40.0, not 41.0"),
        (("--shard", "0/2"), "shard is [0, 1], not [0, 2]"),
        (("--enrich", 2), "config is {}, not {'rates'"),
    ],
)
def test_another_campaign_does_not_go_on_there(tmp_path, other, named):
    out = tmp_path / "out.h5"
    folder = WorkFolder(out, Campaign(CONFIG, DAYS, 3).provenance() | versions() | {"chunk_events": 16})
    with folder.opened():
        pass
    before = sorted(p.name for p in folder.path.iterdir())
    done = subprocess.run(words(out, *other), capture_output=True, text=True)
    assert done.returncode == 2
    (line,) = (line for line in done.stderr.splitlines() if line.startswith("slewguard: "))
    assert named in line
    assert "out.h5.work" in line
    assert sorted(p.name for p in folder.path.iterdir()) == before


def test_two_runs_do_not_share_a_work_folder(tmp_path):
    campaign = Campaign(CONFIG, 1, 3)
    header = campaign.provenance()
    with (
        WorkFolder(tmp_path / "a.h5", header).opened(),
        pytest.raises(BadInput, match="another process"),
        WorkFolder(tmp_path / "a.h5", header).opened(),
    ):
        pass


def test_damaged_chunks_are_made_again_and_foreign_files_are_left_alone(whole, tmp_path, monkeypatch):
    out = tmp_path / "out.h5"
    work = tmp_path / "out.h5.work"
    campaign = Campaign(CONFIG, DAYS, 3)

    def cut_short(task, inputs):
        for number in list(inputs)[:4]:
            yield number, task(inputs[number])
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        simulate_to_file(campaign, out, run=cut_short)
    assert not out.exists()
    content = (work / "000001.h5").read_bytes()
    (work / "000001.h5").write_bytes(content[: len(content) // 2])
    shutil.copy(work / "000002.h5", work / "000003.h5")  # whole, but not the fourth chunk
    (work / "notes.txt").write_text("mine")
    made = []

    def watched(task, inputs):
        made.extend(inputs)
        yield from processes(1)(task, inputs)

    told = []
    simulate_to_file(campaign, out, run=watched, progress=lambda *state: told.append(state))
    assert made[:2] == [1, 3]
    assert not {0, 2} & set(made)
    assert told[0] == (32, told[-1][1])
    assert out.read_bytes() == whole
    assert [p.name for p in work.iterdir()] == ["notes.txt"]
    with pytest.raises(BadInput, match=r"notes\.txt"):
        simulate_to_file(campaign, out)
    assert [p.name for p in work.iterdir()] == ["notes.txt"]


def test_a_campaign_without_an_alert(tmp_path, monkeypatch):
    monkeypatch.setattr("slewguard.sim.campaign.alerts", lambda *_: [])
    triggers = simulate_to_file(Campaign(CONFIG, 12, 3), tmp_path / "none.h5")
    assert len(triggers) == len(read_triggers_hdf5(tmp_path / "none.h5")) == 0
    assert set(triggers.columns) == set(COLUMNS)


def test_output_that_cannot_be_written(tmp_path):
    campaign = Campaign(CONFIG, 1, 3)
    for out in (tmp_path / "no" / "a.h5", tmp_path):
        with pytest.raises(BadInput, match="cannot be written") as caught:
            simulate_to_file(campaign, out)
        assert caught.value.path == out
    (tmp_path / "b.h5.work").write_text("in the way")
    with pytest.raises(BadInput, match="cannot be written"):
        simulate_to_file(campaign, tmp_path / "b.h5")


def shard_set(index: int, n: int, **other: object) -> TriggerSet:
    columns = {name: np.zeros(1, dtype) for name, dtype in COLUMNS.items()}
    columns["trigger"] = np.array([b"IMT"], dtype="S3")
    columns["cause"] = np.array([b"column"], dtype="S16")
    columns["sequence"] = np.array([index], dtype="i8")
    mask = np.ones((1, *SHAPE), np.uint8)
    mask[0, 28, 28] = 3
    provenance = Campaign(CONFIG, 5, 3, (index, n)).provenance() | other
    return TriggerSet(np.zeros((1, *SHAPE), np.float32), mask, columns, True, provenance)


@pytest.mark.parametrize(
    ("sets", "fault"),
    [
        ([shard_set(0, 3), shard_set(2, 3)], "there lack 1/3"),
        ([shard_set(0, 2), shard_set(0, 2)], "1.h5: is shard 0/2, as .*0.h5 is"),
        ([shard_set(0, 2), shard_set(1, 3)], "1.h5: is one of 3 shards"),
        ([shard_set(0, 2), shard_set(1, 2, seed=4)], "1.h5: belongs to another campaign than .*: seed is 4, not 3"),
        ([shard_set(0, 2), shard_set(1, 2, enrich=9.0)], "enrich is 9.0, not 1.0"),
        ([replace(shard_set(0, 1), provenance={"shard": [0, 1]})], "0.h5: is not a shard"),
        ([shard_set(0, 1, shard=[1, 1])], "0.h5: is not a shard"),
        ([shard_set(0, 1, shard="0/1")], "0.h5: is not a shard"),
        ([], "no shards"),
    ],
)
def test_what_does_not_belong_together_is_not_joined(tmp_path, sets, fault):
    paths = [tmp_path / f"{i}.h5" for i in range(len(sets))]
    for path, triggers in zip(paths, sets, strict=True):
        write_triggers_hdf5(path, triggers)
    with pytest.raises(BadInput, match=fault) as caught:
        join(paths)
    assert "\n" not in str(caught.value)


def test_enriched_campaign_is_the_same_population_and_says_so(tmp_path):
    command(tmp_path / "rich.h5", "--days", 2, "--enrich", 7)
    found = read_triggers_hdf5(tmp_path / "rich.h5").provenance
    rich = CONFIG.model_copy(update={"rates": CONFIG.rates.model_copy(update={"enrich": 7.0})})
    assert found["enrich"] == 7
    assert found["config_sha256"] == rich.digest() == SimConfig.model_validate({"rates": {"enrich": 7.0}}).digest()
    assert Campaign(CONFIG, 1, 1).provenance()["enrich"] == 1


def test_dask_cluster_gives_the_same_bytes(whole, tmp_path):
    out = tmp_path / "out.h5"
    # Threads of this process, so that they take the quick events too.
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, processes=False, dashboard_address=None) as local:
        simulate_to_file(Campaign(CONFIG, DAYS, 3), out, run=dask(local.scheduler_address))
        assert out.read_bytes() == whole
        with pytest.raises(ZeroDivisionError):
            list(dask(local.scheduler_address)(_divide, {0: 0}))


def _divide(by: int) -> float:
    return 1 / by


def test_dask_cluster_with_other_versions_or_none_at_all(monkeypatch):
    with distributed.LocalCluster(n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None) as local:
        answers = iter([versions() | {"numpy": "0.1"}] + 9 * [versions()])
        monkeypatch.setattr("slewguard.sim.cluster.versions", lambda: next(answers))
        with pytest.raises(BadInput, match=r"a worker of the cluster has numpy .*, not 0\.1"):
            list(dask(local.scheduler_address)(_divide, {0: 1}))
    monkeypatch.setattr("slewguard.sim.cluster._CONNECT_S", 0.2)
    with pytest.raises(BadInput, match="no Dask scheduler answers at tcp://127"):
        list(dask("tcp://127.0.0.1:1")(_divide, {0: 1}))
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(BadInput, match=r"pip install 'slewguard\[campaign\]'"):
        dask("tcp://127.0.0.1:1")


def test_dask_workers_that_keep_dying(monkeypatch):
    killed = distributed.KilledWorker("task", None, 3)

    class Client:
        loop = None

        def __init__(self, *_: object, **__: object) -> None:
            pass

        def submit(self, *_: object, **__: object) -> distributed.Future:
            return _Failed()

        def close(self) -> None:
            pass

    class _Failed:
        def result(self) -> None:
            raise killed

    monkeypatch.setattr(distributed, "Client", Client)
    monkeypatch.setattr(distributed, "as_completed", lambda futures, loop: iter(futures))
    with pytest.raises(WorkersLost, match="kept dying"):
        list(dask("tcp://127.0.0.1:1")(_divide, {0: 1}))


def test_sbatch_script_runs_shards_and_joins_them(whole, tmp_path, monkeypatch):
    """With an sbatch that runs at once what it is given, as the array and dependency options say."""
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "sbatch").write_text(
        """#!/bin/bash
echo "$*" >> sbatch.log
cat > job.sh
case "$*" in
*--array=0-*) last=$(echo "$*" | sed 's/.*--array=0-\\([0-9]*\\).*/\\1/')
    for i in $(seq 0 "$last"); do SLURM_ARRAY_TASK_ID=$i bash job.sh >&2 || exit 1; done; echo "77;cluster" ;;
*) bash job.sh ;;
esac
"""
    )
    (tools / "slewguard").write_text(f'#!/bin/bash\nshift\nexec {sys.executable} {quick_campaign.__file__} "$@"\n')
    for tool in tools.iterdir():
        tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
    monkeypatch.chdir(tmp_path)
    script = command(Path("my days.h5"), "--sbatch", 3).stdout
    assert not Path("my days.h5").exists()
    subprocess.run(["bash", "-s", "--", "--account=grb"], input=script, text=True, check=True, capture_output=True)
    assert Path("my days.h5").read_bytes() == whole
    first, second = Path("sbatch.log").read_text().splitlines()
    assert "--array=0-2 " in first
    assert "--dependency=afterok:77 " in second
    assert first.endswith(" --account=grb")
    assert second.endswith(" --account=grb")
    made = {p: p.stat().st_mtime_ns for p in Path("my days.shards").glob("*.h5")}
    subprocess.run(["bash"], input=script, text=True, check=True, capture_output=True)
    assert all(p.stat().st_mtime_ns == made[p] for p in made)


def test_sbatch_script_quotes_what_it_is_given():
    script = sbatch_script(["--config", "it's $(mine).yaml"], 2, "a;b/year.h5")
    assert re.search(r"simulate --config 'it'\"'\"'s \$\(mine\).yaml'", script)
    assert "mkdir -p 'a;b/year.shards'" in script
    with pytest.raises(BadInput, match="line break"):
        sbatch_script([], 2, "a\nJOB\nrm -rf b")


def test_join_says_what_it_joined(tmp_path):
    for i in range(2):
        write_triggers_hdf5(tmp_path / f"{i}.h5", shard_set(i, 2))
    done = subprocess.run(
        [*SCRIPT, "--join", tmp_path / "0.h5", tmp_path / "1.h5", "--out", tmp_path / "all.h5", "--json", "-"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout)["n"] == 2
    assert read_triggers_hdf5(tmp_path / "all.h5").provenance == Campaign(CONFIG, 5, 3).provenance()
