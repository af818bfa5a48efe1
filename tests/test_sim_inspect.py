"""An alert simulated again from its seed: the same bytes, the truth behind it, and one picture of it all."""

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.time import Time

from slewguard.cli.main import main
from slewguard.sim.campaign import Campaign
from slewguard.sim.config import SimConfig
from slewguard.sim.draw import draw_alert
from slewguard.sim.resimulate import NotReproduced, Resimulated, find_event, resimulate
from slewguard.sim.shards import collect
from slewguard.sim.timeline import EventId, events, simulate_event, sub_images
from slewguard.sim.truth import tell
from slewguard.subimages import BadInput, TriggerSet
from slewguard.subimages.hdf5 import read_triggers_hdf5, write_triggers_hdf5

CONFIG = SimConfig.model_validate({"rates": {"enrich": 40.0}, "trigger": {"image_scales": 3, "crt_scales": 0}})
SEED, DAYS = 5, 2.5
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trigger set with the first two bursts of a campaign that alert."""
    images: list[TriggerSet] = []
    for event in events(CONFIG, DAYS, SEED):
        simulated = simulate_event(CONFIG, SEED, event) if event.cause == "grb" else None
        if simulated is not None and simulated.alerts:
            images.append(TriggerSet.of(sub_images(simulated), simulated=True))
        if len(images) == 2:
            break
    path = tmp_path_factory.mktemp("stored") / "set.h5"
    write_triggers_hdf5(path, collect(images, Campaign(CONFIG, DAYS, SEED).provenance()))
    return path


@pytest.fixture(scope="module")
def last(stored: Path) -> Resimulated:
    return resimulate(stored, alert=len(read_triggers_hdf5(stored)) - 1)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    def call(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["slewguard", "inspect", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), out, err

    return call


def rewritten(stored: Path, path: Path, **changes: Any) -> Path:
    """Copy of the trigger set with other provenance; None takes an entry out."""
    triggers = read_triggers_hdf5(stored)
    told = {name: value for name, value in {**triggers.provenance, **changes}.items() if value is not None}
    write_triggers_hdf5(path, replace(triggers, provenance=told))
    return path


def test_events_are_found_by_their_sequence() -> None:
    line = list(events(CONFIG, DAYS, SEED))
    assert {int(e.day) for e in line} == {0, 1, 2}
    for event in line:
        assert find_event(CONFIG, DAYS, SEED, event.sequence) == event
    unknown = EventId(1, 9999, "grb").sequence
    assert find_event(CONFIG, DAYS, SEED, unknown) is None
    assert find_event(CONFIG, DAYS, SEED, EventId(3, 0, "grb").sequence) is None
    assert find_event(CONFIG, DAYS, SEED, -1) is None


def test_the_stored_sub_image_comes_out(stored: Path, last: Resimulated) -> None:
    triggers = read_triggers_hdf5(stored)
    assert last.subimage.snr.tobytes() == triggers.snr[-1].tobytes()
    assert last.subimage.mask.tobytes() == triggers.mask[-1].tobytes()
    assert last.simulated.event_id.sequence == triggers.sequence[-1]
    assert last.subimage.meta["time_s"] == triggers.columns["time_s"][-1]
    assert last.alert.truth.label == triggers.label[-1]


def test_a_sequence_is_shown_by_its_highest_alert(stored: Path) -> None:
    triggers = read_triggers_hdf5(stored)
    number = int(triggers.sequence[0])
    heights = triggers.columns["peak_snr"][triggers.sequence == number]
    assert resimulate(stored, sequence=number).alert.peak.snr == heights.max()


def test_the_truth_agrees_with_astropy_and_the_stored_columns(stored: Path, last: Resimulated) -> None:
    columns, facts = read_triggers_hdf5(stored).columns, tell(last)
    assert json.loads(json.dumps(facts, allow_nan=False)) == facts
    alert, new = facts["alert"], facts["event"]["new_source"]
    assert alert["stop_s"] == columns["time_s"][-1]
    assert np.float32(alert["window_s"]) == columns["window_s"][-1]
    since = Time(alert["stop_utc"], scale="utc") - Time(CONFIG.orbit.start, scale="utc")
    # The text is rounded to 1 ms.
    assert since.sec == pytest.approx(alert["stop_s"], abs=1e-3)
    peak, true = (SkyCoord(at["ra_deg"], at["dec_deg"], unit="deg") for at in (alert, new))
    assert peak.separation(true).arcmin == pytest.approx(new["from_alert_arcmin"], abs=1e-6)
    shares = {s["cause"]: s["share"] for s in facts["truth"]["shares"]}
    assert "grb" in shares
    assert (facts["truth"]["cause"] == "grb") <= (shares["grb"] >= 0.5)
    heights = [s["share"] for s in facts["truth"]["shares"]]
    assert heights == sorted(heights, reverse=True)
    numbers = [s["number"] for s in facts["known_sources"]]
    assert numbers
    assert sorted(numbers) == sorted(last.simulated.scene.sources.number)
    assert len(facts["sequence_alerts"]) == len(last.simulated.alerts)


def test_the_picture_shows_it_all_and_repeats(last: Resimulated, tmp_path: Path) -> None:
    import matplotlib

    for name in ("one.png", "two.png"):
        draw_alert(last, tmp_path / name)
    assert (tmp_path / "one.png").read_bytes()[:4] == b"\x89PNG"
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()
    with matplotlib.rc_context({"svg.fonttype": "none"}):
        draw_alert(last, tmp_path / "one.svg")
    text, facts = (tmp_path / "one.svg").read_text(), tell(last)
    bright = facts["known_sources"][0]
    on_map = 0 <= bright["catalogue_sky_y"] < 199 and 0 <= bright["catalogue_sky_z"] < 199
    assert (f"({bright['number']})" in text) == on_map
    shown = ("Shadowgram", "Sky map", "Sub-image", "Mask", "Count rate", "shares of the peak", "injected RA")
    for words in (*shown, facts["alert"]["start_utc"], f"sequence {facts['event']['sequence']}"):
        assert words in text
    with pytest.raises(BadInput):
        draw_alert(last, tmp_path / "one.gif")


def test_what_was_changed_is_not_reproduced(stored: Path, tmp_path: Path, run: Run) -> None:
    triggers = read_triggers_hdf5(stored)
    snr = triggers.snr.copy()
    snr[0, 0, 0] = np.nextafter(snr[0, 0, 0], np.float32(np.inf))
    edited = tmp_path / "edited.h5"
    write_triggers_hdf5(edited, replace(triggers, snr=snr))
    picture = tmp_path / "a.png"
    code, out, err = run(edited, "--alert", 0, "--out", picture)
    (line,) = (x for x in err.splitlines() if x.startswith("slewguard: "))
    assert (code, out) == (1, "")
    assert "edited.h5: alert 0" in line
    assert not picture.exists()


@pytest.mark.parametrize(
    ("changes", "error", "named"),
    [
        ({"config_sha256": "0" * 64}, NotReproduced, "another configuration"),
        ({"config": {}}, NotReproduced, "another configuration"),
        ({"config": None}, NotReproduced, "another configuration"),
        ({"seed": 6}, NotReproduced, "sequence"),
        ({"days": 1e-9}, NotReproduced, "sequence"),
        ({"made_by": "someone"}, BadInput, "not simulated here"),
        ({"seed": "5"}, BadInput, "seed"),
        ({"seed": 2**64}, BadInput, "seed"),
        ({"days": None}, BadInput, "days"),
        ({"config": [1]}, BadInput, "configuration"),
        ({"config": {"trigger": {"nothing": 1}}}, BadInput, "nothing"),
    ],
)
def test_other_campaigns_are_told_apart(
    stored: Path, tmp_path: Path, changes: dict[str, Any], error: type[Exception], named: str
) -> None:
    path = rewritten(stored, tmp_path / "other.h5", **changes)
    with pytest.raises(error, match=named) as caught:
        resimulate(path, alert=0)
    assert "other.h5" in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_bad_requests_are_refused(stored: Path, tmp_path: Path, run: Run) -> None:
    n = len(read_triggers_hdf5(stored))
    for words in (("--alert", n), ("--alert", -1), ("--sequence", 4)):
        code, out, err = run(stored, *words)
        assert (code, out) == (2, "")
        assert "set.h5" in err
    for words in (
        ("--alert", 0, "--sequence", 1),
        ("--alert", 0, "--index", 0),
        ("--alert", 0, "--draw", tmp_path / "a.png"),
        ("--out", tmp_path / "a.png"),
    ):
        code, out, err = run(stored, *words)
        assert (code, out) == (2, "")
    assert not list(tmp_path.iterdir())


def test_the_command_draws_and_tells(stored: Path, tmp_path: Path, run: Run) -> None:
    code, out, err = run(stored, "--alert", 0, "--out", tmp_path / "a.png", "--json", "-")
    assert code == 0
    facts = json.loads(out)
    assert facts["event"]["sequence"] == read_triggers_hdf5(stored).sequence[0]
    assert "shares of the peak" in err
    assert (tmp_path / "a.png").stat().st_size > 50_000
