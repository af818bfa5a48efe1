"""Populations to train on beside the nominal one: ``python -m slewguard.benchmarks.populations --out FOLDER``.

A network that knows one simulator takes its habits for physics: trained with masks of one family alone, it rejects a
third of the false alerts seen through another (``docs/training.md``). So every population is a telescope of its own,
with a mask of another family, and everything that is assumed about trigger, defects, catalogue and sky is drawn anew
from a wide range. What is published (geometry, orbit, background spectra, bursts of BATSE) stays, but for bands,
exposures and where the satellite looks, which are varied as well.

Writes a configuration, a mask and a catalogue for each, simulates them (a killed run goes on where it stopped), and
joins their alerts in ``FOLDER/populations.h5`` for ``slewguard train NOMINAL.h5 --also FOLDER/populations.h5``.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slewguard.benchmarks.command import as_command
from slewguard.sim.config import SimConfig
from slewguard.sim.keys import log_uniform
from slewguard.subimages.atomic import atomic_output

CELLS = 46
FAMILIES = ("self-supporting", "grown", "independent", "clumped")
_BANDS = ((5.0, 20.0), (8.0, 50.0), (8.0, 120.0), (20.0, 120.0), (4.0, 20.0), (4.0, 50.0), (4.0, 120.0))
_CAUSES = tuple(name for name in SimConfig().rates.per_day() if name not in ("grb", "unknown_source", "outburst"))

Pattern = NDArray[np.bool_]


def main() -> None:
    """Draw, simulate, join."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--number", type=int, default=40, help="populations [40]")
    parser.add_argument("--days", type=float, default=40.0, help="of each [40]")
    parser.add_argument("--seed", type=int, default=101, help="of what is drawn, and of the time lines [101]")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    sets = []
    for number in range(arguments.number):
        config = write_population(arguments.out, number, arguments.seed)
        sets.append(config.with_suffix(".h5"))
        if not sets[-1].exists():
            words = ["--config", config, "--days", arguments.days, "--seed", arguments.seed + number]
            command = [sys.executable, "-m", "slewguard.cli.main", "simulate", *words, "--out", sets[-1]]
            subprocess.run([str(word) for word in command], check=True)
    write_joined(arguments.out / "populations.h5", sets)


def write_population(folder: Path, number: int, seed: int) -> Path:
    """Write configuration, mask and catalogue of a population; return the path of the configuration.

    Parameters
    ----------
    folder : Path
    number : int
        Which population.
    seed : int
        Of what is drawn.
    """
    import yaml

    rng = np.random.default_rng([seed, number])
    start = folder.resolve() / f"{number:02d}"
    family = FAMILIES[number % len(FAMILIES)]
    values = draw(rng)
    if family == "self-supporting":
        values["instrument"] |= {
            "mask_seeds": [int(rng.integers(7, 2**31))],
            "open_fraction": float(rng.uniform(0.33, 0.4)),
            "cross_cells": int(rng.choice([0, 2])),
        }
    else:
        path = start.with_suffix(".mask.txt")
        _write(path, "\n".join("".join("01"[cell] for cell in row) for row in draw_mask(rng, family).astype(int)))
        values["instrument"]["mask_path"] = str(path)
    path = start.with_suffix(".catalogue.csv")
    _write(path, draw_catalogue(rng))
    values["catalogue"]["path"] = str(path)
    SimConfig.model_validate(values)
    _write(start.with_suffix(".yaml"), f"# Mask: {family}\n{yaml.safe_dump(values, sort_keys=False)}")
    return start.with_suffix(".yaml")


