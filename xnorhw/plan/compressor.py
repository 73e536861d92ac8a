"""Draws the count of the lanes in which activation and weight agree, in 6-input LUTs with two outputs.

A LUT is a full adder, x + y + z = sum + 2 carry, and has inputs left: two summands may be lanes, each the
XNOR of two nets, or all three *leaves*, lanes whose weights are in the LUT's table (its other inputs are
the weights' address).  A full adder takes one bit away; what a count costs is

    lanes - bits of the count + half adders,

and a chain of lanes begins with a half adder.  Two structures take away more:

- a *seven*: x0 + ... + x5 + c = s + 2 s' + 4 s'', in two LUTs of a carry chain and one by which the
  carry leaves it: four bits in three LUTs;
- the last addition, in a carry chain that gives the result: a place takes three bits of its weight,
  x + y + z + m + carry = s + 2 m' + 2 carry', with m' the next place's m: two bits a LUT.
"""

from __future__ import annotations

import enum
from bisect import insort
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import combinations_with_replacement, pairwise, product

from xnorhw.plan.lut_netlist import ZERO, Kind, Lut, Net, Netlist, Place, Register

__all__ = ["CHAIN", "count_levels", "count_luts", "count_netlist", "leaf_netlist"]

CHAIN = 8
"""Full adders that pass their sum on one behind the other: more save chain starts, and take longer."""

_ROWS = 3  # bits of one weight that a place of the last addition takes
_SEVEN = 7


def count_netlist(
    lanes: int, *, stages: int = 0, leaf: Sequence[Sequence[int]] | None = None, chain: int = CHAIN
) -> Netlist:
    """The netlist with the fewest LUTs that these structures give for ``lanes`` lanes.

    ``stages`` registers divide it.  ``leaf``: the lanes' weights, [address][lane] of 0 and 1, at most four
    addresses; then the address, (depth - 1).bit_length() bits, is an input and no weights are.
    Raises ValueError for sizes that cannot be.
    """
    if leaf is not None and not (1 <= len(leaf) <= 4 and all(len(row) == lanes for row in leaf)):
        raise ValueError("leaves hold one to four weights a lane")
    if lanes < 1 or stages < 0 or chain < 1:
        raise ValueError(f"no count of {lanes} lanes in chains of {chain} with {stages} registers")
    drawing = _best(lanes, None if leaf is None else (len(leaf) - 1).bit_length(), chain)
    return drawing.netlist(stages, leaf)


@lru_cache(maxsize=4096)
def count_luts(lanes: int, *, address_bits: int | None = None, chain: int = CHAIN) -> int:
    """LUTs of ``count_netlist``; ``address_bits``: those of leaves, None where weights are inputs."""
    leaf = address_bits is not None
    return min(_tally(lanes, leaf, *way) for way in _ways(lanes, leaf, chain))


@lru_cache(maxsize=4096)
def count_levels(lanes: int, *, address_bits: int | None = None, chain: int = CHAIN) -> int:
    """LUTs one behind the other in ``count_netlist``, carry chains as one more; registers divide them."""
    return _best(lanes, address_bits, chain).depth + 1


@lru_cache(maxsize=256)
def leaf_netlist(lanes: int, depth: int, stages: int = 0) -> Netlist:
    """The netlist of leaves that hold ``depth`` weights a lane, all of them 1.

    ``Netlist.leaves`` are the LUTs whose tables other weights change; no register stands before them.
    """
    return count_netlist(lanes, stages=stages, leaf=((1,) * lanes,) * depth)


@lru_cache(maxsize=1024)
def _best(lanes: int, address_bits: int | None, chain: int) -> _Drawing:
    leaf = address_bits is not None
    fewest = count_luts(lanes, address_bits=address_bits, chain=chain)
    ways = [way for way in _ways(lanes, leaf, chain) if _tally(lanes, leaf, *way) == fewest]
    return min((_draw(_Drawing(lanes, address_bits), *way) for way in ways), key=lambda d: d.depth)


def _ways(lanes: int, leaf: bool, chain: int) -> list[tuple[int, int, int]]:
    """What is tried: chains, rows of the last addition, from how many bits on sevens are taken (0: never)."""
    return list(product(_chain_counts(lanes, leaf, chain), (1, _ROWS), (0, _SEVEN, _SEVEN + 2)))


