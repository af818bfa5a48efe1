"""Why an alert probably arose, with a probability: advice on the ground, never on board and never a verdict.

Boosted trees on the named features of the sub-image (:mod:`slewguard.export.features`), one set of trees a group of
causes. Their log-odds become probabilities by a softmax at a temperature that was set on sequences which the trees
were not fitted to (Guo et al., ICML 2017). Causes that the picture cannot tell apart are one group.

Everything was learned from simulated alerts: a probability holds for an alert of that population.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slewguard.export.features import FEATURES, features
from slewguard.export.forest import Forest
from slewguard.subimages.contract import CAUSES, TriggerSet
from slewguard.subimages.errors import BadInput
from slewguard.subimages.paths import read_bytes

FORMAT = "slewguard-causes"
FILE = "causes.json"
_LARGEST = 2**22

GROUPS: Mapping[str, tuple[str, ...]] = {
    "burst": ("grb", "unknown_source"),
    "outburst": ("outburst",),
    "source_residual": ("residual", "attitude", "stale_catalogue"),
    "field_edge": ("edge_source", "coding_noise"),
    "pixel": ("noisy_pixel", "hot_pixel"),
    "column": ("column", "heat_pipe"),
    "module": ("xrdpix", "particle_shower"),
    "background": ("saa", "earth_limb", "sector"),
}
"""Causes that trees fitted to each by itself confuse on held-out sequences, and that act alike, together. A statistical
fluctuation is too rare among the alerts to be learned."""

MEANING: Mapping[str, str] = {
    "burst": "burst or new source",
    "outburst": "outburst of a known source",
    "source_residual": "badly subtracted known source",
    "field_edge": "source at the edge of the field",
    "pixel": "noisy or hot pixel",
    "column": "detector columns or heat pipe",
    "module": "detector module or particle shower",
    "background": "uneven background",
}
"""What is said of each group."""


@dataclass(frozen=True, eq=False)
class CauseModel:
    """Trees, temperature and groups.

    Parameters
    ----------
    groups : mapping of str to tuple of str
        Name of each group and its causes.
    forests : tuple of Forest
        One a group, in their order.
    temperature : float
        Divides the log-odds.
    population : mapping
        What it was learned from: at least ``simulated``.
    """

    groups: Mapping[str, tuple[str, ...]]
    forests: tuple[Forest, ...]
    temperature: float
    population: Mapping[str, Any]

    def log_odds(self, measured: NDArray[np.float64]) -> NDArray[np.float64]:
        """Log-odds of each group before the temperature, float64 [N, G], of features float64 [N, F]."""
        return np.stack([forest.score(measured) for forest in self.forests], axis=1)

    def probabilities(self, triggers: TriggerSet) -> NDArray[np.float64]:
        """Probability of each group, float64 [N, G]; NaN for a sub-image that breaks the contract."""
        good = np.flatnonzero(triggers.rejected == 0)
        chosen = triggers.select(good)
        found = np.full((len(triggers), len(self.groups)), np.nan)
        measured = features(chosen.snr, chosen.mask, chosen.catalogue_id)
        found[good] = softmax(self.log_odds(measured) / self.temperature)
        return found

    def group_of(self, cause: NDArray[np.str_]) -> NDArray[np.int64]:
        """Number of the group of each cause, -1 of one that is in none."""
        number = {name: i for i, causes in enumerate(self.groups.values()) for name in causes}
        return np.array([number.get(str(name), -1) for name in cause], dtype=np.int64)

    def content(self) -> dict[str, Any]:
        """What its file holds."""
        return {
            "format": FORMAT,
            "version": 1,
            "population": dict(self.population),
            "features": list(FEATURES),
            "groups": {name: list(causes) for name, causes in self.groups.items()},
            "temperature": self.temperature,
            "forests": [forest.content() for forest in self.forests],
        }


def softmax(log_odds: NDArray[np.float64]) -> NDArray[np.float64]:
    """Probabilities that sum to 1 along the last axis."""
    risen = np.exp(log_odds - log_odds.max(axis=-1, keepdims=True))
    shares: NDArray[np.float64] = risen / risen.sum(axis=-1, keepdims=True)
    return shares


def load_causes(path: str | Path) -> CauseModel:
    """Read a cause model.

    Raises
    ------
    BadInput
        With the file and the fault.
    """
    try:
        found = json.loads(read_bytes(Path(path), _LARGEST))
        if (found["format"], found["version"]) != (FORMAT, 1):
            raise ValueError("another format or version")
        if found["features"] != list(FEATURES):
            raise ValueError("made for other features than this version measures")
        groups = {str(name): tuple(causes) for name, causes in found["groups"].items()}
        named = [cause for causes in groups.values() for cause in causes]
        if len(set(named)) != len(named) or not set(named) <= set(CAUSES):
            raise ValueError("a cause is unknown or in two groups")
        forests = tuple(Forest.of(forest) for forest in found["forests"])
        if len(forests) != len(groups) or len(groups) < 2:
            raise ValueError("not one set of trees a group")
        temperature = found["temperature"]
        if not isinstance(temperature, float) or not 0 < temperature < np.inf:
            raise ValueError("temperature is not a positive number")
        if not isinstance(found["population"], dict):
            raise ValueError("states no population")
    except BadInput:
        raise
    except KeyError as error:
        raise BadInput(f"not a cause model: lacks {error}", path) from error
    except (ValueError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise BadInput(f"not a cause model ({error})", path) from error
    return CauseModel(groups, forests, temperature, found["population"])


@cache
def shipped_causes() -> CauseModel:
    """The cause model that ships with slewguard."""
    with as_file(files("slewguard.ground") / FILE) as shipped:
        return load_causes(shipped)
