"""What every importer speaks: the options, the kind of a file, and what became of it."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from xnorhw.ir.errors import ModelError
from xnorhw.ir.float_graph import Input

if TYPE_CHECKING:
    from torch import nn

__all__ = [
    "FLAGS",
    "HEAD",
    "INPUT_FORM",
    "Decision",
    "Imported",
    "InputSpec",
    "Kind",
    "Options",
    "ask_input",
    "check_size",
    "open_question",
    "parse_input",
    "refuse",
]

_GROWTH = 64
_LARGE = 1 << 30
HEAD = 1 << 16
"""So many bytes of a file's beginning are shown to ``Kind.detect``."""
INPUT_FORM = "SHAPE, as 1x28x28 or 784, and behind it what the network was fed: "
_HOW_INPUT = (
    "pixels with their normalisation, as 3x32x32,mean=0.485/0.456/0.406,std=0.229/0.224/0.225; "
    "codes, as 784,bits=8,signed,scale=1/128; or -1 and +1, as 784,bipolar"
)


@dataclass(frozen=True)
class Options:
    """What the user said about a file; None was not said.

    ``sign0``: what sign(0) is, -1, 0 or +1.  ``pad``: what the padded taps of a binary
    convolution read.  ``eps``: of the batch norms.  ``recentre``: whether weights are centred
    and clamped once more.  ``input``: see ``parse_input``.  ``arch``: the network's name.
    """

    sign0: int | None = None
    pad: int | None = None
    eps: float | None = None
    recentre: bool | None = None
    input: str | None = None
    arch: str | None = None

    def said(self) -> tuple[str, ...]:
        """The names of the options that were given."""
        return tuple(f.name for f in fields(self) if getattr(self, f.name) is not None)


FLAGS = {
    "sign0": "--sign0",
    "pad": "--pad",
    "eps": "--eps",
    "recentre": "--no-recentre",
    "input": "--input",
    "arch": "--arch",
}
"""How the command line spells the fields of ``Options``."""


@dataclass(frozen=True)
class Decision:
    """One thing that was decided on the way: ``what``, to which ``value``, and ``why``."""

    what: str
    value: str
    why: str

    def __str__(self) -> str:
        return f"{self.what}: {self.value} ({self.why})"


@dataclass(frozen=True)
class Imported:
    """A foreign network as ours: ``net`` in eval, of modules that ``save`` takes, and what it is fed."""

    net: nn.Module
    input: Input
    decisions: tuple[Decision, ...]


@dataclass(frozen=True)
class Kind:
    """A kind of file.  The module that makes one imports torch, onnx or h5py inside of ``read`` alone.

    ``name`` is what --from takes; ``title`` says whose files these are; ``endings`` are usual
    for their names; ``options`` are the fields of ``Options`` that ``read`` understands.
    ``detect(path, head)`` gives the evidence, in words, or None; it is cheap, never unpickles
    and never raises for a damaged file.  ``read(path, options)`` raises ModelError.
    """

    name: str
    title: str
    endings: tuple[str, ...]
    options: tuple[str, ...]
    detect: Callable[[Path, bytes], str | None]
    read: Callable[[Path, Options], Imported]


@dataclass(frozen=True)
class InputSpec:
    """What --input says: the shape, and pixels (``mean`` and ``std``), codes or -1 and +1.

    ``mean`` and ``std`` have one number or one a channel, of pixels divided by 255; None are
    not said.  ``bits``: normalised pixels are rounded to signed codes of so many.
    ``codes``: bits, signed and the scale (a power of two), as ``Input`` has them.
    """

    shape: tuple[int, ...]
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    bits: int | None = None
    codes: tuple[int, bool, float] | None = None
    bipolar: bool = False

    @property
    def is_pixels(self) -> bool:
        """True where raw pixels 0..255 come in, with a normalisation behind them."""
        return self.mean is not None

    def declared(self) -> Input:
        """The ``Input`` to save a network with: raw pixels, unless codes were said."""
        if self.bipolar:
            return Input(self.shape, encoding="bipolar")
        if self.codes is not None:
            bits, signed, scale = self.codes
            return Input(self.shape, bits=bits, signed=signed, scale=scale)
        return Input(self.shape)


