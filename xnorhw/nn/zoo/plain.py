"""A plain network in full precision: what a binary one is compared with, and learns from."""

from __future__ import annotations

from torch import nn

from xnorhw.nn.zoo.parts import chain, grey_quant

__all__ = ["plain"]


def plain(shape: tuple[int, int, int], classes: int, width: int = 32) -> nn.Module:
    """3x3 convolutions with batch norm and ReLU, pooled until 4 pixels are left, then the mean; raw pixels.

    Widths double behind each pool, up to eight times ``width``.
    """
    channels, height, _ = shape
    quant = grey_quant()
    layers: list[tuple[str, nn.Module]] = [("quant", quant), ("norm0", nn.BatchNorm2d(channels))]
    outputs, number, size = width, 0, height
    while True:
        for _ in range(2):
            number += 1
            layers += [
                (f"conv{number}", nn.Conv2d(channels, outputs, 3, padding=1, bias=False)),
                (f"norm{number}", nn.BatchNorm2d(outputs)),
                (f"relu{number}", nn.ReLU()),
            ]
            channels = outputs
        if size < 8:
            break
        layers.append((f"pool{number}", nn.MaxPool2d(2)))
        size //= 2
        outputs = min(2 * outputs, 8 * width)
    layers += [
        ("mean", nn.AdaptiveAvgPool2d(1)),
        ("flatten", nn.Flatten()),
        ("linear", nn.Linear(channels, classes)),
    ]
    return chain(*layers)
