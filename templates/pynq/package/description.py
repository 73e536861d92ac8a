"""What this build is: read from description.json and network.npz beside this file."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .reference.ir import geometry, int_graph, serial, types

__all__ = [
    "FOLDER",
    "Description",
    "Frame",
    "Planned",
    "Samples",
    "Values",
    "load_description",
    "load_network",
]
__all__ += ["load_samples"]

FOLDER = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Values:
    """A batch's frames as the user gives them: [N, *shape] of ``dtype``, each low..high.

    ``bipolar``: only -1 and +1.  A code times ``scale`` is the value that torch was fed.
    ``shape`` may be (features,); ``chw`` is the same frame as (channels, height, width).
    """

    shape: tuple[int, ...]
    chw: tuple[int, int, int]
    dtype: str
    low: int
    high: int
    bipolar: bool
    scale: float


@dataclass(frozen=True)
class Frame:
    """A frame at the chip's edge: ``chw`` elements of ``element_bits`` bits in ``bytes`` whole beats.

    ``bipolar``: an element is -1 or +1, which is a 1 on the stream; else it is a code.
    """

    chw: tuple[int, int, int]
    element_bits: int
    bipolar: bool
    beats: int
    bytes: int

    @property
    def elements(self) -> int:
        """Elements of one frame."""
        channels, height, width = self.chw
        return channels * height * width


@dataclass(frozen=True)
class Planned:
    """What the plan promises, by formula: the clock in MHz, clocks a frame, frames a second."""

    clock_mhz: float
    cycles_per_frame: int
    latency_cycles: int
    fps: float


@dataclass(frozen=True)
class Description:
    """One build of one network for one board."""

    name: str
    title: str
    board: str
    vlnv: str
    identity: int
    abi_major: int
    abi_minor: int
    build_hash: int
    beat_bytes: int
    given: Values
    input: Frame
    output: Frame
    classes: int
    planned: Planned


@dataclass(frozen=True)
class Samples:
    """Frames with their golden answers.

    ``inputs`` [N, *shape] as ``predict`` takes them, ``real`` of them the user's own and the
    rest random; ``labels`` int64 [real] or None; ``sums`` int32 [N, C, H, W] as they leave
    the chip; ``scores`` float32 [N, classes].
    """

    inputs: np.ndarray
    real: int
    labels: np.ndarray | None
    sums: np.ndarray
    scores: np.ndarray


def load_description(folder: Path = FOLDER) -> Description:
    """The description of the build in ``folder``."""
    tree = json.loads((folder / "description.json").read_text(encoding="utf-8"))
    given = {**tree.pop("given")}
    given["shape"], given["chw"] = tuple(given["shape"]), tuple(given["chw"])
    frames = {key: _frame(tree.pop(key)) for key in ("input", "output")}
    planned = Planned(**tree.pop("planned"))
    build_hash = int(tree.pop("build_hash"), 16)
    return Description(given=Values(**given), planned=planned, build_hash=build_hash, **frames, **tree)


def _frame(tree: dict[str, Any]) -> Frame:
    return Frame(tuple(tree["chw"]), tree["element_bits"], tree["bipolar"], tree["beats"], tree["bytes"])


def load_network(folder: Path = FOLDER) -> tuple[int_graph.IntGraph, int_graph.IntGraph]:
    """What the host runs in front of the chip and behind it."""
    tree, arrays = serial.load_npz((folder / "network.npz").read_bytes())
    modules = (geometry, int_graph, types)
    known = [value for module in modules for value in vars(module).values() if isinstance(value, type)]
    front, back = serial.decode(tree, arrays, known)
    return front, back


def load_samples(folder: Path = FOLDER) -> Samples:
    """The frames that ``self_test`` runs."""
    tree, arrays = serial.load_npz((folder / "samples.npz").read_bytes())
    labels = arrays.get("labels")
    return Samples(arrays["inputs"], int(tree["real"]), labels, arrays["sums"], arrays["scores"])
