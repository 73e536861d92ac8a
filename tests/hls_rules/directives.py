"""The directives of Vitis HLS that a source may use: options, legal values, places.

After UG1399 (Vitis High-Level Synthesis User Guide, 2022.2 to 2026.1), page "pragma HLS <name>".
``checked`` says whether the page was read for this table, or its options are from memory.  Also
from memory, of pages that were read in part: ``disable_start_propagation`` of DATAFLOW,
``register``, ``register_mode`` and ``name`` of INTERFACE, and that DEPENDENCE spells its last option
``dependent=`` (the Tcl form and public sources do).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Union

INT = "a number"
FLAG = "nothing, true or false"
NAME = "a name"

Values = Union[str, frozenset[str]]

STORAGE = {
    "fifo": {"auto", "bram", "lutram", "uram", "memory", "srl"},
    "ram_1p": {"auto", "bram", "lutram", "uram"},
    "ram_1wnr": {"auto", "bram", "lutram", "uram"},
    "ram_2p": {"auto", "bram", "lutram", "uram"},
    "ram_s2p": {"auto", "bram", "bram_ecc", "lutram", "uram", "uram_ecc"},
    "ram_t2p": {"auto", "bram", "uram"},
    "rom_1p": {"auto", "bram", "lutram"},
    "rom_2p": {"auto", "bram", "lutram"},
    "rom_np": {"auto", "bram", "lutram"},
}
"""BIND_STORAGE: type -> implementations.  The names are the page's; which type goes with which
implementation is from memory of its table."""

PORTS = {"fifo": 1, "ram_1p": 1, "rom_1p": 1}
"""Accesses a clock of a memory type; two of all others (a block RAM has two ports)."""
ANY_READS = {"ram_1wnr", "rom_np"}
"""Types that are copied for as many reads as there are."""


@dataclass(frozen=True)
class Directive:
    """One directive.

    ``place`` is where it may stand: "loop" (a loop's body), "function" or "top" (the top function's
    body).  ``variable`` is the kind of variable that it names: "array", "stream", "number" or "".
    """

    place: str
    options: dict[str, Values]
    required: tuple[str, ...] = ()
    variable: str = ""
    checked: bool = True


def _one_of(*values: str) -> frozenset[str]:
    return frozenset(values)


DIRECTIVES: dict[str, Directive] = {
    "array_partition": Directive(
        "function",
        {
            "variable": NAME,
            "type": _one_of("complete", "cyclic", "block"),
            "factor": INT,
            "dim": INT,
            "off": FLAG,
        },
        ("variable",),
        "array",
    ),
    "bind_storage": Directive(
        "function",
        {
            "variable": NAME,
            "type": frozenset(STORAGE),
            "impl": frozenset().union(*STORAGE.values()),
            "latency": INT,
        },
        ("variable", "type"),
        "array",
    ),
    "bind_op": Directive(
        "function",
        {
            "variable": NAME,
            "op": _one_of("mul", "add", "sub"),
            "impl": _one_of("dsp", "fabric"),
            "latency": INT,
        },
        ("variable", "op"),
        "number",
    ),
    "dataflow": Directive("top", {"disable_start_propagation": FLAG}),
    "dependence": Directive(
        "function",
        {
            "variable": NAME,
            "class": _one_of("array", "pointer"),
            "type": _one_of("inter", "intra"),
            "direction": _one_of("raw", "war", "waw"),
            "distance": INT,
            "dependent": _one_of("true", "false"),
        },
        ("variable", "type", "dependent"),
        "array",
    ),
    "expression_balance": Directive("function", {"off": FLAG}, checked=False),
    "inline": Directive("function", {"off": FLAG, "recursive": FLAG}, checked=False),
    "interface": Directive(
        "top",
        {
            "mode": _one_of(
                *("ap_none", "ap_vld", "ap_ack", "ap_hs", "ap_ovld", "ap_memory", "ap_fifo", "ap_stable"),
                *("bram", "axis", "s_axilite", "m_axi", "ap_ctrl_none", "ap_ctrl_hs", "ap_ctrl_chain"),
            ),
            "port": NAME,
            "register_mode": _one_of("both", "forward", "reverse", "off"),
            "register": FLAG,
            "depth": INT,
            "name": NAME,
        },
        ("mode", "port"),
    ),
    "loop_flatten": Directive("loop", {"off": FLAG}),
    "loop_tripcount": Directive("loop", {"min": INT, "max": INT, "avg": INT}, checked=False),
    "pipeline": Directive(
        "loop",
        {"ii": INT, "rewind": FLAG, "off": FLAG, "style": _one_of("stp", "frp", "flp")},
    ),
    "stream": Directive(
        "function",
        {"variable": NAME, "depth": INT, "type": _one_of("fifo", "pipo", "shared", "unsync")},
        ("variable",),
        "stream",
    ),
    "unroll": Directive("loop", {"factor": INT, "skip_exit_check": FLAG, "off": FLAG}),
}
