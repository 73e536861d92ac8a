"""Folding: how much each layer does at once; by hand as JSON, or found by the planner."""

from __future__ import annotations

import difflib
import json
from dataclasses import dataclass
from typing import Any

from xnorhw.ir.errors import FitError
from xnorhw.ir.int_graph import IntGraph
from xnorhw.plan.geometry import (
    WIDEST_WORD,
    divisors,
    layer_shape,
    legal_pe,
    legal_simd,
    legal_taps,
    word_bits,
)
from xnorhw.plan.layers import ChipLayer, ChipPool
from xnorhw.plan.model import MatrixUnit, Plan, PoolUnit, SumPoolUnit, Unit, Window
from xnorhw.plan.rows import legal_pixels, pools_and_pixels
from xnorhw.plan.stages import chip_layers

__all__ = [
    "Folding",
    "LayerFolding",
    "PoolFolding",
    "check_folding",
    "folding_of",
    "read_folding",
    "write_folding",
]

_FORMAT = "xnorhw-folding"
_MAJOR, _MINOR = 1, 1
_MEMORIES = ("auto", "block", "lut")
_WEIGHT_MEMORIES = ("auto", "block", "leaf", "lut", "mixed", "tall")
_LAYER_OPTIONS = ("pixels", "memory", "window_memory", "dsp_pes", "legal")
_REMEDY_FILE = "Start from the folding.json that a build writes"


@dataclass(frozen=True)
class LayerFolding:
    """A layer's folding: ``pe`` output channels and ``simd`` inputs each clock.

    ``pixels`` of its map a clock; more than 1 with every output and the whole window at once alone
    (``rows.legal_pixels``).  ``memory`` holds the weights, ``window_memory`` the rows that
    the window keeps: "lut", "block", or "auto" for the planner's choice.  "leaf" builds weights
    of few words into the adders; "tall" and "mixed" are block ROMs in parts (``rom_parts``).
    ``dsp_pes``: so many of the ``pe``, the first ones, add codes in DSPs, where weights are binary.
    """

    name: str
    pe: int
    simd: int
    pixels: int = 1
    memory: str = "auto"
    window_memory: str = "auto"
    dsp_pes: int = 0


@dataclass(frozen=True)
class PoolFolding:
    """A pool's folding: kernel taps a clock, and the memory of its window."""

    name: str
    taps_per_word: int
    window_memory: str = "auto"


@dataclass(frozen=True)
class Folding:
    """The folding of every layer, and of pools (a pool left out is chosen by the planner)."""

    layers: tuple[LayerFolding, ...]
    pools: tuple[PoolFolding, ...] = ()

    def layer(self, name: str) -> LayerFolding:
        """The folding of layer ``name``; KeyError where there is none."""
        return next_named(self.layers, name)

    def pool(self, name: str) -> PoolFolding | None:
        """The folding of pool ``name``, or None."""
        return next((p for p in self.pools if p.name == name), None)


def next_named(entries: tuple[LayerFolding, ...], name: str) -> LayerFolding:
    """The entry called ``name``."""
    for entry in entries:
        if entry.name == name:
            return entry
    raise KeyError(name)


def folding_of(plan: Plan) -> Folding:
    """The folding that ``plan`` was built with, complete but for what ``--trim-fifos`` shortened."""
    windows = {e.target: e.source for e in plan.edges if isinstance(_unit(plan, e.source), Window)}
    windows |= {x.matrix: x.window for x in plan.layers if x.window}
    writes = {job.unit: job.writes for job in plan.jobs}
    layers, pools = [], []
    for x in plan.layers:
        memory = _window_memory(plan, windows.get(x.matrix))
        unit = plan.unit(x.matrix)
        assert isinstance(unit, MatrixUnit)
        entry = LayerFolding(x.name, x.pe, x.simd, x.pixels, x.memory.value, memory, unit.dsp_pes)
        layers.append(entry)
        for name in x.pools:
            pool = plan.unit(name)
            assert isinstance(pool, PoolUnit | SumPoolUnit)
            memory = _window_memory(plan, windows[name])
            pools.append(PoolFolding(writes[name], pool.taps_per_word, memory))
    return Folding(tuple(layers), tuple(pools))


