"""Binary-Neural-Networks-PyTorch-1.0's modules as that project runs them, of any width."""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn


class XNORConv2d(nn.Module):
    def __init__(self, inputs: int, outputs: int, size: int, padding: int = 0) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, size, padding=padding)
        self.fp_weights = nn.Parameter(self.conv.weight.data.clone())

    def forward(self, x: Tensor) -> Tensor:
        w = self.fp_weights
        w.data = w.data - w.data.mean(1, keepdim=True)
        w.data.clamp_(-1, 1)
        alpha = w.abs().view(w.size(0), -1).mean(1, keepdim=True)
        self.conv.weight.data.copy_(w.data.sign() * alpha.view(-1, 1, 1, 1))
        out: Tensor = self.conv(x)
        return out


class XNORLinear(nn.Module):
    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.linear = nn.Linear(inputs, outputs)
        self.fp_weights = nn.Parameter(self.linear.weight.data.clone())

    def forward(self, x: Tensor) -> Tensor:
        w = self.fp_weights
        w.data = w.data - w.data.mean(1, keepdim=True)
        w.data.clamp_(-1, 1)
        alpha = w.abs().view(w.size(0), -1).mean(1, keepdim=True)
        self.linear.weight.data.copy_(w.data.sign() * alpha)
        out: Tensor = self.linear(x)
        return out


class BNConvReLU(nn.Module):
    def __init__(self, inputs: int, outputs: int, size: int, padding: int = 0) -> None:
        super().__init__()
        self.bn = nn.BatchNorm2d(inputs, eps=1e-4)
        self.econv = XNORConv2d(inputs, outputs, size, padding)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.econv(self.bn(x).sign()))


class BNLinearReLU(nn.Module):
    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.bn = nn.BatchNorm1d(inputs, eps=1e-4)
        self.fc = XNORLinear(inputs, outputs)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.fc(self.bn(x).sign()))


class _Xnor(nn.Module):
    def clamp_norms(self) -> None:
        for m in self.modules():
            if isinstance(m, nn.BatchNorm2d | nn.BatchNorm1d) and m.affine:
                m.weight.data.clamp_(min=0.01)


class LeNet5(_Xnor):
    def __init__(self, a: int, b: int, c: int) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, a, 5),
            nn.BatchNorm2d(a, eps=1e-4, affine=False),
            nn.ReLU(),
            nn.MaxPool2d(2, 2),
            XNORConv2d(a, b, 5),
            nn.MaxPool2d(2, 2),
            nn.Flatten(),
        )
        self.classifier = nn.Sequential(
            BNLinearReLU(b * 16, c), nn.BatchNorm1d(c, eps=1e-4, affine=False), nn.Linear(c, 10)
        )

    def forward(self, x: Tensor) -> Tensor:
        self.clamp_norms()
        out: Tensor = self.classifier(self.features(x))
        return out


class Mlp(_Xnor):
    def __init__(self, a: int, b: int) -> None:
        super().__init__()
        self.classifier = nn.Sequential(
            nn.Flatten(),
            nn.Linear(784, a),
            nn.BatchNorm1d(a, eps=1e-4, affine=False),
            nn.ReLU(),
            BNLinearReLU(a, b),
            nn.BatchNorm1d(b, eps=1e-4, affine=False),
            nn.Linear(b, 10),
        )

    def forward(self, x: Tensor) -> Tensor:
        self.clamp_norms()
        out: Tensor = self.classifier(x)
        return out


class Nin(_Xnor):
    def __init__(self, w: int) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, w, 5, padding=2),
            nn.BatchNorm2d(w, eps=1e-4, affine=False),
            nn.ReLU(),
            BNConvReLU(w, w, 1),
            BNConvReLU(w, w // 2, 1),
            nn.MaxPool2d(3, 2, 1),
            BNConvReLU(w // 2, w, 5, 2),
            BNConvReLU(w, w, 1),
            BNConvReLU(w, w, 1),
            nn.AvgPool2d(3, 2, 1),
            BNConvReLU(w, w, 3, 1),
            BNConvReLU(w, w, 1),
            nn.BatchNorm2d(w, eps=1e-4, affine=False),
            nn.Conv2d(w, 10, 1),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
        )

    def forward(self, x: Tensor) -> Tensor:
        self.clamp_norms()
        out: Tensor = self.features(x)
        return out


class BNNLinear(nn.Linear):
    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.register_buffer("weight_org", self.weight.data.clone())

    def forward(self, x: Tensor) -> Tensor:
        if x.size(1) not in (784, 3072):
            x = x.sign()
        self.weight.data = self.get_buffer("weight_org").sign()
        out = F.linear(x, self.weight)
        return out if self.bias is None else out + self.bias.view(1, -1)


class BNNConv2d(nn.Conv2d):
    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.register_buffer("weight_org", self.weight.data.clone())

    def forward(self, x: Tensor) -> Tensor:
        if x.size(1) != 3:
            x = x.sign()
        self.weight.data = self.get_buffer("weight_org").sign()
        return F.conv2d(x, self.weight, None, self.stride, self.padding)


class CaffeNet(nn.Module):
    def __init__(self, w: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 3
        for _ in range(3):
            layers += [
                BNNConv2d(channels, w, 5, 1, 2, bias=False),
                nn.BatchNorm2d(w),
                nn.Hardtanh(),
                nn.MaxPool2d(3, 2, 0, ceil_mode=True),
            ]
            channels = w
        layers += [
            nn.Flatten(),
            nn.BatchNorm1d(w * 16),
            nn.Hardtanh(),
            BNNLinear(w * 16, 10),
            nn.BatchNorm1d(10, affine=False),
            nn.LogSoftmax(dim=1),
        ]
        self.features = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.features(x)
        return out


def latent(net: nn.Module) -> None:
    """Latent weights as the layers' own were drawn, as after a step of a training."""
    for m in net.modules():
        if isinstance(m, XNORConv2d):
            m.fp_weights.data.copy_(m.conv.weight.data)
        elif isinstance(m, XNORLinear):
            m.fp_weights.data.copy_(m.linear.weight.data)
        elif isinstance(m, BNNLinear | BNNConv2d):
            m.get_buffer("weight_org").copy_(m.weight.data)
