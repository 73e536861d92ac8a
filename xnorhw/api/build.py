"""A build folder: run it, prove it, synthesise it."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from xnorhw.api.forms import Form, run_form
from xnorhw.emit import folder as build_folder
from xnorhw.emit.cpu_report import CpuReport, make_cpu_report
from xnorhw.emit.report import Report, make_report
from xnorhw.emit.report_page import report_html
from xnorhw.emit.store import StoredBuild, read_build
from xnorhw.emit.summary import Summary, summarize
from xnorhw.golden.codes import codes_of
from xnorhw.ir.errors import ModelError, VerifyError
from xnorhw.plan.model import Plan

if TYPE_CHECKING:
    from xnorhw.check import Verdict

__all__ = ["Build", "synthesis_tool"]

Progress = Callable[[str], None]
"""Told the name of each step as it begins."""


class Build:
    """A build folder: the accelerator, its integers and its figures.

    ``graph`` is the integer graph as stored: nothing is searched again.  ``verdict`` is what
    the last ``compare`` or ``verify`` of this object found, None before.  A build for the CPU
    alone has no ``plan`` and no ``report``: asking for them raises XnorhwError.  Raises
    XnorhwError where ``folder`` holds no build.
    """

    def __init__(self, folder: str | Path) -> None:
        self._stored: StoredBuild = read_build(Path(folder).absolute())
        self.folder = self._stored.folder
        self.graph = self._stored.graph
        self.verdict: Verdict | None = None

    @property
    def for_cpu(self) -> bool:
        """True where the build has no accelerator: "golden" and "c" are its forms."""
        return self._stored.accelerator is None

    @property
    def plan(self) -> Plan:
        """The accelerator's plan."""
        return self._stored.plan

    @property
    def cpu_report(self) -> CpuReport:
        """What a network holds and computes, for a CPU."""
        return make_cpu_report(self.graph, self._summary(), self._stored.info.build_hash)

    @property
    def report(self) -> Report:
        """What the build costs and reaches, by formula."""
        return make_report(self.graph, self.plan, self._stored.info.build_hash)

    def predict(
        self,
        x: npt.ArrayLike,
        on: Form = "golden",
        *,
        progress: Progress | None = None,
    ) -> npt.NDArray[np.float32]:
        """Scores [N, classes] for input values [N, *input.shape] on one form of the network.

        "golden" is the integer model in NumPy; "c" the generated C on this CPU, compiled once;
        "hls" the generated C++, its stages as processes; "rtl" simulates the generated RTL,
        shell included; "device" that behind a DMA and its registers, as a driver meets it.
        All give the same bits.  Raises ModelError for a wrong input, ToolError where a compiler
        or simulator is missing.  Warns where files were edited since the build.
        """
        edited = build_folder.edited(self.folder)
        if edited:
            warnings.warn(f"{self.folder}: edited since the build: {', '.join(edited)}", stacklevel=2)
        return run_form(self._stored, codes_of(self.graph, x), on, progress)

    def verify(self, level: Literal["golden", "full"] = "full", **options: Any) -> Verdict:
        """``compare``, and VerifyError, naming the first difference, where two forms differ."""
        verdict = self.compare(level, **options)
        verdict.require()
        return verdict

    def compare(
        self,
        level: Literal["golden", "full"] = "full",
        *,
        data: npt.ArrayLike | None = None,
        labels: npt.ArrayLike | None = None,
        frames: int | None = None,
        waves: bool = False,
        progress: Progress | None = None,
    ) -> Verdict:
        """Compare every form with its reference on every tensor; write verify.json and the report.

        ``data`` [N, *input.shape]: input values to use in place of the frames kept in the
        build; ``labels`` [N] their classes.  ``frames``: how many, seeded random ones past
        those kept.  "golden" compares torch with the integer model alone; "full" runs the
        generated RTL too.  ``waves`` leaves an FST file in the folder's work/.  Raises
        ToolError where a simulator is missing, VerifyError where the RTL does not come to an
        end; differences are in the verdict.
        """
        from xnorhw.check import verify_build

        try:
            verdict = verify_build(
                self._stored,
                level,
                codes=None if data is None else codes_of(self.graph, data),
                labels=None if labels is None else _labels(labels),
                frames=frames,
                waves=waves,
                progress=progress,
            )
        except VerifyError:
            # an older verdict must not stand for what just failed
            (self.folder / "verify.json").unlink(missing_ok=True)
            self._write_report(None)
            raise
        tree = verdict.to_json()
        build_folder.replace_file(self.folder / "verify.json", build_folder.json_bytes(tree))
        self._write_report(tree)
        self.verdict = verdict
        return verdict

    def synthesise(
        self, tool: Literal["vitis", "vivado", "yosys"], *, progress: Progress | None = None
    ) -> dict[str, Any]:
        """Run a synthesis tool on the build; write its figures into the report; those of all tools.

        "vitis": C synthesis of the HLS core.  "vivado": the bitstream with the RTL core, into
        pynq/.  Takes minutes to hours.  "yosys": the cells that the RTL maps to, unit by unit, in
        minutes.  Raises ToolError where the tool is missing, too old, does not know the device,
        fails or leaves an unknown report, VerifyError where a loop's II is not 1 or the slack
        is negative; then the report has nothing of this tool, but for yosys, whose last figures
        follow from the same files and stay.
        """
        from xnorhw import synth

        _, run = synthesis_tool(tool)
        if tool != "yosys":
            # older figures must not stand for what may fail now
            synth.write_synthesis(self.folder, tool, None)
        try:
            found: synth.Synthesis = run(self.folder, self.plan, progress=progress)
            tree = synth.write_synthesis(self.folder, tool, found)
        finally:
            self._write_report(self._last_verdict())
        assert tree is not None
        return tree

    def _last_verdict(self) -> dict[str, Any] | None:
        try:
            tree = json.loads((self.folder / "verify.json").read_bytes())
        except (OSError, ValueError, RecursionError):
            return None
        return tree if isinstance(tree, dict) and tree.get("format") == "xnorhw-verdict" else None

    def _summary(self) -> Summary:
        from xnorhw.frontends import load_model_file

        return summarize(load_model_file(self._stored.model).graph)

    def _write_report(self, verdict: dict[str, Any] | None) -> None:
        from xnorhw.synth import read_synthesis

        if self.for_cpu:
            html = self.cpu_report.html(verdict)
        else:
            figures = read_synthesis(self.folder)
            html = report_html(
                self.report, self.graph, self.plan, self._summary(), self._stored.design, verdict, figures
            )
        build_folder.replace_file(self.folder / "report.html", html)


def synthesis_tool(name: str) -> tuple[Callable[[Path], Any], Callable[..., Any]]:
    """What makes sure of a tool, and what runs it."""
    from xnorhw import synth

    tools: dict[str, tuple[Callable[[Path], Any], Callable[..., Any]]] = {
        "vitis": (synth.require_vitis, synth.run_vitis),
        "vivado": (synth.require_vivado, synth.run_vivado),
        "yosys": (synth.require_yosys, synth.run_yosys),
    }
    if name not in tools:
        raise ModelError(f"there is no tool {name!r}", module="synth", remedy=f"Take {', '.join(tools)}")
    return tools[name]


def _labels(labels: npt.ArrayLike) -> npt.NDArray[np.int64]:
    found = np.asarray(labels)
    if found.dtype.kind not in "iu" or found.ndim != 1:
        raise ModelError(
            f"the labels are {found.dtype} of shape {found.shape}",
            module="labels",
            remedy="Pass one integer class a frame",
        )
    return found.astype(np.int64)
