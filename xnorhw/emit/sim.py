"""Plan -> the benches: monitors, the benches' top, a compiled and a cocotb bench, vectors."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from xnorhw import resources
from xnorhw.emit.jinja import render
from xnorhw.emit.rtl import PORTS, check_prefix
from xnorhw.emit.wiring import Link, identifiers, leaf_roms, netlist
from xnorhw.ir.int_graph import IntGraph
from xnorhw.ir.registers import ABI_MAJOR, ABI_MINOR, ERRORS, IDENTITY, REGISTERS
from xnorhw.pack import pack_frames, stream_words
from xnorhw.plan.model import Edge, Plan

__all__ = [
    "BenchNetwork",
    "bench_files",
    "edge_links",
    "files",
    "observed_edges",
    "result_frames",
    "stream_file",
    "timeout_cycles",
    "vectors",
]

_STATIC = ("Makefile", "bench.cpp", "bench.py", "device.cpp", "run.py", "xh_collect.h", "xh_dma.h")

_GROUP = 32
"""Wires that one call tells the bench about."""


@dataclass(frozen=True)
class BenchNetwork:
    """A network under a bench: its plan, the build hash that its registers show, its prefix."""

    plan: Plan
    build_hash: int
    prefix: str = "accel"


@dataclass(frozen=True)
class _Signal:
    """A port of the packaged IP as the bench's top repeats it."""

    name: str
    direction: str
    width: int


@dataclass(frozen=True)
class _Group:
    """Up to 32 wires, the highest first, and the bits that are left."""

    wires: tuple[str, ...]
    spare: int


@dataclass(frozen=True)
class _Monitored:
    """An observed stream: the wires to look at and the name of the file it is written to."""

    tensor: str
    file: str
    wire: str
    width: int


def edge_links(plan: Plan, prefix: str = "accel") -> dict[Edge, Link]:
    """The wires of each edge that has any: weights that are built into adders travel on none."""
    built_in = {rom.name for rom in leaf_roms(plan).values()}
    wired = [edge for edge in plan.edges if edge.source not in built_in]
    return dict(zip(wired, netlist(plan, prefix).links, strict=True))


def observed_edges(plan: Plan) -> dict[str, Edge]:
    """The edge on which each observed tensor travels, in the plan's order."""
    found: dict[str, Edge] = {}
    for edge in plan.edges:
        if edge.observed:
            found.setdefault(edge.observed, edge)
    return found


def stream_file(plan: Plan, tensor: str) -> str:
    """The stem of the file that holds the words of an observed tensor."""
    return identifiers(tuple(observed_edges(plan)))[tensor]


def timeout_cycles(plan: Plan) -> int:
    """Clocks without a beat in or out after which a network stands still for good."""
    return 4 * (plan.figures.cycles_per_frame + plan.figures.latency_cycles) + 5000


def _signals(beat_bits: int) -> tuple[_Signal, ...]:
    widths = {
        "tdata": beat_bits,
        "tkeep": beat_bits // 8,
        "awaddr": 8,
        "araddr": 8,
        "awprot": 3,
        "arprot": 3,
        "wdata": 32,
        "rdata": 32,
        "wstrb": 4,
        "bresp": 2,
        "rresp": 2,
    }
    master = ("m_axis_tready", "s_axi_awready", "s_axi_wready", "s_axi_arready")
    result = []
    for port in PORTS[2:]:
        stem = port.rsplit("_", 1)[1]
        if port.startswith("m_axis"):
            output = stem != "tready"
        elif port.startswith("s_axis"):
            output = stem == "tready"
        else:
            output = port in master or stem in ("bresp", "bvalid", "rdata", "rresp", "rvalid")
        result.append(_Signal(port, "output" if output else "input", widths.get(stem, 1)))
    return tuple(result)


def _monitors(plan: Plan, prefix: str) -> dict[str, str]:
    by_edge = edge_links(plan, prefix)
    monitored = []
    for tensor, edge in observed_edges(plan).items():
        link = by_edge[edge]
        monitored.append(_Monitored(link.tensor, stream_file(plan, tensor), link.get, link.width))
    wires = [wire for link in by_edge.values() for wire in _wires(link)]
    parts = [wires[i : i + _GROUP] for i in range(0, len(wires), _GROUP)]
    groups = [_Group(tuple(part[::-1]), _GROUP - len(part)) for part in parts]
    name = f"sim/{prefix}"
    return {
        f"{name}_monitors.sv": render("sim/monitors.sv.j2", prefix=prefix, monitored=monitored, wires=wires),
        f"{name}_traffic.sv": render("sim/traffic.sv.j2", prefix=prefix, wires=wires, groups=groups),
    }


def _wires(link: Link) -> tuple[str, ...]:
    return (link.put, link.get) if link.depth else (link.get,)


def _masks(edge: Edge) -> list[str]:
    """For the words of one pixel, the bits that carry channels."""
    stream = edge.stream
    masks = []
    for word in range(stream.words_per_pixel):
        lanes = min(stream.lanes, stream.channels - word * stream.lanes)
        masks.append(f"{(1 << (lanes * stream.bits)) - 1:x}")
    return masks


