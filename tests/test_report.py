"""The report: what is in it, what is said to be missing, and that nothing in a file gets out of its place."""

import csv
import json
import math
import os
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score
from subimage_examples import plain_set

from slewguard.benchmarks.default_model import RESULTS
from slewguard.cli.main import main
from slewguard.export.flight import random_model
from slewguard.ground.markup import Html, table, tag, text
from slewguard.ground.report import POLICY, write_report
from slewguard.ground.report_files import read_results, same_ledgers
from slewguard.ground.report_parts import share_text
from slewguard.ground.report_plots import roc_points
from slewguard.subimages import BadInput

HOSTILE = "</td></style><script>alert(1)</script><img src=http://127.0.0.1:1/x onerror=alert(1)>\"'&\x00\u202e"
COLUMNS = (
    *("time_s", "day", "sequence", "look", "cause", "label", "trigger", "band_lo_kev", "band_hi_kev", "window_s"),
    *("snr", "score", "statistic", "verdict", "reason", "engine", "asks", "slew_without", "slew_with"),
    *("consequence", "outcome"),
)


def ledger(path, triggers, engine="numpy", cause="grb"):
    """A burst that is lost, a false alert that is vetoed, and a burst that slews."""
    told = [
        ("true", cause, "veto", -90, 1, 0, "denied", "burst_lost"),
        ("false", "saa", "veto", -70, 1, 0, "denied", "avoided"),
        ("true", "unknown_source", "confirm", 80, 1, 1, "slew", "same"),
    ]
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for i, (label, name, verdict, score, without, turns, consequence, outcome) in enumerate(told):
            snr = f"{triggers.columns['peak_snr'][i]:.3f}"
            found = (i, 0, triggers.sequence[i], 1, name, label, "CRT", 5, 20, 20.48, snr)
            writer.writerow([*found, score, score, verdict, "ok", engine, 1, without, turns, consequence, outcome])


@pytest.fixture(scope="module")
def triggers():
    plain = plain_set(3)
    peaks = np.array([8.5, 9.25, 30.125], dtype="f4")
    return replace(plain, columns={"sequence": np.arange(3) + 40, "peak_snr": peaks})


@pytest.fixture(scope="module")
def folder(tmp_path_factory, triggers):
    """Results as the project stores them, with a model and ledgers of two engines."""
    folder = tmp_path_factory.mktemp("report") / "results"
    (folder / "run").mkdir(parents=True)
    for name in ("chain", "default_on_simulated", "handmade_int8", "conformance", "bench", "scorecard", "targets"):
        (folder / f"{name}.json").write_bytes((RESULTS / f"{name}.json").read_bytes())
    random_model(3).save(folder / "run" / "model.json")
    ledger(folder / "a.csv", triggers)
    ledger(folder / "b.csv", triggers, engine="c")
    (folder / "notes.txt").write_text("nothing of ours")
    return folder


@pytest.fixture(scope="module")
def page(folder, triggers):
    out = folder.parent / "page.html"
    write_report(folder, out, [triggers])
    return out.read_text()


class Parsed(HTMLParser):
    """Elements with their attributes, and all text that is shown."""

    def __init__(self, page):
        super().__init__()
        self.elements, self.words, self.open = [], [], []
        self.feed(page)
        self.close()

    def handle_starttag(self, name, attributes):
        self.elements.append((name, dict(attributes)))
        if name not in ("meta", "img", "br", "link"):
            self.open.append(name)

    def handle_endtag(self, name):
        assert self.open.pop() == name

    def handle_data(self, data):
        if "style" not in self.open:
            self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())


def test_page_is_whole_and_asks_for_nothing(page):
    parsed = Parsed(page)
    assert parsed.open == []
    names = {name for name, _ in parsed.elements}
    assert not names & {"script", "link", "iframe", "object", "embed", "form", "base"}
    for name, attributes in parsed.elements:
        assert not any(key.startswith("on") for key in attributes)
        for key in ("src", "href", "xlink:href"):
            if key in attributes:
                assert attributes[key].startswith(("data:image/png;base64,", "#")), name
    assert "url(" not in page
    assert "@import" not in page
    assert {"http-equiv": "Content-Security-Policy", "content": POLICY} in [
        a for n, a in parsed.elements if n == "meta"
    ]
    assert "prefers-color-scheme: dark" in page


def test_headline_and_figures_are_those_of_the_files(page):
    shown = Parsed(page).text
    chain = json.loads((RESULTS / "chain.json").read_text())
    assert share_text(chain["false_avoided_share"]) in shown
    assert f"{chain['slews_without']:,} slews without the classifier" in shown
    figures = json.loads((RESULTS / "default_on_simulated.json").read_text())
    assert f"{figures['auc']:.4f}" in shown
    assert "thresholds" in shown.lower()


