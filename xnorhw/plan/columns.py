"""Columns of DSPs that add codes with binary weights (RTL ``xh_code_columns``): what fits into one, and how
many PEs of a layer can be in them."""

from __future__ import annotations

from xnorhw.ir.geometry import ceil_div
from xnorhw.plan.fabric import Fabric
from xnorhw.plan.geometry import LayerShape
from xnorhw.plan.layers import ChipLayer
from xnorhw.plan.unit_model import shares_codes

__all__ = ["SHARES", "column_hindrance", "column_pes", "column_stages", "lane_bits", "packed_pes"]

SHARES = 4
"""A search puts none of the PEs into DSPs, or one to so many parts of those that it can."""

_CHAIN = 4
_FACTOR_BITS = 24
_PACKED = (7, 5, 4, 3, 2)


def lane_bits(act_bits: int, act_signed: bool, simd: int) -> int:
    """Bits of half a sum of ``simd`` codes times signs, as a column of DSPs forms it."""
    largest = 1 << (act_bits - 1) if act_signed else (1 << act_bits) - 1
    return (simd * largest + 1).bit_length()


def packed_pes(act_bits: int, act_signed: bool, simd: int) -> int:
    """The most PEs whose sums of ``simd`` codes one column of DSPs forms; 0 where a sum is too long for two.

    A factor has 25 bits, in which their weights stand as far apart as half a sum is long.
    """
    bits = lane_bits(act_bits, act_signed, simd)
    return next((pes for pes in _PACKED if bits <= _FACTOR_BITS // (pes - 1)), 0)


def column_stages(simd: int) -> int:
    """Registers of a column of DSPs: of factors, of products, and of the sum after every four codes."""
    return 2 + ceil_div(simd, _CHAIN)


def column_hindrance(layer: ChipLayer, shape: LayerShape, fabric: Fabric) -> str:
    """Why DSPs cannot add the layer's codes; "" where they can."""
    if layer.full or layer.matrix_bipolar:
        return "its matrix unit does not add codes with binary weights"
    if shape.pixels > 1:
        return "at several pixels a clock its sums are formed in LUTs"
    if not shares_codes(shape.pe, shape.simd):
        return "at this pe and simd there is one PE, or a PE adds one code a clock"
    if not packed_pes(layer.act_bits, layer.act.signed, shape.simd):
        return "at this simd a sum is too long for a DSP"
    if not fabric.columns:
        return f"that is built for 7 series at {Fabric.column_mhz():g} MHz or less"
    return ""


def column_pes(layer: ChipLayer, shape: LayerShape, fabric: Fabric, share: int) -> int:
    """How many PEs ``share`` parts of SHARES are, in whole columns; 0 where there can be none."""
    if share == 0 or column_hindrance(layer, shape, fabric):
        return 0
    packed = packed_pes(layer.act_bits, layer.act.signed, shape.simd)
    most = min(ceil_div(shape.pe, packed), fabric.dsps // shape.simd)
    return min(ceil_div(share * most, SHARES) * packed, shape.pe)
