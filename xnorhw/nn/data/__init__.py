"""Images with classes to train on: real sets on this disk, and two that the project draws itself."""

from __future__ import annotations

from xnorhw.nn.data.augment import augmented, cropped, flipped, resized
from xnorhw.nn.data.drawn import robots, scenes
from xnorhw.nn.data.named import DATA_NAMES, load_data
from xnorhw.nn.data.pictures import Arrays, Data, Folder, Pictures

__all__ = [
    "Arrays",
    "DATA_NAMES",
    "Data",
    "Folder",
    "Pictures",
    "augmented",
    "cropped",
    "flipped",
    "load_data",
    "resized",
    "robots",
    "scenes",
]
