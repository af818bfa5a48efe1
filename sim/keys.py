"""The pieces of a configuration section: a key with its unit, source and mark, and the section that holds keys.

A mark says how sure we are of a number: *published* (read in the source named), *computed* (from published
numbers, by us), *assumed* (nobody has published it; replace it where the instrument team knows better).
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import numpy as np
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

Mark = Literal["published", "computed", "assumed"]


def _ordered(pair: tuple[float, float]) -> tuple[float, float]:
    if not 0 <= pair[0] <= pair[1]:
        raise ValueError(f"must be [low, high] with 0 <= low <= high, not {list(pair)}")
    return pair


Range = Annotated[tuple[float, float], AfterValidator(_ordered)]
"""Low and high end of a distribution; the field says whether it is uniform or log-uniform."""


def key(default: Any, text: str, mark: Mark, source: str, **bounds: Any) -> Any:
    """Declare one key: its default, what it is with its unit, how sure we are of it and where it comes from."""
    return Field(default, description=text, json_schema_extra={"mark": mark, "source": source}, **bounds)


class Section(BaseModel):
    """A section of the configuration; frozen, refuses unknown keys, NaN and infinities."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def log_uniform(rng: np.random.Generator, ends: tuple[float, float]) -> float:
    """Draw from a log-uniform distribution."""
    return float(np.exp(rng.uniform(np.log(ends[0]), np.log(ends[1]))))
