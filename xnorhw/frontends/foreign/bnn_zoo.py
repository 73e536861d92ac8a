"""lucamocerino's Binary-Neural-Networks-PyTorch-1.0: XNOR LeNet-5, MLP and NIN, and the BNN CaffeNet."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor, nn

from xnorhw.frontends.foreign.base import Imported, InputSpec, Options, refuse
from xnorhw.frontends.foreign.front import First, first_layer, input_of
from xnorhw.frontends.foreign.parts import Layers, Maker, Network, chosen, refuse_shortcuts, tree
from xnorhw.frontends.foreign.torch_files import Checkpoint, read_checkpoint
from xnorhw.frontends.foreign.xnor_weights import XnorWeights
from xnorhw.nn.layers import FrozenBinaryConv2d

__all__ = ["read"]

_EPS = 1e-4
_FLOOR = 0.01
"""The XNOR networks clamp every gamma to this in each forward."""
_MNIST = "mean=0.1307,std=0.308"
_CIFAR = "mean=0.4914/0.4822/0.4465,std=0.2023/0.1994/0.2010"


def read(path: Path, options: Options) -> Imported:
    """A checkpoint of one of the networks; ``arch`` is lenet5, mlp, nin or bnn_caffenet."""
    file = read_checkpoint(path)
    if "head.0.weight" in file.tensors and "tail.2.weight" in file.tensors:
        refuse_shortcuts(file.where, "a dorefa_resnet")
    maker, build = chosen(file, "Binary-Neural-Networks-PyTorch-1.0", _NETWORKS, _found(file), options)
    net, spec = build(maker, options)
    return Imported(net, spec.declared(), tuple(maker.decisions))


def _found(file: Checkpoint) -> str | None:
    names = file.tensors
    if any(name.endswith(".weight_org") for name in names):
        return "bnn_caffenet"
    if "features.3.econv.fp_weights" in names:
        return "nin"
    if "features.4.fp_weights" in names:
        return "lenet5"
    return "mlp" if "classifier.4.fc.fp_weights" in names else None


class _Blocks:
    """BNConvReLU and BNLinearReLU of that project: BN - sign - layer - ReLU."""

    def __init__(self, maker: Maker, options: Options, channels: int) -> None:
        self.maker, self.channels = maker, channels
        self.weights = XnorWeights(maker, options)

    def conv(self, name: str, size: int, padding: int = 0) -> Layers:
        m, inputs = self.maker, self.channels
        norm = m.norm(f"{name}.bn", inputs, 4, _EPS, True, _FLOOR)
        return [
            (f"{name}.bn", norm),
            (f"{name}.sign", m.sign()),
            (f"{name}.econv", self.plain_conv(f"{name}.econv", size, padding)),
            (f"{name}.relu", nn.ReLU()),
        ]

    def plain_conv(self, name: str, size: int, padding: int = 0) -> FrozenBinaryConv2d:
        """XNORConv2d: it takes no sign of its input."""
        m = self.maker
        weight = m.take(f"{name}.fp_weights", None, self.channels, size, size)
        signs, scale = self.weights(f"{name}.fp_weights", weight)
        m.leave(f"{name}.conv.weight")
        self.channels = len(weight)
        return m.conv(signs, scale, m.bias(f"{name}.conv.bias", len(weight)), 1, padding)

    def linear(self, name: str) -> Layers:
        m = self.maker
        weight = m.take(f"{name}.fc.fp_weights", None, None)
        outputs, inputs = weight.shape
        signs, scale = self.weights(f"{name}.fc.fp_weights", weight)
        m.leave(f"{name}.fc.linear.weight")
        self.channels = outputs
        return [
            (f"{name}.bn", m.norm(f"{name}.bn", inputs, 2, _EPS, True, _FLOOR)),
            (f"{name}.sign", m.sign()),
            (f"{name}.fc", m.linear(signs, scale, m.bias(f"{name}.fc.linear.bias", outputs))),
            (f"{name}.relu", nn.ReLU()),
        ]


def _lenet5(m: Maker, options: Options) -> tuple[nn.Module, InputSpec]:
    weight = m.take("features.0.weight", None, None, 5, 5)
    width, channels, *_ = weight.shape
    spec = input_of(options.input, m.where, channels, f"{channels}x28x28", _MNIST)
    blocks = _Blocks(m, options, width)
    layers = [
        *first_layer(m, spec, First("features.0", weight, m.bias("features.0.bias", width))),
        ("features.1", m.norm("features.1", width, 4, _EPS, False)),
        ("features.2", nn.ReLU()),
        ("features.3", nn.MaxPool2d(2)),
        ("features.4", blocks.plain_conv("features.4", 5)),
        ("features.5", nn.MaxPool2d(2)),
        ("features.6", nn.Flatten()),
        *blocks.linear("classifier.0"),
        ("classifier.1", m.norm("classifier.1", blocks.channels, 2, _EPS, False)),
        ("classifier.2", m.last("classifier.2", blocks.channels)),
    ]
    m.decide(
        "features.4",
        "reads the real numbers of features.2",
        "the project takes no sign there; xnorhw calibrate makes codes of them, which a build needs",
    )
    blocks.weights.finish()
    return m.finish(tree(layers), spec), spec


def _mlp(m: Maker, options: Options) -> tuple[nn.Module, InputSpec]:
    weight = m.take("classifier.1.weight", None, None)
    width, features = weight.shape
    spec = input_of(options.input, m.where, features, "1x28x28", _MNIST)
    blocks = _Blocks(m, options, width)
    layers = [
        *first_layer(m, spec, First("classifier.1", weight, m.bias("classifier.1.bias", width))),
        ("classifier.2", m.norm("classifier.2", width, 2, _EPS, False)),
        ("classifier.3", nn.ReLU()),
        *blocks.linear("classifier.4"),
        ("classifier.5", m.norm("classifier.5", blocks.channels, 2, _EPS, False)),
        ("classifier.6", m.last("classifier.6", blocks.channels)),
    ]
    blocks.weights.finish()
    return m.finish(tree(layers), spec), spec


def _nin(m: Maker, options: Options) -> tuple[nn.Module, InputSpec]:
    weight = m.take("features.0.weight", None, None, 5, 5)
    width, channels, *_ = weight.shape
    spec = input_of(options.input, m.where, channels, f"{channels}x32x32", _CIFAR)
    blocks = _Blocks(m, options, width)
    layers = [
        *first_layer(m, spec, First("features.0", weight, m.bias("features.0.bias", width), padding=2)),
        ("features.1", m.norm("features.1", width, 4, _EPS, False)),
        ("features.2", nn.ReLU()),
        *blocks.conv("features.3", 1),
        *blocks.conv("features.4", 1),
        ("features.5", nn.MaxPool2d(3, 2, 1)),
        *blocks.conv("features.6", 5, 2),
        *blocks.conv("features.7", 1),
        *blocks.conv("features.8", 1),
    ]
    layers += [
        ("features.grid9", m.grid("the first average", layers, 9)),
        ("features.9", nn.AvgPool2d(3, 2, 1)),
        *blocks.conv("features.10", 3, 1),
        *blocks.conv("features.11", 1),
        ("features.12", m.norm("features.12", blocks.channels, 4, _EPS, False)),
    ]
    layers += [
        ("features.grid13", m.grid("the last convolution", layers)),
        ("features.13", m.last_conv("features.13", blocks.channels)),
        ("features.14", nn.ReLU()),
        ("features.16", nn.Flatten()),
        ("features.15", m.mean_of_maps(m.shape("features.13.weight")[0], 64)),
    ]
    blocks.weights.finish()
    return m.finish(tree(layers), spec), spec


def _caffenet(m: Maker, options: Options) -> tuple[nn.Module, InputSpec]:
    """Convolution - BN - Hardtanh - pool, three times; a layer of other than 3 channels takes a sign."""
    channels = m.shape("features.0.weight_org")[1]
    spec = input_of(options.input, m.where, channels, f"{channels}x32x32", _CIFAR)
    if channels != 3:
        m.other(f"features.0 reads {channels} channels, and only of 3 the project takes no sign")
    layers: Layers = []
    for number in (0, 4, 8):
        name = f"features.{number}"
        signs = _signs(m, name, (None, channels, 5, 5))
        if number and channels == 3:
            refuse(
                m.where,
                f"{name} reads 3 channels, of which the project takes no sign",
                "Train it with another width",
            )
        bias = m.bias(f"{name}.bias", len(signs))
        if number == 0:
            layers += first_layer(m, spec, First(name, signs, bias, padding=2, binary=True))
        else:
            layers += [(f"features.sign{number}", m.sign()), (name, m.conv(signs, None, bias, 1, 2))]
        channels = len(signs)
        layers += [
            (f"features.{number + 1}", m.norm(f"features.{number + 1}", channels, 4)),
            (f"features.{number + 2}", nn.Hardtanh()),
            (f"features.{number + 3}", nn.MaxPool2d(3, 2, ceil_mode=True)),
        ]
    features = m.shape("features.15.weight_org")[1]
    signs = _signs(m, "features.15", (None, features))
    layers += [
        ("features.12", nn.Flatten()),
        ("features.13", m.norm("features.13", features, 2)),
        ("features.14", nn.Hardtanh()),
        ("features.sign15", m.sign()),
        ("features.15", m.linear(signs, None, m.bias("features.15.bias", len(signs)))),
        ("features.16", m.norm("features.16", len(signs), 2, affine=False)),
    ]
    m.decide("weights", "latent, taken by their sign", "weight_org holds what was trained")
    m.decide("log-softmax", "left out", "it does not change which class is the largest")
    return m.finish(tree(layers), spec), spec


def _signs(m: Maker, name: str, shape: tuple[int | None, ...]) -> Tensor:
    m.leave(f"{name}.weight")
    return m.signs(m.take(f"{name}.weight_org", *shape), f"{name}.weight_org")


_NETWORKS: dict[str, Network] = {"lenet5": _lenet5, "mlp": _mlp, "nin": _nin, "bnn_caffenet": _caffenet}
