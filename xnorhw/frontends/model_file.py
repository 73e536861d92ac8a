"""The model file: a float graph and sample inputs as plain dicts, lists and tensors.

Written by ``torch.save``, read by ``torch.load(weights_only=True)`` alone: a file can make
this program refuse it, never run anything.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
import uuid
import warnings
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from xnorhw.frontends.onnx import is_brevitas
from xnorhw.frontends.pickles import code_wanted
from xnorhw.frontends.replace import Replacements
from xnorhw.frontends.shapes import validate
from xnorhw.frontends.trace import trace
from xnorhw.ir import float_graph as fg
from xnorhw.ir.errors import ModelError
from xnorhw.ir.geometry import Pads, WindowGeometry
from xnorhw.ir.serial import SerialError, decode, encode

__all__ = [
    "FORMAT",
    "MAX_SAMPLES",
    "VERSION",
    "Metadata",
    "ModelFile",
    "check_classes",
    "check_values",
    "load_model_file",
    "save",
    "to_bytes",
    "write",
]

FORMAT = "xnorhw-model"
VERSION = "1.3"
MAX_SAMPLES = 16

_CLASSES = (
    fg.FloatGraph, fg.FloatNode, fg.Input, fg.Value, fg.Add, fg.Affine, fg.AvgPool2d, fg.BasesConv2d,
    fg.BasesLinear, fg.BasesQuant, fg.BatchNorm, fg.BinaryConv2d, fg.BinaryLinear, fg.BipolarQuant,
    fg.Concat, fg.Flatten, fg.FullConv2d, fg.FullLinear, fg.Grid, fg.Hardtanh, fg.InputQuant, fg.MaxPool2d,
    fg.MultiThreshold, fg.Quant, fg.QuantRelu, fg.Relu, fg.ScaledBinaryConv2d, Pads, WindowGeometry,
)  # fmt: skip
_HOW_TO_SAVE = (
    "Build the network in Python, load the weights into it, and write it by xnorhw.save(net, path, input=...)"
)

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Metadata:
    """What wrote a file: the format's version and torch's."""

    version: str
    torch: str


@dataclass(frozen=True)
class ModelFile:
    """A model file: its graph, up to 16 inputs [N, *shape] as they were given, and labels int64 [N]."""

    graph: fg.FloatGraph
    samples: Array | None
    labels: npt.NDArray[np.int64] | None
    metadata: Metadata


def save(
    net: nn.Module,
    path: str | os.PathLike[str],
    input: fg.Input,
    samples: npt.ArrayLike | Tensor | None = None,
    labels: npt.ArrayLike | Tensor | None = None,
    replace: Replacements | None = None,
) -> None:
    """Trace ``net`` (in eval, on the CPU) and write it to ``path``.

    ``input`` says what it is fed.  Of ``samples`` [N, *input.shape] (input values: codes times
    scale, or raw pixels) and ``labels`` [N] the first 16 are kept.  ``replace``: see ``trace``.
    The file is written beside ``path`` and moved into place.  The same network gives the
    same bytes, whatever the path.  ModelError where the network, the samples or the path
    cannot be taken.

    A network of Brevitas modules goes through Brevitas' own QONNX export; unsigned 8-bit codes
    may have any scale there (1/255 behind ToTensor).
    """
    if is_brevitas(net) and not replace:
        from xnorhw.frontends.onnx.brevitas import from_brevitas

        net, input, samples = from_brevitas(net, input, samples)
    graph = trace(net, input, replace)
    write(Path(path), to_bytes(graph, samples, labels))


def to_bytes(
    graph: fg.FloatGraph,
    samples: npt.ArrayLike | Tensor | None = None,
    labels: npt.ArrayLike | Tensor | None = None,
) -> bytes:
    """The bytes of a model file; see ``save``."""
    kept, kept_labels = _samples(graph.input, samples, labels)
    check_classes(graph, labels)
    arrays: dict[str, Array] = {}
    tree = encode(graph, arrays)
    content = {
        "format": FORMAT,
        "version": VERSION,
        "torch": str(torch.__version__).split("+")[0],
        "graph": tree,
        "arrays": {key: _tensor(arrays[key]) for key in sorted(arrays)},
        "samples": None if kept is None else _tensor(kept),
        "labels": None if kept_labels is None else _tensor(kept_labels),
    }
    buffer = io.BytesIO()  # a path would become part of the archive
    torch.save(_canonical(content), buffer)
    return buffer.getvalue()


def load_model_file(path: str | os.PathLike[str]) -> ModelFile:
    """Read a model file; runs no code from it.

    ModelError: not a model file, truncated, a pickle that wants to run code, a bare
    state_dict, a newer major format, parameters that are not finite, anything outside of
    the vocabulary.
    """
    where = Path(path)
    name = str(path)
    try:
        data = where.read_bytes()
    except OSError as error:
        raise ModelError(
            f"cannot be read: {error.strerror or error}",
            module=name,
            remedy="Give the path of a file by xnorhw.save",
        ) from None
    content = _unpickle(data, name)
    _check_content(content, name)
    newer = _check_version(content["version"], name)
    try:
        arrays = {str(key): _numpy(value) for key, value in content["arrays"].items()}
        graph = decode(content["graph"], arrays, _CLASSES)
        if not isinstance(graph, fg.FloatGraph):
            raise SerialError("it holds no graph")
        validate(graph)
        samples = None if content["samples"] is None else _numpy(content["samples"])
        labels = None if content["labels"] is None else _numpy(content["labels"])
        kept, kept_labels = _samples(graph.input, samples, labels)
    except ModelError as error:
        raise ModelError(
            error.reason, module=f"{name}: {error.module}" if error.module else name, remedy=error.remedy
        ) from None
    except (
        SerialError,
        AttributeError,
        KeyError,
        TypeError,
        ValueError,
        IndexError,
        RecursionError,
    ) as error:
        hint = "Update xnorhw" if newer else "Save the network again"
        what = f"was written by a newer version (format {content['version']}) and " if newer else ""
        raise ModelError(f"{what}does not describe a network: {error}", module=name, remedy=hint) from None
    return ModelFile(
        graph, kept, kept_labels, Metadata(str(content["version"]), str(content.get("torch", "")))
    )


def _unpickle(data: bytes, name: str) -> Any:
    if data[:4] == b"PK\x03\x04" and not _is_whole(data):
        _refuse(name, "is truncated or damaged", "Copy the file again, or save the network again")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except Exception:  # zip and pickle readers raise whatever they stumble over
        wanted = code_wanted(data)
        if wanted is not None:
            remedy = f"If it is a whole module written by torch.save(net): {_HOW_TO_SAVE}"
            _refuse(name, f"is a pickle that wants to run code ({wanted}); it was not run", remedy)
        if _is_torchscript(data):
            _refuse(name, "is a TorchScript archive: code, not the layers of a network", _HOW_TO_SAVE)
        if data[:4] == b"PK\x03\x04":
            _refuse(name, "is truncated or damaged", "Copy the file again, or save the network again")
        _refuse(name, "is not a model file", _HOW_TO_SAVE)


def _is_torchscript(data: bytes) -> bool:
    """True for an archive of torch.jit.save, which alone holds constants beside the data."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return any(name.endswith("/constants.pkl") for name in archive.namelist())
    except zipfile.BadZipFile:
        return False


