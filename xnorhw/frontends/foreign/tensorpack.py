"""tensorpack's DoReFa-Net: a dict of parameters by name, and the networks of its scripts.

Semantics from tensorpack/tensorpack, examples/DoReFa-Net: latent weights, TensorFlow's HWIO
layout and SAME padding, one scale a layer for 1-bit weights, activations
round_half_even(clip(x, 0, 1) * n) / n, the first and the last layer in full precision.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import numpy as np
from torch import nn

from xnorhw.frontends.foreign.arrays import Array, numbers, read_arrays
from xnorhw.frontends.foreign.base import (
    Decision,
    Imported,
    InputSpec,
    Options,
    open_question,
    parse_input,
    refuse,
)
from xnorhw.frontends.foreign.chain import Chain
from xnorhw.frontends.foreign.window import Window, same_pads
from xnorhw.nn.activations import QuantReLU
from xnorhw.nn.weights import DoReFaWeight

__all__ = ["read"]

_EPS = 1e-4
_BLOCKS = {
    "alexnet": (
        "conv conv0 valid 4 full bias; act;"
        "conv conv1 same 1; norm bn1; pool 3 2 same; act;"
        "conv conv2 same 1; norm bn2; pool 3 2 same; act;"
        "conv conv3 same 1; norm bn3; act;"
        "conv conv4 same 1; norm bn4; pool 3 2 valid; act;"
        "dense fc0 bias; norm bnfc0; act; dense fc1; norm bnfc1; clip; dense fct full bias"
    ),
    "svhn": (
        "conv conv0 valid 1 full bias; pool 2 2 same; act;"
        "conv conv1 same 1; norm bn1; act;"
        "conv conv2 same 1; norm bn2; pool 2 2 same; act;"
        "conv conv3 valid 1; norm bn3; act;"
        "conv conv4 same 1; norm bn4; act;"
        "conv conv5 valid 1; norm bn5; act;"
        "conv conv6 valid 1; norm bn6; clip; dense fc1 full bias"
    ),
}
"""What the two scripts build, from their first layer to their last."""
_SCRIPTS = {"alexnet": "alexnet-dorefa.py's", "svhn": "svhn-digit-dorefa.py's"}
_KERNELS = {"alexnet": 12, "svhn": 5}
_PREPROCESSED = {
    # ImageNetModel: pixels in the order BGR
    "alexnet": InputSpec((3, 224, 224), (0.406, 0.456, 0.485), (0.225, 0.224, 0.229)),
    "svhn": InputSpec((3, 40, 40), (0.0,), (256 / 255,)),
}
_SAID = {
    "alexnet": "3x224x224 pixels in the order blue, green, red, normalised as ImageNetModel does",
    "svhn": "3x40x40 pixels in the order of the training data, divided by 256",
}
_FORM = re.compile(r"(?:(alexnet|svhn)[:-])?(\d{1,2}|t),(\d{1,2})(?:,\d{1,2})?", re.ASCII)


@dataclass(frozen=True)
class _Bits:
    weights: int
    activations: int

    @property
    def relu(self) -> bool:
        """The scripts have a ReLU in place of the clip where activations stay real."""
        return self.activations == 32


def read(path: Path, options: Options) -> Imported:
    """The network in an .npz file of tensorpack's DoReFa-Net scripts."""
    where = str(path)
    arrays = {name.removesuffix(":0"): value for name, value in read_arrays(path).items()}
    params = {
        name: numbers(value, f"{where}: {name}")
        for name, value in arrays.items()
        if re.fullmatch(r".+/(W|b|gamma|beta|(mean|variance)/EMA)", name) and "/Adam" not in name
    }
    seen = _network(where, params)
    bits, why = _bits(where, options, seen)
    spec = _PREPROCESSED[seen]
    decisions = [
        Decision("architecture", _SCRIPTS[seen], "the names and the kernels of the parameters say it"),
        Decision("bits", f"weights {bits.weights}, activations {bits.activations}", why),
        Decision("batch norms", f"eps = {_EPS:g}", "the scripts say it"),
        Decision("first and last layer", "in full precision", "the scripts leave them so"),
    ]
    if options.input is None:
        decisions.append(Decision("input", _SAID[seen], "the script's"))
    else:
        given = parse_input(options.input)
        spec = (
            given
            if given.is_pixels or given.codes or given.bipolar
            else InputSpec(given.shape, spec.mean, spec.std)
        )
        decisions.append(Decision("input", options.input, "as --input says"))
    reader = _Reader(where, params, bits, options.sign0, Chain(where, spec))
    for step in _BLOCKS[seen].split(";"):
        reader.step(*step.split())
    reader.check_all_used()
    return Imported(
        reader.chain.net(), spec.declared(), (*decisions, *reader.decisions, *reader.chain.decisions)
    )


