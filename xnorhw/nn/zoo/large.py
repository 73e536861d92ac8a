"""AlexNet in four forms, DeepSentiBank's, a GoogLeNet-like chain, a 13-layer network: 224 pixels and more."""

from __future__ import annotations

from torch import nn

from xnorhw.nn.activations import QuantReLU
from xnorhw.nn.full import FullLinear
from xnorhw.nn.layers import BinaryConv2d, BinaryLinear
from xnorhw.nn.quantizers import Sign
from xnorhw.nn.zoo.parts import chain, colour_quant, first_conv, grey_quant, grid

__all__ = [
    "alexnet_bnn",
    "alexnet_bwn",
    "alexnet_dorefa",
    "alexnet_xnor",
    "extraction_bwn",
    "sentibank",
    "wide13",
]

Blocks = list[tuple[str, nn.Module]]
RELU_SCALE = 2.0**-5
"""What a code of 8 bits is worth behind a batch norm: 0 .. 7.97."""


def alexnet_xnor(classes: int) -> nn.Module:
    """XNOR-Net's AlexNet (alexnetxnor.lua); raw pixels [N, 3, 224, 224]."""
    quant = colour_quant()

    def block(number: int, conv: BinaryConv2d, pooled: bool = False) -> Blocks:
        layers: Blocks = [
            (f"bn{number}", nn.BatchNorm2d(conv.weight.size(1), eps=1e-4)),
            (f"sign{number}", Sign()),
            (f"conv{number}", conv),
        ]
        return [*layers, (f"pool{number}", nn.MaxPool2d(3, 2))] if pooled else layers

    return chain(
        ("quant", quant),
        ("conv1", first_conv(quant, 3, 96, 11, stride=4, padding=2)),
        ("bn1", nn.BatchNorm2d(96, eps=1e-5)),
        ("relu1", nn.ReLU()),
        ("pool1", nn.MaxPool2d(3, 2)),
        *block(2, BinaryConv2d(96, 256, 5, padding=2, bias=True, scale="channel"), True),
        *block(3, BinaryConv2d(256, 384, 3, padding=1, bias=True, scale="channel")),
        *block(4, BinaryConv2d(384, 384, 3, padding=1, bias=True, scale="channel")),
        *block(5, BinaryConv2d(384, 256, 3, padding=1, bias=True, scale="channel"), True),
        *block(6, BinaryConv2d(256, 4096, 6, bias=True, scale="channel")),
        *block(7, BinaryConv2d(4096, 4096, 1, bias=True, scale="channel")),
        ("bn8", nn.BatchNorm2d(4096, eps=1e-3)),
        ("relu8", nn.ReLU()),
        ("flatten", nn.Flatten()),
        ("fc8", FullLinear(4096, classes, frac=10, in_frac=10)),
    )


def alexnet_bwn(classes: int) -> nn.Module:
    """XNOR-Net's AlexNet with binary weights alone (alexnet.lua); raw pixels [N, 3, 224, 224]."""
    quant = colour_quant()
    layers: Blocks = [
        ("quant", quant),
        ("conv1", first_conv(quant, 3, 96, 11, stride=4, padding=2)),
        ("bn1", nn.BatchNorm2d(96, eps=1e-5)),
        ("relu1", QuantReLU(8, RELU_SCALE)),
        ("pool1", nn.MaxPool2d(3, 2)),
    ]
    convs = (
        (96, 256, 5, 2, True),
        (256, 384, 3, 1, False),
        (384, 384, 3, 1, False),
        (384, 256, 3, 1, True),
        (256, 4096, 6, 0, False),
        (4096, 4096, 1, 0, False),
    )
    for number, (inputs, outputs, size, padding, pooled) in enumerate(convs, 2):
        if number >= 6:
            layers.append((f"drop{number}", nn.Dropout2d(0.1)))
        conv = BinaryConv2d(
            inputs, outputs, size, padding=padding, bias=True, scale="channel", in_scale=RELU_SCALE
        )
        layers += [
            (f"conv{number}", conv),
            (f"bn{number}", nn.BatchNorm2d(outputs, eps=1e-3)),
            (f"relu{number}", QuantReLU(8, RELU_SCALE)),
        ]
        if pooled:
            layers.append((f"pool{number}", nn.MaxPool2d(3, 2)))
    layers += [("flatten", nn.Flatten()), ("fc8", FullLinear(4096, classes, frac=10, in_scale=RELU_SCALE))]
    return chain(*layers)


