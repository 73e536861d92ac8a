"""The report of a build for the CPU alone: what the network holds and computes; no chip's figures."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import jinja2

from xnorhw import resources
from xnorhw.emit.folder import json_bytes
from xnorhw.emit.store import CPU
from xnorhw.emit.summary import Summary, summary_json, summary_text
from xnorhw.ir.int_graph import FullProduct, HostFull, IntGraph, Product

__all__ = ["CpuReport", "make_cpu_report"]

FORMAT = "1.0"
_WORD = 4
"""Bytes of a full-precision weight, an integer of 32 bits in the engine's tables."""


@dataclass(frozen=True)
class CpuReport:
    """What a network for the CPU holds, by formula.

    ``weights`` counts the trained weights, ``binary_bits`` the bits of the binary ones (one for
    each base or bit plane), ``full_weights`` those in full precision.
    """

    build_hash: int
    summary: Summary
    weights: int
    binary_bits: int
    full_weights: int
    rounding_dependent: tuple[tuple[str, int], ...]

    @property
    def total_bytes(self) -> float:
        """Binary weights at a bit, the others at four bytes."""
        return self.binary_bits / 8 + _WORD * self.full_weights

    @property
    def size(self) -> str:
        """``total_bytes`` in words."""
        kilo = self.total_bytes / 1024
        return f"{kilo / 1024:,.2f} MiB" if kilo >= 1024 else f"{kilo:,.1f} KiB"

    @property
    def ratio(self) -> float:
        """``total_bytes`` to the same weights in float32."""
        return self.total_bytes / (_WORD * self.weights)

    def to_json(self) -> dict[str, Any]:
        """The tree of report.json."""
        return {
            "format": "xnorhw-report",
            "version": FORMAT,
            "board": CPU,
            "build_hash": f"{self.build_hash:016x}",
            "weights": {
                "binary_bits": self.binary_bits,
                "float32_bytes": _WORD * self.weights,
                "total_bytes": self.total_bytes,
                "ratio": self.ratio,
            },
            "network": summary_json(self.summary),
            "rounding_dependent": [{"tensor": t, "channel": c} for t, c in self.rounding_dependent],
            "sources": dict.fromkeys(("weights", "network"), "formula"),
        }

    def text(self) -> str:
        """The same for people."""
        return (
            f"{summary_text(self.summary)}\n\n"
            f"For the CPU alone: {self.weights:,} weights in {self.size}, "
            f"{1 / self.ratio:,.1f} times smaller than in float32, full-precision layers counted"
        )

    def json(self) -> bytes:
        """The text of report.json."""
        return json_bytes(self.to_json())

    def html(self, verdict: dict[str, Any] | None) -> bytes:
        """report.html; ``verdict`` is the tree of verify.json, or None where none was made."""
        page = _environment().get_template("cpu.html.j2")
        chain = [] if verdict is None else [link for link in ("golden", "c") if link in verdict["chain"]]
        return page.render(
            report=self, verdict=verdict, chain=chain, table=summary_text(self.summary)
        ).encode()


def make_cpu_report(graph: IntGraph, summary: Summary, build_hash: int) -> CpuReport:
    """Count what ``graph`` holds."""
    products = [n.op for n in graph.nodes if isinstance(n.op, Product)]
    full = sum(n.op.weight.size for n in graph.nodes if isinstance(n.op, FullProduct))
    full += sum(op.weight.size for op in graph.host if isinstance(op, HostFull))
    # a thermometer's planes share the weights of a base
    bases = [{t.weight.tobytes(): t.weight.size for t in op.terms} for op in products]
    return CpuReport(
        build_hash,
        summary,
        sum(op.terms[0].weight.size for op in products) + full,
        sum(sum(sizes.values()) for sizes in bases),
        full,
        tuple((r.tensor, r.channel) for r in graph.rounding_dependent),
    )


@functools.lru_cache(maxsize=1)
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(lambda name: resources.read_text(f"templates/report/{name}")),
        undefined=jinja2.StrictUndefined,
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["number"] = lambda value: f"{value:,.0f}"
    return environment