class _Reader:
    """Appends the steps of a network to a chain, taking the parameters by name."""

    def __init__(
        self, where: str, params: dict[str, Array], bits: _Bits, sign0: int | None, chain: Chain
    ) -> None:
        self.where, self.params, self.bits, self.sign0, self.chain = where, params, bits, sign0, chain
        self.decisions: list[Decision] = []
        self.used: set[str] = set()
        self.count = 0

    def step(self, what: str, *words: str) -> None:
        """One step, as ``_BLOCKS`` writes it."""
        if what == "conv":
            self._conv(words[0], words[1] == "same", int(words[2]), "full" in words, "bias" in words)
        elif what == "dense":
            self._dense(words[0], "full" in words, "bias" in words)
        elif what == "norm":
            gamma, beta, mean, var = (
                self._take(f"{words[0]}/{p}", 1) for p in ("gamma", "beta", "mean/EMA", "variance/EMA")
            )
            self.chain.batch_norm(words[0], gamma, beta, mean, var, _EPS)
        elif what == "pool":
            size, stride = (int(words[0]),) * 2, (int(words[1]),) * 2
            pads = same_pads(self._map(), size, stride) if words[2] == "same" else (0, 0, 0, 0)
            self.chain.max_pool(f"pool{self.count}", size, stride, pads)
        else:
            self._activate(what)
        self.count += 1

    def check_all_used(self) -> None:
        left = sorted(set(self.params) - self.used)
        if left:
            refuse(
                self.where,
                f"holds {left[0]}, which the network does not have",
                "The file belongs to another network than the one it looks like",
            )

    def _map(self) -> tuple[int, int]:
        return self.chain.shape[1], self.chain.shape[2]

    def _activate(self, what: str) -> None:
        name = f"{what}{self.count}"
        if self.bits.relu:
            self.chain.add(name, nn.ReLU())
        elif what == "clip":
            self.chain.add(name, nn.Hardtanh(0.0, 1.0))
        else:
            self.chain.add(name, QuantReLU(self.bits.activations))

    def _conv(self, name: str, same: bool, stride: int, full: bool, biased: bool) -> None:
        weight = self._take(f"{name}/W", 4).transpose(3, 2, 0, 1)
        bias = self._take(f"{name}/b", 1) if biased else None
        kernel = (weight.shape[2], weight.shape[3])
        steps = (stride, stride)
        groups, odd = divmod(self.chain.shape[0], weight.shape[1])
        if odd or groups not in (1, 2):
            self._other(name, f"reads {weight.shape[1]} channels, and {self.chain.shape[0]} come in")
        pads = same_pads(self._map(), kernel, steps) if same else (0, 0, 0, 0)
        window = Window(steps, pads, (1, 1), groups)
        if full:
            self.chain.full_conv(name, np.ascontiguousarray(weight), bias, window)
        elif self.bits.weights == 1:
            signs, scale = self._binarised(name, weight)
            self.chain.binary_conv(name, signs, scale, bias, window)
        else:
            self.chain.quant_conv(name, weight, DoReFaWeight(self.bits.weights), bias, window)

    def _dense(self, name: str, full: bool, biased: bool) -> None:
        weight = np.ascontiguousarray(self._take(f"{name}/W", 2).T)
        bias = self._take(f"{name}/b", 1) if biased else None
        if full:
            self.chain.full_linear(name, weight, bias)
        elif self.bits.weights == 1:
            signs, scale = self._binarised(name, weight)
            self.chain.binary_linear(name, signs, scale, bias)
        else:
            self.chain.quant_linear(name, weight, DoReFaWeight(self.bits.weights), bias)

    def _binarised(self, name: str, weight: Array) -> tuple[Array, Array]:
        zeros = int((weight == 0).sum())
        if zeros:
            choices = (
                ("+1", "the script since 2018, whose sign is never 0"),
                ("0", "the script before, with tf.sign, where such a weight is a third value"),
            )
            reason = f"{name}/W holds {zeros} weights of exactly 0"
            if self.sign0 is None:
                open_question(self.where, "sign0", choices, reason)
            if self.sign0 != 1:
                refuse(
                    f"{self.where}: {name}",
                    f"has {zeros} weights of exactly 0, which have no binary form with --sign0 {self.sign0}",
                    "Use --sign0 +1 where that is what the network was trained with, or train it on",
                )
            self.decisions.append(Decision(f"weights of 0 in {name}", "+1", "as --sign0 says"))
        signs = np.where(weight >= 0, np.float32(1), np.float32(-1))
        return signs, np.array([np.abs(weight).mean(dtype=np.float64)], np.float32)

    def _take(self, name: str, rank: int) -> Array:
        found = self.params.get(name)
        if found is None:
            self._other(name, "is missing")
        self.used.add(name)
        if found.ndim != rank:
            self._other(name, f"has the shape {list(found.shape)}")
        return found

    def _other(self, name: str, reason: str) -> NoReturn:
        refuse(
            f"{self.where}: {name}",
            reason,
            "The file belongs to another network than alexnet-dorefa.py's or svhn-digit-dorefa.py's of "
            "tensorpack since 2018",
        )


