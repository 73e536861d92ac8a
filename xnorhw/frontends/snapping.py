"""``xnorhw.snap``: the first and last layers of a trained network onto a grid, measured before and after."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable
from dataclasses import dataclass
from dataclasses import replace as with_fields
from pathlib import Path
from typing import Any, Union

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, fx, nn

from xnorhw.frontends.evaluator import TorchEvaluator
from xnorhw.frontends.model_file import load_model_file, to_bytes, write
from xnorhw.frontends.replace import Replacements, replaced
from xnorhw.frontends.trace import check_eval, module_path, record
from xnorhw.ir import grid
from xnorhw.ir.errors import ModelError
from xnorhw.ir.float_graph import FloatGraph, FullConv2d, FullLinear
from xnorhw.nn.full import MAX_FRAC, FullBase
from xnorhw.nn.layers import ConvBase, LinearBase
from xnorhw.nn.quantizers import InputQuant, Sign
from xnorhw.nn.snap import IN_FRAC, Snappable, snapped

__all__ = ["SnapReport", "SnappedLayer", "snap", "snap_file"]

CHUNK = 256
Classes = npt.NDArray[np.int64]
Samples = Union[npt.ArrayLike, Tensor]

_PASSING = (nn.Flatten, nn.Identity, nn.MaxPool2d, nn.modules.dropout._DropoutNd)
_PASSING_CALLS = ("flatten", "view", "reshape", "dropout", "max_pool2d", "contiguous", "boolean_dispatch")


@dataclass(frozen=True)
class SnappedLayer:
    """A layer whose weights were rounded: to steps of 2^-frac, each by at most ``moved``."""

    name: str
    kind: str
    frac: int
    moved: float


@dataclass(frozen=True)
class SnapReport:
    """What snapping changed: layers, decisions on ``frames`` frames, and how many of them were right.

    ``right_before`` and ``right_after`` are None where there were no labels.
    """

    layers: tuple[SnappedLayer, ...]
    frames: int = 0
    differing: int = 0
    right_before: int | None = None
    right_after: int | None = None

    def __str__(self) -> str:
        lines = [
            f"{layer.name} ({layer.kind}): weights in steps of 2^-{layer.frac}, moved by at most "
            f"{layer.moved:.3g}"
            for layer in self.layers
        ]
        if not self.layers:
            lines.append("nothing to snap: every full-precision layer is on its grid")
        if not self.frames:
            return "\n".join([*lines, "accuracy: not measured, for no samples were given"])
        if self.right_before is not None and self.right_after is not None:
            shares = [f"{100 * right / self.frames:.2f} %" for right in (self.right_before, self.right_after)]
            lines.append(f"accuracy: {shares[0]} before, {shares[1]} after, on {self.frames} frames")
        lines.append(f"decisions that differ: {self.differing} of {self.frames}")
        return "\n".join(lines)


def snap(
    net: nn.Module,
    frac: int | None = None,
    samples: Samples | None = None,
    labels: npt.ArrayLike | Tensor | None = None,
    replace: Replacements | None = None,
    in_frac: int = IN_FRAC,
) -> nn.Module:
    """A copy of ``net`` whose full-precision layers are exact; prints the accuracy before and after.

    Every torch.nn.Conv2d and Linear in front of the first binary layer or behind the last one
    becomes xnn.FullConv2d or xnn.FullLinear; these and those already there get weights that
    are multiples of 2^-frac (None: the layer's own frac, or as fine as 16 bits allow).  A
    linear layer that reads real values rounds them to multiples of 2^-in_frac.  ``samples``
    [N, ...] as the network's forward takes them and ``labels`` [N] measure what that changed.
    ``replace`` is applied first; see ``save``.  ``net`` itself is not changed.  Raises
    ModelError, naming the module, for a network in training or without a trace, and for a
    layer of torch's between binary ones.
    """
    if not isinstance(net, nn.Module):
        raise ModelError(
            f"a {type(net).__name__} is no network", module="net", remedy="Give a torch.nn.Module in eval"
        )
    _check_frac(frac, "frac")
    _check_frac(in_frac, "in_frac")
    start = replaced(net, replace)
    check_eval(start)
    found = _found(start, in_frac)
    layers: list[SnappedLayer] = []
    functions: dict[type[nn.Module] | str, Callable[[Any], nn.Module]] = {}
    for name, (module, bits) in found.items():
        made = _snapped(module, name, frac, bits)
        if (
            type(made) is type(module)
            and made.frac == module.frac
            and torch.equal(made.weight, module.weight)
        ):
            continue
        moved = float((made.weight - module.weight).detach().abs().max())
        layers.append(SnappedLayer(name, type(made).__name__, made.frac, moved))
        functions[name] = _constant(made)
    result = replaced(start, functions) if functions else copy.deepcopy(start)
    report = SnapReport(tuple(layers))
    if samples is not None:
        values = samples if isinstance(samples, Tensor) else torch.from_numpy(np.asarray(samples))
        marks = _marks(labels, len(values))
        report = _measured(report, _run(start, values), _run(result, values), marks)
    print(report)
    return result


def snap_file(
    path: str | os.PathLike[str], out: str | os.PathLike[str], frac: int | None = None
) -> SnapReport:
    """Write the model file ``path`` to ``out`` with its full-precision weights rounded to 2^-frac.

    ``frac`` None: each layer's own.  Decisions are compared on the samples in the file.  Raises
    ModelError for a file that is none or cannot be written.
    """
    _check_frac(frac, "frac")
    if Path(out).exists() and Path(path).exists() and Path(out).samefile(path):
        raise ModelError(
            "it would take the place of the trained model, whose weights would be lost",
            module=str(out),
            remedy="Write to another file",
        )
    file = load_model_file(path)
    wished = file.graph if frac is None else _with_frac(file.graph, frac)
    made = grid.round_to_grid(wished)
    layers = []
    for before, after in zip(file.graph.nodes, made.nodes, strict=True):
        if before.op is not after.op and isinstance(after.op, FullConv2d | FullLinear):
            assert isinstance(before.op, FullConv2d | FullLinear)
            moved = float(np.abs(after.op.weight - before.op.weight).max())
            name = before.output.name
            if moved or after.op.frac != before.op.frac:
                layers.append(SnappedLayer(name, made.kind(name), after.op.frac, moved))
    report = SnapReport(tuple(layers))
    if file.samples is not None:
        values = np.ascontiguousarray(file.samples, np.float32)
        first, second = (_decisions(TorchEvaluator(g), values) for g in (file.graph, made))
        report = _measured(report, first, second, file.labels)
    write(Path(out), to_bytes(made, file.samples, file.labels))
    return report


def _check_frac(frac: int | None, name: str) -> None:
    if frac is not None and (
        isinstance(frac, bool) or not isinstance(frac, int) or not 0 <= frac <= MAX_FRAC
    ):
        raise ModelError(
            f"{name}={frac!r} is no number of fraction bits", module="snap", remedy=f"Use 0 to {MAX_FRAC}"
        )


def _found(net: nn.Module, in_frac: int) -> dict[str, tuple[Snappable, int | None]]:
    """The layers to snap by name, in the order of their calls, with the in_frac of those on real values."""
    modules = dict(net.named_modules(remove_duplicate=False))
    calls = [n for n in record(net).nodes if n.op == "call_module"]
    binary = [i for i, n in enumerate(calls) if isinstance(modules[module_path(n)], ConvBase | LinearBase)]
    if not binary:
        raise ModelError(
            "it has no binary layer, so there is nothing to build of it",
            module="the network",
            remedy="Use xnn.BinaryConv2d and xnn.BinaryLinear between its first and its last layer",
        )
    found: dict[str, tuple[Snappable, int | None]] = {}
    for i, node in enumerate(calls):
        name = module_path(node)
        module = modules[name]
        if isinstance(module, FullBase):
            found[name] = module, None
        elif type(module) in (nn.Conv2d, nn.Linear):
            if binary[0] < i < binary[-1]:
                raise ModelError(
                    f"{type(module).__name__} is in full precision between binary layers",
                    module=name,
                    remedy="Make it binary by replace= and train again: only the first and the last layers "
                    "stay in full precision",
                )
            assert isinstance(module, nn.Conv2d | nn.Linear)
            found[name] = module, in_frac if _reads_real(node, modules) else None
    return found


def _reads_real(node: fx.Node, modules: dict[str, nn.Module]) -> bool:
    """False where ``node`` reads signs, codes or the input, through pools and flattens alone."""
    source = node.all_input_nodes[0]
    while source.op != "placeholder":
        if source.op == "call_module":
            module = modules[module_path(source)]
            if isinstance(module, Sign | InputQuant):
                return False
            if not isinstance(module, _PASSING):
                return True
        elif getattr(source.target, "__name__", source.target) not in _PASSING_CALLS:
            return True
        source = source.all_input_nodes[0]
    return False


def _snapped(module: Snappable, name: str, frac: int | None, in_frac: int | None) -> FullBase:
    try:
        return snapped(module, frac, in_frac)
    except ValueError as error:
        raise ModelError(str(error), module=name, remedy="Exchange it by replace=") from None


def _constant(made: nn.Module) -> Callable[[Any], nn.Module]:
    return lambda _: made


def _with_frac(graph: FloatGraph, frac: int) -> FloatGraph:
    nodes = [
        with_fields(n, op=with_fields(n.op, frac=frac)) if isinstance(n.op, FullConv2d | FullLinear) else n
        for n in graph.nodes
    ]
    return with_fields(graph, nodes=tuple(nodes))


def _run(net: nn.Module, values: Tensor) -> Classes:
    try:
        with torch.inference_mode():
            parts = [net(part.to(torch.float32)).argmax(dim=1) for part in torch.split(values, CHUNK)]
    except (RuntimeError, ValueError, IndexError) as error:
        raise ModelError(
            f"the network fails on them: {str(error).splitlines()[0]}",
            module="samples",
            remedy="Give a batch of inputs as the network's forward takes them",
        ) from None
    return np.asarray(torch.cat(parts).cpu().numpy(), np.int64)


def _decisions(evaluator: TorchEvaluator, values: npt.NDArray[np.float32]) -> Classes:
    return np.asarray(evaluator.run(torch.from_numpy(values)).argmax(dim=1).numpy(), np.int64)


def _marks(labels: npt.ArrayLike | Tensor | None, count: int) -> Classes | None:
    if labels is None:
        return None
    marks = labels.detach().cpu().numpy() if isinstance(labels, Tensor) else np.asarray(labels)
    if marks.shape != (count,) or marks.dtype.kind not in "iu":
        raise ModelError(
            f"the labels are {marks.dtype} of the shape {marks.shape} for {count} samples",
            module="labels",
            remedy="Give one integer class per sample",
        )
    return marks.astype(np.int64)


def _measured(report: SnapReport, before: Classes, after: Classes, labels: Classes | None) -> SnapReport:
    right = (None, None) if labels is None else ((before == labels).sum(), (after == labels).sum())
    return with_fields(
        report,
        frames=len(before),
        differing=int((before != after).sum()),
        right_before=None if right[0] is None else int(right[0]),
        right_after=None if right[1] is None else int(right[1]),
    )
