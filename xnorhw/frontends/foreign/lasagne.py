"""BinaryNet's own training code (Theano and Lasagne): ``numpy.savez`` of the parameters in order.

Semantics from MatthieuCourbariaux/BinaryNet, Train-time: weights are binarised as
round((W + 1) / 2) in float32, activations as C's round((x + 1) / 2), Lasagne convolves with
kernels turned by 180 degrees, and its batch norm stores 1 / sqrt(var + eps).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from xnorhw.frontends.foreign.arrays import Array, numbers, read_arrays
from xnorhw.frontends.foreign.base import (
    Decision,
    Imported,
    InputSpec,
    Options,
    ask_input,
    open_question,
    parse_input,
    refuse,
)
from xnorhw.frontends.foreign.chain import Chain
from xnorhw.frontends.foreign.window import Window
from xnorhw.nn.foreign import MultiThreshold

__all__ = ["read"]

_ARCHES = ("mnist", "cifar10", "svhn")
_HALF = (0.5,)
_BINARY_TANH = -(2.0**-25)
"""round((x + 1) / 2) is 1 from here on in float32: x + 1 is rounded to 1 for the numbers just below 0."""
_BN = ("beta", "gamma", "mean", "inv_std")


@dataclass(frozen=True)
class _Layer:
    """One layer with its batch norm; ``number`` is where its weights stand in the file."""

    number: int
    weight: Array
    bias: Array
    beta: Array
    gamma: Array
    mean: Array
    inv_std: Array

    @property
    def is_conv(self) -> bool:
        return self.weight.ndim == 4


def read(path: Path, options: Options) -> Imported:
    """The network in BinaryNet's own .npz file."""
    where = str(path)
    layers = _layers(path)
    arch = _arch(where, options, layers)
    spec, said = _fed(where, options, arch, layers)
    chain = Chain(where, spec)
    decisions = [
        said,
        Decision(
            "architecture",
            "convolutions of padding 1 with a 2 x 2 max-pool behind every second one, then linear layers"
            if layers[0].is_conv
            else f"{len(layers)} linear layers",
            f"--arch {arch}" if layers[0].is_conv else "the shapes of the arrays say it",
        ),
        Decision("kernels", "turned by 180 degrees", "Lasagne's Conv2DLayer flips them (flip_filters=True)"),
        Decision("batch norms", "the stored fourth array multiplies", "Lasagne stores 1 / sqrt(var + eps)"),
        Decision("sign(0) of activations", "+1", "C's round takes halves away from zero"),
    ]
    ties = _ties(where, options, layers, decisions)
    for i, layer in enumerate(layers):
        _append(chain, layer, i, ties, pooled=layer.is_conv and i % 2 == 1)
        if i < len(layers) - 1:
            chain.add(f"sign{i}", MultiThreshold([[_BINARY_TANH]], 2.0, -1.0))
    return Imported(chain.net(), spec.declared(), (*decisions, *chain.decisions))


def _append(chain: Chain, layer: _Layer, i: int, ties: int, pooled: bool) -> None:
    signs = _signs(layer.weight, ties)
    name = f"layer{i}"
    if layer.is_conv:
        flipped = np.ascontiguousarray(signs[:, :, ::-1, ::-1])
        chain.binary_conv(name, flipped, None, layer.bias, Window(pads=(1, 1, 1, 1)))
        if pooled:
            chain.max_pool(f"pool{i}", (2, 2), (2, 2), (0, 0, 0, 0))
    else:
        chain.binary_linear(name, np.ascontiguousarray(signs.T), None, layer.bias)
    chain.centred_norm(f"norm{i}", layer.mean, layer.gamma * layer.inv_std, layer.beta)


def _layers(path: Path) -> list[_Layer]:
    where = str(path)
    stored = read_arrays(path)
    names = [f"arr_{i}" for i in range(len(stored))]
    if sorted(names) != sorted(stored) or len(names) % 6:
        refuse(
            where,
            f"holds {len(stored)} arrays ({', '.join(sorted(stored)[:3])} ...), not six a layer called "
            "arr_0, arr_1, ...",
            "Give what BinaryNet's train() saved: numpy.savez(path, *get_all_param_values(network))",
        )
    arrays = [numbers(stored[name], f"{where}: {name}") for name in names]
    made = []
    for first in range(0, len(arrays), 6):
        weight, *rest = arrays[first : first + 6]
        if weight.ndim not in (2, 4):
            refuse(
                f"{where}: arr_{first}",
                f"has the shape {list(weight.shape)}, and the weights of a layer stand there",
                "The file belongs to another network than BinaryNet's",
            )
        outputs = weight.shape[0 if weight.ndim == 4 else 1]
        for offset, (vector, what) in enumerate(zip(rest, ("bias", *_BN), strict=True), 1):
            if vector.shape != (outputs,):
                refuse(
                    f"{where}: arr_{first + offset}",
                    f"has the shape {list(vector.shape)}; the {what} of {outputs} outputs stands there",
                    "The file belongs to another network than BinaryNet's",
                )
        made.append(_Layer(first, weight, rest[0], *rest[1:]))
        _check(where, made[-1])
    kinds = [layer.is_conv for layer in made]
    if kinds != sorted(kinds, reverse=True):
        refuse(where, "has a convolution behind a linear layer", "The file belongs to another network")
    return made


