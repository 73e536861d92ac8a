"""A clock-by-clock model of a planned pipeline: words are counted, not computed.

Each unit follows the rules of its RTL for valid and ready; the input always offers a beat,
the output always takes one.  Valid runs from the source on, ready back from the sink, then
all registers step.
"""

from __future__ import annotations

from dataclasses import dataclass

from xnorhw.plan.model import (
    Converter,
    Fifo,
    LevelUnit,
    MatrixUnit,
    Plan,
    PlaneUnit,
    PoolUnit,
    RequantUnit,
    StartRom,
    SumPoolUnit,
    TermsUnit,
    WeightRom,
    Window,
)
from xnorhw.plan.schedule import pool_latency, terms_latency


class _Fifo:
    def __init__(self, depth: int) -> None:
        self.depth = depth
        self.level = 0

    def valid(self, offered: bool) -> bool:
        return self.level > 0 if self.depth else offered

    def ready(self, taken: bool, offered: bool) -> bool:
        return self.level < self.depth if self.depth else taken

    def step(self, push: bool, pop: bool) -> None:
        if self.depth:
            self.level += push - pop


class _Converter:
    """Bits of a packet taken and given; see xh_width_converter."""

    def __init__(self, unit: Converter) -> None:
        self.unit = unit
        self.wire = unit.in_bits == unit.out_bits and unit.packet_bits % unit.in_bits == 0
        self.taken = 0
        self.given = 0

    def _end(self, words: int, bits: int) -> int:
        return min(words * bits, self.unit.packet_bits)

    def _flushes(self) -> bool:
        """The packet is in, and a word of it is still to go."""
        unit = self.unit
        whole = self._end(self.taken, unit.in_bits) == unit.packet_bits
        return whole and self._end(self.given, unit.out_bits) < unit.packet_bits

    def _emits(self) -> bool:
        unit = self.unit
        taken = 0 if self._flushes() else self.taken
        given = 0 if self._flushes() else self.given
        return self._end(taken + 1, unit.in_bits) >= self._end(given + 1, unit.out_bits)

    def _lets_go(self) -> bool:
        """The outgoing word is the last that needs the word at the port."""
        unit = self.unit
        end = self._end(self.given + 1, unit.out_bits)
        next_end = self._end(self.given + 2, unit.out_bits)
        return end == unit.packet_bits or next_end > self._end(self.taken + 1, unit.in_bits)

    def valid(self, offered: bool) -> bool:
        if self.wire or self.unit.in_bits >= self.unit.out_bits:
            return offered
        return self._flushes() or (offered and self._emits())

    def ready(self, taken: bool, offered: bool) -> bool:
        if self.wire:
            return taken
        if self.unit.in_bits >= self.unit.out_bits:
            return taken and self._lets_go()
        return taken or (not self._flushes() and not self._emits())

    def step(self, push: bool, pop: bool) -> None:
        if self.wire:
            return
        unit = self.unit
        if unit.in_bits < unit.out_bits and self._flushes():
            if pop:
                self.taken = self.given = 0
            self.taken += push
            return
        self.taken += push
        self.given += pop
        if (
            self._end(self.taken, unit.in_bits) == unit.packet_bits
            and self._end(self.given, unit.out_bits) == unit.packet_bits
        ):
            self.taken = self.given = 0


class _Window:
    """Two levels and the loop nest; see xh_window."""

    def __init__(self, unit: Window, depth: int) -> None:
        self.depth = depth
        geometry, words = unit.geometry, unit.words_per_pixel
        self.frame = unit.height * unit.width * words
        reach = (geometry.kernel[0] - 1) * geometry.dilation[0] * unit.width
        self.span = (reach + (geometry.kernel[1] - 1) * geometry.dilation[1] + 1) * words
        self.origins = [
            ((y * geometry.stride[0] - geometry.pads.top) * unit.width
             + x * geometry.stride[1] - geometry.pads.left) * words
            for y in range(unit.out_height)
            for x in range(unit.out_width)
        ]  # fmt: skip
        self.per_pixel = unit.out_words_per_pixel
        self.written = self.pixel = self.word = 0
        self.full = False

    def valid(self, offered: bool) -> bool:
        return self.full

    def ready(self, taken: bool, offered: bool) -> bool:
        return self.written - max(self.origins[self.pixel], 0) < self.depth

    def step(self, push: bool, pop: bool) -> None:
        origin = self.origins[self.pixel]
        readable = self.written >= min(origin + self.span, self.frame)
        issue = readable and (pop or not self.full)
        self.full = issue or (self.full and not pop)
        self.written += push
        if issue:
            self.word += 1
            if self.word == self.per_pixel:
                self.word = 0
                self.pixel += 1
                if self.pixel == len(self.origins):
                    self.pixel = 0
                    self.written -= self.frame