def _network(where: str, params: dict[str, Array]) -> str:
    if any("blk" in name for name in params):
        refuse(
            where,
            "is a ResNet of resnet-dorefa.py, which adds and averages real numbers; no exact form says on "
            "which grid these lie",
            "Rebuild it in PyTorch with xnn.Grid in front of each sum and average, and save that; "
            "see docs/own-model.md",
        )
    first = params.get("conv0/W")
    for name, last in (("alexnet", "fct/W"), ("svhn", "conv6/W")):
        if last in params and first is not None and first.ndim == 4 and first.shape[0] == _KERNELS[name]:
            return name
    refuse(
        where,
        "has not the parameters of a network of tensorpack's DoReFa-Net examples: conv0/W with kernels of "
        "12 x 12 and fct/W (alexnet), or conv0/W with kernels of 5 x 5 and conv6/W (svhn)",
        "Give a file of alexnet-dorefa.py or svhn-digit-dorefa.py; another network is rebuilt in PyTorch",
    )


def _bits(where: str, options: Options, seen: str) -> tuple[_Bits, str]:
    form = f"--arch {seen}:W,A as the script was told: --dorefa W,A,G"
    if options.arch is None:
        refuse(
            where,
            "holds latent weights, and nothing about their bits and those of the activations",
            f"Give {form}; {seen}:1,2 means 1-bit weights and 2-bit activations, {seen}:1,32 means 1-bit "
            "weights and real activations behind a ReLU",
        )
    found = _FORM.fullmatch(options.arch)
    if found is None:
        refuse("--arch", f"{options.arch!r} is not understood", f"Give {form}")
    name, weights, activations = found.groups()
    if name not in (None, seen):
        refuse(where, f"has the parameters of {seen}, not of {name}", f"Give {form}")
    if weights == "t" or not 1 <= int(weights) <= 8:
        refuse(
            "--arch",
            f"weights of {weights} bits have no form here ('t' is trained ternary quantisation)",
            "Weights of 1 to 8 bits can be imported",
        )
    if not (1 <= int(activations) <= 8 or activations == "32"):
        refuse("--arch", f"activations of {activations} bits have no form here", "1 to 8, or 32 for a ReLU")
    return _Bits(int(weights), int(activations)), f"--arch {options.arch}"
