"""A batch norm that feeds a grid, made exact: few mantissa bits, no rounding, never a tie.

In front of a ``Grid`` of 2^-frac a channel is y = x * a + b of an integer x (times 2^-p).  With

    a = A * 2^(p - g),    b = B * 2^-(g + 1),  B odd,    g > frac

every y that the grid does not clamp is an odd multiple of 2^-(g + 1).  Where that needs at most
24 bits, float32 holds x * a and x * a + b without rounding, fused or not, and no y lies half way
between two steps of the grid.  So one multiplication, one addition and one shift give the same.
The scale and the bias of the layer in front are absorbed into a and b.  Of a layer in full
precision the weights themselves are multiplied by a: its sums have no bits to spare.

That leaves a few bits to the slope behind sums of 20.  A build that approximates needs no module of
torch's in the end: there the norm becomes a line of integers, which float32 does not bound (``grid_lines``).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from xnorhw.frontends.evaluator import batch_norm_terms
from xnorhw.frontends.exact_numbers import (
    Channels,
    NotExactError,
    Target,
    exact,
    lowest_bits,
    odd,
    points_of,
    shift_of,
    whole,
)
from xnorhw.frontends.grid_lines import grid_behind, grid_line
from xnorhw.frontends.nearest_lines import nearest_line
from xnorhw.frontends.steps import PRODUCT_OPS, Integers, ProductOp, Step, Steps
from xnorhw.ir import float_graph as fg
from xnorhw.nn.full import MAX_FRAC, WEIGHT_BITS

__all__ = ["ExactNorms", "Moved", "exact_norms", "largest_sum"]

Float64 = npt.NDArray[np.float64]

_EPS = 2.0**-17
"""var = 1 - eps: their sum is exactly 1.  torch wants an eps above 0."""
_BETWEEN = ("pool", "pass", "flatten", "relu", "clamp")
"""What may stand between a norm and the grid that it feeds."""


@dataclass(frozen=True)
class Moved:
    """A module with other numbers: results (of a norm) or weights lie in steps of 2^-frac.

    ``moved`` is by how much at most.  A layer that only gave its scale away has the frac None.
    """

    name: str
    op: fg.FloatOp
    frac: int | None
    moved: float


@dataclass(frozen=True)
class ExactNorms:
    """New operations by the module's name, what moved, and what had to be left, with the reason."""

    ops: dict[str, fg.FloatOp]
    moved: tuple[Moved, ...]
    left: tuple[str, ...]


def exact_norms(
    steps: Steps,
    frac: int | None = None,
    needed: Callable[[Step], bool] | None = None,
    *,
    lines: bool = False,
) -> ExactNorms:
    """New numbers for every batch norm, or layer without one, that feeds a ``Grid``.

    So does one in front of a ``QuantReLU`` of more than four bits whose scale is a power of two.
    ``frac``: at most as many fraction bits for the weights of layers in full precision.
    ``needed``: of which quantisers alone; None: of all.
    ``lines``: a norm that feeds one grid alone becomes a ``GridLine``, which is nearer than what float32
    does without rounding, and is no module of torch's.
    """
    ends: dict[str, list[Target]] = {}
    for step in steps.all:
        target = _target(step.op)
        if target is not None and (needed is None or needed(step)):
            end = _back(steps, steps.source(step), _BETWEEN)
            if end.kind in ("norm", "product"):
                ends.setdefault(end.name, []).append(target)
    ops: dict[str, fg.FloatOp] = {}
    moved: list[Moved] = []
    left: list[str] = []
    for name, targets in ends.items():
        end = steps[name]
        try:
            grid = grid_behind(steps, end, _BETWEEN) if lines else None
            changes = _site(steps, end, _finest(targets), frac, grid)
        except NotExactError as reason:
            left.append(f"{end.path}: left as it is, for {reason}")
            continue
        ops |= {change.name: change.op for change in changes}
        moved += [change for change in changes if change.frac is not None]
    return ExactNorms(ops, tuple(moved), tuple(left))