def parse_input(text: str) -> InputSpec:
    """The --input of a user: ``SHAPE[,mean=M,std=S[,bits=N] | ,bits=N[,signed][,scale=X] | ,bipolar]``.

    SHAPE is 3x32x32 or 784.  M and S are a number or one a channel with / between them, for
    pixels divided by 255; bits behind them rounds what they give.  X is a power of two, as 1/128 or 0.5.
    ModelError otherwise.
    """
    parts = [p.strip() for p in text.split(",")]
    shape = _shape(parts[0], text)
    words: dict[str, str] = {}
    for part in parts[1:]:
        name, _, value = part.partition("=")
        if name in words or (value == "") != (name in ("signed", "unsigned", "bipolar")):
            _bad_input(text, f"{part!r} is not understood")
        words[name] = value
    unknown = sorted(set(words) - {"mean", "std", "bits", "signed", "unsigned", "scale", "bipolar"})
    if unknown:
        _bad_input(text, f"{unknown[0]!r} is not understood")
    if "bipolar" in words:
        if len(words) > 1:
            _bad_input(text, "bipolar stands alone")
        return InputSpec(shape, bipolar=True)
    if "mean" in words or "std" in words:
        if set(words) - {"bits"} != {"mean", "std"}:
            _bad_input(text, "mean and std stand together, without signed and scale")
        channels = shape[0] if len(shape) == 3 else 1
        mean, std = (_numbers(words[n], n, channels, text) for n in ("mean", "std"))
        if min(std) <= 0:
            _bad_input(text, "std is positive")
        return InputSpec(shape, mean, std, _bits(words["bits"], 2, text) if "bits" in words else None)
    if not words:
        return InputSpec(shape)
    if {"signed", "unsigned"} <= set(words):
        _bad_input(text, "it is either signed or unsigned")
    bits = _bits(words.get("bits", "8"), 1, text)
    scale = _scale(words.get("scale", "1"), text)
    if bits == 1 and "signed" in words:
        _bad_input(text, "one signed bit is bipolar")
    return InputSpec(shape, codes=(bits, "signed" in words, scale))


def open_question(where: str, option: str, choices: Sequence[tuple[str, str]], why: str) -> NoReturn:
    """Refuse a file in which something is open: ``option`` decides it, each value with what it means."""
    said = "; ".join(f"{FLAGS[option]} {value} means {meaning}" for value, meaning in choices)
    raise ModelError(f"{why}, so it is not guessed", module=where, remedy=f"Say which: {said}")


def check_size(where: str, stored: int, unpacked: int) -> None:
    """ModelError for a file of ``stored`` bytes that says it holds ``unpacked``, as only a bomb does."""
    if unpacked > max(_LARGE, _GROWTH * stored):
        refuse(
            where,
            f"unpacks {stored:,} bytes to {unpacked:,}, as no trained network does; it was not read",
            "Give the file that the project's training wrote",
        )


def refuse(where: str, reason: str, remedy: str) -> NoReturn:
    """ModelError for the file, or the part of it, called ``where``."""
    raise ModelError(reason, module=where, remedy=remedy)


def ask_input(where: str, shape: str | None = None, usual: str | None = None) -> NoReturn:
    """Refuse a file of which nobody said what it is fed.

    ``shape`` where the file tells it; ``usual``: what the project's own script normalises by.
    """
    example = shape or "3x32x32"
    script = f"; the project's own script has --input {example},{usual}" if usual else ""
    refuse(
        where,
        "the file holds weights, and nothing about what the network was fed",
        f"Give --input: {example},mean=M,std=S for pixels 0..255 that were divided by 255 and "
        f"normalised (M and S a number, or one a channel with / between them); "
        f"{example},bits=8,signed,scale=1/128 for integer codes; {example},bipolar for -1 and +1{script}",
    )


def _shape(text: str, whole: str) -> tuple[int, ...]:
    if not re.fullmatch(r"\d{1,6}(x\d{1,6}x\d{1,6})?", text, re.ASCII):
        _bad_input(whole, f"{text!r} is no shape")
    shape = tuple(int(n) for n in text.split("x"))
    if min(shape) < 1:
        _bad_input(whole, f"{text!r} is no shape")
    return shape


def _numbers(text: str, name: str, channels: int, whole: str) -> tuple[float, ...]:
    try:
        values = tuple(float(v) for v in text.split("/"))
    except ValueError:
        _bad_input(whole, f"{name}={text} is no number")
    if not all(math.isfinite(v) for v in values) or len(values) not in (1, channels):
        _bad_input(whole, f"{name} is one finite number or one for each of {channels} channels")
    return values


def _bits(text: str, least: int, whole: str) -> int:
    if not (text.isascii() and text.isdigit() and least <= int(text) <= 8):
        _bad_input(whole, f"bits is {least} to 8, not {text}")
    return int(text)


def _scale(text: str, whole: str) -> float:
    above, _, below = text.partition("/")
    try:
        value = float(above) / float(below or "1")
    except (ValueError, ZeroDivisionError):
        _bad_input(whole, f"scale={text} is no number")
    if not (math.isfinite(value) and value > 0 and math.frexp(value)[0] == 0.5):
        _bad_input(whole, f"scale={text} is no power of two")
    return value


def _bad_input(text: str, reason: str) -> NoReturn:
    refuse("--input", f"{text!r}: {reason}", f"It is {INPUT_FORM}{_HOW_INPUT}")
