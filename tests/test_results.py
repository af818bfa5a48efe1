"""The README shows what the benchmarks stored, and they measured the model that ships."""

import json
from pathlib import Path

from slewguard.benchmarks import disagreement
from slewguard.benchmarks.default_model import RESULTS, render
from slewguard.export.package import open_model

README = Path(__file__).parent.parent / "README.md"
ARITHMETIC = Path(__file__).parent.parent / "docs" / "arithmetic.md"


def test_readme_holds_the_stored_results():
    shown = README.read_text().split("<!-- results -->")[1]
    assert shown.strip() == render(RESULTS)


def test_results_are_of_the_shipped_model():
    model = open_model("default")
    for name in ("default_on_simulated", "default_on_alerts563"):
        assert json.loads((RESULTS / f"{name}.json").read_text())["model"]["sha256"] == model.sha256
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
