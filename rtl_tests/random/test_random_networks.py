"""Random networks with random foldings through the RTL, with random stalls: every tensor compared."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from rtl_tests.random.campaign import (
    FOLDINGS,
    LEAST_NEGATIVE,
    LEAST_NETWORKS,
    Subset,
    assert_equal,
    draw_subset,
    frames_of,
)
from tests.random_networks.coverage import EVERYWHERE, table
from xnorhw.emit.sim import timeout_cycles
from xnorhw.plan.model import Plan
from xnorhw.sim.compiled import Stalls
from xnorhw.sim.multi import MultiModel, multi_model
from xnorhw.sim.tools import missing_tools

TRAFFIC = ("frames back to back", "streams that waited for the reader", "streams whose reader waited")
ROWS = (*EVERYWHERE, *FOLDINGS, *TRAFFIC)


@dataclass
class Campaign:
    """The networks of the subset in one Verilated model."""

    subset: Subset
    model: MultiModel
    work: Path


@pytest.fixture(scope="module")
def campaign(tmp_path_factory: pytest.TempPathFactory) -> Campaign:
    if missing_tools():
        pytest.skip("; ".join(f"{t.name} is missing: {t.remedy}" for t in missing_tools()))
    subset = draw_subset()
    model = multi_model([(p, c.graph) for p, c in zip(subset.plans, subset.checked, strict=True)])
    return Campaign(subset, model, tmp_path_factory.mktemp("random"))


def both_stalls(plan: Plan) -> tuple[Stalls, Stalls]:
    """Both sides pausing at random; then a reader so late that everything fills up first."""
    return Stalls(1, 40, 40), Stalls(2, 0, 60, hold=timeout_cycles(plan) - 500)


def test_every_tensor_is_goldens(campaign: Campaign, record_property: Callable[[str, object], None]) -> None:
    subset, coverage = campaign.subset, campaign.subset.coverage
    for index, (checked, plan) in enumerate(zip(subset.checked, subset.plans, strict=True)):
        frames = frames_of(checked, plan)
        waited: Counter[str] = Counter()
        starved: Counter[str] = Counter()
        for stalls in both_stalls(plan):
            run = campaign.model.run_compiled(index, frames, campaign.work, stalls=stalls, activity=True)
            assert_equal("rtl", checked, plan, run.streams, run.results)
            assert run.registers["FRAMES_OUT"] == len(run.results)
            assert run.registers["ERRORS"] == 0
            for stream in run.activity:
                waited[stream.wire] += stream.stalls
                starved[stream.wire] += stream.starved
        assert waited and all(waited.values()), f"network {index}: {[w for w, n in waited.items() if not n]}"
        coverage.rows["frames back to back"] += len(frames)
        coverage.rows["streams that waited for the reader"] += len(waited)
        coverage.rows["streams whose reader waited"] += sum(n > 0 for n in starved.values())
    text = table(coverage, ROWS, "golden = RTL")
    record_property("coverage", text)
    assert coverage.networks >= LEAST_NETWORKS
    assert coverage.negative_share >= LEAST_NEGATIVE
    assert not coverage.missing(ROWS)
