"""Recipes: networks trained from scratch, seeded, with every hyper-parameter written down."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xnorhw.nn.networks import digits
from xnorhw.nn.xnor import XnorStep

__all__ = [
    "DIGITS_RECIPE",
    "DigitsData",
    "DigitsRecipe",
    "Progress",
    "Trained",
    "digits_data",
    "train_digits",
]


@dataclass(frozen=True)
class DigitsRecipe:
    """Every hyper-parameter of the digits network's training."""

    width: int = 32
    epochs: int = 60
    batch: int = 64
    learning_rate: float = 1e-2
    """Adam's at the start; it falls to zero along a cosine."""
    max_shift: int = 1
    """Training images are moved by up to this many pixels each way; what comes in is background."""
    test_share: float = 0.25


DIGITS_RECIPE = DigitsRecipe()


@dataclass(frozen=True)
class DigitsData:
    """scikit-learn's digits, split: pixels uint8 [N, 1, 8, 8] and labels int64 [N]."""

    train_pixels: npt.NDArray[np.uint8]
    train_labels: npt.NDArray[np.int64]
    test_pixels: npt.NDArray[np.uint8]
    test_labels: npt.NDArray[np.int64]


@dataclass(frozen=True)
class Progress:
    """State after an epoch: its number from 1, how many there are, its mean training loss."""

    epoch: int
    epochs: int
    loss: float


@dataclass(frozen=True)
class Trained:
    """A trained network in eval, its test accuracy 0..1, and the test split it was measured on."""

    net: nn.Sequential
    accuracy: float
    samples: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int64]


def digits_data(seed: int = 0, test_share: float = DIGITS_RECIPE.test_share) -> DigitsData:
    """scikit-learn's 1,797 handwritten digits, split at random with the classes kept in proportion.

    The data set's grey values 0..16 are stretched to pixels 0..255: round_half_even(v * 255 / 16).
    ModuleNotFoundError where scikit-learn is not installed.
    """
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    raw = load_digits()
    pixels = np.rint(raw.images * (255 / 16)).astype(np.uint8)[:, None]
    train, test, train_labels, test_labels = train_test_split(
        pixels, raw.target.astype(np.int64), test_size=test_share, random_state=seed, stratify=raw.target
    )
    return DigitsData(train, train_labels, test, test_labels)


def train_digits(
    seed: int = 0,
    epochs: int | None = None,
    progress: Callable[[Progress], None] | None = None,
    recipe: DigitsRecipe = DIGITS_RECIPE,
) -> Trained:
    """Train ``networks.digits`` on ``digits_data``; ``epochs`` overrides the recipe's.

    The same seed gives the same weights on the same processor type.  Training runs on one
    thread: the layers are too small to share, and threads that wait for each other on a
    busy machine cost minutes.  ``progress`` is called after each epoch.  torch's global
    random state and its number of threads are left as they were.
    """
    total = recipe.epochs if epochs is None else epochs
    if total < 1:
        raise ValueError(f"training takes at least one epoch, not {total}")
    data = digits_data(seed, recipe.test_share)
    pixels = torch.from_numpy(data.train_pixels).float()
    labels = torch.from_numpy(data.train_labels)
    with _one_thread(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = digits(recipe.width)
        optimizer = torch.optim.Adam(net.parameters(), lr=recipe.learning_rate)
        xnor = XnorStep(net)
        batches = -(-len(labels) // recipe.batch)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, total * batches)
        for epoch in range(1, total + 1):
            net.train()
            loss_sum = 0.0
            for chosen in torch.split(torch.randperm(len(labels)), recipe.batch):
                scores = net(_shifted(pixels[chosen], recipe.max_shift))
                loss = F.cross_entropy(scores, labels[chosen])
                optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                xnor.step(optimizer)
                schedule.step()
                loss_sum += float(loss.detach()) * len(chosen)
            if progress is not None:
                progress(Progress(epoch, total, loss_sum / len(labels)))
    net.eval()
    with torch.inference_mode():
        decisions = net(torch.from_numpy(data.test_pixels).float()).argmax(dim=1).numpy()
    accuracy = float(np.mean(decisions == data.test_labels))
    return Trained(net, accuracy, data.test_pixels, data.test_labels)


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _shifted(images: Tensor, most: int) -> Tensor:
    """Each image [N, 1, H, W] moved by its own random (y, x) of at most ``most``, zeros coming in."""
    if most == 0:
        return images
    count, _, height, width = images.shape
    padded = F.pad(images, (most,) * 4)
    y = torch.randint(2 * most + 1, (count, 1)) + torch.arange(height)
    x = torch.randint(2 * most + 1, (count, 1)) + torch.arange(width)
    rows = torch.arange(count)[:, None, None]
    return padded[rows, 0, y[:, :, None], x[:, None, :]][:, None]
