"""From a plan's units and edges to instances and wires: names, and the check that all fits.

The generated texts (RTL, monitors, memory files) name the same things, so the names are
made here once.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from xnorhw.emit.jinja import one_line
from xnorhw.ir.errors import FitError
from xnorhw.ir.types import type_for_range
from xnorhw.plan.model import (
    Converter,
    Edge,
    Fifo,
    LayerPlan,
    LevelUnit,
    MatrixUnit,
    Memory,
    Plan,
    PlaneUnit,
    PoolUnit,
    RequantUnit,
    StartRom,
    Stream,
    SumPoolUnit,
    TermsUnit,
    Unit,
    WeightRom,
    Window,
)

__all__ = ["Classes", "Instance", "Link", "Netlist", "identifiers", "netlist", "rom_file"]

INPUT = "input"
OUTPUT = "output"

_KINDS: tuple[tuple[type, str], ...] = (
    (Converter, "converter"),
    (Window, "window"),
    (MatrixUnit, "matrix"),
    (WeightRom, "weight_rom"),
    (StartRom, "start_rom"),
    (PlaneUnit, "plane"),
    (TermsUnit, "terms"),
    (LevelUnit, "levels"),
    (RequantUnit, "requant"),
    (SumPoolUnit, "sum_pool"),
    (PoolUnit, "pool"),
)

# what a unit takes beside or instead of "data"
_PORTS: dict[str, tuple[str, ...]] = {
    "matrix": ("data", "weights", "starts"),
    "levels": ("data", "levels"),
    "requant": ("data", "factors"),
    "weight_rom": (),
    "start_rom": (),
}


@dataclass(frozen=True)
class Link:
    """An edge as wires.

    ``put`` are the wires on the source's side, ``get`` those on the target's; they are the
    same where ``depth`` is 0 and no FIFO stands between.  ``narrow`` is the number of bits
    an element keeps at the target where the stream carries more (codes on byte lanes), or 0.
    """

    put: str
    get: str
    width: int
    depth: int
    lanes: int
    bits: int
    narrow: int
    tensor: str
    observed: str

    @property
    def data(self) -> str:
        """The data wire that the target reads."""
        return f"{self.get}_codes" if self.narrow else f"{self.get}_data"


@dataclass(frozen=True)
class Classes:
    """A start ROM's position classes as vectors: entry i at bits [i*bits +: bits]."""

    bits: int
    rows: int
    columns: int


@dataclass(frozen=True)
class Instance:
    """A unit of the plan in place: ``name`` is an identifier, ``kind`` selects its template.

    ``data``, ``weights``, ``starts``, ``table`` are the links into it (None where it has no
    such port; a table is the levels or the factors of what makes codes of sums), ``out`` the
    link out of it, ``layer`` the product layer it serves (may be "").  ``comment`` says in one
    line what it does.  ``file`` is a ROM's memory file, ``vector`` a window's pad word, a
    pool's inversion mask, the numbers of planes or the coefficients of terms, ``bits`` the
    width of one of those, ``classes`` a start ROM's.
    """

    unit: Unit
    kind: str
    name: str
    layer: str
    comment: str
    data: Link | None
    weights: Link | None
    starts: Link | None
    table: Link | None
    out: Link
    file: str = ""
    vector: int = 0
    bits: int = 0
    classes: Classes = Classes(1, 0, 0)


@dataclass(frozen=True)
class Netlist:
    """All instances in the plan's order, all links in the order of its edges."""

    instances: tuple[Instance, ...]
    links: tuple[Link, ...]
    source: Link
    sink: Link


