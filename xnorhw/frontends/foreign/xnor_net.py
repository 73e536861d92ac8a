"""jiecaoyu's XNOR-Net-PyTorch: LeNet-5 for MNIST, NIN for CIFAR-10, AlexNet for ImageNet."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from xnorhw.frontends.foreign.base import Imported, InputSpec, Options
from xnorhw.frontends.foreign.front import First, first_layer, input_of
from xnorhw.frontends.foreign.parts import Layers, Maker, Network, chosen, tree
from xnorhw.frontends.foreign.torch_files import read_checkpoint
from xnorhw.frontends.foreign.xnor_weights import XnorWeights

__all__ = ["read"]

_EPS = 1e-4
_FLOOR = 0.01
"""LeNet-5 and NIN clamp every gamma to this in each forward."""


def read(path: Path, options: Options) -> Imported:
    """A checkpoint of one of the three networks; ``arch`` is lenet5, nin or alexnet."""
    file = read_checkpoint(path)
    names = file.tensors
    found = (
        "lenet5" if "bin_conv2.conv.weight" in names
        else "nin" if any(name.startswith("xnor.") for name in names)
        else "alexnet"
    )  # fmt: skip
    maker, build = chosen(file, "XNOR-Net-PyTorch", _NETWORKS, found, options)
    net, spec = build(maker, options)
    return Imported(net, spec.declared(), tuple(maker.decisions))


class _Blocks:
    """The binary blocks BN - sign - layer - ReLU of that project, and the channels behind the last one."""

    def __init__(self, maker: Maker, options: Options, channels: int, floor: float | None) -> None:
        self.maker, self.channels, self.floor = maker, channels, floor
        self.weights = XnorWeights(maker, options)

    def conv(self, name: str, size: int, padding: int = 0) -> Layers:
        """The widths and the groups are the file's."""
        m, inputs = self.maker, self.channels
        outputs, per_group, *_ = m.shape(f"{name}.conv.weight") + (0, 0)
        groups = inputs // per_group if per_group and inputs % per_group == 0 else 1
        weight = m.take(f"{name}.conv.weight", None, inputs // groups, size, size)
        if groups > 1:
            m.decide(f"groups of {name}", str(groups), f"its weight reads {per_group} of {inputs} channels")
        signs, scale = self.weights(f"{name}.conv.weight", weight)
        self.channels = outputs
        return [
            (f"{name}.bn", m.norm(f"{name}.bn", inputs, 4, _EPS, True, self.floor)),
            (f"{name}.sign", m.sign()),
            (f"{name}.conv", m.conv(signs, scale, m.bias(f"{name}.conv.bias", outputs), 1, padding, groups)),
            (f"{name}.relu", nn.ReLU()),
        ]

    def linear(self, name: str, flattens: bool = False) -> Layers:
        """``flattens``: the norm is of maps, which are flattened behind the sign."""
        m = self.maker
        outputs, inputs, *_ = m.shape(f"{name}.linear.weight") + (0, 0)
        signs, scale = self.weights(f"{name}.linear.weight", m.take(f"{name}.linear.weight", None, None))
        width = self.channels if flattens else inputs
        self.channels = outputs
        return [
            (f"{name}.bn", m.norm(f"{name}.bn", width, 4 if flattens else 2, _EPS, True, self.floor)),
            (f"{name}.sign", m.sign()),
            *([(f"{name}.flatten", nn.Flatten())] if flattens else []),
            (f"{name}.linear", m.linear(signs, scale, m.bias(f"{name}.linear.bias", outputs))),
            (f"{name}.relu", nn.ReLU()),
        ]


def _lenet5(m: Maker, options: Options) -> tuple[nn.Module, InputSpec]:
    weight = m.take("conv1.weight", None, None, 5, 5)
    width, channels, *_ = weight.shape
    spec = input_of(options.input, m.where, channels, f"{channels}x28x28", "mean=0.1307,std=0.3081")
    blocks = _Blocks(m, options, width, _FLOOR)
    layers = [
        *first_layer(m, spec, First("conv1", weight, m.bias("conv1.bias", width))),
        ("bn_conv1", m.norm("bn_conv1", width, 4, _EPS, False)),
        ("relu_conv1", nn.ReLU()),
        ("pool1", nn.MaxPool2d(2)),
        *blocks.conv("bin_conv2", 5),
        ("pool2", nn.MaxPool2d(2)),
        *blocks.linear("bin_ip1", flattens=True),
        ("ip2", m.last("ip2", blocks.channels)),
    ]
    blocks.weights.finish()
    return m.finish(tree(layers), spec), spec


def _nin(m: Maker, options: Options) -> tuple[nn.Module, InputSpec]:
    weight = m.take("xnor.0.weight", None, None, 5, 5)
    width, channels, *_ = weight.shape
    spec = input_of(options.input, m.where, channels, f"{channels}x32x32", None)
    blocks = _Blocks(m, options, width, _FLOOR)
    layers = [
        *first_layer(m, spec, First("xnor.0", weight, m.bias("xnor.0.bias", width), padding=2)),
        ("xnor.1", m.norm("xnor.1", width, 4, _EPS, False)),
        ("xnor.2", nn.ReLU()),
        *blocks.conv("xnor.3", 1),
        *blocks.conv("xnor.4", 1),
        ("xnor.5", nn.MaxPool2d(3, 2, 1)),
        *blocks.conv("xnor.6", 5, 2),
        *blocks.conv("xnor.7", 1),
        *blocks.conv("xnor.8", 1),
    ]
    layers += [
        ("xnor.grid9", m.grid("the first average", layers, 9)),
        ("xnor.9", nn.AvgPool2d(3, 2, 1)),
        *blocks.conv("xnor.10", 3, 1),
        *blocks.conv("xnor.11", 1),
        ("xnor.12", m.norm("xnor.12", blocks.channels, 4, _EPS, False)),
    ]
    layers += [
        ("xnor.grid13", m.grid("the last convolution", layers)),
        ("xnor.13", m.last_conv("xnor.13", blocks.channels)),
        ("xnor.14", nn.ReLU()),
        ("xnor.flatten", nn.Flatten()),
        ("xnor.15", m.mean_of_maps(m.shape("xnor.13.weight")[0], 64)),
    ]
    blocks.weights.finish()
    return m.finish(tree(layers), spec), spec


def _alexnet(m: Maker, options: Options) -> tuple[nn.Module, InputSpec]:
    weight = m.take("features.0.weight", None, None, 11, 11)
    width, channels, *_ = weight.shape
    usual = f"mean=0.485/0.456/0.406,std={1 / 255:.8f}"
    spec = input_of(options.input, m.where, channels, f"{channels}x227x227", usual)
    blocks = _Blocks(m, options, width, None)
    layers = [
        *first_layer(m, spec, First("features.0", weight, m.bias("features.0.bias", width), stride=4)),
        ("features.1", m.norm("features.1", width, 4, _EPS, True)),
        ("features.2", nn.ReLU()),
        ("features.3", nn.MaxPool2d(3, 2)),
        *blocks.conv("features.4", 5, 2),
        ("features.5", nn.MaxPool2d(3, 2)),
        *blocks.conv("features.6", 3, 1),
        *blocks.conv("features.7", 3, 1),
        *blocks.conv("features.8", 3, 1),
        ("features.9", nn.MaxPool2d(3, 2)),
        ("flatten", nn.Flatten()),
        *blocks.linear("classifier.0"),
        *blocks.linear("classifier.1"),
        ("classifier.2", m.norm("classifier.2", blocks.channels, 2, 1e-3, True)),
        ("classifier.4", m.last("classifier.4", blocks.channels)),
    ]
    blocks.weights.finish()
    return m.finish(tree(layers), spec), spec


_NETWORKS: dict[str, Network] = {"lenet5": _lenet5, "nin": _nin, "alexnet": _alexnet}
