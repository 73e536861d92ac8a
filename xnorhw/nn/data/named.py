"""The data sets by name, as ``--data`` takes them."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from xnorhw.ir.errors import ToolError, XnorhwError
from xnorhw.nn.data.drawn import robots, scenes
from xnorhw.nn.data.pictures import Arrays, Data, Folder
from xnorhw.nn.said import said

__all__ = ["DATA_NAMES", "load_data"]

DATA_NAMES = ("cifar10", "digits", "imagefolder:DIR", "mnist", "robots", "scenes", "svhn")

CIFAR10_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
TEN = tuple("0123456789")
PICTURES = {".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"}
TEST_SHARE = 0.2
DRAWN_SIZE = 64
"""Larger pictures are drawn in this size and resized: there is no more detail in them."""


def load_data(
    name: str,
    folder: Path = Path("data"),
    *,
    seed: int = 0,
    shape: tuple[int, int, int] | None = None,
    download: bool = False,
) -> Data:
    """A data set of ``DATA_NAMES``, in ``shape`` (C, H, W) if one is given.

    ``digits`` comes with scikit-learn; ``robots`` and ``scenes`` are drawn (``seed``);
    ``mnist``, ``cifar10`` and ``svhn`` are read by torchvision from ``folder``, and fetched only
    with ``download``.  ``imagefolder:DIR`` holds one folder a class, or ``train`` and ``test``
    (or ``val``) with such folders; without these, a fifth of each class, drawn by ``seed``, is kept for the
    test.  Raises XnorhwError for a name or a folder that is none, ToolError for what is not installed.
    """
    if name == "imagefolder:":
        raise XnorhwError(
            "no folder is named",
            module="--data imagefolder:",
            remedy="Write imagefolder:DIR, without a space",
        )
    if name.startswith("imagefolder:"):
        return _image_folder(Path(name.removeprefix("imagefolder:")), shape or (3, 224, 224), seed)
    if name == "digits":
        data = _digits(seed)
    elif name in ("robots", "scenes"):
        channels, size = (shape[0], min(shape[1:])) if shape else (1 if name == "robots" else 3, 32)
        draw = robots if name == "robots" else scenes
        data = draw(seed=seed, channels=channels, size=min(max(size, 16), DRAWN_SIZE))
    elif name in ("mnist", "cifar10", "svhn"):
        data = _torchvision(name, folder, download)
    else:
        raise XnorhwError(
            "there is no such data set", module=f"--data {name}", remedy=f"Use one of {', '.join(DATA_NAMES)}"
        )
    return data if shape is None else data.sized(shape)


def _digits(seed: int) -> Data:
    from xnorhw.nn.training import digits_data

    try:
        found = digits_data(seed)
    except ImportError:
        raise ToolError(
            "the digits come with scikit-learn, which is not installed",
            module="--data digits",
            remedy="Run pip install 'xnorhw[train]'",
        ) from None
    train = Arrays(found.train_pixels, found.train_labels)
    return Data("digits", TEN, (1, 8, 8), train, Arrays(found.test_pixels, found.test_labels))


def _torchvision(name: str, folder: Path, download: bool) -> Data:
    option = f"--data {name}"
    try:
        sets: Any = importlib.import_module("torchvision.datasets")
    except ImportError:
        raise ToolError(
            "it is read by torchvision, which is not installed",
            module=option,
            remedy="Run pip install 'xnorhw[data]'",
        ) from None
    except (RuntimeError, OSError) as error:
        raise ToolError(
            f"torchvision is installed, but does not go with this torch ({said(error)})",
            module=option,
            remedy="Install the torchvision that was built for it, from where torch came from",
        ) from None
    made = {"mnist": sets.MNIST, "cifar10": sets.CIFAR10, "svhn": sets.SVHN}[name]
    try:
        if name == "svhn":
            parts = [made(str(folder), split=split, download=download) for split in ("train", "test")]
        else:
            parts = [made(str(folder), train=train, download=download) for train in (True, False)]
    except (RuntimeError, OSError, ValueError) as error:
        raise XnorhwError(
            f"{name} does not lie in {folder} ({said(error)})",
            module=option,
            remedy="Name its folder by --data-dir, or fetch it with --download",
        ) from None
    except ModuleNotFoundError as error:
        raise ToolError(
            f"torchvision reads it by {error.name}, which is not installed",
            module=option,
            remedy="Run pip install 'xnorhw[data]'",
        ) from None
    train, test = (Arrays(_channels_first(part.data), _labels(part)) for part in parts)
    _, channels, height, width = train.pixels.shape
    classes = CIFAR10_CLASSES if name == "cifar10" else TEN
    return Data(name, classes, (channels, height, width), train, test)


def _channels_first(values: Any) -> npt.NDArray[np.uint8]:
    """MNIST is a tensor [N, H, W], CIFAR-10 an array [N, H, W, 3], SVHN one [N, 3, H, W]."""
    pixels = np.asarray(values, np.uint8)
    if pixels.ndim == 3:
        return pixels[:, None]
    return pixels if pixels.shape[1] == 3 else np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))


def _labels(part: Any) -> npt.NDArray[np.int64]:
    found = part.targets if hasattr(part, "targets") else part.labels
    return np.asarray(found, np.int64)


def _image_folder(root: Path, shape: tuple[int, int, int], seed: int) -> Data:
    try:
        import PIL  # noqa: F401
    except ImportError:
        raise ToolError(
            "pictures are read by Pillow, which is not installed",
            module=f"--data imagefolder:{root}",
            remedy="Run pip install 'xnorhw[image]'",
        ) from None
    if not root.is_dir():
        raise _no_folder(root, "it is no folder")
    parts = [root / name for name in ("train", "test", "val") if (root / name).is_dir()]
    if parts and parts[0].name == "train":
        if len(parts) == 1:
            raise _no_folder(root, "it holds train, but neither test nor val")
        classes, files, labels = _listed(root, parts[0])
        tested, test_files, test_labels = _listed(root, parts[1])
        if tested != classes:
            odd = sorted(set(tested) ^ set(classes))
            raise _no_folder(root, f"{parts[1].name} and train have other classes ({', '.join(odd[:5])})")
    else:
        classes, everything, numbers = _listed(root, root)
        chosen = _test_split(numbers, seed, root, classes)
        files, labels = [f for f, t in zip(everything, chosen, strict=True) if not t], numbers[~chosen]
        test_files, test_labels = [f for f, t in zip(everything, chosen, strict=True) if t], numbers[chosen]
    train, test = Folder(files, labels, shape), Folder(test_files, test_labels, shape)
    return Data(root.resolve().name, classes, shape, train, test)


def _listed(root: Path, folder: Path) -> tuple[tuple[str, ...], list[Path], npt.NDArray[np.int64]]:
    """Classes in the order of their names, and every picture file with its class."""
    folders = sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))
    if len(folders) < 2:
        raise _no_folder(root, f"{folder} holds {len(folders)} folders: a class is a folder of pictures")
    files: list[Path] = []
    labels: list[int] = []
    for number, path in enumerate(folders):
        found = sorted(p for p in path.rglob("*") if p.suffix.lower() in PICTURES and p.is_file())
        if not found:
            raise _no_folder(root, f"{path} holds no picture")
        files += found
        labels += [number] * len(found)
    return tuple(p.name for p in folders), files, np.array(labels, np.int64)


def _test_split(
    labels: npt.NDArray[np.int64], seed: int, root: Path, classes: tuple[str, ...]
) -> npt.NDArray[np.bool_]:
    random = np.random.default_rng(seed)
    chosen = np.zeros(len(labels), bool)
    for number in range(len(classes)):
        mine = np.flatnonzero(labels == number)
        if len(mine) < 2:
            raise _no_folder(root, f"{classes[number]} holds one picture, which cannot both train and test")
        chosen[random.permutation(mine)[: max(1, round(TEST_SHARE * len(mine)))]] = True
    return chosen


def _no_folder(root: Path, reason: str) -> XnorhwError:
    return XnorhwError(
        reason,
        module=f"--data imagefolder:{root}",
        remedy="Give a folder that holds a folder of pictures for each class, or train and test holding such",
    )
