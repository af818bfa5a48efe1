"""Brevitas quantisers with constant scales for weights, biases and outputs."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


def quantisers(
    weight_scale: Tensor, weight_bits: int, bias_scale: Tensor, bias_bits: int, out_log2: int, signed: bool
) -> dict[str, Any]:
    """Quantisers of one convolution, as the arguments that Brevitas takes.

    Parameters
    ----------
    weight_scale : float32 tensor [out, 1, 1, 1]
    weight_bits : int
    bias_scale : float32 tensor [out]
        Biases are n + 1/2 of these.
    bias_bits : int
    out_log2 : int
        One unit of the output is 2^-out_log2.
    signed : bool
        int8 output, else uint8.
    """
    from brevitas.core.bit_width import BitWidthConst
    from brevitas.core.function_wrapper import Identity, RoundSte, TensorClamp
    from brevitas.core.quant import IntQuant, RescalingIntQuant
    from brevitas.core.scaling import ConstScaling
    from brevitas.core.utils import SingleArgStatelessBuffer
    from brevitas.core.zero_point import ZeroZeroPoint
    from brevitas.inject import ExtendedInjector
    from brevitas.proxy.parameter_quant import BiasQuantProxyFromInjector, WeightQuantProxyFromInjector
    from brevitas.proxy.runtime_quant import ActQuantProxyFromInjector

    def quantiser(proxy: type, scale: Tensor, bits: int, signed: bool, narrow: bool, rounding: nn.Module) -> Any:
        class Quantiser(ExtendedInjector):
            proxy_class = proxy
            requires_input_scale = False

        return Quantiser.let(
            signed=signed,
            narrow_range=narrow,
            tensor_quant=RescalingIntQuant(
                IntQuant(narrow, signed, Identity(), rounding, TensorClamp()),
                ConstScaling(scale),
                SingleArgStatelessBuffer(1.0),
                ZeroZeroPoint(),
                BitWidthConst(bits),
            ),
        )

    out_scale = torch.tensor(2.0**-out_log2)
    return {
        "weight_quant": quantiser(WeightQuantProxyFromInjector, weight_scale, weight_bits, True, True, RoundSte()),
        "bias_quant": quantiser(BiasQuantProxyFromInjector, bias_scale, bias_bits, True, False, HalfOddSte()),
        "output_quant": quantiser(ActQuantProxyFromInjector, out_scale, 8, signed, False, RoundSte()),
    }


class HalfOddSte(nn.Module):
    """Nearest n + 1/2, with the gradient of the identity."""

    def __init__(self) -> None:
        super().__init__()
        from brevitas.core.function_wrapper import RoundSte

        self.round = RoundSte()

    def forward(self, x: Tensor) -> Tensor:
        """Snap each element."""
        snapped: Tensor = self.round(x - 0.5) + 0.5
        return snapped
