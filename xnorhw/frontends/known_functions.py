"""Functions and tensor methods that a forward may call, by their target in the trace."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any, NoReturn

import torch
import torch.nn.functional as F
from torch import Tensor

from xnorhw.frontends.vocabulary import BATCH, SUPPORTED, Batch, Place, Result, Size
from xnorhw.ir.float_graph import Flatten, FloatOp, Hardtanh, MaxPool2d, Relu, Value
from xnorhw.ir.geometry import Pads, WindowGeometry

__all__ = ["FUNCTIONS", "METHODS", "Handler", "flatten", "max_pool"]

Handler = Callable[..., Result]
"""Called with the place and the call's own arguments: torch's signatures, tensors as ``Value``."""


def _relu(place: Place, source: Value, inplace: bool = False) -> FloatOp:
    return Relu()


def _hardtanh(
    place: Place, source: Value, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False
) -> FloatOp:
    return Hardtanh(float(min_val), float(max_val))


def max_pool(
    place: Place,
    source: Value,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> FloatOp:
    if return_indices:
        place.refuse("returns indices as a second result", "Use return_indices=False")
    kernel = _pair(place, kernel_size)
    rows, columns = _pair(place, padding)
    # torch takes an empty stride for "as the kernel"
    strides = kernel if stride is None or stride == () or stride == [] else _pair(place, stride)
    geometry = WindowGeometry(
        kernel, strides, Pads(columns, columns, rows, rows), _pair(place, dilation), bool(ceil_mode)
    )
    return MaxPool2d(geometry)


def _max_pool_with_indices(place: Place, *_: Any, **__: Any) -> NoReturn:
    place.refuse("returns indices as a second result", "Use return_indices=False")


def flatten(place: Place, source: Value, start_dim: Any = 0, end_dim: Any = -1) -> FloatOp | None:
    rank = len(source.shape) + 1
    start = start_dim + rank if start_dim < 0 else start_dim
    end = end_dim + rank if end_dim < 0 else end_dim
    if start == end:
        return None
    if start == 0:
        place.refuse("mixes the frames of a batch (start_dim=0)", "Use start_dim=1")
    if (start, end) != (1, rank - 1):
        place.refuse(
            f"flattens only the axes {start_dim} to {end_dim}",
            "Flatten everything behind the batch: start_dim=1",
        )
    return Flatten()


def _reshape(place: Place, source: Value, *sizes: Any, shape: Any = None, size: Any = None) -> FloatOp | None:
    if shape is not None or size is not None:
        sizes = (shape if shape is not None else size,)
    wanted = sizes[0] if len(sizes) == 1 and isinstance(sizes[0], tuple | list) else sizes
    features = math.prod(source.shape)
    wanted = tuple(wanted)
    if not wanted or not all(isinstance(s, int | Batch) for s in wanted):
        place.refuse("reshapes to a shape that is not known", "Use x.flatten(1)")
    first, rest = wanted[0], wanted[1:]
    if isinstance(first, int) and first != -1:
        place.refuse(f"has a batch of {first} baked into it", "Use x.view(x.size(0), -1) or x.flatten(1)")
    if any(isinstance(s, Batch) for s in rest):
        place.refuse("moves the batch to another axis", "Use x.view(x.size(0), -1)")
    if first == -1 and -1 in rest:
        place.refuse("has two unknown sizes", "Use x.view(x.size(0), -1)")
    fixed = math.prod(s for s in rest if s != -1)
    if -1 in rest:
        rest = tuple(features // fixed if s == -1 else s for s in rest) if fixed else rest
    if math.prod(rest) != features:
        place.refuse(
            f"reshapes {features} values a frame to {tuple(rest)}, which mixes the frames of a batch",
            "Use x.view(x.size(0), -1) or x.flatten(1)",
        )
    if tuple(rest) == source.shape:
        return None
    if len(rest) != 1:
        place.refuse(f"reshapes {source.shape} to {tuple(rest)}", "Only (N, -1) is known: use x.flatten(1)")
    return Flatten()


def _dropout(
    place: Place, source: Value, p: float = 0.5, training: bool = True, inplace: bool = False
) -> None:
    if training:
        place.refuse(
            "drops values at random in eval too: training is literally True",
            "Write F.dropout(x, p, training=self.training), or use torch.nn.Dropout",
        )


def _same(place: Place, source: Value, *_: Any, **__: Any) -> None:
    return None


def _size(place: Place, source: Value, dim: Any = None) -> Size:
    shape: tuple[int | Batch, ...] = (BATCH, *source.shape)
    return shape if dim is None else shape[dim]


def _attribute(place: Place, source: Value, name: str) -> Size:
    if name == "shape":
        return (BATCH, *source.shape)
    if name == "ndim":
        return len(source.shape) + 1
    place.refuse(f"reads {name!r} of a tensor", SUPPORTED)


def _numel(place: Place, source: Any) -> Size:
    if not isinstance(source, tuple) or any(isinstance(s, Batch) for s in source):
        place.refuse("counts the values of a whole batch", "Use x.flatten(1)")
    return math.prod(source)


def _rank(place: Place, source: Value) -> Size:
    return len(source.shape) + 1


def _torch_sign(place: Place, source: Value, *_: Any, **__: Any) -> NoReturn:
    place.refuse(
        "gives 0 for 0, which one bit cannot hold",
        "Use xnorhw.nn.Sign, where sign(0) = +1, or give replace= for the module that calls it",
    )


def _arithmetic(function: Callable[..., Any]) -> Handler:
    def handler(place: Place, *args: Any) -> Size:
        # tensors never come here unresolved: a Value among the arguments is real arithmetic
        if any(isinstance(a, Value | Tensor) for a in args):
            place.refuse("on tensors is not known", SUPPORTED)
        if any(isinstance(a, Batch) for a in args):
            place.refuse("computes with the size of the batch", "Use x.flatten(1)")
        result: Size = function(*args)
        return result

    return handler


def _getitem(place: Place, source: Any, index: Any) -> Size:
    if not isinstance(source, tuple):
        place.refuse("takes a part of a tensor", SUPPORTED)
    item: Size = source[index]
    return item


FUNCTIONS: dict[Any, Handler] = {
    F.relu: _relu,
    F.relu_: _relu,
    torch.relu: _relu,
    torch.relu_: _relu,
    F.hardtanh: _hardtanh,
    F.hardtanh_: _hardtanh,
    F.max_pool2d: max_pool,
    torch.max_pool2d: max_pool,
    F.max_pool2d_with_indices: _max_pool_with_indices,
    torch.flatten: flatten,
    torch.reshape: _reshape,
    F.dropout: _dropout,
    F.dropout1d: _dropout,
    F.dropout2d: _dropout,
    F.dropout3d: _dropout,
    F.alpha_dropout: _dropout,
    F.feature_alpha_dropout: _dropout,
    torch.sign: _torch_sign,
    torch.sgn: _torch_sign,
    getattr: _attribute,
    operator.getitem: _getitem,
    operator.mul: _arithmetic(operator.mul),
    operator.add: _arithmetic(operator.add),
    operator.sub: _arithmetic(operator.sub),
    operator.floordiv: _arithmetic(operator.floordiv),
}

METHODS: dict[str, Handler] = {
    "relu": _relu,
    "relu_": _relu,
    "flatten": flatten,
    "view": _reshape,
    "reshape": _reshape,
    "contiguous": _same,
    "size": _size,
    "dim": _rank,
    "numel": _numel,
    "sign": _torch_sign,
    "sign_": _torch_sign,
    "sgn": _torch_sign,
}


def _pair(place: Place, value: Any) -> tuple[int, int]:
    pair = (value, value) if isinstance(value, int) else tuple(value)
    if len(pair) == 1:
        pair = pair * 2
    if len(pair) != 2 or not all(isinstance(v, int) for v in pair):
        place.refuse(f"has the window parameter {value!r}", "Give an int or a pair (y, x)")
    return pair
