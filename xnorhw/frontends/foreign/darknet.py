"""darknet's networks with xnor=1 layers: the cfg says what there is, the weights follow in its order.

Semantics from pjreddie/darknet, forward_convolutional_layer and its kernels: an xnor layer takes
the signs of its input and of its weights (a weight of 0 is -1), scales each filter by the mean
of its |weights|, then come the batch norm and the activation.  The program computes in two ways:

    on a CPU   sign(0) = -1,  (x - mean) / (sqrt(var) + 1e-6)
    on a GPU   sign(0) = +1,  (x - mean) / sqrt(var + 1e-5)

Pixels are in the order red, green, blue and divided by 255; padded taps read 0.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from torch import nn

from xnorhw.frontends.foreign.arrays import Array
from xnorhw.frontends.foreign.base import Decision, Imported, InputSpec, Options, open_question, refuse
from xnorhw.frontends.foreign.chain import Chain
from xnorhw.frontends.foreign.darknet_cfg import Numbers, Section, find_cfg, read_cfg
from xnorhw.frontends.foreign.window import Window
from xnorhw.nn.foreign import sign_at_zero
from xnorhw.nn.quantizers import InputQuant, Sign

__all__ = ["read"]

_SAME_SIGN = ("leaky", "ramp", "relie", "lhtan")
"""Activations that rise, f(0) = 0: their sign is x's."""
_RISING = (*_SAME_SIGN, "logistic", "loggy", "tanh", "elu", "selu")
"""Activations that rise everywhere: the largest of several is the largest behind them too."""
_ENDS = {
    "softmax": "softmax",
    "soft": "softmax",
    "cost": "the training's cost",
    "logistic": "the logistic function",
    "region": "the decoding of boxes",
    "yolo": "the decoding of boxes",
    "detection": "the decoding of boxes",
}
_ALIASES = {"conv": "convolutional", "max": "maxpool", "avg": "avgpool", "conn": "connected"}


def read(path: Path, options: Options) -> Imported:
    """The network in a .weights file and the cfg that belongs to it."""
    cfg = find_cfg(path, options.arch)
    net, *layers = read_cfg(cfg)
    shape = tuple(net.whole(name, 0) for name in ("channels", "height", "width"))
    if min(shape) < 1:
        refuse(str(cfg), "[net] lacks channels, height or width", "Correct the cfg")
    if not any(section.whole("xnor", 0) for section in layers):
        refuse(
            str(cfg),
            "has no layer with xnor=1, so nothing in the network is binary",
            "Give the cfg that the weights were trained with",
        )
    zero = _sign0(str(path), options)
    reader = _Reader(
        Chain(str(cfg), InputSpec(shape, (0.0,), (1.0,))), Numbers(path, str(cfg)), zero, options.eps
    )
    for section in layers:
        reader.layer(section)
    reader.finish()
    decisions = [
        Decision("cfg", str(cfg), "as --arch says" if options.arch else "it lies beside the weights"),
        Decision(
            "input", f"{'x'.join(map(str, shape))} pixels, red first, divided by 255", "darknet's images"
        ),
        Decision("sign(0) of activations", f"{zero:+d}", "as --sign0 says"),
        Decision("weights of 0", "-1", "darknet takes w > 0, on a CPU and on a GPU"),
        Decision("padding", "0", "im2col and cuDNN pad with zeros behind the sign"),
        Decision("batch norms", *reader.norms_said()),
    ]
    chain = reader.chain
    return Imported(
        chain.net(), InputSpec(shape).declared(), (*decisions, *reader.decisions, *chain.decisions)
    )


def _sign0(where: str, options: Options) -> int:
    if options.sign0 == 0:
        refuse(
            where, "is darknet's, where no sign is 0", "Use --sign0 -1 (its CPU code) or +1 (its GPU code)"
        )
    if options.sign0 is None:
        open_question(
            where,
            "sign0",
            (
                ("-1", "darknet's CPU code, which takes x > 0 (and sqrt(var) + 1e-6 in batch norms)"),
                ("+1", "its GPU code, which takes x >= 0 (and sqrt(var + 1e-5))"),
            ),
            "darknet computes sign(0) = -1 on a CPU and +1 on a GPU",
        )
    return int(options.sign0)


