"""Networks of codes, weighted terms, planes and average pools in Verilator, every tensor compared."""

from __future__ import annotations

from pathlib import Path

import pytest

from rtl_tests.networks.network_checks import Network, check_rate, check_tensors, planned
from tests.plan.code_cases import CASES
from tests.plan.code_networks import draw
from xnorhw.plan.model import LevelUnit, PlaneUnit, PoolUnit, RequantUnit, SumPoolUnit, TermsUnit
from xnorhw.sim.multi import MultiModel

SEEDS = range(40)


def by_hand() -> list[Network]:
    """The networks that were made to hold every unit."""
    return planned({name: make() for name, make in CASES.items()})


def drawn() -> list[Network]:
    """Random ones."""
    found = planned({f"random {seed}": draw(seed) for seed in SEEDS})
    assert len(found) >= len(SEEDS) // 2
    return found


@pytest.fixture(scope="module", params=[by_hand, pytest.param(drawn, marks=pytest.mark.long)])
def networks(request: pytest.FixtureRequest) -> list[Network]:
    found: list[Network] = request.param()
    assert len(found) >= 10
    return found


def test_every_tensor_is_goldens(networks: list[Network], model: MultiModel, work: Path) -> None:
    check_tensors(networks, model, work)


def test_frames_come_at_the_planned_rate(networks: list[Network], model: MultiModel, work: Path) -> None:
    check_rate(networks, model, work)


def test_the_networks_hold_every_unit_in_every_form() -> None:
    units = [u for n in by_hand() for u in n.plan.units]
    assert {u.levels for u in units if isinstance(u, LevelUnit)} >= {1, 3, 7, 15}
    assert {u.out_bits for u in units if isinstance(u, RequantUnit)} >= {5, 8}
    assert len({u.planes for u in units if isinstance(u, PlaneUnit)}) >= 2
    assert {u.doubles for u in units if isinstance(u, TermsUnit)} == {True, False}
    pools = [u for u in units if isinstance(u, SumPoolUnit)]
    assert {u.in_bipolar for u in pools} == {u.taps_per_word > 1 for u in pools} == {True, False}
    assert {u.bits for u in units if isinstance(u, PoolUnit)} >= {1, 2, 4, 5}
