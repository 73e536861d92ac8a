"""Matrix units whose weights are integers, by themselves, on small maps; see ``unit_cases``."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rtl_tests.hls.unit_cases import FRAMES, UNIT, UnitCase, in_frames, unit_plan
from rtl_tests.reference import join
from xnorhw.ir.types import type_for_range
from xnorhw.plan.model import MatrixUnit, Memory, StartRom, Stream, WeightRom

__all__ = ["full_matrices"]


@dataclass(frozen=True)
class Full:
    """A unit; ``act`` is bipolar, u<bits> or s<bits>, ``classes`` are those of the rows and columns."""

    pe: int
    simd: int
    act: str
    weight_bits: int
    folds: int
    raw: bool
    groups: int = 1
    rows: tuple[int, ...] = (0, 0)
    columns: tuple[int, ...] = (0, 0)

    def __str__(self) -> str:
        kind = "raw" if self.raw else "bit"
        return f"w{self.weight_bits}p{self.pe}s{self.simd}{self.act}f{self.folds}{kind}g{self.groups}"

    @property
    def bipolar(self) -> bool:
        return self.act == "bipolar"

    @property
    def act_bits(self) -> int:
        return 1 if self.bipolar else int(self.act[1:])

    @property
    def act_range(self) -> tuple[int, int]:
        """Smallest and largest activation."""
        if self.bipolar:
            return -1, 1
        if self.act[0] == "s":
            return -(1 << (self.act_bits - 1)), (1 << (self.act_bits - 1)) - 1
        return 0, (1 << self.act_bits) - 1


UNITS = (
    Full(2, 3, "u8", 8, 3, True),
    Full(3, 4, "s8", 8, 2, False, groups=2),
    Full(2, 5, "s5", 4, 1, True, groups=3),
    Full(1, 1, "u1", 2, 1, False),
    Full(2, 7, "u3", 3, 4, False),
    Full(4, 2, "u2", 8, 3, True),
    Full(2, 6, "s8", 2, 2, True),
    Full(3, 9, "bipolar", 8, 2, True),
    Full(2, 4, "bipolar", 3, 3, False, groups=2),
    Full(2, 3, "bipolar", 8, 2, True, rows=(0, 1, 0), columns=(1, 0, 2)),
    Full(2, 3, "u4", 6, 1, False, groups=2, rows=(0, 1), columns=(0, 0, 1)),
    # words of weights much wider than those of the activations
    Full(1, 140, "bipolar", 8, 2, False),
    Full(2, 40, "s8", 8, 1, True),
)


def full_matrices() -> list[UnitCase]:
    """Each kind of activation by wide weights and narrow ones, with a threshold and without."""
    return [_matrix(unit) for unit in UNITS]


def _matrix(unit: Full) -> UnitCase:
    generator = np.random.default_rng(list(str(unit).encode()))
    pixels, count = len(unit.rows) * len(unit.columns), unit.simd * unit.folds
    low, high = unit.act_range
    least, most = -(1 << (unit.weight_bits - 1)), (1 << (unit.weight_bits - 1)) - 1
    acts = generator.integers(low, high, (FRAMES, pixels, unit.groups, count), endpoint=True)
    if unit.bipolar:
        acts = np.where(acts >= 0, 1, -1)
    acts[0, 0], acts[1, 0] = high, low
    weights = generator.integers(least, most, (unit.groups, unit.pe, count), endpoint=True)
    weights[0, 0] = least
    weights[-1, -1] = most
    sums = np.einsum("fpgn,gkn->fpgk", acts, weights)
    classes = (max(unit.rows) + 1, max(unit.columns) + 1)
    shape = (classes[0] * classes[1], unit.groups, unit.pe)
    starts = generator.integers(-99, 99, shape, endpoint=True)
    if not unit.raw:
        # close to where the bit of some pixel turns, exact ties among them
        starts = generator.integers(-1, 2, shape) - sums[generator.integers(FRAMES), 0]
    own_class = np.array([r * classes[1] + c for r in unit.rows for c in unit.columns])
    total = sums + starts[own_class][None]
    results = total if unit.raw else (total >= 0).astype(np.int64)
    size = count * max(abs(low), high) * -least
    start_bits = type_for_range(int(starts.min()), int(starts.max())).bits
    acc_bits = type_for_range(int(starts.min()) - size, int(starts.max()) + size).bits
    out_bits = acc_bits + 1 if unit.raw else 1

    planned = MatrixUnit(
        UNIT, unit.pe, unit.simd, unit.act_bits, unit.act[0] == "s", unit.bipolar, unit.folds, unit.groups,
        start_bits, acc_bits, not unit.raw, out_bits, unit.weight_bits,
    )  # fmt: skip
    codes = (acts + 1) // 2 if unit.bipolar else acts
    rows = weights.reshape(unit.groups, unit.pe, unit.folds, unit.simd).transpose(0, 2, 1, 3)
    taken = [join(list(word), unit.act_bits) for word in codes.reshape(-1, unit.simd)]
    given = [join(list(word), out_bits) for word in results.reshape(-1, unit.pe)]
    width = unit.pe * unit.simd
    weight_words = tuple(join(list(word), unit.weight_bits) for word in rows.reshape(-1, width))
    start_words = tuple(join(list(word), start_bits) for word in starts.reshape(-1, unit.pe))
    roms = (
        WeightRom("weights", width * unit.weight_bits, unit.folds * unit.groups, Memory.BLOCK, "weights"),
        StartRom("starts", unit.pe * start_bits, unit.groups, unit.rows, unit.columns, *classes, "starts"),
    )
    words = len(taken) // FRAMES, len(given) // FRAMES
    into = Stream("input", unit.simd, unit.act_bits, count, pixels)
    out = Stream("output", unit.pe, out_bits, unit.pe * unit.groups, pixels)
    plan = unit_plan(planned, into, out, words, roms=roms)
    return UnitCase(str(unit), plan, in_frames(taken), in_frames(given), weight_words, start_words)
