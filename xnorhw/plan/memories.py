"""Where a layer's weights can live, and what that costs: in the adders, in a LUT ROM, in block ROM.

A matrix unit and its weights are priced together, because weights that are built into the adders
change the matrix unit itself; so does it whether DSPs add.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from xnorhw.ir.errors import FitError
from xnorhw.plan.columns import SHARES, column_hindrance, column_pes
from xnorhw.plan.geometry import LayerShape, layer_shape
from xnorhw.plan.layers import ChipLayer
from xnorhw.plan.memory_cost import luts_by_name
from xnorhw.plan.model import Memory, Resources, StartRom, Unit, WeightRom
from xnorhw.plan.network import Network
from xnorhw.plan.resources import rom_resources, unit_resources
from xnorhw.plan.rom_parts import parts_resources, rom_parts
from xnorhw.plan.units import matrix_unit

__all__ = [
    "CUTS",
    "LEAF_DEPTH",
    "LUT_ROM_DEPTH",
    "Form",
    "check_columns",
    "check_memory",
    "forms",
    "leaf_hindrance",
    "placed",
    "weight_options",
]

CUTS = (Memory.TALL, Memory.MIXED)
"""Block ROMs that are cut into parts, where the parts are chosen for the device's block RAM."""

LEAF_DEPTH = 4
"""Most weight words that fit into an adder's LUTs: two address bits stand beside its three inputs."""

# A deeper ROM becomes block RAM by itself in the tools (they move its address register into it).
LUT_ROM_DEPTH = 256


@dataclass(frozen=True)
class Form:
    """Where a layer's weights live, and how many of its PEs add codes in DSPs."""

    memory: Memory
    dsp_pes: int = 0


def leaf_hindrance(layer: ChipLayer, shape: LayerShape, lut6_2: bool) -> str:
    """Why the layer's weights cannot be built into its adders; "" where they can."""
    depth = shape.turns * shape.folds
    if not layer.popcounts:
        return "its matrix unit adds numbers, and only a count of binary products has room for weights"
    if depth > LEAF_DEPTH:
        return f"at this pe and simd it has {depth} weight words, and an adder has room for {LEAF_DEPTH}"
    if not lut6_2:
        return "this device's LUTs do not have six inputs and two outputs"
    return ""


def check_memory(network: Network, index: int, pe: int, simd: int, pixels: int, wish: str) -> None:
    """FitError naming the layer where its weights cannot live where ``wish`` says."""
    layer = network.layers[index]
    shape = layer_shape(layer, pe, simd, pixels)
    hindrance = leaf_hindrance(layer, shape, network.lut6_2)
    if wish in (cut.value for cut in CUTS):
        _check_cut(network, index, shape, Memory(wish))
    if wish == Memory.LEAF.value and hindrance:
        raise FitError(
            f'memory "leaf" cannot be built: {hindrance}',
            module=layer.name,
            remedy="Use memory auto, block or lut, or as much pe and simd as leaves 4 words"
            if layer.popcounts and network.lut6_2
            else "Use memory auto, block or lut",
        )


def check_columns(network: Network, index: int, pe: int, simd: int, pixels: int, dsp_pes: int) -> None:
    """FitError naming the layer where ``dsp_pes`` of its PEs cannot add in DSPs."""
    layer = network.layers[index]
    hindrance = column_hindrance(layer, layer_shape(layer, pe, simd, pixels), network.fabric)
    if dsp_pes and (hindrance or not 0 < dsp_pes <= pe):
        raise FitError(
            f"dsp_pes {dsp_pes} cannot be built: {hindrance or f'the layer has pe {pe}'}",
            module=layer.name,
            remedy="Use dsp_pes 0" + ("" if hindrance else f" to {pe}"),
        )


def _check_cut(network: Network, index: int, shape: LayerShape, cut: Memory) -> None:
    width = shape.pe * shape.simd * network.widths[index].weight_bits
    depth = shape.turns * shape.folds
    if not network.lut6_2:
        why = "how this device's block RAM is cut best is not known"
    elif not rom_parts(width, depth, cut):
        why = f"it has no better cut for {depth} weight words of {width} bits than block has"
    else:
        return
    raise FitError(
        f'memory "{cut.value}" cannot be built: {why}',
        module=network.layers[index].name,
        remedy="Use memory auto, block or lut",
    )


def placed(unit: Unit, network: Network) -> Unit:
    """``unit`` on the device: the columns of a ROM of LUTs are LUTs by name where the device has them and
    that is smaller."""
    if isinstance(unit, WeightRom) and unit.memory is Memory.LUT:
        return replace(unit, luts=network.lut6_2 and luts_by_name(unit.width, unit.depth))
    if isinstance(unit, WeightRom) and unit.memory in CUTS:
        return replace(unit, parts=rom_parts(unit.width, unit.depth, unit.memory))
    if isinstance(unit, StartRom):
        return replace(unit, luts=network.lut6_2 and luts_by_name(unit.width, unit.classes * unit.groups))
    return unit


def weight_options(
    network: Network, index: int, shape: LayerShape, dsp_pes: int = 0
) -> tuple[tuple[Memory, Resources], ...]:
    """Where the weights of layer ``index`` can live at ``shape``, with the cost of each.

    The cost is that of the matrix unit and its weight memory together.  There is always one.  ``dsp_pes``:
    so many PEs add codes in DSPs.
    """
    layer, widths = network.layers[index], network.widths[index]
    width, depth = shape.pe * shape.simd * widths.weight_bits, shape.turns * shape.folds
    kinds = [Memory.LUT, Memory.BLOCK] if depth <= LUT_ROM_DEPTH else [Memory.BLOCK]
    if not leaf_hindrance(layer, shape, network.lut6_2):
        kinds.insert(0, Memory.LEAF)
    roms = [(kind, rom_resources(width, depth, kind)) for kind in kinds]
    if network.lut6_2:
        cuts = ((kind, rom_parts(width, depth, kind)) for kind in CUTS)
        roms += [(kind, parts_resources(depth, parts)) for kind, parts in cuts if parts]
    units = ((kind, matrix_unit(layer, shape, widths, kind, dsp_pes), rom) for kind, rom in roms)
    return tuple((kind, unit_resources(unit) + rom) for kind, unit, rom in units)


def forms(
    network: Network, index: int, shape: LayerShape, also: int = 0
) -> tuple[tuple[Form, Resources], ...]:
    """All that a search chooses from for layer ``index`` at ``shape``, with the cost of each.

    ``also``: a number of PEs in DSPs to have among them.
    """
    layer = network.layers[index]
    counts = {column_pes(layer, shape, network.fabric, share) for share in range(SHARES + 1)}
    return tuple(
        (Form(kind, pes), cost)
        for pes in sorted(counts | {also})
        for kind, cost in weight_options(network, index, shape, pes)
    )
