"""What a ``model.json`` must look like; everything it may hold is checked before an array is made."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from typing import Annotated, Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from slewguard.export.familiar import Familiar
from slewguard.export.layers import ARITHMETICS, CONVOLUTIONS, MAX_POOL, Layer, MaxPool, RealScales
from slewguard.export.model import FORMAT, MAX_LAYERS, VERSION, IntegerModel
from slewguard.export.planes import PlaneRule
from slewguard.export.sequence import SequenceRule
from slewguard.export.verdict import VerdictRule
from slewguard.subimages.errors import BadInput

Int8 = Annotated[int, Field(ge=-128, le=127)]
Int32 = Annotated[int, Field(ge=-(2**31), le=2**31 - 1)]
Small = Annotated[int, Field(ge=0, le=255)]
Exponent = Annotated[int, Field(ge=-64, le=64)]
Clamp = Annotated[list[Int32], Field(min_length=2, max_length=2)]
# The largest float32; that it is normal is the layer's to check.
Positive = Annotated[float, Field(gt=0, le=3.4028234663852886e38)]


_Parsed = TypeVar("_Parsed", bound="Header")


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class _Scales(_Strict):
    weights: list[Positive]
    out: Positive

    def build(self) -> RealScales:
        return RealScales(_frozen(np.array(self.weights, dtype=np.float32)), np.float32(self.out))


class _Convolution(_Strict):
    name: Annotated[str, Field(max_length=64)]
    op: Literal[CONVOLUTIONS]  # type: ignore[valid-type]
    stride: Small
    pad: Annotated[list[Small], Field(min_length=4, max_length=4)]
    clamp: Clamp
    out_log2: Exponent
    shape: Annotated[list[Annotated[int, Field(ge=1, le=4096)]], Field(min_length=4, max_length=4)]
    shift: list[Small] | None = None
    scales: _Scales | None = None
    bias: list[Int32]
    weights: list[list[Int8]]

    def build(self) -> Layer:
        out, *inner = self.shape
        if len(self.weights) != out or any(len(row) != np.prod(inner) for row in self.weights):
            raise BadInput(f"layer {self.name}: weights do not have the stated shape {self.shape}")
        if (self.shift is None) == (self.scales is None):
            raise BadInput(f"layer {self.name}: either shifts or scales are needed")
        top, bottom, left, right = self.pad
        return Layer(
            name=self.name,
            op=self.op,
            weights=_frozen(np.array(self.weights, dtype=np.int8).reshape(self.shape)),
            bias=_frozen(np.array(self.bias, dtype=np.int32)),
            shift=_frozen(np.array(self.shift or [0] * len(self.bias), dtype=np.uint8)),
            stride=self.stride,
            pad=(top, bottom, left, right),
            lo=self.clamp[0],
            hi=self.clamp[1],
            out_log2=self.out_log2,
            real=self.scales.build() if self.scales else None,
        )


class _Pool(_Strict):
    name: Annotated[str, Field(max_length=64)]
    op: Literal[MAX_POOL]  # type: ignore[valid-type]
    size: Small
    clamp: Clamp
    out_log2: Exponent

    def build(self) -> MaxPool:
        return MaxPool(self.name, self.size, self.clamp[0], self.clamp[1], self.out_log2)


class _Planes(_Strict):
    snr_log2: int
    level: int
    patch: int


class _Familiar(_Strict):
    level: int
    peak: Clamp
    mean: Clamp
    bright: Clamp
    marked: Clamp

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


class Header(_Strict):
    """All of ``model.json`` but the layers."""

    format: Literal[FORMAT]  # type: ignore[valid-type]
    version: Literal[VERSION]  # type: ignore[valid-type]
    name: Annotated[str, Field(max_length=200)]
    arithmetic: Literal[ARITHMETICS]  # type: ignore[valid-type]
    planes: _Planes
    verdict: _Verdict
    certificate: dict[str, Any]
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]

    def build(self, layers: Iterable[Layer | MaxPool]) -> IntegerModel:
        """Model of the layers and of what else stands here.

        Raises
        ------
        BadInput
            If they break a rule, or the whole does not have the hash that is stated.
        """
        try:
            model = IntegerModel(
                name=self.name,
                planes=PlaneRule(**self.planes.model_dump()),
                layers=tuple(layers),
                verdict=self.verdict.build(),
                certificate=self.certificate,
                arithmetic=self.arithmetic,
            )
        except BadInput:
            raise
        except ValueError as error:
            raise BadInput(str(error)) from error
        if self.sha256 != model.sha256:
            raise BadInput(f"content has SHA-256 {model.sha256[:12]}, the file states {self.sha256[:12]}")
        return model


class _Model(Header):
    layers: Annotated[list[Annotated[_Convolution | _Pool, Field(discriminator="op")]], Field(max_length=MAX_LAYERS)]


def parse_model(text: str) -> IntegerModel:
    """Check the text of a ``model.json`` and build the model.

    Raises
    ------
    BadInput
        With the first fault, or if the content does not have the hash that the text states.
    """
    parsed = _validate(_Model, text)
    return parsed.build(layer.build() for layer in parsed.layers)


def parse_header(text: str) -> Header:
    """Check all but the layers of a model, which a graph holds; its ``build`` takes them.

    Raises
    ------
    BadInput
        With the first fault.
    """
    return _validate(Header, text)


def _validate(schema: type[_Parsed], text: str) -> _Parsed:
    try:
        return schema.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        # A message may quote the whole value at fault.
        message = textwrap.shorten(first["msg"], 120, placeholder=" ...")
        raise BadInput(f"not a slewguard model: {where + ': ' if where else ''}{message}") from error


def _frozen(array: NDArray[Any]) -> NDArray[Any]:
    array.setflags(write=False)
    return array