def _tally(lanes: int, leaf: bool, chains: int, rows: int, seven: int) -> int:
    """The LUTs that ``_draw`` draws, without drawing them."""
    bits = lanes.bit_length()
    pairs = lanes // 2 if chains else 0
    nets = [min(chains, pairs), pairs, *([0] * bits)]
    luts, lone, running = pairs, lanes - 2 * pairs, False
    for column in range(bits):
        most = rows + 1 if rows > 1 and all(n <= 1 for n in nets[:column]) else rows
        while nets[column] + lone > most or ((rows == 1 or leaf) and lone):
            carries = int(column + 1 < bits)
            if seven and column + 2 < bits and nets[column] >= seven and not lone:
                luts += 3
                nets[column] -= _SEVEN - 1
                nets[column + 1] += 1
                nets[column + 2] += 1
                continue
            taken = min(3, nets[column] + lone)
            raw = min(lone, taken)
            luts, lone = luts + 1, lone - raw
            nets[column] += 1 - (taken - raw)
            nets[column + 1] += carries if taken > 1 else 0
        running = running or nets[column] + lone != 1
        luts += int(running or lone > 0)
        nets[column], lone = nets[column] + lone, 0
    return luts


def _chain_counts(lanes: int, leaf: bool, chain: int) -> tuple[int, ...]:
    """Numbers of chains to try: leaves need none, for three of them are a full adder."""
    if leaf or lanes < 2:
        return (0,)
    least = -(-lanes // (2 * chain))
    return tuple(range(least, least + 3))


class _Function(enum.Enum):
    """A bit that a number of ones decides."""

    NOTHING = "nothing"
    ODD = "odd"
    TWO = "two or more, of three"
    ONE_PAIR = "two or three"
    TWO_PAIRS = "four or five"

    def of(self, count: int) -> int:
        """The bit for ``count`` ones."""
        pairs = count >> 1
        if self is _Function.ODD:
            return count & 1
        if self is _Function.TWO or self is _Function.ONE_PAIR:
            return int(pairs == 1)
        return int(self is _Function.TWO_PAIRS and pairs == 2)


@dataclass(frozen=True)
class _Item:
    """A summand: a net that is there after ``level`` LUTs, or lane ``lane``."""

    level: int
    net: Net
    lane: int = -1


@dataclass(frozen=True)
class _Cell:
    """A LUT before it has a table: its functions of how many of ``items`` are 1, O6's with ``passed``."""

    items: tuple[_Item, ...]
    six: _Function
    five: _Function
    level: int
    o6: Net
    o5: Net | None
    passed: _Item | None = None


class _Drawing:
    """LUTs, places and bits not yet added, by weight."""

    def __init__(self, lanes: int, address_bits: int | None) -> None:
        self.lanes, self.address_bits = lanes, address_bits
        self.bits = lanes.bit_length()
        self.luts: list[_Cell] = []
        self.places: list[Place] = []
        self.wires = 0
        self.outputs: tuple[Net, ...] = ()
        items = [_Item(0, Net(Kind.ACTIVATION, lane), lane) for lane in range(lanes)]
        self.columns: list[list[_Item]] = [items, *([] for _ in range(self.bits))]

    @property
    def depth(self) -> int:
        return max(lut.level for lut in self.luts)

    def wire(self) -> Net:
        self.wires += 1
        return Net(Kind.WIRE, self.wires - 1)

    def put(self, column: int, level: int, net: Net) -> None:
        self.columns[column].append(_Item(level, net))

    def pins(self, items: Sequence[_Item]) -> tuple[Net, ...]:
        """The nets that a LUT of these summands reads."""
        lanes = [item.lane for item in items if item.lane >= 0]
        pins = [Net(Kind.ACTIVATION, lane) for lane in lanes]
        if self.address_bits is None:
            pins += [Net(Kind.WEIGHT, lane) for lane in lanes]
        elif lanes:
            pins += [Net(Kind.ADDRESS, b) for b in range(self.address_bits)]
        return (*pins, *(item.net for item in items if item.lane < 0))

    def lut(
        self,
        items: Sequence[_Item],
        six: _Function,
        five: _Function = _Function.NOTHING,
        level: int = 0,
        passed: _Item | None = None,
    ) -> _Cell:
        """A LUT; without ``level`` behind the latest of its inputs."""
        level = level or 1 + max(item.level for item in items)
        o5 = None if five is _Function.NOTHING else self.wire()
        self.luts.append(_Cell(tuple(items), six, five, level, self.wire(), o5, passed))
        return self.luts[-1]

    def add(self, column: int, items: Sequence[_Item]) -> None:
        """One full or half adder, or a lane's XNOR."""
        carries = column + 1 < self.bits and len(items) > 1
        lut = self.lut(items, _Function.ODD, _Function.TWO if carries else _Function.NOTHING)
        self.put(column, lut.level, lut.o6)
        if lut.o5 is not None:
            self.put(column + 1, lut.level, lut.o5)

    def seven(self, column: int, items: Sequence[_Item]) -> None:
        """Six bits and a carry in a chain; the carry leaves by a third place, whose LUT is 0."""
        carry, *six = items
        level = 1 + max(item.level for item in items)
        # O5, the parity of five, equals the sixth bit where the place's select, the parity of all, is 0
        parity = self.lut(six, _Function.ODD, _Function.ODD, level)
        pair = self.lut(six[:5], _Function.ONE_PAIR, _Function.TWO_PAIRS, level)
        nothing = self.lut((), _Function.NOTHING, level=level)
        for lut, start in ((parity, carry.net), (pair, None), (nothing, None)):
            self.places.append(Place(lut.o6, lut.o5 or ZERO, self.wire(), start))
        for i, place in enumerate(self.places[-3:]):
            self.put(column + i, level + 1, place.out)

    def netlist(self, stages: int, leaf: Sequence[Sequence[int]] | None) -> Netlist:
        """What was drawn, cut by registers so that the longest piece is short and few bits wait."""
        net = Netlist(
            lanes=self.lanes,
            leaf=leaf is not None,
            address_bits=self.address_bits or 0,
            stages=stages,
            luts=tuple(self._filled(cell, leaf) for cell in self.luts),
            places=tuple(self.places),
            registers=(),
            outputs=self.outputs,
        )
        if not stages:
            return net
        levels = [cell.level for cell in self.luts]
        leaves = [c.level for c in self.luts if leaf is not None and any(item.lane >= 0 for item in c.items)]
        first = max(leaves, default=1)
        cuts = list(combinations_with_replacement(range(first, self.depth + 1), stages))
        longest = {c: max(b - a for a, b in pairwise((0, *c, self.depth + 1))) for c in cuts}
        shortest = min(longest.values())
        divided = [_divided(net, levels, c) for c in cuts if longest[c] == shortest]
        return min(divided, key=lambda n: len(n.registers))

    def _filled(self, cell: _Cell, leaf: Sequence[Sequence[int]] | None) -> Lut:
        lanes = tuple(item.lane for item in cell.items if item.lane >= 0)
        nets = len(cell.items) - len(lanes)
        # beyond the last address stand the last address's weights
        rows = [leaf[min(k, len(leaf) - 1)] for k in range(1 << (self.address_bits or 0))] if leaf else []
        weights = tuple(tuple(row[lane] for lane in lanes) for row in rows) if lanes else ()
        table = _table(len(lanes), nets, cell.passed is not None, cell.six, cell.five, weights)
        pins = self.pins([*cell.items, *([cell.passed] if cell.passed else [])])
        return Lut(table, pins, cell.o6, cell.o5)


@lru_cache(maxsize=65536)
def _table(
    lanes: int, nets: int, passed: bool, six: _Function, five: _Function, weights: tuple[tuple[int, ...], ...]
) -> int:
    """The 64 bits of a LUT whose pins are lanes' activations, their weights or the leaves' address, nets, and
    what is passed on.  ``weights`` are the leaves', [address][lane]."""
    beside = (len(weights) - 1).bit_length() if weights else lanes
    pins = lanes + beside + nets + passed
    table = 0
    for index in range(1 << pins):
        bits = [index >> i & 1 for i in range(pins)]
        rest = bits[lanes + beside :]
        word = index >> lanes & ((1 << beside) - 1)
        row = weights[word] if weights else bits[lanes : lanes + beside]
        count = sum(a == w for a, w in zip(bits[:lanes], row, strict=True)) + sum(rest[:nets])
        if five is _Function.NOTHING or pins == 6:
            table |= six.of(count + sum(rest[nets:])) << index
        else:
            table |= six.of(count + sum(rest[nets:])) << (index + 32) | five.of(count) << index
    return table


def _divided(net: Netlist, levels: Sequence[int], cuts: Sequence[int]) -> Netlist:
    """``net`` with a register behind each LUT level in ``cuts``; what a later level reads waits."""
    wires = sum(lut.o5 is not None for lut in net.luts) + sum(lut.o6 is not None for lut in net.luts)
    wires += len(net.places)
    stage: dict[Net, int] = {}
    for lut, level in zip(net.luts, levels, strict=True):
        own = sum(cut < level for cut in cuts)
        stage |= {out: own for out in (lut.o6, lut.o5) if out is not None}
    of_place = [stage[place.select] for place in net.places]
    stage |= {
        place.out: own for place, own in zip(net.places, of_place, strict=True) if place.out is not None
    }
    held: dict[tuple[Net, int], Net] = {}
    registers: list[Register] = []

    def at(given: Net, when: int) -> Net:
        if given.kind is Kind.CONSTANT or stage.get(given, 0) == when:
            return given
        if (given, when) not in held:
            before = at(given, when - 1)
            held[given, when] = Net(Kind.WIRE, wires + len(registers))
            registers.append(Register(before, held[given, when]))
        return held[given, when]

    luts = []
    for lut, level in zip(net.luts, levels, strict=True):
        own = sum(cut < level for cut in cuts)
        luts.append(replace(lut, pins=tuple(at(pin, own) for pin in lut.pins)))
    places = [
        replace(place, data=at(place.data, own), carry=None if place.carry is None else at(place.carry, own))
        for place, own in zip(net.places, of_place, strict=True)
    ]
    outputs = tuple(at(out, net.stages) for out in net.outputs)
    return replace(net, luts=tuple(luts), places=tuple(places), registers=tuple(registers), outputs=outputs)


def _draw(drawing: _Drawing, chains: int, rows: int, seven: int) -> _Drawing:
    """All summands become one number: chains of lanes, adders column by column, the last addition."""
    _chains(drawing, chains)
    for column in range(drawing.bits):
        items = drawing.columns[column]
        items.sort(key=_level)
        # a chain's first place takes a fourth bit as its carry
        most = rows + 1 if rows > 1 and all(len(c) <= 1 for c in drawing.columns[:column]) else rows
        # the tables of leaves are filled in from outside: all stand in LUTs before the first register
        alone = rows == 1 or drawing.address_bits is not None
        while len(items) > most or (alone and any(item.lane >= 0 for item in items)):
            if seven and column + 2 < drawing.bits and len(items) >= seven and items[0].lane < 0:
                taken = items[:_SEVEN]
                drawing.seven(column, taken)
            else:
                taken = items[:3]
                drawing.add(column, taken)
            # what was added to this column stands last
            made = items.pop()
            del items[: len(taken)]
            insort(items, made, key=_level)
    _finish(drawing)
    return drawing


def _level(item: _Item) -> int:
    return item.level


def _chains(drawing: _Drawing, chains: int) -> None:
    """Lanes by two into chains of full adders; the first of each has no carry."""
    lanes = drawing.columns[0]
    pairs = len(lanes) // 2
    for c in range(chains):
        length = pairs * (c + 1) // chains - pairs * c // chains
        for i in range(length):
            two = [lanes.pop(0), lanes.pop(0)]
            # the sum of the link before was put last
            drawing.add(0, [*two, lanes.pop()] if i else two)


def _finish(drawing: _Drawing) -> None:
    """The last addition: a wire where one bit is left, else a place of the carry chain."""
    outputs: list[Net] = []
    level = 1 + max((item.level for column in drawing.columns for item in column), default=0)
    passed: _Item | None = None
    running = False
    for column in range(drawing.bits):
        items = drawing.columns[column]
        if not running and len(items) == 1:
            if items[0].lane >= 0:
                drawing.add(column, [items.pop()])
            outputs.append(items[0].net)
            continue
        carry = None if running else ZERO
        if len(items) > _ROWS:
            latest = max((item for item in items if item.lane < 0), key=lambda item: item.level)
            items.remove(latest)
            carry = latest.net
        on = column + 1 < drawing.bits and len(items) > 1
        lut = drawing.lut(items, _Function.ODD, _Function.TWO if on else _Function.NOTHING, level, passed)
        outputs.append(drawing.wire())
        drawing.places.append(Place(lut.o6, passed.net if passed else ZERO, outputs[-1], carry))
        passed = None if lut.o5 is None else _Item(level, lut.o5)
        running = True
    drawing.outputs = tuple(outputs)
