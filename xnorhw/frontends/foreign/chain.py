"""A chain of layers as other frameworks describe it -> torch.nn.Sequential of our modules.

``Chain`` knows the shape at its end and whether integers or real numbers leave there, so that a
layer reads them rightly.  Pixels that were normalised are folded into the first layer where
that changes nothing.
"""

from __future__ import annotations

from collections import OrderedDict

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from xnorhw.frontends.foreign.arrays import Array
from xnorhw.frontends.foreign.base import Decision, InputSpec, refuse
from xnorhw.frontends.foreign.parts import grid_of, on_grid
from xnorhw.frontends.foreign.pixels import Pixels
from xnorhw.frontends.foreign.window import Window
from xnorhw.nn.activations import Grid, QuantReLU
from xnorhw.nn.foreign import Affine, MultiThreshold
from xnorhw.nn.full import FullConv2d, FullLinear
from xnorhw.nn.layers import FrozenBinaryConv2d, FrozenBinaryLinear
from xnorhw.nn.quant_layers import QuantConv2d, QuantLinear
from xnorhw.nn.quantizers import InputQuant, Sign
from xnorhw.nn.weights import WeightQuantizer

__all__ = ["IN_FRAC", "Chain"]

IN_FRAC = 16
"""Fraction bits to which a real layer behind the last binary one rounds real values."""
_FULL_BITS = 22
_MAKES_INTEGERS = (Sign, QuantReLU, InputQuant, MultiThreshold, Grid)


