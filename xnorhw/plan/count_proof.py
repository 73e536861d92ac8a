"""Proves of a netlist of LUTs that it counts the lanes in which activation and weight agree.

The netlist is cut into cells.  A cell's equation, weighted sum of inputs = weighted sum of outputs, is
tried on every value of its inputs, from the tables of its LUTs alone.  What leaves a cell enters one
other, so the equations add up to: lanes that agree = weighted sum of the netlist's outputs.  Three kinds
of cells come out: a LUT by itself (a full adder); a LUT and its place in a carry chain, whose second
output goes round the chain; and several places whose LUTs read bits together.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import product

from xnorhw.plan.lut_netlist import ONE, ZERO, Kind, Lut, Net, Netlist, NetlistError, Place, Register

__all__ = ["prove"]


@dataclass(frozen=True)
class _Role:
    """What a net is worth: a lane's activation or weight, a bit of the address (``kind``, ``index``), or a
    summand of ``weight``; ``stage`` registers lie before it."""

    kind: Kind
    index: int
    weight: int
    stage: int


@dataclass(frozen=True)
class _Shape:
    """A cell with its nets numbered: 0, 1, then the inputs, a letter of ``kinds`` each, then all else.

    ``luts``: table, whether it is split, pins, the two outputs; ``places``: select, data, carry, output, next
    carry; ``outputs``: net and weight in units of the inputs' weight, a sum modulo ``modulus``.
    """

    kinds: str
    luts: tuple[tuple[int, bool, tuple[int, ...], int, int], ...]
    places: tuple[tuple[int, int, int, int, int], ...]
    outputs: tuple[tuple[int, int], ...]
    modulus: int


def prove(netlist: Netlist) -> tuple[tuple[int, ...], ...]:
    """Check that the outputs are the number of lanes that agree; return the leaves' weights, [address][lane].

    Without leaves the result is empty.  Every cell's equation is tried on every value of its inputs;
    every net must have one source and one use, all inputs of a cell one weight and one clock.
    Raises NetlistError naming the net or the cell at which that does not hold.
    """
    return _Proof(netlist).run()


class _Proof:
    def __init__(self, netlist: Netlist) -> None:
        self.netlist = netlist
        self.bits = len(netlist.outputs)
        self.roles: dict[Net, _Role] = {}
        self.used: set[Net] = set()
        self.known = [[-1] * netlist.lanes for _ in range(1 << netlist.address_bits)] if netlist.leaf else []

    def run(self) -> tuple[tuple[int, ...], ...]:
        net = self.netlist
        if net.lanes >= 1 << self.bits:
            raise NetlistError(f"{self.bits} bits cannot count {net.lanes} lanes")
        for lane in range(net.lanes):
            self._give(Net(Kind.ACTIVATION, lane), _Role(Kind.ACTIVATION, lane, 1, 0))
            if not net.leaf:
                self._give(Net(Kind.WEIGHT, lane), _Role(Kind.WEIGHT, lane, 1, 0))
        for bit in range(net.address_bits):
            self._give(Net(Kind.ADDRESS, bit), _Role(Kind.ADDRESS, bit, 0, 0))
        self._work()
        for b, out in enumerate(net.outputs):
            role = self._take(out, f"output {b}")
            if role.kind is not Kind.WIRE or role.weight != 1 << b:
                raise NetlistError(f"output {b}, {out}, has the weight {role.weight}")
            if role.stage != net.stages:
                raise NetlistError(f"output {b} comes after {role.stage} registers, not {net.stages}")
        for unused in self.roles.keys() - self.used:
            if self.roles[unused].kind is not Kind.ADDRESS:
                raise NetlistError(f"{unused} is used by nothing")
        return tuple(tuple(row) for row in self.known)

    def _give(self, net: Net, role: _Role) -> None:
        if net in self.roles:
            raise NetlistError(f"{net} has two sources")
        self.roles[net] = role

    def _take(self, net: Net, where: str) -> _Role:
        if net not in self.roles:
            raise NetlistError(f"{where} reads {net}, which nothing drives")
        role = self.roles[net]
        if role.kind is not Kind.ADDRESS:
            if net in self.used:
                raise NetlistError(f"{net} is used twice, by {where} as well")
            self.used.add(net)
        return role

    def _work(self) -> None:
        """Cells and registers in the order of what they need."""
        waiting: list[tuple[frozenset[Net], _Cell | Register]] = []
        waiting += [(cell.inputs, cell) for cell in _cells(self.netlist)]
        waiting += [(frozenset((r.given,)), r) for r in self.netlist.registers]
        while waiting:
            later = []
            for needs, item in waiting:
                if needs - self.roles.keys():
                    later.append((needs, item))
                elif isinstance(item, Register):
                    role = self._take(item.given, "a register")
                    self._give(item.held, replace(role, stage=role.stage + 1))
                else:
                    self._cell(item)
            if len(later) == len(waiting):
                lost = min((n for needs, _ in later for n in needs - self.roles.keys()), key=str)
                raise NetlistError(f"nothing drives {lost}, or it depends on itself")
            waiting = later

    def _cell(self, cell: _Cell) -> None:
        order = sorted(
            cell.inputs, key=lambda n: (_ORDER.index(self.roles[n].kind), self.roles[n].index, str(n))
        )
        roles = [self._take(n, f"the cell of {cell}") for n in order]
        lanes = [r.index for r in roles if r.kind is Kind.ACTIVATION]
        if not self.netlist.leaf and lanes != [r.index for r in roles if r.kind is Kind.WEIGHT]:
            raise NetlistError(f"the cell of {cell} mixes the activations and the weights of different lanes")
        if len({r.stage for r in roles}) > 1:
            raise NetlistError(f"the inputs of the cell of {cell} are of different clocks")
        weights = {r.weight for r in roles if r.kind in (Kind.WIRE, Kind.ACTIVATION)}
        if len(weights) != 1:
            raise NetlistError(f"the inputs of the cell of {cell} have the weights {sorted(weights)}")
        (weight,), stage = weights, roles[0].stage
        outputs = cell.outputs()
        for net, times in outputs:
            self._give(net, _Role(Kind.WIRE, 0, weight * times, stage))
        # what a cell drops is 0, or lies above the count
        modulus = max(1, (1 << self.bits) // weight)
        shape = _shape(cell, order, "".join(r.kind.value for r in roles), tuple(outputs), modulus)
        try:
            found = _solve(shape, self.netlist.leaf)
        except NetlistError as error:
            raise NetlistError(f"the cell of {cell}: {error}") from None
        for address, row in enumerate(found):
            for lane, bit in zip(lanes, row, strict=True):
                # a cell without all bits of the address has one weight for several
                for k in self._addresses(roles, address):
                    self.known[k][lane] = bit

    def _addresses(self, roles: list[_Role], value: int) -> list[int]:
        """The addresses of which the cell sees those bits that make ``value``."""
        seen = [r.index for r in roles if r.kind is Kind.ADDRESS]
        return [
            k
            for k in range(len(self.known))
            if all((k >> b & 1) == (value >> i & 1) for i, b in enumerate(seen))
        ]


_ORDER = (Kind.ACTIVATION, Kind.WEIGHT, Kind.ADDRESS, Kind.WIRE)


@dataclass(frozen=True)
class _Cell:
    """What has an equation of its own: LUTs, and the places of the carry chain (number, place, carry in)."""

    luts: tuple[Lut, ...]
    places: tuple[tuple[int, Place, Net], ...] = ()
    last: bool = True  # nothing follows in the chain

    def __str__(self) -> str:
        outs = [*(lut.o6 or lut.o5 for lut in self.luts), *(place.out for _, place, _ in self.places)]
        return ", ".join(map(str, outs[-1:]))

    @property
    def inputs(self) -> frozenset[Net]:
        """The nets from outside."""
        made = {out for lut in self.luts for out in (lut.o6, lut.o5)}
        made |= {Net(Kind.CARRY, number) for number, _, _ in self.places}
        read = {pin for lut in self.luts for pin in lut.pins}
        read |= {n for _, place, carry in self.places for n in (place.select, place.data, carry)}
        return frozenset(read - made - {ZERO, ONE})

    def outputs(self) -> list[tuple[Net, int]]:
        """What leaves, and its weight in units of the inputs'."""
        result: list[tuple[Net | None, int]] = []
        if self.places:
            inside = {n for _, place, _ in self.places for n in (place.select, place.data)}
            for i, (_, place, _) in enumerate(self.places):
                result.append((place.out, 1 << i))
                result += [
                    (lut.o5, 2 << i) for lut in self.luts if lut.o6 == place.select and lut.o5 not in inside
                ]
            if not self.last:
                result.append((Net(Kind.CARRY, self.places[-1][0]), 1 << len(self.places)))
        else:
            (lut,) = self.luts
            result = [(lut.o6, 1), (lut.o5, 2)]
        return [(net, times) for net, times in result if net is not None]


