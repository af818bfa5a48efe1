"""Populations drawn for training are valid configurations of their own, and no variant that shift is measured on."""

from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import label

from slewguard.benchmarks import populations
from slewguard.sim.catalogue import catalogue, read_catalogue
from slewguard.sim.config import SimConfig, load_config

VARIED = {"trigger.bands_kev", "trigger.image_scales", "pointing.too_share", "pointing.too_galactic_share"}
HERE = Path(populations.__file__).parent


def test_a_population_is_drawn_from_its_number_alone(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    for number in (4, 5, 6, 7):
        one, same = (populations.write_population(tmp_path / name, number, 101) for name in "ab")
        other = populations.write_population(tmp_path / "b", number + 4, 101)
        text = one.read_text()
        assert text == same.read_text().replace(str(tmp_path / "b"), str(tmp_path / "a"))
        assert text != other.read_text().replace(str(tmp_path / "b"), str(tmp_path / "a"))
        assert populations.FAMILIES[number % 4] in text.splitlines()[0]
        config = load_config(one)
        assert (config.instrument.mask_path is None) == (number % 4 == 0)


def test_published_numbers_stay():
    drawn, defaults = SimConfig.model_validate(populations.draw(np.random.default_rng(0))), SimConfig()
    for name, section in defaults:
        for key, field in type(section).model_fields.items():
            mark = field.json_schema_extra["mark"]
            if mark == "published" and f"{name}.{key}" not in VARIED:
                assert getattr(getattr(drawn, name), key) == getattr(section, key), f"{name}.{key}"


@pytest.mark.parametrize("seed", range(4))
def test_grown_plates_stay_in_one_piece(seed):
    rng = np.random.default_rng(seed)
    pattern = populations.draw_mask(rng, "grown")
    assert 0.25 < pattern.mean() < 0.43
    assert label(~np.pad(pattern, 1))[1] == 1


def test_families_differ_in_how_neighbours_go_together():
    def neighbours(family):
        correlation = []
        for seed in range(8):
            cells = populations.draw_mask(np.random.default_rng(seed), family).astype(float)
            cells -= cells.mean()
            correlation.append((cells[1:] * cells[:-1]).mean() / cells.var())
        return np.mean(correlation)

    # Independent cells: 0 within 5 standard errors of 8 masks of 46 x 45 pairs.
    assert abs(neighbours("independent")) < 5 / np.sqrt(8 * 46 * 45)
    assert neighbours("grown") < -0.01
    assert neighbours("clumped") > 0.1


def test_a_drawn_catalogue_is_the_shipped_one_without_some_fainter_sources(tmp_path):
    whole = catalogue(SimConfig().catalogue)
    path = tmp_path / "some.csv"
    path.write_text(populations.draw_catalogue(np.random.default_rng(3)) + "\n")
    some = read_catalogue(path)
    assert 0 < len(some.number) < len(whole.number)
    assert set(some.number) <= set(whole.number)
    bright = np.argsort(whole.flux_crab[:, 0])[-10:]
    assert set(whole.number[bright]) <= set(some.number)


@pytest.mark.parametrize("name", ["mask", "trigger", "defects"])
def test_variants_for_shift_are_valid_and_not_what_is_trained_on(name, monkeypatch):
    monkeypatch.chdir(HERE.parent)
    config = load_config(HERE / f"shift_{name}.yaml")
    assert config.digest() != SimConfig().digest()