def largest_sum(steps: Steps, quantiser: Step) -> float:
    """The largest magnitude of the integers that the chain to ``quantiser`` begins with; inf: not known."""
    end = _back(steps, steps.source(quantiser), (*_BETWEEN, "norm"))
    if end.kind != "product":
        known = steps.integers(end)
        return math.inf if known is None or known.peak is None else math.ldexp(known.peak, known.point)
    op, known = end.op, steps.integers(steps.source(end))
    assert isinstance(op, PRODUCT_OPS)
    if known is None or known.peak is None:
        return math.inf
    if isinstance(op, fg.FullConv2d | fg.FullLinear):
        taps = np.abs(op.weight.astype(np.float64)).reshape(len(op.weight), -1).sum(axis=1)
        return float(taps.max() * math.ldexp(known.peak, known.point + op.frac))
    return math.ldexp(float(_reach(op, known).max()), known.point + _own_point(op))


def _finest(targets: list[Target]) -> Target:
    frac = max(t.frac for t in targets)
    return Target(frac, max(t.top << (frac - t.frac) for t in targets))


def _target(op: fg.FloatOp | None) -> Target | None:
    if isinstance(op, fg.Grid):
        return Target(op.frac, 1 << (op.bits - 1))
    if isinstance(op, fg.QuantRelu) and op.bits > 4:
        mantissa, exponent = math.frexp(op.scale)
        if mantissa == 0.5:
            return Target(1 - exponent, (1 << op.bits) - 1)
    return None


def _back(steps: Steps, step: Step, kinds: tuple[str, ...]) -> Step:
    while step.kind in kinds:
        step = steps.source(step)
    return step


def _site(steps: Steps, end: Step, target: Target, frac: int | None, grid: fg.Grid | None) -> list[Moved]:
    norm = end if end.kind == "norm" else None
    if end.shared:
        raise NotExactError("it is called in several places")
    if norm is None:
        return _rewritten(steps, end, None, target, frac, None)
    between: list[Step] = []
    step = steps.source(norm)
    while step.kind in ("pool", "pass", "flatten", "relu"):
        between.append(step)
        step = steps.source(step)
    if step.kind != "product":
        known = steps.integers(steps.source(norm))
        if known is None:
            raise NotExactError("what it reads is no sum of integers")
        return _norm_alone(norm, known, target, grid)
    if step.shared:
        raise NotExactError(f"{step.path} in front of it is called in several places")
    if any(len(steps.users(s)) > 1 for s in (step, *between)):
        raise NotExactError(f"{step.path} in front of it is read elsewhere, too")
    _check_between(step, between, norm)
    return _rewritten(steps, step, norm, target, frac, grid, relu="relu" in {s.kind for s in between})


def _check_between(product: Step, between: list[Step], norm: Step) -> None:
    op = product.op
    assert isinstance(op, PRODUCT_OPS) and isinstance(norm.op, fg.BatchNorm)
    if norm.op.mean.size != _outputs(op):
        raise NotExactError(f"it has a factor for each feature, not for each channel of {product.path}")
    kinds = {s.kind for s in between}
    if "relu" in kinds and op.bias is not None and op.bias.any():
        raise NotExactError(f"a ReLU stands between it and {product.path}, which has a bias")
    if kinds & {"relu", "pool"} and (_scale(op) < 0).any():
        raise NotExactError(f"{product.path} in front of it has a negative scale")


def _norm_alone(norm: Step, known: Integers, target: Target, grid: fg.Grid | None) -> list[Moved]:
    a, b = _factors(norm) if grid is None else _own_factors(norm)
    reach = np.full(a.shape, np.inf if known.peak is None else known.peak)
    channels = Channels(a, b, known.point, reach)
    if grid is not None:
        assert isinstance(norm.op, fg.BatchNorm)
        line = nearest_line(grid_line(channels, grid), reach, norm.op, None, relu=False)
        return [Moved(norm.path, line, grid.frac, 0.0)]
    slopes, offsets, points = exact(channels, target)
    return _norm_change(norm, channels, slopes, offsets, points, target)


