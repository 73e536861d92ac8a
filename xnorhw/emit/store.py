"""A build's data files: the integer graph, the plan and the frames, to bytes and back.

The integers are stored, never searched again: another machine's batch norm may round
another way.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from xnorhw.emit import vivado
from xnorhw.emit.folder import BuildInfo, json_bytes, read_info
from xnorhw.ir import float_graph, geometry, int_graph, types
from xnorhw.ir.errors import XnorhwError
from xnorhw.ir.int_graph import IntGraph
from xnorhw.ir.serial import SerialError, decode, dump_npz, encode, load_npz
from xnorhw.plan import model as plan_model
from xnorhw.plan.model import Plan

__all__ = ["CPU", "Samples", "StoredBuild", "data_files", "read_build"]

T = TypeVar("T")

_GRAPH_CLASSES = (
    float_graph.Input,
    geometry.Pads,
    geometry.WindowGeometry,
    int_graph.Add,
    int_graph.BoxSum,
    int_graph.Concat,
    int_graph.FullProduct,
    int_graph.HostAffine,
    int_graph.HostBatchNorm,
    int_graph.HostClamp,
    int_graph.HostFull,
    int_graph.IntGraph,
    int_graph.IntNode,
    int_graph.Lookup,
    int_graph.MaxPool,
    int_graph.Multiply,
    int_graph.Product,
    int_graph.Requant,
    int_graph.Reshape,
    int_graph.RoundingDependent,
    int_graph.SumPool,
    int_graph.Tensor,
    int_graph.Term,
    int_graph.Threshold,
    types.IntType,
)

_PLAN_CLASSES = (
    geometry.Pads,
    geometry.WindowGeometry,
    plan_model.Buffer,
    plan_model.Converter,
    plan_model.DdrBuffer,
    plan_model.Edge,
    plan_model.Fifo,
    plan_model.Figures,
    plan_model.Frame,
    plan_model.Job,
    plan_model.LayerPlan,
    plan_model.Proof,
    plan_model.Trade,
    plan_model.TradePoint,
    plan_model.TrimmedBuffer,
    plan_model.LevelUnit,
    plan_model.MatrixUnit,
    plan_model.Spread,
    plan_model.Plan,
    plan_model.AbsSumUnit,
    plan_model.AddUnit,
    plan_model.ConcatUnit,
    plan_model.ForkUnit,
    plan_model.MultiplyUnit,
    plan_model.PlaneUnit,
    plan_model.PoolUnit,
    plan_model.RequantUnit,
    plan_model.Resources,
    plan_model.RomPart,
    plan_model.Segment,
    plan_model.StartRom,
    plan_model.Stream,
    plan_model.SumPoolUnit,
    plan_model.TermsUnit,
    plan_model.WeightImage,
    plan_model.WeightRom,
    plan_model.Window,
)

_DESIGN_CLASSES = (vivado.BlockDesign, vivado.Cell, vivado.Link, vivado.Segment)

CPU = "cpu"
"""What stands in place of a board in a build for the CPU alone."""

DESIGN = "vivado/design.json"


@dataclass(frozen=True)
class Samples:
    """Frames kept in a build, with the answers that every form must give.

    ``codes`` int32 [N, C, H, W]: input codes, the user's own samples first (``real`` of
    them), seeded random frames behind.  ``labels`` int64 [real], or None.  ``sums`` int64
    [N, C, H, W]: the golden model's last integer tensor.
    """

    codes: npt.NDArray[np.int32]
    real: int
    labels: npt.NDArray[np.int64] | None
    sums: npt.NDArray[np.int64]


@dataclass(frozen=True)
class StoredBuild:
    """What a build folder holds; ``model`` is the path of the model file as it was given.

    ``accelerator`` is None in a build for the CPU alone.  ``design`` is the block design around
    the network; None there, and in folders from before there was one.
    """

    folder: Path
    info: BuildInfo
    graph: IntGraph
    accelerator: Plan | None
    samples: Samples
    model: Path
    design: vivado.BlockDesign | None

    @property
    def plan(self) -> Plan:
        """The accelerator's plan.  Raises XnorhwError where the build is for the CPU alone."""
        if self.accelerator is None:
            raise XnorhwError(
                "is a build for the CPU alone: it has no accelerator",
                module=str(self.folder),
                remedy="Run it with --on c or --on golden, or build for a board: see `xnorhw boards`",
            )
        return self.accelerator


