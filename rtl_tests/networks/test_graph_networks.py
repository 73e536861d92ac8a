"""Networks with branches, groups and input scales in Verilator, every tensor compared."""

from __future__ import annotations

from pathlib import Path

import pytest

from rtl_tests.networks.network_checks import Network, check_rate, check_tensors, planned
from tests.plan.graph_networks import CASES, draw_graph
from xnorhw.ir.int_graph import Requant, Threshold
from xnorhw.plan.model import (
    AbsSumUnit,
    AddUnit,
    ConcatUnit,
    Fifo,
    ForkUnit,
    MultiplyUnit,
    PoolUnit,
    RequantUnit,
    SumPoolUnit,
    Window,
)
from xnorhw.sim.multi import MultiModel

SEEDS = range(20)
FEW = ("halved", "fire", "groups", "input scales", "numbers", "behind a flatten", "ties to even")


def few() -> list[Network]:
    """Networks that hold every form of a branch."""
    return planned({name: CASES[name]() for name in FEW})


def by_hand() -> list[Network]:
    """The others that were made by hand."""
    return planned({name: make() for name, make in CASES.items() if name not in FEW})


def drawn() -> list[Network]:
    """Random ones."""
    return planned({f"random {seed}": draw_graph(seed) for seed in SEEDS})


@pytest.fixture(
    scope="module", params=[few, *(pytest.param(made, marks=pytest.mark.long) for made in (by_hand, drawn))]
)
def networks(request: pytest.FixtureRequest) -> list[Network]:
    found: list[Network] = request.param()
    assert len(found) >= 5
    return found


def test_every_tensor_is_goldens(networks: list[Network], model: MultiModel, work: Path) -> None:
    check_tensors(networks, model, work)


def test_frames_come_at_the_planned_rate(networks: list[Network], model: MultiModel, work: Path) -> None:
    """The FIFOs in front of joins are deep enough: nobody waits for anybody in steady state."""
    check_rate(networks, model, work)


def test_the_networks_hold_every_unit_of_branches() -> None:
    found = few()
    units = [u for n in found for u in n.plan.units]
    assert {u.copies for u in units if isinstance(u, ForkUnit)} >= {2, 3}
    added = [u for u in units if isinstance(u, AddUnit)]
    assert {len(u.in_bits) for u in added} >= {2, 4}
    assert len({s for u in added for s in u.shifts}) > 1
    assert any(any(u.in_bipolar) for u in added) and any(not all(u.in_signed) for u in added)
    assert {len(u.words) for u in units if isinstance(u, ConcatUnit)} >= {2}
    assert {u.slices for u in units if isinstance(u, Window)} >= {1, 2, 4, 12}
    assert any(u.signed for u in units if isinstance(u, PoolUnit))
    assert any(u.taps_per_word * u.tap_groups == 1 for u in units if isinstance(u, SumPoolUnit))
    assert any(isinstance(u, MultiplyUnit) for u in units) and any(isinstance(u, AbsSumUnit) for u in units)
    assert {u.even for u in units if isinstance(u, RequantUnit)} == {True, False}
    ops = [node.op for network in found for node in network.graph.nodes]
    assert any(isinstance(op, Threshold) and op.mixed for op in ops)
    assert any(isinstance(op, Requant) and op.positions > 1 for op in ops)
    assert sum(u.name.endswith("_pool0_values") for u in units) >= 2
    waiting = [e.storage for n in found for e in n.plan.edges if e.port in ("data0", "data1")]
    assert any(isinstance(storage, Fifo) and storage.depth > 8 for storage in waiting)
