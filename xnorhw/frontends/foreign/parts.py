"""What the networks of checkpoints are put together from: weights taken by name, layers of ours."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import NoReturn

import torch
from torch import Tensor, nn

from xnorhw.frontends.foreign.base import Decision, InputSpec, Options, open_question, refuse
from xnorhw.frontends.foreign.grids import grid_of, on_grid, reach
from xnorhw.frontends.foreign.torch_files import Checkpoint
from xnorhw.nn.activations import Grid
from xnorhw.nn.foreign import sign_at_zero
from xnorhw.nn.full import FullConv2d, FullLinear
from xnorhw.nn.layers import FrozenBinaryConv2d, FrozenBinaryLinear
from xnorhw.nn.quantizers import Sign

__all__ = [
    "Layers",
    "Maker",
    "Network",
    "grid_of",
    "on_grid",
    "chosen",
    "refuse_shortcuts",
    "tree",
]

Layers = list[tuple[str, nn.Module]]
"""Modules in the order of their calls, by dotted names."""

Network = Callable[["Maker", Options], tuple[nn.Module, InputSpec]]
"""What builds one network of a project."""

_EXACT = 53
_GRID_BITS = 24
"""As fine as float32 itself."""
_FULL_BITS = 22
_MEAN_FRAC = 24
_MAGNITUDE = 9
"""Real values in front of the last layer are taken to be below 2^9; lowering proves it."""


class Maker:
    """Takes the weights of a checkpoint one by one and makes layers of them.

    ``arch`` is the name of the network whose weights they should be; ``sign0`` and ``pad`` are
    those of the project, unless the user said others; ``eps`` None: each norm's own.
    """

    def __init__(self, file: Checkpoint, arch: str, options: Options, sign0: int = 0, pad: int = 0) -> None:
        self.where = file.where
        self.arch = arch
        self.sign0 = sign0 if options.sign0 is None else options.sign0
        self.pad = pad if options.pad is None else options.pad
        self.eps = options.eps
        self.decisions: list[Decision] = []
        self._tensors = file.tensors
        self._taken: set[str] = set()
        self._eps_used: set[float] = set()
        self._options = options
        if file.parallel:
            self.decide("names", 'without "module."', "it was trained under DataParallel")

    def decide(self, what: str, value: str, why: str) -> None:
        """Note a decision."""
        self.decisions.append(Decision(what, value, why))

    def has(self, name: str) -> bool:
        """True where the file has a tensor of that name."""
        return name in self._tensors

    def names(self) -> tuple[str, ...]:
        """The names of all tensors in the file."""
        return tuple(self._tensors)

    def is_integer(self, name: str) -> bool:
        """True where a tensor that is there holds integers."""
        return not self._tensors[name].is_floating_point()

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape of a tensor that is there."""
        if name not in self._tensors:
            self.other(f"there is no {name}")
        return tuple(self._tensors[name].shape)

    def take(self, name: str, *shape: int | None) -> Tensor:
        """A tensor in float32; ModelError where it is missing, of another shape, or not finite."""
        found = self.raw(name, *shape)
        if not found.is_floating_point():
            self.other(f"{name} holds {str(found.dtype).removeprefix('torch.')}, not real numbers")
        values = found.to(torch.float32)
        if not bool(torch.isfinite(values).all()):
            refuse(
                self.where,
                f"holds NaN or infinity in {name}, so the network decides nothing",
                "Take the last good checkpoint",
            )
        return values

    def raw(self, name: str, *shape: int | None) -> Tensor:
        """A tensor as it lies in the file, of the shape given; None is any size."""
        found = self.shape(name)
        if len(found) != len(shape) or any(
            s is not None and s != f for s, f in zip(shape, found, strict=True)
        ):
            wanted = " x ".join("any" if s is None else str(s) for s in shape)
            self.other(f"{name} is {' x '.join(map(str, found)) or 'a number'}, not {wanted}")
        self._taken.add(name)
        return self._tensors[name].detach()

    def leave(self, name: str) -> None:
        """A tensor that is known and not needed."""
        self._taken.add(name)

    def other(self, what: str) -> NoReturn:
        """Refuse the file as another network's."""
        refuse(
            self.where,
            f"is no checkpoint of {self.arch}: {what}",
            "Name the network that it was trained as by --arch, or build it in Python with the classes of "
            "xnorhw.nn and load the weights there; see docs/own-model.md",
        )

    def bias(self, name: str, outputs: int) -> Tensor | None:
        """The bias of a layer that may have none."""
        return self.take(name, outputs) if self.has(name) else None

    def norm(
        self,
        prefix: str,
        channels: int,
        rank: int,
        eps: float = 1e-5,
        affine: bool | None = None,
        floor: float | None = None,
    ) -> nn.BatchNorm1d | nn.BatchNorm2d:
        """A batch norm; ``affine`` None: as the file has it; ``floor``: the least that is left of gamma."""
        eps = eps if self.eps is None else self.eps
        self._eps_used.add(eps)
        affine = self.has(f"{prefix}.weight") if affine is None else affine
        kind = nn.BatchNorm1d if rank == 2 else nn.BatchNorm2d
        made = kind(channels, eps=eps, affine=affine)
        with torch.no_grad():
            if affine:
                gamma = self.take(f"{prefix}.weight", channels)
                made.weight.copy_(gamma if floor is None else gamma.clamp(min=floor))
                made.bias.copy_(self.take(f"{prefix}.bias", channels))
            assert made.running_mean is not None and made.running_var is not None
            made.running_mean.copy_(self.take(f"{prefix}.running_mean", channels))
            variance = self.take(f"{prefix}.running_var", channels)
            if bool((variance < 0).any()):
                refuse(
                    self.where, f"has a negative variance in {prefix}.running_var", "Take another checkpoint"
                )
            made.running_var.copy_(variance)
        return made

    def sign(self) -> nn.Module:
        """The sign of activations."""
        return Sign() if self.sign0 == 1 else sign_at_zero(self.sign0)

    def signs(self, weight: Tensor, name: str) -> Tensor:
        """sign(W); ModelError where a weight is exactly 0 and sign(0) = 0."""
        zeros = weight == 0
        count = int(zeros.sum())
        if count and self.sign0 == 0:
            at = ", ".join(str(int(i)) for i in zeros.nonzero()[0])
            open_question(
                self.where,
                "sign0",
                [
                    ("+1", "that they count as +1"),
                    ("-1", "as -1; both are another network than the trained one"),
                ],
                f"{count:,} weights of {name} are exactly 0 (the first at [{at}]), and with sign(0) = 0 "
                "they have no binary form",
            )
        if count:
            self.decide(f"weights of 0 in {name}", f"{count:,} count as {self.sign0:+d}", "as sign(0) says")
        positive = weight > 0 if self.sign0 == -1 else weight >= 0
        return torch.where(positive, 1.0, -1.0)

    def linear(self, signs: Tensor, scale: Tensor | None, bias: Tensor | None) -> FrozenBinaryLinear:
        """A binary linear layer."""
        return FrozenBinaryLinear(signs, scale, bias)

    def conv(
        self,
        signs: Tensor,
        scale: Tensor | None,
        bias: Tensor | None,
        stride: int = 1,
        padding: int = 0,
        groups: int = 1,
        in_scale: float = 1.0,
    ) -> FrozenBinaryConv2d:
        """A binary convolution, its padded taps as the network has them."""
        return FrozenBinaryConv2d(signs, scale, bias, stride, padding, 1, groups, self.pad, in_scale)

    def last(self, name: str, inputs: int) -> FullLinear:
        """The linear layer in full precision behind the last binary one, which reads real values."""
        weight = self.take(f"{name}.weight", None, inputs)
        outputs = weight.shape[0]
        bias = self.bias(f"{name}.bias", outputs)
        budget = _EXACT - _MAGNITUDE - math.ceil(math.log2(inputs))
        in_frac = min(20, budget // 2)
        frac = grid_of(weight, min(24, budget - in_frac))
        made = FullLinear(inputs, outputs, bias is not None, frac, in_frac)
        _fill(made, on_grid(weight, frac), bias)
        self.decide(
            "last layer",
            f"weights in steps of 2^-{frac}, its input in steps of 2^-{in_frac}",
            "its sums are exact in any order then",
        )
        return made

    def last_on_codes(self, name: str, inputs: int, step: float) -> FullLinear:
        """The same behind integer codes, each worth ``step``."""
        weight = self.take(f"{name}.weight", None, inputs)
        outputs = weight.shape[0]
        bias = self.bias(f"{name}.bias", outputs)
        frac = grid_of(weight, _FULL_BITS)
        made = FullLinear(inputs, outputs, bias is not None, frac, None, step)
        _fill(made, on_grid(weight, frac), bias)
        self.decide("last layer", f"weights in steps of 2^-{frac}", "its sums are exact in any order then")
        return made

    def grid(self, what: str, layers: Layers, values: int = 1) -> Grid:
        """Real values in front of ``what`` on the finest grid that holds what ``layers`` can give.

        ``values`` of them are added: their sum fits float32, too.
        """
        bits = _GRID_BITS + 1 - values.bit_length()
        frac = max(0, min(30, bits - 1 - math.frexp(reach(layers))[1]))
        self.decide(
            f"in front of {what}",
            f"values in steps of 2^-{frac}",
            "sums of real numbers are exact on a grid alone; a network with them is built for the CPU",
        )
        return Grid(bits, frac)

    def last_conv(self, name: str, inputs: int) -> FullConv2d:
        """A convolution of 1 x 1 in full precision behind a grid."""
        weight = self.take(f"{name}.weight", None, inputs, 1, 1)
        outputs = weight.shape[0]
        bias = self.bias(f"{name}.bias", outputs)
        frac = grid_of(weight, _EXACT - _GRID_BITS - math.ceil(math.log2(inputs)))
        made = FullConv2d(inputs, outputs, 1, bias=bias is not None, frac=frac)
        _fill(made, on_grid(weight, frac), bias)
        self.decide(
            "last convolution", f"weights in steps of 2^-{frac}", "its sums are exact in any order then"
        )
        return made

    def mean_of_maps(self, channels: int, pixels: int) -> FullLinear:
        """The mean of each of ``channels`` flattened maps, of a power of two pixels, behind real values."""
        made = FullLinear(channels * pixels, channels, False, pixels.bit_length() - 1, _MEAN_FRAC)
        rows = torch.eye(channels).repeat_interleave(pixels, 1) / pixels
        _fill(made, rows, None)
        self.decide(
            "the last average",
            f"of values in steps of 2^-{_MEAN_FRAC}",
            "its sums are exact in any order then",
        )
        return made

    def finish(self, net: nn.Module, spec: InputSpec) -> nn.Module:
        """``net`` in eval; ModelError for weights without a place in it, an input that it does not take."""
        left = sorted(set(self._tensors) - self._taken)
        if left:
            more = f" and {len(left) - 1} more" if len(left) > 1 else ""
            self.other(f"it holds {left[0]}{more}, for which that network has no place")
        said = self._options
        net.eval()
        self._try(net, spec)
        zero = "as --sign0 says"
        if said.sign0 is None:
            zero = "the project's torch.sign; with --sign0 +1 each activation is one bit" * (self.sign0 == 0)
            zero = zero or "the project's own sign"
        self.decide("sign(0)", f"{self.sign0:+d}" if self.sign0 else "0", zero)
        self.decide(
            "padded taps",
            f"{self.pad:+d}" if self.pad else "0",
            "the project pads so" if said.pad is None else "as --pad says",
        )
        if self._eps_used:
            values = ", ".join(f"{eps:g}" for eps in sorted(self._eps_used))
            self.decide(
                "eps of the batch norms",
                values,
                "the project's code" if self.eps is None else "as --eps says",
            )
        return net

    def _try(self, net: nn.Module, spec: InputSpec) -> None:
        try:
            with torch.no_grad():
                out = net(torch.ones(1, *spec.shape))
        except (RuntimeError, ValueError) as error:
            size = " x ".join(map(str, spec.shape))
            refuse(
                "--input",
                f"{self.arch} with the weights of {self.where} takes no input of {size}: "
                f"{str(error).splitlines()[0]}",
                "Give the size that it was trained with",
            )
        if out.dim() != 2:
            self.other(f"its result has the shape {list(out.shape)[1:]}, where scores stand")


def chosen(
    file: Checkpoint,
    project: str,
    networks: Mapping[str, Network],
    found: str | None,
    options: Options,
    sign0: int = 0,
    pad: int = 0,
) -> tuple[Maker, Network]:
    """The network of a project that --arch names, or that was ``found`` by the names in the file."""
    arch = options.arch or found
    known = ", ".join(networks)
    if arch is None:
        refuse(
            file.where,
            f"has the layers of none of {project}'s networks ({known})",
            "Name the one that it was trained as by --arch, or build the network in Python with the classes "
            "of xnorhw.nn and load the weights there; see docs/own-model.md",
        )
    if arch not in networks:
        refuse("--arch", f"{project} has no network {arch!r}", f"It has {known}")
    maker = Maker(file, f"{project}'s {arch}", options, sign0, pad)
    maker.decide("network", arch, "the names of its layers" if options.arch is None else "as --arch says")
    return maker, networks[arch]


def refuse_shortcuts(where: str, what: str) -> NoReturn:
    """Refuse a residual network, ``what``, whose shortcuts are real."""
    refuse(
        where,
        f"is {what}, whose shortcuts add real numbers between quantised layers: no integer holds their sum",
        "Build it in Python with xnn.Grid in front of each operand of the sum, load the weights there, and "
        "measure what the grid changes; see docs/own-model.md",
    )


def tree(layers: Sequence[tuple[str, nn.Module]]) -> nn.Sequential:
    """A chain of modules whose dotted names are kept: those with one beginning form a chain of their own."""
    groups: OrderedDict[str, list[tuple[str, nn.Module]]] = OrderedDict()
    for name, module in layers:
        first, _, rest = name.partition(".")
        groups.setdefault(first, []).append((rest, module))
    made = OrderedDict((n, inner[0][1] if inner[0][0] == "" else tree(inner)) for n, inner in groups.items())
    return nn.Sequential(made)


def _fill(layer: FullConv2d | FullLinear, weight: Tensor, bias: Tensor | None) -> None:
    with torch.no_grad():
        layer.weight.copy_(weight)
        if layer.bias is not None and bias is not None:
            layer.bias.copy_(bias)