def _is_whole(data: bytes) -> bool:
    """True where every member of the archive has its checksum, which torch.load does not look at."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return archive.testzip() is None
    except Exception:  # a damaged header raises whatever it leads to
        return False


def _check_content(content: Any, name: str) -> None:
    if isinstance(content, dict) and content.get("format") == FORMAT:
        missing = {"version", "graph", "arrays", "samples", "labels"} - set(content)
        if missing or not isinstance(content["arrays"], dict):
            _refuse(
                name, f"lacks its {sorted(missing)[0] if missing else 'arrays'}", "Save the network again"
            )
        return
    if isinstance(content, dict) and str(content.get("format", "")).startswith("xnorhw-"):
        _refuse(
            name,
            f"is an {content['format']}, no model",
            "Take the model file that xnorhw train saves beside the folder of its checkpoints",
        )
    if isinstance(content, dict) and any(_holds_tensors(v) for v in [content, *content.values()]):
        _refuse(
            name,
            "is a state_dict: it holds weights by name, and nothing about the layers that they belong to",
            _HOW_TO_SAVE.replace(
                "load the weights into it", "call net.load_state_dict(torch.load(...)) and net.eval()"
            ),
        )
    _refuse(name, "is not a model file", _HOW_TO_SAVE)


def _holds_tensors(value: Any) -> bool:
    return isinstance(value, dict) and bool(value) and any(isinstance(v, Tensor) for v in value.values())


def _check_version(version: Any, name: str) -> bool:
    """True where the file is of a newer minor version."""
    parts = version.split(".") if isinstance(version, str) else []
    if len(parts) != 2 or not all(p.isascii() and p.isdigit() for p in parts):
        _refuse(name, f"has the format version {version!r}, which is none", "Save the network again")
    major, minor = (int(p) for p in parts)
    known = [int(p) for p in VERSION.split(".")]
    if major > known[0]:
        _refuse(
            name,
            f"has the format version {version}, newer than {VERSION}, the newest known here",
            "Update xnorhw",
        )
    if major < known[0]:
        _refuse(
            name, f"has the format version {version}, older than any known here", "Save the network again"
        )
    return minor > known[1]


def _samples(
    declared: fg.Input, samples: npt.ArrayLike | Tensor | None, labels: npt.ArrayLike | Tensor | None
) -> tuple[Array | None, npt.NDArray[np.int64] | None]:
    if samples is None:
        if labels is not None:
            _refuse("labels", "are given without samples", "Give samples= too")
        return None, None
    given = _plain(samples, "samples")
    if given.ndim != len(declared.shape) + 1 or given.shape[1:] != tuple(declared.shape) or len(given) == 0:
        _refuse(
            "samples",
            f"have the shape {given.shape}, not that of the declared input behind a batch, {declared.shape}",
            "Give a batch of inputs of the declared shape",
        )
    kept = np.ascontiguousarray(given[:MAX_SAMPLES])
    check_values(declared, kept)
    if labels is None:
        return kept, None
    marks = _plain(labels, "labels")
    if marks.shape != (len(given),) or marks.dtype.kind not in "iu":
        _refuse(
            "labels",
            f"are {marks.dtype} of the shape {marks.shape} for {len(given)} samples",
            "Give one integer class per sample",
        )
    return kept, np.ascontiguousarray(marks[:MAX_SAMPLES].astype(np.int64))


def check_classes(graph: fg.FloatGraph, labels: npt.ArrayLike | Tensor | None) -> None:
    """ModelError where a label is no index of the network's scores."""
    shape = graph.node(graph.output).output.shape
    if labels is None or len(shape) != 1:
        return
    marks = _plain(labels, "labels")
    wrong = marks[(marks < 0) | (marks >= shape[0])]
    if wrong.size:
        _refuse(
            "labels",
            f"hold {wrong[0]}, and the network decides between the classes 0 to {shape[0] - 1}",
            "Give the index of each sample's class among the network's scores",
        )


