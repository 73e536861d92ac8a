"""What is compiled once for each content and found again, also by another process."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from xnorhw.ir.errors import ToolError

__all__ = ["content_folder", "made_once"]


def content_folder(work: Path, program: str, made_by: object, sources: Mapping[str, str]) -> Path:
    """The folder in ``work`` that is named after all that ``program`` is made of: flags and sources."""
    digest = hashlib.sha256(repr(made_by).encode())
    for name, text in sorted(sources.items()):
        digest.update(f"{name}\0{text}\0".encode())
    return work / f"{program}-{digest.hexdigest()[:16]}"


def made_once(folder: Path, sources: Mapping[str, str], making: Callable[[Path, Path], None]) -> Path:
    """``folder``, filled by ``making(here, fresh)`` where it is not there yet.

    ``here`` holds the ``sources`` (path -> text), ``fresh`` takes what is to be kept and
    becomes ``folder`` in one step: it is there whole or not at all, so several processes may
    want it at once.  Raises ToolError where nothing can be written there, and whatever
    ``making`` raises; then nothing is left behind.
    """
    if folder.is_dir():
        return folder
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        fresh = Path(tempfile.mkdtemp(prefix="fresh-", dir=folder.parent))
    except OSError as error:
        raise ToolError(
            f"nothing can be compiled there ({(error.strerror or str(error)).lower()})",
            module=str(folder.parent),
            remedy="Copy the build to a folder that you may write to",
        ) from None
    try:
        # make cannot take a path with a space in it: compile in a folder that has none
        with tempfile.TemporaryDirectory(prefix="xh-") as temporary:
            here = Path(temporary)
            for name, text in sources.items():
                (here / name).parent.mkdir(parents=True, exist_ok=True)
                (here / name).write_text(text, encoding="utf-8", newline="\n")
            making(here, fresh)
        try:
            fresh.rename(folder)
        except OSError:  # another process was quicker with the same thing
            if not folder.is_dir():
                raise
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return folder
