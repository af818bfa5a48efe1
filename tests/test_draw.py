"""Pictures: of the right kind, the same each time, and showing what is in the sub-image."""

from __future__ import annotations

import builtins
import os

import numpy as np
import pytest
from subimage_examples import broken, one, plain_arrays, plain_set

from slewguard.subimages import BadInput, SubImage, TriggerSet, draw_subimage, draw_triggers

MAGIC = {"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}


@pytest.mark.parametrize("suffix", MAGIC)
def test_pictures_are_what_their_suffix_says_and_repeat(tmp_path, suffix):
    paths = [tmp_path / f"{i}.{suffix}" for i in range(2)]
    for path in paths:
        draw_subimage(one(), path, title="An alert", verdict_line="abstain, score 3")
    assert paths[0].read_bytes().startswith(MAGIC[suffix])
    assert paths[0].read_bytes() == paths[1].read_bytes()


def _pixels(path):
    from matplotlib.image import imread

    return imread(path)


def test_a_source_and_missing_data_are_seen(tmp_path):
    snr, mask = plain_arrays(2)
    draw_subimage(SubImage(snr[0], mask[0]), tmp_path / "whole.png")
    without = mask[0].copy()
    without[40, 10] = 1
    draw_subimage(SubImage(snr[0], without), tmp_path / "without.png")
    draw_subimage(SubImage(snr[1], mask[1]), tmp_path / "partial.png")
    whole, no_source, partial = (_pixels(tmp_path / f"{n}.png") for n in ("whole", "without", "partial"))
    assert whole.shape == no_source.shape == partial.shape
    # The mark of a source is the one green thing on the page.
    green = [((p[..., 1] > p[..., 0] + 0.2) & (p[..., 1] > p[..., 2] + 0.1)).sum() for p in (whole, no_source)]
    assert green[0] > 100
    assert green[1] == 0
    grey = [(np.abs(p[..., :3] - 0.82).max(axis=-1) < 0.01).sum() for p in (whole, partial)]
    assert grey[1] > grey[0] + 1000


def test_svg_holds_the_words(tmp_path, monkeypatch):
    import matplotlib

    with matplotlib.rc_context({"svg.fonttype": "none"}):
        draw_subimage(one(), tmp_path / "a.svg", verdict_line="veto, score -90")
        draw_triggers(plain_set(3), tmp_path / "b.svg")
    assert "veto, score -90" in (tmp_path / "a.svg").read_text()
    assert "IMT alert, 20.48 s" in (tmp_path / "a.svg").read_text()
    sheet = (tmp_path / "b.svg").read_text()
    assert "3 of 3 alerts, simulated" in sheet
    assert "1: false, unknown_source, 9.0 σ" in sheet


@pytest.mark.parametrize("n", [1, 2, 7])
def test_contact_sheet_of_any_size(tmp_path, n):
    draw_triggers(plain_set(n), tmp_path / "a.png", limit=6)
    assert (tmp_path / "a.png").stat().st_size > 5000


def test_rejected_sub_images_are_drawn_with_their_reason(tmp_path):
    import matplotlib

    reasons = ("empty", "off_centre", "no_trigger_pixel", "bad_value")
    planes = [broken(reason) for reason in reasons]
    triggers = TriggerSet(np.array([p[0] for p in planes]), np.array([p[1] for p in planes]))
    with matplotlib.rc_context({"svg.fonttype": "none"}):
        draw_triggers(triggers, tmp_path / "a.svg")
    for reason in reasons:
        assert f"rejected: {reason}" in (tmp_path / "a.svg").read_text()


def test_bad_places_and_suffixes(tmp_path):
    for path in (tmp_path / "a.jpeg", tmp_path / "a", tmp_path / "missing" / "a.png"):
        with pytest.raises(BadInput) as caught:
            draw_subimage(one(), path)
        assert caught.value.path == path
    with pytest.raises(BadInput, match="no alert"):
        draw_triggers(plain_set(0), tmp_path / "a.png")
    assert os.listdir(tmp_path) == []


def test_without_matplotlib_the_extra_is_named(tmp_path, monkeypatch):
    original = builtins.__import__

    def without(name, *args, **kwargs):
        if name.split(".")[0] == "matplotlib":
            raise ImportError(name)
        return original(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(BadInput, match="plots"):
        draw_subimage(one(), tmp_path / "a.png")