def test_every_lost_burst_is_shown_with_its_picture_and_why(page, triggers):
    shown = Parsed(page).text
    assert "1 lost of 2 bursts" in shown
    assert f"Sequence {triggers.sequence[0]}: grb" in shown
    rule = random_model(3).verdict
    assert f"Vetoed at look 1: the highest score so far was -90, below the veto threshold {rule.t_veto}" in shown
    pictures = [a for n, a in Parsed(page).elements if n == "img"]
    assert len(pictures) == 2  # the lost burst and the saved slew, once for both engines
    assert "In the picture: SNR" in shown


def test_ledgers_that_differ_in_the_engine_alone_are_told_as_one(folder, page):
    assert "2 ledgers, identical but for the engine's name" in Parsed(page).text
    ledgers = read_results(folder).of("ledger")
    assert [names for names, _ in same_ledgers(ledgers)] == [["a.csv (numpy)", "b.csv (c)"]]
    ledgers[1][1][0]["score"] = "-89"
    assert len(same_ledgers(ledgers)) == 2


def test_every_file_is_listed_with_its_hash(folder, page):
    results = read_results(folder)
    shown = Parsed(page).text
    for file in results.files:
        assert file.sha256 in shown
        assert file.name in shown
    kinds = {file.name: file.kind for file in results.files}
    assert kinds["notes.txt"] == "other"
    assert kinds["run/model.json"] == "model"
    assert "other" not in {kind for name, kind in kinds.items() if name != "notes.txt"}


def test_same_folder_same_bytes(folder, page, triggers, tmp_path):
    write_report(folder, tmp_path / "again.html", [triggers])
    assert (tmp_path / "again.html").read_text() == page


def test_an_empty_folder_says_what_is_missing(tmp_path):
    (tmp_path / "empty").mkdir()
    write_report(tmp_path / "empty", tmp_path / "page.html")
    parsed = Parsed((tmp_path / "page.html").read_text())
    assert parsed.open == []
    for verb in ("slewguard chain", "slewguard evaluate", "slewguard bench", "slewguard conformance"):
        assert verb in parsed.text


def poison(value):
    """Every text hostile, every name of a value that is not ours too, numbers as they are."""
    if isinstance(value, dict):
        return {key: value[key] if key == "format" else poison(value[key]) for key in value} | {HOSTILE: HOSTILE}
    if isinstance(value, list):
        return [poison(item) for item in value]
    return HOSTILE if isinstance(value, str) else value


def poisoned(folder, into):
    into.mkdir()
    for path in folder.glob("*.json"):
        (into / path.name).write_text(json.dumps(poison(json.loads(path.read_text()))))
    rows = list(csv.DictReader((folder / "a.csv").open()))
    keep = {"label", "outcome", "sequence", "look", "slew_without", "slew_with", "asks", "score", "verdict"}
    with (into / "a.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows({k: v if k in keep else HOSTILE for k, v in row.items()} for row in rows)
    (into / '"><script>alert(2)<.json').write_text("{]")
    return into


def test_hostile_files_stay_text(folder, tmp_path, triggers):
    write_report(poisoned(folder, tmp_path / "hostile"), tmp_path / "page.html", [triggers])
    page = (tmp_path / "page.html").read_text()
    parsed = Parsed(page)
    assert parsed.open == []
    assert not {name for name, _ in parsed.elements} & {"script", "iframe", "object"}
    assert "<script>alert(1)</script>" in parsed.text  # shown as the text that it is
    assert page.count("</style>") == 1
    assert not re.search("[\x00\u202e]", page)
    assert all(a.get("src", "data:").startswith("data:") for _, a in parsed.elements)


@settings(deadline=None)
@given(st.text(), st.text())
def test_text_comes_back_as_it_was_and_only_as_text(content, attribute):
    made = tag("p", content, title=attribute)
    parsed = Parsed(made)
    assert [name for name, _ in parsed.elements] == ["p"]
    assert "".join(parsed.words) == text_of(content)
    assert parsed.elements[0][1]["title"] == text_of(attribute)


def text_of(content):
    parsed = Parsed(f"<p>{text(content)}</p>")
    back = "".join(parsed.words)
    assert len(back) == len(content)
    return back


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**6), 10**6) | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@settings(deadline=None, max_examples=25)
@given(data=st.data())
def test_results_of_any_shape_never_end_the_report(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("shapes")
    for name in ("chain", "default_on_simulated", "handmade_int8", "conformance", "scorecard"):
        content = json.loads((RESULTS / f"{name}.json").read_text())
        one = content[0] if isinstance(content, list) else content
        key = data.draw(st.sampled_from(sorted(one)))
        one[key] = data.draw(JSON)
        (folder / f"{name}.json").write_text(json.dumps(content))
    write_report(folder, folder.parent / "page.html")
    assert Parsed((folder.parent / "page.html").read_text()).open == []


def test_files_that_cannot_be_read_are_told(tmp_path):
    folder = tmp_path / "results"
    folder.mkdir()
    (folder / "cut.json").write_text('{"slews_without": 1')
    (folder / "deep.json").write_text("[" * 100_000)
    (folder / "latin.csv").write_bytes(b"a,\xe9\n1,2\n")
    os.mkfifo(folder / "pipe.json")
    (folder / "link.json").symlink_to("/etc/passwd")
    results = write_report(folder, tmp_path / "page.html")
    faults = {file.name: file.fault for file in results.files}
    assert set(faults) == {"cut.json", "deep.json", "latin.csv"}
    assert all(faults.values())
    assert "root:" not in (tmp_path / "page.html").read_text()


def test_no_folder_is_one_line(tmp_path, monkeypatch, capsys):
    with pytest.raises(BadInput, match="no such folder"):
        write_report(tmp_path / "none", tmp_path / "page.html")
    monkeypatch.setattr(
        "sys.argv", ["slewguard", "report", str(tmp_path / "none"), "--out", str(tmp_path / "page.html")]
    )
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert "none" in capsys.readouterr().err
    assert not (tmp_path / "page.html").exists()


def test_command_writes_the_page(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["slewguard", "report", str(folder), "--out", str(tmp_path / "page.html")])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
    assert "files understood" in capsys.readouterr().err
    assert "no trigger set given" in (tmp_path / "page.html").read_text()


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(-5, 5), st.booleans()), min_size=2, max_size=60))
def test_curve_is_that_of_scikit_learn(alerts):
    score, true = (np.array(column) for column in zip(*alerts, strict=True))
    if true.all() or not true.any():
        return
    false_kept, true_kept = roc_points(score.astype(float), true)
    area = float((np.diff(false_kept) * (true_kept[1:] + true_kept[:-1]) / 2).sum())
    assert math.isclose(area, roc_auc_score(true, score), abs_tol=1e-12)
    assert (false_kept[0], true_kept[0], false_kept[-1], true_kept[-1]) == (0, 0, 1, 1)


