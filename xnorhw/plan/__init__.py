"""Integer graph + board -> plan: units, jobs, edges, folding, memories, cycles, resources."""

from __future__ import annotations

from xnorhw.plan.bound import bound_cycles, layer_bounds
from xnorhw.plan.ends import Ends, placed, plan_ends
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
    "Ends",
    "Folding",
    "LayerFolding",
    "PoolFolding",
    "bound_cycles",
    "check_folding",
    "folding_of",
    "layer_bounds",
    "make_plan",
    "placed",
    "plan_ends",
    "read_folding",
    "write_folding",
]
