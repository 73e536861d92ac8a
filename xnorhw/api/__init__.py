"""What a user works with: ``load`` gives a Model, ``Model.build`` a Build."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy.typing as npt

from xnorhw.api.build import Build
from xnorhw.api.model import Model
from xnorhw.board import Board, board_names
from xnorhw.ir.errors import (
    BoardError,
    FitError,
    ModelError,
    ToolError,
    VerifyError,
    XnorhwError,
)
from xnorhw.ir.float_graph import Input

if TYPE_CHECKING:
    import torch

    from xnorhw.check import Verdict

__all__ = [
    "Board",
    "BoardError",
    "Build",
    "FitError",
    "Input",
    "Model",
    "ModelError",
    "ToolError",
    "VerifyError",
    "XnorhwError",
    "boards",
    "calibrate",
    "load",
    "save",
    "snap",
    "verify",
]


def load(
    path: str | Path,
    kind: str | None = None,
    *,
    sign0: int | None = None,
    pad: int | None = None,
    eps: float | None = None,
    recentre: bool | None = None,
    input: str | None = None,
    arch: str | None = None,
) -> Model:
    """Read a model file that ``save`` wrote, or a trained file of another project.  Runs no code from it.

    The other arguments are those of ``xnorhw import``: ``kind`` says whose file it is, and the rest what
    the file leaves open.  Raises ModelError for a file that is none, is damaged, comes from a newer
    format, or leaves something open.
    """
    from xnorhw.frontends import load_model_file
    from xnorhw.frontends.foreign import Options
    from xnorhw.frontends.foreign.models import foreign_model, is_foreign

    path = Path(path)
    options = Options(sign0, pad, eps, recentre, input, arch)
    if kind is not None or options.said() or is_foreign(path):
        try:
            made = foreign_model(path, kind, options)
        except ModelError as error:
            remedy = f"{error.remedy}; xnorhw import makes a model file of it and takes these options"
            raise type(error)(error.reason, module=error.module, remedy=remedy) from None
        return Model(made.file, made.data)
    file = load_model_file(path)
    return Model(file, path.read_bytes())


def save(
    net: torch.nn.Module,
    path: str | Path,
    input: Input,
    samples: npt.ArrayLike | None = None,
    labels: npt.ArrayLike | None = None,
    replace: dict[type | str, Callable[[Any], torch.nn.Module]] | None = None,
) -> None:
    """Trace the trained network ``net`` and write it to ``path``.

    ``samples`` [N, *input.shape] and ``labels`` [N]: real inputs with their classes; up to
    16 are kept for verification.  ``replace`` maps a module's class or qualified name to a
    function that gives the layer of ``xnorhw.nn`` to put in its place.  Raises ModelError,
    naming the module, for what cannot be built.
    """
    from xnorhw import frontends

    frontends.save(net, path, input, samples=samples, labels=labels, replace=replace)


def snap(
    net: torch.nn.Module,
    frac: int | None = None,
    samples: npt.ArrayLike | None = None,
    labels: npt.ArrayLike | None = None,
    replace: dict[type | str, Callable[[Any], torch.nn.Module]] | None = None,
    in_frac: int = 10,
    full_bits: int | None = None,
) -> torch.nn.Module:
    """A copy of ``net`` whose full-precision layers are exact; prints the accuracy before and after.

    Every torch.nn.Conv2d and Linear in front of the first binary layer or behind the last one
    becomes xnn.FullConv2d or xnn.FullLinear; their weights are rounded to multiples of 2^-frac
    (None: a layer's own frac, or as fine as 16 bits allow; with ``full_bits`` as fine as so many
    bits allow, of every layer: 8 suit the chip), and what a linear layer reads of real values to
    multiples of 2^-in_frac.  ``samples`` [N, ...] as the network's forward takes them and
    ``labels`` [N] measure what that changed.  ``replace``: see ``save``.
    Raises ModelError, naming the module, for what cannot be snapped.
    """
    from xnorhw import frontends

    return frontends.snap(net, frac, samples, labels, replace, in_frac, full_bits)


def calibrate(
    net: torch.nn.Module,
    samples: npt.ArrayLike,
    bits: int = 8,
    labels: npt.ArrayLike | None = None,
    *,
    percentile: float = 99.99,
    power_of_two: bool = False,
    replace: dict[type | str, Callable[[Any], torch.nn.Module]] | None = None,
) -> torch.nn.Module:
    """A copy of ``net`` whose ReLUs in front of binary-weight layers give codes of ``bits`` bits.

    A Binary-Weight-Network has real activations, which no integer holds: each torch.nn.ReLU
    that such a layer reads becomes xnn.QuantReLU, its scale taken from what it gives on
    ``samples`` [N, ...] (the ``percentile`` of its positive values, rounded up to a power of two
    with ``power_of_two``), and the layer behind has that scale as its in_scale.  Prints how many
    decisions that changed and, with ``labels`` [N], the accuracy before and after.
    ``replace``: see ``save``.  Raises ModelError, naming the module, for what cannot be changed.
    """
    from xnorhw import frontends

    return frontends.calibrate(net, samples, bits, labels, percentile, power_of_two, replace)


def boards() -> list[str]:
    """The names that ``Model.build`` takes for ``board``."""
    return board_names()


def verify(folder: str | Path, **options: Any) -> Verdict:
    """Run the chain of equalities on a build; see ``Build.verify``."""
    return Build(folder).verify(**options)
