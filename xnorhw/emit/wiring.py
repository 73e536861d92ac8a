"""From a plan's units and edges to instances and wires: names, and the check that all fits.

The generated texts (RTL, monitors, memory files) name the same things, so the names are
made here once.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from xnorhw.emit.jinja import one_line
from xnorhw.emit.unit_parameters import (
    Classes,
    Summands,
    classes_of,
    comment_of,
    input_bits,
    output_bits,
    ports_of,
    summands_of,
    vector_of,
)
from xnorhw.ir.errors import FitError
from xnorhw.plan.model import (
    AbsSumUnit,
    AddUnit,
    ConcatUnit,
    Converter,
    Edge,
    Fifo,
    ForkUnit,
    LayerPlan,
    LevelUnit,
    MatrixUnit,
    Memory,
    MultiplyUnit,
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

__all__ = [
    "Instance",
    "Link",
    "Netlist",
    "generated",
    "identifiers",
    "leaf_module",
    "part_file",
    "leaf_roms",
    "netlist",
    "rom_file",
    "rom_module",
]

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
    (ForkUnit, "fork"),
    (AddUnit, "add"),
    (ConcatUnit, "concat"),
    (AbsSumUnit, "abs_sum"),
    (MultiplyUnit, "multiply"),
)


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
class Instance:
    """A unit of the plan in place: ``name`` is an identifier, ``kind`` selects its template.

    ``data``, ``weights``, ``starts``, ``table`` are the links into it (None where it has no
    such port; a table is the levels or the factors of what makes codes of sums), ``sources``
    those into a unit that joins streams, port after port, ``outs`` the links out of it, one but
    for a fork, ``layer`` the product layer it serves (may be "").  ``comment`` says in one
    line what it does.  ``file`` is a ROM's memory file, ``module`` the generated module of a ROM
    of LUTs, or of a matrix unit that holds its own weights (its link ``weights`` is None),
    ``vector`` a window's pad word, a pool's inversion mask, the numbers of planes, the coefficients
    of terms or the words of each map that is joined, ``bits`` the width of one of those,
    ``inputs`` what an adder takes, ``classes`` a start ROM's.
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
    sources: tuple[Link, ...]
    outs: tuple[Link, ...]
    file: str = ""
    module: str = ""
    vector: int = 0
    bits: int = 0
    inputs: Summands = Summands(0, 0, 0, 0, 0)
    classes: Classes = Classes(1, 0, 0)

    @property
    def out(self) -> Link:
        """The link out of a unit with one."""
        (link,) = self.outs
        return link


@dataclass(frozen=True)
class Netlist:
    """All instances in the plan's order, all links in the order of its edges."""

    instances: tuple[Instance, ...]
    links: tuple[Link, ...]
    source: Link
    sink: Link

    @property
    def branches(self) -> bool:
        """Whether it is more than a chain."""
        return any(len(i.outs) > 1 or len(i.sources) > 1 for i in self.instances)


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


def part_file(prefix: str, rom: WeightRom | StartRom, index: int) -> str:
    """The bare name of the memory file of a part of a ROM, by its number."""
    return f"{rom_file(prefix, rom).removesuffix('.mem')}_{index}.mem"


def leaf_roms(plan: Plan) -> dict[str, WeightRom]:
    """The weights that are built into adders, by the name of the matrix unit that adds."""
    roms = {u.name: u for u in plan.units if isinstance(u, WeightRom) and u.memory is Memory.LEAF}
    found = {edge.target: roms[edge.source] for edge in plan.edges if edge.source in roms}
    for target, rom in found.items():
        unit = plan.unit(target)
        if not (isinstance(unit, MatrixUnit) and unit.leaf):
            raise _no_producer(rom)
    return found


def leaf_module(prefix: str, matrix: str) -> str:
    """The module of the matrix unit with the identifier ``matrix``, whose weights are built in."""
    return f"{prefix}_{matrix}_leaf"


def rom_module(prefix: str, rom: str) -> str:
    """The module of the ROM with the identifier ``rom`` that has one of its own."""
    return f"{prefix}_{rom}"


def generated(rom: WeightRom | StartRom) -> bool:
    """Whether a ROM has a module of its own: its columns are LUTs by name, or it is cut into parts."""
    return rom.luts or (isinstance(rom, WeightRom) and bool(rom.parts))


def _no_producer(rom: WeightRom) -> FitError:
    return FitError(
        f"weights in memory kind {rom.memory.value!r} have no producer in the RTL",
        module=rom.name,
        remedy='choose memory "lut" or "block" in the folding file',
    )


def _depth(edge: Edge) -> int:
    if isinstance(edge.storage, Fifo):
        return edge.storage.depth
    raise FitError(
        f"the stream of {edge.stream.tensor} is kept in a frame buffer, which the RTL has no unit for",
        module=edge.target,
        remedy="plan the network as a dataflow of units",
    )


