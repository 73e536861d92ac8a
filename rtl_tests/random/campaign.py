"""The random networks of the hardware tests: drawn, folded at random, and compared tensor by tensor."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from tests.random_networks.build import build
from tests.random_networks.chain import Checked, check_network
from tests.random_networks.coverage import Coverage
from tests.random_networks.draw import SMALL_CHIP, SeededChoices, draw_spec
from xnorhw.board import load_board
from xnorhw.check.compare import compare
from xnorhw.emit.sim import observed_edges
from xnorhw.ir.int_graph import Lookup
from xnorhw.pack import pack_frames, unpack_results, unpack_stream
from xnorhw.plan import Folding, LayerFolding, PoolFolding, make_plan
from xnorhw.plan.geometry import legal_simd, legal_taps
from xnorhw.plan.model import Memory, Plan
from xnorhw.plan.rows import legal_pixels
from xnorhw.plan.stages import chip_layers

__all__ = [
    "FOLDINGS",
    "LEAST_NEGATIVE",
    "LEAST_NETWORKS",
    "Subset",
    "assert_equal",
    "draw_subset",
    "frames_of",
]

SEEDS = (*range(13), 25, 32, 35, 39, 45, 47, 49, 60, 75, 76, 78, 94, 100, 21, 23, 24)
"""The first dozen, and those that together reach every row of the table at least twice."""
LEAST_NETWORKS = 25
LEAST_NEGATIVE = 0.30
REPEATS = 4
"""The frames are sent this often, so that a slow reader is felt back to the input."""

FOLDINGS = (
    "PE that does not divide", "PE = 1", "PE = all channels", "SIMD that does not divide", "SIMD < C",
    "SIMD = 1", "SIMD spans taps", "SIMD = the whole window", "pool taps one a word", "pool taps all a word",
    "weights in adders", "weights in LUTs", "weights in block ROM", "several pixels a clock",
)  # fmt: skip
MOST_LANES = 2000
"""Of a layer that takes several pixels a clock: products at once."""


def random_folding(checked: Checked, rng: np.random.Generator) -> tuple[Folding, Counter[str]]:
    """A legal folding, and the coverage rows that it reaches."""
    layers, pools, rows = [], [], Counter[str]()
    for layer in chip_layers(checked.graph):
        pe = int(rng.integers(1, min(layer.outputs, 8) + 1))
        simd = int(rng.choice([s for s in legal_simd(layer) if s <= 64]))
        memory = str(rng.choice(["auto", "lut", "block"]))
        layers.append(LayerFolding(layer.name, pe, simd, memory=memory))
        rows["PE that does not divide"] += layer.outputs % pe != 0
        rows["PE = 1"] += pe == 1 < layer.outputs
        rows["PE = all channels"] += pe == layer.outputs > 1
        rows["SIMD that does not divide"] += simd < layer.channels and layer.channels % simd != 0
        rows["SIMD < C"] += simd < layer.channels
        rows["SIMD = 1"] += simd == 1 < layer.channels
        rows["SIMD spans taps"] += layer.channels < simd < layer.channels * layer.taps
        rows["SIMD = the whole window"] += simd == layer.channels * layer.taps and layer.taps > 1
        for pool in layer.pools:
            taps = int(rng.choice(legal_taps(pool)))
            pools.append(PoolFolding(pool.name, taps))
            rows["pool taps one a word"] += taps == 1 < pool.op.geometry.taps
            rows["pool taps all a word"] += taps == pool.op.geometry.taps > 1
    return Folding(tuple(layers), tuple(pools)), rows


def several_pixels(checked: Checked, folding: Folding, rng: np.random.Generator) -> Folding:
    """``folding`` with several pixels a clock in most of the layers that can."""
    entries = {entry.name: entry for entry in folding.layers}
    for layer in chip_layers(checked.graph):
        whole = layer.channels * layer.taps
        pixels = [m for m in legal_pixels(layer)[1:] if layer.outputs * whole * m <= MOST_LANES]
        if pixels and rng.integers(4):
            entries[layer.name] = LayerFolding(layer.name, layer.outputs, whole, int(rng.choice(pixels)))
    wide = {name for name, entry in entries.items() if entry.pixels > 1}
    behind = {pool.name for layer in chip_layers(checked.graph) if layer.name in wide for pool in layer.pools}
    pools = tuple(pool for pool in folding.pools if pool.name not in behind)
    return Folding(tuple(entries.values()), pools)


@dataclass
class Subset:
    """The networks, each with what golden says of its frames, their plans, and what they reach."""

    checked: list[Checked]
    plans: list[Plan]
    coverage: Coverage


def draw_subset() -> Subset:
    """The networks of ``SEEDS`` with their random foldings."""
    board = load_board("pynq-z2")
    coverage = Coverage()
    found, plans = [], []
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    for seed in SEEDS:
        network = build(draw_spec(SeededChoices(seed), SMALL_CHIP))
        if network is None:
            continue
        checked = check_network(network)
        folding, rows = random_folding(checked, np.random.default_rng(seed))
        if seed % 3 == 0:
            # and none of the rows counts that another folding may have lost
            folding, rows = several_pixels(checked, folding, np.random.default_rng((seed, 1))), Counter()
        plans.append(make_plan(checked.graph, board, folding=folding))
        found.append(checked)
        coverage.add(checked)
        coverage.rows.update(rows)
        for layer in plans[-1].layers:
            coverage.rows["weights in adders"] += layer.memory is Memory.LEAF
            coverage.rows["weights in LUTs"] += layer.memory is Memory.LUT
            coverage.rows["weights in block ROM"] += layer.memory is Memory.BLOCK
            coverage.rows["several pixels a clock"] += layer.pixels > 1
    torch.set_num_threads(threads)
    return Subset(found, plans, coverage)


def frames_of(checked: Checked, plan: Plan) -> npt.NDArray[np.uint8]:
    """The input frames as the IP takes them, repeated."""
    kind = checked.graph.tensor(plan.input_tensor).type
    assert kind is not None
    frames = pack_frames(plan, checked.tensors[plan.input_tensor], kind)
    return np.tile(frames, (REPEATS, 1))


def assert_equal(
    link: str,
    checked: Checked,
    plan: Plan,
    streams: Mapping[str, list[int]],
    results: npt.NDArray[np.uint8],
) -> None:
    """Every tensor that leaves a unit, frame by frame, is golden's."""
    graph = checked.graph
    tensors = {}
    for name, edge in observed_edges(plan).items():
        tensor = graph.tensor(name)
        assert tensor.type is not None
        tensors[name] = unpack_stream(edge.stream, streams[name], tensor.shape, tensor.type)
    tensors[plan.output_tensor] = unpack_results(plan, results, graph.tensor(plan.output_tensor).shape)
    wanted = {k: np.tile(v, (REPEATS, 1, 1, 1)) for k, v in checked.tensors.items()}
    order = [n.output.name for n in graph.nodes if n.output.name in tensors]
    comparison = compare(link, order, wanted, tensors)
    assert comparison.mismatches == 0, f"{comparison.first}\n{checked.network.net}\n{plan.layers}"
    assert all(len(v) == len(wanted[name]) for name, v in tensors.items())
    # all but the sums inside, which become bits in the unit that makes them
    thresholded = {layer.name for layer in plan.layers[:-1]}
    seen = [n.output.name for n in graph.nodes if not isinstance(n.op, Lookup)]
    assert set(tensors) == set(seen) - thresholded
    assert comparison.tensors == len(tensors)
