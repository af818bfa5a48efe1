"""The README shows what the benchmarks stored, and they measured the model that ships."""

import json
from pathlib import Path

from slewguard.benchmarks.default_model import RESULTS, render
from slewguard.export.package import open_model

README = Path(__file__).parent.parent / "README.md"


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