def _check_unit(unit: Unit) -> None:
    if isinstance(unit, WeightRom) and unit.memory not in (Memory.LUT, Memory.BLOCK) and not unit.parts:
        raise _no_producer(unit)


def _narrow(stream: Stream, width: int, bits: int, where: str) -> int:
    """The element width the target keeps, 0 where it takes the word as it is."""
    if stream.width == width:
        return 0
    if bits and stream.lanes * bits == width and stream.bits > bits:
        return bits
    raise ValueError(f"{where}: a stream of {stream.lanes} x {stream.bits} bits meets a port of {width} bits")


def _link(plan: Plan, edge: Edge, ids: dict[str, str], copy: str) -> Link:
    """``copy``: which of a fork's outputs it is, "" behind any other unit."""
    where = f"edge {edge.source} -> {edge.target}.{edge.port}"
    stream = edge.stream
    source_width = plan.input_frame.beat_bits if edge.source == INPUT else output_bits(plan.unit(edge.source))
    if source_width != stream.width:
        raise ValueError(f"{where}: {source_width} bits leave the source, the stream has {stream.width}")
    if edge.target == OUTPUT:
        width, bits = plan.output_frame.beat_bits, 0
    else:
        width, bits = input_bits(plan.unit(edge.target), edge.port)
    narrow = _narrow(stream, width, bits, where)
    get = OUTPUT if edge.target == OUTPUT else ids[edge.target]
    get = f"{get}_{re.sub('^data', 'in', edge.port)}"
    source = INPUT if edge.source == INPUT else ids[edge.source]
    depth = _depth(edge)
    return Link(
        put=f"{source}_out{copy}" if depth else get,
        get=get,
        width=stream.width,
        depth=depth,
        lanes=stream.lanes,
        bits=stream.bits,
        narrow=narrow,
        tensor=one_line(stream.tensor),
        observed=edge.observed,
    )


def _instance(
    unit: Unit,
    prefix: str,
    name: str,
    layer: str,
    into: dict[tuple[str, str], Link],
    outs: tuple[Link, ...],
    what: str,
    turns: str,
) -> Instance:
    _check_unit(unit)
    kind = next(kind for cls, kind in _KINDS if isinstance(unit, cls))
    module = ""
    if isinstance(unit, MatrixUnit) and unit.leaf:
        kind, module = "leaf", leaf_module(prefix, name)
    if isinstance(unit, WeightRom | StartRom) and generated(unit):
        kind, module = "made_rom", rom_module(prefix, name)
    ports = ports_of(unit)
    for port in ports:
        if (unit.name, port) not in into:
            raise ValueError(f"{unit.name}: nothing feeds its port {port!r}")
    copies = unit.copies if isinstance(unit, ForkUnit) else 1
    if len(outs) != copies:
        gives = "its output" if copies == 1 else f"all of its {copies} outputs"
        raise ValueError(f"{unit.name}: nothing takes {gives}")
    table = "levels" if kind == "levels" else "factors"
    vector, bits = vector_of(unit)
    return Instance(
        unit=unit,
        kind=kind,
        name=name,
        layer=one_line(layer),
        comment=comment_of(unit, what, turns),
        data=into.get((unit.name, "data")),
        weights=into.get((unit.name, "weights")),
        starts=into.get((unit.name, "starts")),
        table=into.get((unit.name, table)),
        sources=tuple(into[unit.name, port] for port in ports if re.fullmatch(r"data\d+", port)),
        outs=outs,
        file=rom_file(prefix, unit) if isinstance(unit, WeightRom | StartRom) else "",
        module=module,
        vector=vector,
        bits=bits,
        inputs=summands_of(unit) if isinstance(unit, AddUnit) else Summands(0, 0, 0, 0, 0),
        classes=classes_of(unit) if isinstance(unit, StartRom) else Classes(1, 0, 0),
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
    built_in = {rom.name for rom in leaf_roms(plan).values()}
    links: list[Link] = []
    into: dict[tuple[str, str], Link] = {}
    outof: dict[str, tuple[Link, ...]] = {}
    copies = {unit.name: unit.copies for unit in plan.units if isinstance(unit, ForkUnit)}
    for edge in plan.edges:
        if edge.source in built_in:
            continue
        before = outof.get(edge.source, ())
        link = _link(plan, edge, ids, str(len(before)) if edge.source in copies else "")
        if len(before) == copies.get(edge.source, 1) or (edge.target, edge.port) in into:
            raise ValueError(
                f"{edge.source} -> {edge.target}.{edge.port}: a stream has one source and one target"
            )
        outof[edge.source] = (*before, link)
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
            outof.get(unit.name, ()),
            words.get(feeds.get(unit.name, ""), "weight"),
            "terms of channel groups" if unit.name in in_turn else "channel groups",
        )
        for unit in plan.units
        if unit.name not in built_in
    )
    if INPUT not in outof or (OUTPUT, "data") not in into:
        raise ValueError("the plan connects no unit to the core's input or output")
    return Netlist(instances, tuple(links), outof[INPUT][0], into[OUTPUT, "data"])
