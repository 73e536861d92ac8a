"""larq's layers in a model that Keras saved: the file says everything but the meaning of the input.

Semantics from larq/larq, layers_base.py, math.py and quantizers.py: sign(0) = +1, latent kernels
in the order height, width, input, output, and padding "same" as TensorFlow has it, with
``pad_values`` behind the input's quantiser.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from xnorhw.frontends.foreign.base import (
    Decision,
    Imported,
    InputSpec,
    Options,
    ask_input,
    parse_input,
    refuse,
)
from xnorhw.frontends.foreign.chain import Chain
from xnorhw.frontends.foreign.keras_file import KerasLayer, read_keras
from xnorhw.frontends.foreign.larq_kernels import Kernel, Quantizer, kernel_of, quantizer_of
from xnorhw.frontends.foreign.window import Window, same_pads
from xnorhw.nn.activations import QuantReLU
from xnorhw.nn.foreign import ABOVE_ZERO, MultiThreshold
from xnorhw.nn.quantizers import Sign
from xnorhw.nn.said import said

__all__ = ["read"]

_SIGNS = ("SteSign", "ApproxSign", "SwishSign")


def read(path: Path, options: Options) -> Imported:
    """The network in a whole model that Keras saved."""
    layers = read_keras(path)
    where = str(path)
    spec, first, layers = _input(where, layers, options)
    reader = _Reader(Chain(where, spec))
    for i, layer in enumerate(layers):
        try:
            reader.layer(layer, last=i == len(layers) - 1)
        except (TypeError, ValueError, AttributeError, KeyError) as error:
            refuse(
                layer.label, f"has an option that is not understood: {said(error)}", "Save the model again"
            )
    if reader.order is not None:
        refuse(where, "ends in a flattened map", "End the network with a layer that has weights")
    decisions = [
        first,
        Decision("sign(0)", "+1", "larq's signs are never 0"),
        Decision("layout", "channels first, kernels turned from HWIO to OIHW", "Keras keeps channels last"),
    ]
    return Imported(
        reader.chain.net(), spec.declared(), (*decisions, *reader.decisions, *reader.chain.decisions)
    )


def _input(
    where: str, layers: list[KerasLayer], options: Options
) -> tuple[InputSpec, Decision, list[KerasLayer]]:
    """What is fed, and the layers behind that: a Rescaling at the start is the normalisation."""
    config = layers[0].config
    given = config.get("batch_input_shape") or config.get("batch_shape")
    if layers[0].kind == "InputLayer":
        layers = layers[1:]
    if not isinstance(given, list) or not all(isinstance(n, int) and n > 0 for n in given[1:]):
        refuse(where, f"has the input shape {given}, which is not fixed", "Save it with a fixed input shape")
    if len(given) not in (2, 4):
        refuse(where, f"takes inputs of shape {given[1:]}", "Only images and vectors can be imported")
    shape = (given[3], given[1], given[2]) if len(given) == 4 else (given[1],)
    rescaled = None
    if layers and layers[0].kind == "Rescaling":
        rescaled, layers = _rescaling(layers[0]), layers[1:]
    text = "x".join(str(n) for n in shape)
    if options.input is None:
        if rescaled is None:
            ask_input(where, text)
        spec = InputSpec(shape, *rescaled)
        return spec, Decision("input", f"{text} pixels", "the Rescaling at the start takes them"), layers
    spec = parse_input(options.input)
    if spec.shape != shape:
        refuse("--input", f"{options.input!r} has another shape than the model's {text}", f"Give {text}")
    if rescaled is not None:
        if spec.is_pixels or spec.codes is not None or spec.bipolar:
            refuse("--input", "says what the Rescaling at the start says already", "Leave it out")
        spec = InputSpec(shape, *rescaled)
    elif not (spec.is_pixels or spec.codes is not None or spec.bipolar):
        ask_input(where, text)
    return spec, Decision("input", options.input, "as --input says"), layers


def _rescaling(layer: KerasLayer) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """v = scale * p + offset as mean and std of p / 255."""
    scale, offset = layer.config.get("scale"), layer.config.get("offset", 0)
    if not (isinstance(scale, int | float) and isinstance(offset, int | float) and scale > 0):
        refuse(
            layer.label, f"scales by {scale!r} and adds {offset!r}", "Use one positive factor and one offset"
        )
    std = 1 / (255 * scale)
    return (-offset * std,), (std,)


@dataclass
class _Reader:
    """Appends Keras' layers to a chain; ``order`` is where a flattened map has its values in ours."""

    chain: Chain

    def __post_init__(self) -> None:
        self.decisions: list[Decision] = []
        self.order: np.ndarray[Any, np.dtype[np.intp]] | None = None

    def layer(self, layer: KerasLayer, last: bool) -> None:
        """One layer."""
        if layer.config.get("data_format", "channels_last") != "channels_last":
            refuse(layer.label, "keeps channels first", "Save it with channels last, as larq trains on a CPU")
        handler = _HANDLERS.get(layer.kind)
        if handler is None:
            refuse(
                layer.label,
                "is no layer that can be imported",
                f"Known are {', '.join(sorted(_HANDLERS))}, in a chain",
            )
        handler(self, layer)
        activation = layer.config.get("activation")
        if layer.kind == "Softmax" or activation is not None:
            self._activation(layer, "softmax" if layer.kind == "Softmax" else activation, last)

    def skip(self, layer: KerasLayer) -> None:
        """A layer that does nothing in eval, or whose activation is all."""

    def conv(self, layer: KerasLayer) -> None:
        depthwise = "Depthwise" in layer.kind
        kernel = layer.take("depthwise_kernel" if depthwise else "kernel", 4)
        if depthwise:
            height, width, channels, many = kernel.shape
            weight = kernel.transpose(2, 3, 0, 1).reshape(channels * many, 1, height, width)
            groups = channels
        else:
            weight = kernel.transpose(3, 2, 0, 1)
            groups = int(layer.config.get("groups", 1))
        self._quantise(layer)
        stride, dilation = layer.pair("strides", 1), layer.pair("dilation_rate", 1)
        pads = (0, 0, 0, 0)
        if layer.config.get("padding") == "same":
            pads = same_pads(self.map(), (weight.shape[2], weight.shape[3]), stride, dilation)
        elif layer.config.get("padding") != "valid":
            refuse(layer.label, f"pads {layer.config.get('padding')!r}", "Use same or valid")
        value = float(layer.config.get("pad_values", 0) or 0)
        window = Window(stride, pads, dilation, groups, value)
        made = kernel_of(layer, np.ascontiguousarray(weight), depthwise)
        self._product(layer, made, window)

    def dense(self, layer: KerasLayer) -> None:
        kernel = layer.take("kernel", 2)
        self._quantise(layer)
        if self.order is not None:
            if len(kernel) != len(self.order):
                refuse(
                    layer.label,
                    f"reads {len(kernel)} features, and {len(self.order)} come in",
                    "Save it again",
                )
            kernel, self.order = kernel[self.order], None
        if len(self.chain.shape) == 3:
            refuse(layer.label, "reads a map, as a 1 x 1 convolution would", "Put Flatten in front of it")
        self._product(layer, kernel_of(layer, np.ascontiguousarray(kernel.T), False), None)

    def norm(self, layer: KerasLayer) -> None:
        axis = layer.config.get("axis", -1)
        axis = axis[0] if isinstance(axis, list) and len(axis) == 1 else axis
        if axis not in (-1, len(self.chain.shape)):
            refuse(layer.label, f"normalises along axis {axis}", "Normalise channels, the last axis")
        mean, var = layer.take("moving_mean", 1), layer.take("moving_variance", 1)
        gamma = layer.take("gamma", 1) if layer.config.get("scale", True) else np.ones_like(mean)
        beta = layer.take("beta", 1) if layer.config.get("center", True) else np.zeros_like(mean)
        vectors = [gamma, beta, mean, var]
        if self.order is not None:
            if any(len(v) != len(self.order) for v in vectors):
                refuse(
                    layer.label, f"has {len(mean)} parameters for {len(self.order)} features", "Save it again"
                )
            vectors = [v[self.order] for v in vectors]
        self.chain.batch_norm(
            layer.name,
            vectors[0],
            vectors[1],
            vectors[2],
            vectors[3],
            float(layer.config.get("epsilon", 1e-3)),
        )

    def max_pool(self, layer: KerasLayer) -> None:
        kernel = layer.pair("pool_size")
        stride = kernel if layer.config.get("strides") is None else layer.pair("strides")
        same = layer.config.get("padding") == "same"
        pads = same_pads(self.map(), kernel, stride) if same else (0, 0, 0, 0)
        self.chain.max_pool(layer.name, kernel, stride, pads)

    def average_pool(self, layer: KerasLayer) -> None:
        kernel = layer.pair("pool_size")
        stride = kernel if layer.config.get("strides") is None else layer.pair("strides")
        if layer.config.get("padding") == "same" and any(same_pads(self.map(), kernel, stride)):
            refuse(
                layer.label,
                "leaves padded pixels out of its averages, so windows at the edge divide by another number",
                'Use padding="valid"',
            )
        self.chain.average_pool(layer.name, kernel, stride)

    def global_average(self, layer: KerasLayer) -> None:
        self.chain.average_pool(layer.name, self.map(), self.map())
        if not layer.config.get("keepdims", False):
            self.chain.flatten(f"{layer.name}_flatten")

    def flatten(self, layer: KerasLayer) -> None:
        if len(self.chain.shape) == 3:
            channels, height, width = self.chain.shape
            places = np.arange(channels * height * width).reshape(height, width, channels)
            self.order = places.transpose(2, 0, 1).ravel()
        self.chain.flatten(layer.name)

    def relu(self, layer: KerasLayer) -> None:
        plain = {"max_value": None, "negative_slope": 0, "threshold": 0}
        strange = [n for n, v in plain.items() if layer.config.get(n) not in (v, None)]
        if strange:
            refuse(layer.label, f"has {strange[0]} = {layer.config[strange[0]]}", "Use a plain ReLU")
        self.chain.add(layer.name, nn.ReLU())

    def map(self) -> tuple[int, int]:
        """Height and width of what comes in."""
        if len(self.chain.shape) != 3:
            return 1, 1
        return self.chain.shape[1], self.chain.shape[2]

    def _product(self, layer: KerasLayer, made: Kernel, window: Window | None) -> None:
        bias = layer.take("bias", 1) if layer.config.get("use_bias", True) else None
        name, chain = layer.name, self.chain
        if made.quantizer is not None:
            if window is None:
                chain.quant_linear(name, made.weight, made.quantizer, bias)
            else:
                chain.quant_conv(name, made.weight, made.quantizer, bias, window)
        elif made.signs:
            if window is None:
                chain.binary_linear(name, made.weight, made.scale, bias)
            else:
                chain.binary_conv(name, made.weight, made.scale, bias, window)
        elif window is None:
            chain.full_linear(name, made.weight, bias)
        else:
            chain.full_conv(name, made.weight, bias, window)

    def _quantise(self, layer: KerasLayer) -> None:
        """The input's quantiser of a layer."""
        quantizer = quantizer_of(layer, "input_quantizer")
        if quantizer is not None:
            self._append(layer, f"{layer.name}_input", quantizer)

    def _activation(self, layer: KerasLayer, activation: Any, last: bool) -> None:
        name = f"{layer.name}_activation"
        if isinstance(activation, dict) and activation.get("class_name") == "function":
            activation = activation.get("config")
        if activation == "linear":
            return
        if activation == "relu":
            self.chain.add(name, nn.ReLU())
        elif activation == "hard_tanh":
            self.chain.add(name, nn.Hardtanh())
        elif activation == "softmax" and last:
            why = "it does not change which class is the largest"
            self.decisions.append(Decision(f"softmax of {layer.name}", "left out", why))
        else:
            quantizer = quantizer_of(layer, "activation")
            assert quantizer is not None
            self._append(layer, name, quantizer)

    def _append(self, layer: KerasLayer, name: str, quantizer: Quantizer) -> None:
        kind = quantizer.kind
        if kind in _SIGNS:
            self.chain.add(name, Sign())
        elif kind == "SteHeaviside":
            self.chain.add(name, MultiThreshold([[ABOVE_ZERO]]))
        elif kind == "SteTern" and not quantizer.config.get("ternary_weight_networks"):
            edge = np.float32(quantizer.config.get("threshold_value", 0.05))
            above = np.nextafter(-edge, np.float32(np.inf), dtype=np.float32)
            self.chain.add(name, MultiThreshold([[above, edge]], 1.0, -1.0))
        elif kind == "DoReFa" and quantizer.config.get("mode", "activations") == "activations":
            bits = quantizer.config.get("k_bit", 2)
            if not (isinstance(bits, int) and 1 <= bits <= 8):
                refuse(layer.label, f"makes activations of {bits} bits", "1 to 8 bits can be imported")
            self.chain.add(name, QuantReLU(bits))
        else:
            refuse(
                layer.label,
                f"has the quantiser {kind} on activations, which is not known there",
                f"Known are {', '.join(_SIGNS)}, SteHeaviside, SteTern with a threshold and DoReFa",
            )


_HANDLERS: dict[str, Callable[[_Reader, KerasLayer], None]] = {
    "Activation": _Reader.skip,
    "AveragePooling2D": _Reader.average_pool,
    "BatchNormalization": _Reader.norm,
    "Conv2D": _Reader.conv,
    "Dense": _Reader.dense,
    "DepthwiseConv2D": _Reader.conv,
    "Dropout": _Reader.skip,
    "Flatten": _Reader.flatten,
    "GlobalAveragePooling2D": _Reader.global_average,
    "MaxPooling2D": _Reader.max_pool,
    "QuantConv2D": _Reader.conv,
    "QuantDense": _Reader.dense,
    "QuantDepthwiseConv2D": _Reader.conv,
    "ReLU": _Reader.relu,
    "Softmax": _Reader.skip,
    "SpatialDropout2D": _Reader.skip,
}
