"""Drivers for valid/ready streams inside the simulator: sources, sinks, and what owns them."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import RisingEdge

__all__ = ["STALLS", "Bench", "Sink", "Source", "Stalls", "named"]

_PERIOD_NS = 10


@dataclass(frozen=True)
class Stalls:
    """How often each side pauses: chances per clock, and how many clocks a pause lasts at most.

    ``only`` names the one stream that pauses; empty for all.
    """

    name: str
    source: float
    sink: float
    burst: int = 1
    only: str = ""

    def __str__(self) -> str:
        return self.name


STALLS = (
    Stalls("free", 0.0, 0.0),
    Stalls("slow_source", 0.5, 0.0, 4),
    Stalls("slow_sink", 0.0, 0.5, 4),
    Stalls("both", 0.3, 0.3, 3),
    Stalls("rare", 0.9, 0.9, 1),
)


def named(values: Iterable[object]) -> list[cocotb.Param]:
    """Values for cocotb.parametrize that show by their text in the names of the tests."""
    return [cocotb.Param(value=value, name=str(value)) for value in values]


class _Pauses:
    """A seeded random pause generator: True in a clock in which a side waits."""

    def __init__(self, chance: float, burst: int, seed: str) -> None:
        self._chance = chance
        self._burst = burst
        self._random = random.Random(seed)
        self._left = 0

    def __call__(self) -> bool:
        if self._left:
            self._left -= 1
            return True
        if self._chance and self._random.random() < self._chance:
            self._left = self._random.randrange(self._burst)
            return True
        return False


def _pauses(stalls: Stalls, chance: float, case: str, stream: str) -> _Pauses:
    if stalls.only not in ("", stream):
        chance = 0.0
    return _Pauses(chance, stalls.burst, f"{case} {stream} {stalls}")


class Source:
    """Offers queued words; once offered, a word stays until it is taken."""

    def __init__(self, dut: Any, port: str, pauses: _Pauses) -> None:
        self._valid = getattr(dut, f"{port}_valid_i")
        self._ready = getattr(dut, f"{port}_ready_o")
        self._data = getattr(dut, f"{port}_data_i")
        self._pauses = pauses
        self._offering = False
        self._queue: deque[int] = deque()

    def put(self, words: Iterable[int]) -> None:
        """Queue words."""
        self._queue.extend(words)

    @property
    def waiting(self) -> int:
        """Queued words not yet taken."""
        return len(self._queue)

    def empty(self) -> bool:
        """True when every queued word has been taken."""
        return not self._queue

    def clear(self) -> None:
        """Drop everything, as a reset does."""
        self._queue.clear()
        self._offering = False
        self._valid.value = 0

    def clock(self) -> None:
        """One rising edge: see whether the word was taken, decide about the next one."""
        if self._offering and self._ready.value:
            self._queue.popleft()
            self._offering = False
        if not self._offering and self._queue and not self._pauses():
            self._offering = True
            self._data.value = self._queue[0]
        self._valid.value = int(self._offering)


class Sink:
    """Takes words and keeps them with the clock in which each came."""

    def __init__(self, dut: Any, port: str, pauses: _Pauses) -> None:
        self._valid = getattr(dut, f"{port}_valid_o")
        self._ready = getattr(dut, f"{port}_ready_i")
        self._data = getattr(dut, f"{port}_data_o")
        self._pauses = pauses
        self._taking = False
        self._words: deque[int] = deque()
        self.clocks: list[int] = []

    def empty(self) -> bool:
        """True when no word is left to be looked at."""
        return not self._words

    def __len__(self) -> int:
        return len(self._words)

    def take(self, count: int) -> list[int]:
        """The oldest ``count`` words."""
        return [self._words.popleft() for _ in range(count)]

    def clear(self) -> None:
        """Drop everything, as a reset does."""
        self._words.clear()
        self.clocks.clear()
        self._taking = False
        self._ready.value = 0

    def clock(self, now: int) -> None:
        """One rising edge: keep the word that crossed, decide about the next one."""
        if self._taking and self._valid.value:
            self._words.append(int(self._data.value))
            self.clocks.append(now)
        self._taking = not self._pauses()
        self._ready.value = int(self._taking)


class Bench:
    """Owns clock, reset, sources and sinks of one unit instance in the bench's top.

    ``case`` is the instance's prefix in the top; ``seed`` makes all pauses.
    """

    def __init__(
        self,
        dut: Any,
        case: str,
        stalls: Stalls,
        sources: Iterable[str] = ("s",),
        sinks: Iterable[str] = ("m",),
    ) -> None:
        self._dut = dut
        self._now = 0
        self.sources = {
            name: Source(dut, f"{case}_{name}", _pauses(stalls, stalls.source, case, name))
            for name in sources
        }
        self.sinks = {
            name: Sink(dut, f"{case}_{name}", _pauses(stalls, stalls.sink, case, name)) for name in sinks
        }

    @property
    def source(self) -> Source:
        """The data source of a unit with one."""
        return self.sources["s"]

    @property
    def sink(self) -> Sink:
        """The sink of a unit with one."""
        return self.sinks["m"]

    async def start(self) -> None:
        """Start the clock and come out of reset."""
        Clock(self._dut.clk_i, _PERIOD_NS, unit="ns").start()
        await self.reset()

    async def reset(self) -> None:
        """Hold reset for three clocks; queued and received words are gone."""
        for stream in (*self.sources.values(), *self.sinks.values()):
            stream.clear()
        self._dut.rst_ni.value = 0
        for _ in range(3):
            await RisingEdge(self._dut.clk_i)
        self._dut.rst_ni.value = 1
        await RisingEdge(self._dut.clk_i)

    async def step(self) -> None:
        """One clock."""
        await RisingEdge(self._dut.clk_i)
        self._now += 1
        for source in self.sources.values():
            source.clock()
        for sink in self.sinks.values():
            sink.clock(self._now)

    async def receive(self, count: int, limit: int, sink: str = "m") -> list[int]:
        """The next ``count`` words; fails when they have not come after ``limit`` clocks."""
        target = self.sinks[sink]
        for _ in range(limit):
            if len(target) >= count:
                return target.take(count)
            await self.step()
        raise AssertionError(f"deadlock: {len(target)} of {count} words after {limit} clocks")

    async def finish(self, idle: int = 20, limit: int = 5000) -> None:
        """Every queued word must be taken, and nothing more may come."""
        for _ in range(limit):
            if all(source.empty() for source in self.sources.values()):
                break
            await self.step()
        for _ in range(idle):
            await self.step()
        for name, source in self.sources.items():
            assert source.empty(), f"source {name} kept {source.waiting} words"
        for name, sink in self.sinks.items():
            assert sink.empty(), f"sink {name}: {len(sink)} words too many"
