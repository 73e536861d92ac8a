"""Functions and tensor methods that a forward may call, by their target in the trace."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any, NoReturn

import torch
import torch.nn.functional as F
from torch import Tensor

from xnorhw.frontends.vocabulary import BATCH, SUPPORTED, Batch, Made, Place, Result, Size
from xnorhw.ir.float_graph import Add, AvgPool2d, Concat, Flatten, FloatOp, Hardtanh, MaxPool2d, Relu, Value
from xnorhw.ir.geometry import Pads, WindowGeometry

__all__ = [
    "FUNCTIONS",
    "METHODS",
    "Handler",
    "adaptive_average",
    "average_pool",
    "flatten",
    "global_average",
    "max_pool",
]

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


def average_pool(
    place: Place,
    source: Value,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> FloatOp:
    kernel = _pair(place, kernel_size)
    rows, columns = _pair(place, padding)
    if divisor_override is not None:
        place.refuse(
            f"divides by {divisor_override} (divisor_override) and is no average of its window",
            "Leave divisor_override out, and put the factor into the next batch norm",
        )
    if ceil_mode:
        place.refuse(
            "has windows that reach past the map (ceil_mode=True), each with a divisor of its own",
            "Use ceil_mode=False, or pad the map",
        )
    if (rows or columns) and not count_include_pad:
        place.refuse(
            "divides by another number of values at the edge (count_include_pad=False with padding)",
            "Use count_include_pad=True or no padding",
        )
    strides = kernel if stride is None or stride == () or stride == [] else _pair(place, stride)
    return AvgPool2d(WindowGeometry(kernel, strides, Pads(columns, columns, rows, rows)))


def global_average(place: Place, source: Value) -> FloatOp:
    """The average over the whole map."""
    if len(source.shape) != 3:
        place.refuse(
            f"averages over height and width of something of shape {source.shape}", "Feed it a feature map"
        )
    kernel = (source.shape[1], source.shape[2])
    return AvgPool2d(WindowGeometry(kernel, kernel))


def adaptive_average(place: Place, source: Value, output_size: Any) -> FloatOp:
    """Only the average over the whole map is one window."""
    size = output_size if isinstance(output_size, tuple | list) else (output_size, output_size)
    if tuple(size) not in ((1, 1), (1,)):
        place.refuse(
            f"averages to a map of {size}, with windows of several sizes",
            "Use AvgPool2d, or AdaptiveAvgPool2d(1)",
        )
    return global_average(place, source)


def _mean(
    place: Place, source: Value, dim: Any = None, keepdim: bool = False, *, dtype: Any = None
) -> Result:
    axes = dim if isinstance(dim, tuple | list) else (dim,)
    rank = len(source.shape) + 1
    if dtype is not None or None in axes or rank != 4 or {a % rank for a in axes} != {2, 3}:
        place.refuse("averages over other axes than height and width of a feature map", "Use x.mean((2, 3))")
    pooled = global_average(place, source)
    return Made((pooled,) if keepdim else (pooled, Flatten()), (source,))


def _add(place: Place, *args: Any, alpha: Any = 1, other: Any = None) -> Result:
    """The sum of two tensors; of two sizes the number."""
    if other is not None:
        args = (*args, other)
    if not any(isinstance(a, Value) for a in args):
        return _arithmetic(operator.add)(place, *args)
    if len(args) != 2 or not all(isinstance(a, Value) for a in args) or alpha != 1:
        place.refuse(
            "adds something else than two tensors of the network",
            "A constant belongs into the next batch norm; a factor into the scale in front of xnorhw.nn.Grid",
        )
    return Made((Add(),), args)


def _concat(place: Place, tensors: Any, dim: Any = 0, axis: Any = None) -> Result:
    dim = dim if axis is None else axis
    if not isinstance(tensors, tuple | list) or not tensors or not all(isinstance(t, Value) for t in tensors):
        place.refuse("is called with something else than a list of tensors", "Use torch.cat([a, b], dim=1)")
    if dim % (len(tensors[0].shape) + 1) != 1:
        place.refuse(f"joins along the axis {dim}", "Join channels: torch.cat([a, b], dim=1)")
    return Made((Concat(),), tuple(tensors)) if len(tensors) > 1 else Made((), tuple(tensors))


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


def _softmax(place: Place, source: Value, *_: Any, **__: Any) -> NoReturn:
    place.refuse(
        "does not change which class is the largest, and its exponentials have no exact form",
        "Leave it out of the network that is saved, and apply it to the scores",
    )


def _local_response_norm(place: Place, source: Value, *_: Any, **__: Any) -> NoReturn:
    place.refuse(
        "depends on a sum of squares over channels, which no threshold expresses",
        "Replace it by BatchNorm2d and retrain",
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
    F.softmax: _softmax,
    F.log_softmax: _softmax,
    torch.softmax: _softmax,
    torch.log_softmax: _softmax,
    F.local_response_norm: _local_response_norm,
    torch.sign: _torch_sign,
    torch.sgn: _torch_sign,
    getattr: _attribute,
    operator.getitem: _getitem,
    operator.mul: _arithmetic(operator.mul),
    operator.add: _add,
    operator.iadd: _add,
    torch.add: _add,
    torch.cat: _concat,
    torch.concat: _concat,
    torch.concatenate: _concat,
    torch.mean: _mean,
    F.avg_pool2d: average_pool,
    F.adaptive_avg_pool2d: adaptive_average,
    operator.sub: _arithmetic(operator.sub),
    operator.floordiv: _arithmetic(operator.floordiv),
}

METHODS: dict[str, Handler] = {
    "relu": _relu,
    "relu_": _relu,
    "add": _add,
    "add_": _add,
    "mean": _mean,
    "flatten": flatten,
    "view": _reshape,
    "reshape": _reshape,
    "contiguous": _same,
    "size": _size,
    "dim": _rank,
    "numel": _numel,
    "softmax": _softmax,
    "log_softmax": _softmax,
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
