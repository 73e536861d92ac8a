"""A training between two epochs, on disk: everything that the rest of it depends on.

What is random is drawn from the seed and the numbers of epoch, batch and shard, never from what
was drawn before: there is no generator's state to keep.
"""

from __future__ import annotations

import io
import os
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import torch

from xnorhw.ir.errors import XnorhwError
from xnorhw.nn.train.log import Epoch

__all__ = [
    "Checkpoint",
    "Setup",
    "checkpoint_bytes",
    "no_checkpoint",
    "parse_checkpoint",
    "read_checkpoint",
    "write_whole",
]

FORMAT = "xnorhw-training"
VERSION = 1


@dataclass(frozen=True)
class Setup:
    """What two runs must share for one to go on with the other's checkpoint."""

    network: str
    classes: int
    shape: tuple[int, int, int]
    data: str
    pictures: int
    recipe: str
    epochs: int
    batch: int
    learning_rate: float
    seed: int
    shards: int
    precision: str
    teacher: str

    def check(self, other: Setup, path: str) -> None:
        """Raise XnorhwError naming the first fields in which a checkpoint's setup, ``other``, differs."""
        odd = [f.name for f in fields(self) if getattr(self, f.name) != getattr(other, f.name)]
        if odd:
            told = "; ".join(_difference(name, getattr(other, name), getattr(self, name)) for name in odd[:3])
            raise XnorhwError(
                f"the checkpoint is of another training: {told}",
                module=path,
                remedy="Resume with the options that it was started with, or train into another folder",
            )


@dataclass(frozen=True)
class Checkpoint:
    """State after ``epoch`` epochs (``log`` has as many), and the best network so far."""

    setup: Setup
    epoch: int
    model: dict[str, Any]
    optimizer: dict[str, Any]
    scaler: dict[str, Any]
    best_epoch: int
    best: dict[str, Any]
    log: tuple[Epoch, ...]


def checkpoint_bytes(checkpoint: Checkpoint) -> bytes:
    """The file's content: dicts, lists, numbers and tensors alone."""
    tree = {
        "format": FORMAT,
        "version": VERSION,
        "setup": {**asdict(checkpoint.setup), "shape": list(checkpoint.setup.shape)},
        "epoch": checkpoint.epoch,
        "model": dict(checkpoint.model),
        "optimizer": checkpoint.optimizer,
        "scaler": checkpoint.scaler,
        "best_epoch": checkpoint.best_epoch,
        "best": dict(checkpoint.best),
        "log": [asdict(e) for e in checkpoint.log],
    }
    out = io.BytesIO()
    torch.save(tree, out)
    return out.getvalue()


def parse_checkpoint(content: bytes, path: str) -> Checkpoint:
    """Read what ``checkpoint_bytes`` made; runs no code from it.  XnorhwError for anything else."""
    try:
        tree = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:
        raise XnorhwError(
            f"it is no checkpoint, or a damaged one ({type(error).__name__})",
            module=path,
            remedy="Give a checkpoint.pt that xnorhw train wrote",
        ) from None
    if not isinstance(tree, dict) or tree.get("format") != FORMAT:
        raise XnorhwError(
            "it is no checkpoint of a training",
            module=path,
            remedy="Give a checkpoint.pt that xnorhw train wrote",
        )
    if tree.get("version") != VERSION:
        raise XnorhwError(
            f"its version is {tree.get('version')}, this program reads {VERSION}",
            module=path,
            remedy="Train again, or use the version of xnorhw that wrote it",
        )
    try:
        setup = Setup(**{**tree["setup"], "shape": tuple(tree["setup"]["shape"])})
        log = tuple(Epoch(**e) for e in tree["log"])
        names = ("epoch", "model", "optimizer", "scaler", "best_epoch", "best")
        return Checkpoint(setup=setup, log=log, **{name: tree[name] for name in names})
    except (KeyError, TypeError, AttributeError) as error:
        raise XnorhwError(
            f"it is a damaged checkpoint ({error})", module=path, remedy="Start the training again"
        ) from None


def read_checkpoint(path: Path) -> Checkpoint:
    """The checkpoint in a file; XnorhwError where there is none."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise no_checkpoint(path) from None
    return parse_checkpoint(content, str(path))


def no_checkpoint(path: Path) -> XnorhwError:
    """The error of a file that is not there."""
    return XnorhwError(
        "there is no checkpoint to go on from",
        module=str(path),
        remedy="Name the folder of the training by --run, or start without --resume",
    )


def write_whole(path: Path, content: bytes) -> None:
    """Write ``path`` so that whoever reads it finds the old content or the new one, never a part."""
    part = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with part.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def _difference(name: str, there: object, here: object) -> str:
    told = ["none" if value == "" else str(value) for value in (there, here)]
    return f"{name.replace('_', ' ')} {told[0]} there, {told[1]} here"