class _Reader:
    """Appends the layers of a cfg to a chain.

    ``pending`` is an activation that has no module yet: behind it only a sign may come.
    """

    def __init__(self, chain: Chain, numbers: Numbers, zero: int, eps: float | None) -> None:
        self.chain, self.numbers, self.zero, self.eps = chain, numbers, zero, eps
        self.decisions: list[Decision] = []
        self.pending: tuple[str, str] | None = None
        self.end: str | None = None

    def norms_said(self) -> tuple[str, str]:
        """What batch norms divide by, and why."""
        if self.eps is not None:
            return f"sqrt(var + {self.eps:g})", "as --eps says"
        code = "CPU" if self.zero < 0 else "GPU"
        form = "sqrt(var) + 1e-6" if self.zero < 0 else "sqrt(var + 1e-5)"
        return form, f"darknet's {code} code, as the sign of 0 is"

    def finish(self) -> None:
        """What has to hold behind the last layer."""
        self.numbers.check_end()
        if self.pending is None:
            return
        where, activation = self.pending
        if activation not in _RISING:
            refuse(
                where, f"ends the network in {activation}, which has no exact form", "Make it linear or relu"
            )
        why = "it rises everywhere, so it does not change which class is the largest"
        self.decisions.append(Decision(f"{activation} at the end", "left out", why))

    def layer(self, section: Section) -> None:
        """One section of the cfg."""
        kind = _ALIASES.get(section.kind, section.kind)
        if self.end is not None and kind not in _ENDS:
            refuse(section.name, f"stands behind {self.end}, which ends a network here", "Cut the cfg there")
        if kind == "convolutional":
            self._conv(section)
        elif kind == "connected":
            self._connected(section)
        elif kind == "maxpool":
            self._max_pool(section)
        elif kind == "avgpool":
            self._resolve(section)
            self.chain.average_pool(_key(section), self._map(), self._map())
        elif kind in _ENDS:
            self.end = _ENDS[kind]
            self.decisions.append(
                Decision(
                    f"[{section.kind}]", "left out", f"{self.end} does not belong to the network on the chip"
                )
            )
        elif kind != "dropout":
            refuse(
                section.name,
                "is no layer that can be imported",
                "Known are convolutional, connected, maxpool, avgpool and dropout, in a chain",
            )

    def _conv(self, section: Section) -> None:
        name = _key(section)
        whole = section.whole
        out, size, stride, groups = (whole(n, 1) for n in ("filters", "size", "stride", "groups"))
        padding = size // 2 if whole("pad", 0) else whole("padding", 0)
        channels = self.chain.shape[0]
        if min(out, size, stride, groups) < 1 or padding < 0 or channels % groups or out % groups:
            refuse(section.name, "has no such filters, size, stride, padding or groups", "Correct the cfg")
        if len(self.chain.shape) != 3:
            refuse(section.name, "stands behind a layer that makes no map", "Correct the cfg")
        if whole("binary", 0) and not whole("xnor", 0):
            refuse(
                section.name,
                "has binary=1, which darknet's CPU code never binarises, unlike its GPU code",
                "Train it with xnor=1",
            )
        norm = bool(whole("batch_normalize", 0))
        bias = self.numbers.take(f"the biases of layer {section.number}", out)
        stats = self._norm_numbers(section, out) if norm else None
        shape = (out, channels // groups, size, size)
        if whole("flipped", 0):
            flat = self.numbers.take(f"the weights of layer {section.number}", int(np.prod(shape[1:])), out)
            weight = np.ascontiguousarray(flat.T).reshape(shape)
        else:
            weight = self.numbers.take(f"the weights of layer {section.number}", *shape)
        window = Window((stride, stride), (padding,) * 4, (1, 1), groups)
        plain = None if norm else bias
        if whole("xnor", 0):
            self._take_signs(name)
            signs = np.where(weight > 0, np.float32(1), np.float32(-1))
            scale = np.abs(weight).reshape(out, -1).mean(axis=1, dtype=np.float64).astype(np.float32)
            self.chain.binary_conv(name, signs, scale, plain, window)
        else:
            self._resolve(section)
            self.chain.full_conv(name, weight, plain, window)
        self._behind(section, bias, stats)

    def _connected(self, section: Section) -> None:
        name = _key(section)
        out = section.whole("output", 1)
        if out < 1:
            refuse(section.name, f"has {out} outputs", "Correct the cfg")
        norm = bool(section.whole("batch_normalize", 0))
        bias = self.numbers.take(f"the biases of layer {section.number}", out)
        features = int(np.prod(self.chain.shape))
        weight = self.numbers.take(f"the weights of layer {section.number}", out, features)
        stats = self._norm_numbers(section, out) if norm else None
        self._resolve(section)
        self.chain.full_linear(name, weight, None if norm else bias)
        self._behind(section, bias, stats)

    def _norm_numbers(self, section: Section, out: int) -> tuple[Array, Array, Array]:
        scales, mean, var = (
            self.numbers.take(f"the {what} of layer {section.number}", out)
            for what in ("scales", "rolling means", "rolling variances")
        )
        if not bool((var >= 0).all()):
            refuse(
                f"{self.numbers.where}: layer {section.number}",
                f"has a rolling variance of {float(var.min()):.4g}",
                "The file is damaged, or the cfg is another network's",
            )
        return scales, mean, var

    def _behind(self, section: Section, bias: Array, stats: tuple[Array, Array, Array] | None) -> None:
        """The batch norm and the activation of a layer."""
        name = _key(section)
        if stats is not None:
            scales, mean, var = stats
            if self.eps is None and self.zero < 0:
                divisor = (np.sqrt(var.astype(np.float64)) + np.float64(np.float32(1e-6))).astype(np.float32)
            else:
                eps = np.float32(1e-5 if self.eps is None else self.eps)
                divisor = np.sqrt((var + eps).astype(np.float32))
            if not bool((divisor > 0).all()):
                refuse(section.name, "divides by 0: a variance and eps are 0", "Use another --eps")
            self.chain.centred_norm(f"{name}_norm", mean, scales, bias, divisor)
        activation = section.options.get("activation", "logistic")
        if activation == "relu":
            self.chain.add(f"{name}_relu", nn.ReLU())
        elif activation == "hardtan":
            self.chain.add(f"{name}_hardtan", nn.Hardtanh())
        elif activation != "linear":
            self.pending = (section.name, activation)

    def _take_signs(self, name: str) -> None:
        """What an xnor layer does to its input first."""
        if self.pending is not None:
            where, activation = self.pending
            if activation not in _SAME_SIGN:
                refuse(
                    where,
                    f"has the activation {activation} in front of a sign, whose threshold is not 0 then",
                    "Train it with leaky, relu, hardtan or linear",
                )
            self.pending = None
            self.decisions.append(
                Decision(
                    f"{activation} in front of {name}", "left out", "the sign behind it is the same without"
                )
            )
        if not self.chain.started:
            table = np.where(np.arange(256) > 0, 1, self.zero)
            self.chain.add(f"{name}_pixels", InputQuant(table))
        else:
            self.chain.add(f"{name}_sign", Sign() if self.zero > 0 else sign_at_zero(-1))

    def _resolve(self, section: Section) -> None:
        """ModelError where an activation that is no module of ours is read as it is."""
        if self.pending is None:
            return
        where, activation = self.pending
        refuse(
            where,
            f"has the activation {activation}, and layer {section.number} reads its real values",
            "Only relu, hardtan and linear have an exact form there: train it with one of them, or with "
            "xnor=1 behind it",
        )

    def _max_pool(self, section: Section) -> None:
        stride = section.whole("stride", 1)
        size = section.whole("size", stride)
        padding = section.whole("padding", size - 1)
        if min(stride, size) < 1 or padding < 0:
            refuse(section.name, "has no such size, stride or padding", "Correct the cfg")
        before = padding // 2
        # every activation of _SAME_SIGN rises, so a pool in front of a sign is the same in front of it
        self.chain.max_pool(_key(section), (size, size), (stride, stride), (before, padding - before) * 2)

    def _map(self) -> tuple[int, int]:
        return self.chain.shape[1], self.chain.shape[2]


def _key(section: Section) -> str:
    return f"layer{section.number}"
