"""Networks of codes and binary weights whose PEs add in columns of DSPs, every tensor compared; one of them
on the model of the DSP, as it is synthesised."""

from __future__ import annotations

from pathlib import Path

import pytest

from rtl_tests.networks.network_checks import Network, check_rate, check_tensors, planned
from rtl_tests.networks.network_graphs import Conv, Linear, Pool, network
from rtl_tests.networks.test_lut_form import as_synthesised
from rtl_tests.runner import require_simulator
from tests.plan.code_networks import draw
from xnorhw.ir.geometry import Pads
from xnorhw.plan.model import MatrixUnit
from xnorhw.sim.multi import MultiModel, multi_model

ALL = Pads(1, 1, 1, 1)
SEEDS = range(60)
DSPS = 40


def pictures() -> list[Network]:
    """First layers on 8 bits, signed and not, padded, strided, pooled, without a threshold."""
    cases = {
        "signed": network((3, 7, 6), [Conv(8, pads=ALL), Pool(), Linear(4)], seed=3, bits=8, signed=True),
        "unsigned": network((3, 6, 7), [Conv(7, (3, 2), (2, 1), ALL), Linear(3)], seed=4, bits=8),
        "sums": network((4, 5, 5), [Conv(9)], seed=5, bits=4, signed=True),
        "flat": network((6, 2, 2), [Linear(8)], seed=6, bits=2),
    }
    return planned(dict(cases), "pynq-z2", DSPS)


def drawn() -> list[Network]:
    """Random ones, whose codes in between are thresholds' and multiplications'."""
    return planned({f"random {seed}": draw(seed) for seed in SEEDS}, "pynq-z2", DSPS)


def columns(networks: list[Network]) -> list[MatrixUnit]:
    units = [unit for n in networks for unit in n.plan.units]
    return [unit for unit in units if isinstance(unit, MatrixUnit) and unit.dsp_pes]


@pytest.fixture(scope="module", params=[pictures, pytest.param(drawn, marks=pytest.mark.long)])
def networks(request: pytest.FixtureRequest) -> list[Network]:
    found: list[Network] = request.param()
    assert len(columns(found)) >= 3
    return found


def test_every_tensor_is_goldens(networks: list[Network], model: MultiModel, work: Path) -> None:
    check_tensors(networks, model, work)


def test_frames_come_at_the_planned_rate(networks: list[Network], model: MultiModel, work: Path) -> None:
    check_rate(networks, model, work)


@pytest.mark.long
def test_as_synthesised(tmp_path: Path) -> None:
    require_simulator()
    found = pictures()
    check_tensors(found, as_synthesised(multi_model([(n.plan, n.graph) for n in found])), tmp_path)


def test_the_networks_hold_every_form() -> None:
    units = columns(pictures() + drawn())
    assert {unit.packed for unit in units} >= {3, 4, 5}
    assert {unit.act_signed for unit in units} == {unit.thresholded for unit in units} == {True, False}
    assert {unit.dsp_pes < unit.pe for unit in units} == {True, False}
    assert max(unit.act_bits for unit in units) == 8
