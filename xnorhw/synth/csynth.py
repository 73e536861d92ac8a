"""Reads csynth.xml, the report of C synthesis that Vitis HLS 2022.2 and newer leave.

Only what is needed is read, and what is needed must be there: a report that lacks it comes
from a release that is not known here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from xnorhw.ir.errors import ToolError
from xnorhw.plan.model import Resources

__all__ = ["Csynth", "Loop", "Module", "read_csynth"]

_NUMBER = re.compile(r"\d+")


@dataclass(frozen=True)
class Loop:
    """A loop: ``ii`` clocks from turn to turn, None where it is not pipelined; ``turns`` and
    ``latency`` in clocks are the most that the tool gives, None where it knows none."""

    name: str
    ii: int | None
    turns: int | None
    latency: int | None


@dataclass(frozen=True)
class Module:
    """A function of the C++ core, or a loop of it that became a module of its own.

    ``pipeline`` is the tool's word for its kind of pipeline, "" where it has none.
    """

    name: str
    pipeline: str
    latency: int | None
    resources: Resources
    loops: tuple[Loop, ...]


@dataclass(frozen=True)
class Csynth:
    """A whole report; ``interval`` clocks from frame to frame, periods in ns."""

    version: str
    part: str
    top: str
    period_ns: float
    estimated_ns: float
    latency: int | None
    interval: int | None
    resources: Resources
    modules: tuple[Module, ...]


def read_csynth(path: Path) -> Csynth:
    """Read ``path``; ToolError where it is missing or in a format that is not known."""
    reader = _Reader(path)
    root = reader.root()
    settings = reader.part(root, "UserAssignments")
    figures = reader.part(root, "PerformanceEstimates")
    whole = reader.part(figures, "SummaryOfOverallLatency")
    return Csynth(
        version=reader.text(root, "ReportVersion/Version"),
        part=reader.text(settings, "Part"),
        top=reader.text(settings, "TopModelName"),
        period_ns=reader.real(settings, "TargetClockPeriod"),
        estimated_ns=reader.real(figures, "SummaryOfTimingAnalysis/EstimatedClockPeriod"),
        latency=reader.count(whole, "Worst-caseLatency"),
        interval=reader.count(whole, "Interval-max"),
        resources=reader.resources(root),
        modules=tuple(reader.module(x) for x in root.iterfind("ModuleInformation/Module")),
    )


class _Reader:
    def __init__(self, path: Path) -> None:
        self._path = path

    def root(self) -> Element:
        try:
            root = ElementTree.parse(self._path).getroot()
        except OSError as error:
            raise self._unknown(f"cannot be read: {(error.strerror or str(error)).lower()}") from None
        except ElementTree.ParseError as error:
            raise self._unknown(f"is no XML: {error}") from None
        if root.tag != "profile":
            raise self._unknown(f"begins with <{root.tag}>, not with <profile>")
        return root

    def _unknown(self, problem: str) -> ToolError:
        return ToolError(
            f"{self._path} {problem}",
            module="Vitis HLS",
            remedy="The format is that of the releases 2022.2 to 2025.2; take one of them, "
            "or read the report by hand",
        )

    def part(self, element: Element, path: str) -> Element:
        found = element.find(path)
        if found is None:
            raise self._unknown(f"is in a format that is not known: <{element.tag}> has no {path}")
        return found

    def text(self, element: Element, path: str) -> str:
        text = (self.part(element, path).text or "").strip()
        if not text:
            raise self._unknown(f"is in a format that is not known: {path} is empty")
        return text

    def real(self, element: Element, path: str) -> float:
        text = self.text(element, path)
        try:
            value = float(text)
        except ValueError:
            value = 0.0
        if not 0 < value < 1e9:
            raise self._unknown(f"is in a format that is not known: {path} is {text!r}")
        return value

    def count(self, element: Element, path: str) -> int | None:
        """The largest number there; None for "undef", "?", "-" and what is left out."""
        found = element.find(path)
        if found is None:
            return None
        # "30 ~ 541", or <range><min>..</min><max>..</max></range>
        numbers = [int(n) for text in found.itertext() for n in _NUMBER.findall(text)]
        return max(numbers, default=None)

    def resources(self, element: Element) -> Resources:
        table = self.part(element, "AreaEstimates/Resources")

        def number(kind: str) -> int:
            text = self.text(table, kind)
            if not text.isdigit():
                raise self._unknown(f"is in a format that is not known: {kind} is {text!r}")
            return int(text)

        return Resources(
            lut=number("LUT"),
            ff=number("FF"),
            bram36=number("BRAM_18K") / 2,
            uram=number("URAM"),
            dsp=number("DSP"),
        )

    def module(self, element: Element) -> Module:
        figures = self.part(element, "PerformanceEstimates")
        latency = self.count(figures, "SummaryOfOverallLatency/Worst-caseLatency")
        summary = figures.find("SummaryOfLoopLatency")
        return Module(
            name=self.text(element, "Name"),
            pipeline=figures.findtext("SummaryOfOverallLatency/PipelineType", ""),
            latency=latency,
            resources=self.resources(element),
            loops=() if summary is None else tuple(self._loops(summary)),
        )

    def _loops(self, element: Element) -> Iterator[Loop]:
        """The loops below ``element``, the nested ones behind their own: elements that have a name."""
        for child in element:
            if child.find("Name") is None:
                continue
            yield Loop(
                self.text(child, "Name"),
                self.count(child, "PipelineII"),
                self.count(child, "TripCount"),
                self.count(child, "Latency"),
            )
            yield from self._loops(child)
