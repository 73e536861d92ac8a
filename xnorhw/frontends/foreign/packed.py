"""cooooorn's Pytorch-XNOR-Net: LeNet, VGG and NIN, in the form of its training or packed for its test."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from xnorhw.frontends.foreign.base import Imported, InputSpec, Options, refuse
from xnorhw.frontends.foreign.front import First, first_layer, input_of
from xnorhw.frontends.foreign.parts import Layers, Maker, Network, chosen, tree
from xnorhw.frontends.foreign.torch_files import Checkpoint, read_checkpoint
from xnorhw.frontends.foreign.xnor_weights import XnorWeights

__all__ = ["read"]


def read(path: Path, options: Options) -> Imported:
    """A checkpoint of either form; ``arch`` is lenet, vgg or nin.

    A packed file holds what the project's own bit counts read: a bit is set where a value is above
    0, so sign(0) and padded zeros are -1.  In the form of training they are 0.
    """
    file = read_checkpoint(path)
    packed = any(t.dtype == torch.int32 for t in file.tensors.values())
    if packed and options.recentre is not None:
        refuse(file.where, "holds signs, which cannot be centred", "Leave --no-recentre out")
    zero = -1 if packed else 0
    maker, build = chosen(file, "Pytorch-XNOR-Net", _NETWORKS, _found(file), options, zero, zero)
    maker.decide(
        "form",
        "packed, 32 signs a word" if packed else "as in training",
        "the binary layers' weights are integers" if packed else "the weights are real numbers",
    )
    net, spec = build(maker, options)
    return Imported(net, spec.declared(), tuple(maker.decisions))


def _found(file: Checkpoint) -> str | None:
    if "features.conv0.weight" in file.tensors:
        return "vgg"
    if "conv9.weight" in file.tensors:
        return "nin"
    return "lenet" if "fc2.weight" in file.tensors else None


class _Blocks:
    """The binary layers BN - sign - layer of that project; their norms and ReLUs stand outside."""

    def __init__(self, maker: Maker, options: Options) -> None:
        self.maker = maker
        self.weights = XnorWeights(maker, options)

    def conv(self, name: str, inputs: int, size: int, padding: int = 0) -> Layers:
        m = self.maker
        weight, scale = self._weight(name, (inputs, size, size))
        conv = m.conv(weight, scale, m.bias(f"{name}.bias", len(weight)), 1, padding)
        return [
            (f"{name}.bn", m.norm(f"{name}.bn", inputs, 4)),
            (f"{name}.sign", m.sign()),
            (f"{name}.conv", conv),
        ]

    def linear(self, name: str, inputs: int) -> Layers:
        m = self.maker
        weight, scale = self._weight(name, (inputs,))
        linear = m.linear(weight, scale, m.bias(f"{name}.bias", len(weight)))
        norm = m.norm(f"{name}.bn", inputs, 2)
        return [(f"{name}.bn", norm), (f"{name}.sign", m.sign()), (f"{name}.linear", linear)]

    def _weight(self, name: str, shape: tuple[int, ...]) -> tuple[Tensor, Tensor]:
        """Signs [O, *shape] and scale [O]."""
        m = self.maker
        outputs = m.shape(f"{name}.weight")[0]
        ones = [1] * len(shape)
        if m.raw(f"{name}.alpha", outputs, *ones).dtype == torch.float32 and m.is_integer(f"{name}.weight"):
            count = int(np.prod(shape))
            words = m.raw(f"{name}.weight", outputs, 1 + (count - 1) // 32)
            return unpacked(words, count).view(outputs, *shape), m.take(
                f"{name}.alpha", outputs, *ones
            ).flatten()
        return self.weights(f"{name}.weight", m.take(f"{name}.weight", outputs, *shape))


def unpacked(words: Tensor, count: int) -> Tensor:
    """int32 [O, ceil(count / 32)] -> -1.0 and +1.0 [O, count]; value i is bit i % 32 of word i // 32."""
    raw = words.contiguous().numpy().astype("<i4").view(np.uint8).reshape(len(words), -1)
    bits = np.unpackbits(raw, axis=1, bitorder="little")[:, :count]
    return torch.from_numpy(bits.astype(np.float32) * 2 - 1)


