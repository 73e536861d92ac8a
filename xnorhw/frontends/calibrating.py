"""``xnorhw.calibrate``: the float ReLUs between binary-weight layers to integer codes, after training."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from dataclasses import replace as with_fields
from pathlib import Path
from typing import Any, NoReturn, Union

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from xnorhw.frontends.evaluator import TorchEvaluator
from xnorhw.frontends.measure import (
    CHUNK,
    Measured,
    compared,
    graph_decisions,
    labels_of,
    net_decisions,
)
from xnorhw.frontends.model_file import check_classes, check_values, load_model_file, to_bytes, write
from xnorhw.frontends.replace import Replacements, replaced
from xnorhw.frontends.steps import Step, Steps, of_graph, of_net
from xnorhw.frontends.trace import check_eval
from xnorhw.ir import float_graph as fg
from xnorhw.ir.errors import ModelError
from xnorhw.nn.activations import QuantReLU
from xnorhw.nn.calibrate import PERCENTILE, activation_scale

__all__ = ["CalibratedActivation", "CalibrationReport", "calibrate", "calibrate_file"]

Samples = Union[npt.ArrayLike, Tensor]
Values = npt.NDArray[np.float32]

_BINARY = (fg.BinaryConv2d, fg.BinaryLinear, fg.BasesConv2d, fg.BasesLinear)
_FULL = (fg.FullConv2d, fg.FullLinear)
_MOST_VALUES = 1 << 22
"""Of more activations than these every n-th is looked at."""


@dataclass(frozen=True)
class CalibratedActivation:
    """A ReLU that became a ``QuantReLU``: its scale, its largest value on the samples, the share clipped."""

    name: str
    scale: float
    largest: float
    clipped: float


@dataclass(frozen=True)
class CalibrationReport:
    """What calibration changed, and the decisions on ``frames`` frames; see ``Measured``."""

    bits: int
    activations: tuple[CalibratedActivation, ...]
    frames: int = 0
    differing: int = 0
    right_before: int | None = None
    right_after: int | None = None

    def __str__(self) -> str:
        lines = [
            f"{a.name}: codes of {self.bits} bits, each worth {a.scale:.6g}; largest value {a.largest:.6g}, "
            f"{100 * a.clipped:.3g} % clipped"
            for a in self.activations
        ]
        if not self.activations:
            lines.append("nothing to calibrate: no ReLU feeds a layer with binary weights")
        measured = Measured(self.frames, self.differing, self.right_before, self.right_after)
        return "\n".join([*lines, *measured.lines()])


def calibrate(
    net: nn.Module,
    samples: Samples,
    bits: int = 8,
    labels: npt.ArrayLike | Tensor | None = None,
    percentile: float = PERCENTILE,
    power_of_two: bool = False,
    replace: Replacements | None = None,
) -> nn.Module:
    """A copy of ``net`` (in eval) whose ReLUs in front of binary-weight layers give codes of ``bits`` bits.

    Each torch.nn.ReLU from which such a layer reads, through max-pools, flattens and
    concatenations alone, becomes ``xnn.QuantReLU`` with a scale from what it takes on
    ``samples`` [N, ...], as the network's forward takes them: the largest code stands for the
    ``percentile`` of its positive values, see ``activation_scale``.  The layers behind get that
    scale as their ``in_scale``.  ReLUs that meet in one layer share a scale.  Prints scales, how
    many decisions on the samples changed and, with ``labels`` [N], the accuracy before and after.

    Raises ModelError, naming the module: F.relu (a function cannot be exchanged), a ReLU that
    is read by something else, too, a network in training or without a trace, bad samples.
    """
    if not isinstance(net, nn.Module):
        raise ModelError(
            f"a {type(net).__name__} is no network", module="net", remedy="Give a torch.nn.Module in eval"
        )
    _check_options(bits, percentile)
    start = replaced(net, replace)
    check_eval(start)
    values = samples if isinstance(samples, Tensor) else torch.from_numpy(np.asarray(samples))
    if values.dim() < 2 or len(values) == 0:
        _refuse(
            "samples",
            "they are no batch of frames",
            "Give inputs [N, ...] as the network's forward takes them",
        )
    marks = labels_of(labels, len(values))
    before = net_decisions(start, values)
    groups = _groups(of_net(start))
    seen = _watched(start, values, [name for group in groups for name in group.relus])
    chosen = _chosen(groups, seen, bits, percentile, power_of_two)
    functions: dict[type[nn.Module] | str, Callable[[Any], nn.Module]] = {}
    for group, scale in chosen:
        functions |= {name: _codes(bits, scale) for name in group.relus}
        functions |= {name: _scaled(scale) for name in group.layers}
    result = replaced(start, functions) if functions else copy.deepcopy(start)
    report = CalibrationReport(bits, _activations(chosen, seen, bits))
    report = with_fields(report, **vars(compared(before, net_decisions(result, values), marks)))
    print(report)
    return result


def calibrate_file(
    path: str | os.PathLike[str],
    out: str | os.PathLike[str],
    bits: int = 8,
    samples: npt.ArrayLike | None = None,
    labels: npt.ArrayLike | None = None,
    percentile: float = PERCENTILE,
    power_of_two: bool = False,
) -> CalibrationReport:
    """Write the model file ``path`` to ``out`` with codes of ``bits`` bits between its binary layers.

    ``samples`` [N, *input.shape] as the network takes them (None: those in the file, which stay in
    it either way).  For the rest see ``calibrate``.  Raises ModelError for a file that is none or
    cannot be written, and where there are no samples at all.
    """
    _check_options(bits, percentile)
    if Path(out).exists() and Path(path).exists() and Path(out).samefile(path):
        _refuse(
            str(out),
            "it would take the place of the trained model",
            "Write the calibrated one to another file",
        )
    file = load_model_file(path)
    given = file.samples if samples is None else np.asarray(samples)
    if given is None:
        _refuse(
            str(path), "it holds no samples to calibrate on", "Give some by --data, or save it with samples="
        )
    if given.ndim < 2 or len(given) == 0 or given.shape[1:] != tuple(file.graph.input.shape):
        _refuse(
            "samples",
            f"they have the shape {given.shape}, the network takes (N, "
            f"{', '.join(map(str, file.graph.input.shape))})",
            "Give a batch of inputs, frames first",
        )
    values = np.ascontiguousarray(given, np.float32)
    check_values(file.graph.input, values)
    check_classes(file.graph, labels)
    marks = labels_of(file.labels if samples is None else labels, len(values))
    groups = _groups(of_graph(file.graph))
    seen = _traced(file.graph, values, [name for group in groups for name in group.relus])
    chosen = _chosen(groups, seen, bits, percentile, power_of_two)
    ops: dict[str, fg.FloatOp] = {}
    for group, scale in chosen:
        ops |= {name: fg.QuantRelu(bits, scale) for name in group.relus}
        ops |= {name: _scaled_op(file.graph.node(name).op, scale) for name in group.layers}
    nodes = tuple(with_fields(n, op=ops.get(n.output.name, n.op)) for n in file.graph.nodes)
    kinds = tuple((name, "QuantReLU" if name in seen else kind) for name, kind in file.graph.kinds)
    made = with_fields(file.graph, nodes=nodes, kinds=kinds)
    report = CalibrationReport(bits, _activations(chosen, seen, bits))
    first, second = (graph_decisions(graph, values) for graph in (file.graph, made))
    report = with_fields(report, **vars(compared(first, second, marks)))
    write(Path(out), to_bytes(made, file.samples, file.labels))
    return report


@dataclass(frozen=True)
class _Group:
    """ReLUs that share a scale, and the layers that read them; names of modules or of saved values."""

    relus: tuple[str, ...]
    layers: tuple[str, ...]


@dataclass
class _Seen:
    """Values of a ReLU: every n-th, and the largest of all."""

    parts: list[Values]
    largest: float = 0.0

    def add(self, values: Values, most: int) -> None:
        if not np.isfinite(values).all():
            raise ModelError(
                "it gives NaN or infinity on the samples",
                module="samples",
                remedy="Give inputs as the network's forward takes them",
            )
        flat = values.ravel()
        self.largest = max(self.largest, float(flat.max()))
        self.parts.append(flat[:: max(1, flat.size // most)].copy())

    def values(self) -> Values:
        return np.concatenate([*self.parts, np.array([self.largest], np.float32)])


def _groups(steps: Steps) -> tuple[_Group, ...]:
    """Which ReLUs have to become codes, in the order of their calls."""
    reads: dict[str, set[str]] = {}  # a layer -> the ReLUs that it reads
    binary: set[str] = set()
    for step in steps.all:
        if step.kind == "product" and isinstance(step.op, _BINARY + _FULL):
            sources = list(_sources(steps, step))
            relus = [s for s in sources if _is_real_relu(steps, s)]
            if not relus:
                continue
            if len(relus) < len(sources):
                other = next(s for s in sources if s not in relus)
                _refuse(
                    step.path,
                    f"it reads {_label(relus[0])}, a ReLU of real numbers, together with {_label(other)}",
                    "Concatenate ReLUs alone, or put xnn.QuantReLU in place of both by hand",
                )
            reads.setdefault(step.path, set()).update(_key(s) for s in relus)
            if isinstance(step.op, _BINARY):
                binary.add(step.path)
    merged: list[tuple[set[str], set[str]]] = []
    for layer, relu_names in reads.items():
        joined = (set(relu_names), {layer})
        for met in [m for m in merged if m[0] & relu_names]:
            merged.remove(met)
            joined = (joined[0] | met[0], joined[1] | met[1])
        merged.append(joined)
    chosen = [m for m in merged if m[1] & binary]
    for relus_of, _ in chosen:
        _check_readers(steps, relus_of)
    order = {_key(step): i for i, step in reversed(list(enumerate(steps.all)))}
    groups = [
        _Group(tuple(sorted(r, key=order.__getitem__)), tuple(sorted(p, key=order.__getitem__)))
        for r, p in chosen
    ]
    return tuple(sorted(groups, key=lambda g: order[g.relus[0]]))


def _key(step: Step) -> str:
    return step.path or step.name


def _label(step: Step) -> str:
    return step.path or f"the call {step.name}"


def _is_real_relu(steps: Steps, step: Step) -> bool:
    return step.kind == "relu" and steps.integers(step) is None


def _sources(steps: Steps, step: Step) -> Iterator[Step]:
    for name in step.inputs:
        source = steps[name]
        if source.kind in ("pool", "pass", "flatten", "concat"):
            yield from _sources(steps, source)
        else:
            yield source


def _readers(steps: Steps, step: Step) -> Iterator[Step | None]:
    """Who computes with ``step``; None for the network's result."""
    if step.name == steps.output:
        yield None
    for user in steps.users(step):
        if user.kind in ("pool", "pass", "flatten", "concat"):
            yield from _readers(steps, user)
        else:
            yield user


