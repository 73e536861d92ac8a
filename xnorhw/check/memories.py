"""The memory files of a build against its integer graph, value by value.

No set of frames decides on every bit of a memory; this comparison does.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from xnorhw.check.compare import Comparison, Difference
from xnorhw.emit.build import PREFIX
from xnorhw.emit.store import StoredBuild
from xnorhw.emit.wiring import rom_file
from xnorhw.ir.errors import VerifyError
from xnorhw.ir.geometry import ceil_div
from xnorhw.pack import bits_from_words, lanes_from_words, start_lanes, table_words, weight_words
from xnorhw.plan.model import LevelUnit, MatrixUnit, RequantUnit, StartRom, WeightRom

__all__ = ["LINK", "check_memories"]

LINK = "rom"


def check_memories(stored: StoredBuild) -> Comparison:
    """Compare every ROM file with what the stored integer graph and plan pack into it.

    A difference names the layer and the output channel whose weight or start it is; its
    ``y`` is the fold (of a start: the position class), its ``x`` the lane.  Raises
    VerifyError where a file is missing or has another number of words.
    """
    result = Comparison()
    plan, graph = stored.plan, stored.graph
    for layer in plan.layers:
        unit = plan.unit(layer.matrix)
        assert isinstance(unit, MatrixUnit)
        groups = ceil_div(graph.tensor(layer.name).shape[0], unit.pe)
        for edge in plan.edges:
            feeds = edge.target == layer.matrix and edge.port in ("weights", "starts")
            rom = plan.unit(edge.source) if feeds else None
            if isinstance(rom, WeightRom):
                terms = unit.groups // groups
                shape = (groups, terms * unit.folds, unit.pe, unit.simd)
                words = weight_words(plan, graph, rom)
                wanted, came = (
                    lanes_from_words(w, unit.pe * unit.simd, unit.weight_bits, signed=unit.full)
                    for w in (words, _read(stored, layer.name, rom, len(words)))
                )
                compared = _compare(layer.name, wanted.reshape(shape), came.reshape(shape), group_axis=0)
                result = result.beside(compared)
            elif isinstance(rom, StartRom):
                starts = start_lanes(plan, graph, rom)
                words = _read(stored, layer.name, rom, len(starts))
                came = lanes_from_words(words, unit.pe, unit.start_bits, signed=True)
                shape = (rom.classes, groups, unit.groups // groups, unit.pe)
                # the terms beside one another, as the lanes of weights are
                starts, came = (
                    a.reshape(shape).transpose(0, 1, 3, 2).reshape(rom.classes, groups, unit.pe, -1)
                    for a in (starts, came)
                )
                compared = _compare(layer.name, starts, came, group_axis=1)
                result = result.beside(compared)
    return result.beside(_check_tables(stored))


def _check_tables(stored: StoredBuild) -> Comparison:
    """The tables of what makes codes of sums: ``y`` is the position, ``x`` the bit of the lane."""
    result = Comparison()
    plan, graph = stored.plan, stored.graph
    writes = {job.unit: job.writes for job in plan.jobs}
    for edge in plan.edges:
        if edge.port not in ("levels", "factors"):
            continue
        rom, unit, name = plan.unit(edge.source), plan.unit(edge.target), writes[edge.target]
        assert isinstance(rom, WeightRom) and isinstance(unit, LevelUnit | RequantUnit)
        groups = ceil_div(graph.tensor(name).shape[0], unit.lanes)
        shape = (rom.depth // groups, groups, unit.lanes, rom.width // unit.lanes)
        bits = bits_from_words(table_words(plan, graph, rom), rom.width)
        found = bits_from_words(_read(stored, name, rom, len(bits)), rom.width)
        compared = _compare(name, bits.reshape(shape), found.reshape(shape), group_axis=1)
        result = result.beside(compared)
    return result


def _compare(layer: str, expected: npt.NDArray[Any], found: npt.NDArray[Any], group_axis: int) -> Comparison:
    """Both [.., .., PE, lane] with the channel groups on ``group_axis``."""
    unequal = expected != found
    first = None
    if unequal.any():
        place = tuple(int(i) for i in np.argwhere(unequal)[0])
        channel = place[group_axis] * expected.shape[2] + place[2]
        y, x = place[1 - group_axis], place[3]
        pair = float(expected[place]), float(found[place])
        first = Difference(LINK, layer, 0, channel, y, x, *pair, layer)
    return Comparison(1, int(expected.size), int(unequal.sum()), first)


def _read(stored: StoredBuild, layer: str, rom: WeightRom | StartRom, count: int) -> list[int]:
    name = rom_file(PREFIX, rom)
    try:
        lines = (stored.folder / "rom" / name).read_text(encoding="utf-8").splitlines()
        words = [int(line, 16) for line in lines if line.strip() and not line.startswith("//")]
    except (OSError, ValueError) as error:
        raise VerifyError(
            f"its memory file rom/{name} cannot be read: {error}", module=layer, remedy="Build again"
        ) from None
    if len(words) != count:
        raise VerifyError(
            f"its memory file rom/{name} has {len(words)} words, the plan has {count}",
            module=layer,
            remedy="Build again",
        )
    return words
