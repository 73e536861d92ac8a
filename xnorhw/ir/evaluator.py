"""The bridge to the trained model: NumPy in, NumPy out, the model's own modules inside."""

from __future__ import annotations

from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt

__all__ = ["Evaluator", "Rounding"]

Rounding = Literal["module", "fused", "separate"]
"""Which batch norm a call uses: the module itself, or a float32 model of x*a + b that rounds
once (fused multiply-add) or twice."""

Array = npt.NDArray[np.generic]


class Evaluator(Protocol):
    """Runs parts of the trained model, each module called as it is (rank, dtype, layout)."""

    def call(self, node: str, x: Array, rounding: Rounding = "module") -> Array:
        """Run the module behind ``node`` on a batch [N, ...] in its input's layout.

        Of a quantiser into bases it is the number of ones, as in ``trace``.
        """
        ...

    def after_sum(self, node: str, sums: Array) -> Array:
        """Run the part of a product module or average pool behind its sum on sums [N, O, H, W] or [N, O].

        The sums are in the units of the module's input: integers, times a power of two where
        the network's input has a scale.
        """
        ...

    def trace(self, x: Array) -> dict[str, Array]:
        """Every value of the network on a batch x, by name.

        For a product node or an average pool, ``name`` is the sum before scale and bias, or before
        the division (see ``after_sum``), times 2^frac of the layer's weights, and ``name + ":out"``
        the module's output.  For bases, and what pools, joins or flattens them, ``name`` is the
        number of ones and ``name + ":out"`` the output; for every other node ``name`` is its output.
        The network's result is under ``":scores"``.
        """
        ...
