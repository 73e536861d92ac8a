"""Networks with layers of integer weights in Verilator, every tensor compared under stalls."""

from __future__ import annotations

from pathlib import Path

import pytest

from rtl_tests.networks.network_checks import Network, check_rate, check_tensors, planned
from tests.plan.full_cases import CASES, draw_full
from xnorhw.plan.model import LayerPlan, LevelUnit, MatrixUnit, RequantUnit
from xnorhw.sim.multi import MultiModel

SEEDS = range(40)


def by_hand() -> list[Network]:
    """Every case with a folding that divides little."""
    found = planned({name: make() for name, make in CASES.items()})
    assert len(found) == len(CASES)
    return found


def full_units(network: Network) -> list[tuple[LayerPlan, MatrixUnit]]:
    """The layers of integer weights and their units."""
    units = [(layer, network.plan.unit(layer.matrix)) for layer in network.plan.layers]
    return [(layer, unit) for layer, unit in units if isinstance(unit, MatrixUnit) and unit.full]


def drawn() -> list[Network]:
    """Random ones."""
    return planned({f"random {seed}": draw_full(seed) for seed in SEEDS})


@pytest.fixture(scope="module", params=[by_hand, pytest.param(drawn, marks=pytest.mark.long)])
def networks(request: pytest.FixtureRequest) -> list[Network]:
    found: list[Network] = request.param()
    assert len(found) >= 6
    return found


def test_every_tensor_is_goldens(networks: list[Network], model: MultiModel, work: Path) -> None:
    check_tensors(networks, model, work)


def test_frames_come_at_the_planned_rate(networks: list[Network], model: MultiModel, work: Path) -> None:
    check_rate(networks, model, work)


def test_the_networks_hold_integer_weights_in_every_form() -> None:
    found = by_hand()
    units = [unit for n in found for _, unit in full_units(n)]
    forms = {(u.act_bipolar, u.thresholded, u.dsps > 0) for u in units}
    # signs, thresholded and not; products in DSPs and in LUTs, of the first and of the last layer
    assert forms >= {(True, True, False), (True, False, False), (False, True, True), (False, False, False)}
    assert {u.act_signed for u in units} == {True, False} and {2, 8} <= {u.weight_bits for u in units}
    # PE and SIMD that divide nothing: rows and lanes of zeros
    channels = {(n.name, x.name): n.graph.node(x.name).output.shape[0] for n in found for x in n.plan.layers}
    assert any(u.pe * u.groups > channels[n.name, x.name] for n in found for x, u in full_units(n))
    behind = [u for n in found for u in n.plan.units]
    assert {u.levels for u in behind if isinstance(u, LevelUnit)} >= {1, 3}
    assert any(isinstance(u, RequantUnit) for u in behind)