def _check_readers(steps: Steps, relus: set[str]) -> None:
    for step in steps.all:
        if step.kind != "relu" or _key(step) not in relus:
            continue
        if not step.path:
            _refuse(
                f"{step.name} (F.relu or a method)",
                "a call cannot be exchanged for a QuantReLU",
                "Use a torch.nn.ReLU module of its own in the network, or write xnn.QuantReLU there",
            )
        for reader in _readers(steps, step):
            if reader is None or not isinstance(reader.op, _BINARY + _FULL):
                what = "the network's result" if reader is None else _label(reader)
                shared = ", which is called in several places," if step.shared else ""
                _refuse(
                    step.path,
                    f"this ReLU{shared} feeds a layer with binary weights, and {what}, which takes real "
                    "numbers",
                    "Give each its own: xnn.QuantReLU in front of the layer, xnn.Grid in front of a sum",
                )


def _watched(net: nn.Module, values: Tensor, names: list[str]) -> dict[str, _Seen]:
    """What the modules ``names`` give on all frames."""
    seen = {name: _Seen([]) for name in names}
    most = max(1, _MOST_VALUES // -(-len(values) // CHUNK))

    def keep(name: str) -> Callable[[nn.Module, Any, Tensor], None]:
        return lambda module, inputs, y: seen[name].add(y.numpy(), most)

    handles = [net.get_submodule(name).register_forward_hook(keep(name)) for name in names]
    try:
        if names:
            net_decisions(net, values)
    finally:
        for handle in handles:
            handle.remove()
    return seen


def _traced(graph: fg.FloatGraph, values: Values, names: list[str]) -> dict[str, _Seen]:
    seen = {name: _Seen([]) for name in names}
    evaluator = TorchEvaluator(graph)
    parts = -(-len(values) // CHUNK)
    for i in range(parts if names else 0):
        tensors = evaluator.trace(values[i * CHUNK : (i + 1) * CHUNK])
        for name in names:
            seen[name].add(tensors[name].astype(np.float32), max(1, _MOST_VALUES // parts))
    return seen


def _chosen(
    groups: tuple[_Group, ...], seen: dict[str, _Seen], bits: int, percentile: float, power_of_two: bool
) -> list[tuple[_Group, float]]:
    chosen = []
    for group in groups:
        # one that never fires has no say
        alive = [name for name in group.relus if seen[name].largest > 0] or group.relus[:1]
        scales = [activation_scale(seen[name].values(), bits, percentile, power_of_two) for name in alive]
        chosen.append((group, max(scales)))
    return chosen


def _activations(
    chosen: list[tuple[_Group, float]], seen: dict[str, _Seen], bits: int
) -> tuple[CalibratedActivation, ...]:
    top = (1 << bits) - 0.5
    return tuple(
        CalibratedActivation(
            name, scale, seen[name].largest, float((seen[name].values() > top * scale).mean())
        )
        for group, scale in chosen
        for name in group.relus
    )


def _codes(bits: int, scale: float) -> Callable[[Any], nn.Module]:
    return lambda _: QuantReLU(bits, scale)


def _scaled(scale: float) -> Callable[[Any], nn.Module]:
    def change(layer: Any) -> nn.Module:
        layer.in_scale = float(np.float32(layer.in_scale * scale))
        if getattr(layer, "in_frac", None) is not None:
            layer.in_frac = None  # codes are whole numbers
        return layer  # type: ignore[no-any-return]

    return change


def _scaled_op(op: fg.FloatOp, scale: float) -> fg.FloatOp:
    assert isinstance(op, _BINARY + _FULL)
    made = with_fields(op, in_scale=float(np.float32(op.in_scale * scale)))
    return with_fields(made, in_frac=None) if isinstance(made, fg.FullLinear) else made


def _check_options(bits: int, percentile: float) -> None:
    if isinstance(bits, bool) or not isinstance(bits, int) or not 1 <= bits <= 8:
        _refuse("calibrate", f"bits={bits!r} is no number of bits of a code", "Use 1 to 8")
    if not 0 < percentile <= 100:
        _refuse("calibrate", f"percentile={percentile!r} is none", "Use a number above 0, at most 100")


def _refuse(where: str, reason: str, remedy: str) -> NoReturn:
    raise ModelError(reason, module=where, remedy=remedy)
