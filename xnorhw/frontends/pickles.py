"""What a pickle would run, read from its opcodes without running it."""

from __future__ import annotations

import io
import pickletools
import zipfile

__all__ = ["code_wanted"]

_HARMLESS = ("collections.OrderedDict", "torch._utils._rebuild_")


def code_wanted(data: bytes) -> str | None:
    """The first global that a pickle or torch archive would call; None where there is none.

    What rebuilds plain tensors and dicts is no code.  ``data`` may be anything at all.
    """
    for pickled in _pickles(data):
        found = _first_global(pickled)
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


def _first_global(pickled: bytes) -> str | None:
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
            if not name.startswith(_HARMLESS) and not (
                name.startswith("torch.") and name.endswith("Storage")
            ):
                return name
    except Exception:  # not a pickle, or cut off: what was read up to there counts
        return None
    return None