def _check(where: str, layer: _Layer) -> None:
    if not bool((layer.inv_std > 0).all()):
        refuse(
            f"{where}: arr_{layer.number + 5}",
            "is not positive everywhere, as 1 / sqrt(var + eps) is",
            "The file belongs to another network, or its arrays are in another order",
        )
    peak = float(np.abs(layer.weight).max())
    inputs, outputs = (
        (np.prod(layer.weight.shape[1:]), len(layer.weight) * np.prod(layer.weight.shape[2:]))
        if layer.is_conv
        else layer.weight.shape
    )
    glorot = float(np.sqrt(1.5 / (inputs + outputs)))
    if peak > 1:
        refuse(
            f"{where}: arr_{layer.number}",
            f"has a weight of {peak:.4g}; BinaryNet clips them to -1..+1 after each step",
            "The file belongs to a network whose weights are not binary",
        )
    if peak <= glorot * 1.000001:
        refuse(
            f"{where}: arr_{layer.number}",
            f"has weights of at most {peak:.4g}, which a training with H = 1 does not leave: they are "
            'clipped to a smaller H (H = "Glorot"), whose value scales each layer and is not in the file',
            "Train it with H = 1, as the scripts of BinaryNet have it",
        )


def _arch(where: str, options: Options, layers: list[_Layer]) -> str:
    arch = options.arch
    if arch is not None and arch not in _ARCHES:
        refuse("--arch", f"BinaryNet has no network {arch!r}", f"The networks are {', '.join(_ARCHES)}")
    if not layers[0].is_conv:
        if arch in ("cifar10", "svhn"):
            refuse(
                where, f"has no convolution, and {arch} begins with six", "Use --arch mnist, or leave it out"
            )
        return arch or "the file"
    if arch is None:
        open_question(
            where,
            "arch",
            (
                ("cifar10", "padding 1, a 2 x 2 max-pool behind every second convolution, pixels 2x/255 - 1"),
                ("svhn", "the same, as svhn.py trains it"),
            ),
            "the file has convolutions, and neither their padding nor the pools nor the input",
        )
    convs = [layer for layer in layers if layer.is_conv]
    if arch == "mnist" or len(convs) % 2 or any(c.weight.shape[2:] != (3, 3) for c in convs):
        refuse(
            where,
            f"has {len(convs)} convolutions with kernels of "
            f"{' x '.join(str(n) for n in convs[0].weight.shape[2:])}, which {arch} has not",
            "cifar10 and svhn have pairs of 3 x 3 convolutions, mnist has none",
        )
    return arch


def _fed(where: str, options: Options, arch: str, layers: list[_Layer]) -> tuple[InputSpec, Decision]:
    if options.input is not None:
        spec = parse_input(options.input)
        if spec.is_pixels or spec.codes is not None or spec.bipolar:
            return spec, Decision("input", options.input, "as --input says")
        shape = spec.shape
    elif arch == "mnist":
        shape = (1, 28, 28)
    elif layers[0].is_conv:
        shape = (layers[0].weight.shape[1], 32, 32)
    else:
        ask_input(where, str(layers[0].weight.shape[0]))
    if arch not in _ARCHES:
        ask_input(where, "x".join(str(n) for n in shape))
    text = f"{'x'.join(str(n) for n in shape)} pixels, 2x/255 - 1"
    return InputSpec(shape, _HALF, _HALF), Decision("input", text, f"{arch}.py trains with it")


def _ties(where: str, options: Options, layers: list[_Layer], decisions: list[Decision]) -> int:
    """What a weight becomes that lies halfway: it is asked for where there is one."""
    found = [layer for layer in layers if bool((_unit(layer.weight) == 0.5).any())]
    if not found:
        return 1
    count = sum(int((_unit(layer.weight) == 0.5).sum()) for layer in found)
    if options.sign0 not in (-1, 1):
        reason = (
            f"arr_{found[0].number} and others hold {count} weights of exactly 0 (or too small for float32)"
        )
        choices = (
            ("+1", "Theano rounded halves away from zero, as it did on a GPU and by default until 0.9"),
            ("-1", "Theano rounded halves to even, as it does by default since 0.9"),
        )
        if options.sign0 == 0:
            refuse(where, f"{reason}, and no form of BinaryNet keeps a weight of 0", "Use --sign0 -1 or +1")
        open_question(where, "sign0", choices, reason)
    decisions.append(Decision("weights of 0", f"{options.sign0:+d}", "as --sign0 says"))
    return int(options.sign0)


def _unit(weight: Array) -> Array:
    return np.asarray(np.clip((weight + np.float32(1)) / np.float32(2), np.float32(0), np.float32(1)))


def _signs(weight: Array, ties: int) -> Array:
    unit = _unit(weight)
    return np.where(unit == 0.5, np.float32(ties), np.where(unit > 0.5, np.float32(1), np.float32(-1)))
