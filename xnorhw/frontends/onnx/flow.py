"""What runs through a network while it is read: a value of ours, and what the file has beside it."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import nn

from xnorhw.frontends.onnx.constants import Const
from xnorhw.frontends.onnx.graph import Node
from xnorhw.frontends.onnx.quantisers import Quantiser

__all__ = ["Bases", "Flow", "Names", "Pixels", "Stored", "channels", "one_flow"]

Float32 = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Flow:
    """A value: the step ``name`` of ours, of ``shape`` (C, H, W) or (C,), times ``scale`` in the file.

    ``last`` says that the file has the channels last, ``ones`` how many axes of size 1 it has
    behind a vector, ``order`` where each feature of the file lies among ours.  ``pads`` are those
    of a Pad that waits for its convolution, and their value in the file.  ``whole``: it is made of
    integers, which are worth ``scale``.  ``in_frac``: it is rounded to multiples of 2^-in_frac, by
    the linear layer that reads it.
    """

    name: str
    shape: tuple[int, ...]
    scale: float = 1.0
    last: bool = False
    ones: int = 0
    order: tuple[int, ...] | None = None
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)
    pad_value: float = 0.0
    whole: bool = False
    in_frac: int | None = None

    @property
    def rank(self) -> int:
        """Axes that the file's tensor has, the batch's too."""
        return 1 + len(self.shape) + self.ones

    @property
    def file_shape(self) -> tuple[int, ...]:
        """The file's shape, without the batch."""
        shape = (*self.shape[1:], self.shape[0]) if self.last else self.shape
        return (*shape, *(1,) * self.ones)

    def named(self, name: str) -> Flow:
        """The same value behind a step that makes numbers of worth 1."""
        return replace(self, name=name, scale=1.0, whole=False)


@dataclass(frozen=True)
class Pixels:
    """The network's input while it is a function of one pixel: ``values`` [C or 1, 256] float32."""

    flow: Flow
    values: Float32
    flat: bool = False


@dataclass(frozen=True)
class Bases:
    """Bases of an ABC-Net activation of ``flow``: their shifts, and their betas once signs are taken."""

    flow: Flow
    shifts: tuple[float, ...]
    betas: tuple[float, ...]


@dataclass(frozen=True)
class Stored:
    """What a QuantizeLinear makes of ``flow``, before the DequantizeLinear: codes plus their zero point."""

    flow: Flow | Pixels
    quantiser: Quantiser
    node: Node


def channels(node: Node, const: Const, flow: Flow) -> Float32:
    """A constant beside ``flow`` as float32 [1] or [C].  ModelError where it is no such."""
    values = np.asarray(const.values, np.float32)
    if not np.isfinite(values).all():
        node.refuse("has a constant that is NaN or infinite", "Train again, or load the last good checkpoint")
    if values.size == 1:
        return values.reshape(1)
    axis = flow.rank - 1 if flow.last else 1
    if values.ndim > flow.rank:
        node.refuse(f"has a constant of the shape {values.shape}", "Use one number for each channel")
    shape = (1,) * (flow.rank - values.ndim) + values.shape
    if shape[axis] != flow.shape[0] or math.prod(shape) != flow.shape[0]:
        node.refuse(
            f"has a constant of the shape {values.shape} beside a tensor of the shape {flow.file_shape}",
            "Use one number, or one for each channel",
        )
    found = values.reshape(-1)
    if flow.order is not None:
        ours = np.empty_like(found)
        ours[list(flow.order)] = found
        found = ours
    return found


def one_flow(node: Node, value: Any) -> Flow:
    """``value`` as a tensor of the network.  ModelError where it is none that ``node`` can read."""
    if isinstance(value, Flow):
        if any(value.pads) and node.op not in ("Conv", "MaxPool", "AveragePool"):
            node.refuse(
                "reads a padded tensor, and a Pad is known in front of a convolution alone",
                "Give the padding to the layer",
            )
        if value.in_frac is not None and node.op not in ("Mul", "MatMul", "Gemm"):
            node.refuse(
                "reads rounded numbers, and a Round is known in front of a linear layer alone",
                "Use a Quant, which has a range",
            )
        return value
    if isinstance(value, Pixels):
        node.refuse(
            "reads real numbers: nothing makes integers of the network's input before its first layer",
            "Put a quantiser first (in Brevitas: QuantIdentity), or feed integer codes: --input SHAPE,bits=8",
        )
    if isinstance(value, Bases):
        node.refuse("reads a part of a BasesActivation", "Export the network again")
    if isinstance(value, Stored):
        node.refuse(
            f"stands between {value.node.name} (QuantizeLinear) and its DequantizeLinear",
            "Export the network with the pair together",
        )
    node.refuse("reads a constant where a tensor of the network is expected", "Export the file again")


class Names:
    """Paths of modules out of the names of a file: unique, and none goes through another."""

    def __init__(self) -> None:
        self._paths: set[str] = {"input"}
        self._holders: set[str] = set()

    def path(self, node: Node, *origins: str, behind: str = "") -> str:
        """A path for ``node``: the module's where its parameters or its name tell it.

        ``behind`` is put behind it where a node makes more than one step.
        """
        wished = next((o.removesuffix(".weight") for o in origins if o.endswith(".weight")), None)
        wished = wished if wished and "/" not in wished else _from_name(node)
        parts = [re.sub(r"[^0-9A-Za-z_]", "_", p) for p in wished.split(".") if p]
        parts = parts or [node.op.lower()]
        if hasattr(nn.Module(), parts[0]) or parts[0] in ("steps", "output"):
            parts[0] += "_"
        parts[-1] += behind
        if self._through(".".join(parts)) & self._paths:
            parts = ["_".join(parts)]
        path, number = ".".join(parts), 2
        while not self._free(path):
            path, number = f"{'.'.join(parts)}_{number}", number + 1
        self._paths.add(path)
        self._holders.update(self._through(path))
        return path

    def _free(self, path: str) -> bool:
        return path not in self._paths | self._holders

    @staticmethod
    def _through(path: str) -> set[str]:
        holders = path.split(".")[:-1]
        return {".".join(holders[: i + 1]) for i in range(len(holders))}


def _from_name(node: Node) -> str:
    """``/features.3/act_quant/export_handler/Quant`` is ``features.3``."""
    parts = [p for p in node.name.split("/") if p]
    if len(parts) > 1:
        parts = [
            p
            for p in parts
            if p not in ("act_quant", "weight_quant", "export_handler")
            and not re.fullmatch(rf"{re.escape(node.op)}(_\d+)?", p)
        ]
    return ".".join(parts) or node.op.lower()