def draw(rng: np.random.Generator) -> dict[str, dict[str, Any]]:
    """Draw what is assumed about instrument, trigger, defects, catalogue and sky; keys of the configuration."""
    defaults = SimConfig()

    def scaled(section: str, name: str, low: float, high: float) -> list[float]:
        factor = log_uniform(rng, (low, high))
        return [round(end * factor, 6) for end in getattr(getattr(defaults, section), name)]

    def between(low: float, high: float) -> float:
        return round(float(rng.uniform(low, high)), 4)

    def factor(low: float, high: float) -> float:
        return round(log_uniform(rng, (low, high)), 4)

    bands = _BANDS[:4] if rng.random() < 0.5 else sorted(rng.permutation(_BANDS)[: rng.integers(1, 4)].tolist())
    defects = {name: scaled("defects", name, 0.3, 3.0) for name in ("ever_pixel_scatter", "ever_module_scatter")}
    defects |= {name: scaled("defects", name, 0.3, 2.0) for name in ("ever_column", "ever_position_arcmin")}
    defects |= {name: scaled("defects", name, 0.3, 3.0) for name in ("residual_arcmin", "residual_flux")}
    disturbances = ("column_excess", "module_excess", "sector_excess", "heat_pipe_excess", "hot_excess")
    for name in (*disturbances, "noisy_excess", "saa_rate", "shower_counts", "limb_brightness", "limb_width_rad"):
        defects[name] = scaled("defects", name, 0.5, 2.0)
    rates = {cause: round(getattr(defaults.rates, cause) * factor(0.4, 3.0), 4) for cause in _CAUSES}
    return {
        "instrument": {
            "hole_to_cell": between(0.9, 1.0),
            "mask_thickness_mm": between(0.0, 1.2),
            "variance_cross_term": bool(rng.random() < 0.5),
        },
        "pointing": {"too_share": between(0.1, 1.0), "too_galactic_share": between(0.1, 1.0)},
        "catalogue": {"variability": factor(0.3, 2.0)},
        "bursts": {"near_known_share": between(0.1, 0.7), "disturbed_share": between(0.1, 0.8)},
        "defects": defects | {"wrong_share": between(0.0, 0.6)},
        "trigger": {
            "bands_kev": [list(band) for band in bands],
            "image_scales": int(rng.integers(2, 8)),
            "alert_threshold": between(6.0, 7.5),
            "adaptive_cap": [1.0, between(1.0, 3.0)],
            "second_peak_ratio": [between(0.7, 1.0), between(1.0, 1.4)],
            "exclusion_px": [0.0, between(0.0, 8.0)],
            "exclusion_share": between(0.0, 1.0),
            "outburst_excess": factor(0.3, 2.0),
            "association_px": between(1.0, 4.0),
            "max_flux_ratio": between(1.2, 2.5),
        },
        "rates": {"enrich": 3.0, "outburst": round(defaults.rates.outburst * factor(0.4, 1.5), 4)} | rates,
    }


def draw_mask(rng: np.random.Generator, family: str) -> Pattern:
    """Mask pattern of a family that is not the configuration's own.

    Parameters
    ----------
    rng : numpy.random.Generator
    family : str
        ``grown``: opened in random order wherever the opaque part stays in one piece and no open cell gets more than
        some open neighbours. ``independent``: every cell for itself. ``clumped``: holes attract each other.

    Returns
    -------
    bool array [46, 46]
        True where open.
    """
    if family == "independent":
        return rng.random((CELLS, CELLS)) < rng.uniform(0.3, 0.5)
    if family == "clumped":
        from scipy.ndimage import gaussian_filter

        smooth = gaussian_filter(rng.standard_normal((CELLS, CELLS)), rng.uniform(0.3, 0.6))
        clumped: Pattern = smooth > np.quantile(smooth, 1 - rng.uniform(0.3, 0.5))
        return clumped
    return _grown(rng, int(rng.integers(1, 4)), rng.uniform(0.3, 0.42))


def _grown(rng: np.random.Generator, neighbours: int, share: float) -> Pattern:
    from scipy.ndimage import label

    pattern = np.zeros((CELLS + 2, CELLS + 2), dtype=bool)
    for cell in rng.permutation(CELLS * CELLS):
        row, column = divmod(int(cell), CELLS)
        around = pattern[row : row + 3, column : column + 3]
        if around[[0, 1, 1, 2], [1, 0, 2, 1]].sum() > neighbours or pattern.sum() >= share * CELLS * CELLS:
            continue
        around[1, 1] = True
        # Only where open cells already touch can one more cut the plate.
        if around.sum() > 1 and label(~pattern)[1] > 1:
            around[1, 1] = False
    return pattern[1:-1, 1:-1]


def draw_catalogue(rng: np.random.Generator) -> str:
    """Return the shipped catalogue without some of its fainter sources."""
    text = (files("slewguard.sim") / "data" / "catalogue.csv").read_text(encoding="utf-8")
    head = [line for line in text.splitlines() if line.startswith("#")]
    columns, *rows = [line for line in text.splitlines() if not line.startswith("#")]
    flux = np.array([float(row.split(",")[columns.split(",").index("soft_crab")]) for row in rows])
    kept = (flux > np.quantile(flux, 0.9)) | (rng.random(len(rows)) < rng.uniform(0.3, 1.0))
    return "\n".join([*head, columns, *(row for row, keep in zip(rows, kept, strict=True) if keep)])


def write_joined(out: Path, sets: list[Path]) -> None:
    """Join the trigger sets of the populations in one file, no sequence number twice."""
    from slewguard.subimages import read_triggers
    from slewguard.subimages.hdf5 import write_triggers_hdf5
    from slewguard.train.data import joined

    parts = [read_triggers(path, strict=False) for path in sets]
    told = ("version", "config_sha256", "seed", "days")
    about = {"populations": [{key: part.provenance.get(key) for key in told} for part in parts]}
    write_triggers_hdf5(out, replace(joined(parts), provenance=about))


def _write(path: Path, text: str) -> None:
    with atomic_output(path) as beside:
        beside.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    as_command(main)