def alexnet_dorefa(classes: int) -> nn.Module:
    """tensorpack's DoReFa-Net AlexNet, weights of 1 bit, activations of 2; raw pixels [N, 3, 224, 224].

    A layer's one scale is E(|W|).  TensorFlow's "same" pools: 54 pixels are padded on
    the far side (ceil_mode), 27 on both.
    """
    quant = colour_quant()
    step = QuantReLU(2).scale

    def conv(inputs: int, outputs: int, size: int, groups: int) -> BinaryConv2d:
        return BinaryConv2d(
            inputs, outputs, size, padding=size // 2, groups=groups, scale="layer", in_scale=step
        )

    return chain(
        ("quant", quant),
        ("conv0", first_conv(quant, 3, 96, 12, stride=4)),
        ("act0", QuantReLU(2)),
        ("conv1", conv(96, 256, 5, 2)),
        ("bn1", nn.BatchNorm2d(256, eps=1e-4)),
        ("pool1", nn.MaxPool2d(3, 2, ceil_mode=True)),
        ("act1", QuantReLU(2)),
        ("conv2", conv(256, 384, 3, 1)),
        ("bn2", nn.BatchNorm2d(384, eps=1e-4)),
        ("pool2", nn.MaxPool2d(3, 2, 1)),
        ("act2", QuantReLU(2)),
        ("conv3", conv(384, 384, 3, 2)),
        ("bn3", nn.BatchNorm2d(384, eps=1e-4)),
        ("act3", QuantReLU(2)),
        ("conv4", conv(384, 256, 3, 2)),
        ("bn4", nn.BatchNorm2d(256, eps=1e-4)),
        ("pool4", nn.MaxPool2d(3, 2)),
        ("act4", QuantReLU(2)),
        ("flatten", nn.Flatten()),
        ("fc0", BinaryLinear(9216, 4096, scale="layer", in_scale=step)),
        ("bn5", nn.BatchNorm1d(4096, eps=1e-4)),
        ("act5", QuantReLU(2)),
        ("fc1", BinaryLinear(4096, 4096, scale="layer", in_scale=step)),
        ("bn6", nn.BatchNorm1d(4096, eps=1e-4)),
        ("clip6", nn.Hardtanh(0.0, 1.0)),
        ("fct", FullLinear(4096, classes, frac=10, in_frac=10)),
    )


def alexnet_bnn(classes: int) -> nn.Module:
    """itayhubara's binary AlexNet, its early layers three times as wide; raw pixels [N, 3, 224, 224]."""
    quant = colour_quant()
    layers: Blocks = [("quant", quant)]
    convs = (
        (3, 192, 11, 4, 2, True),
        (192, 576, 5, 1, 2, True),
        (576, 1152, 3, 1, 1, False),
        (1152, 768, 3, 1, 1, False),
        (768, 256, 3, 1, 1, True),
    )
    for number, (inputs, outputs, size, stride, padding, pooled) in enumerate(convs, 1):
        scale = quant.scale if number == 1 else 1.0
        layers.append(
            (
                f"conv{number}",
                BinaryConv2d(
                    inputs, outputs, size, stride=stride, padding=padding, bias=True, in_scale=scale
                ),
            )
        )
        if pooled:
            layers.append((f"pool{number}", nn.MaxPool2d(3, 2)))
        layers += [(f"bn{number}", nn.BatchNorm2d(outputs)), (f"sign{number}", Sign())]
    layers.append(("flatten", nn.Flatten()))
    features = 256 * 6 * 6
    for number in (6, 7):
        layers += [
            (f"linear{number}", BinaryLinear(features, 4096, bias=True)),
            (f"bn{number}", nn.BatchNorm1d(4096)),
            (f"sign{number}", Sign()),
        ]
        features = 4096
    layers += [("linear8", BinaryLinear(4096, classes, bias=True)), ("bn8", nn.BatchNorm1d(classes))]
    return chain(*layers)