def _unit(plan: Plan, name: str) -> Unit | None:
    return next((u for u in plan.units if u.name == name), None)


def _window_memory(plan: Plan, name: str | None) -> str:
    """The memory of a window; a layer without one leaves the choice open."""
    unit = None if name is None else plan.unit(name)
    return unit.memory.value if isinstance(unit, Window) else "auto"


# --- legality --------------------------------------------------------------------------------


def check_folding(graph: IntGraph, folding: Folding) -> None:
    """FitError naming the layer and what is legal, where ``folding`` cannot be built for ``graph``."""
    layers = {layer.name: layer for layer in chip_layers(graph)}
    pools = {pool.name: pool for layer in layers.values() for pool in layer.pools}
    for kind, entries, known in (("layer", folding.layers, layers), ("pool", folding.pools, pools)):
        seen: set[str] = set()
        for entry in entries:
            _check_name(kind, entry.name, sorted(known), seen)
    for layer_entry in folding.layers:
        _check_layer(layer_entry, layers[layer_entry.name])
    beside = {
        pool.name: pixels
        for entry in folding.layers
        for pool, pixels in pools_and_pixels(layers[entry.name], entry.pixels)
    }
    for pool_entry in folding.pools:
        _check_pool(pool_entry, pools[pool_entry.name], beside.get(pool_entry.name, 1))
    missing = [name for name in layers if name not in {e.name for e in folding.layers}]
    if missing:
        legal = layer_hint(layers[missing[0]])
        raise FitError(
            "the folding has no entry for this layer", module=missing[0], remedy=f"Give it {legal}"
        )


def _check_name(kind: str, name: str, known: list[str], seen: set[str]) -> None:
    if name in seen:
        raise FitError(f"the folding has this {kind} twice", module=name, remedy="Keep one entry")
    seen.add(name)
    if name not in known:
        listed = ", ".join(known) if known else "none"
        raise FitError(
            f"the chip has no {kind} of this name",
            module=name,
            remedy=f"{_did_you_mean(name, known)}The {kind}s are: {listed}",
        )


