"""Leaf modules that a network may consist of, by their exact class."""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from xnorhw.frontends.known_functions import adaptive_average, average_pool, flatten, max_pool
from xnorhw.frontends.vocabulary import OUR_LAYERS, SUPPORTED, Place
from xnorhw.ir.float_graph import (
    Affine,
    BasesConv2d,
    BasesLinear,
    BasesQuant,
    BatchNorm,
    BinaryConv2d,
    BinaryLinear,
    BipolarQuant,
    FloatOp,
    FullConv2d,
    FullLinear,
    Grid,
    Hardtanh,
    InputQuant,
    MultiThreshold,
    QuantRelu,
    Relu,
    ScaledBinaryConv2d,
    Value,
)
from xnorhw.ir.geometry import Pads, WindowGeometry
from xnorhw.nn import activations, foreign, full, gradients, layers, quant_layers, quantizers, scaled

__all__ = ["module_op"]


def module_op(module: nn.Module, source: Value, place: Place, fed_by_sign: bool) -> FloatOp | None:
    """The operation of a called leaf module; None where it is the identity in eval."""
    handler = _MODULES.get(type(module))
    if handler is not None:
        _check_float32(module, place)
        return handler(module, source, place)
    if isinstance(module, nn.Conv2d | nn.Linear):
        _refuse_full_precision(module, place, fed_by_sign)
    if isinstance(module, OUR_LAYERS):
        place.refuse(
            f"is a class of your own on top of {_known_base(module)}, whose forward may do more",
            f"Use the class of xnorhw.nn, or give replace={{{type(module).__name__}: function}} to save",
        )
    for cls, (reason, remedy) in _REASONS.items():
        if isinstance(module, cls):
            place.refuse(f"cannot be built: {reason}", remedy)
    place.refuse(
        "is not known, so nothing can be said about what it computes",
        f"{SUPPORTED}. Use one of these, or give replace={{{type(module).__name__}: function}} to save",
    )


_REASONS: dict[type[nn.Module], tuple[str, str]] = {
    nn.LocalResponseNorm: (
        "its output depends on a sum of squares over channels, which no threshold expresses",
        "Replace it by BatchNorm2d and retrain",
    ),
    nn.GroupNorm: (
        "it normalises by statistics of the frame itself, which no fixed threshold expresses",
        "Replace it by BatchNorm2d and retrain",
    ),
    nn.LayerNorm: (
        "it normalises by statistics of the frame itself, which no fixed threshold expresses",
        "Replace it by BatchNorm and retrain",
    ),
    nn.InstanceNorm2d: (
        "it normalises by statistics of the frame itself, which no fixed threshold expresses",
        "Replace it by BatchNorm2d and retrain",
    ),
    nn.Softmax: (
        "it does not change which class is the largest, and its exponentials have no exact form",
        "Leave it out of the network that is saved, and apply it to the scores",
    ),
    nn.LogSoftmax: (
        "it does not change which class is the largest, and its logarithm has no exact form",
        "Leave it out of the network that is saved, and apply it to the scores",
    ),
}


def _known_base(module: nn.Module) -> str:
    return next(c.__name__ for c in type(module).__mro__ if c in OUR_LAYERS)


def _refuse_full_precision(module: nn.Conv2d | nn.Linear, place: Place, fed_by_sign: bool) -> NoReturn:
    kind = type(module).__name__
    binary, whole, method = (
        ("BinaryConv2d", "FullConv2d", "from_conv")
        if isinstance(module, nn.Conv2d)
        else ("BinaryLinear", "FullLinear", "from_linear")
    )
    kept = (
        f"the first or the last layer in full precision is xnorhw.nn.{whole}: "
        f'replace={{"{place.name}": xnn.{whole}.{method}}} and xnorhw.snap make one of it'
    )
    if fed_by_sign:
        place.refuse(
            "has full-precision weights behind a sign; whether they are meant to be binary cannot be seen",
            f'Use xnorhw.nn.{binary}, or give replace={{"{place.name}": lambda m: xnn.{binary}.{method}(m)}} '
            f'(or the class {kind}) to save, with scale="channel" for XNOR-Net; {kept}',
        )
    place.refuse(
        "has full-precision weights, which have no binary form",
        f"Use xnorhw.nn.{binary} and train the network with it; {kept}",
    )


def _check_float32(module: nn.Module, place: Place) -> None:
    for name, tensor in [*module.named_parameters(), *module.named_buffers()]:
        if tensor.device.type != "cpu":
            place.refuse(f"lies on {tensor.device}", "Call net.cpu() before saving")
        if tensor.is_floating_point() and tensor.dtype != torch.float32:
            place.refuse(
                f"holds its {name} in {tensor.dtype}, not in float32", "Call net.float() before saving"
            )
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            place.refuse(
                f"holds NaN or infinity in its {name}, so the network decides nothing",
                "Train again with a smaller learning rate, or load the last good checkpoint",
            )


