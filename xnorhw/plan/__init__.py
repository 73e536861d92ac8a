"""Integer graph + board -> plan: units, jobs, edges, folding, memories, cycles, resources."""

from __future__ import annotations

from xnorhw.plan.bound import bound_cycles, layer_bounds
from xnorhw.plan.folding import (
    Folding,
    LayerFolding,
    PoolFolding,
    check_folding,
    folding_of,
    read_folding,
    write_folding,
)
from xnorhw.plan.planner import make_plan

__all__ = [
    "Folding",
    "LayerFolding",
    "PoolFolding",
    "bound_cycles",
    "check_folding",
    "folding_of",
    "layer_bounds",
    "make_plan",
    "read_folding",
    "write_folding",
]