def check_values(declared: fg.Input, samples: Array) -> None:
    """ModelError where a sample is no code of the declared input times its scale."""
    kind = declared.type
    codes = samples.astype(np.float64) / declared.scale
    good = np.isfinite(codes) & (codes == np.rint(codes)) & (codes >= kind.min) & (codes <= kind.max)
    if kind.is_bipolar:
        good &= codes != 0
    if not bool(good.all()):
        wrong = samples[~good].flat[0]
        scaled = "" if declared.scale == 1 else f" times {declared.scale:g}"
        values = "-1 and +1" if kind.is_bipolar else f"the integers {kind.min}..{kind.max}"
        _refuse(
            "samples",
            f"hold {wrong}, which is no value of the declared input: {values}{scaled}",
            "Give the inputs as the network's forward takes them, or declare the input that they are",
        )


def _plain(value: npt.ArrayLike | Tensor, what: str) -> Array:
    array = value.detach().cpu().numpy() if isinstance(value, Tensor) else np.asarray(value)
    if array.dtype.kind not in "iuf" or array.dtype.itemsize > 8:
        _refuse(what, f"are {array.dtype}, not numbers", "Give an array of integers or floats")
    return array


def _tensor(array: Array) -> Tensor:
    # a copy: memory of its own, contiguous, in the machine's byte order
    return torch.from_numpy(np.array(array, dtype=array.dtype.newbyteorder("="), order="C"))


def _numpy(value: Any) -> Array:
    if not isinstance(value, Tensor) or value.layout != torch.strided or value.is_quantized:
        raise SerialError(f"a {type(value).__name__} stands where a tensor should")
    array: Array = value.detach().contiguous().numpy().copy()
    return array


def _canonical(value: Any) -> Any:
    """The same data with equal strings made one object: pickle writes a repeated object as a reference."""
    if isinstance(value, dict):
        return {_canonical(k): _canonical(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_canonical(v) for v in value]
    return sys.intern(str(value)) if isinstance(value, str) else value


def write(path: Path, data: bytes) -> None:
    """Write ``data`` beside ``path`` and move it into place; ModelError where that fails."""
    if not path.name or path.is_dir():
        _refuse(str(path), "cannot be written: it is a folder", "Give the path of a file in it")
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        try:
            with open(temporary, "xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise
    except OSError as error:
        raise ModelError(
            f"cannot be written: {error.strerror or error}",
            module=str(path),
            remedy="Give a path in an existing folder with room for the file",
        ) from None


def _refuse(where: str, reason: str, remedy: str) -> NoReturn:
    raise ModelError(reason, module=where, remedy=remedy)
