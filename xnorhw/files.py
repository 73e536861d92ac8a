"""Frames from the user's files: arrays and images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from xnorhw.ir.errors import ModelError, ToolError
from xnorhw.ir.float_graph import Input
from xnorhw.ir.types import code

__all__ = ["read_array", "read_frames"]

PIXEL = code(8, signed=False)


def read_frames(path: Path, wanted: Input) -> npt.NDArray[Any]:
    """Input values [N, *wanted.shape] from an array, an image, or a folder of them.

    A single frame gets its batch axis.  A folder's files are taken in the order of their
    names.  Raises ModelError for a file that is neither or has another shape, ToolError
    where an image needs Pillow.
    """
    if path.is_dir():
        files = sorted(p for p in path.iterdir() if p.is_file() and not p.name.startswith("."))
        if not files:
            raise ModelError("the folder holds no files", module=str(path), remedy="Put frames into it")
        return np.concatenate([read_frames(file, wanted) for file in files])
    values = read_array(path) if path.suffix == ".npy" else _read_image(path, wanted)
    if values.shape == wanted.shape:
        values = values[None]
    if values.shape[1:] != wanted.shape or values.ndim != len(wanted.shape) + 1:
        raise ModelError(
            f"it has shape {_shape(values.shape)}, the network takes {_shape(wanted.shape)}, "
            "or that with the frames in front",
            module=str(path),
            remedy="Bring the frames to the network's size first",
        )
    return values


def _shape(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape)) if shape else "of a single number"


def read_array(path: Path) -> npt.NDArray[Any]:
    """The array of a .npy file; never unpickles.  Raises ModelError."""
    try:
        found = np.load(path, allow_pickle=False)
    except OSError as error:
        raise _unreadable(path, (error.strerror or str(error)).lower()) from None
    except (ValueError, EOFError):
        raise _unreadable(path, "it is no array of numbers in NumPy's format") from None
    if not isinstance(found, np.ndarray):
        raise _unreadable(path, "it holds several arrays")
    return found


def _unreadable(path: Path, reason: str) -> ModelError:
    return ModelError(f"cannot be read: {reason}", module=str(path), remedy="Write it with numpy.save")


def _read_image(path: Path, wanted: Input) -> npt.NDArray[np.uint8]:
    """An image as pixels [C, H, W]."""
    try:
        from PIL import Image, UnidentifiedImageError
    except ImportError:
        raise ToolError(
            "reading an image needs Pillow, which is not installed",
            module=str(path),
            remedy="Run pip install 'xnorhw[image]', or pass a .npy file",
        ) from None
    if wanted.type != PIXEL or wanted.scale != 1.0 or len(wanted.shape) != 3 or wanted.shape[0] not in (1, 3):
        raise ModelError(
            "an image cannot be the input of a network that does not take raw pixels of 1 or 3 channels",
            module=str(path),
            remedy="Pass a .npy file with the values that the network was declared to take",
        )
    try:
        with Image.open(path) as image:
            pixels = np.asarray(image.convert("L" if wanted.shape[0] == 1 else "RGB"))
    except UnidentifiedImageError:
        raise ModelError(
            "is neither an image nor a .npy file", module=str(path), remedy="Pass one of the two"
        ) from None
    except OSError as error:
        raise ModelError(
            f"cannot be read: {(error.strerror or str(error)).lower()}",
            module=str(path),
            remedy="Pass an image that opens, or a .npy file",
        ) from None
    return pixels.reshape(*pixels.shape[:2], -1).transpose(2, 0, 1)
