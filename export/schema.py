"""What a ``model.json`` must look like; everything it may hold is checked before an array is made."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from slewguard.export.model import FORMAT, OPERATORS, VERSION, IntegerModel, Layer
from slewguard.export.planes import PlaneRule
from slewguard.export.verdict import VerdictRule
from slewguard.subimages.errors import BadInput

Int8 = Annotated[int, Field(ge=-128, le=127)]
Int32 = Annotated[int, Field(ge=-(2**31), le=2**31 - 1)]
Small = Annotated[int, Field(ge=0, le=255)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class _Layer(_Strict):
    name: Annotated[str, Field(max_length=64)]
    op: Literal[OPERATORS]  # type: ignore[valid-type]
    stride: Small
    pad: Annotated[list[Small], Field(min_length=4, max_length=4)]
    clamp: Annotated[list[Int32], Field(min_length=2, max_length=2)]
    out_log2: Annotated[int, Field(ge=-64, le=64)]
    shape: Annotated[list[Annotated[int, Field(ge=1, le=4096)]], Field(min_length=4, max_length=4)]
    shift: list[Small]
    bias: list[Int32]
    weights: list[list[Int8]]

    def build(self) -> Layer:
        out, *inner = self.shape
        if len(self.weights) != out or any(len(row) != np.prod(inner) for row in self.weights):
            raise BadInput(f"layer {self.name}: weights do not have the stated shape {self.shape}")
        top, bottom, left, right = self.pad
        return Layer(
            name=self.name,
            op=self.op,
            weights=_frozen(np.array(self.weights, dtype=np.int8).reshape(self.shape)),
            bias=_frozen(np.array(self.bias, dtype=np.int32)),
            shift=_frozen(np.array(self.shift, dtype=np.uint8)),
            stride=self.stride,
            pad=(top, bottom, left, right),
            lo=self.clamp[0],
            hi=self.clamp[1],
            out_log2=self.out_log2,
        )


class _Planes(_Strict):
    snr_log2: int
    level: int
    patch: int


class _Verdict(_Strict):
    t_veto: int
    t_confirm: int
    min_valid: int
    min_trigger: int
    max_saturated: int


class _Model(_Strict):
    format: Literal[FORMAT]  # type: ignore[valid-type]
    version: Literal[VERSION]  # type: ignore[valid-type]
    name: Annotated[str, Field(max_length=200)]
    arithmetic: Literal["tie_free"]
    planes: _Planes
    layers: Annotated[list[_Layer], Field(max_length=100)]
    verdict: _Verdict
    certificate: dict[str, Any]
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


def parse_model(text: str) -> tuple[IntegerModel, str]:
    """Check the text of a ``model.json`` and build the model.

    Returns
    -------
    model : IntegerModel
    sha256 : str
        The hash that the file states.

    Raises
    ------
    BadInput
        With the first fault.
    """
    try:
        parsed = _Model.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise BadInput(f"not a slewguard model: {where + ': ' if where else ''}{first['msg']}") from error
    try:
        model = IntegerModel(
            name=parsed.name,
            planes=PlaneRule(**parsed.planes.model_dump()),
            layers=tuple(layer.build() for layer in parsed.layers),
            verdict=VerdictRule(**parsed.verdict.model_dump()),
            certificate=parsed.certificate,
        )
        return model, parsed.sha256
    except BadInput:
        raise
    except ValueError as error:
        raise BadInput(str(error)) from error


def _frozen(array: NDArray[Any]) -> NDArray[Any]:
    array.setflags(write=False)
    return array
