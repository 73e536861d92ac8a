"""A foreign file -> a model file of ours, in memory or written."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import torch

from xnorhw.frontends.foreign import Decision, Kind, Options, detect, read_foreign
from xnorhw.frontends.foreign.base import refuse
from xnorhw.frontends.model_file import FORMAT, VERSION, Metadata, ModelFile, to_bytes, write
from xnorhw.frontends.trace import trace

__all__ = ["ForeignModel", "foreign_model", "import_file", "is_foreign"]


@dataclass(frozen=True)
class ForeignModel:
    """What a foreign file became: the model, the bytes of its file, and what was decided on the way."""

    kind: Kind
    file: ModelFile
    data: bytes
    decisions: tuple[Decision, ...]


def is_foreign(path: str | os.PathLike[str]) -> bool:
    """True where a file is of some kind that can be imported, and no model file of ours."""
    where = Path(path)
    return where.is_file() and not _is_ours(where) and bool(detect(where))


def foreign_model(
    path: str | os.PathLike[str], kind: str | None = None, options: Options | None = None
) -> ForeignModel:
    """The model in a foreign file; see ``read_foreign``.  ModelError also for what ``save`` refuses."""
    chosen, imported = read_foreign(Path(path), kind, options)
    graph = trace(imported.net, imported.input, None)
    data = to_bytes(graph)
    metadata = Metadata(VERSION, str(torch.__version__).split("+")[0])
    return ForeignModel(chosen, ModelFile(graph, None, None, metadata), data, imported.decisions)


def import_file(
    path: str | os.PathLike[str],
    out: str | os.PathLike[str],
    kind: str | None = None,
    options: Options | None = None,
) -> ForeignModel:
    """Write the model in a foreign file to the model file ``out``."""
    where, target = Path(path), Path(out)
    if target.exists() and where.exists() and target.samefile(where):
        refuse(str(target), "it would take the place of the file itself", "Write the model to another file")
    if _is_ours(where):
        refuse(str(where), "is a model file of xnorhw already", "Give it to xnorhw build as it is")
    made = foreign_model(where, kind, options)
    write(target, made.data)
    return made


def _is_ours(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return FORMAT.encode() in file.read(1 << 16)
    except OSError:
        return False
