"""The arrays of an .npz file: their names without reading them, their numbers without a pickle."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from xnorhw.frontends.foreign.base import check_size, refuse
from xnorhw.ir.errors import ModelError

__all__ = ["Array", "numbers", "read_arrays", "stored_arrays"]

Array = npt.NDArray[np.float32]

_ZIP = b"PK\x03\x04"


def stored_arrays(path: Path, head: bytes) -> tuple[str, ...] | None:
    """The names of the arrays in an .npz file; None where the file is none, or is damaged."""
    if not head.startswith(_ZIP):
        return None
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except Exception:  # a damaged archive raises whatever its directory leads to
        return None
    found = tuple(name[: -len(".npy")] for name in names if name.endswith(".npy"))
    return found if found and len(found) == len(names) else None


def read_arrays(path: Path) -> dict[str, npt.NDArray[Any]]:
    """Every array of an .npz file, as it is.  ModelError: damaged, no .npz, or an object to unpickle."""
    where = str(path)
    found: dict[str, npt.NDArray[Any]] = {}
    name = ""
    try:
        # numpy leaves a file open that it opened itself and cannot read
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            if not isinstance(archive, np.lib.npyio.NpzFile) or archive.zip is None:
                raise zipfile.BadZipFile
            unpacked = [int(member.file_size) for member in archive.zip.infolist()]
            check_size(where, path.stat().st_size, sum(unpacked))
            for name in archive.files:
                found[name] = archive[name]
    except ModelError:
        raise
    except Exception as error:  # zip and array readers raise whatever they stumble over
        if isinstance(error, ValueError) and "allow_pickle" in str(error) and name:
            refuse(
                f"{where}: {name}",
                "is a pickled Python object, which would run code; it was not read",
                "Write the arrays alone: numpy.savez(path, *arrays) with arrays of numbers",
            )
        refuse(where, "is no .npz file of numpy, or truncated or damaged", "Copy the file again")
    if not found:
        refuse(where, "holds no array", "Copy the file again")
    return found


def numbers(value: npt.NDArray[Any], where: str) -> Array:
    """``value`` as finite float32; ModelError otherwise."""
    if value.dtype.kind not in "fiu":
        refuse(where, f"holds {value.dtype}, not numbers", "The file belongs to another network")
    made = np.ascontiguousarray(value, dtype=np.float32)
    if not bool(np.isfinite(made).all()):
        refuse(
            where,
            "holds NaN or infinity, so the network decides nothing",
            "Train again with a smaller learning rate, or take the last good checkpoint",
        )
    return made