def sentibank(classes: int) -> nn.Module:
    """DeepSentiBank's network in XNOR-Net's form; raw pixels [N, 3, 227, 227].

    The feature of 4,096 numbers, which the original reads at fc7, is the tensor ``fc7``.
    """
    quant = colour_quant()

    def block(number: int, inputs: int, outputs: int, size: int, groups: int) -> Blocks:
        return [
            (f"bn{number}", nn.BatchNorm2d(inputs)),
            (f"sign{number}", Sign()),
            (
                f"conv{number}",
                BinaryConv2d(inputs, outputs, size, padding=size // 2, groups=groups, scale="channel"),
            ),
        ]

    return chain(
        ("quant", quant),
        ("conv1", first_conv(quant, 3, 96, 11, stride=4)),
        ("relu1", nn.ReLU()),
        ("pool1", nn.MaxPool2d(3, 2)),
        *block(2, 96, 256, 5, 2),
        ("pool2", nn.MaxPool2d(3, 2)),
        *block(3, 256, 384, 3, 1),
        *block(4, 384, 384, 3, 2),
        *block(5, 384, 256, 3, 2),
        ("pool5", nn.MaxPool2d(3, 2)),
        ("bn6", nn.BatchNorm2d(256)),
        ("sign6", Sign()),
        ("flatten", nn.Flatten()),
        ("fc6", BinaryLinear(9216, 4096, scale="channel")),
        ("bn7", nn.BatchNorm1d(4096)),
        ("sign7", Sign()),
        ("fc7", BinaryLinear(4096, 4096, scale="channel")),
        ("bn8", nn.BatchNorm1d(4096)),
        ("relu8", nn.ReLU()),
        ("fc8", FullLinear(4096, classes, frac=10, in_frac=10)),
    )


def extraction_bwn(classes: int) -> nn.Module:
    """21 convolutions of 3x3 and 1x1 with binary weights, after Darknet's "extraction"; [N, 3, 224, 224]."""
    quant = grey_quant()
    layers: Blocks = [
        ("quant", quant),
        ("conv1", first_conv(quant, 3, 64, 7, stride=2, padding=3)),
        ("bn1", nn.BatchNorm2d(64)),
        ("relu1", QuantReLU(8, RELU_SCALE)),
        ("pool1", nn.MaxPool2d(2)),
    ]
    plan: list[tuple[int, int] | None] = [(192, 3), None, (128, 1), (256, 3), (256, 1), (512, 3), None]
    plan += [(256, 1), (512, 3)] * 4 + [(512, 1), (1024, 3), None] + [(512, 1), (1024, 3)] * 2
    channels, number = 64, 1
    for step in plan:
        if step is None:
            layers.append((f"pool{number}", nn.MaxPool2d(2)))
            continue
        number += 1
        outputs, size = step
        conv = BinaryConv2d(channels, outputs, size, padding=size // 2, scale="channel", in_scale=RELU_SCALE)
        layers += [(f"conv{number}", conv), (f"bn{number}", nn.BatchNorm2d(outputs))]
        # behind the last one comes the average, which takes fixed-point numbers
        last: Blocks = [(f"relu{number}", nn.ReLU()), (f"grid{number}", grid())]
        layers += last if number == 20 else [(f"relu{number}", QuantReLU(8, RELU_SCALE))]
        channels = outputs
    layers += [
        ("mean", nn.AvgPool2d(7)),
        ("flatten", nn.Flatten()),
        ("linear21", FullLinear(channels, classes, frac=10, in_frac=10)),
    ]
    return chain(*layers)


def wide13(classes: int) -> nn.Module:
    """13 layers, the early ones wide; raw pixels [N, 3, 224, 224]."""
    quant = colour_quant()
    layers: Blocks = [
        ("quant", quant),
        ("conv1", first_conv(quant, 3, 256, 7, stride=4, padding=3)),
        ("bn1", nn.BatchNorm2d(256)),
        ("sign1", Sign()),
    ]
    channels = 256
    plan = (256, 256, 0, 384, 384, 384, 0, 512, 512, 512, 0, 512, 512, 512)
    number = 1
    pooled = False
    for outputs in plan:
        if outputs == 0:
            pooled = True
            continue
        number += 1
        layers.append((f"conv{number}", BinaryConv2d(channels, outputs, 3, padding=1, scale="channel")))
        if pooled:
            layers.append((f"pool{number}", nn.MaxPool2d(2)))
            pooled = False
        layers.append((f"bn{number}", nn.BatchNorm2d(outputs)))
        layers.append((f"sign{number}", Sign()) if number < 12 else (f"grid{number}", grid()))
        channels = outputs
    layers += [
        ("mean", nn.AvgPool2d(7)),
        ("flatten", nn.Flatten()),
        ("linear13", FullLinear(channels, classes, frac=10, in_frac=10)),
    ]
    return chain(*layers)
