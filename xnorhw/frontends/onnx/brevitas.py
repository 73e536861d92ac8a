"""A network of Brevitas modules -> a network of ours, by way of Brevitas' own QONNX export."""

from __future__ import annotations

import copy
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from xnorhw.frontends.onnx.graph import read_graph
from xnorhw.frontends.onnx.inputs import Fed
from xnorhw.frontends.onnx.network import network_of
from xnorhw.frontends.trace import check_eval
from xnorhw.ir.errors import ModelError
from xnorhw.ir.float_graph import Input

__all__ = ["from_brevitas"]


def from_brevitas(net: nn.Module, declared: Input, samples: Any = None) -> tuple[nn.Module, Input, Any]:
    """(the same network of our modules, the input to declare for it, the samples as that takes them).

    ``declared`` is what enters ``net``: codes times their scale.  With unsigned 8-bit codes the
    scale may be any, as 1/255 behind ToTensor: the network made takes raw pixels then.

    A copy is exported: Brevitas' constant-scale binary weights are clamped in place in every
    forward, in eval too.  ModelError: Brevitas' exporter is not there or fails, and what the
    file that it writes cannot be taken for.
    """
    check_eval(net)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "brevitas.onnx"
        _export(copy.deepcopy(net), declared.shape, path)
        graph = read_graph(path)
    fed = _fed(declared)
    if samples is not None and fed.pixels is not None and declared.scale != 1.0:
        samples = np.rint(np.asarray(samples, np.float64) / declared.scale)
    return network_of(graph, fed, type(net).__name__).net, fed.input, samples


def _export(net: nn.Module, shape: tuple[int, ...], path: Path) -> None:
    try:
        from brevitas.export import export_qonnx  # type: ignore[import-not-found, unused-ignore]
    except ImportError as error:
        raise ModelError(
            f"Brevitas' QONNX export is not there: {error}",
            module=type(net).__name__,
            remedy='Install it: pip install "brevitas[export]" onnxoptimizer',
        ) from None
    extra: dict[str, Any] = {"dynamo": False}
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            export_qonnx(net, args=torch.zeros(1, *shape), export_path=str(path), **extra)
    except Exception as error:
        text = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ModelError(
            f"Brevitas cannot export it: {text}",
            module=type(net).__name__,
            remedy="Export it by brevitas.export.export_qonnx yourself, and import the file",
        ) from None


def _is_pixels(declared: Input) -> bool:
    return declared.encoding == "code" and declared.bits == 8 and not declared.signed


def _plain(declared: Input) -> Input:
    return Input(declared.shape) if _is_pixels(declared) else declared


def _fed(declared: Input) -> Fed:
    pixels: npt.NDArray[np.float32] | None = None
    if _is_pixels(declared):
        codes = np.arange(256, dtype=np.float32)
        # as ToTensor does it: a division, where 1 / scale is whole
        parts = np.rint(1 / declared.scale)
        divided = declared.scale < 1 and abs(parts * declared.scale - 1) < 1e-9
        pixels = (codes / np.float32(parts) if divided else codes * np.float32(declared.scale))[None]
    return Fed(_plain(declared), pixels, False, ())
