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

from xnorhw.frontends.exact_norms import ExactNorms, exact_norms
from xnorhw.frontends.measure import Measured, compared, graph_decisions, labels_of, net_decisions
from xnorhw.frontends.model_file import load_model_file, to_bytes, write
from xnorhw.frontends.modules import module_of
from xnorhw.frontends.replace import Replacements, replaced
from xnorhw.frontends.steps import of_graph, of_net
from xnorhw.frontends.trace import check_eval, module_path, record
from xnorhw.ir import grid
from xnorhw.ir.errors import ModelError
from xnorhw.ir.float_graph import FloatGraph, FullConv2d, FullLinear
from xnorhw.nn.activations import BasesActivation, Grid, QuantReLU
from xnorhw.nn.exact import lowest_bit
from xnorhw.nn.full import MAX_FRAC, FullBase, grid_frac
from xnorhw.nn.layers import ConvBase, LinearBase
from xnorhw.nn.quant_layers import QuantBase
from xnorhw.nn.quantizers import InputQuant, Sign
from xnorhw.nn.scaled import ScaledConvBase
from xnorhw.nn.snap import IN_FRAC, Snappable, snapped

__all__ = ["SnapReport", "SnappedLayer", "snap", "snap_file"]

Samples = Union[npt.ArrayLike, Tensor]

_BINARY = (ConvBase, LinearBase, QuantBase, ScaledConvBase)
_INTEGER = (Sign, InputQuant, QuantReLU, Grid, BasesActivation)
_PASSING = (nn.Flatten, nn.Identity, nn.MaxPool2d, nn.modules.dropout._DropoutNd)
_PASSING_CALLS = ("flatten", "view", "reshape", "dropout", "max_pool2d", "contiguous", "boolean_dispatch")


@dataclass(frozen=True)
class SnappedLayer:
    """A layer whose weights were rounded: to steps of 2^-frac, each by at most ``moved``.

    Of a batch norm, or a binary layer, in front of a grid it is the results that lie in such
    steps and moved: ``moved`` is the most at any sum whose result the grid does not clamp.
    """

    name: str
    kind: str
    frac: int
    moved: float


@dataclass(frozen=True)
class SnapReport:
    """What snapping changed: layers, decisions on ``frames`` frames, and how many of them were right.

    ``right_before`` and ``right_after`` are None where there were no labels.  ``left`` names, with
    the reason, what feeds a grid and could not be made exact; lowering decides about it.
    """

    layers: tuple[SnappedLayer, ...]
    frames: int = 0
    differing: int = 0
    right_before: int | None = None
    right_after: int | None = None
    left: tuple[str, ...] = ()

    def __str__(self) -> str:
        lines = [
            f"{layer.name} ({layer.kind}): {'weights' if layer.kind.startswith('Full') else 'results'} in "
            f"steps of 2^-{layer.frac}, moved by at most {layer.moved:.3g}"
            for layer in self.layers
        ]
        if not self.layers:
            lines.append("nothing to snap: every layer is exact as it is")
        lines += self.left
        measured = Measured(self.frames, self.differing, self.right_before, self.right_after)
        return "\n".join([*lines, *measured.lines()])


