"""Finds the templates and the boards: in the installed package first, then in the checkout."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

__all__ = ["list_names", "path", "read_text"]

_PACKAGE = Path(__file__).resolve().parent
_ROOTS = (_PACKAGE / "_data", _PACKAGE.parent)
_FOLDERS = ("boards", "templates")


def path(relative: str) -> Path:
    """The file or folder ``relative`` ("boards/pynq-z2.toml", "templates/rtl").

    A wheel holds the folders inside the package; an editable install and a checkout find
    them beside it.  Raises FileNotFoundError where neither has it.
    """
    parts = PurePosixPath(relative).parts
    if not parts or parts[0] not in _FOLDERS or ".." in parts:
        raise FileNotFoundError(f"no resource of xnorhw: {relative}")
    for root in _ROOTS:
        candidate = root.joinpath(*parts)
        if candidate.exists():
            return candidate
    raise FileNotFoundError(f"xnorhw is installed without {relative}")


def read_text(relative: str) -> str:
    """The text of the file ``relative``, UTF-8, line ends as stored."""
    with path(relative).open(encoding="utf-8", newline="") as file:
        return file.read()


def list_names(folder: str, suffix: str) -> list[str]:
    """The sorted names, without ``suffix``, of the files in ``folder`` that end in it."""
    return sorted(
        entry.name.removesuffix(suffix)
        for entry in path(folder).iterdir()
        if entry.is_file() and entry.name.endswith(suffix)
    )
