"""itayhubara's BinaryNet.pytorch: the networks for CIFAR-10 and ImageNet, and the MLP of main_mnist.py."""

from __future__ import annotations

import re
from pathlib import Path

from torch import Tensor, nn

from xnorhw.frontends.foreign.base import Imported, InputSpec, Options, refuse
from xnorhw.frontends.foreign.front import First, first_layer, input_of
from xnorhw.frontends.foreign.parts import Layers, Maker, Network, chosen, refuse_shortcuts, tree
from xnorhw.frontends.foreign.torch_files import Checkpoint, read_checkpoint

__all__ = ["read"]

_VGG = (("0", ""), ("3", "M"), ("7", ""), ("10", "M"), ("14", ""), ("17", "M"))
"""The convolutions of vgg_cifar10_binary, and whether a max-pool follows."""
_ALEXNET = (("0", "M", 4, 2), ("4", "M", 1, 2), ("8", "", 1, 1), ("11", "", 1, 1), ("14", "M", 1, 1))
"""Those of alexnet_binary, with stride and padding."""


def read(path: Path, options: Options) -> Imported:
    """A checkpoint of either age; ``arch`` is vgg_cifar10_binary, alexnet_binary or mnist.

    Older code stored signs, newer code latent weights: both are taken by their sign.
    """
    file = read_checkpoint(path)
    if any(re.fullmatch(r"layer1\.0\.conv1\.weight", name) for name in file.tensors):
        refuse_shortcuts(file.where, "a resnet_binary")
    maker, build = chosen(file, "BinaryNet.pytorch", _NETWORKS, _found(file), options)
    net, spec = build(maker, options)
    return Imported(net, spec.declared(), tuple(maker.decisions))


def _found(file: Checkpoint) -> str | None:
    if "fc4.weight" in file.tensors:
        return "mnist"
    if "features.17.weight" in file.tensors:
        return "vgg_cifar10_binary"
    return "alexnet_binary" if "features.14.weight" in file.tensors else None


class _Layers:
    """Convolutions and linear layers that take the sign of what they read, and of their weights."""

    def __init__(self, maker: Maker) -> None:
        self.maker = maker
        self.latent = 0
        self.stored = 0

    def signs(self, name: str, weight: Tensor) -> Tensor:
        if bool(((weight == 0) | (weight.abs() == 1)).all()):
            self.stored += 1
        else:
            self.latent += 1
        return self.maker.signs(weight, name)

    def conv(self, name: str, channels: int, padding: int, size: int | None) -> Layers:
        m = self.maker
        if channels == 3:
            refuse(
                m.where,
                f"{name} reads 3 channels, of which the project takes no sign",
                "Train it with another width",
            )
        weight = m.take(f"{name}.weight", None, channels, size, size)
        signs = self.signs(f"{name}.weight", weight)
        outputs = weight.shape[0]
        module = m.conv(signs, None, m.bias(f"{name}.bias", outputs), 1, padding)
        return [(f"{name}_sign", m.sign()), (name, module)]

    def linear(self, name: str, features: int | None) -> Layers:
        m = self.maker
        weight = m.take(f"{name}.weight", None, features)
        if weight.shape[1] == 784:
            refuse(
                m.where,
                f"{name} reads 784 values, of which the project takes no sign, wherever the layer stands",
                "Train it with another width",
            )
        signs = self.signs(f"{name}.weight", weight)
        module = m.linear(signs, None, m.bias(f"{name}.bias", weight.shape[0]))
        return [(f"{name}_sign", m.sign()), (name, module)]

    def finish(self) -> None:
        parts = [f"signs in {self.stored} layers"] * bool(self.stored) + [
            f"latent in {self.latent} layers, taken by their sign"
        ] * bool(self.latent)
        self.maker.decide(
            "weights", " and ".join(parts), "older code stores signs, newer code what it trains"
        )


def _vgg(m: Maker, options: Options) -> tuple[nn.Module, InputSpec]:
    usual = "mean=0.485/0.456/0.406,std=0.229/0.224/0.225"
    rows = [(name, pool, 1, 1) for name, pool in _VGG]
    return _features(m, options, "3x32x32", usual, rows, 2, False)


def _alexnet(m: Maker, options: Options) -> tuple[nn.Module, InputSpec]:
    usual = "mean=0.485/0.456/0.406,std=0.229/0.224/0.225"
    return _features(m, options, "3x224x224", usual, list(_ALEXNET), 3, True)


def _features(
    m: Maker,
    options: Options,
    shape: str,
    usual: str,
    rows: list[tuple[str, str, int, int]],
    pool: int,
    affine: bool,
) -> tuple[nn.Module, InputSpec]:
    spec = input_of(options.input, m.where, 3, shape, usual)
    made = _Layers(m)
    layers: Layers = []
    channels = 3
    for number, pooled, stride, padding in rows:
        name, at = f"features.{number}", int(number) + 1
        if channels == 3 and not layers:
            weight = m.take(f"{name}.weight", None, 3, None, None)
            signs = made.signs(f"{name}.weight", weight)
            bias = m.bias(f"{name}.bias", weight.shape[0])
            layers += first_layer(m, spec, First(name, signs, bias, stride, padding, binary=True))
        else:
            layers += made.conv(name, channels, padding, None)
        channels = m.shape(f"{name}.weight")[0]
        if pooled:
            layers.append((f"features.{at}", nn.MaxPool2d(pool, 2)))
            at += 1
        layers += [
            (f"features.{at}", m.norm(f"features.{at}", channels, 4)),
            (f"features.{at + 1}", nn.Hardtanh()),
        ]
    layers.append(("flatten", nn.Flatten()))
    features: int | None = None
    for at in (0, 3, 6):
        layers += made.linear(f"classifier.{at}", features)
        features = m.shape(f"classifier.{at}.weight")[0]
        norm = m.norm(f"classifier.{at + 1}", features, 2, affine=affine if at == 6 else None)
        layers.append((f"classifier.{at + 1}", norm))
        if at < 6:
            layers.append((f"classifier.{at + 2}", nn.Hardtanh()))
    return _end(m, made, layers, spec)


def _mnist(m: Maker, options: Options) -> tuple[nn.Module, InputSpec]:
    weight = m.take("fc1.weight", None, None)
    width, features = weight.shape
    spec = input_of(options.input, m.where, features, "1x28x28", "mean=0.1307,std=0.3081")
    if features != 784:
        m.other(f"fc1 reads {features} values, and only of 784 the project takes no sign")
    made = _Layers(m)
    bias = m.bias("fc1.bias", width)
    signs = made.signs("fc1.weight", weight)
    layers = first_layer(m, spec, First("fc1", signs, bias, binary=True))
    for number in (1, 2, 3):
        if number > 1:
            layers += made.linear(f"fc{number}", width)
            width = m.shape(f"fc{number}.weight")[0]
        layers += [(f"bn{number}", m.norm(f"bn{number}", width, 2)), (f"htanh{number}", nn.Hardtanh())]
    layers.append(("fc4", m.last("fc4", width)))
    return _end(m, made, layers, spec)


def _end(m: Maker, made: _Layers, layers: Layers, spec: InputSpec) -> tuple[nn.Module, InputSpec]:
    made.finish()
    m.decide("log-softmax", "left out", "it does not change which class is the largest")
    return m.finish(tree(layers), spec), spec


_NETWORKS: dict[str, Network] = {"vgg_cifar10_binary": _vgg, "alexnet_binary": _alexnet, "mnist": _mnist}