def snap(
    net: nn.Module,
    frac: int | None = None,
    samples: Samples | None = None,
    labels: npt.ArrayLike | Tensor | None = None,
    replace: Replacements | None = None,
    in_frac: int = IN_FRAC,
    full_bits: int | None = None,
) -> nn.Module:
    """A copy of ``net`` whose full-precision layers are exact; prints the accuracy before and after.

    Every torch.nn.Conv2d and Linear in front of the first binary layer or behind the last one
    becomes xnn.FullConv2d or xnn.FullLinear; these and those already there get weights that
    are multiples of 2^-frac (None: the layer's own frac, or as fine as 16 bits allow; with
    ``full_bits`` as fine as so many bits allow, of every layer: 8 suit the chip).  A linear layer
    that reads real values rounds them to multiples of 2^-in_frac.  A batch norm in front
    of ``xnn.Grid`` gets factors with which float32 rounds nothing, and takes over the scale and the
    bias of the layer in front of it, which is frozen.  ``samples`` [N, ...] as the network's
    forward takes them and ``labels`` [N] measure what that changed.
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
    _check_bits(full_bits, frac)
    start = replaced(net, replace)
    check_eval(start)
    found = _found(start, in_frac)
    layers: list[SnappedLayer] = []
    functions: dict[type[nn.Module] | str, Callable[[Any], nn.Module]] = {}
    for name, (module, bits) in found.items():
        made = _snapped(module, name, frac, bits, full_bits)
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
    values = None
    if samples is not None:
        values = samples if isinstance(samples, Tensor) else torch.from_numpy(np.asarray(samples))
    norms = _net_norms(result, values, frac)
    result = replaced(result, {name: _constant(module_of(op, name)) for name, op in norms.ops.items()})
    kinds = {name: type(module).__name__ for name, module in result.named_modules()}
    report = SnapReport(_with_norms(layers, norms, kinds), left=norms.left)
    if values is not None:
        marks = labels_of(labels, len(values))
        measured = compared(net_decisions(start, values), net_decisions(result, values), marks)
        report = with_fields(report, **vars(measured))
    print(report)
    return result


def snap_file(
    path: str | os.PathLike[str],
    out: str | os.PathLike[str],
    frac: int | None = None,
    full_bits: int | None = None,
) -> SnapReport:
    """Write the model file ``path`` to ``out`` with its full-precision weights rounded to 2^-frac.

    ``frac`` None: each layer's own, or with ``full_bits`` as fine as so many bits allow.  Decisions
    are compared on the samples in the file.  Raises ModelError for a file that is none or cannot be
    written.
    """
    _check_frac(frac, "frac")
    _check_bits(full_bits, frac)
    if Path(out).exists() and Path(path).exists() and Path(out).samefile(path):
        raise ModelError(
            "it would take the place of the trained model, whose weights would be lost",
            module=str(out),
            remedy="Write to another file",
        )
    file = load_model_file(path)
    wished = file.graph if frac is None and full_bits is None else _with_frac(file.graph, frac, full_bits)
    made = grid.round_to_grid(wished)
    layers = []
    for before, after in zip(file.graph.nodes, made.nodes, strict=True):
        if before.op is not after.op and isinstance(after.op, FullConv2d | FullLinear):
            assert isinstance(before.op, FullConv2d | FullLinear)
            moved = float(np.abs(after.op.weight - before.op.weight).max())
            name = before.output.name
            if moved or after.op.frac != before.op.frac:
                layers.append(SnappedLayer(name, made.kind(name), after.op.frac, moved))
    norms = exact_norms(of_graph(made), frac)
    nodes = [with_fields(n, op=norms.ops.get(n.output.name, n.op)) for n in made.nodes]
    made = with_fields(made, nodes=tuple(nodes))
    report = SnapReport(_with_norms(layers, norms, dict(made.kinds)), left=norms.left)
    if file.samples is not None:
        values = np.ascontiguousarray(file.samples, np.float32)
        first, second = (graph_decisions(g, values) for g in (file.graph, made))
        report = with_fields(report, **vars(compared(first, second, file.labels)))
    write(Path(out), to_bytes(made, file.samples, file.labels))
    return report


def _net_norms(net: nn.Module, values: Tensor | None, frac: int | None) -> ExactNorms:
    if not any(isinstance(m, Grid | QuantReLU) for m in net.modules()):
        return ExactNorms({}, (), ())
    lowest = None
    if values is not None and bool(torch.isfinite(values).all()):
        lowest = lowest_bit(values.to(torch.float32))
    return exact_norms(of_net(net, max(0, -(lowest or 0))), frac)


def _with_norms(
    layers: list[SnappedLayer], norms: ExactNorms, kinds: dict[str, str]
) -> tuple[SnappedLayer, ...]:
    """``layers``, of which a norm's rewriting may have changed some once more, and then the norms'."""
    again = {m.name for m in norms.moved}
    own = [SnappedLayer(m.name, kinds[m.name], m.frac or 0, m.moved) for m in norms.moved]
    return (*(layer for layer in layers if layer.name not in again), *own)


def _check_frac(frac: int | None, name: str) -> None:
    if frac is not None and (
        isinstance(frac, bool) or not isinstance(frac, int) or not 0 <= frac <= MAX_FRAC
    ):
        raise ModelError(
            f"{name}={frac!r} is no number of fraction bits", module="snap", remedy=f"Use 0 to {MAX_FRAC}"
        )


def _check_bits(full_bits: int | None, frac: int | None) -> None:
    if full_bits is None:
        return
    if frac is not None:
        raise ModelError(
            "frac and full_bits were both given", module="snap", remedy="Give one: each sets the other"
        )
    if isinstance(full_bits, bool) or not isinstance(full_bits, int) or not 2 <= full_bits <= 24:
        raise ModelError(
            f"full_bits={full_bits!r} is no number of bits of a weight", module="snap", remedy="Use 2 to 24"
        )


def _found(net: nn.Module, in_frac: int) -> dict[str, tuple[Snappable, int | None]]:
    """The layers to snap by name, in the order of their calls, with the in_frac of those on real values."""
    modules = dict(net.named_modules(remove_duplicate=False))
    calls = [n for n in record(net).nodes if n.op == "call_module"]
    binary = [i for i, n in enumerate(calls) if isinstance(modules[module_path(n)], _BINARY)]
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
                    remedy="Make it binary by replace= and train again, or take xnn.FullConv2d.from_conv "
                    "with bits=8, which the chip multiplies",
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
            if isinstance(module, _INTEGER):
                return False
            if not isinstance(module, _PASSING):
                return True
        elif getattr(source.target, "__name__", source.target) not in _PASSING_CALLS:
            return True
        source = source.all_input_nodes[0]
    return False


def _snapped(
    module: Snappable, name: str, frac: int | None, in_frac: int | None, full_bits: int | None
) -> FullBase:
    try:
        return snapped(module, frac, in_frac, full_bits)
    except ValueError as error:
        raise ModelError(str(error), module=name, remedy="Exchange it by replace=") from None


def _constant(made: nn.Module) -> Callable[[Any], nn.Module]:
    return lambda _: made


def _with_frac(graph: FloatGraph, frac: int | None, full_bits: int | None) -> FloatGraph:
    nodes = []
    for n in graph.nodes:
        if isinstance(n.op, FullConv2d | FullLinear):
            own = frac
            if full_bits is not None:
                own = grid_frac(torch.from_numpy(n.op.weight), full_bits)
            n = with_fields(n, op=n.op if own is None else with_fields(n.op, frac=own))
        nodes.append(n)
    return with_fields(graph, nodes=tuple(nodes))
