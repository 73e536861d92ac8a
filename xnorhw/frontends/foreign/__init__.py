"""Trained files of other projects -> networks of our modules, one module a family of files.

A kind is a row of ``_KINDS``: its name, and the module whose ``KINDS`` holds it.
"""

from __future__ import annotations

import importlib
from dataclasses import replace
from pathlib import Path

from xnorhw.frontends.foreign.base import FLAGS, HEAD, Decision, Imported, Kind, Options, refuse
from xnorhw.ir.errors import ModelError

__all__ = ["KIND_NAMES", "Decision", "Imported", "Kind", "Options", "detect", "kind_of", "read_foreign"]

_HERE = "xnorhw.frontends.foreign"
_KINDS = {
    "xnor-net-pytorch": f"{_HERE}.checkpoints",
    "binarynet-pytorch": f"{_HERE}.checkpoints",
    "bnn-zoo": f"{_HERE}.checkpoints",
    "pytorch-xnor-net": f"{_HERE}.checkpoints",
    "pytorch-dorefanet": f"{_HERE}.checkpoints",
    "tensorpack": f"{_HERE}.other_kinds",
    "lasagne": f"{_HERE}.other_kinds",
    "darknet": f"{_HERE}.other_kinds",
    "larq": f"{_HERE}.other_kinds",
    "onnx": "xnorhw.frontends.onnx",
}
"""The names that --from takes and their modules, which are imported when they are needed."""

KIND_NAMES = tuple(_KINDS)
"""What --from takes."""


def kind_of(name: str) -> Kind:
    """The kind called ``name``.  ModelError where there is none."""
    if name not in _KINDS:
        refuse(
            "--from",
            f"there is no kind {name!r}",
            f"The kinds are {', '.join(KIND_NAMES)}",
        )
    kinds: tuple[Kind, ...] = importlib.import_module(_KINDS[name]).KINDS
    return next(kind for kind in kinds if kind.name == name)


def detect(path: str | Path) -> tuple[tuple[Kind, str], ...]:
    """Every kind that the file may be, with the evidence for it in words."""
    where = Path(path)
    head = _head(where)
    found = []
    for name in KIND_NAMES:
        kind = kind_of(name)
        evidence = kind.detect(where, head)
        if evidence is not None:
            found.append((kind, evidence))
    return tuple(found)


def read_foreign(
    path: str | Path, kind: str | None = None, options: Options | None = None
) -> tuple[Kind, Imported]:
    """The network in a file of another project.  No code from the file is run.

    ``kind`` None: it is detected, and the first of the decisions says by what.  ModelError, one
    paragraph: no kind or several, an option that the kind does not know, and whatever the
    kind's own reader refuses.
    """
    where, said = Path(path), options or Options()
    if kind is not None:
        chosen = kind_of(kind)
        why = "as --from says"
    else:
        chosen, why = _detected(where)
    for name in said.said():
        if name not in chosen.options:
            refuse(
                FLAGS[name],
                f"nothing in a file of the kind {chosen.name} is decided by it",
                f"Leave it out; {chosen.name} takes "
                f"{', '.join(FLAGS[n] for n in chosen.options) or 'no option'}",
            )
    _refuse_no_model(where)
    try:
        imported = chosen.read(where, said)
    except ModelError as error:
        raise _with_hint(error, where, chosen) from None
    first = Decision("kind", f"{chosen.name}, {chosen.title}", why)
    return chosen, replace(imported, decisions=(first, *imported.decisions))


def _with_hint(error: ModelError, path: Path, chosen: Kind) -> ModelError:
    """``error``, and of which kind the file is where it is of others than --from says."""
    found = [kind.name for kind, _ in detect(path)]
    if not found or chosen.name in found:
        return error
    hint = f"By its content the file is of the kind {' or '.join(found)}, not {chosen.name}: leave --from out"
    return ModelError(error.reason, module=error.module, remedy=f"{error.remedy}. {hint}")


def _refuse_no_model(path: Path) -> None:
    """ModelError for what lies where a file should have come: nothing, a pointer to it, a page about it."""
    head = _head(path)
    start = head[:256].lstrip().lower()
    if not head:
        refuse(str(path), "is empty", "Copy or write it again")
    if head.startswith(b"version https://git-lfs"):
        refuse(str(path), "is a pointer that Git LFS left in its place", "Fetch the file: git lfs pull")
    if start.startswith((b"<!doctype", b"<html", b"<?xml")):
        refuse(str(path), "is a web page, not the file that it leads to", "Download the file itself")


def _detected(path: Path) -> tuple[Kind, str]:
    _refuse_no_model(path)
    found = detect(path)
    if not found:
        _say_what_is_wrong(path)
        refuse(
            str(path),
            "is no file that can be imported, as far as its first bytes and its names tell",
            f"Give a file of one of the kinds {', '.join(KIND_NAMES)}; --from KIND skips the detection "
            "and says what is wrong with the file",
        )
    if len(found) > 1:
        ways = "; ".join(f"--from {kind.name}: {evidence}" for kind, evidence in found)
        refuse(str(path), "may be of several kinds", f"Say which: {ways}")
    return found[0]


def _say_what_is_wrong(path: Path) -> None:
    """Refuse a checkpoint that is packed, damaged, wants to run code, or is of no known project."""
    from xnorhw.frontends.foreign.torch_files import is_torch, read_checkpoint, refuse_archive

    head = _head(path)
    refuse_archive(head, str(path))
    if not is_torch(head):
        return
    file = read_checkpoint(path)
    names = sorted(file.tensors)
    refuse(
        str(path),
        f"is a checkpoint of {len(names)} tensors ({names[0]}, ...), of none of the projects known here",
        "Build the network in Python with the classes of xnorhw.nn, or by replace= from your own, load the "
        "weights into it and write it by xnorhw.save; see docs/own-model.md",
    )


def _head(path: Path) -> bytes:
    try:
        # a pipe would wait for somebody who writes, and is read once alone
        if path.exists() and not (path.is_file() or path.is_dir()):
            refuse(str(path), "is no regular file", "Write what it gives to a file, and give that")
        with path.open("rb") as file:
            return file.read(HEAD)
    except OSError as error:
        refuse(
            str(path),
            f"cannot be read: {error.strerror or error}",
            "Give the path of a file, not of a folder",
        )