def _cells(netlist: Netlist) -> list[_Cell]:
    """The LUTs and places as cells: places whose LUTs read a net together are one."""
    driver = {lut.o6: lut for lut in netlist.luts if lut.o6 is not None}
    cells: list[_Cell] = []
    placed: set[Lut] = set()
    group: list[tuple[int, Place, Net]] = []
    members: list[Lut] = []
    for i, place in enumerate(netlist.places):
        lut = driver.get(place.select)
        if lut in placed:
            raise NetlistError(f"{place.select} selects two carries")
        own = [lut] if lut is not None else []
        placed |= set(own)
        group.append((i, place, netlist.carry_into(i)))
        members += own
        following = netlist.places[i + 1] if i + 1 < len(netlist.places) else None
        goes_on = following is not None and following.carry is None
        beside = driver.get(following.select) if goes_on and following is not None else None
        shared = {pin for lut in members for pin in lut.pins if pin.kind is Kind.WIRE}
        if beside is None or not shared & set(beside.pins):
            cells.append(_Cell(tuple(members), tuple(group), not goes_on))
            group, members = [], []
    return cells + [_Cell((lut,)) for lut in netlist.luts if lut not in placed]


def _shape(
    cell: _Cell, order: list[Net], kinds: str, outputs: tuple[tuple[Net, int], ...], modulus: int
) -> _Shape:
    number = {ZERO: 0, ONE: 1, **{net: i + 2 for i, net in enumerate(order)}}

    def of(net: Net | None) -> int:
        return -1 if net is None else number.setdefault(net, len(number))

    luts = tuple(
        (lut.table, lut.split, tuple(map(of, lut.pins)), of(lut.o6), of(lut.o5)) for lut in cell.luts
    )
    known = {0, 1, *range(2, len(order) + 2)}
    if any(not known.issuperset(pins) for _, _, pins, _, _ in luts):
        raise NetlistError(f"{cell} depends on itself")
    known |= {out for *_, o6, o5 in luts for out in (o6, o5)}
    places = tuple(
        (of(place.select), of(place.data), of(carry), of(place.out), of(Net(Kind.CARRY, i)))
        for i, place, carry in cell.places
    )
    for select, data, carry, _, following in places:
        if not known.issuperset((select, data, carry)):
            raise NetlistError(f"{cell} depends on itself")
        known.add(following)
    return _Shape(kinds, luts, places, tuple((of(net), times) for net, times in outputs), modulus)


