"""bitorch's layers as that project runs them, under its class names."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Quantization(nn.Module):
    name = "sign"

    def forward(self, x: Tensor) -> Tensor:
        signs = torch.sign(x)
        return torch.where(signs == 0, torch.tensor(1.0), signs)


class WeightDoReFa(Quantization):
    name = "weightdorefa"


class QActivation(nn.Module):
    def __init__(self, activation: nn.Module | None = None) -> None:
        super().__init__()
        self.activation_function = activation or Quantization()

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.activation_function(x)
        return out


class QConv2d_NoAct(nn.Conv2d):
    def __init__(self, *args: Any, pad_value: float | None = None, **options: Any) -> None:
        super().__init__(*args, bias=False, **options)
        self._weight_quantize = Quantization()
        self._pad_value = pad_value or -1.0

    def forward(self, x: Tensor) -> Tensor:
        x = F.pad(x, self._reversed_padding_repeated_twice, mode="constant", value=self._pad_value)
        return F.conv2d(
            x, self._weight_quantize(self.weight), None, self.stride, 0, self.dilation, self.groups
        )


class QConv2dBase(QConv2d_NoAct):
    def __init__(self, *args: Any, activation: nn.Module | None = None, **options: Any) -> None:
        super().__init__(*args, **options)
        self.activation = QActivation(activation)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(self.activation(x))


class QConv2d(QConv2dBase):
    pass


class QLinearBase(nn.Linear):
    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.weight_quantization = Quantization()
        self.activation = QActivation()

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(self.activation(x), self.weight_quantization(self.weight), self.bias)


class QLinear(QLinearBase):
    pass


class Net(nn.Module):
    """A network of a user's own, of those layers."""

    def __init__(self, pad_value: float | None = None, activation: nn.Module | None = None) -> None:
        super().__init__()
        self.body = nn.Sequential(
            QConv2d(1, 8, 3, padding=1, pad_value=pad_value),
            nn.BatchNorm2d(8),
            QConv2d(8, 12, 3, stride=2, padding=1, pad_value=pad_value, activation=activation),
            nn.MaxPool2d(2),
            nn.BatchNorm2d(12),
            QActivation(),
            nn.Flatten(),
            QLinear(12 * 9, 32),
            nn.BatchNorm1d(32),
        )
        self.head = QLinear(32, 10, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(self.body(x))
        return out
