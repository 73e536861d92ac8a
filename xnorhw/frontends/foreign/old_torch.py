"""The form that torch.save wrote before it wrote zip archives: four pickles, then the storages.

Of each pickle only plain data is made: a name in it stands for one of the functions here, for an
ordered dict, or for an object that keeps nothing.  Tensors are mapped: what nobody looks at is
not read.
"""

from __future__ import annotations

import math
import pickle
import struct
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from torch import Tensor

__all__ = ["KNOWN", "DamagedError", "WantsCodeError", "load"]

KNOWN = (
    "_codecs.encode",
    "argparse.Namespace",
    "builtins.set",
    "numpy._core.multiarray.scalar",
    "numpy.core.multiarray.scalar",
    "numpy.dtype",
    "torch.nn.modules.loss.CrossEntropyLoss",
    "torch.nn.modules.loss.MSELoss",
    "torch.nn.modules.loss.MultiMarginLoss",
    "torch.nn.modules.loss.NLLLoss",
)
"""What checkpoints have beside tensors; nothing of it is kept."""
_DTYPES = {
    "FloatStorage": np.float32, "DoubleStorage": np.float64, "HalfStorage": np.float16,
    "LongStorage": np.int64, "IntStorage": np.int32, "ShortStorage": np.int16,
    "CharStorage": np.int8, "ByteStorage": np.uint8, "BoolStorage": np.bool_,
}  # fmt: skip
_PROTOCOL = 1001


class DamagedError(Exception):
    """The file is cut off, or is none of this form."""


class WantsCodeError(Exception):
    """The file names a function or a class that is no plain data; its text is the name."""


@dataclass(frozen=True)
class _Storage:
    kind: str
    key: str
    first: int


@dataclass(frozen=True)
class _View:
    """A tensor that still lies in the file."""

    storage: _Storage
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]


class _Nothing:
    """An object of a class that is of no interest."""

    def __init__(self, *_: object) -> None:
        pass

    def __setstate__(self, _: object) -> None:
        pass


def load(path: Path) -> Any:
    """What the file holds, its tensors mapped.  Raises DamagedError, WantsCodeError."""
    with path.open("rb") as file:
        try:
            _Plain(file).load()  # the magic number, by which the file was known
            if _Plain(file).load() != _PROTOCOL or not _Plain(file).load().get("little_endian", True):
                raise DamagedError("another protocol")
            content = _Plain(file).load()
            keys = _Plain(file).load()
        except (WantsCodeError, DamagedError):
            raise
        except Exception as error:  # a damaged pickle raises whatever it leads to
            raise DamagedError(str(error)) from None
        views = list(_views(content))
        places = _places(file, [str(k) for k in keys], views, path.stat().st_size)
    made = {id(view): _mapped(path, places, view) for view in views}
    return _with_tensors(content, made)


class _Plain(pickle.Unpickler):
    """An unpickler for which no name but those of plain data stands for anything."""

    def __init__(self, file: BinaryIO) -> None:
        super().__init__(file, encoding="latin1")

    def find_class(self, module: str, name: str) -> Any:
        """Never an import: one of the functions here."""
        whole = f"{module}.{name}".replace("__builtin__.", "builtins.")
        made: dict[str, Callable[..., Any]] = {
            "collections.OrderedDict": OrderedDict,
            "torch._utils._rebuild_tensor": _view,
            "torch._utils._rebuild_tensor_v2": _view,
            "torch._utils._rebuild_parameter": lambda data, *_: data,
            "torch.Size": tuple,
        }
        if whole in made:
            return made[whole]
        if module in ("torch", "torch.cuda") and name in _DTYPES:
            return name
        if whole in KNOWN or module == "numpy.dtypes":
            return _Nothing
        raise WantsCodeError(whole)

    def persistent_load(self, pid: Any) -> Any:
        """A storage, or the class of a module with its source, of which nothing is taken."""
        if isinstance(pid, tuple) and len(pid) >= 2 and pid[0] == "module":
            return pid[1]
        if not (isinstance(pid, tuple) and len(pid) >= 5 and pid[0] == "storage" and pid[1] in _DTYPES):
            raise DamagedError("a storage that is none")
        view = pid[5] if len(pid) > 5 else None
        return _Storage(pid[1], str(pid[2]), 0 if view is None else int(view[1]))


def _view(storage: Any, offset: int, size: Any, stride: Any, *_: object) -> _View:
    if not isinstance(storage, _Storage):
        raise DamagedError("a tensor without a storage")
    return _View(storage, int(offset), tuple(int(n) for n in size), tuple(int(n) for n in stride))


def _views(value: Any) -> Any:
    if isinstance(value, _View):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from _views(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _views(inner)


def _with_tensors(value: Any, made: dict[int, Tensor]) -> Any:
    if isinstance(value, _View):
        return made[id(value)]
    if isinstance(value, dict):
        return {key: _with_tensors(inner, made) for key, inner in value.items()}
    if isinstance(value, list):
        return [_with_tensors(inner, made) for inner in value]
    return value


def _places(file: BinaryIO, keys: list[str], views: list[_View], total: int) -> dict[str, tuple[int, int]]:
    """Where each storage lies, and how many elements it has."""
    kinds = {view.storage.key: view.storage.kind for view in views}
    places = {}
    for key in keys:
        count = file.read(8)
        if len(count) < 8 or key not in kinds:
            raise DamagedError("a storage is missing")
        number = struct.unpack("<q", count)[0]
        begin = file.tell()
        end = begin + number * np.dtype(_DTYPES[kinds[key]]).itemsize
        if number < 0 or end > total:
            raise DamagedError("a storage is cut off")
        places[key] = (begin, number)
        file.seek(end)
    return places


def _mapped(path: Path, places: dict[str, tuple[int, int]], view: _View) -> Tensor:
    if view.storage.key not in places:
        raise DamagedError("a storage is missing")
    begin, number = places[view.storage.key]
    dtype = np.dtype(_DTYPES[view.storage.kind])
    first = view.storage.first + view.offset
    reach = sum((n - 1) * s for n, s in zip(view.size, view.stride, strict=True)) if all(view.size) else -1
    if first < 0 or min((0, *view.stride, *view.size)) < 0 or first + reach + 1 > number:
        raise DamagedError("a tensor reaches past its storage")
    if math.prod(view.size) == 0:
        return torch.from_numpy(np.zeros(view.size, dtype))
    # copy on write: a tensor of torch's is never read-only
    whole = np.memmap(path, dtype, "c", begin, (number,))
    return torch.from_numpy(whole).as_strided(view.size, view.stride, first)
