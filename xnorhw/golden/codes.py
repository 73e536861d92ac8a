"""Input values of a network to the integers that the golden model takes, and back."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from xnorhw.golden.run import check_input
from xnorhw.ir.errors import ModelError
from xnorhw.ir.int_graph import IntGraph

__all__ = ["codes_of", "in_steps", "random_codes", "values_of"]


def codes_of(graph: IntGraph, x: npt.ArrayLike) -> npt.NDArray[np.int64]:
    """The integer codes [N, C, H, W] of a batch of input values [N, *input.shape].

    A value is a code times the input's scale.  Raises ModelError for another shape, an
    empty batch, a dtype that holds no numbers, NaN and infinity, a value between two codes
    and one outside of the declared range.
    """
    try:
        values = np.asarray(x)
    except (RuntimeError, TypeError, ValueError) as error:
        raise ModelError(
            f"the input is no array ({error})", module="input", remedy="Pass a NumPy array, or x.detach()"
        ) from None
    if values.dtype.kind not in "iuf":
        raise ModelError(
            f"the input holds {values.dtype}, not numbers",
            module="input",
            remedy="Pass an array of float32, or of an integer type",
        )
    shape = graph.input.shape
    if values.ndim != len(shape) + 1 or values.shape[1:] != shape:
        remedy = "Pass a batch, frames first"
        if values.shape == shape:
            remedy = "Pass a batch, frames first: x[None] makes one of a single frame"
        raise ModelError(
            f"the input has shape {values.shape}, the network takes (N, {', '.join(map(str, shape))})",
            module="input",
            remedy=remedy,
        )
    codes = values.astype(np.float64) / graph.input.scale
    if not np.isfinite(codes).all():
        raise ModelError(
            "the input holds NaN or infinity", module="input", remedy="Pass the values of real frames"
        )
    whole = np.rint(codes)
    if not np.array_equal(whole, codes):
        stray = values[whole != codes].flat[0]
        raise ModelError(
            f"the input holds {float(stray):g}, which is no integer times the scale {graph.input.scale:g}",
            module="input",
            remedy="Pass what the network was declared to take: raw pixels where it begins with "
            "InputQuant, codes times the scale elsewhere",
        )
    # a bound far outside of every type keeps the conversion to integers defined
    limit = float(1 << 62)
    return check_input(
        np.clip(whole, -limit, limit).astype(np.int64).reshape(len(values), *graph.input_tensor.shape),
        graph.input_tensor.shape,
        graph.input_tensor.type,
    )


def values_of(graph: IntGraph, codes: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
    """The inverse of ``codes_of``: float32 [N, *input.shape], exact for codes below 2^24."""
    return (codes * graph.input.scale).astype(np.float32).reshape(len(codes), *graph.input.shape)


def random_codes(graph: IntGraph, frames: int, seed: int) -> npt.NDArray[np.int64]:
    """Seeded random input values [frames, C, H, W] over the whole range of the input's type."""
    rng = np.random.default_rng(seed)
    kind = graph.input_tensor.type
    assert kind is not None
    shape = (frames, *graph.input_tensor.shape)
    if kind.is_bipolar:
        return rng.integers(0, 2, shape) * 2 - 1
    return rng.integers(kind.min, kind.max + 1, shape)


def in_steps(graph: IntGraph, traced: dict[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
    """The model's values by name, those that are integers in ``graph`` in the integers' own steps.

    A value v of a tensor whose type has the point p is worth v * 2^-p; scaling by a power of
    two rounds nothing.
    """
    result = dict(traced)
    for node in graph.nodes:
        kind = node.output.type
        if kind is not None and kind.point and node.output.name in result:
            result[node.output.name] = result[node.output.name] * 2.0**kind.point
    return result
