"""Pixels that a network normalises before its first layer: as codes, or on a fine grid."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from xnorhw.frontends.foreign.base import Decision, InputSpec
from xnorhw.nn.activations import Grid
from xnorhw.nn.quantizers import InputQuant

__all__ = ["Pixels"]

_GRID_BITS = 20
_WHY_GRID = (
    "padded zeros are normalised ones, which lie between two pixels, so these cannot stay integers; bits=8 "
    "in --input makes codes of 8 bits of them, which the chip takes"
)


@dataclass(frozen=True)
class Pixels:
    """Pixels 0..255 of which a value is (p / 255 - mean) / std, float64 [channels]."""

    mean: npt.NDArray[np.float64]
    std: npt.NDArray[np.float64]
    bits: int | None

    @classmethod
    def of(cls, spec: InputSpec) -> Pixels | None:
        """What --input says of pixels; None where it says something else."""
        if spec.mean is None or spec.std is None:
            return None
        channels = spec.shape[0] if len(spec.shape) == 3 else 1
        mean, std = (np.broadcast_to(np.array(v, np.float64), (channels,)) for v in (spec.mean, spec.std))
        return cls(mean, std, spec.bits)

    @property
    def even(self) -> bool:
        """True where every channel has the same std."""
        return not bool((self.std != self.std[0]).any())

    @property
    def factor(self) -> float | None:
        """What a pixel is worth where the value is the pixel times one number, else None."""
        return self.unit if not self.mean.any() and self.even else None

    @property
    def unit(self) -> float:
        """The largest 1 / (255 std) of a channel, as float32 has it."""
        return float(np.float32(1 / (255 * self.std.min())))

    def modules(
        self,
        rank: int,
        grid_bits: int = _GRID_BITS,
        names: tuple[str, str, str] = ("pixels", "pixels_norm", "pixels_grid"),
        what: str = "pixels",
    ) -> tuple[list[tuple[str, nn.Module]], float, Decision]:
        """What makes integers of them, what one is worth, and the decision about ``what``.

        ``rank`` of the input.  Codes where bits were said, else a grid of ``grid_bits``; ``names`` are
        those of the table, the norm and the grid.
        """
        if self.bits is not None:
            quant = InputQuant(mean=self.mean.tolist(), std=self.std.tolist(), bits=self.bits)
            value = f"codes of {self.bits} bits, each worth {quant.scale:.6g}"
            said = Decision(what, value, "the bits of --input; pixels are rounded")
            return [(names[0], quant)], quant.scale, said
        largest = float((np.maximum(np.abs(self.mean), np.abs(1 - self.mean)) / self.std).max())
        grid = Grid(grid_bits, min(30, max(0, grid_bits - 1 - math.frexp(largest)[1])))
        norm = (nn.BatchNorm2d if rank == 3 else nn.BatchNorm1d)(len(self.mean), eps=0.0, affine=False)
        assert norm.running_mean is not None and norm.running_var is not None
        norm.running_mean.copy_(torch.from_numpy(self.mean * 255))
        norm.running_var.copy_(torch.from_numpy((self.std * 255) ** 2))
        table = InputQuant(list(range(256)), bits=8, signed=False)
        said = Decision(what, f"normalised pixels in steps of 2^-{grid.frac}", _WHY_GRID)
        return list(zip(names, (table, norm, grid), strict=True)), 1.0, said
