"""The networks of codes that the planner's and the benches' tests share, by what they are about."""

from __future__ import annotations

from collections.abc import Callable

from tests.plan.code_networks import SAME, Average, Conv, Dense, Levels, Max, Multiply, Values, network
from xnorhw.ir.geometry import Pads
from xnorhw.ir.int_graph import IntGraph
from xnorhw.ir.types import code

__all__ = ["CASES"]

_THREE = Levels(3, "thermometer")
_SIGN = Levels(1, "sign")

CASES: dict[str, Callable[[], tuple[IntGraph, Values]]] = {
    "codes of 2 bits": lambda: network(
        (3, 8, 8), [Conv(6, pads=SAME), Max(), Conv(5, pads=SAME), Dense(4)], code(8, True), seed=1
    ),
    "15 levels, pools that overlap": lambda: network(
        (2, 7, 6),
        [Conv(7, codes=Levels(4, strict=True)), Max((3, 3), (1, 2), SAME), Conv(6, (2, 2)), Dense(3)],
        seed=2,
    ),
    "one bit that is no sign": lambda: network(
        (2, 6, 6), [Conv(5, pads=SAME, codes=Levels(1, strict=True)), Max(), Dense(3)], code(2, False), seed=3
    ),
    "multiplications": lambda: network(
        (2, 8, 7),
        [Conv(5, codes=Multiply(8)), Conv(6, (3, 2), codes=Multiply(5)), Max(), Dense(4)],
        code(8, False),
        seed=4,
    ),
    "weights of 2 bits on codes": lambda: network(
        (3, 6, 6),
        [Conv(6, pads=SAME, coefficients=(1, 2)), Max(), Dense(5, coefficients=(1, 2))],
        code(4, False),
        seed=5,
    ),
    "weights of 3 bits on signs": lambda: network(
        (4, 6, 5),
        [
            Conv(5, pads=SAME, coefficients=(1, 2, 4), codes=_SIGN),
            Conv(7, pads=Pads(1, 0, 2, 1), coefficients=(4, 2, 1), stride=(2, 1)),
            Dense(3, coefficients=(-3,)),
        ],
        seed=6,
    ),
    "bases": lambda: network(
        (2, 7, 7),
        [
            Conv(5, codes=_THREE),
            Conv(
                6,
                pads=SAME,
                coefficients=(13, -5, 7, 9, 20, -31),
                planes=(0, 0, 1, 1, 2, 2),
                codes=_THREE,
            ),
            Max(),
            Dense(4, coefficients=(11, 3, -8), planes=(0, 1, 2)),
        ],
        code(8, False),
        seed=7,
    ),
    "averages": lambda: network(
        (3, 9, 9),
        [
            Conv(5, codes=Levels(3)),
            Average(Levels(2), pads=Pads(1, 0, 1, 0)),
            Conv(6, (2, 2), codes=_SIGN),
            Average(_SIGN, (3, 2), (1, 1)),
            Dense(4),
        ],
        seed=8,
    ),
    "an average of the whole map": lambda: network(
        (3, 6, 6), [Conv(9, codes=Multiply(6)), Average(Multiply(8), (4, 4), (1, 1)), Dense(5)], seed=9
    ),
    "levels by position": lambda: network(
        (3, 5, 4),
        [Conv(5, pads=SAME, codes=Levels(1, "sign", True)), Conv(4, codes=Levels(2, "code", True)), Dense(3)],
        seed=10,
    ),
}