def identifiers(names: tuple[str, ...]) -> dict[str, str]:
    """A distinct identifier (letters, digits, underscores) for each name, in the given order."""
    taken: set[str] = set()
    result: dict[str, str] = {}
    for name in names:
        base = re.sub(r"\W", "_", name, flags=re.ASCII).strip("_") or "unnamed"
        if base[0].isdigit():
            base = f"n{base}"
        candidate, number = base, 2
        while candidate.lower() in taken:  # file names are made of these: case alone is no difference
            candidate, number = f"{base}_{number}", number + 1
        taken.add(candidate.lower())
        result[name] = candidate
    return result


def rom_file(prefix: str, rom: WeightRom | StartRom) -> str:
    """The bare name of a ROM's memory file in the network called ``prefix``."""
    stem = rom.file.removesuffix(".mem")
    return f"{prefix}_{stem}.mem"


def _input_bits(unit: Unit, port: str) -> tuple[int, int]:
    """(word width, element width) that a unit's port takes; element width 0: any."""
    if isinstance(unit, Converter) and port == "data":
        return unit.in_bits, 0
    if isinstance(unit, Window) and port == "data":
        return unit.lanes * unit.bits, unit.bits
    if isinstance(unit, PoolUnit) and port == "data":
        return unit.taps_per_word * unit.lanes * unit.bits, unit.bits
    if isinstance(unit, SumPoolUnit) and port == "data":
        return unit.taps_per_word * unit.lanes * unit.in_bits, unit.in_bits
    if isinstance(unit, PlaneUnit) and port == "data":
        return unit.lanes * unit.bits, unit.bits
    if isinstance(unit, TermsUnit | LevelUnit | RequantUnit) and port == "data":
        return unit.lanes * unit.in_bits, unit.in_bits
    if isinstance(unit, LevelUnit) and port == "levels":
        return unit.lanes * (unit.levels * unit.in_bits + 1), 0
    if isinstance(unit, RequantUnit) and port == "factors":
        return unit.lanes * (unit.multiplier_bits + unit.addend_bits), 0
    if isinstance(unit, MatrixUnit):
        if port == "data":
            return unit.simd * unit.act_bits, unit.act_bits
        if port == "weights":
            return unit.pe * unit.simd, 0
        if port == "starts":
            return unit.pe * unit.start_bits, 0
    raise ValueError(f"{unit.name}: a {type(unit).__name__} has no input port {port!r}")


def _output_bits(unit: Unit) -> int:
    if isinstance(unit, Converter):
        return unit.out_bits
    if isinstance(unit, Window):
        return unit.taps_per_word * unit.lanes * unit.bits
    if isinstance(unit, MatrixUnit):
        return unit.pe * unit.out_bits
    if isinstance(unit, PoolUnit):
        return unit.lanes * unit.bits
    if isinstance(unit, PlaneUnit):
        return unit.lanes
    if isinstance(unit, TermsUnit | LevelUnit | RequantUnit | SumPoolUnit):
        return unit.lanes * unit.out_bits
    return unit.width


def _depth(edge: Edge) -> int:
    if isinstance(edge.storage, Fifo):
        return edge.storage.depth
    raise FitError(
        f"the stream of {edge.stream.tensor} is kept in a frame buffer, which the RTL has no unit for",
        module=edge.target,
        remedy="plan the network as a dataflow of units",
    )


def _check_unit(unit: Unit) -> None:
    if isinstance(unit, WeightRom) and unit.memory not in (Memory.LUT, Memory.BLOCK):
        raise FitError(
            f"weights in memory kind {unit.memory.value!r} have no producer in the RTL",
            module=unit.name,
            remedy='choose memory "lut" or "block" in the folding file',
        )


def _narrow(stream: Stream, width: int, bits: int, where: str) -> int:
    """The element width the target keeps, 0 where it takes the word as it is."""
    if stream.width == width:
        return 0
    if bits and stream.lanes * bits == width and stream.bits > bits:
        return bits
    raise ValueError(f"{where}: a stream of {stream.lanes} x {stream.bits} bits meets a port of {width} bits")