class Chain:
    """Modules one behind the other; ``where`` names the file in refusals.

    ``shape`` is what leaves the last one, ``integer`` whether these are integers (codes, signs)
    and ``scale`` what one of them is worth.
    """

    def __init__(self, where: str, spec: InputSpec) -> None:
        self.where = where
        self.shape = spec.shape
        self.integer = True
        self.scale = 1.0
        self.decisions: list[Decision] = []
        self._modules: OrderedDict[str, nn.Module] = OrderedDict()
        self._pixels = Pixels.of(spec)

    @property
    def started(self) -> bool:
        """False as long as the input itself is at the end."""
        return bool(self._modules)

    def net(self) -> nn.Sequential:
        """The network in eval."""
        return nn.Sequential(self._modules).eval().requires_grad_(False)

    def add(self, name: str, module: nn.Module) -> None:
        """Append a module that keeps the shape: a norm, an activation, a quantiser."""
        self._quantise_pixels()
        if isinstance(module, _MAKES_INTEGERS):
            self.integer = True
            self.scale = float(module.scale) if isinstance(module, QuantReLU | InputQuant) else 1.0
        elif not isinstance(module, nn.Flatten | nn.MaxPool2d):
            self._leave_integers()
        self._append(name, module)

    def binary_conv(
        self, name: str, signs: Array, scale: Array | None, bias: Array | None, window: Window
    ) -> None:
        """A convolution with the weights -1 and +1 [O, I/groups, kh, kw]."""
        self._check_conv(name, signs.shape, window, zeros=self.scale != 1.0 or self._pixels is not None)
        weight, added = self._folded(signs, window, real=False)
        module = FrozenBinaryConv2d(
            _tensor(weight),
            _optional(scale),
            _optional(_sum(bias, added if scale is None else added * scale)),
            *window.shape,
            window.pad_value,
            self.scale,
        )
        self._conv(name, module, signs.shape, window)

    def binary_linear(self, name: str, signs: Array, scale: Array | None, bias: Array | None) -> None:
        """A linear layer with the weights -1 and +1 [O, I]."""
        self._features(name, signs.shape)
        weight, added = self._folded(signs, Window(), real=False)
        total = _sum(bias, added if scale is None else added * scale)
        module = FrozenBinaryLinear(_tensor(weight), _optional(scale), _optional(total), self.scale)
        self._layer(name, module, (signs.shape[0],))

    def full_conv(self, name: str, weight: Array, bias: Array | None, window: Window) -> None:
        """A convolution in full precision, its weights as they are; zeros are padded."""
        self._check_conv(name, weight.shape, window)
        weight, added = self._folded(weight, window, real=True)
        bias = _sum(bias, added)
        out, per_group, height, width = weight.shape
        module = FullConv2d(
            per_group * window.groups,
            out,
            (height, width),
            *window.shape,
            bias is not None,
            grid_of(_tensor(weight), _FULL_BITS),
            self.scale,
        )
        self._fill_real(name, module, weight, bias)
        self._conv(name, module, weight.shape, window)

    def full_linear(self, name: str, weight: Array, bias: Array | None) -> None:
        """A linear layer in full precision; real values that it reads are rounded to 2^-16."""
        self._features(name, weight.shape)
        weight, added = self._folded(weight, Window(), real=True)
        bias = _sum(bias, added)
        frac = grid_of(_tensor(weight), _FULL_BITS)
        out, features = weight.shape
        in_frac = None if self.integer else IN_FRAC
        module = FullLinear(features, out, bias is not None, frac, in_frac, self.scale)
        self._fill_real(name, module, weight, bias)
        if in_frac is not None:
            self.decisions.append(
                Decision(
                    f"input of {name}",
                    f"rounded to multiples of 2^-{in_frac}",
                    "real values have exact sums on such a grid alone",
                )
            )
        self._layer(name, module, (out,))

    def quant_conv(
        self, name: str, latent: Array, quantizer: WeightQuantizer, bias: Array | None, window: Window
    ) -> None:
        """A convolution whose weights of several bits ``quantizer`` makes of latent ones."""
        self._check_conv(name, latent.shape, window)
        self._quantise_pixels()
        out, per_group, height, width = latent.shape
        module = QuantConv2d(
            per_group * window.groups,
            out,
            (height, width),
            *window.shape,
            bias is not None,
            weight=quantizer,
            in_scale=self.scale,
        )
        _fill(module, latent, bias)
        self._conv(name, module, latent.shape, window)

    def quant_linear(self, name: str, latent: Array, quantizer: WeightQuantizer, bias: Array | None) -> None:
        """A linear layer whose weights of several bits ``quantizer`` makes of latent ones."""
        self._features(name, latent.shape)
        self._quantise_pixels()
        out, features = latent.shape
        module = QuantLinear(features, out, bias is not None, weight=quantizer, in_scale=self.scale)
        _fill(module, latent, bias)
        self._layer(name, module, (out,))

    def batch_norm(self, name: str, gamma: Array, beta: Array, mean: Array, var: Array, eps: float) -> None:
        """torch's own batch norm."""
        cls = nn.BatchNorm2d if len(self.shape) == 3 else nn.BatchNorm1d
        self._channels(name, gamma, beta, mean, var)
        if not bool((var.astype(np.float64) + eps > 0).all()):
            refuse(
                f"{self.where}: {name}",
                f"its variance plus eps = {eps:g} is not positive in every channel",
                "The file is damaged, or of another network",
            )
        module = cls(len(mean), eps=eps)
        with torch.no_grad():
            for target, values in (
                (module.weight, gamma),
                (module.bias, beta),
                (module.running_mean, mean),
                (module.running_var, var),
            ):
                assert target is not None
                target.copy_(_tensor(values))
        self.add(name, module)

    def centred_norm(
        self, name: str, mean: Array, factor: Array, beta: Array, divisor: Array | None = None
    ) -> None:
        """(x - mean), / divisor, * factor, + beta, each rounded by itself: 0 at the mean where beta is."""
        self._channels(name, mean, factor, beta)
        self.add(f"{name}_mean", Affine(None, -mean))
        if divisor is not None:
            self.add(f"{name}_std", Affine(divisor, None, divide=True))
        self.add(name, Affine(factor, beta))

    def max_pool(
        self, name: str, kernel: tuple[int, int], stride: tuple[int, int], pads: tuple[int, int, int, int]
    ) -> None:
        """A max-pool; a padded pixel never wins.  Padding right and below alone is ceil_mode."""
        self._need_map(name)
        self._quantise_pixels()
        sides = ((pads[2], pads[3]), (pads[0], pads[1]))
        ceil = any(before != after for before, after in sides)
        made = nn.MaxPool2d(kernel, stride, (pads[2], pads[0]), ceil_mode=ceil)
        size = self.shape[1:]
        wanted = tuple(
            (n + sum(s) - k) // t + 1 for n, s, k, t in zip(size, sides, kernel, stride, strict=True)
        )
        try:
            got = tuple(made(torch.zeros(1, 1, *size)).shape[2:])
        except RuntimeError:
            got = ()
        if got != wanted:
            refuse(
                f"{self.where}: {name}",
                f"pools {kernel[0]} x {kernel[1]} windows in steps of {stride[0]} x {stride[1]} of a map "
                f"padded by {pads[0]} left, {pads[1]} right, {pads[2]} above and {pads[3]} below, which "
                "no max-pool of torch does",
                "Train it with a pool whose windows lie inside of the map",
            )
        self.shape = (self.shape[0], *wanted)
        self._append(name, made)

    def average_pool(self, name: str, kernel: tuple[int, int], stride: tuple[int, int]) -> None:
        """An average pool without padding; a kernel of the map's size averages all of it."""
        self._need_map(name)
        self._quantise_pixels()
        size = tuple((n - k) // s + 1 for n, k, s in zip(self.shape[1:], kernel, stride, strict=True))
        self._positive(name, size)
        self._append(name, nn.AvgPool2d(kernel, stride))
        if self.scale != 1.0:
            self._append(f"{name}_unit", Affine(np.array([self.scale], np.float32)))
        self.integer, self.scale = False, 1.0
        self.shape = (self.shape[0], *size)

    def flatten(self, name: str = "flatten") -> None:
        """[C, H, W] -> [C * H * W]; nothing where that is done."""
        if len(self.shape) == 3:
            self._append(name, nn.Flatten())
            self.shape = (int(np.prod(self.shape)),)

    def _append(self, name: str, module: nn.Module) -> None:
        key = name.replace(".", "_").replace("/", "_") or "layer"
        while key in self._modules:
            key += "_"
        self._modules[key] = module

    def _layer(self, name: str, module: nn.Module, shape: tuple[int, ...]) -> None:
        self._append(name, module)
        self.shape, self.integer, self.scale = shape, False, 1.0

    def _check_conv(self, name: str, weight: tuple[int, ...], window: Window, zeros: bool = True) -> None:
        self._need_map(name)
        if zeros and window.pad_value and any(window.pads):
            refuse(
                f"{self.where}: {name}",
                f"pads with {window.pad_value:g}; only signs with 1-bit weights take another number than 0",
                "Train it with a padding of zeros",
            )
        groups = window.groups
        if groups < 1 or weight[0] % groups or weight[1] * groups != self.shape[0]:
            refuse(
                f"{self.where}: {name}",
                f"{list(weight)} weights in {groups} groups do not read {self.shape[0]} channels",
                "The file belongs to another network, or to an input of another shape",
            )

    def _conv(self, name: str, module: nn.Module, weight: tuple[int, ...], window: Window) -> None:
        left, right, top, bottom = window.pads
        height, width = (
            (n + pads - (k - 1) * d - 1) // s + 1
            for n, pads, k, s, d in zip(
                self.shape[1:],
                (top + bottom, left + right),
                weight[2:],
                window.stride,
                window.dilation,
                strict=True,
            )
        )
        self._positive(name, (height, width))
        self._layer(name, module, (weight[0], height, width))

    def _positive(self, name: str, size: tuple[int, ...]) -> None:
        if min(size) < 1:
            refuse(
                f"{self.where}: {name}",
                f"its window does not fit into the map of {self.shape[1]} x {self.shape[2]} that it reads",
                "The file belongs to another network, or to a larger input",
            )

    def _need_map(self, name: str) -> None:
        if len(self.shape) != 3:
            refuse(
                f"{self.where}: {name}",
                f"it reads maps, and a vector of {self.shape[0]} comes in",
                "The file belongs to another network, or the input is (channels, height, width)",
            )

    def _features(self, name: str, weight: tuple[int, ...]) -> None:
        self.flatten(f"{name}_flatten")
        if weight[1] != self.shape[0]:
            refuse(
                f"{self.where}: {name}",
                f"its weights read {weight[1]} features, and {self.shape[0]} come in",
                "The file belongs to another network, or to an input of another shape",
            )

    def _channels(self, name: str, *vectors: Array) -> None:
        for vector in vectors:
            if vector.shape != (self.shape[0],):
                refuse(
                    f"{self.where}: {name}",
                    f"it has {list(vector.shape)} parameters for {self.shape[0]} channels",
                    "The file belongs to another network",
                )

    def _leave_integers(self) -> None:
        """Codes that something real reads are worth their scale from there on."""
        if self.scale != 1.0:
            self._append("unit", Affine(np.array([self.scale], np.float32)))
        self.integer, self.scale = False, 1.0

    def _fill_real(
        self, name: str, module: FullConv2d | FullLinear, weight: Array, bias: Array | None
    ) -> None:
        _fill(module, on_grid(_tensor(weight), module.frac).numpy(), bias)
        self.decisions.append(
            Decision(
                f"weights of {name}",
                f"real, in steps of 2^-{module.frac}",
                f"they are not binary in the file's project; sums of numbers of {_FULL_BITS} bits are exact",
            )
        )

    def _folded(self, weight: Array, window: Window, real: bool) -> tuple[Array, npt.NDArray[np.float64]]:
        """The first layer's weights, and what its sums get in addition, if it reads raw pixels."""
        nothing = np.zeros(len(weight))
        pixels = self._pixels
        if pixels is None:
            return weight, nothing
        std, per_channel = pixels.std, not pixels.even
        folds = not (any(window.pads) and pixels.mean.any()) and (real or not per_channel)
        if window.groups > 1 or not folds or pixels.bits is not None:
            self._quantise_pixels()
            return weight, nothing
        self._pixels = None
        self.scale = pixels.unit
        rows = weight.astype(np.float64).reshape(len(weight), len(std), -1)
        added = -(rows * (pixels.mean / std)[:, None]).sum(axis=(1, 2))
        if per_channel:
            weight = (rows * (std.min() / std)[:, None]).astype(np.float32).reshape(weight.shape)
        self.decisions.append(
            Decision(
                "normalisation of the pixels",
                "folded into the first layer, which reads raw pixels 0..255",
                "its padding, if it has one, is worth 0 in pixels too",
            )
        )
        return weight, added

    def _quantise_pixels(self) -> None:
        """Make integers of normalised pixels, where they are none times one number."""
        pixels, self._pixels = self._pixels, None
        if pixels is None:
            return
        if pixels.bits is None and pixels.factor is not None:
            self.scale = pixels.factor
            return
        modules, self.scale, said = pixels.modules(len(self.shape))
        for name, module in modules:
            self._append(name, module)
        self.decisions.append(said)


def _sum(bias: Array | None, added: npt.NDArray[np.float64]) -> Array | None:
    if not added.any():
        return bias
    return np.asarray((added if bias is None else bias + added).astype(np.float32))


def _fill(
    module: FullConv2d | FullLinear | QuantConv2d | QuantLinear, weight: Array, bias: Array | None
) -> None:
    with torch.no_grad():
        module.weight.copy_(_tensor(weight))
        if bias is not None:
            assert module.bias is not None
            module.bias.copy_(_tensor(bias))


def _tensor(values: Array) -> torch.Tensor:
    return torch.from_numpy(np.array(values, np.float32, order="C"))


def _optional(values: Array | None) -> torch.Tensor | None:
    return None if values is None else _tensor(values)
