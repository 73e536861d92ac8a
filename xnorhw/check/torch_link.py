"""The first link: the trained PyTorch model against the golden model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from xnorhw import golden
from xnorhw.check.compare import Comparison, Difference, compare
from xnorhw.golden.codes import in_steps, values_of
from xnorhw.ir.evaluator import Evaluator
from xnorhw.ir.int_graph import FullProduct, HostAffine, HostBatchNorm, HostFull, IntGraph, Product

__all__ = ["TorchLink", "check_torch", "score_tolerance"]

SCORES = ":scores"
ULPS = 4


@dataclass(frozen=True)
class TorchLink:
    """The comparison with torch, and the frames whose two best scores lie within rounding."""

    comparison: Comparison
    torch_decisions: npt.NDArray[np.int64] | None
    ties: tuple[int, ...]


def check_torch(
    graph: IntGraph,
    evaluator: Evaluator,
    values: npt.NDArray[np.int64],
    tensors: dict[str, npt.NDArray[Any]],
    first_frame: int = 0,
) -> TorchLink:
    """Compare torch with the golden tensors of the same frames.

    Integer tensors must be equal, and so must linear layers on real values for equal inputs;
    scores may differ by 4 ulp of the largest term (see ``score_tolerance``), and the decision
    only where the two best scores lie within that (those frames are listed).
    """
    traced = in_steps(graph, evaluator.trace(values_of(graph, values)))
    # a threshold in front of its pool, or a part of a sum, has no tensor of its own in torch
    names = [
        n.output.name
        for n in graph.nodes
        if n.output.name in traced or (isinstance(n.op, Product | FullProduct) and ":" not in n.output.name)
    ]
    result = compare("golden", names, traced, tensors, first_frame)
    sums = tensors[graph.output]
    result = result.beside(_full_layers(graph, evaluator, sums, first_frame))
    found = golden.scores(graph, sums)
    wanted = traced[SCORES].reshape(found.shape)
    tolerance = score_tolerance(graph, sums).reshape(found.shape)
    equal = wanted == found
    off = ~(equal | (np.abs(wanted.astype(np.float64) - found) <= tolerance))  # NaN is neither
    result += _scores(off, wanted, found, first_frame)
    if found.ndim != 2:
        return TorchLink(result, None, ())
    mine, theirs = found.argmax(axis=1), wanted.argmax(axis=1)
    rows = np.arange(len(found))
    close = (found[rows, mine] - found[rows, theirs]) <= np.maximum(
        tolerance[rows, mine], tolerance[rows, theirs]
    )
    differs = mine != theirs
    bad = differs & ~close
    if bad.any():
        frame = int(np.argmax(bad))
        first = Difference(
            "golden", "decision", first_frame + frame, 0, 0, 0, float(theirs[frame]), float(mine[frame])
        )
        result += Comparison(0, 0, int(bad.sum()), first)
    ties = tuple(int(first_frame + i) for i in np.flatnonzero(differs & close))
    return TorchLink(result, theirs.astype(np.int64), ties)


def _full_layers(
    graph: IntGraph, evaluator: Evaluator, sums: npt.NDArray[np.int64], first_frame: int
) -> Comparison:
    """torch's linear layers on golden's own real values: both sum integers, so nothing may differ."""
    result = Comparison()
    x = sums.astype(np.float32)
    for op in graph.host:
        y = golden.host(op, x)
        if isinstance(op, HostFull):
            theirs = evaluator.call(op.name, x.reshape(len(x), -1))
            result = result.beside(compare("golden", [op.name], {op.name: theirs}, {op.name: y}, first_frame))
        x = y
    return result


def _scores(
    off: npt.NDArray[np.bool_], wanted: npt.NDArray[Any], found: npt.NDArray[Any], first_frame: int
) -> Comparison:
    first = None
    if off.any():
        place = tuple(int(v) for v in np.argwhere(off)[0])
        channel, y, x = (*place[1:], 0, 0)[:3]
        first = Difference(
            "golden",
            "scores",
            first_frame + place[0],
            channel,
            y,
            x,
            expected=float(wanted[place]),
            found=float(found[place]),
        )
    return Comparison(0, int(off.size), int(off.sum()), first)


def score_tolerance(graph: IntGraph, sums: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """How far torch's scores may lie from golden's, for each score; shape of the scores.

    4 ulp (float32) of the largest term that a value is made of.  A layer that rounds its
    input to a grid passes none of that on, but where the input lies so near to the middle of
    two steps that it may be rounded either way: there one step more or less is a weight.
    """
    x = sums.astype(np.float32)
    largest = np.abs(x)
    carried = np.zeros(x.shape, np.float64)
    for op in graph.host:
        y = golden.host(op, x)
        if isinstance(op, HostFull):
            off = ULPS * np.spacing(largest).astype(np.float64) + carried
            flat = x.reshape(len(x), -1).astype(np.float64)
            off = off.reshape(len(x), -1)
            step = 2.0**op.in_frac
            spread = np.rint((flat + off) * step) - np.rint((flat - off) * step)
            moved = spread @ np.abs(op.weight.astype(np.float64)).T * 2.0 ** -(op.in_frac + op.frac)
            carried = moved.reshape(y.shape)
            bias = np.float32(0) if op.bias is None else op.bias.reshape(1, -1, 1, 1)
            largest = np.maximum(np.maximum(np.abs(y - bias), np.abs(y)), np.abs(bias))
        elif isinstance(op, HostAffine | HostBatchNorm):
            scale, term = _terms(op)
            largest = np.maximum(np.maximum(largest * np.abs(scale), np.abs(x * scale)), term)
            carried = carried * np.abs(scale)
        x = y
    return np.asarray(ULPS * np.spacing(largest.astype(np.float32)) + carried, np.float64)


def _terms(op: HostAffine | HostBatchNorm) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """(what multiplies, the size of what is added), [1, 1 or C, 1, 1]."""
    if isinstance(op, HostAffine):
        scale = np.ones(1, np.float32) if op.scale is None else op.scale
        term = np.zeros(1, np.float32) if op.bias is None else np.abs(op.bias)
    else:
        scale, term = op.a, np.abs(op.b)
        if op.shift is not None:
            term = np.maximum(term, np.abs(op.shift))
    return scale.reshape(1, -1, 1, 1), term.reshape(1, -1, 1, 1)
