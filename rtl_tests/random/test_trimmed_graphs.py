"""Random graphs with the planned and with the trimmed depths: no deadlock under stalls, and the same rate.

A FIFO that is too shallow for its graph is planted in some, and must be told, not waited for.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from rtl_tests.networks.network_checks import Network, check_tensors, planned
from rtl_tests.runner import require_simulator
from tests.plan.graph_networks import CASES, draw_graph
from xnorhw.ir.errors import VerifyError
from xnorhw.pack import pack_frames
from xnorhw.plan.model import Edge, Fifo, ForkUnit, Plan, Window
from xnorhw.plan.trim import fifo_name, least_depths, with_depths
from xnorhw.sim.buffers import trim, watched_buffers
from xnorhw.sim.compiled import CompiledRun
from xnorhw.sim.multi import MultiModel, multi_model

BATCH = 10
"""Graphs that share a model."""
DRAWN = 15
"""Seeds of which at least that many have a graph."""
SHALLOW = 2
MUCH = 16
"""A shortcut that must hold so many words more than the buffers in front of it can holds up everything when
it has room for two: the registers on its way have no room for the rest."""


@dataclass(frozen=True)
class Pair:
    """Networks with the planned depths, and the same with trimmed ones, in a model each."""

    networks: list[Network]
    model: MultiModel
    trimmed: list[Network]
    shallow: list[Network]
    after: MultiModel


def _frames(network: Network, count: int) -> np.ndarray:
    plan = network.plan
    kind = network.graph.tensor(plan.input_tensor).type
    assert kind is not None
    frames = pack_frames(plan, network.tensors[plan.input_tensor], kind)
    return np.resize(frames, (count, frames.shape[1]))


def _paced(network: Network, index: int, model: MultiModel, work: Path) -> CompiledRun:
    plan = network.plan
    count = plan.frames_in_flight + 4
    pace = plan.figures.cycles_per_frame
    watched = watched_buffers(plan, f"net{index}")
    return model.run_compiled(index, _frames(network, count), work, pace=pace, watched=watched)


def straight(plan: Plan, edge: Edge) -> bool:
    """Whether ``edge`` comes from a fork with no window between, whose ring could hold words back."""
    sources = [e for e in plan.edges if e.target == edge.source and e.port.startswith("data")]
    if edge.source == "input" or len(sources) != 1:
        return False
    unit = plan.unit(edge.source)
    return isinstance(unit, ForkUnit) or (not isinstance(unit, Window) and straight(plan, sources[0]))


def in_front(plan: Plan, edge: Edge) -> int:
    """Words of ``edge`` that can wait on the way from its fork: in FIFOs and units of wider words, too."""
    unit = plan.unit(edge.source)
    if isinstance(unit, ForkUnit):
        return 0
    before = next(e for e in plan.edges if e.target == edge.source and e.port.startswith("data"))
    assert isinstance(before.storage, Fifo)
    here = (before.storage.depth + 1) * before.stream.lanes // edge.stream.lanes
    return here + in_front(plan, before) * before.stream.lanes // edge.stream.lanes


def too_shallow(network: Network) -> Network | None:
    """The network with its longest shortcut cut down; None where none has to be long."""
    plan: Plan = network.plan
    shortcuts = {fifo_name(edge): in_front(plan, edge) for edge in plan.edges if straight(plan, edge)}
    least = {
        name: n for name, n in least_depths(plan).items() if name in shortcuts and n >= MUCH + shortcuts[name]
    }
    if not least:
        return None
    worst = max(least, key=lambda name: least[name])
    edges = tuple(
        replace(edge, storage=Fifo(SHALLOW)) if fifo_name(edge) == worst else edge for edge in plan.edges
    )
    return replace(network, name=f"{network.name}, {worst}", plan=replace(plan, edges=edges))


def pair(networks: list[Network], work: Path) -> Pair:
    """Simulate ``networks`` at their pace and trim them."""
    model = multi_model([(n.plan, n.graph) for n in networks])
    trimmed = []
    for index, network in enumerate(networks):
        run = _paced(network, index, model, work)
        assert run.cycles_per_frame == network.plan.figures.cycles_per_frame, network.name
        least = least_depths(network.plan)
        assert set(run.levels) == set(least)
        for name, level in run.levels.items():
            assert "." in name or level >= least[name], f"{network.name}, {name}"
        trimmed.append(replace(network, plan=with_depths(network.plan, run.levels)))
    shallow = [found for found in map(too_shallow, networks) if found is not None]
    after = multi_model([(n.plan, n.graph) for n in (*trimmed, *shallow)])
    return Pair(networks, model, trimmed, shallow, after)


def check(found: Pair, work: Path) -> None:
    """Every value under stalls, before and after; the rate of each; a deadlock where one was planted."""
    check_tensors(found.networks, found.model, work)
    check_tensors(found.trimmed, found.after, work)
    for index, (network, trimmed) in enumerate(zip(found.networks, found.trimmed, strict=True)):
        frames = _frames(network, 21)
        before = found.model.run_compiled(index, frames, work)
        after = found.after.run_compiled(index, frames, work)
        assert after.cycles_per_frame == before.cycles_per_frame, network.name
        assert _paced(trimmed, index, found.after, work).cycles_per_frame == after.cycles_per_frame
    for index, network in enumerate(found.shallow, start=len(found.trimmed)):
        with pytest.raises(VerifyError, match="deadlock: .* the last stream that moved is"):
            found.after.run_compiled(index, _frames(network, 3), work)


def test_graphs_by_hand(tmp_path: Path) -> None:
    require_simulator()
    _by_hand(["ends in a sum"], tmp_path)


@pytest.mark.long
def test_more_graphs_by_hand(tmp_path: Path) -> None:
    require_simulator()
    _by_hand(["halved", "fire", "dense block", "numbers", "residual"], tmp_path)


def _by_hand(names: list[str], work: Path) -> None:
    found = pair(planned({name: CASES[name]() for name in names}), work)
    assert found.shallow
    shorter = [t for n in found.trimmed for t in n.plan.trimmed if t.depth < t.planned]
    assert shorter and all(t.saved.lut > 0 for t in shorter)
    check(found, work)


@pytest.mark.long
@pytest.mark.parametrize("batch", range(10))
def test_random_graphs(batch: int, tmp_path: Path) -> None:
    """A hundred graphs in ten batches."""
    require_simulator()
    seeds = range(1000 + batch * DRAWN, 1000 + (batch + 1) * DRAWN)
    networks = planned({f"random {seed}": draw_graph(seed) for seed in seeds})[:BATCH]
    assert len(networks) == BATCH
    check(pair(networks, tmp_path), tmp_path)


def test_one_design_is_trimmed_by_what_its_simulation_says(tmp_path: Path) -> None:
    """The same plan twice gives the same depths, at the planned rate; an edited one is not trimmed."""
    require_simulator()
    (network,) = planned({"ends in a sum": CASES["ends in a sum"]()})
    graph, plan = network.graph, network.plan
    found = trim(plan, graph, tmp_path)
    assert not found.kept and found == trim(plan, graph, tmp_path)
    assert found.plan == with_depths(plan, {t.name: t.depth for t in found.plan.trimmed})
    assert sum(t.planned - t.depth for t in found.plan.trimmed) > 3
    assert all(t.depth >= least_depths(plan)[t.name] for t in found.plan.trimmed)
    late = replace(plan, figures=replace(plan.figures, cycles_per_frame=plan.figures.cycles_per_frame - 1))
    slower = trim(late, graph, tmp_path)
    assert slower.plan == late and "not the planned" in slower.kept
