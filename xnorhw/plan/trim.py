"""Buffers with other depths than the schedule's: what the graph needs without timing, and the new plan.

The schedule takes words to come evenly and every unit to be as slow as it may be; a simulation of
the design itself shows how full each ring and each FIFO in front of a join becomes.  A depth at
which no word was ever refused while the frames came at the planned pace never delays a word, and a
source that is quicker delays none either: a unit that starts earlier makes no other start later.

Nor can such a design stand still, whatever the stalls: what its units give does not depend on time,
so depths that hold one order of events with every word in its place hold all orders.  Below what
that order needs no FIFO goes here in any case: ``least_depths`` counts words alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import reduce

import numpy as np
import numpy.typing as npt

from xnorhw.ir.geometry import ceil_div
from xnorhw.plan.memory_cost import fifo_resources
from xnorhw.plan.model import (
    ConcatUnit,
    Converter,
    Edge,
    Fifo,
    MultiplyUnit,
    Plan,
    Resources,
    TrimmedBuffer,
    Unit,
    Window,
)
from xnorhw.plan.resources import unit_resources
from xnorhw.plan.schedule import Ring, window_ring

__all__ = ["buffer_depths", "fifo_name", "least_depths", "ring_of", "with_depths"]

Counts = npt.NDArray[np.int64]
Beats = npt.NDArray[np.float64]
"""After how much of the frame's beats each word can be there; words out of one beat share it evenly."""

_EPSILON = 1e-6
_SLICE = 2
"""The depth of a register slice, which stands where a path must be cut."""


def fifo_name(edge: Edge) -> str:
    """The name of the FIFO of ``edge`` among the buffers."""
    return f"{edge.target}.{edge.port}"


def ring_of(window: Window) -> Ring:
    """What ``window`` asks of its ring."""
    return window_ring(
        window.geometry,
        window.height,
        window.width,
        window.out_height,
        window.out_width,
        window.words_per_pixel,
    )


def _fifos(plan: Plan) -> dict[str, Edge]:
    """The FIFOs that hold more than a register slice does."""
    return {
        fifo_name(edge): edge
        for edge in plan.edges
        if isinstance(edge.storage, Fifo) and edge.storage.depth > _SLICE
    }


def buffer_depths(plan: Plan) -> dict[str, int]:
    """The depth of each ring, by its window's name, and of each FIFO of more than two words."""
    rings = {unit.name: unit.depth for unit in plan.units if isinstance(unit, Window)}
    return rings | {name: _depth(edge) for name, edge in _fifos(plan).items()}


def _depth(edge: Edge) -> int:
    return edge.storage.depth if isinstance(edge.storage, Fifo) else 0


# --- what the graph needs without timing -----------------------------------------------------------


def least_depths(plan: Plan) -> dict[str, int]:
    """The least depth of each of ``buffer_depths``, whatever the timing.

    Of a ring what one window spans.  Of a FIFO in front of a join the words that come to it before
    the word of another input that the join waits for: what has to enter the network for that word goes
    down this path as well, and nothing else on the path is thought to hold any of it.
    """
    rings = {unit.name: ring_of(unit).least_depth for unit in plan.units if isinstance(unit, Window)}
    fifos = _fifos(plan)
    return rings | (_token_counts(plan, set(fifos)) if fifos else {})


def _token_counts(plan: Plan, wanted: set[str]) -> dict[str, int]:
    into: dict[str, list[Edge]] = {}
    outof: dict[str, list[Edge]] = {}
    for edge in plan.edges:
        if edge.port.startswith("data"):
            into.setdefault(edge.target, []).append(edge)
            outof.setdefault(edge.source, []).append(edge)
    beats: dict[Edge, Beats] = {}
    for edge in outof["input"]:
        beats[edge] = np.arange(1, edge.stream.words + 1, dtype=np.float64)
    found: dict[str, int] = {}
    for unit in plan.units:
        if unit.name not in into:
            continue
        sources = sorted(into[unit.name], key=lambda edge: int(edge.port[4:] or 0))
        came = [beats[edge] for edge in sources]
        if len(sources) == 1:
            words = outof[unit.name][0].stream.words if outof.get(unit.name) else 0
            given = _through(unit, came[0], words)
        else:
            taken = _turns(unit, [len(times) for times in came])
            given = np.zeros(int(max(turns[-1] for turns in taken)) + 1)
            for times, turns in zip(came, taken, strict=True):
                np.maximum.at(given, turns, times)
            given = np.maximum.accumulate(given)
            for edge, times, turns in zip(sources, came, taken, strict=True):
                if fifo_name(edge) in wanted:
                    there = np.searchsorted(times, given[turns] - _EPSILON) + 1
                    found[fifo_name(edge)] = int((there - np.arange(len(turns))).max())
        for edge in outof[unit.name]:
            beats[edge] = given
    # what does not stand in front of a join never waits for another path
    return {name: found.get(name, _SLICE) for name in wanted}


