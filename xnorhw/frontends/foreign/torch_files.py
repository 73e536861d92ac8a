"""Checkpoints of torch: their names without reading them, their tensors without running them."""

from __future__ import annotations

import contextlib
import functools
import io
import pickletools
import re
import warnings
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NoReturn

from xnorhw.frontends.foreign.base import check_size, refuse
from xnorhw.frontends.pickles import first_global
from xnorhw.ir.errors import ModelError

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Checkpoint", "is_torch", "read_checkpoint", "refuse_archive", "stored_names"]

_ZIP = b"PK\x03\x04"
_MAGIC = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19"
"""How torch.save began before it wrote zip archives: the pickle of its magic number."""
_TAR_MEMBERS = ("sys_info", "pickle", "tensors", "storages")
_PARALLEL = re.compile(r"(^|\.)module\.")
_MOST = 1 << 24
"""A longer pickle describes no checkpoint: tensors lie beside it, not in it."""
_CONTAINERS = ("state_dict", "model_state_dict", "model_state", "model", "net", "weights")
_HOW = "Load it where it was made and write its weights alone: torch.save(net.state_dict(), path)"


@dataclass(frozen=True)
class Checkpoint:
    """The tensors of a network by name, without DataParallel's "module.", and how they were wrapped.

    ``container`` is the key that they lay under, or ""; ``parallel`` whether "module." was removed.
    ``extras`` has the numbers and words that lay beside them.
    """

    where: str
    tensors: dict[str, Tensor]
    container: str
    parallel: bool
    extras: dict[str, Any]


def is_torch(head: bytes) -> bool:
    """True where a file begins as torch.save's do: a zip archive, or the older form."""
    return head.startswith((_ZIP, _MAGIC))


def refuse_archive(head: bytes, where: str) -> None:
    """ModelError for a tar archive, in which torch wrote checkpoints until 2017, or a compressed file."""
    if head.startswith(b"\x1f\x8b"):
        refuse(where, "is compressed by gzip", "Unpack it (gunzip, or tar -xzf), and give what was in it")
    if head[257:262] != b"ustar":
        return
    member = head[:100].split(b"\0")[0].decode("utf-8", "replace")
    if member not in _TAR_MEMBERS:
        refuse(where, "is a tar archive of files", "Unpack it (tar -xf), and give the checkpoint in it")
    refuse(
        where,
        "is a tar archive as torch.save wrote it before version 0.2 (2017); only a loader that runs its "
        "pickle reads it, so it was not read",
        "If you trust where it comes from, write its weights again with any torch: "
        "torch.save(torch.load(path, map_location='cpu', weights_only=False)['state_dict'], 'weights.pth'), "
        "without ['state_dict'] where the file holds the weights alone; then import weights.pth",
    )


def stored_names(path: Path, head: bytes) -> frozenset[str] | None:
    """The names under which tensors lie in a file by torch.save; None where it is none.

    Read from the opcodes of its pickle, which is not run: every word in it, without "module.".
    """
    if not is_torch(head):
        return None
    try:
        state = path.stat()
    except OSError:
        return None
    return _names(path, head[:64], state.st_size, state.st_mtime_ns)


@functools.lru_cache(maxsize=1)
def _names(path: Path, head: bytes, _size: int, _time: int) -> frozenset[str] | None:
    words: set[str] = set()
    with contextlib.suppress(Exception):  # a damaged file has the names that were read up to there
        for pickled in _pickles(path, head):
            words |= _words(pickled)
    return frozenset(_PARALLEL.sub(r"\1", w) for w in words) if words else None


def _pickles(path: Path, head: bytes) -> Iterator[BinaryIO]:
    if head.startswith(_ZIP):
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                if name.endswith("/data.pkl") and archive.getinfo(name).file_size <= _MOST:
                    yield io.BytesIO(archive.read(name))
        return
    with path.open("rb") as file:
        for _ in range(4):  # the magic number, the protocol, the machine, the object
            yield file


def _words(pickled: BinaryIO) -> set[str]:
    found: set[str] = set()
    for opcode, argument, _ in pickletools.genops(pickled):
        if isinstance(argument, str) and opcode.name not in ("GLOBAL", "INST"):
            found.add(argument)
    return found


def read_checkpoint(path: Path) -> Checkpoint:
    """The tensors of a checkpoint by torch.save, in either form.

    Nothing of it is run: torch's own loader of tensors alone reads it, which besides knows the
    plain values of numpy, an argparse.Namespace and torch's loss functions, all of which are left
    out.  ModelError: no such file, truncated, a pickle that wants to run code, no tensors.
    """
    where = str(path)
    content = _load(path, where)
    tensors, container = _find(content)
    if not tensors:
        refuse(
            where,
            "holds no tensors by name, so it is no checkpoint of a network",
            "Give the file that torch.save(net.state_dict(), path) or the project's training wrote",
        )
    parallel = any(_PARALLEL.search(name) for name in tensors)
    plain = {_PARALLEL.sub(r"\1", name): t for name, t in tensors.items()}
    plain = {n: t for n, t in plain.items() if not n.endswith("num_batches_tracked")}
    extras = {
        str(key): value
        for key, value in (content.items() if isinstance(content, dict) else ())
        if isinstance(value, str | int | float | bool)
    }
    return Checkpoint(where, plain, container, parallel, extras)


