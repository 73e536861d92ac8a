"""xh_fork, xh_add, xh_concat, xh_abs_sum, xh_multiply: what takes a network apart and puts it together
again, each of its streams stalled by itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import cocotb
import numpy as np

from rtl_tests.reference import abs_sum, add, join
from rtl_tests.runner import Case, Port, bits, run_bench
from rtl_tests.streams import STALLS, Bench, Stalls, named

PIXELS = 30


@dataclass(frozen=True)
class Work:
    """Words for each stream in, and those that must leave on each stream out."""

    taken: dict[str, list[int]]
    given: dict[str, list[int]]


@dataclass(frozen=True)
class Unit:
    """A unit with its parameters: ``size`` are numbers, ``many`` those of its inputs.

    ``clocks``: from the last word of a result to the result.
    """

    module: str
    size: Mapping[str, int] = field(hash=False)
    many: Mapping[str, tuple[int, ...]] = field(default_factory=dict, hash=False)
    clocks: int = 0

    def __str__(self) -> str:
        sizes = "".join(f"{k[0]}{v}" for k, v in self.size.items())
        rows = "".join("_" + k[-1] + "_".join(map(str, v)) for k, v in self.many.items())
        return f"{self.module}_{sizes}{rows}".replace("-", "m").replace("_", "").lower()

    @property
    def inputs(self) -> int:
        return len(next(iter(self.many.values()), (0,)))

    @property
    def sources(self) -> tuple[Port, ...]:
        size, many = self.size, self.many
        if self.module == "fork":
            return (Port("s", size["width"], True),)
        if self.module == "add":
            words = [size["lanes"] * b for b in many["in_bits"]]
            return tuple(Port(f"s{i}", w, True, of="s") for i, w in enumerate(words))
        if self.module == "concat":
            return tuple(Port(f"s{i}", size["width"], True, of="s") for i in range(self.inputs))
        data = Port("s", size["lanes"] * size["in_bits"], True)
        return (data,) if self.module == "abs_sum" else (data, Port("f", size["factor_bits"], True))

    @property
    def sinks(self) -> tuple[Port, ...]:
        size = self.size
        if self.module == "fork":
            return tuple(Port(f"m{i}", size["width"], False, of="m") for i in range(size["copies"]))
        if self.module == "concat":
            return (Port("m", size["width"], False),)
        lanes = 1 if self.module == "abs_sum" else size["lanes"]
        return (Port("m", lanes * size["out_bits"], False),)

    @property
    def parameters(self) -> dict[str, str]:
        found = {name.upper(): str(value) for name, value in self.size.items()}
        for name, values in self.many.items():
            if self.module == "concat":
                width = 16
            else:
                width = 8 if name in ("in_bits", "shifts") else 1
            found[name.upper()] = bits(join(values, width), width * len(values))
        if self.module == "add":
            found["IN_WIDTH"] = str(self.size["lanes"] * sum(self.many["in_bits"]))
        if self.many:
            found["INPUTS"] = str(self.inputs)
        return found

    @property
    def words(self) -> int:
        """Words of a result on the stream with most of them."""
        return sum(self.many["words"]) if self.module == "concat" else self.size.get("words_per_pixel", 1)


def fork(width: int, copies: int) -> Unit:
    return Unit("fork", {"width": width, "copies": copies})


def adder(lanes: int, out_bits: int, *inputs: tuple[int, str, int]) -> Unit:
    """Inputs are (bits, kind, shift); kind is one of s (signed), u (unsigned), b (bipolar)."""
    widths, kinds, shifts = zip(*inputs, strict=True)
    rows = {
        "in_bits": widths,
        "in_signed": tuple(int(k == "s") for k in kinds),
        "in_bipolar": tuple(int(k == "b") for k in kinds),
        "shifts": shifts,
    }
    return Unit("add", {"lanes": lanes, "out_bits": out_bits}, rows, 1)


def concat(width: int, *words: int) -> Unit:
    return Unit("concat", {"width": width}, {"words": words})


def magnitudes(lanes: int, in_bits: int, words: int, last: int, out_bits: int) -> Unit:
    names = ("lanes", "in_bits", "words_per_pixel", "last_lanes", "out_bits")
    return Unit("abs_sum", dict(zip(names, (lanes, in_bits, words, last, out_bits), strict=True)), {}, 2)


def multiplier(lanes: int, in_bits: int, factor_bits: int, words: int, out_bits: int) -> Unit:
    names = ("lanes", "in_bits", "factor_bits", "words_per_pixel", "out_bits")
    sizes = (lanes, in_bits, factor_bits, words, out_bits)
    return Unit("multiply", dict(zip(names, sizes, strict=True)), {}, 3)


UNITS = (
    fork(1, 1),
    fork(8, 2),
    fork(13, 5),
    adder(1, 2, (1, "u", 0), (1, "u", 0)),
    adder(4, 9, (8, "s", 0), (8, "s", 0)),
    adder(3, 16, (8, "s", 3), (5, "u", 0)),
    adder(5, 6, (1, "b", 2), (4, "s", 1)),
    adder(2, 3, (1, "b", 0), (1, "b", 0)),
    adder(2, 32, (12, "s", 0), (9, "s", 17), (7, "u", 1), (1, "b", 20)),
    adder(2, 6, (8, "s", 0), (9, "u", 4), (1, "b", 9)),
    adder(3, 12, (9, "s", 2)),
    concat(8, 1, 1),
    concat(5, 3, 1),
    concat(16, 1, 4, 2),
    concat(3, 17, 16, 1, 9),
    concat(4, 5),
    magnitudes(1, 8, 1, 1, 8),
    magnitudes(4, 8, 2, 4, 12),
    magnitudes(4, 5, 3, 1, 8),
    magnitudes(7, 9, 1, 3, 16),
    magnitudes(3, 1, 5, 2, 8),
    magnitudes(16, 12, 4, 5, 32),
    magnitudes(5, 8, 3, 2, 6),
    multiplier(1, 8, 8, 1, 16),
    multiplier(4, 10, 8, 2, 18),
    multiplier(3, 16, 21, 5, 37),
    multiplier(2, 9, 12, 3, 32),
    multiplier(2, 9, 12, 4, 10),
    multiplier(5, 1, 1, 2, 2),
)


def _range(width: int, kind: str) -> tuple[int, int]:
    """Smallest and largest element, as bits where they are bipolar."""
    return (-(1 << (width - 1)), (1 << (width - 1)) - 1) if kind == "s" else (0, (1 << width) - 1)


def _draw(generator: np.random.Generator, width: int, kind: str, size: tuple[int, ...]) -> Any:
    """Random elements, all of the first at one end of the range, of the second at the other."""
    low, high = _range(width, kind)
    values = generator.integers(low, high, size, endpoint=True)
    values[0], values[1] = low, high
    return values


def _words(values: Any, width: int) -> list[int]:
    return [join(list(word), width) for word in values.reshape(-1, values.shape[-1])]


def _work(unit: Unit, seed: str) -> Work:
    generator = np.random.default_rng(list(f"{unit} {seed}".encode()))
    size, many = unit.size, unit.many
    if unit.module == "fork":
        words = [int(w) for w in generator.integers(0, 1 << size["width"], 3 * PIXELS)]
        return Work({"s": words}, {port.name: words for port in unit.sinks})
    if unit.module == "concat":
        inputs = [
            generator.integers(0, 1 << size["width"], (PIXELS, count)).tolist() for count in many["words"]
        ]
        joined = [word for pixel in zip(*inputs, strict=True) for part in pixel for word in part]
        return Work({f"s{i}": sum(words, []) for i, words in enumerate(inputs)}, {"m": joined})
    if unit.module == "add":
        kinds = [
            "b" if b else "s" if s else "u"
            for b, s in zip(many["in_bipolar"], many["in_signed"], strict=True)
        ]
        values = [
            _draw(generator, width, kind, (2 * PIXELS, size["lanes"]))
            for width, kind in zip(many["in_bits"], kinds, strict=True)
        ]
        total = add(values, [kind == "b" for kind in kinds], many["shifts"])
        taken = {f"s{i}": _words(v, many["in_bits"][i]) for i, v in enumerate(values)}
        return Work(taken, {"m": _words(total, size["out_bits"])})
    elements = _draw(generator, size["in_bits"], "s", (PIXELS, size["words_per_pixel"], size["lanes"]))
    taken = {"s": _words(elements, size["in_bits"])}
    if unit.module == "abs_sum":
        totals = abs_sum(elements, size["last_lanes"])
        return Work(taken, {"m": _words(totals[:, None], size["out_bits"])})
    factors = _draw(generator, size["factor_bits"], "s", (PIXELS, 1))
    taken["f"] = _words(factors, size["factor_bits"])
    return Work(taken, {"m": _words(elements * factors[:, :, None], size["out_bits"])})


def _stalls(unit: Unit) -> tuple[Stalls, ...]:
    """All together, and each stream by itself where there are several."""
    names = [port.name for port in (*unit.sources, *unit.sinks)]
    alone = [Stalls(f"only_{name}", 0.7, 0.7, 4, only=name) for name in names]
    return (*STALLS, Stalls("most", 0.7, 0.7, 2), *(alone if len(names) > 2 else ()))


def _bench(dut: Any, unit: Unit, stalls: Stalls) -> Bench:
    sources, sinks = ([port.name for port in ports] for ports in (unit.sources, unit.sinks))
    return Bench(dut, str(unit), stalls, sources, sinks)


def _put(bench: Bench, work: Work) -> None:
    for name, words in work.taken.items():
        bench.sources[name].put(words)


@cocotb.test()
@cocotb.parametrize(unit=named(UNITS))
async def words(dut: Any, unit: Unit) -> None:
    """Words against NumPy under every pattern of stalls, before and after a reset inside a pixel."""
    for stalls in _stalls(unit):
        bench = _bench(dut, unit, stalls)
        await bench.start()
        for seed in ("first", "second"):
            work = _work(unit, f"{stalls} {seed}")
            _put(bench, work)
            limit = 500 + 40 * max(map(len, (*work.taken.values(), *work.given.values())))
            for name, given in work.given.items():
                assert await bench.receive(len(given), limit, name) == given
            await bench.finish()
            _put(bench, work)
            for _ in range(7 * unit.words + unit.words // 2 + 2):
                await bench.step()
            await bench.reset()


@cocotb.test()
@cocotb.parametrize(unit=named(UNITS))
async def rate(dut: Any, unit: Unit) -> None:
    """A word in every clock, and the stages that the page on the unit names."""
    bench = _bench(dut, unit, STALLS[0])
    await bench.start()
    work = _work(unit, "rate")
    _put(bench, work)
    most = max(map(len, (*work.taken.values(), *work.given.values())))
    for name, given in work.given.items():
        assert await bench.receive(len(given), 50 + 2 * most, name) == given
    each = unit.words if unit.module == "abs_sum" else 1
    for sink in bench.sinks.values():
        assert sink.clocks[-1] - sink.clocks[0] == most - each
        assert sink.clocks[0] == 1 + each + unit.clocks


@cocotb.test()
@cocotb.parametrize(unit=named([unit for unit in UNITS if len(unit.sinks) > 1]))
async def each_target_takes_its_word_alone(dut: Any, unit: Unit) -> None:
    """A target does not wait for another to be offered a word; no target gets one twice."""
    closed = unit.sinks[-1].name
    bench = _bench(dut, unit, Stalls("closed", 1.0, 1.0, only=closed))
    await bench.start()
    words = _work(unit, "closed").taken["s"]
    bench.source.put(words)
    for _ in range(20):
        await bench.step()
    assert bench.source.waiting == len(words)
    for name, sink in bench.sinks.items():
        assert (sink.take(len(sink)) if len(sink) else []) == ([] if name == closed else words[:1])


@cocotb.test()
@cocotb.parametrize(unit=named([unit for unit in UNITS if len(unit.sources) > 1]))
async def nothing_leaves_without_every_input(dut: Any, unit: Unit) -> None:
    """What needs a word of each stream takes none of one while another has none."""
    if unit.module == "concat":
        return
    bench = _bench(dut, unit, STALLS[0])
    await bench.start()
    work = _work(unit, "missing")
    missing = unit.sources[-1].name
    for name, queued in work.taken.items():
        if name != missing:
            bench.sources[name].put(queued)
    for _ in range(20):
        await bench.step()
    assert bench.sink.empty()
    for name, source in bench.sources.items():
        assert source.waiting == (0 if name == missing else len(work.taken[name]))


def cases() -> list[Case]:
    """Every instance of the bench."""
    return [
        Case(str(unit), f"xh_{unit.module}", unit.parameters, (*unit.sources, *unit.sinks)) for unit in UNITS
    ]


def test_branches() -> None:
    run_bench("branches", __name__, cases())
