"""The pieces of a configuration section: a key with its unit, source and mark, and the section that holds keys.

A mark says how sure we are of a number: *published* (read in the source named), *computed* (from published
numbers, by us), *assumed* (nobody has published it; replace it where the instrument team knows better).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import numpy as np
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from slewguard.subimages.errors import BadInput

Model = TypeVar("Model", bound=BaseModel)

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


def read_yaml(path: str | Path) -> dict[str, Any]:
    """Read a YAML file of keys; an empty one has none.

    Raises
    ------
    BadInput
        If the file cannot be read or is no YAML mapping.
    """
    import yaml

    try:
        data = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise BadInput(error.strerror or "cannot be read", path) from error
    except UnicodeDecodeError as error:
        raise BadInput("is not UTF-8 text", path) from error
    except yaml.YAMLError as error:
        raise BadInput("is not YAML: " + " ".join(str(error).split()), path) from error
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise BadInput("must hold a YAML mapping", path)
    return data


def validated(model: type[Model], data: Mapping[str, Any], path: str | Path, where: str = "") -> Model:
    """Check keys against what they are keys of; ``where`` tells the part of the file in faults.

    Raises
    ------
    BadInput
        Names the first unknown key or bad value.
    """
    try:
        return model.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        at = ".".join(str(part) for part in first["loc"])
        unknown = first["type"] == "extra_forbidden"
        fault = f"unknown key {at!r}" if unknown else f"key {at!r}: {first['msg']}"
        raise BadInput(f"{where}: {fault}" if where else fault, path) from error