def data_files(
    graph: IntGraph, plan: Plan | None, samples: Samples, design: vivado.BlockDesign | None = None
) -> dict[str, bytes]:
    """graph.npz, samples.npz, with a plan plan.json, with a block design vivado/design.json."""
    arrays: dict[str, npt.NDArray[Any]] = {}
    tree = encode(graph, arrays)
    kept: dict[str, npt.NDArray[Any]] = {"codes": samples.codes, "sums": samples.sums}
    if samples.labels is not None:
        kept["labels"] = samples.labels
    files = {
        "graph.npz": dump_npz(tree, arrays),
        "samples.npz": dump_npz({"real": samples.real}, kept),
    }
    if plan is not None:
        files["plan.json"] = plan_bytes(plan)
    return files if design is None else {**files, DESIGN: json_bytes(encode(design, {}))}


def plan_bytes(plan: Plan) -> bytes:
    """The text of plan.json."""
    return json_bytes(encode(plan, {}))


def read_build(folder: Path) -> StoredBuild:
    """Read a build folder back.  Raises XnorhwError where it is none or is damaged."""
    info = read_info(folder)
    graph_tree, graph_arrays = _npz(folder, "graph.npz")
    sample_tree, sample_arrays = _npz(folder, "samples.npz")
    cpu = info.board == CPU
    plan = None if cpu else _decoded(folder, "plan.json", _json(folder, "plan.json"), {}, _PLAN_CLASSES, Plan)
    try:
        samples = Samples(
            sample_arrays["codes"].astype(np.int32),
            int(sample_tree["real"]),
            sample_arrays["labels"].astype(np.int64) if "labels" in sample_arrays else None,
            sample_arrays["sums"].astype(np.int64),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise _damaged(folder, "samples.npz", repr(error)) from None
    return StoredBuild(
        folder,
        info,
        _decoded(folder, "graph.npz", graph_tree, graph_arrays, _GRAPH_CLASSES, IntGraph),
        plan,
        samples,
        folder / "model.pt",
        _design(folder) if (folder / DESIGN).exists() else None,
    )


def _design(folder: Path) -> vivado.BlockDesign:
    return _decoded(folder, DESIGN, _json(folder, DESIGN), {}, _DESIGN_CLASSES, vivado.BlockDesign)


def _json(folder: Path, name: str) -> Any:
    try:
        return json.loads(_read(folder, name))
    except (ValueError, RecursionError) as error:
        raise _damaged(folder, name, str(error)) from None


def _decoded(
    folder: Path,
    name: str,
    tree: Any,
    arrays: dict[str, npt.NDArray[Any]],
    classes: tuple[type, ...],
    wanted: type[T],
) -> T:
    try:
        value = decode(tree, arrays, classes)
    except (SerialError, AttributeError, TypeError, ValueError) as error:
        raise _damaged(folder, name, str(error)) from None
    if not isinstance(value, wanted):
        raise _damaged(folder, name, f"it holds no {wanted.__name__}")
    return value


def _npz(folder: Path, name: str) -> tuple[Any, dict[str, npt.NDArray[Any]]]:
    try:
        return load_npz(_read(folder, name))
    except SerialError as error:
        raise _damaged(folder, name, str(error)) from None


def _read(folder: Path, name: str) -> bytes:
    try:
        return (folder / name).read_bytes()
    except OSError as error:
        raise _damaged(folder, name, (error.strerror or str(error)).lower()) from None


def _damaged(folder: Path, name: str, reason: str) -> XnorhwError:
    return XnorhwError(
        f"the build is damaged: {reason}", module=str(folder / name), remedy="Build again with xnorhw build"
    )
