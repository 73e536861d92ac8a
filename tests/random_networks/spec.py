"""What a random network is made of: small frozen descriptions, no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Union

from xnorhw.ir.geometry import WindowGeometry

__all__ = [
    "BatchNorm",
    "Conv",
    "Flatten",
    "Front",
    "Hardtanh",
    "Linear",
    "NetworkSpec",
    "Pool",
    "Relu",
    "ScaleKind",
    "Sign",
    "Step",
]

FrontKind = Literal["codes", "bipolar", "table", "normalised", "bipolar table"]
ScaleKind = Literal["channel", "layer"]


@dataclass(frozen=True)
class Front:
    """What the network is fed: ``shape`` is (C, H, W) or (features,), a value is code * 2^-point."""

    kind: FrontKind
    shape: tuple[int, ...]
    bits: int = 8
    signed: bool = False
    point: int = 0
    table_per_channel: bool = False


@dataclass(frozen=True)
class Conv:
    """A binary convolution; ``pad_code`` is the padded taps' value in units of the input's codes."""

    out: int
    geometry: WindowGeometry
    groups: int = 1
    pad_code: int = 0
    bias: bool = False
    scale: ScaleKind | None = None
    in_scale: float = 1.0


@dataclass(frozen=True)
class Linear:
    """A binary linear layer."""

    out: int
    bias: bool = False
    scale: ScaleKind | None = None
    in_scale: float = 1.0


@dataclass(frozen=True)
class BatchNorm:
    """A batch norm; ``ties``: channels whose zero lies exactly on an attainable sum.

    ``zeros``: a channel with gamma = 0.  ``relu_constant``: a channel whose zero a ReLU in
    front of it puts out of reach.  Both are planned constants.
    """

    affine: bool = True
    ties: bool = False
    zeros: bool = False
    relu_constant: bool = False


@dataclass(frozen=True)
class Relu:
    """max(x, 0)."""


@dataclass(frozen=True)
class Hardtanh:
    """A clamp whose limits are drawn around what it sees."""


@dataclass(frozen=True)
class Pool:
    """A max-pool with torch's symmetric pads."""

    geometry: WindowGeometry


@dataclass(frozen=True)
class Flatten:
    """[N, C, H, W] -> [N, C*H*W]."""


@dataclass(frozen=True)
class Sign:
    """+1 where x >= 0, else -1."""


Step = Union[Conv, Linear, BatchNorm, Relu, Hardtanh, Pool, Flatten, Sign]


@dataclass(frozen=True)
class NetworkSpec:
    """A network's structure; weights, statistics and frames are drawn from ``seed``."""

    front: Front
    steps: tuple[Step, ...]
    seed: int
    frames: int
