"""Which full-precision layers run on the chip, and which the host keeps.

The host can keep layers in front of the chip's part and behind it alone: what stands between two
of the chip's layers is on the chip.  From there on outwards, layer by layer, a network's ends go to
the chip or stay.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection
from dataclasses import dataclass
from math import prod
from typing import Literal, get_args

from xnorhw.board import Board
from xnorhw.ir.errors import FitError, ModelError
from xnorhw.ir.int_graph import FullProduct, HostFull, IntGraph, IntNode, Product
from xnorhw.plan.folding import Folding
from xnorhw.plan.model import Plan
from xnorhw.plan.network import network_of
from xnorhw.plan.planner import Goal, make_plan
from xnorhw.plan.stages import full_layers_between

__all__ = ["HOST_MACS_A_SECOND", "Ends", "ends_placed", "placed", "plan_ends", "with_full_layers"]

Ends = Literal["auto", "host", "chip"]

HOST_MACS_A_SECOND = 1e9
"""What a board's processor is taken to reach: a multiply-accumulate a clock of 1 GHz.

The Cortex-A9 of a Zynq-7000 runs at 0.65 GHz, the Cortex-A53 of an UltraScale+ at 1.2 to 1.5.
"""

_REAL = "it reads real values, which the host rounds and sums behind the chip"
_ASKED = "it was left to the host (`--ends host`)"


def with_full_layers(graph: IntGraph, names: Collection[str]) -> IntGraph:
    """``graph`` with the full-precision layers ``names`` on the chip, all between two of its layers, no
    others."""
    marked = _marked(graph, names)
    if any(isinstance(node.op, Product) for node in graph.nodes):
        marked = _marked(graph, {*names, *full_layers_between(marked)})
    return marked


def _marked(graph: IntGraph, names: Collection[str]) -> IntGraph:
    nodes = tuple(
        dataclasses.replace(node, op=dataclasses.replace(node.op, on_chip=node.output.name in names))
        if isinstance(node.op, FullProduct)
        else node
        for node in graph.nodes
    )
    return dataclasses.replace(graph, nodes=nodes)


def placed(graph: IntGraph, plan: Plan) -> IntGraph:
    """``graph`` with its full-precision layers where ``plan`` has them: what emitters take beside it."""
    return _marked(graph, {layer.name for layer in plan.layers})


def ends_placed(graph: IntGraph, on_chip: bool) -> IntGraph:
    """``graph`` with all of its full-precision layers that can be on the chip, or with none."""
    return with_full_layers(graph, _full_layers(graph) if on_chip else ())


def plan_ends(
    graph: IntGraph,
    board: Board,
    ends: Ends = "auto",
    clock_mhz: float | None = None,
    folding: Folding | None = None,
    target_fps: float | None = None,
    goal: Goal | None = None,
) -> Plan:
    """``make_plan`` of ``graph`` with its full-precision layers placed; ``placed`` gives that graph.

    "host": only those between two other layers of the chip are on it.  "chip": all, or a refusal.
    "auto": those that ``folding`` names; without one a layer goes to the chip where its weights and
    activations have 8 bits or fewer, the design with it fits, and it makes at least as many frames a
    second as the design without it or as the host that runs the layer (``HOST_MACS_A_SECOND``), or
    reaches ``target_fps``.  ``Plan.on_host`` says why the others are not.
    """
    if ends not in get_args(Ends):
        raise ModelError(
            f"there is no choice {ends!r}", module="ends", remedy=f"Take {', '.join(get_args(Ends))}"
        )
    names = _full_layers(graph)
    real = {op.name: _REAL for op in graph.host if isinstance(op, HostFull)}
    if ends == "chip":
        if real:
            raise ModelError(
                "it reads real values, and the chip multiplies integers",
                module=next(iter(real)),
                remedy="Put xnn.Sign or xnn.QuantReLU in front of it, or leave it to the host "
                "(`--ends auto`)",
            )
        try:
            return make_plan(with_full_layers(graph, names), board, clock_mhz, folding, target_fps, goal)
        except FitError as error:
            if not names or folding is not None:
                raise
            more = "`--ends auto` can leave layers to the host"
            raise FitError(error.reason, module=error.module, remedy=f"{error.remedy}; {more}") from None
    if ends == "host" or not names or folding is not None:
        named = set() if folding is None or ends == "host" else {e.name for e in folding.layers}
        marked = with_full_layers(graph, named)
        reason = _ASKED if ends == "host" else "the folding has no entry for it"
        plan = make_plan(marked, board, clock_mhz, folding, target_fps, goal)
        return _explained(plan, dict.fromkeys(names, reason) | real)
    return _Choice(graph, board, clock_mhz, target_fps, goal, real).plan()


def _full_layers(graph: IntGraph) -> tuple[str, ...]:
    return tuple(node.output.name for node in graph.nodes if isinstance(node.op, FullProduct))


def _explained(plan: Plan, reasons: dict[str, str]) -> Plan:
    on_chip = {layer.name for layer in plan.layers}
    left = tuple((name, reason) for name, reason in reasons.items() if name not in on_chip)
    return dataclasses.replace(plan, on_host=left)


@dataclass
class _Choice:
    """The search of "auto": the chip's part grows from the binary layers on outwards."""

    graph: IntGraph
    board: Board
    clock_mhz: float | None
    target_fps: float | None
    goal: Goal | None
    real: dict[str, str]

    def __post_init__(self) -> None:
        self._kept: dict[str, str] = {}
        self._names: set[str] = set()
        self._tried: dict[str, set[str]] = {}
        self._best: Plan | None = None

    def plan(self) -> Plan:
        refused: ModelError | FitError | None = None
        try:
            self._best = self._make(self._names)
        except (ModelError, FitError) as error:
            refused = error
        sides = self._sides()
        self._grow_both(sides)
        if self._best is None:
            assert refused is not None
            # a rate that either end on the host keeps from being reached can be reached without both
            self._names = self._possible(sides)
            try:
                self._best = self._make(self._names)
            except (ModelError, FitError):
                raise refused from None
            self._grow_both(sides)
        return _explained(self._best, {name: self._kept.get(name, "") for name in self._left()} | self.real)

    def _sides(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The full-precision layers in front of the chip's part and behind it, the nearest first."""
        nodes = self.graph.nodes
        binary = [i for i, node in enumerate(nodes) if isinstance(node.op, Product)]
        if not binary:
            return (), ()
        full = [(i, node.output.name) for i, node in enumerate(nodes) if isinstance(node.op, FullProduct)]
        between = self._between()
        front = [name for i, name in full if i < binary[0] and name not in between]
        back = [name for i, name in full if i > binary[-1] and name not in between]
        return tuple(reversed(front)), tuple(back)

    def _between(self) -> set[str]:
        """What must be on the chip, whatever is asked for."""
        marked = with_full_layers(self.graph, ())
        return {n.output.name for n in marked.nodes if isinstance(n.op, FullProduct) and n.op.on_chip}

    def _left(self) -> list[str]:
        return [name for name in _full_layers(self.graph) if name not in self._names]

    def _make(self, names: set[str]) -> Plan:
        marked = with_full_layers(self.graph, names)
        return make_plan(marked, self.board, self.clock_mhz, target_fps=self.target_fps, goal=self.goal)

    def _possible(self, sides: tuple[tuple[str, ...], ...]) -> set[str]:
        """All that a chip of any size could take, from the binary layers on outwards."""
        found: set[str] = set()
        for side in sides:
            for name in side:
                try:
                    network_of(with_full_layers(self.graph, {*found, name}))
                except ModelError:
                    break
                found.add(name)
        return found

    def _grow_both(self, sides: tuple[tuple[str, ...], ...]) -> None:
        # what one end leaves to the host can hold up the other: the two take turns until both stand still
        while any(self._grow(side) for side in sides):
            pass

    def _grow(self, side: tuple[str, ...]) -> bool:
        """Put the layers of ``side`` on the chip as far as they go; whether any went."""
        before = len(self._names)
        for i, name in enumerate(side):
            if name in self._names:
                continue
            if self._tried.get(name) == self._names:
                break
            self._tried[name] = set(self._names)
            reason = self._why_not(name)
            if reason:
                self._kept[name] = reason
                for outer in side[i + 1 :]:
                    self._kept[outer] = f"{name}, which stands between it and the chip, runs on the host"
                break
        return len(self._names) > before

    def _why_not(self, name: str) -> str:
        """Put ``name`` on the chip and return nothing, or why it stays on the host."""
        wanted = {*self._names, name}
        try:
            network_of(with_full_layers(self.graph, wanted))  # refused sooner than planned
            plan = self._make(wanted)
        except (ModelError, FitError) as error:
            return error.reason
        if self._best is not None and self.target_fps is None:
            host = HOST_MACS_A_SECOND / self._host_macs()
            without, fps = self._best.figures.fps, plan.figures.fps
            if fps < min(without, host):
                return (
                    f"with it the chip would make {fps:,.0f} frames a second, and without it {without:,.0f}, "
                    f"of which the host is taken to keep up with {host:,.0f}"
                )
        self._best, self._names = plan, wanted
        return ""

    def _host_macs(self) -> int:
        """Multiply-accumulates a frame of the full-precision layers that the host runs now."""
        left = self._left()
        return sum(_macs(node) for node in self.graph.nodes if node.output.name in left)


def _macs(node: IntNode) -> int:
    assert isinstance(node.op, FullProduct)
    return int(node.op.weight[0].size) * prod(node.output.shape)
