from __future__ import annotations

import numpy as np
import pytest
import torch

from xnorhw import nn as xnn

pytest.importorskip("sklearn")


def test_digits_are_stretched_to_pixels_and_split() -> None:
    data = xnn.digits_data(0)
    assert data.train_pixels.shape == (1347, 1, 8, 8) and data.test_pixels.shape == (450, 1, 8, 8)
    assert data.train_pixels.dtype == np.uint8 and data.test_labels.dtype == np.int64
    assert (data.train_pixels.min(), data.train_pixels.max()) == (0, 255)
    assert len(np.unique(data.train_pixels)) == 17
    assert np.bincount(data.test_labels).min() >= 43
    again, other = xnn.digits_data(0), xnn.digits_data(1)
    assert np.array_equal(data.test_pixels, again.test_pixels)
    assert not np.array_equal(data.test_labels, other.test_labels)


def test_training_is_deterministic_and_leaves_the_global_state() -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    calls: list[xnn.Progress] = []
    first = xnn.train_digits(seed=3, epochs=2, progress=calls.append)
    assert torch.equal(torch.get_rng_state(), before)
    second = xnn.train_digits(seed=3, epochs=2)
    for (name, a), b in zip(first.net.state_dict().items(), second.net.state_dict().values(), strict=True):
        assert torch.equal(a, b), name
    assert [(c.epoch, c.epochs) for c in calls] == [(1, 2), (2, 2)]
    assert calls[1].loss < calls[0].loss
    assert first.accuracy == second.accuracy
    assert not first.net.training
    third = xnn.train_digits(seed=4, epochs=2)
    assert not torch.equal(first.net.conv2.weight, third.net.conv2.weight)  # type: ignore[arg-type]


def test_refuses_no_epochs() -> None:
    with pytest.raises(ValueError, match="epoch"):
        xnn.train_digits(epochs=0)


def test_digits_reach_96_percent() -> None:
    trained = xnn.train_digits(seed=0)
    assert trained.accuracy >= 0.96
    with torch.inference_mode():
        scores = trained.net(torch.from_numpy(trained.samples).float())
    assert np.mean(scores.argmax(1).numpy() == trained.labels) == trained.accuracy