def _rewritten(
    steps: Steps,
    product: Step,
    norm: Step | None,
    target: Target,
    frac: int | None,
    grid: fg.Grid | None,
    *,
    relu: bool = False,
) -> list[Moved]:
    op = product.op
    assert isinstance(op, PRODUCT_OPS)
    known = steps.integers(steps.source(product))
    if known is None or (isinstance(op, fg.FullLinear) and op.in_frac is not None):
        raise NotExactError(f"what {product.path} reads is real")
    own = np.zeros(_outputs(op)) if op.bias is None else op.bias.astype(np.float64)
    if isinstance(op, fg.FullConv2d | fg.FullLinear):
        grid = None
    if norm is None:
        a, b = np.ones(own.shape), np.zeros(own.shape)
    else:
        a, b = _factors(norm) if grid is None else _own_factors(norm)
    b = b + own * a
    if isinstance(op, fg.FullConv2d | fg.FullLinear):
        return _full(product, op, norm, a, b, known, target, frac)
    a = a * _scale(op)
    channels = Channels(a, b, known.point + _own_point(op), _reach(op, known))
    if norm is not None and grid is not None:
        assert isinstance(norm.op, fg.BatchNorm)
        nearest = nearest_line(grid_line(channels, grid), channels.reach, norm.op, op, relu=relu)
        line = Moved(norm.path, nearest, grid.frac, 0.0)
        return [*_unless_same(product.path, op, _without_scale(op), None, 0.0), line]
    slopes, offsets, points = exact(channels, target)
    if norm is None:
        bare = replace(op, scale=slopes.astype(np.float32), bias=offsets.astype(np.float32))
        if not isinstance(bare, fg.ScaledBinaryConv2d):
            bare = replace(bare, in_scale=1.0)
        if bool((slopes == channels.a).all() and (offsets == channels.b).all()):
            return []
        return [Moved(product.path, bare, int(points.max()), shift_of(channels, slopes, offsets, target))]
    return [
        *_unless_same(product.path, op, _without_scale(op), None, 0.0),
        *_norm_change(norm, channels, slopes, offsets, points, target),
    ]


def _without_scale(op: ProductOp) -> fg.FloatOp:
    if isinstance(op, fg.ScaledBinaryConv2d):
        return replace(op, scale=np.ones(1, np.float32), bias=None)
    assert not isinstance(op, fg.FullConv2d | fg.FullLinear)
    return replace(op, scale=None, bias=None, in_scale=1.0)


def _full(
    product: Step,
    op: fg.FullConv2d | fg.FullLinear,
    norm: Step | None,
    a: Float64,
    b: Float64,
    known: Integers,
    target: Target,
    frac: int | None,
) -> list[Moved]:
    shape = (-1, *[1] * (op.weight.ndim - 1))
    wished = op.weight.astype(np.float64) * (np.abs(a) * op.in_scale).reshape(shape)
    heaviest = float(np.abs(wished).max())
    taps = np.abs(wished).reshape(len(wished), -1).sum(axis=1)
    reach = np.full(taps.shape, np.inf) if known.peak is None else taps * known.peak
    most = MAX_FRAC if frac is None else frac
    if heaviest > 0:
        most = min(most, WEIGHT_BITS - 1 - math.ceil(math.log2(heaviest)))
    signs = np.where(a < 0, -1.0, 1.0)
    channels = Channels(np.ones(a.shape), b, known.point, reach)
    # one g for all channels: it is every sum in the layer's own steps that must be exact, and a
    # finer channel would make the steps finer for all
    point = min(float(points_of(channels, target).min()), float(most + known.point))
    formed = float((-lowest_bits(b) - 1).max())
    limit = min(float(points_of(channels, target, 0.0).min()), float(most + known.point))
    if (
        formed <= limit
        and (odd(b, np.full(b.shape, formed)) == b).all()
        and whole(wished, np.float64(formed - known.point)).all()
    ):
        point = formed
    if point <= target.frac or point < known.point:
        raise NotExactError(
            f"{product.path}'s sums take all of float32's 24 bits: give the grid behind it a smaller range"
        )
    points = np.full(b.shape, point)
    fraction = int(point) - known.point
    weight = np.rint(wished * 2.0**fraction) * 2.0**-fraction
    offsets = odd(b, points)
    made = replace(op, weight=weight.astype(np.float32), frac=fraction, in_scale=1.0, bias=None)
    off = float(np.abs(weight - wished).max())
    if norm is None:
        made = replace(made, bias=offsets.astype(np.float32))
        return _unless_same(product.path, op, made, fraction, off)
    return [
        *_unless_same(product.path, op, made, fraction, off),
        *_norm_change(norm, channels, signs, offsets, points, target),
    ]


