"""Plan and integer graph -> SystemVerilog of the matrix units whose weights are built into their adders.

A unit's module holds the weights and what surrounds the adders; the adders are a module of their own,
one for each number of lanes, which is told the INITs of those that hold weights.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from xnorhw.emit.jinja import one_line, render
from xnorhw.emit.popcount import module_text
from xnorhw.emit.wiring import identifiers, leaf_module, leaf_roms
from xnorhw.ir.int_graph import IntGraph
from xnorhw.pack import weight_words
from xnorhw.pack.luts import leaf_tables
from xnorhw.plan.compressor import leaf_netlist
from xnorhw.plan.lut_netlist import Netlist
from xnorhw.plan.model import MatrixUnit, Plan, WeightRom

__all__ = ["LeafUnit", "adders", "files", "leaf_unit", "leaf_units", "module"]


@dataclass(frozen=True)
class LeafUnit:
    """A matrix unit with weights inside, and those weights: ``module`` is its module, ``adders`` that of
    one PE's adders."""

    layer: str
    module: str
    adders: str
    unit: MatrixUnit
    rom: WeightRom

    @property
    def path(self) -> str:
        """Its file inside the build folder."""
        return f"rtl/{self.module}.sv"

    @property
    def netlist(self) -> Netlist:
        """The adders of one PE, every weight 1."""
        return leaf_netlist(self.unit.simd, self.rom.depth, self.unit.count_stages)


def leaf_unit(unit: MatrixUnit, rom: WeightRom, layer: str, module: str, prefix: str) -> LeafUnit:
    """``unit`` with the words of ``rom`` inside; ``prefix`` begins the names of modules of adders."""
    address = (rom.depth - 1).bit_length()
    return LeafUnit(layer, module, f"{prefix}_leaves_{unit.simd}_{address}_{unit.count_stages}", unit, rom)


def leaf_units(plan: Plan, prefix: str) -> Iterator[LeafUnit]:
    """The matrix units with weights inside, in the plan's order."""
    ids = identifiers(tuple(unit.name for unit in plan.units))
    layers = {layer.matrix: layer.name for layer in plan.layers}
    for name, rom in leaf_roms(plan).items():
        unit = plan.unit(name)
        assert isinstance(unit, MatrixUnit)
        yield leaf_unit(unit, rom, layers[name], leaf_module(prefix, ids[name]), prefix)


def adders(plan: Plan, prefix: str) -> dict[str, str]:
    """The adders of one PE, for each width that occurs: bare file name -> text."""
    carry8 = plan.family == "xcup"
    return {f"{u.adders}.sv": module_text(u.netlist, u.adders, carry8) for u in leaf_units(plan, prefix)}


def module(leaf: LeafUnit, words: list[int]) -> str:
    """The module of ``leaf`` with ``words``, as a ROM would hold them, as its weights."""
    tables = leaf_tables(words, leaf.unit.pe, leaf.unit.simd, leaf.netlist.leaves)
    return render(
        "rtl/leaf.sv.j2",
        module=leaf.module,
        adders=leaf.adders,
        layer=one_line(leaf.layer),
        unit=leaf.unit,
        depth=leaf.rom.depth,
        word_bits=max(1, (leaf.rom.depth - 1).bit_length()),
        count_bits=leaf.unit.simd.bit_length(),
        stages=leaf.unit.count_stages,
        words=words,
        tables=tables,
        leaves=len(tables[0]),
    )


def files(plan: Plan, graph: IntGraph, prefix: str = "accel") -> dict[str, str]:
    """The modules with weights inside: path inside the build folder (``rtl/...``) -> text."""
    return {leaf.path: module(leaf, weight_words(plan, graph, leaf.rom)) for leaf in leaf_units(plan, prefix)}
