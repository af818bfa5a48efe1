"""What a ``model.json`` must look like; everything it may hold is checked before an array is made."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from slewguard.export.familiar import Familiar
from slewguard.export.model import FORMAT, MAX_LAYERS, OPERATORS, VERSION, IntegerModel, Layer
from slewguard.export.planes import PlaneRule
from slewguard.export.sequence import SequenceRule
from slewguard.export.verdict import VerdictRule
from slewguard.subimages.errors import BadInput

Int8 = Annotated[int, Field(ge=-128, le=127)]
Int32 = Annotated[int, Field(ge=-(2**31), le=2**31 - 1)]
Small = Annotated[int, Field(ge=0, le=255)]


_Parsed = TypeVar("_Parsed", bound="_Header")


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


_Limits = Annotated[list[Int32], Field(min_length=2, max_length=2)]


class _Familiar(_Strict):
    level: int
    peak: _Limits
    mean: _Limits
    bright: _Limits
    marked: _Limits

    def build(self) -> Familiar:
        limits = {name: (lo, hi) for name, (lo, hi) in self.model_dump(exclude={"level"}).items()}
        return Familiar(level=self.level, **limits)


class _Sequence(_Strict):
    first_look: int


class _Verdict(_Strict):
    t_veto: int
    t_confirm: int
    min_valid: int
    min_trigger: int
    max_saturated: int
    familiar: _Familiar | None = None
    sequence: _Sequence | None = None

    def build(self) -> VerdictRule:
        return VerdictRule(
            **self.model_dump(exclude={"familiar", "sequence"}),
            familiar=self.familiar.build() if self.familiar else None,
            sequence=SequenceRule(**self.sequence.model_dump()) if self.sequence else None,
        )


class _Header(_Strict):
    format: Literal[FORMAT]  # type: ignore[valid-type]
    version: Literal[VERSION]  # type: ignore[valid-type]
    name: Annotated[str, Field(max_length=200)]
    arithmetic: Literal["tie_free"]
    planes: _Planes
    verdict: _Verdict
    certificate: dict[str, Any]
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]

    def build(self, layers: Iterable[Layer]) -> IntegerModel:
        try:
            model = IntegerModel(
                name=self.name,
                planes=PlaneRule(**self.planes.model_dump()),
                layers=tuple(layers),
                verdict=self.verdict.build(),
                certificate=self.certificate,
            )
        except BadInput:
            raise
        except ValueError as error:
            raise BadInput(str(error)) from error
        if self.sha256 != model.sha256:
            raise BadInput(f"content has SHA-256 {model.sha256[:12]}, the file states {self.sha256[:12]}")
        return model


class _Model(_Header):
    layers: Annotated[list[_Layer], Field(max_length=MAX_LAYERS)]


def parse_model(text: str) -> IntegerModel:
    """Check the text of a ``model.json`` and build the model.

    Raises
    ------
    BadInput
        With the first fault, or if the content does not have the hash that the text states.
    """
    parsed = _validate(_Model, text)
    return parsed.build(layer.build() for layer in parsed.layers)


def parse_header(text: str, layers: Iterable[Layer]) -> IntegerModel:
    """Build a model from layers that a graph gave and the rest of ``model.json`` as text.

    Raises
    ------
    BadInput
        As :func:`parse_model`.
    """
    return _validate(_Header, text).build(layers)


def _validate(schema: type[_Parsed], text: str) -> _Parsed:
    try:
        return schema.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise BadInput(f"not a slewguard model: {where + ': ' if where else ''}{first['msg']}") from error


def _frozen(array: NDArray[Any]) -> NDArray[Any]:
    array.setflags(write=False)
    return array
