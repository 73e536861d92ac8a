"""What a pickle would run, read from its opcodes without running it."""

from __future__ import annotations

import io
import pickletools
import zipfile
from typing import BinaryIO

__all__ = ["code_wanted", "first_global"]

_HARMLESS = ("collections.OrderedDict", "torch._utils._rebuild_")


def code_wanted(data: bytes) -> str | None:
    """The first global that a pickle or torch archive would call; None where there is none.

    What rebuilds plain tensors and dicts is no code.  ``data`` may be anything at all.
    """
    for pickled in _pickles(data):
        found = first_global(pickled)
        if found is not None:
            return found
    return None


def _pickles(data: bytes) -> list[bytes]:
    if not zipfile.is_zipfile(io.BytesIO(data)):
        return [data]
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return [archive.read(name) for name in archive.namelist() if name.endswith("/data.pkl")]
    except Exception:  # a damaged archive holds nothing that could be named
        return []


def first_global(pickled: bytes | BinaryIO, known: tuple[str, ...] = ()) -> str | None:
    """The first global of one pickle that neither rebuilds plain data nor is ``known``; a file is read on."""
    strings: list[str] = []
    try:
        for opcode, argument, _ in pickletools.genops(pickled):
            if opcode.name in ("GLOBAL", "INST"):
                name = str(argument).replace(" ", ".")
            elif opcode.name == "STACK_GLOBAL":
                name = ".".join(strings[-2:])
            else:
                if isinstance(argument, str):
                    strings.append(argument)
                continue
            tensors = name.startswith("torch.") and name.endswith("Storage")
            if not (name.startswith(_HARMLESS) or tensors or name in known):
                return name
    except Exception:  # not a pickle, or cut off: what was read up to there counts
        return None
    return None
