"""Analysers on the generated C: no alarm of Eva on the whole plain style, no finding of MISRA that is not stated."""

from __future__ import annotations

import re
import shutil

import pytest

from slewguard.embedded import assure
from slewguard.embedded.generate import generate_c
from slewguard.embedded.traceability import RECORD
from slewguard.export.flight import random_model
from slewguard.export.package import open_model
from slewguard.subimages import BadInput


def need(tool, package):
    if shutil.which(tool) is None:
        pytest.skip(f"needs {tool}: apt install {package}")


def test_eva_has_no_alarm_on_the_plain_style():
    need("frama-c", "frama-c-base")
    assert assure.eva_findings(open_model("default")) == []


def test_eva_finds_a_planted_overflow(monkeypatch):
    """The gate can fail: an index one too far."""
    need("frama-c", "frama-c-base")
    real = assure.Printer.files

    def planted(self, *arguments):
        files = real(self, *arguments)
        was = b"for (int32_t out = 0; out < 8; out++) {"
        assert was in files["slewguard_network.c"]
        files["slewguard_network.c"] = files["slewguard_network.c"].replace(was, was.replace(b"< 8", b"< 9"), 1)
        return files

    monkeypatch.setattr(assure.Printer, "files", planted)
    assert any("out of bounds" in finding for finding in assure.eva_findings(random_model(0)))


def test_misra_findings_are_the_stated_deviations_and_no_others(monkeypatch):
    need("cppcheck", "cppcheck")
    stated = dict(assure.MISRA_DEVIATIONS)
    monkeypatch.setattr(assure, "MISRA_DEVIATIONS", {})
    model = random_model(0)
    lines = assure.misra_findings(model, "plain") + assure.misra_findings(model, "fast")
    found = {match[1] for line in lines if (match := re.search(r"misra-c2012-(\d+\.\d+)", line))}
    assert found == set(stated)
    assert all(len(reason) > 20 for reason in stated.values())


def test_missing_analysers_are_named(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(BadInput, match="frama-c-base"):
        assure.eva_findings(random_model(0))
    with pytest.raises(BadInput, match="package cppcheck"):
        assure.misra_findings(random_model(0))


@pytest.mark.parametrize("style", ["plain", "fast"])
def test_traceability_names_the_lines_of_every_layer(style):
    model = random_model(0)
    files = generate_c(model, style=style)
    rows = [line.split(",") for line in files[RECORD].decode().splitlines()]
    assert rows[0] == ["layer", "operator", "function", "file", "first_line", "last_line", "selftest_check", "test"]
    assert {row[0] for row in rows[1:]} >= {layer.name for layer in model.layers}
    for _, _, function, file, first, last, _, _ in rows[1:]:
        lines = files[file].decode().splitlines()
        assert re.search(rf"\b{function}\(", lines[int(first) - 1])
        assert lines[int(last) - 1] == "}"
        assert "}" not in lines[int(first) : int(last) - 1]