def _check_layer(entry: LayerFolding, layer: ChipLayer) -> None:
    if not 1 <= entry.pe <= layer.outputs:
        near = sorted(divisors(layer.outputs // layer.groups), key=lambda d: abs(d - entry.pe))[:3]
        alone = layer.groups == 1
        way = f"1 to {layer.outputs}, best a divisor, for example {_listed(sorted(near))}"
        raise FitError(
            f"pe {entry.pe} is out of range: the layer has {layer.outputs} output channels"
            + ("" if alone else f" in {layer.groups} groups"),
            module=entry.name,
            remedy=f"Use {way if alone else _listed(legal_pe(layer))}",
        )
    if entry.pe not in legal_pe(layer):
        raise FitError(
            f"pe {entry.pe} does not divide the {layer.outputs // layer.groups} output channels of a group",
            module=entry.name,
            remedy=f"Use {_listed(legal_pe(layer))}",
        )
    legal = legal_simd(layer)
    if entry.simd not in legal:
        near = sorted(sorted(legal, key=lambda d: abs(d - entry.simd))[:4])
        raise FitError(
            f"no window can feed simd {entry.simd}: the layer has {layer.slice_channels} channels"
            + ("" if layer.groups == 1 else " in a group")
            + f" and {layer.taps} taps",
            module=entry.name,
            remedy=f"Use {simd_hint(layer)}; nearest: {_listed(near)}",
        )
    _check_pixels(entry, layer)
    _check_memory(entry.name, "memory", entry.memory, _WEIGHT_MEMORIES)
    _check_memory(entry.name, "window_memory", entry.window_memory)


def _check_pixels(entry: LayerFolding, layer: ChipLayer) -> None:
    pixels = legal_pixels(layer)
    if entry.pixels not in pixels:
        width = layer.source.shape[2]
        raise FitError(
            f"pixels {entry.pixels} is not possible: the rows of its map, {width} pixels wide, and those "
            "that it and its pools make are no words of so many",
            module=entry.name,
            remedy=f"Use pixels {_listed(pixels)}",
        )
    whole = layer.outputs, layer.channels * layer.taps
    if entry.pixels > 1 and (entry.pe, entry.simd) != whole:
        raise FitError(
            f"pixels {entry.pixels} takes the whole window and makes every output at once, and pe {entry.pe} "
            f"x simd {entry.simd} does not",
            module=entry.name,
            remedy=f"Use pe {whole[0]} and simd {whole[1]}, or pixels 1",
        )


def _check_memory(name: str, key: str, value: str, known: tuple[str, ...] = _MEMORIES) -> None:
    if value not in known:
        raise FitError(
            f"{key} {value!r} is unknown",
            module=name,
            remedy=f"{_did_you_mean(value, list(known))}Use {_listed(known)}",
        )


def _check_pool(entry: PoolFolding, pool: ChipPool, pixels: int) -> None:
    legal = legal_taps(pool, pixels)
    if entry.taps_per_word not in legal:
        why = f"does not divide the pool's {pool.op.geometry.taps} taps"
        if pixels > 1:
            why = f"is not all of the pool's taps, and {pixels} pixels come a clock"
        raise FitError(
            f"taps_per_word {entry.taps_per_word} {why}",
            module=entry.name,
            remedy=f"Use {_listed(legal)}",
        )
    _check_memory(entry.name, "window_memory", entry.window_memory)


def simd_hint(layer: ChipLayer) -> str:
    """The values of a layer's SIMD, in words: what a window can feed, in words that C++ can hold."""
    legal = [s for s in legal_simd(layer) if word_bits(layer, layer_shape(layer, 1, s)) <= WIDEST_WORD]
    within = [s for s in legal if s <= layer.slice_channels]
    more = [s for s in legal if s > layer.slice_channels]
    if len(within) <= 2 or layer.groups > 1:
        return f"simd {_listed([*within, *more])}"
    return f"simd 1 to {within[-1]}" + (f", or {_listed(more)}" if more else "")


def layer_hint(layer: ChipLayer) -> str:
    """What a layer's folding may be, in words."""
    pe = f"1 to {layer.outputs}" if layer.groups == 1 else _listed(legal_pe(layer))
    more = ", leaf for the weights where they are 4 words or fewer" if layer.popcounts else ""
    more += ", mixed or tall for the weights where these cut a block ROM better"
    if not layer.full and not layer.matrix_bipolar:
        more += ", dsp_pes 0 to pe on 7 series"
    pixels = f"pixels {_listed(legal_pixels(layer))}"
    if len(legal_pixels(layer)) > 1:
        pixels += f" (above 1 with pe {layer.outputs} and simd {layer.channels * layer.taps})"
    return f"pe {pe}, {simd_hint(layer)}, {pixels}, memories auto, block or lut{more}"


def _listed(values: object) -> str:
    items = [str(v) for v in values]  # type: ignore[attr-defined]
    return items[0] if len(items) == 1 else ", ".join(items[:-1]) + " or " + items[-1]


def _did_you_mean(name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"Did you mean {near[0]}? " if near else ""


# --- the file --------------------------------------------------------------------------------


def write_folding(folding: Folding, graph: IntGraph) -> str:
    """The text of a folding file: JSON, sorted, with what is legal beside each entry.

    ``legal`` is a hint for the person who edits the file; reading ignores it.
    """
    layers = {layer.name: layer for layer in chip_layers(graph)}
    beside = [pair for e in folding.layers for pair in pools_and_pixels(layers[e.name], e.pixels)]
    taps = {pool.name: legal_taps(pool, pixels) for pool, pixels in beside}
    data = {
        "format": _FORMAT,
        "version": f"{_MAJOR}.{_MINOR}",
        "layers": {
            e.name: {
                "pe": e.pe,
                "simd": e.simd,
                "pixels": e.pixels,
                "memory": e.memory,
                "window_memory": e.window_memory,
                # said where it is used: other files read as they did
                **({"dsp_pes": e.dsp_pes} if e.dsp_pes else {}),
                "legal": layer_hint(layers[e.name]),
            }
            for e in folding.layers
        },
        "pools": {
            e.name: {
                "taps_per_word": e.taps_per_word,
                "window_memory": e.window_memory,
                "legal": f"taps_per_word {_listed(taps[e.name])}, memory auto, block or lut",
            }
            for e in folding.pools
        },
    }
    return json.dumps(data, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def read_folding(text: str, where: str = "folding.json") -> Folding:
    """Read a folding file's text; FitError naming the entry and the key that is wrong.

    ``where`` names the file in messages.  Whether the numbers suit a network is checked by
    ``check_folding``, which ``make_plan`` calls.
    """
    try:
        data = json.loads(text, object_pairs_hook=_no_duplicates)
    except (ValueError, RecursionError) as error:
        raise FitError(f"the file is no JSON: {error}", module=where, remedy=_REMEDY_FILE) from None
    if not isinstance(data, dict) or data.get("format") != _FORMAT:
        raise FitError("the file is no folding file", module=where, remedy=_REMEDY_FILE)
    _check_version(data.get("version"), where)
    _keys(data, ("format", "version", "layers"), ("pools",), where)
    layers = tuple(
        LayerFolding(
            name,
            _whole(entry, "pe", name),
            _whole(entry, "simd", name),
            _whole(entry, "pixels", name) if "pixels" in entry else 1,
            _text(entry, "memory", name),
            _text(entry, "window_memory", name),
            _whole(entry, "dsp_pes", name) if "dsp_pes" in entry else 0,
        )
        for name, entry in _entries(data, "layers", ("pe", "simd"), _LAYER_OPTIONS, where)
    )
    pools = tuple(
        PoolFolding(name, _whole(entry, "taps_per_word", name), _text(entry, "window_memory", name))
        for name, entry in _entries(data, "pools", ("taps_per_word",), ("window_memory", "legal"), where)
    )
    return Folding(layers, pools)


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table: dict[str, Any] = {}
    for key, value in pairs:
        if key in table:
            raise ValueError(f"the key {key!r} stands twice")
        table[key] = value
    return table


def _check_version(version: object, where: str) -> None:
    parts = version.split(".") if isinstance(version, str) else []
    if len(parts) != 2 or not all(p.isdigit() for p in parts):
        raise FitError(f"{version!r} is no version", module=where, remedy=f'Write "{_MAJOR}.{_MINOR}"')
    if int(parts[0]) != _MAJOR:
        raise FitError(
            f"the file has version {version}, and version {_MAJOR} is read here",
            module=where,
            remedy=_REMEDY_FILE,
        )


def _entries(
    data: dict[str, Any], section: str, needed: tuple[str, ...], optional: tuple[str, ...], where: str
) -> list[tuple[str, dict[str, Any]]]:
    table = data.get(section, {})
    if not isinstance(table, dict):
        raise FitError(f"{section} is no table of entries", module=where, remedy=_REMEDY_FILE)
    for name, entry in table.items():
        if not isinstance(entry, dict):
            raise FitError(f"its entry in {section} is no table", module=name, remedy=_REMEDY_FILE)
        _keys(entry, needed, optional, name)
    return sorted(table.items())


def _keys(table: dict[str, Any], needed: tuple[str, ...], optional: tuple[str, ...], where: str) -> None:
    known = [*needed, *optional]
    for key in sorted(table):
        if key not in known:
            raise FitError(
                f"the folding's key {key!r} is unknown",
                module=where,
                remedy=f"{_did_you_mean(key, known)}The keys are {_listed(known)}",
            )
    for key in needed:
        if key not in table:
            raise FitError(f"the folding's key {key!r} is missing", module=where, remedy="Add it")


def _whole(entry: dict[str, Any], key: str, where: str) -> int:
    value = entry[key]
    if isinstance(value, bool) or not isinstance(value, int):
        raise FitError(f"{key} is {value!r}", module=where, remedy="Use a whole number")
    return value


def _text(entry: dict[str, Any], key: str, where: str) -> str:
    value = entry.get(key, "auto")
    if not isinstance(value, str):
        raise FitError(f"{key} is {value!r}", module=where, remedy="Use a text")
    return value
