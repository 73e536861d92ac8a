"""bitorch's layers as ours: for ``xnorhw.save(net, ..., replace=replacements(net))``.

A state_dict of bitorch's layers says nothing about the network around them, so it is the network itself
that is saved.  bitorch need not be installed here: its classes are known by their names.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn

from xnorhw.frontends.foreign.base import refuse
from xnorhw.nn.layers import BinaryConv2d, BinaryLinear
from xnorhw.nn.quantizers import Sign

__all__ = ["replacements"]

_CONV, _LINEAR, _ACTIVATION = "QConv2dBase", "QLinearBase", "QActivation"


def replacements(net: nn.Module) -> dict[type[nn.Module] | str, Callable[[Any], nn.Module]]:
    """What ``save`` takes as ``replace=``: each QConv2d, QLinear and QActivation of ``net`` by its name.

    A layer of bitorch's takes the sign of its input itself, with sign(0) = +1, and pads with its own
    ``pad_value``, -1 unless said (a pad_value of 0 is taken for not said, and becomes -1, too).
    ModelError, naming the layer, for another quantisation than the sign.
    """
    made: dict[type[nn.Module] | str, Callable[[Any], nn.Module]] = {}
    inside: tuple[str, ...] = ()
    for name, module in net.named_modules():
        if name.startswith(inside) and inside:
            continue
        names = {cls.__name__ for cls in type(module).__mro__}
        build = next((f for kind, f in _BUILD.items() if kind in names), None)
        if build is None:
            continue
        inside = (*inside, f"{name}.")
        _check_signs(name, module)
        made[name] = build
    return made


def _check_signs(name: str, module: Any) -> None:
    found = [_activation(module)]
    found += [getattr(module, n) for n in ("_weight_quantize", "weight_quantization") if hasattr(module, n)]
    for quantisation in found:
        kind = getattr(quantisation, "name", type(quantisation).__name__)
        if kind != "sign":
            refuse(
                name,
                f"quantises by bitorch's {kind}, and the sign alone is known here",
                "Use xnorhw.nn for it: xnn.QuantReLU, and xnn.DoReFaWeight for weights of several bits",
            )


def _activation(module: Any) -> Any:
    inner = getattr(module, "activation", module)
    return inner.activation_function


def _conv(module: Any) -> nn.Module:
    layer = BinaryConv2d.from_conv(module)
    layer.pad_value = float(module._pad_value)
    return nn.Sequential(Sign(), layer).eval()


def _linear(module: Any) -> nn.Module:
    return nn.Sequential(Sign(), BinaryLinear.from_linear(module)).eval()


def _sign(_: Any) -> nn.Module:
    return Sign().eval()


_BUILD: dict[str, Callable[[Any], nn.Module]] = {_CONV: _conv, _LINEAR: _linear, _ACTIVATION: _sign}
