"""Weights that are built into adders, read back from the SystemVerilog of a build.

Two things make the count of a PE right for every activation: its adders, were all weights 1, are
a count of agreeing lanes (proved cell by cell from the text's tables), and each table that holds weights
is that one with the lanes of weight 0 inverted, which says what the weights are.
"""

from __future__ import annotations

import re

import numpy as np
import numpy.typing as npt

from xnorhw.check.count_modules import prove_count, read_module
from xnorhw.emit.build import PREFIX
from xnorhw.emit.leaf import LeafUnit, leaf_units
from xnorhw.emit.store import StoredBuild
from xnorhw.ir.errors import VerifyError
from xnorhw.pack import lanes_from_words
from xnorhw.pack.luts import leaf_weights
from xnorhw.plan.lut_netlist import Kind, NetlistError
from xnorhw.plan.model import WeightRom

__all__ = ["leaf_of", "read_leaves", "read_words"]

Lanes = npt.NDArray[np.int64]

_LEAVES = re.compile(r"\.LEAVES\(\{(.*?)\}\)", re.DOTALL)
_WORDS = re.compile(r"WORDS \[\d+\] = '\{(.*?)\};", re.DOTALL)
_NUMBER = re.compile(r"\b\d+'h([0-9A-Fa-f]+)")


def leaf_of(stored: StoredBuild, rom: WeightRom) -> LeafUnit:
    """The matrix unit that holds the words of ``rom``."""
    return next(unit for unit in leaf_units(stored.plan, PREFIX) if unit.rom == rom)


def read_words(stored: StoredBuild, leaf: LeafUnit) -> Lanes:
    """The weights that a simulation with XH_COUNTONES reads, [words, PE x SIMD]."""
    (words,) = _rows(stored, leaf, _WORDS, [leaf.rom.depth])
    return lanes_from_words(words, leaf.rom.width, 1, signed=False)


def read_leaves(stored: StoredBuild, leaf: LeafUnit) -> Lanes:
    """The weights that the INITs of the adders hold, [words, PE x SIMD].

    Raises VerifyError where the adders are no count of lanes, or an INIT is that of no weights.
    """
    path = f"rtl/{leaf.adders}.sv"
    ones = [lut.table for lut in leaf.netlist.leaves]
    try:
        text = _text(stored, leaf, path)
        # a number in the place of each INIT says which adder is told which
        order = [lut.table for lut in read_module(text, range(len(ones))).leaves]
        netlist = read_module(text, ones)
        proved = prove_count(text, leaf.unit.simd, leaf.unit.count_stages, ones)
    except NetlistError as error:
        raise VerifyError(
            f"its adders in {path} do not count: {error}", module=leaf.layer, remedy="Build again"
        ) from None
    luts = netlist.leaves
    if not all(all(row) for row in proved) or order != list(range(len(ones))):
        raise VerifyError(
            f"its adders in {path} are not those of the plan", module=leaf.layer, remedy="Build again"
        )
    rows = _rows(stored, leaf, _LEAVES, [len(luts)] * leaf.unit.pe)
    found = np.zeros((leaf.rom.depth, leaf.unit.pe, leaf.unit.simd), np.int64)
    for pe in range(leaf.unit.pe):
        for number, (lut, init) in enumerate(zip(luts, reversed(rows[pe]), strict=True)):
            weights = leaf_weights(lut, init, leaf.rom.depth)
            if weights is None:
                raise VerifyError(
                    f"the INIT of adder {number} of PE {pe} in {leaf.path} is that of no weights",
                    module=leaf.layer,
                    remedy="Build again",
                )
            found[:, pe, [pin.index for pin in lut.pins if pin.kind is Kind.ACTIVATION]] = weights
    return found.reshape(leaf.rom.depth, -1)


def _rows(stored: StoredBuild, leaf: LeafUnit, place: re.Pattern[str], sizes: list[int]) -> list[list[int]]:
    """The numbers of each list of a kind in the unit's module, in the order of the text."""
    lists = place.findall(_text(stored, leaf, leaf.path))
    rows = [[int(digits, 16) for digits in _NUMBER.findall(body)] for body in lists]
    if [len(row) for row in rows] != sizes:
        raise VerifyError(
            f"{leaf.path} does not have the weights of {leaf.unit.pe} PE in {leaf.rom.depth} words",
            module=leaf.layer,
            remedy="Build again",
        )
    return rows


def _text(stored: StoredBuild, leaf: LeafUnit, path: str) -> str:
    try:
        return (stored.folder / path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise VerifyError(
            f"its adders in {path} cannot be read: {error}", module=leaf.layer, remedy="Build again"
        ) from None
