"""Inputs that random networks tell apart, and what the golden model says of an imported file."""

from __future__ import annotations

from pathlib import Path

import numpy as np

import xnorhw
from xnorhw.frontends.foreign import Imported, Options, read_foreign


def pictures(seed: int, count: int, shape: tuple[int, int, int]) -> np.ndarray:
    """uint8 [count, channels, height, width]: smooth, of many brightnesses, with some noise."""
    rng = np.random.default_rng(seed)
    channels, height, width = shape
    coarse = rng.integers(0, 256, (count, channels, 4, 4)).astype(np.float64)
    rows, columns = (np.arange(n) * 4 // n for n in (height, width))
    large = coarse[:, :, rows][:, :, :, columns] * rng.uniform(0, 1, (count, 1, 1, 1))
    return np.clip(large + rng.normal(0, 12, large.shape), 0, 255).astype(np.uint8)


def golden(path: Path, options: Options, x: np.ndarray, kind: str | None = None) -> np.ndarray:
    """The golden model's scores [N, classes] for a foreign file, by way of a model file beside it."""
    return golden_of(read_foreign(path, kind, options)[1], path, x)


def golden_of(imported: Imported, path: Path, x: np.ndarray) -> np.ndarray:
    """The same for what was imported already."""
    model = path.with_suffix(".pt")
    xnorhw.save(imported.net, model, input=imported.input)
    return xnorhw.load(model).predict(x).reshape(len(x), -1)


def differing(first: np.ndarray, second: np.ndarray) -> int:
    """How many decisions differ."""
    return int((first.argmax(axis=1) != second.argmax(axis=1)).sum())


def said(imported: Imported) -> dict[str, str]:
    """The decisions' values by what they are about."""
    return {decision.what: decision.value for decision in imported.decisions}