def _link(plan: Plan, edge: Edge, ids: dict[str, str]) -> Link:
    where = f"edge {edge.source} -> {edge.target}.{edge.port}"
    stream = edge.stream
    source_width = (
        plan.input_frame.beat_bits if edge.source == INPUT else _output_bits(plan.unit(edge.source))
    )
    if source_width != stream.width:
        raise ValueError(f"{where}: {source_width} bits leave the source, the stream has {stream.width}")
    if edge.target == OUTPUT:
        width, bits = plan.output_frame.beat_bits, 0
    else:
        width, bits = _input_bits(plan.unit(edge.target), edge.port)
    narrow = _narrow(stream, width, bits, where)
    get = OUTPUT if edge.target == OUTPUT else ids[edge.target]
    get = f"{get}_in" if edge.port == "data" else f"{get}_{edge.port}"
    source = INPUT if edge.source == INPUT else ids[edge.source]
    depth = _depth(edge)
    return Link(
        put=f"{source}_out" if depth else get,
        get=get,
        width=stream.width,
        depth=depth,
        lanes=stream.lanes,
        bits=stream.bits,
        narrow=narrow,
        tensor=one_line(stream.tensor),
        observed=edge.observed,
    )


def _classes(rom: StartRom) -> Classes:
    bits = max(1, (max(rom.row_classes, rom.column_classes) - 1).bit_length())
    rows = sum(c << (i * bits) for i, c in enumerate(rom.row_class))
    columns = sum(c << (i * bits) for i, c in enumerate(rom.column_class))
    return Classes(bits, rows, columns)


def _comment(unit: Unit, what: str, turns: str) -> str:
    """``what``: what a ROM's words are; ``turns``: what a matrix unit does one after the other."""
    if isinstance(unit, Converter):
        return f"words of {unit.in_bits} bits to words of {unit.out_bits}, cut every {unit.packet_bits} bits"
    if isinstance(unit, Window):
        kernel = "x".join(str(k) for k in unit.geometry.kernel)
        ring = f"{kernel} over a ring of {unit.depth} words"
        return f"map {unit.height} x {unit.width} to {unit.out_height} x {unit.out_width}, {ring}"
    if isinstance(unit, MatrixUnit):
        end = "thresholds" if unit.thresholded else "sums"
        return f"PE {unit.pe} x SIMD {unit.simd}, {unit.folds} folds, {unit.groups} {turns}, {end}"
    if isinstance(unit, WeightRom):
        return f"{unit.depth} {what} words of {unit.width} bits"
    if isinstance(unit, StartRom):
        return f"accumulator starts: {unit.classes} position classes x {unit.groups} {turns}"
    if isinstance(unit, PlaneUnit):
        return f"code > {', '.join(map(str, unit.planes))} in turn, {unit.folds} words each"
    if isinstance(unit, TermsUnit):
        return f"terms weighed by {', '.join(map(str, unit.coefficients))} and summed, {unit.lanes} lanes"
    if isinstance(unit, LevelUnit):
        return f"{unit.levels} levels to codes of {unit.out_bits} bits, {unit.lanes} lanes"
    if isinstance(unit, RequantUnit):
        end = f"codes of {unit.out_bits} bits, {unit.lanes} lanes"
        return f"times {unit.multiplier_bits} bits, plus {unit.addend_bits}, >> {unit.shift}, to {end}"
    return f"{unit.taps_per_word} of {unit.taps_per_word * unit.tap_groups} taps a clock, {unit.lanes} lanes"


def _vector(unit: Unit) -> tuple[int, int]:
    """A unit's row of numbers as one vector, the first lowest, and the bits of one (0: said elsewhere)."""
    if isinstance(unit, Window):
        return int(unit.pad_word, 16), 0
    if isinstance(unit, PoolUnit):
        return int(unit.invert, 16), 0
    if isinstance(unit, PlaneUnit):
        return _packed(unit.planes, unit.bits), unit.bits
    if isinstance(unit, TermsUnit):
        bits = type_for_range(min(unit.coefficients), max(unit.coefficients)).bits
        return _packed(unit.coefficients, bits), bits
    return 0, 0


