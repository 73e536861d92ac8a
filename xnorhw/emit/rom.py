"""Plan and integer graph -> what holds words: memory files for $readmemh, and modules of LUTs."""

from __future__ import annotations

from xnorhw.emit import leaf, made_rom
from xnorhw.emit.jinja import one_line
from xnorhw.emit.rtl import check_prefix
from xnorhw.emit.wiring import generated, part_file, rom_file
from xnorhw.ir.int_graph import IntGraph, Product
from xnorhw.pack import start_words, table_words, weight_words
from xnorhw.pack.parts import part_words
from xnorhw.plan.model import LevelUnit, MatrixUnit, Memory, Plan, RequantUnit, StartRom, WeightRom

__all__ = ["files"]


def _text(header: str, words: list[int], width: int) -> str:
    digits = -(-width // 4)
    lines = [f"// {header}", *(f"{word:0{digits}x}" for word in words)]
    return "\n".join(lines) + "\n"


def _shape(graph: IntGraph, layer: str) -> str:
    """Map sizes "C x H x W" in and out of a layer."""
    node = graph.node(layer)
    sizes = (graph.tensor(node.input).shape, node.output.shape)
    return " to ".join(" x ".join(str(n) for n in shape) for shape in sizes)


def _table_header(plan: Plan, graph: IntGraph, rom: WeightRom, unit: LevelUnit | RequantUnit) -> str:
    job = next(job for job in plan.jobs if job.unit == unit.name)
    groups = -(-graph.tensor(job.writes).shape[0] // unit.lanes)
    order = f"{rom.depth // groups} positions x {groups} channel groups"
    lane = f"{unit.lanes} lanes"
    if isinstance(unit, LevelUnit):
        return (
            f"levels of {one_line(job.writes)}: {order}, {lane} x ({unit.levels} x {unit.in_bits} + 1) bits"
        )
    bits = f"({unit.multiplier_bits} + {unit.addend_bits}) bits"
    return f"multipliers and addends of {one_line(job.writes)}: {order}, {lane} x {bits}"


def files(plan: Plan, graph: IntGraph, prefix: str = "accel") -> dict[str, str]:
    """What holds a plan's words: path inside the build folder -> text.

    One memory file a ROM unit (``rom/...``).  The first line is a comment that names the layer, its
    shape and the words' order; then ROM depth lines, address 0 first, lowest lane in the lowest
    bits.  A ROM of LUTs and one that is cut into parts are a module as well (``rtl/...``), with a
    memory file for each part in block RAM, and of weights that are built into
    adders there is the matrix unit's module alone.
    """
    check_prefix(prefix)
    modules = made_rom.modules(plan, prefix)
    consumers = {edge.source: edge.target for edge in plan.edges}
    layers = {layer.matrix: layer.name for layer in plan.layers}
    result = leaf.files(plan, graph, prefix)

    def put(unit: WeightRom | StartRom, header: str, words: list[int]) -> None:
        result[f"rom/{rom_file(prefix, unit)}"] = _text(header, words, unit.width)
        if generated(unit):
            module = modules[unit.name]
            result[f"rtl/{module}.sv"] = made_rom.module(module, prefix, unit, header, words)
        for i, part in enumerate(unit.parts if isinstance(unit, WeightRom) else ()):
            if part.memory is Memory.BLOCK:
                where = f"bits {part.low} to {part.low + part.width - 1}, words from {part.first} on"
                held = part_words(words, part)
                result[f"rom/{part_file(prefix, unit, i)}"] = _text(f"{header}: {where}", held, part.width)

    for unit in plan.units:
        if not isinstance(unit, WeightRom | StartRom) or _built_in(unit):
            continue
        matrix = plan.unit(consumers[unit.name])
        if isinstance(matrix, LevelUnit | RequantUnit):
            assert isinstance(unit, WeightRom)
            put(unit, _table_header(plan, graph, unit, matrix), table_words(plan, graph, unit))
            continue
        assert isinstance(matrix, MatrixUnit)
        layer = layers[matrix.name]
        what = f"{one_line(layer)}, {_shape(graph, layer)}"
        op = graph.node(layer).op
        terms = len(op.terms) if isinstance(op, Product) else 1
        turns = f"{matrix.groups // terms} channel groups"
        turns += f" x {terms} terms" if terms > 1 else ""
        if isinstance(unit, WeightRom):
            order = f"{turns} x {matrix.folds} folds"
            words = weight_words(plan, graph, unit)
            each = f" x {matrix.weight_bits}" if matrix.full else ""
            header = f"weights of {what}: {order}, PE {matrix.pe} x SIMD {matrix.simd}{each} bits"
        else:
            order = f"{unit.classes} position classes x {turns}"
            words = start_words(plan, graph, unit)
            beside = f"{matrix.pixels} pixels x " if matrix.pixels > 1 else ""
            header = f"starts of {what}: {order}, {beside}PE {matrix.pe} x {matrix.start_bits} bits"
        put(unit, header, words)
    return result


def _built_in(rom: WeightRom | StartRom) -> bool:
    return isinstance(rom, WeightRom) and rom.memory is Memory.LEAF
