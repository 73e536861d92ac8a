"""zzzxxxttt's pytorch_DoReFaNet: its AlexNet_Q of any bits."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import NoReturn

import torch
from torch import Tensor, nn

from xnorhw.frontends.foreign.base import Imported, InputSpec, Options, refuse
from xnorhw.frontends.foreign.front import First, first_layer, input_of
from xnorhw.frontends.foreign.parts import Layers, Maker, chosen, refuse_shortcuts, tree
from xnorhw.frontends.foreign.torch_files import read_checkpoint
from xnorhw.nn.activations import QuantReLU
from xnorhw.nn.foreign import ABOVE_ZERO, MultiThreshold
from xnorhw.nn.layers import FrozenBinaryConv2d, FrozenBinaryLinear
from xnorhw.nn.quant_layers import FrozenQuantConv2d, FrozenQuantLinear

__all__ = ["read"]

_FLOAT = 32
_USUAL = "mean=0.485/0.456/0.406,std=0.229/0.224/0.225"


def read(path: Path, options: Options) -> Imported:
    """A bare state_dict of AlexNet_Q; ``arch`` is alexnet:W,A with the bits of weights and activations."""
    file = read_checkpoint(path)
    if "logit.weight" in file.tensors:
        refuse_shortcuts(file.where, "a pre-activation ResNet")
    weights, activations = _bits(options.arch, file.where)
    plain = dataclasses.replace(options, arch="alexnet")
    maker, _ = chosen(file, "pytorch_DoReFaNet", {"alexnet": _never}, None, plain)
    net, spec = _alexnet(_Layers(maker, weights, activations), options)
    return Imported(net, spec.declared(), tuple(maker.decisions))


def _never(*_: object) -> NoReturn:
    raise AssertionError("AlexNet_Q is built with its bits")


def _bits(arch: str | None, where: str) -> tuple[int, int]:
    found = re.fullmatch(r"alexnet:([1-8]|32),([1-8]|32)", arch or "")
    if found is None:
        reason = (
            "holds latent weights and nothing about the bits of either, so they are not guessed"
            if arch is None
            else f"is no network of {arch!r}"
        )
        refuse(
            where,
            reason,
            "Give --arch alexnet:W,A; alexnet:1,2 means weights of 1 bit and activations of 2, alexnet:1,32 "
            "weights of 1 bit and real activations; 1 to 8 or 32 each",
        )
    weights, activations = int(found[1]), int(found[2])
    if weights == _FLOAT:
        refuse(where, "with weights of 32 bits is no binary network", "Train it with --Wbits 1 to 8")
    return weights, activations


class _Layers:
    """Layers and activations of given bits."""

    def __init__(self, maker: Maker, weights: int, activations: int) -> None:
        self.maker, self.weights, self.activations = maker, weights, activations
        self.step = 1.0

    def activation(self, name: str) -> Layers:
        """What follows a ReLU: a rounding of clamp(x, 0, 1) to codes; one bit is x > 0."""
        if self.activations == _FLOAT:
            return []
        if self.activations == 1:
            return [(name, MultiThreshold([[ABOVE_ZERO]]))]
        made = QuantReLU(self.activations)
        self.step = made.scale
        return [(name, made)]

    def layer(self, name: str, shape: tuple[int | None, ...], padding: int = 0) -> tuple[str, nn.Module]:
        """sign(W / E) * E, E the layer's mean |W|, or m * (2 q(tanh(W) / 2m + 1/2) - 1), m = max |tanh|."""
        m = self.maker
        weight = m.take(f"{name}.weight", *shape)
        bias = m.bias(f"{name}.bias", len(weight))
        flat = weight.dim() == 2
        if self.weights == 1:
            scale = weight.abs().mean().reshape(1)
            signs = m.signs(weight, f"{name}.weight")
            if flat:
                return name, FrozenBinaryLinear(signs, scale, bias, self.step)
            return name, FrozenBinaryConv2d(signs, scale, bias, 1, padding, in_scale=self.step)
        planes, coefficients, scale = self._planes(weight)
        if flat:
            return name, FrozenQuantLinear(planes, coefficients, 0, scale, bias, self.step)
        return name, FrozenQuantConv2d(planes, coefficients, 0, scale, bias, 1, padding, in_scale=self.step)

    def _planes(self, weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        top = float(2**self.weights - 1)
        squashed = torch.tanh(weight)
        largest = squashed.abs().max()
        codes = torch.round((squashed / 2 / largest + 0.5) * top).to(torch.int64)
        planes = torch.stack([2 * ((codes >> bit) & 1) - 1 for bit in range(self.weights)])
        return planes.to(torch.float32), 2 ** torch.arange(self.weights), (largest / top).reshape(1)


def _alexnet(made: _Layers, options: Options) -> tuple[nn.Module, InputSpec]:
    m = made.maker
    weight = m.take("features.0.weight", None, None, 11, 11)
    width, inputs, *_ = weight.shape
    spec = input_of(options.input, m.where, inputs, f"{inputs}x224x224", _USUAL)
    first = First("features.0", weight, m.bias("features.0.bias", width), stride=4, padding=2)
    layers = first_layer(m, spec, first)
    layers += [
        ("features.1", m.norm("features.1", width, 4)),
        ("features.2", nn.MaxPool2d(3, 2)),
        ("features.3", nn.ReLU()),
        made.layer("features.4", (None, width, 5, 5), 2),
    ]
    width = m.shape("features.4.weight")[0]
    layers += [
        ("features.5", m.norm("features.5", width, 4)),
        ("features.6", nn.MaxPool2d(3, 2)),
        ("features.7", nn.ReLU()),
        *made.activation("features.8"),
        made.layer("features.9", (None, width, 3, 3), 1),
        ("features.10", nn.ReLU()),
        *made.activation("features.11"),
        made.layer("features.12", (None, None, 3, 3), 1),
        ("features.13", nn.ReLU()),
        *made.activation("features.14"),
        made.layer("features.15", (None, None, 3, 3), 1),
        ("features.16", nn.MaxPool2d(3, 2)),
        ("features.17", nn.ReLU()),
        *made.activation("features.18"),
        ("flatten", nn.Flatten()),
        made.layer("classifier.0", (None, None)),
        ("classifier.1", nn.ReLU()),
        *made.activation("classifier.2"),
        made.layer("classifier.3", (None, None)),
        ("classifier.4", nn.ReLU()),
        *made.activation("classifier.5"),
        ("classifier.6", _last(made)),
    ]
    m.decide("bits", f"weights {made.weights}, activations {made.activations}", "as --arch says")
    m.decide(
        "features.4",
        "reads the real numbers of features.3",
        "the project quantises nothing there; xnorhw calibrate makes codes of them, which a build needs",
    )
    return m.finish(tree(layers), spec), spec


def _last(made: _Layers) -> nn.Module:
    """The last layer reads codes where there are any: they stand for multiples of their step."""
    m = made.maker
    width = m.shape("classifier.6.weight")[1]
    if made.activations == _FLOAT:
        return m.last("classifier.6", width)
    return m.last_on_codes("classifier.6", width, made.step)
