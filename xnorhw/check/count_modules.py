"""Reads the emitted modules of LUTs that count back into netlists, and proves each of them.

Only the text of the SystemVerilog is looked at: what a synthesiser reads is what is proved.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from xnorhw.emit.popcount import CHOOSER, counts_of, files, module_name
from xnorhw.emit.store import StoredBuild
from xnorhw.ir.errors import VerifyError
from xnorhw.plan.count_proof import prove
from xnorhw.plan.lut_netlist import ONE, ZERO, Kind, Lut, Net, Netlist, NetlistError, Place, Register

__all__ = ["check_counts", "prove_count", "read_module"]

_REMEDY = "Build again with xnorhw build"

_HEADER = re.compile(
    r"module (?P<name>\w+)"
    r"(?: #\( parameter logic \[\d+:0\] LEAVES = '0 \))?"
    r" \( input logic clk_i, input logic en_i, input logic \[(?P<top>\d+):0\] activation_i,"
    r" input logic \[(?P<side_top>\d+):0\] (?P<side>weight_i|word_i),"
    r" output logic \[(?P<count>\d+):0\] count_o \)"
)
_LUT = re.compile(
    r"LUT6_2 #\(\.INIT\((?:64'h(?P<init>[0-9A-F]{16})|LEAVES\[(?P<leaf>\d+)\+:64\])\)\) \w+"
    r" \(\.O6\((?P<o6>\w+)\), \.O5\((?P<o5>\w+)\)"
    + "".join(rf", \.I{i}\((?P<i{i}>[^()]+)\)" for i in range(6))
    + r"\)"
)
_VECTORS = ", ".join(rf"\.{port}\({{(?P<{port}>[^{{}}]+)}}\)" for port in ("S", "DI", "O", "CO"))
_CARRY4 = re.compile(
    rf"CARRY4 \w+ \(\.CYINIT\((?P<first>[^()]+)\), \.CI\((?P<following>[^()]+)\), {_VECTORS}\)"
)
_CARRY8 = re.compile(
    r'CARRY8 #\(\.CARRY_TYPE\("SINGLE_CY8"\)\) \w+ \(\.CI\((?P<first>[^()]+)\), \.CI_TOP\(1\'b0\), '
    rf"{_VECTORS}\)"
)
_HELD = re.compile(r"(?P<held>n\d+) <= (?P<given>\S+)")
_OUTPUTS = re.compile(r"assign count_o = {([^{}]+)}")
# what declares, and what gives names to outputs that nothing reads
_OTHERS = re.compile(r"logic \w+(?:, \w+)*|logic unused|assign unused = \^{[\w, ]+}")
_PORT = re.compile(r"(activation_i|weight_i|word_i)\[(\d+)\]")
_KINDS = {"activation_i": Kind.ACTIVATION, "weight_i": Kind.WEIGHT, "word_i": Kind.ADDRESS}


def read_module(text: str, leaves: Sequence[int] = ()) -> Netlist:
    """The netlist that a module's text describes; ``leaves`` are the INITs that its parameter LEAVES holds.

    Raises NetlistError for a statement that is none of those which the emitter prints.
    """
    return _Reader(leaves).read(text)


class _Reader:
    def __init__(self, leaves: Sequence[int]) -> None:
        self.leaves = leaves
        self.luts: list[Lut] = []
        self.places: list[Place] = []
        self.registers: list[Register] = []
        self.outputs: tuple[Net, ...] = ()
        self.last_carry = ""
        self.stages = 0

    def read(self, text: str) -> Netlist:
        header, *statements = _statements(text)
        found = _HEADER.fullmatch(header)
        if found is None:
            raise NetlistError("the module's header is not that of a count")
        for statement in statements:
            self._statement(statement)
        leaf = found["side"] == "word_i"
        if not leaf and found["side_top"] != found["top"]:
            raise NetlistError("there are not as many weights as activations")
        if len(self.outputs) != int(found["count"]) + 1:
            raise NetlistError("count_o has another width than what is assigned to it")
        read = {pin for lut in self.luts for pin in lut.pins} | {r.given for r in self.registers}
        net = Netlist(
            lanes=int(found["top"]) + 1,
            leaf=leaf,
            address_bits=sum(net.kind is Kind.ADDRESS for net in read),
            stages=_stage(self.outputs[0], self.luts, self.places, self.registers),
            luts=tuple(self.luts),
            places=tuple(self.places),
            registers=tuple(self.registers),
            outputs=self.outputs,
        )
        if leaf and len(net.leaves) != len(self.leaves):
            raise NetlistError(f"{len(net.leaves)} LUTs read lanes, and there are {len(self.leaves)} tables")
        return net

    def _statement(self, text: str) -> None:
        if found := _LUT.fullmatch(text):
            self._lut(found)
        elif found := _CARRY4.fullmatch(text) or _CARRY8.fullmatch(text):
            self._chain(found)
        elif found := _HELD.fullmatch(text):
            self.registers.append(Register(_net(found["given"]), _net(found["held"])))
        elif found := _OUTPUTS.fullmatch(text):
            self.outputs = tuple(_net(t) for t in reversed(found[1].split(", ")))
        elif not _OTHERS.fullmatch(text):
            raise NetlistError(f"a statement that no count has: {text[:60]}")

    def _lut(self, found: re.Match[str]) -> None:
        pins = [_net(found[f"i{i}"]) for i in range(6)]
        if found["init"]:
            table = int(found["init"], 16)
        else:
            place, past = divmod(int(found["leaf"]), 64)
            if past or place >= len(self.leaves):
                raise NetlistError(f"LEAVES has no table {found['leaf']}")
            table = self.leaves[place]
        o5 = None if found["o5"].startswith("u") else _net(found["o5"])
        # what reads 0 is no pin, and what reads 1 at the sixth makes two functions of five
        while pins and pins[-1] == ZERO:
            pins.pop()
        if len(pins) == 6 and pins[5] == ONE:
            pins.pop()
            while pins and pins[-1] == ZERO:
                pins.pop()
            if o5 is None:
                raise NetlistError(f"{found['o6']}: a LUT is split, and its second output unused")
        elif o5 is not None and len(pins) < 6:
            raise NetlistError(f"{found['o6']}: a LUT has two outputs and is not split")
        self.luts.append(Lut(table, tuple(pins), _net(found["o6"]), o5))

    def _chain(self, found: re.Match[str]) -> None:
        selects, datas, outs, carries = (
            list(reversed(found[port].split(", "))) for port in ("S", "DI", "O", "CO")
        )
        width = len(selects)
        groups = found.groupdict()
        first, following = groups["first"], groups.get("following", "1'b0")
        if groups.get("following") is None and first.startswith("t"):
            first, following = "1'b0", first
        if following != "1'b0" and (following != self.last_carry or first != "1'b0"):
            raise NetlistError(f"a carry chain goes on from {following}, which is not the one before")
        if {len(datas), len(outs), len(carries)} != {width}:
            raise NetlistError("the ports of a carry chain have different widths")
        if any(c.startswith("t") for c in carries[:-1]):
            raise NetlistError("a carry leaves a chain in the middle")
        self.last_carry = carries[-1] if carries[-1].startswith("t") else ""
        if self.last_carry and self.last_carry != f"t{len(self.places) + width - 1}":
            raise NetlistError(f"{self.last_carry} is not the carry of the place that it names")
        for i, (select, data, out) in enumerate(zip(selects, datas, outs, strict=True)):
            if out.startswith("u"):
                if any(o.startswith("n") for o in outs[i:]) or self.last_carry:
                    raise NetlistError("a carry chain has a gap")
                break
            carry = (_net(first) if following == "1'b0" else None) if i == 0 else None
            self.places.append(Place(_net(select), _net(data), _net(out), carry))


def _statements(text: str) -> Iterator[str]:
    """The statements without comments and the words around them, spaces made one."""
    text = re.sub(r"//[^\n]*", "", text)
    words = " ".join(text.split())
    found = re.fullmatch(r"`ifndef XH_COUNTONES (module .*?;)(.*) endmodule : (\w+) `endif", words)
    if found is None or not found[1].startswith(f"module {found[3]} "):
        raise NetlistError("the text is not one module for what XH_COUNTONES does not replace")
    yield found[1][:-1]
    body = found[2].replace("always_ff @(posedge clk_i) begin if (en_i) begin", "").replace("end end", "")
    for statement in body.split(";"):
        if statement.strip():
            yield statement.strip()


def _net(text: str) -> Net:
    if text in ("1'b0", "1'b1"):
        return ONE if text == "1'b1" else ZERO
    if found := _PORT.fullmatch(text):
        return Net(_KINDS[found[1]], int(found[2]))
    if found := re.fullmatch(r"n(\d+)", text):
        return Net(Kind.WIRE, int(found[1]))
    raise NetlistError(f"{text!r} is no net")


def _stage(output: Net, luts: Sequence[Lut], places: Sequence[Place], registers: Sequence[Register]) -> int:
    """Registers on one way from the inputs to ``output``; the proof sees to the other ways."""
    below = {out: lut.pins for lut in luts for out in (lut.o6, lut.o5) if out is not None}
    below |= {place.out: (place.select,) for place in places}
    held = {register.held: register.given for register in registers}
    stage, net, steps = 0, output, 0
    while net in below or net in held:
        if net in held:
            stage, net = stage + 1, held[net]
        else:
            net = next(iter(below[net]), ZERO)
        steps += 1
        if steps > len(below) + len(held):
            raise NetlistError(f"{output} depends on itself")
    return stage


def prove_count(
    text: str, lanes: int, stages: int, leaves: Sequence[int] = ()
) -> tuple[tuple[int, ...], ...]:
    """Prove that a module's text counts ``lanes`` lanes, ``stages`` clocks later; give the leaves' weights.

    Raises NetlistError with what is wrong.
    """
    net = read_module(text, leaves)
    if (net.lanes, net.stages) != (lanes, stages):
        raise NetlistError(
            f"it counts {net.lanes} lanes with {net.stages} registers, not {lanes} with {stages}"
        )
    return prove(net)


def check_counts(stored: StoredBuild) -> int:
    """Prove every count that the build's matrix units instantiate; how many there are.

    Raises VerifyError naming the file, and the net or statement at which it is no count.
    """
    counts = counts_of(stored.plan)
    for name, wanted in files(stored.plan).items():
        path = f"rtl/{name}"
        # the module that chooses has no netlist: it is the emitter's text or none
        if name == f"{CHOOSER}.sv" and _read(stored, path) != wanted:
            raise VerifyError("is not what the build had", module=path, remedy=_REMEDY)
    for lanes, stages in counts:
        path = f"rtl/{module_name(lanes, stages)}.sv"
        text = _read(stored, path)
        try:
            prove_count(text, lanes, stages)
        except NetlistError as error:
            raise VerifyError(
                f"is no count of agreeing lanes: {error}", module=path, remedy=_REMEDY
            ) from None
    return len(counts)


def _read(stored: StoredBuild, path: str) -> str:
    try:
        return (stored.folder / path).read_text(encoding="utf-8")
    except OSError as error:
        raise VerifyError(f"cannot be read: {error.strerror}", module=path, remedy=_REMEDY) from None