def _description(network: BenchNetwork, select: int) -> str:
    plan = network.plan
    values = {
        "ID": IDENTITY,
        "ABI": ABI_MAJOR << 16 | ABI_MINOR,
        "BUILD_HASH0": network.build_hash & 0xFFFFFFFF,
        "BUILD_HASH1": network.build_hash >> 32,
        "IN_BEATS": plan.input_frame.beats,
        "OUT_BEATS": plan.output_frame.beats,
    }
    streams = [
        {
            "tensor": tensor,
            "file": stream_file(plan, tensor),
            "monitor": f"{network.prefix}_{stream_file(plan, tensor)}",
            "words": edge.stream.words,
            "masks": _masks(edge),
        }
        for tensor, edge in observed_edges(plan).items()
    ]
    tree = {
        "format": "1.0",
        "network": network.prefix,
        "select": select,
        "beat_bits": plan.input_frame.beat_bits,
        "in_beats": plan.input_frame.beats,
        "out_beats": plan.output_frame.beats,
        "timeout_cycles": timeout_cycles(plan),
        "registers": {r.name: r.offset for r in REGISTERS},
        "errors": {e.name: e.bit for e in ERRORS},
        "values": values,
        "streams": streams,
    }
    return json.dumps(tree, indent=1, sort_keys=True) + "\n"


def bench_files(networks: Sequence[BenchNetwork]) -> dict[str, str]:
    """The benches of several networks in one model: path (``sim/...``) -> text.

    The bench's top selects one of the networks; ``sim/<prefix>.json`` describes each.  All
    have one beat width and a prefix of their own.  At most 256 networks.
    """
    prefixes = [n.prefix for n in networks]
    widths = {n.plan.input_frame.beat_bits for n in networks}
    if not networks or len(networks) > 256 or len(set(prefixes)) != len(prefixes) or len(widths) != 1:
        raise ValueError("a bench has 1 to 256 networks of one beat width, each with a prefix of its own")
    result = {f"sim/{name}": resources.read_text(f"templates/sim/{name}") for name in _STATIC}
    result["sim/xh_monitor.sv"] = resources.read_text("templates/rtl/xh_monitor.sv")
    result["sim/xh_bench.sv"] = render(
        "sim/xh_bench.sv.j2", networks=prefixes, signals=_signals(widths.pop())
    )
    for select, network in enumerate(networks):
        check_prefix(network.prefix)
        result |= _monitors(network.plan, network.prefix)
        result[f"sim/{network.prefix}.json"] = _description(network, select)
    return result


def files(plan: Plan, build_hash: int, prefix: str = "accel") -> dict[str, str]:
    """The benches of one network: path inside the build folder (``sim/...``) -> text.

    ``sim/bench.json`` describes the network, the 64-bit ``build_hash`` that its registers
    show included; with the files of ``vectors`` beside them the folder runs by itself:
    ``make -C out/sim``.
    """
    result = bench_files([BenchNetwork(plan, build_hash, prefix)])
    result["sim/bench.json"] = result.pop(f"sim/{prefix}.json")
    return dict(sorted(result.items()))


def vectors(
    plan: Plan, graph: IntGraph, tensors: Mapping[str, npt.NDArray[Any]], folder: str = "sim/vectors"
) -> dict[str, str]:
    """Stimuli and right answers for the cocotb bench: path -> text, one hexadecimal word a line.

    ``tensors`` are the golden values [N, C, H, W] of N frames by name: the plan's input, its
    output and every observed tensor (``golden.run`` gives them all).
    """
    beat_bytes = plan.input_frame.beat_bits // 8
    kind = graph.tensor(plan.input_tensor).type
    assert kind is not None
    frames = pack_frames(plan, tensors[plan.input_tensor], kind)
    result = {
        f"{folder}/input.hex": _beats(frames, beat_bytes),
        f"{folder}/result.hex": _beats(result_frames(plan, tensors[plan.output_tensor]), beat_bytes),
    }
    for tensor, edge in observed_edges(plan).items():
        kind = graph.tensor(tensor).type
        assert kind is not None
        words = stream_words(edge.stream, tensors[tensor], kind.is_bipolar)
        digits = -(-edge.stream.width // 4)
        result[f"{folder}/{stream_file(plan, tensor)}.hex"] = "".join(f"{w:0{digits}x}\n" for w in words)
    return result


def result_frames(plan: Plan, sums: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """Sums [N, C, H, W] as the result frames that the IP gives: uint8 [N, beats * beat bytes]."""
    frame = plan.output_frame
    flat = sums.transpose(0, 2, 3, 1).reshape(len(sums), -1).astype("<i4")
    data = np.zeros((len(sums), frame.beats * frame.beat_bits // 8), np.uint8)
    data[:, : flat.shape[1] * 4] = np.ascontiguousarray(flat).view(np.uint8)
    return data


def _beats(frames: npt.NDArray[np.uint8], beat_bytes: int) -> str:
    # the lowest byte of a beat comes first in memory and last in its number
    beats = np.ascontiguousarray(frames).reshape(-1, beat_bytes)[:, ::-1]
    return "".join(f"{row.tobytes().hex()}\n" for row in beats)