def _input_quant(module: nn.Module, source: Value, place: Place) -> FloatOp:
    assert isinstance(module, quantizers.InputQuant)
    if source.name != "input":
        place.refuse(
            "takes raw pixels, but stands behind another module", "Make it the first module of the network"
        )
    return InputQuant(module.table.numpy().astype(np.int32), module.bits, module.signed, module.scale)


def _sign(module: nn.Module, source: Value, place: Place) -> FloatOp:
    return BipolarQuant()


def _binary(
    module: layers.ConvBase | layers.LinearBase,
) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.float32] | None, npt.NDArray[np.float32] | None]:
    with torch.no_grad():
        signs, scale = module.binarised()
    return signs.numpy().astype(np.int8), _array(scale), _array(module.bias)


def _check_drawn(module: layers.ConvBase | layers.LinearBase, place: Place) -> None:
    if getattr(getattr(module, "quant", None), "draws_in_eval", False):
        place.refuse(
            "draws its weights at random in every forward, in eval too: no hardware can be equal to that",
            'Set its quant.test = "sign" (the deterministic BinaryConnect), and measure the accuracy again',
        )


def _binary_conv(module: nn.Module, source: Value, place: Place) -> FloatOp:
    assert isinstance(module, layers.ConvBase)
    _check_drawn(module, place)
    weight, scale, bias = _binary(module)
    kernel = (int(weight.shape[2]), int(weight.shape[3]))
    geometry = WindowGeometry(kernel, module.stride, Pads(*module.pads), module.dilation)
    return BinaryConv2d(weight, scale, bias, module.in_scale, geometry, module.groups, module.pad_value)


def _binary_linear(module: nn.Module, source: Value, place: Place) -> FloatOp:
    assert isinstance(module, layers.LinearBase)
    _check_drawn(module, place)
    return BinaryLinear(*_binary(module), module.in_scale)


def _bases(
    module: quant_layers.QuantBase,
) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.int64], int, npt.NDArray[np.float32] | None]:
    with torch.no_grad():
        found = module.bases()
    weight = found.weight.numpy().astype(np.int8)
    return weight, found.coefficients.numpy().astype(np.int64).copy(), found.frac, _array(found.scale)


def _quant_conv(module: nn.Module, source: Value, place: Place) -> FloatOp:
    assert isinstance(module, quant_layers.QuantConvBase)
    weight, coefficients, frac, scale = _bases(module)
    kernel = (int(weight.shape[3]), int(weight.shape[4]))
    geometry = WindowGeometry(kernel, module.stride, Pads(*module.pads), module.dilation)
    bias = _array(module.bias)
    return BasesConv2d(weight, coefficients, frac, scale, bias, module.in_scale, geometry, module.groups)


def _quant_linear(module: nn.Module, source: Value, place: Place) -> FloatOp:
    assert isinstance(module, quant_layers.QuantLinearBase)
    return BasesLinear(*_bases(module), _array(module.bias), module.in_scale)


def _scaled_conv(module: nn.Module, source: Value, place: Place) -> FloatOp:
    assert isinstance(module, scaled.ScaledConvBase)
    with torch.no_grad():
        signs, scale = module.binarised()
    weight, divided = signs.numpy().astype(np.int8), _array(scale)
    assert divided is not None
    kernel = (int(weight.shape[2]), int(weight.shape[3]))
    geometry = WindowGeometry(kernel, module.stride, Pads(*module.pads), module.dilation)
    return ScaledBinaryConv2d(weight, divided, _array(module.bias), geometry)


def _quant_relu(module: nn.Module, source: Value, place: Place) -> FloatOp:
    assert isinstance(module, activations.QuantReLU)
    return QuantRelu(module.bits, float(module.scale))


def _grid(module: nn.Module, source: Value, place: Place) -> FloatOp:
    assert isinstance(module, activations.Grid)
    return Grid(module.bits, module.frac)


def _bases_quant(module: nn.Module, source: Value, place: Place) -> FloatOp:
    assert isinstance(module, activations.BasesActivation)
    try:
        shifts, betas = module.falling()
    except ValueError as error:
        place.refuse(f"has no form in bits: {error}", "Train it again, or set its betas and shifts")
    found = _array(shifts)
    assert found is not None
    return BasesQuant(found, betas.numpy().astype(np.int64).copy(), module.frac)


def _full_conv(module: nn.Module, source: Value, place: Place) -> FloatOp:
    assert isinstance(module, full.FullConv2d)
    weight = _array(module.weight)
    assert weight is not None
    kernel = (int(weight.shape[2]), int(weight.shape[3]))
    geometry = WindowGeometry(kernel, module.stride, Pads(*module.pads), module.dilation)
    return FullConv2d(weight, _array(module.bias), module.frac, module.in_scale, geometry, module.groups)


