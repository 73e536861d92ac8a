"""What a matrix unit costs, by formula (``plan.resources`` says of what)."""

from __future__ import annotations

from functools import lru_cache

from xnorhw.ir.geometry import ceil_div
from xnorhw.plan.columns import column_stages, lane_bits
from xnorhw.plan.compressor import count_luts
from xnorhw.plan.memory_cost import clog2
from xnorhw.plan.model import MatrixUnit, Resources
from xnorhw.plan.unit_model import shares_codes

__all__ = ["chain_sum", "count_cost", "matrix_resources"]

# fewer lanes than these are drawn; above, a netlist has so many LUTs a lane
_DRAWN_LANES = 32
_LUTS_A_LANE, _LUTS_A_LEAF = 0.916, 0.829


@lru_cache(maxsize=1024)
def count_cost(lanes: int, address_bits: int | None = None) -> float:
    """LUTs of a count of ``lanes``; ``address_bits`` of the weights in its leaves, None where there are none.

    A search asks for hundreds of widths, and a wide netlist takes a second to draw.
    """
    if lanes <= _DRAWN_LANES:
        return count_luts(lanes, address_bits=address_bits)
    return lanes * (_LUTS_A_LANE if address_bits is None else _LUTS_A_LEAF)


def matrix_resources(unit: MatrixUnit) -> Resources:
    """A PE is a count of agreeing lanes or a sum of codes, and an accumulator.

    The LUTs of a count, weights included where they are built in, are those of its netlist.
    """
    if unit.full:
        return _integer_matrix(unit)
    once = ff_once = 0.0
    if unit.act_bipolar:
        sum_bits = clog2(unit.simd + 1)
        if unit.lut6_2 or unit.leaf:
            words = unit.folds * unit.groups
            lanes = count_cost(unit.simd, clog2(words) if unit.leaf else None)
        else:
            lanes = max(1.2 * unit.simd, 2.25 * unit.simd - 9)
        # how many nets cross a register depends on where it cuts the netlist: about these
        crossing = (0.0, 0.2 * unit.simd + 12, 0.6 * unit.simd + 15, unit.simd + 20)[unit.count_stages]
        registers = crossing + unit.count_stages * unit.start_bits
    else:
        sum_bits, registers = unit.act_bits + clog2(unit.simd) + 1, 0.0
        if shares_codes(unit.pe, unit.simd):
            # the sums of pairs of codes and of all codes, once; a PE takes pairs away
            pairs, term = ceil_div(unit.simd, 2), unit.act_bits + 1
            once = (unit.simd - 1) * term
            ff_once = unit.simd * unit.act_bits + unit.simd // 2 * term + sum_bits + 1
            lanes = chain_sum(pairs, term, sum_bits - 1) + 2
            if unit.dsp_pes:
                return _columns(unit, lanes, sum_bits)
        else:
            term = unit.act_bits + (not unit.act_signed)
            lanes = chain_sum(unit.simd, term, sum_bits)
    raw = unit.act_bipolar and not unit.thresholded
    # as counted: without the multiplexer of a sum's first word a count's adder is a LUT smaller, a code's not
    adder = unit.acc_bits - 1 if unit.act_bipolar and unit.folds == 1 else unit.acc_bits
    control = 6 + clog2(unit.folds) + (3 if unit.leaf else 0)
    registers += sum_bits + unit.start_bits + _held_bits(unit) + raw
    return Resources(
        lut=unit.rows * (lanes + adder) + unit.pixels * once + control,
        ff=unit.rows * registers + unit.pixels * ff_once + 4 + clog2(unit.folds),
    )


def _held_bits(unit: MatrixUnit) -> int:
    """Bits of an accumulator that are kept: of a sum of one word that is thresholded, its sign alone."""
    return 1 if unit.folds == 1 and unit.thresholded else unit.acc_bits


def _columns(unit: MatrixUnit, lanes: float, sum_bits: int) -> Resources:
    """Codes and weights wait for their DSPs, in shift registers where that is three clocks or more; PEs in
    LUTs, of ``lanes`` each, wait for the others with their sums."""
    in_luts, simd = unit.pe - unit.dsp_pes, unit.simd
    half = lane_bits(unit.act_bits, unit.act_signed, simd)
    shifted = held = 0
    for late in range(1, ceil_div(simd, 4) - 1):
        bits = min(4, simd - 4 * (late + 1)) * (unit.act_bits + unit.dsp_pes)
        shifted += bits if late > 2 else 0
        held += 0 if late > 2 else late * bits
    # the sum of all codes once; bits of a half that begin a column; PEs whose halves are as long as a lane
    once = (simd - 1) * (unit.act_bits + 1) + clog2(simd) + half
    turned = unit.dsp_pes - unit.dsp_pes // unit.packed if half == 24 // (unit.packed - 1) else 0
    control = 10 + clog2(unit.folds)
    pairs = simd // 2 * (unit.act_bits + 1) if in_luts else 0
    registers = in_luts * sum_bits + unit.dsp_pes * half
    return Resources(
        lut=in_luts * (lanes + sum_bits) + unit.pe * unit.acc_bits + shifted + once + turned + control,
        ff=unit.pe * (unit.start_bits + _held_bits(unit))
        + registers
        + held
        + half
        + simd * unit.act_bits
        + pairs
        + sum_bits
        + 3 * column_stages(simd)
        + 5
        + clog2(unit.folds),
        dsp=unit.dsps,
    )


def chain_sum(terms: int, bits: int, sum_bits: int) -> float:
    """LUTs of a sum of ``terms`` numbers of ``bits`` bits (RTL ``xh_chain_sum``): chains of four adders,
    the first with an adder for each term, and a tree over the chains."""
    chains = ceil_div(terms, 4)
    cost = 0.0
    for i in range(chains):
        count = min(4, terms - 4 * i)
        # without the start in it a chain begins with its first term, and its sums grow
        cost += count * bits if i == 0 else (count - 1) * bits + (0, 0, 0.3, 0.75, 1.28)[count] * bits
    below, each = chains, 4
    while below > 1:
        for node in range(below // 2):
            covered = min(2 * each, terms - 2 * node * each)
            cost += sum_bits if node == 0 else min(bits + clog2(covered), sum_bits)
        below, each = ceil_div(below, 2), 2 * each
    return cost


def _integer_matrix(unit: MatrixUnit) -> Resources:
    """A PE adds weights by the signs, or products; those wait in registers, and the starts beside them.

    A product is a DSP with registers of its own, or for each bit of the code but one an adder of a
    weight; behind them is a tree of adders.
    """
    bits = clog2(unit.folds)
    product = unit.act_bits + unit.weight_bits
    sums = min(product + clog2(unit.simd), unit.acc_bits)
    registers = sums + unit.start_bits + _held_bits(unit)
    if not unit.multiplies:
        lanes = chain_sum(unit.simd, unit.weight_bits, sums)
    else:
        # up to four products are added one after the other, more go through compressors first
        lanes = 1.14 * (unit.simd - 1) * product
        if unit.simd > 4:
            lanes = sums + 1.55 * (unit.simd - 2) * product
        if not unit.dsps:
            adder = min(unit.weight_bits * (unit.weight_bits - 1), 1.95 * unit.weight_bits + 1)
            lanes += unit.simd * (unit.act_bits - 1) * adder
            registers += unit.simd * product
        registers += unit.start_bits * (2 if unit.dsps else 1)
    return Resources(
        lut=unit.rows * (lanes + unit.acc_bits) + 6 + bits,
        ff=unit.rows * registers + 10 + bits,
        dsp=unit.dsps,
    )