def _packed(numbers: tuple[int, ...], bits: int) -> int:
    return sum((n & ((1 << bits) - 1)) << (i * bits) for i, n in enumerate(numbers))


def _instance(
    unit: Unit,
    prefix: str,
    name: str,
    layer: str,
    into: dict[tuple[str, str], Link],
    outof: dict[str, Link],
    what: str,
    turns: str,
) -> Instance:
    _check_unit(unit)
    kind = next(kind for cls, kind in _KINDS if isinstance(unit, cls))
    for port in _PORTS.get(kind, ("data",)):
        if (unit.name, port) not in into:
            raise ValueError(f"{unit.name}: nothing feeds its port {port!r}")
    if unit.name not in outof:
        raise ValueError(f"{unit.name}: nothing takes its output")
    table = "levels" if kind == "levels" else "factors"
    vector, bits = _vector(unit)
    return Instance(
        unit=unit,
        kind=kind,
        name=name,
        layer=one_line(layer),
        comment=_comment(unit, what, turns),
        data=into.get((unit.name, "data")),
        weights=into.get((unit.name, "weights")),
        starts=into.get((unit.name, "starts")),
        table=into.get((unit.name, table)),
        out=outof[unit.name],
        file=rom_file(prefix, unit) if isinstance(unit, WeightRom | StartRom) else "",
        vector=vector,
        bits=bits,
        classes=_classes(unit) if isinstance(unit, StartRom) else Classes(1, 0, 0),
    )


def _terms(plan: Plan, layer: LayerPlan) -> int:
    """Terms that a layer's matrix unit forms in turn."""
    behind = next((e.target for e in plan.edges if e.source == layer.matrix), "")
    unit = plan.unit(behind) if behind not in ("", OUTPUT) else None
    return len(unit.coefficients) if isinstance(unit, TermsUnit) else 1


def netlist(plan: Plan, prefix: str) -> Netlist:
    """Resolve the plan's edges to the wires of the network called ``prefix``.

    Raises FitError for what the RTL has no unit for, ValueError where units and edges do
    not fit together (a port without its stream, two widths on one edge).
    """
    ids = identifiers(tuple(unit.name for unit in plan.units))
    if len(ids) != len(plan.units) or {INPUT, OUTPUT} & ids.keys():
        raise ValueError("two units of the plan have one name, or one is called as the core's ports")
    links: list[Link] = []
    into: dict[tuple[str, str], Link] = {}
    outof: dict[str, Link] = {}
    for edge in plan.edges:
        link = _link(plan, edge, ids)
        if edge.source in outof or (edge.target, edge.port) in into:
            raise ValueError(
                f"{edge.source} -> {edge.target}.{edge.port}: a stream has one source and one target"
            )
        outof[edge.source] = link
        into[edge.target, edge.port] = link
        links.append(link)
    layers = {job.unit: job.layer for job in plan.jobs}
    feeds = {edge.source: edge.port for edge in plan.edges}
    words = {"levels": "level", "factors": "factor"}
    in_turn = {layer.matrix for layer in plan.layers if _terms(plan, layer) > 1}
    in_turn |= {edge.source for edge in plan.edges if edge.target in in_turn}
    instances = tuple(
        _instance(
            unit,
            prefix,
            ids[unit.name],
            layers.get(unit.name, ""),
            into,
            outof,
            words.get(feeds.get(unit.name, ""), "weight"),
            "terms of channel groups" if unit.name in in_turn else "channel groups",
        )
        for unit in plan.units
    )
    if INPUT not in outof or (OUTPUT, "data") not in into:
        raise ValueError("the plan connects no unit to the core's input or output")
    return Netlist(instances, tuple(links), outof[INPUT], into[OUTPUT, "data"])
