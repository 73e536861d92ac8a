"""Integer graph + board -> plan: units, jobs, edges, folding, memories, cycles, resources."""

from __future__ import annotations

from xnorhw.plan.bound import bound_cycles, layer_bounds
from xnorhw.plan.ends import Ends, ends_placed, placed, plan_ends
from xnorhw.plan.folding import (
    Folding,
    LayerFolding,
    PoolFolding,
    check_folding,
    folding_of,
    read_folding,
    write_folding,
)
from xnorhw.plan.planner import Goal, make_plan
from xnorhw.plan.trade import trade_off

__all__ = [
    "Ends",
    "Folding",
    "Goal",
    "LayerFolding",
    "PoolFolding",
    "bound_cycles",
    "check_folding",
    "folding_of",
    "layer_bounds",
    "make_plan",
    "ends_placed",
    "placed",
    "plan_ends",
    "read_folding",
    "trade_off",
    "write_folding",
]