def _through(unit: Unit, came: Beats, words: int) -> Beats:
    """When the words that ``unit`` gives can be there, by those of its only input."""
    if isinstance(unit, Window):
        needed = ring_of(unit).needed
        padded = np.concatenate([came[:1], came])
        times: Beats = np.repeat(padded[needed], unit.out_words_per_pixel)
        return times
    if isinstance(unit, Converter):
        return _converted(unit, came)
    # as many words in for each word out
    return came[len(came) // words - 1 :: len(came) // words]


def _converted(unit: Converter, came: Beats) -> Beats:
    in_words = ceil_div(unit.packet_bits, unit.in_bits)
    out_words = ceil_div(unit.packet_bits, unit.out_bits)
    bits = np.minimum(np.arange(1, out_words + 1) * unit.out_bits, unit.packet_bits)
    last = -(-bits // unit.in_bits) - 1
    # which share of its last word in each word out needs, counting words
    share = (np.arange(out_words) - np.searchsorted(last, last) + 1) / np.bincount(last)[last]
    steps = np.diff(came, prepend=0.0)
    places = np.arange(len(came) // in_words)[:, None] * in_words + last
    times: Beats = (came[places] - steps[places] * (1 - share)).ravel()
    return times


def _turns(unit: Unit, counts: list[int]) -> list[Counts]:
    """The word out with which each word of each input of a joining unit is taken."""
    if isinstance(unit, ConcatUnit):
        pixels, whole = counts[0] // unit.words[0], sum(unit.words)
        starts = np.cumsum([0, *unit.words[:-1]])
        return [
            (np.arange(pixels)[:, None] * whole + start + np.arange(words)).ravel()
            for start, words in zip(starts, unit.words, strict=True)
        ]
    if isinstance(unit, MultiplyUnit):
        return [np.arange(counts[0]), np.arange(counts[1]) * unit.words_per_pixel]
    return [np.arange(count) for count in counts]


# --- the new plan ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Change:
    """A unit, or a FIFO behind the unit called ``owner``, with another depth."""

    name: str
    owner: str
    before: Resources
    after: Resources

    @property
    def saved(self) -> Resources:
        """What the change saves."""
        return self.before + _less(self.after)


def with_depths(plan: Plan, needed: Mapping[str, int]) -> Plan:
    """``plan`` with buffers of ``needed`` words by name, or of more where more is cheaper.

    No buffer grows, none is cut to less than ``least_depths``, and none becomes dearer.  (A FIFO on
    whose way other places hold words may be planned below that; it stays.)  The plan's resources
    follow, and ``trimmed`` lists all buffers.
    """
    depths, least = buffer_depths(plan), least_depths(plan)
    fifos = _fifos(plan)
    chosen: dict[str, int] = {}
    changes: list[_Change] = []
    for name, depth in depths.items():
        want = max(needed.get(name, depth), min(least[name], depth))
        if want >= depth:
            continue
        if name in fifos:
            edge = fifos[name]
            costs = {d: fifo_resources(edge.stream.width, Fifo(d)) for d in (depth, max(want, _SLICE))}
            owner = edge.source
        else:
            window = plan.unit(name)
            assert isinstance(window, Window)
            # a ring of a power of two words needs no subtractor
            sizes = (depth, want, 1 << (want - 1).bit_length())
            costs = {d: unit_resources(replace(window, depth=d)) for d in sizes if d <= depth}
            owner = name
        # room that costs nothing stays
        best = min(costs, key=lambda d: (costs[d].bram36, costs[d].lut, costs[d].ff, -d))
        if best < depth:
            chosen[name] = best
            changes.append(_Change(name, owner, costs[depth], costs[best]))
    return _changed(plan, depths, chosen, changes)


def _changed(plan: Plan, depths: dict[str, int], chosen: dict[str, int], changes: list[_Change]) -> Plan:
    units = tuple(
        replace(unit, depth=chosen[unit.name]) if isinstance(unit, Window) and unit.name in chosen else unit
        for unit in plan.units
    )
    edges = tuple(
        replace(edge, storage=Fifo(chosen[fifo_name(edge)]))
        if isinstance(edge.storage, Fifo) and edge.storage.depth > _SLICE and fifo_name(edge) in chosen
        else edge
        for edge in plan.edges
    )
    layers = {job.unit: job.layer for job in plan.jobs}
    saved = {change.name: change.saved for change in changes}
    trimmed = tuple(
        TrimmedBuffer(name, depth, chosen.get(name, depth), saved.get(name, Resources()))
        for name, depth in depths.items()
    )
    return replace(
        plan,
        units=units,
        edges=edges,
        layers=tuple(
            replace(layer, resources=_spent(layer.resources, changes, layers, layer.name))
            for layer in plan.layers
        ),
        unit_resources=tuple(
            (name, _sum(cost, [c for c in changes if c.owner == name])) for name, cost in plan.unit_resources
        ),
        figures=replace(plan.figures, resources=_sum(plan.figures.resources, changes)),
        trimmed=trimmed,
    )


def _spent(cost: Resources, changes: list[_Change], layers: dict[str, str], layer: str) -> Resources:
    return _sum(cost, [change for change in changes if layers.get(change.owner) == layer])


def _sum(cost: Resources, changes: list[_Change]) -> Resources:
    return reduce(lambda total, change: total + _less(change.saved), changes, cost)


def _less(cost: Resources) -> Resources:
    return Resources(-cost.lut, -cost.ff, -cost.bram36, -cost.uram, -cost.dsp)