def test_markup_made_here_is_not_escaped_again():
    assert table(("a", "b"), [(tag("b", "<"), 1)]).count("&lt;") == 1
    assert isinstance(tag("br"), Html)
    assert Path(__file__).name not in tag("p", "x")


def rate(value):
    return {"value": value, "lo": value / 2, "hi": value * 2, "n": 9}


def test_faults_dividend_budget_and_retention_of_more_bursts_have_their_places(tmp_path):
    folder = tmp_path / "results"
    folder.mkdir()
    kind = {
        "family": "transport",
        "kind": "lost",
        "burst_alerts": 12034,
        "bursts_newly_vetoed": 0,
        "bursts_newly_lost": 0,
    }
    kind |= {"alerts": 20000, "newly_vetoed": 0, "unaccounted": 7, "avoided_with": 200, "avoided_without": 230}
    hurt = {
        "kind": "wrong_catalogue",
        "applied": 80,
        "silent": 3,
        "vetoed_share": {"value": 0.02, "lo": 0, "hi": 0.1, "n": 77},
    }
    files = {"files": 100, "refused": 98, "same": 2, "accepted": 0}
    faults = {"kinds": [kind], "physical": [hurt], "model_files": files, "events": 80}
    row = {"slew_threshold": 7.5, "noise_slews_per_year_at_most": 3.0, "within_todays_false_slews": True}
    row |= {f"bursts{what}_per_year": rate(value) for what, value in (("", 75.5), ("_gained", 6.5), ("_lost", 1.5))}
    row["false_slews_per_year"] = rate(250.0)
    today = {"slew_threshold": 8.0, "bursts_per_year": rate(70.5), "false_slews_per_year": rate(300.0)}
    dividend = {"today": today, "rows": [row], "lowest_at_equal_false_slews": row}
    chain = json.loads((RESULTS / "chain.json").read_text())
    budget = {"target": "leon3", "style": "fast", "this_model": True, "judge_instructions": 593570, "clock_mhz": 100.0}
    budget |= {"images_per_s": 1.0, "seconds": [0.006, 0.012], "share_of_image": [0.006, 0.012]}
    chain["onboard_budget"] = [budget]
    more = chain | {"enrich": 5.0, "days": 9.0, "bursts": 2345, "bursts_vetoed": 3, "onboard_budget": []}
    for name, content in (("f", faults), ("d", dividend), ("c", chain), ("e", more)):
        (folder / f"{name}.json").write_text(json.dumps(content))
    write_report(folder, tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    shown = Parsed(page).text
    assert 'class="fault"' not in page
    assert '<span class="good">0</span>' in page
    assert '<span class="bad">7</span>' in page
    assert "2.0 % [0.0, 10.0] of 77" in shown
    assert "the threshold may drop to 7.5 σ" in shown
    assert "593,570" in shown
    assert "0.6 to 1.2 %" in shown
    assert "5 times as many bursts; 3 lost" in shown
    assert shown.index("500 simulated mission days") < shown.index("5 times as many bursts")
