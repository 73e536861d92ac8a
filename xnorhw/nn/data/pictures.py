"""Where a batch of pictures comes from: arrays in memory, or files that are read when needed."""

from __future__ import annotations

import concurrent.futures
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from xnorhw.ir.errors import XnorhwError
from xnorhw.nn.data.augment import resized
from xnorhw.nn.said import said

__all__ = ["Arrays", "Data", "Folder", "Pictures"]

READERS = 4
"""Files that are decoded at once: decoding leaves Python's lock alone."""


class Pictures(Protocol):
    """A list of pictures with their classes."""

    labels: npt.NDArray[np.int64]

    def __len__(self) -> int: ...

    def batch(self, chosen: Tensor) -> Tensor:
        """Pixels uint8 [N, C, H, W] of the pictures with the numbers ``chosen`` int64 [N]."""
        ...


@dataclass(frozen=True)
class Data:
    """A data set: pictures to train on and pictures to test on, all of one ``shape`` (C, H, W)."""

    name: str
    classes: tuple[str, ...]
    shape: tuple[int, int, int]
    train: Pictures
    test: Pictures

    def samples(self, count: int) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
        """The first ``count`` test pictures, or all: uint8 [N, C, H, W], and their classes."""
        chosen = torch.arange(min(count, len(self.test)))
        return self.test.batch(chosen).numpy(), self.test.labels[: len(chosen)]

    def sized(self, shape: tuple[int, int, int]) -> Data:
        """The same set in another shape: grey made of colours or colours of grey, then resized."""
        if shape == self.shape:
            return self
        return Data(self.name, self.classes, shape, _sized(self.train, shape), _sized(self.test, shape))


class Arrays:
    """Pictures in memory: ``pixels`` uint8 [N, C, H, W] and ``labels`` [N]."""

    def __init__(self, pixels: npt.NDArray[np.uint8], labels: npt.NDArray[Any]) -> None:
        if pixels.ndim != 4 or pixels.dtype != np.uint8 or labels.shape != (len(pixels),):
            raise ValueError(
                f"pictures are uint8 [N, C, H, W] with labels [N], not {pixels.dtype} {list(pixels.shape)} "
                f"with {list(labels.shape)}"
            )
        self.pixels = torch.from_numpy(np.ascontiguousarray(pixels))
        self.labels = labels.astype(np.int64)

    def __len__(self) -> int:
        return len(self.labels)

    def batch(self, chosen: Tensor) -> Tensor:
        """See ``Pictures``."""
        return self.pixels[chosen]


class Folder:
    """Picture files, read when a batch asks for them and brought to ``shape`` (C, H, W).

    The shorter side is resized to the shape's and the middle is cut out.
    """

    def __init__(self, files: Sequence[Path], labels: npt.NDArray[Any], shape: tuple[int, int, int]) -> None:
        self.files = tuple(files)
        self.labels = np.asarray(labels, np.int64)
        self.shape = shape

    def __len__(self) -> int:
        return len(self.files)

    def batch(self, chosen: Tensor) -> Tensor:
        """See ``Pictures``; raises XnorhwError naming a file that is no picture."""
        names = [self.files[i] for i in chosen.tolist()]
        with concurrent.futures.ThreadPoolExecutor(READERS) as pool:
            read = list(pool.map(self._read, names))
        return torch.from_numpy(np.stack(read)) if read else torch.empty((0, *self.shape), dtype=torch.uint8)

    def _read(self, path: Path) -> npt.NDArray[np.uint8]:
        from PIL import Image

        channels, height, width = self.shape
        try:
            with Image.open(path) as image:
                picture = image.convert("L" if channels == 1 else "RGB")
        except (OSError, ValueError, SyntaxError) as error:
            raise XnorhwError(
                f"it cannot be read as a picture ({said(error)})",
                module=str(path),
                remedy="Take it out of the folder or mend it",
            ) from None
        ratio = max(height / picture.height, width / picture.width)
        size = (max(width, round(picture.width * ratio)), max(height, round(picture.height * ratio)))
        picture = picture.resize(size, Image.Resampling.BILINEAR)
        left, top = (size[0] - width) // 2, (size[1] - height) // 2
        pixels = np.asarray(picture.crop((left, top, left + width, top + height)), np.uint8)
        return pixels[None] if channels == 1 else np.ascontiguousarray(pixels.transpose(2, 0, 1))


def _sized(pictures: Pictures, shape: tuple[int, int, int]) -> Pictures:
    if isinstance(pictures, Folder):
        return Folder(pictures.files, pictures.labels, shape)
    assert isinstance(pictures, Arrays)
    return Arrays(resized(pictures.pixels, shape).numpy(), pictures.labels)
