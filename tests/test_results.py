"""The README shows what the benchmarks stored, and they measured the model that ships."""

import json
from pathlib import Path

import pytest

from slewguard.benchmarks import (
    certificate,
    conformance2000,
    disagreement,
    dividend,
    install_size,
    latency,
    learning_curve,
    quantised,
    retention,
    shift,
    size_curve,
    study_tables,
    without_labels,
)
from slewguard.benchmarks.default_model import RESULTS, render
from slewguard.export.backends import ENGINES
from slewguard.export.package import open_model

README = Path(__file__).parent.parent / "README.md"
DOCS = README.parent / "docs"
ARITHMETIC = DOCS / "arithmetic.md"
PAGES = (
    ("training.md", "shift", shift),
    ("training.md", "size", size_curve),
    ("training.md", "labels", learning_curve),
    ("training.md", "without", without_labels),
    ("studies.md", "studies", study_tables),
    ("studies.md", "certificate", certificate),
    ("studies.md", "quantised", quantised),
    ("chain.md", "dividend", dividend),
    ("chain.md", "thresholds", retention),
    ("bench.md", "latency", latency),
)
FILES = {"size": "size_curve", "labels": "learning_curve", "thresholds": "retention", "without": "without_labels"}


def test_readme_holds_the_stored_results():
    shown = README.read_text().split("<!-- results -->")[1]
    assert shown.strip() == render(RESULTS)


@pytest.mark.parametrize(("page", "marker", "benchmark"), PAGES, ids=[marker for _, marker, _ in PAGES])
def test_page_holds_the_stored_results(page, marker, benchmark):
    stored = json.loads((RESULTS / f"{FILES.get(marker, marker)}.json").read_text())
    assert (DOCS / page).read_text().split(f"<!-- {marker} -->")[1].strip() == benchmark.render(stored)


def test_results_are_of_the_shipped_model():
    model = open_model("default")
    for name in ("default_on_simulated", "default_on_alerts563"):
        assert json.loads((RESULTS / f"{name}.json").read_text())["model"]["sha256"] == model.sha256
    for name in ("dividend", "latency"):
        assert json.loads((RESULTS / f"{name}.json").read_text())["model_sha256"] == model.sha256
    assert json.loads((RESULTS / "learning_curve.json").read_text())["start"] == {"model_sha256": model.sha256}
    for row in json.loads((RESULTS / "conformance.json").read_text()):
        assert row["ran"]
        assert row["bytes_different"] == row["verdict_flips"] == 0


def test_page_holds_the_stored_disagreement_and_each_engine_equals_its_own_arithmetic():
    stored = json.loads(disagreement.STORED.read_text())
    shown = ARITHMETIC.read_text().split("<!-- disagreement -->")[1]
    assert shown.strip() == disagreement.render(stored)
    for found in stored["compared"]:
        assert found["bytes"] > 10_000_000
        for row in found["rows"]:
            assert row["different"][row["arithmetic"]]["bytes"] == 0


def test_every_engine_is_equal_on_2000_sub_images_and_every_planted_error_is_found():
    stored = json.loads(conformance2000.STORED.read_text())
    assert ARITHMETIC.read_text().split("<!-- conformance -->")[1].strip() == conformance2000.render(stored)
    assert stored["model_sha256"] == open_model("default").sha256
    assert stored["inputs"] > 2000
    assert stored["ties"] > 0
    assert {row["engine"] for row in stored["rows"]} >= {*ENGINES, "torch", "c"}
    for row in (*stored["rows"], *stored["rows_at_ties"]):
        assert row["ran"]
        assert row["bytes_different"] == row["verdict_flips"] == 0
    assert all(all(found.values()) for found in stored["planted"].values())


def test_core_installation_is_small_and_quickly_imported():
    stored = json.loads((RESULTS / "install_size.json").read_text())
    assert stored["megabytes"] < install_size.LIMIT_MB
    assert stored["import_seconds"]["slewguard.export"] < 0.5