def _lenet(m: Maker, options: Options) -> tuple[nn.Module, InputSpec]:
    weight = m.take("conv1.weight", None, None, 5, 5)
    width, channels, *_ = weight.shape
    spec = input_of(options.input, m.where, channels, f"{channels}x28x28", "mean=0.1307,std=0.3081")
    blocks = _Blocks(m, options)
    second, hidden = m.shape("conv2.weight")[0], m.shape("fc1.weight")[0]
    layers = [
        *first_layer(m, spec, First("conv1", weight, m.bias("conv1.bias", width))),
        ("bn1", m.norm("bn1", width, 4)),
        ("relu1", nn.ReLU()),
        ("pool1", nn.MaxPool2d(2)),
        *blocks.conv("conv2", width, 5),
        ("bn2", m.norm("bn2", second, 4)),
        ("relu2", nn.ReLU()),
        ("pool2", nn.MaxPool2d(2)),
        ("flatten", nn.Flatten()),
        *blocks.linear("fc1", m.shape("fc1.bn.running_mean")[0]),
        ("bn3", m.norm("bn3", hidden, 2)),
        ("relu3", nn.ReLU()),
        ("fc2", m.last("fc2", hidden)),
    ]
    blocks.weights.finish()
    return m.finish(tree(layers), spec), spec


def _vgg(m: Maker, options: Options) -> tuple[nn.Module, InputSpec]:
    """Layers are numbered on: a convolution, its norm and its ReLU, a pool; a gap in front is a pool."""
    weight = m.take("features.conv0.weight", None, None, 3, 3)
    channels, inputs, *_ = weight.shape
    spec = input_of(
        options.input, m.where, inputs, f"{inputs}x32x32", "mean=0.485/0.456/0.406,std=0.229/0.224/0.225"
    )
    blocks = _Blocks(m, options)
    layers = [
        *first_layer(
            m, spec, First("features.conv0", weight, m.bias("features.conv0.bias", channels), padding=1)
        ),
        ("features.bn0", m.norm("features.bn0", channels, 4)),
        ("features.relu0", nn.ReLU()),
    ]
    names = (re.fullmatch(r"features\.conv(\d+)\.alpha", name) for name in m.names())
    numbers = sorted(int(found[1]) for found in names if found)
    following = 1
    for number in numbers:
        for at in range(following, number):
            layers.append((f"features.pool{at}", nn.MaxPool2d(2)))
        name = f"features.conv{number}"
        layers += blocks.conv(name, channels, 3, 1)
        channels = m.shape(f"{name}.weight")[0]
        norm = m.norm(f"features.bn{number + 1}", channels, 4)
        layers += [(f"features.bn{number + 1}", norm), (f"features.relu{number + 2}", nn.ReLU())]
        following = number + 3
    layers += [
        (f"features.pool{following}", nn.MaxPool2d(2)),
        ("flatten", nn.Flatten()),
        ("classifier", m.last("classifier", m.shape("classifier.weight")[1])),
    ]
    blocks.weights.finish()
    return m.finish(tree(layers), spec), spec


def _nin(m: Maker, options: Options) -> tuple[nn.Module, InputSpec]:
    weight = m.take("conv1.weight", None, None, 5, 5)
    width, inputs, *_ = weight.shape
    spec = input_of(
        options.input, m.where, inputs, f"{inputs}x32x32", "mean=0.485/0.456/0.406,std=0.229/0.224/0.225"
    )
    blocks = _Blocks(m, options)
    layers = [
        *first_layer(m, spec, First("conv1", weight, m.bias("conv1.bias", width), padding=2)),
        ("bn1", m.norm("bn1", width, 4, 1e-4, False)),
        ("relu1", nn.ReLU()),
    ]
    pools = {3: nn.MaxPool2d(3, 2, 1), 6: nn.AvgPool2d(3, 2, 1)}
    for number, size, padding in (
        (2, 1, 0),
        (3, 1, 0),
        (4, 5, 2),
        (5, 1, 0),
        (6, 1, 0),
        (7, 3, 1),
        (8, 1, 0),
    ):
        layers += [*blocks.conv(f"conv{number}", width, size, padding), (f"relu{number}", nn.ReLU())]
        width = m.shape(f"conv{number}.weight")[0]
        if number == 6:
            layers.append(("grid6", m.grid("the first average", layers, 9)))
        if number in pools:
            layers.append((f"pool{number // 3}", pools[number]))
    layers.append(("bn2", m.norm("bn2", width, 4, 1e-4, False)))
    layers += [
        ("grid9", m.grid("the last convolution", layers)),
        ("conv9", m.last_conv("conv9", width)),
        ("relu9", nn.ReLU()),
        ("flatten", nn.Flatten()),
        ("pool3", m.mean_of_maps(m.shape("conv9.weight")[0], 64)),
    ]
    blocks.weights.finish()
    return m.finish(tree(layers), spec), spec


_NETWORKS: dict[str, Network] = {"lenet": _lenet, "vgg": _vgg, "nin": _nin}