def _find(content: Any) -> tuple[dict[str, Tensor], str]:
    import torch

    def tensors(value: Any) -> dict[str, Tensor]:
        if not isinstance(value, dict):
            return {}
        found = {str(k): v for k, v in value.items() if isinstance(v, torch.Tensor)}
        return found if found and len(found) == len(value) else {}

    if tensors(content):
        return tensors(content), ""
    if isinstance(content, dict):
        for key in _CONTAINERS:
            if tensors(content.get(key)):
                return tensors(content[key]), key
    return {}, ""


def _load(path: Path, where: str) -> Any:
    import torch

    try:
        with path.open("rb") as file:
            head = file.read(1 << 10)
    except OSError as error:
        refuse(where, f"cannot be read: {error.strerror or error}", "Give the path of a file")
    refuse_archive(head, where)
    archive = head.startswith(_ZIP)
    if archive:
        _check_archive(path, where)
    try:
        if head.startswith(_MAGIC):
            return _load_old(path, where)
        known = _plain()
        allowed = getattr(torch.serialization, "safe_globals", None)
        with warnings.catch_warnings(), allowed(known) if allowed else contextlib.nullcontext():
            warnings.simplefilter("ignore")
            # an archive is mapped: of an optimiser's state, beside the weights, nothing is read; torch 2.2
            # maps what is named by a string alone
            return torch.load(str(path), map_location="cpu", weights_only=True, mmap=archive)
    except ModelError:
        raise
    except Exception:  # zip and pickle readers raise whatever they stumble over
        wanted = _wanted(path, head)
        if wanted is not None:
            _refuse_code(where, wanted)
        if is_torch(head):
            refuse(where, "is truncated or damaged", "Copy the file again")
        refuse(where, "is no file by torch.save", "Give the checkpoint that the project's training wrote")


def _refuse_code(where: str, wanted: str) -> NoReturn:
    refuse(where, f"is a pickle that wants to run code ({wanted}); it was not run", _HOW)


def _load_old(path: Path, where: str) -> Any:
    from xnorhw.frontends.foreign import old_torch

    try:
        return old_torch.load(path)
    except old_torch.WantsCodeError as error:
        _refuse_code(where, str(error))
    except old_torch.DamagedError:
        refuse(where, "is truncated or damaged", "Copy the file again")


def _check_archive(path: Path, where: str) -> None:
    """Every member against its checksum, which torch.load does not look at."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            check_size(where, path.stat().st_size, sum(i.file_size for i in archive.infolist()))
            if archive.testzip() is None and any(name.endswith("/data.pkl") for name in names):
                return
    except ModelError:
        raise
    except Exception:  # a damaged header raises whatever it leads to
        names = ["/data.pkl"]
    if any(name.endswith("/data.pkl") for name in names):
        refuse(where, "is truncated or damaged", "Copy the file again")
    refuse(where, "is a zip archive, but none by torch.save", "Give the checkpoint itself")


def _plain() -> list[tuple[Any, str]]:
    """What checkpoints have beside tensors, with the names that pickles know it by."""
    import argparse

    import numpy as np
    from torch import nn

    scalar = type(np.float64(0)).__reduce__(np.float64(0))[0]
    kinds = [type(np.dtype(t)) for t in (np.float32, np.float64, np.int32, np.int64, np.bool_)]
    losses = (nn.CrossEntropyLoss, nn.NLLLoss, nn.MSELoss, nn.MultiMarginLoss, nn.MultiLabelMarginLoss)
    return [
        (scalar, "numpy.core.multiarray.scalar"),
        (scalar, "numpy._core.multiarray.scalar"),
        (np.dtype, "numpy.dtype"),
        *((kind, f"{kind.__module__}.{kind.__name__}") for kind in kinds),
        (argparse.Namespace, "argparse.Namespace"),
        (set, "__builtin__.set"),
        (set, "builtins.set"),
        *((loss, f"torch.nn.modules.loss.{loss.__name__}") for loss in losses),
    ]


def _wanted(path: Path, head: bytes) -> str | None:
    from xnorhw.frontends.foreign.old_torch import KNOWN

    with contextlib.suppress(Exception):  # a damaged file wants what was read up to there
        for pickled in _pickles(path, head) if is_torch(head) else _whole(path):
            found = first_global(pickled, KNOWN)
            if found is not None:
                return found
    return None


def _whole(path: Path) -> Iterator[BinaryIO]:
    with path.open("rb") as file:
        yield file
