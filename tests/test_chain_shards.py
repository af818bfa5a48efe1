"""The chain's ledger does not depend on shards, processes or kills; and all engines write the same one."""

import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import quick_campaign
from click.testing import CliRunner

from slewguard.benchmarks import chain_shards
from slewguard.benchmarks.chain_sets import simulated
from slewguard.cli.chain import command
from slewguard.cli.engines import open_classifier
from slewguard.embedded.target import load_target
from slewguard.export.package import open_model
from slewguard.sim.campaign import Campaign, simulate_to_file
from slewguard.sim.chain import run_chain
from slewguard.sim.config import SimConfig, drop_config
from slewguard.subimages import BadInput, read_triggers

CONFIG = SimConfig.model_validate({"trigger": {"slew_threshold": 0.5}})
"""The quick events are noise: with a threshold this low many ask for a slew."""
DAYS, SEED = 12, 3


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr("slewguard.sim.campaign.alerts", quick_campaign.quick_alerts)


@pytest.fixture(scope="module")
def config_file(tmp_path_factory) -> Path:
    place = tmp_path_factory.mktemp("config") / "config.yaml"
    place.write_text(drop_config(CONFIG))
    return place


def chain(folder: Path, config_file: Path, *sets: Path) -> bytes:
    words = [word for path in sets for word in ("--triggers", str(path))]
    options = ["default", *words, "--config", str(config_file), "--ledger", str(folder / "ledger.csv")]
    done = CliRunner().invoke(command, options, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return (folder / "ledger.csv").read_bytes()


@pytest.fixture(scope="module")
def whole(tmp_path_factory, config_file) -> bytes:
    """Ledger of an uninterrupted run in one process."""
    folder = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("slewguard.sim.campaign.alerts", quick_campaign.quick_alerts)
        simulate_to_file(Campaign(CONFIG, DAYS, SEED), folder / "whole.h5")
    ledger = chain(folder, config_file, folder / "whole.h5")
    assert len(ledger.splitlines()) > 50
    assert ledger.count(b",slew,") + ledger.count(b",denied,") > 10
    return ledger


def test_16_shards_in_any_order_give_the_same_ledger(whole, tmp_path, config_file):
    shards = [tmp_path / f"{i}.h5" for i in range(16)]
    for i, shard in enumerate(shards):
        simulate_to_file(Campaign(CONFIG, DAYS, SEED, (i, 16)), shard)
    assert chain(tmp_path, config_file, *shards[::-1]) == whole


@pytest.mark.parametrize("of_the_command", [False, True])
def test_a_kill_changes_nothing(whole, tmp_path, config_file, monkeypatch, of_the_command):
    def quick_words(out: Path, days: float, *more: object) -> list[str]:
        options = ("--days", days, "--seed", SEED, "--config", config_file, "--out", out, *more)
        return [sys.executable, quick_campaign.__file__, *map(str, options)]

    monkeypatch.setattr(chain_shards, "simulate_words", quick_words)
    out = tmp_path / "out.h5"
    # As soon as there is a worker.
    assert chain_shards.run_killed(out, DAYS, 0.0, of_the_command, random.Random(1))
    assert chain(tmp_path, config_file, out) == whole


def test_every_engine_writes_the_same_ledger_but_for_its_name(tmp_path):
    simulate_to_file(Campaign(CONFIG, 4, SEED), tmp_path / "a.h5")
    triggers, model = read_triggers(tmp_path / "a.h5"), open_model("default")
    ledgers = {
        name: run_chain(triggers, open_classifier(model, name), CONFIG, name).ledger()
        for name in ("numpy", "ort", "tflite-ref", "litert-ref", "c")
    }
    assert len({ledger.digest() for ledger in ledgers.values()}) == 1
    for name, ledger in ledgers.items():
        assert set(ledger.column("engine")) == {name}
    assert "-" in "".join(ledgers["numpy"].column("score"))


def test_leon3_in_an_emulator_writes_the_same_ledger(tmp_path):
    missing = load_target("leon3").missing()
    if missing:
        pytest.skip(f"needs {', '.join(missing)}: apt install {' '.join(sorted(set(missing.values())))}")
    simulate_to_file(Campaign(CONFIG, 4, SEED), tmp_path / "a.h5")
    triggers, model = read_triggers(tmp_path / "a.h5"), open_model("default")
    # Two programs at least, and looks of one sequence that do not stand together.
    triggers = triggers.select(np.random.default_rng(1).permutation(np.arange(len(triggers)).repeat(5))[:140])
    found = [run_chain(triggers, open_classifier(model, name), CONFIG, name).ledger() for name in ("numpy", "leon3")]
    assert found[0].digest() == found[1].digest()
    assert len(found[1].lines) == 140


def test_benchmarks_read_the_set_that_they_made_and_refuse_another(tmp_path):
    place = tmp_path / "set.h5"
    first = simulated(place, CONFIG, 2.0, SEED, 1)
    before = place.stat().st_mtime_ns
    assert simulated(place, CONFIG, 2.0, SEED, 1).snr.tobytes() == first.snr.tobytes()
    assert place.stat().st_mtime_ns == before
    for days, seed in ((3.0, SEED), (2.0, SEED + 1)):
        with pytest.raises(BadInput, match=r"set\.h5: holds another campaign"):
            simulated(place, CONFIG, days, seed, 1)


def test_an_engine_that_does_not_exist_is_one_clear_line(tmp_path):
    simulate_to_file(Campaign(CONFIG, 1, SEED), tmp_path / "a.h5")
    words = [sys.executable, "-m", "slewguard.cli.main", "chain", "--triggers", tmp_path / "a.h5", "--engine", "abacus"]
    done = subprocess.run(list(map(str, words)), capture_output=True, text=True)
    assert done.returncode == 2
    assert "unknown engine 'abacus'" in done.stderr.splitlines()[-1]