@lru_cache(maxsize=65536)
def _solve(shape: _Shape, leaf: bool) -> tuple[tuple[int, ...], ...]:
    """The weights of the cell's lanes for each value of its address, () for lanes whose weights are nets."""
    lanes, address = shape.kinds.count("a"), shape.kinds.count("k")
    if not leaf:
        if not all(_holds(shape, values, ()) for values in product((0, 1), repeat=len(shape.kinds))):
            raise NetlistError("its outputs are not the sum of its inputs")
        return ()
    bits = len(shape.kinds) - lanes - address
    found = []
    for k in product((0, 1), repeat=address):
        # the address's lowest bit varies fastest
        at = tuple(reversed(k))
        fitting = [
            weights
            for weights in product((0, 1), repeat=lanes)
            if all(
                _holds(shape, (*acts, *at, *rest), weights)
                for acts in product((0, 1), repeat=lanes)
                for rest in product((0, 1), repeat=bits)
            )
        ]
        if len(fitting) != 1:
            raise NetlistError("its outputs are the sum of its inputs with no weights")
        found.append(fitting[0])
    return tuple(found)


def _holds(shape: _Shape, inputs: tuple[int, ...], leaves: tuple[int, ...]) -> bool:
    """Whether the equation holds where the cell's inputs are these."""
    value = dict(enumerate((0, 1, *inputs)))
    for table, split, pins, o6, o5 in shape.luts:
        index = sum(value[pin] << i for i, pin in enumerate(pins))
        value[o6] = table >> (index | (32 if split else 0)) & 1
        value[o5] = table >> (index & 31) & 1
    for select, data, carry, out, following in shape.places:
        value[out] = value[select] ^ value[carry]
        value[following] = value[carry] if value[select] else value[data]
    acts = inputs[: shape.kinds.count("a")]
    weights = leaves or inputs[len(acts) : 2 * len(acts)]
    total = sum(a == w for a, w in zip(acts, weights, strict=True))
    total += sum(bit for bit, kind in zip(inputs, shape.kinds, strict=True) if kind in "nt")
    return (total - sum(value[net] * times for net, times in shape.outputs)) % shape.modulus == 0
