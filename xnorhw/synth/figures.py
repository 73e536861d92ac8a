"""What synthesis found: figures by stage and in all, each with its source."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Union

from xnorhw.plan.model import Resources

__all__ = ["StageFigures", "Synthesis", "UnitFigures", "VitisFigures", "VivadoFigures", "YosysFigures"]

KINDS = ("lut", "ff", "bram36", "uram", "dsp")


@dataclass(frozen=True)
class StageFigures:
    """One process of the C++ core: ``ii`` the most clocks that a turn of its loops takes, 0 without loops.

    ``latency_cycles`` is None where the tool does not know it.
    """

    name: str
    layer: str
    ii: int
    latency_cycles: int | None
    resources: Resources


@dataclass(frozen=True)
class VitisFigures:
    """C synthesis by Vitis HLS: an estimate of the tool, before place and route.

    ``clock_mhz`` was asked for, ``estimated_clock_mhz`` is what the slowest stage is
    estimated to reach.  ``cycles_per_frame`` and ``latency_cycles`` are None where the tool
    does not know them.
    """

    version: str
    part: str
    clock_mhz: float
    estimated_clock_mhz: float
    cycles_per_frame: int | None
    latency_cycles: int | None
    resources: Resources
    stages: tuple[StageFigures, ...]

    tool = "Vitis HLS"

    def to_json(self) -> dict[str, Any]:
        """The tree of this tool in report.json."""
        return {
            "source": f"synthesised ({self.tool} {self.version})",
            "version": self.version,
            "part": self.part,
            "core": "hls",
            "clock_mhz": self.clock_mhz,
            "estimated_clock_mhz": self.estimated_clock_mhz,
            "cycles_per_frame": self.cycles_per_frame,
            "latency_cycles": self.latency_cycles,
            "resources": _counts(self.resources),
            "stages": [{**vars(s), "resources": _counts(s.resources)} for s in self.stages],
        }


@dataclass(frozen=True)
class VivadoFigures:
    """The placed and routed design, shell and processing system's part included.

    ``wns_ns`` and ``whs_ns`` are the worst setup and hold slack; ``core`` is "rtl" or "hls".
    """

    version: str
    part: str
    core: str
    clock_mhz: float
    wns_ns: float
    whs_ns: float
    resources: Resources

    tool = "Vivado"

    def to_json(self) -> dict[str, Any]:
        """The tree of this tool in report.json."""
        return {
            "source": f"synthesised ({self.tool} {self.version}, placed and routed)",
            "version": self.version,
            "part": self.part,
            "core": self.core,
            "clock_mhz": self.clock_mhz,
            "wns_ns": self.wns_ns,
            "whs_ns": self.whs_ns,
            "resources": _counts(self.resources),
        }


@dataclass(frozen=True)
class UnitFigures:
    """One unit of the RTL with the FIFOs behind it: what was found, and what the formula says.

    ``layer`` is "" for what belongs to none.  ``fifos``: the part of ``resources`` that is FIFOs.
    """

    name: str
    layer: str
    resources: Resources
    formula: Resources
    fifos: Resources = Resources()


@dataclass(frozen=True)
class YosysFigures:
    """The RTL mapped to the device's cells, neither placed nor routed; no clock is known.

    ``resources`` are those of the network, ``shell`` those of the registers and the protocol
    around it; the DMA and the interconnects of the board design are in neither.
    """

    version: str
    part: str
    family: str
    resources: Resources
    shell: Resources
    units: tuple[UnitFigures, ...]

    tool = "yosys"

    def layers(self) -> tuple[UnitFigures, ...]:
        """The units' figures summed by layer, in the order of the first unit of each."""
        sums: dict[str, UnitFigures] = {}
        for unit in self.units:
            before = sums.get(unit.layer, UnitFigures(unit.layer, unit.layer, Resources(), Resources()))
            found, said = before.resources + unit.resources, before.formula + unit.formula
            sums[unit.layer] = UnitFigures(unit.layer, unit.layer, found, said, before.fifos + unit.fifos)
        return tuple(sums.values())

    def to_json(self) -> dict[str, Any]:
        """The tree of this tool in report.json."""

        def rows(figures: tuple[UnitFigures, ...]) -> list[dict[str, Any]]:
            return [
                {**vars(f), **{k: _counts(getattr(f, k)) for k in ("resources", "formula", "fifos")}}
                for f in figures
            ]

        return {
            "source": f"synthesised ({self.tool} {self.version})",
            "version": self.version,
            "part": self.part,
            "family": self.family,
            "core": "rtl",
            "resources": _counts(self.resources),
            "shell": _counts(self.shell),
            "layers": rows(self.layers()),
            "units": rows(self.units),
        }


Synthesis = Union[VitisFigures, VivadoFigures, YosysFigures]


def _counts(resources: Resources) -> dict[str, float]:
    counts = dataclasses.asdict(resources)
    return {kind: int(counts[kind]) if counts[kind] == int(counts[kind]) else counts[kind] for kind in KINDS}
