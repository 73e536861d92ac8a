"""LeNet-5, NIN, BinaryNet's networks, FINN's: chains for pictures of 28 and 32 pixels."""

from __future__ import annotations

from torch import nn

from xnorhw.nn.full import FullLinear
from xnorhw.nn.layers import BinaryConv2d, BinaryLinear
from xnorhw.nn.quantizers import InputQuant, Sign
from xnorhw.nn.zoo.parts import chain, colour_quant, first_conv, grey_quant, grid

__all__ = ["bnn_vgg", "cnv", "lenet5", "mlp", "nin"]

Blocks = list[tuple[str, nn.Module]]


def lenet5(classes: int) -> nn.Module:
    """jiecaoyu's XNOR LeNet-5; raw pixels [N, 1, 28, 28]."""
    quant = grey_quant()
    return chain(
        ("quant", quant),
        ("conv1", first_conv(quant, 1, 20, 5)),
        ("bn1", nn.BatchNorm2d(20, eps=1e-4, affine=False)),
        ("relu1", nn.ReLU()),
        ("pool1", nn.MaxPool2d(2)),
        ("bn2", nn.BatchNorm2d(20, eps=1e-4)),
        ("sign2", Sign()),
        ("conv2", BinaryConv2d(20, 50, 5, bias=True, scale="channel")),
        ("relu2", nn.ReLU()),
        ("pool2", nn.MaxPool2d(2)),
        ("bn3", nn.BatchNorm2d(50, eps=1e-4)),
        ("sign3", Sign()),
        ("flatten", nn.Flatten()),
        ("ip1", BinaryLinear(800, 500, bias=True, scale="channel")),
        ("relu3", nn.ReLU()),
        ("ip2", FullLinear(500, classes, frac=10, in_frac=10)),
    )


def nin(classes: int) -> nn.Module:
    """jiecaoyu's XNOR NIN; raw pixels [N, 3, 32, 32]."""
    quant = colour_quant()

    def block(number: int, inputs: int, outputs: int, size: int, padding: int, drop: float = 0.0) -> Blocks:
        layers: Blocks = [
            (f"bn{number}", nn.BatchNorm2d(inputs, eps=1e-4)),
            (f"sign{number}", Sign()),
            *([(f"drop{number}", nn.Dropout(drop))] if drop else []),
            (
                f"conv{number}",
                BinaryConv2d(inputs, outputs, size, padding=padding, bias=True, scale="channel"),
            ),
            (f"relu{number}", nn.ReLU()),
        ]
        return layers

    return chain(
        ("quant", quant),
        ("conv1", first_conv(quant, 3, 192, 5, padding=2)),
        ("bn1", nn.BatchNorm2d(192, eps=1e-4, affine=False)),
        ("relu1", nn.ReLU()),
        *block(2, 192, 160, 1, 0),
        *block(3, 160, 96, 1, 0),
        ("pool3", nn.MaxPool2d(3, 2, 1)),
        *block(4, 96, 192, 5, 2, 0.5),
        *block(5, 192, 192, 1, 0),
        *block(6, 192, 192, 1, 0),
        ("grid6", grid()),
        ("pool6", nn.AvgPool2d(3, 2, 1)),
        *block(7, 192, 192, 3, 1, 0.5),
        *block(8, 192, 192, 1, 0),
        ("bn9", nn.BatchNorm2d(192, eps=1e-4, affine=False)),
        ("grid9", grid()),
        ("pool9", nn.AvgPool2d(8)),
        ("flatten", nn.Flatten()),
        ("linear9", FullLinear(192, classes, frac=10, in_frac=10)),
    )


def bnn_vgg(classes: int, width: int) -> nn.Module:
    """BinaryNet's network for CIFAR-10 (width 128) and SVHN (64); raw pixels [N, 3, 32, 32].

    Every weight is binary, the first layer's too, which reads the pixels; the order is
    convolution, pool, batch norm, sign; the scores are those of the last batch norm.
    """
    quant = grey_quant()
    layers: Blocks = [("quant", quant)]
    channels, number = 3, 0
    for outputs, pooled in (
        (width, False),
        (width, True),
        (2 * width, False),
        (2 * width, True),
        (4 * width, False),
        (4 * width, True),
    ):
        number += 1
        scale = quant.scale if number == 1 else 1.0
        layers.append((f"conv{number}", BinaryConv2d(channels, outputs, 3, padding=1, in_scale=scale)))
        if pooled:
            layers.append((f"pool{number}", nn.MaxPool2d(2)))
        layers += [(f"bn{number}", nn.BatchNorm2d(outputs, eps=1e-4)), (f"sign{number}", Sign())]
        channels = outputs
    layers.append(("flatten", nn.Flatten()))
    features = 4 * width * 16
    for outputs in (8 * width, 8 * width, classes):
        number += 1
        layers += [
            (f"linear{number}", BinaryLinear(features, outputs)),
            (f"bn{number}", nn.BatchNorm1d(outputs, eps=1e-4)),
        ]
        if number < 9:
            layers.append((f"sign{number}", Sign()))
        features = outputs
    return chain(*layers)


def cnv(classes: int) -> nn.Module:
    """The convolutional network that FINN made known; raw pixels [N, 3, 32, 32], no padding."""
    quant = grey_quant()
    layers: Blocks = [("quant", quant)]
    channels = 3
    for number, (outputs, pooled) in enumerate(
        ((64, False), (64, True), (128, False), (128, True), (256, False), (256, False)), 1
    ):
        scale = quant.scale if number == 1 else 1.0
        layers += [
            (f"conv{number}", BinaryConv2d(channels, outputs, 3, in_scale=scale)),
            (f"bn{number}", nn.BatchNorm2d(outputs)),
            (f"sign{number}", Sign()),
        ]
        if pooled:
            layers.append((f"pool{number}", nn.MaxPool2d(2)))
        channels = outputs
    layers += [
        ("flatten", nn.Flatten()),
        ("linear7", BinaryLinear(256, 512)),
        ("bn7", nn.BatchNorm1d(512)),
        ("sign7", Sign()),
        ("linear8", BinaryLinear(512, 512)),
        ("bn8", nn.BatchNorm1d(512)),
        ("sign8", Sign()),
        ("linear9", BinaryLinear(512, classes)),
        ("bn9", nn.BatchNorm1d(classes)),
    ]
    return chain(*layers)


def mlp(classes: int, width: int, dropout: tuple[float, float] = (0.0, 0.0)) -> nn.Module:
    """Three hidden layers of ``width``; raw pixels [N, 1, 28, 28], binarised at their middle.

    ``dropout`` of the input and of the hidden layers.
    """
    pixels = [1 if 2 * p >= 255 else -1 for p in range(256)]
    layers: Blocks = [("quant", InputQuant(pixels)), ("flatten", nn.Flatten())]
    if dropout[0]:
        layers.append(("drop0", nn.Dropout(dropout[0])))
    features = 784
    for number in (1, 2, 3):
        layers += [
            (f"linear{number}", BinaryLinear(features, width)),
            (f"bn{number}", nn.BatchNorm1d(width, eps=1e-4)),
            (f"sign{number}", Sign()),
        ]
        if dropout[1]:
            layers.append((f"drop{number}", nn.Dropout(dropout[1])))
        features = width
    layers += [
        ("linear4", BinaryLinear(width, classes)),
        ("bn4", nn.BatchNorm1d(classes, eps=1e-4)),
    ]
    return chain(*layers)