def _full_linear(module: nn.Module, source: Value, place: Place) -> FloatOp:
    assert isinstance(module, full.FullLinear)
    weight = _array(module.weight)
    assert weight is not None
    return FullLinear(weight, _array(module.bias), module.frac, module.in_frac, module.in_scale)


def _batch_norm(module: nn.Module, source: Value, place: Place) -> FloatOp:
    assert isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d)
    if module.running_mean is None or module.running_var is None:
        place.refuse(
            "has no running statistics, so its result depends on the whole batch",
            "Use track_running_stats=True and train again",
        )
    mean, var = _array(module.running_mean), _array(module.running_var)
    assert mean is not None and var is not None
    rank = 2 if isinstance(module, nn.BatchNorm1d) else 4
    return BatchNorm(_array(module.weight), _array(module.bias), mean, var, float(module.eps), rank)


def _multi_threshold(module: nn.Module, source: Value, place: Place) -> FloatOp:
    assert isinstance(module, foreign.MultiThreshold)
    table = _array(module.thresholds)
    assert table is not None
    return MultiThreshold(table, module.out_scale, module.out_bias)


def _affine(module: nn.Module, source: Value, place: Place) -> FloatOp:
    assert isinstance(module, foreign.Affine)
    return Affine(_array(module.scale), _array(module.bias), module.divide)


def _relu_module(module: nn.Module, source: Value, place: Place) -> FloatOp:
    return Relu()


def _hardtanh_module(module: nn.Module, source: Value, place: Place) -> FloatOp:
    assert isinstance(module, nn.Hardtanh)
    return Hardtanh(float(module.min_val), float(module.max_val))


def _max_pool_module(module: nn.Module, source: Value, place: Place) -> FloatOp:
    assert isinstance(module, nn.MaxPool2d)
    return max_pool(
        place,
        source,
        module.kernel_size,
        module.stride,
        module.padding,
        module.dilation,
        module.ceil_mode,
        module.return_indices,
    )


def _average_pool_module(module: nn.Module, source: Value, place: Place) -> FloatOp:
    assert isinstance(module, nn.AvgPool2d)
    return average_pool(
        place,
        source,
        module.kernel_size,
        module.stride,
        module.padding,
        module.ceil_mode,
        module.count_include_pad,
        module.divisor_override,
    )


def _adaptive_average_module(module: nn.Module, source: Value, place: Place) -> FloatOp:
    assert isinstance(module, nn.AdaptiveAvgPool2d)
    return adaptive_average(place, source, module.output_size)


def _flatten_module(module: nn.Module, source: Value, place: Place) -> FloatOp | None:
    assert isinstance(module, nn.Flatten)
    return flatten(place, source, module.start_dim, module.end_dim)


def _identity_module(module: nn.Module, source: Value, place: Place) -> FloatOp | None:
    return None


_MODULES: dict[type[nn.Module], Callable[[nn.Module, Value, Place], FloatOp | None]] = {
    quantizers.InputQuant: _input_quant,
    quantizers.Sign: _sign,
    layers.BinaryConv2d: _binary_conv,
    layers.FrozenBinaryConv2d: _binary_conv,
    layers.BinaryLinear: _binary_linear,
    layers.FrozenBinaryLinear: _binary_linear,
    activations.QuantReLU: _quant_relu,
    activations.Grid: _grid,
    activations.BasesActivation: _bases_quant,
    gradients.GradientQuant: _identity_module,
    quant_layers.QuantConv2d: _quant_conv,
    quant_layers.FrozenQuantConv2d: _quant_conv,
    quant_layers.QuantLinear: _quant_linear,
    quant_layers.FrozenQuantLinear: _quant_linear,
    scaled.ScaledBinaryConv2d: _scaled_conv,
    scaled.FrozenScaledBinaryConv2d: _scaled_conv,
    full.FullConv2d: _full_conv,
    full.FullLinear: _full_linear,
    foreign.MultiThreshold: _multi_threshold,
    foreign.Affine: _affine,
    nn.BatchNorm1d: _batch_norm,
    nn.BatchNorm2d: _batch_norm,
    nn.ReLU: _relu_module,
    nn.Hardtanh: _hardtanh_module,
    nn.MaxPool2d: _max_pool_module,
    nn.AvgPool2d: _average_pool_module,
    nn.AdaptiveAvgPool2d: _adaptive_average_module,
    nn.Flatten: _flatten_module,
    nn.Identity: _identity_module,
    nn.Dropout: _identity_module,
    nn.Dropout1d: _identity_module,
    nn.Dropout2d: _identity_module,
    nn.Dropout3d: _identity_module,
    nn.AlphaDropout: _identity_module,
    nn.FeatureAlphaDropout: _identity_module,
}


def _array(tensor: Tensor | None) -> npt.NDArray[np.float32] | None:
    return None if tensor is None else np.ascontiguousarray(tensor.detach().numpy(), dtype=np.float32).copy()
