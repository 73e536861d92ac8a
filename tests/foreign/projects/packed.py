"""Pytorch-XNOR-Net's modules as that project runs them, in training and packed, of any width."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn


class BinConv2d(nn.Conv2d):
    packed = False

    def __init__(self, inputs: int, outputs: int, size: int, padding: int = 0, bias: bool = True) -> None:
        super().__init__(inputs, outputs, size, padding=padding, bias=bias)
        self.alpha = nn.Parameter(torch.zeros(outputs, 1, 1, 1), requires_grad=False)
        self.bn = nn.BatchNorm2d(inputs)
        self.size, self.inputs, self.pad = size, inputs, padding

    def forward(self, x: Tensor) -> Tensor:
        x = self.bn(x)
        if not self.packed:
            return F.conv2d(x.sign(), self.weight, self.bias, padding=self.padding)
        # csrc/binop: columns of the zero-padded map, a bit where a value is above 0, xnor and popcount
        columns = F.unfold(x, self.size, padding=self.pad)
        out = _counted(columns.transpose(1, 2), self.weight).transpose(1, 2) * self.alpha.view(1, -1, 1)
        if self.bias is not None:
            out = out + self.bias.view(1, -1, 1)
        return out.view(
            len(x), -1, x.shape[2] + 2 * self.pad - self.size + 1, x.shape[3] + 2 * self.pad - self.size + 1
        )


class BinLinear(nn.Linear):
    packed = False

    def __init__(self, inputs: int, outputs: int, bias: bool = True) -> None:
        super().__init__(inputs, outputs, bias)
        self.alpha = nn.Parameter(torch.zeros(outputs, 1), requires_grad=False)
        self.bn = nn.BatchNorm1d(inputs)

    def forward(self, x: Tensor) -> Tensor:
        x = self.bn(x)
        if not self.packed:
            return F.linear(x.sign(), self.weight, self.bias)
        out = _counted(x[:, None], self.weight)[:, 0] * self.alpha.t()
        return out if self.bias is None else out + self.bias


def _words(values: np.ndarray) -> np.ndarray:
    """encode_rows: [rows, n] -> uint32 [rows, 1 + (n - 1) // 32], value i in bit i % 32."""
    rows, n = values.shape
    padded = np.zeros((rows, (1 + (n - 1) // 32) * 32), np.uint8)
    padded[:, :n] = values > 0
    return np.packbits(padded, axis=1, bitorder="little").view("<u4")


def _counted(x: Tensor, words: Tensor) -> Tensor:
    n = x.shape[2]
    mine = _words(x.reshape(-1, n).numpy())
    theirs = words.numpy().astype("<i4").view("<u4")
    bits = np.unpackbits((mine[:, None] ^ theirs[None]).view(np.uint8), axis=2).sum(2, dtype=np.int64)
    return torch.from_numpy((n - 2 * bits).astype(np.float32)).view(*x.shape[:2], -1)


def _binary(net: nn.Module) -> list[BinConv2d | BinLinear]:
    return [m for m in net.modules() if isinstance(m, BinConv2d | BinLinear)]


class BinOp:
    def __init__(self, net: nn.Module) -> None:
        self.layers = _binary(net)
        self.saved = [m.weight.data.clone() for m in self.layers]

    def binarization(self) -> None:
        for i, m in enumerate(self.layers):
            w = m.weight.data
            w.add_(w.mean(1, keepdim=True).mul(-1).expand_as(w)).clamp_(-1.0, 1.0)
            self.saved[i].copy_(w)
            alpha = w.abs().flatten(1).sum(1) / w[0].nelement()
            m.alpha.data = alpha.view(-1, *[1] * (w.dim() - 1))
            m.weight.data = w.sign() * m.alpha.data

    def restore(self) -> None:
        for m, saved in zip(self.layers, self.saved, strict=True):
            m.weight.data.copy_(saved)


def pack(net: nn.Module) -> None:
    """bin_save_state: from here on the network is the one of the project's test."""
    for m in _binary(net):
        words = _words(m.weight.data.flatten(1).numpy()).view(np.int32)
        m.weight = nn.Parameter(torch.from_numpy(words.copy()), requires_grad=False)
        m.packed = True


class LeNet(nn.Module):
    def __init__(self, a: int, b: int, c: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, a, 5, bias=False)
        self.bn1 = nn.BatchNorm2d(a)
        self.conv2 = BinConv2d(a, b, 5, bias=False)
        self.fc1 = BinLinear(b * 16, c, bias=False)
        self.fc2 = nn.Linear(c, 10)
        self.bn2 = nn.BatchNorm2d(b)
        self.bn3 = nn.BatchNorm1d(c)

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 2)
        x = F.max_pool2d(F.relu(self.bn2(self.conv2(x))), 2)
        out: Tensor = self.fc2(F.relu(self.bn3(self.fc1(x.flatten(1)))))
        return out


class Vgg(nn.Module):
    """``plan`` as the project's cfg: widths and "M" for a pool."""

    def __init__(self, first: int, plan: list[int | str]) -> None:
        super().__init__()
        layers: dict[str, nn.Module] = {
            "conv0": nn.Conv2d(3, first, 3, padding=1),
            "bn0": nn.BatchNorm2d(first),
            "relu0": nn.ReLU(),
        }
        channels, count = first, 1
        for x in plan:
            if isinstance(x, str):
                layers[f"pool{count}"] = nn.MaxPool2d(2, 2)
                count += 1
                continue
            layers[f"conv{count}"] = BinConv2d(channels, x, 3, 1)
            layers[f"bn{count + 1}"] = nn.BatchNorm2d(x)
            layers[f"relu{count + 2}"] = nn.ReLU()
            channels, count = x, count + 3
        layers[f"pool{count}"] = nn.AvgPool2d(1, 1)
        self.features = nn.Sequential()
        for name, layer in layers.items():
            self.features.add_module(name, layer)
        self.classifier = nn.Linear(channels, 10)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.classifier(self.features(x).flatten(1))
        return out


class Nin(nn.Module):
    def __init__(self, w: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, w, 5, padding=2)
        self.bn1 = nn.BatchNorm2d(w, eps=1e-4, affine=False)
        self.conv2, self.conv3 = BinConv2d(w, w, 1), BinConv2d(w, w // 2, 1)
        self.conv4 = BinConv2d(w // 2, w, 5, 2)
        self.conv5, self.conv6 = BinConv2d(w, w, 1), BinConv2d(w, w, 1)
        self.conv7, self.conv8 = BinConv2d(w, w, 3, 1), BinConv2d(w, w, 1)
        self.bn2 = nn.BatchNorm2d(w, eps=1e-4, affine=False)
        self.conv9 = nn.Conv2d(w, 10, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.bn1(self.conv1(x)))
        x = F.relu(self.conv3(F.relu(self.conv2(x))))
        x = F.max_pool2d(x, 3, 2, 1)
        x = F.relu(self.conv6(F.relu(self.conv5(F.relu(self.conv4(x))))))
        x = F.avg_pool2d(x, 3, 2, 1)
        x = self.bn2(F.relu(self.conv8(F.relu(self.conv7(x)))))
        return F.avg_pool2d(F.relu(self.conv9(x)), 8).flatten(1)
