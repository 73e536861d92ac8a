"""The memory files of a build against its integer graph, value by value.

No set of frames decides on every bit of a memory; this comparison does.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from xnorhw.check.compare import Comparison, Difference
from xnorhw.check.leaves import leaf_of, read_leaves, read_words
from xnorhw.check.made_roms import memory_words, read_made_rom
from xnorhw.emit.build import PREFIX
from xnorhw.emit.store import StoredBuild
from xnorhw.emit.wiring import generated, rom_file
from xnorhw.ir.geometry import ceil_div
from xnorhw.pack import bits_from_words, lanes_from_words, start_lanes, table_words, weight_words
from xnorhw.plan.model import LevelUnit, MatrixUnit, Memory, RequantUnit, StartRom, WeightRom

__all__ = ["LINK", "check_memories"]

LINK = "rom"


def check_memories(stored: StoredBuild) -> Comparison:
    """Compare every ROM file, and the weights in adders, with what the stored integer graph and plan pack.

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
                wanted = lanes_from_words(words, unit.pe * unit.simd, unit.weight_bits, signed=unit.full)
                for came in _weights(stored, layer.name, rom, unit):
                    compared = _compare(layer.name, wanted.reshape(shape), came.reshape(shape), group_axis=0)
                    result = result.beside(compared)
            elif isinstance(rom, StartRom):
                lanes = start_lanes(plan, graph, rom)
                # each pixel of a word is a place by itself
                shape = (rom.classes * unit.pixels, groups, unit.groups // groups, unit.pe)
                for words in _words(stored, layer.name, rom):
                    read = lanes_from_words(words, unit.rows, unit.start_bits, signed=True)
                    # the terms beside one another, as the lanes of weights are
                    starts, came = (
                        a.reshape(shape).transpose(0, 1, 3, 2).reshape(shape[0], groups, unit.pe, -1)
                        for a in (lanes, read)
                    )
                    compared = _compare(layer.name, starts, came, group_axis=1)
                    result = result.beside(compared)
    return result.beside(_check_tables(stored))


def _weights(
    stored: StoredBuild, layer: str, rom: WeightRom, unit: MatrixUnit
) -> list[npt.NDArray[np.int64]]:
    """The weights wherever the build has them, each [words, PE x SIMD]: in LUTs they stand twice."""
    if rom.memory is Memory.LEAF:
        leaf = leaf_of(stored, rom)
        return [read_leaves(stored, leaf), read_words(stored, leaf)]
    return [
        lanes_from_words(words, unit.pe * unit.simd, unit.weight_bits, signed=unit.full)
        for words in _words(stored, layer, rom)
    ]


def _words(stored: StoredBuild, layer: str, rom: WeightRom | StartRom) -> list[list[int]]:
    """A ROM's words: those of its file, and of its module where it has one."""
    inside = [read_made_rom(stored, rom, layer)] if generated(rom) else []
    depth = rom.depth if isinstance(rom, WeightRom) else rom.classes * rom.groups
    return [memory_words(stored, rom_file(PREFIX, rom), layer, depth), *inside]


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
        channels = graph.tensor(name).shape[0]
        groups = ceil_div(channels, unit.lanes)
        # each pixel of a word is a place by itself
        shape = (-1, groups, min(unit.lanes, channels), rom.width // unit.lanes)
        bits = bits_from_words(table_words(plan, graph, rom), rom.width)
        for words in _words(stored, name, rom):
            found = bits_from_words(words, rom.width)
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