class _Matrix:
    """Two stages; weights and starts are always there; see xh_mvu."""

    def __init__(self, unit: MatrixUnit) -> None:
        self.folds = unit.folds
        self.fold = 0
        self.sum = self.last = self.done = False

    def valid(self, offered: bool) -> bool:
        return self.done

    def ready(self, taken: bool, offered: bool) -> bool:
        return not self.sum or not self.done or taken

    def step(self, push: bool, pop: bool) -> None:
        acc_ready = not self.done or pop
        sum_ready = not self.sum or acc_ready
        if acc_ready:
            self.done = self.sum and self.last
        if sum_ready:
            self.sum, self.last = push, self.fold == self.folds - 1
        if push:
            self.fold = (self.fold + 1) % self.folds


class _Pool:
    """See xh_pool."""

    def __init__(self, unit: PoolUnit) -> None:
        self.groups = unit.tap_groups
        self.group = 0

    def valid(self, offered: bool) -> bool:
        return offered and self.group == self.groups - 1

    def ready(self, taken: bool, offered: bool) -> bool:
        return taken or self.group < self.groups - 1

    def step(self, push: bool, pop: bool) -> None:
        if push:
            self.group = (self.group + 1) % self.groups


class _Pipeline:
    """``stages`` registers, each of which moves on where the next one can take it; see xh_pipeline.

    Of ``turns`` words the last makes the result.
    """

    def __init__(self, stages: int, turns: int = 1) -> None:
        self.full = [False] * stages
        self.turns = turns
        self.turn = 0

    def valid(self, offered: bool) -> bool:
        return self.full[-1]

    def ready(self, taken: bool, offered: bool) -> bool:
        return taken or not all(self.full)

    def step(self, push: bool, pop: bool) -> None:
        free = pop
        for i in reversed(range(len(self.full))):
            free = free or not self.full[i]
            if free:
                before = self.full[i - 1] if i else push and self.turn == self.turns - 1
                self.full[i] = before
        if push:
            self.turn = (self.turn + 1) % self.turns


@dataclass(frozen=True)
class Run:
    """The clock of each frame's last result beat, counted from the first input beat."""

    ends: tuple[int, ...]

    def period(self, skip: int) -> float:
        """Clocks a frame, the first ``skip`` frames left out."""
        ends = self.ends[skip:]
        return (ends[-1] - ends[0]) / (len(ends) - 1)


def simulate(plan: Plan, frames: int, depths: dict[str, int] | None = None, limit: int = 10) -> Run:
    """Run ``frames`` frames; ``depths`` replaces ring depths by window name.

    A pipeline that needs more than ``limit`` times the planned clocks counts as stuck.
    """
    depths = depths or {}
    data = {e.source: e for e in plan.edges if e.port == "data"}
    chain: list[_Fifo | _Converter | _Window | _Matrix | _Pool | _Pipeline] = []
    edge = data["input"]
    while True:
        assert isinstance(edge.storage, Fifo)
        chain.append(_Fifo(edge.storage.depth))
        if edge.target == "output":
            break
        unit = plan.unit(edge.target)
        assert not isinstance(unit, WeightRom | StartRom)
        if isinstance(unit, Converter):
            chain.append(_Converter(unit))
        elif isinstance(unit, Window):
            chain.append(_Window(unit, depths.get(unit.name, unit.depth)))
        elif isinstance(unit, MatrixUnit):
            chain.append(_Matrix(unit))
        elif isinstance(unit, PlaneUnit):
            pass  # a wire to this model
        elif isinstance(unit, TermsUnit):
            chain.append(_Pipeline(terms_latency(unit.coefficients), len(unit.coefficients)))
        elif isinstance(unit, LevelUnit):
            chain.append(_Pipeline(2))
        elif isinstance(unit, RequantUnit):
            chain.append(_Pipeline(4))
        elif isinstance(unit, SumPoolUnit) or unit.bits > 1:
            stages = pool_latency(8, True, unit.taps_per_word)
            chain.append(_Pipeline(stages, unit.tap_groups))
        else:
            chain.append(_Pool(unit))
        edge = data[unit.name]
    beats = plan.output_frame.beats
    most = limit * (plan.figures.latency_cycles + frames * plan.figures.cycles_per_frame)
    clock, out = 0, 0
    ends: list[int] = []
    places = range(len(chain))
    while len(ends) < frames:
        offered = True
        valid = [True] * (len(chain) + 1)
        for i in places:
            offered = chain[i].valid(offered)
            valid[i + 1] = offered
        ready = [True] * (len(chain) + 1)
        taken = True
        for i in reversed(places):
            taken = chain[i].ready(taken, valid[i])
            ready[i] = taken
        moves = [v and r for v, r in zip(valid, ready, strict=True)]
        for i in places:
            chain[i].step(moves[i], moves[i + 1])
        if moves[-1]:
            out += 1
            if out % beats == 0:
                ends.append(clock)
        clock += 1
        if clock > most:
            raise RuntimeError(f"stuck after {len(ends)} frames")
    return Run(tuple(ends))