def _norm_change(
    norm: Step, wished: Channels, slopes: Float64, offsets: Float64, points: Float64, target: Target
) -> list[Moved]:
    made = _batch_norm(norm, slopes, offsets)
    shift = shift_of(wished, slopes, offsets, target)
    return _unless_same(norm.path, norm.op, made, int(points.max()), shift)


def _unless_same(
    name: str, old: fg.FloatOp | None, new: fg.FloatOp, frac: int | None, moved: float
) -> list[Moved]:
    return [] if _equal(old, new) else [Moved(name, new, frac, moved)]


def _equal(a: Any, b: Any) -> bool:
    for key, value in vars(a).items():
        other = getattr(b, key)
        if isinstance(value, np.ndarray) or isinstance(other, np.ndarray):
            if value is None or other is None or not np.array_equal(value, other):
                return False
        elif value != other:
            return False
    return True


def _factors(norm: Step) -> tuple[Float64, Float64]:
    op = norm.op
    assert isinstance(op, fg.BatchNorm)
    gamma = np.ones(op.mean.shape) if op.gamma is None else op.gamma.astype(np.float64)
    beta = np.zeros(op.mean.shape) if op.beta is None else op.beta.astype(np.float64)
    a = gamma / np.sqrt(op.var.astype(np.float64) + op.eps)
    return a, beta - op.mean.astype(np.float64) * a


def _own_factors(norm: Step) -> tuple[Float64, Float64]:
    """(a, b) as torch rounds them."""
    assert isinstance(norm.op, fg.BatchNorm)
    a, b = batch_norm_terms(norm.op, "separate")
    return a.astype(np.float64), b.astype(np.float64)


def _batch_norm(norm: Step, a: Float64, b: Float64) -> fg.BatchNorm:
    old = norm.op
    assert isinstance(old, fg.BatchNorm)
    zeros = np.zeros(a.shape, np.float32)
    var = np.full(a.shape, 1 - _EPS, np.float32)
    return fg.BatchNorm(a.astype(np.float32), b.astype(np.float32), zeros, var, _EPS, old.rank)


def _outputs(op: ProductOp) -> int:
    return int(op.weight.shape[1] if isinstance(op, fg.BasesConv2d | fg.BasesLinear) else op.weight.shape[0])


def _scale(op: ProductOp) -> Float64:
    """What a layer multiplies its sums by, [O]; of one in full precision its in_scale."""
    if isinstance(op, fg.FullConv2d | fg.FullLinear):
        return np.full(_outputs(op), op.in_scale)
    own = np.ones(1) if op.scale is None else op.scale.astype(np.float64)
    outer = 1.0 if isinstance(op, fg.ScaledBinaryConv2d) else op.in_scale
    return np.asarray(np.broadcast_to(own * outer, (_outputs(op),)), np.float64)


def _own_point(op: ProductOp) -> int:
    return op.frac if isinstance(op, fg.BasesConv2d | fg.BasesLinear) else 0


def _reach(op: ProductOp, known: Integers) -> Float64:
    """The largest magnitude of a sum, [O], in what the layer reads."""
    if known.peak is None:
        return np.full(_outputs(op), np.inf)
    if isinstance(op, fg.BasesConv2d | fg.BasesLinear):
        shape = (-1, *[1] * (op.weight.ndim - 1))
        values = (op.weight.astype(np.float64) * op.coefficients.reshape(shape)).sum(axis=0)
        heavy = np.abs(values).reshape(len(values), -1).sum(axis=1)
        return np.asarray(heavy * 2.0**-op.frac * known.peak)
    taps = float(np.prod(op.weight.shape[1:]))
    if isinstance(op, fg.ScaledBinaryConv2d):
        taps *= taps
    pads = getattr(op, "pad_value", 0.0)
    return np.full(_outputs(op), taps * max(known.peak, abs(pads)))
