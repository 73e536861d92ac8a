"""The networks that are measured; trained ones by path, else seeded random ones of the same shapes."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

import xnorhw
from benchmarks.networks import INPUTS, NETWORKS, load, random_arrays
from benchmarks.varied import varied
from xnorhw import nn as xnn
from xnorhw.nn import zoo
from xnorhw.nn.zoo.small import mlp

__all__ = ["field", "initialised", "one_layer", "tiny"]

PICTURES = 64


def field(name: str, arrays: Path | None, folder: Path) -> xnorhw.Model:
    """``cnv`` or ``lfc``, with the trained weights that lie in ``arrays`` or random ones."""
    values = random_arrays(name) if arrays is None else load(arrays, name)
    path = folder / f"{name}.pt"
    xnorhw.save(NETWORKS[name](values), path, INPUTS[name])
    return xnorhw.load(path)


def initialised(name: str, folder: Path) -> xnorhw.Model:
    """A network of the zoo with seeded weights and batch norms as varied as trained ones."""
    torch.manual_seed(0)
    net, given = zoo.build(name)
    return _model(net, given, folder / f"{name}.pt")


def tiny(folder: Path) -> xnorhw.Model:
    """784-64-64-64-10 on bits; behind the last layer the scale and shift of each class."""
    torch.manual_seed(0)
    return _model(mlp(10, 64), xnorhw.Input((1, 28, 28)), folder / "tiny.pt")


def one_layer(inputs: int, outputs: int, folder: Path) -> xnorhw.Model:
    """A linear layer of signs with thresholds, and one of two outputs behind it."""
    torch.manual_seed(0)
    net = nn.Sequential(
        xnn.BinaryLinear(inputs, outputs), nn.BatchNorm1d(outputs), xnn.Sign(), xnn.BinaryLinear(outputs, 2)
    )
    signs = torch.randint(0, 2, (PICTURES, inputs)).float() * 2 - 1
    path = folder / f"layer-{inputs}-{outputs}.pt"
    xnorhw.save(varied(net, signs), path, xnorhw.Input((inputs,), encoding="bipolar"))
    return xnorhw.load(path)


def _model(net: nn.Module, given: xnorhw.Input, path: Path) -> xnorhw.Model:
    pictures = torch.randint(0, 256, (PICTURES, *given.shape)).float()
    xnorhw.save(xnorhw.snap(varied(net, pictures), samples=pictures), path, given, samples=pictures.numpy())
    return xnorhw.load(path)
