"""The papers' ways to train, each with where its numbers come from.

``epochs`` may be overridden: a schedule is stretched or shrunk with it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, Union

import torch
from torch import nn

__all__ = ["RECIPES", "Cosine", "Exponential", "Recipe", "Schedule", "Steps"]


@dataclass(frozen=True)
class Steps:
    """The rate is multiplied by ``factors[i]`` from epoch ``at[i]`` (counted from 0) on."""

    at: tuple[float, ...]
    factors: tuple[float, ...]

    def factor(self, done: float, epochs: int) -> float:
        """At the share ``done`` of training, written for ``epochs`` epochs."""
        passed = sum(1 for start in self.at if done * epochs >= start - 1e-9)
        return 1.0 if passed == 0 else self.factors[passed - 1]


@dataclass(frozen=True)
class Exponential:
    """The rate falls by the same factor in every epoch, to ``last`` of the first in the last one."""

    last: float

    def factor(self, done: float, epochs: int) -> float:
        """See ``Steps``."""
        return float(self.last**done)


@dataclass(frozen=True)
class Cosine:
    """The rate falls to zero along half a cosine."""

    def factor(self, done: float, epochs: int) -> float:
        """See ``Steps``."""
        return 0.5 * (1.0 + math.cos(math.pi * done))


Schedule = Union[Steps, Exponential, Cosine]


@dataclass(frozen=True)
class Recipe:
    """Every hyper-parameter of a training.

    ``step``: what is done to the latent weights around each step ("xnor": ``XnorStep``, "connect":
    ``BinaryConnectStep``).  ``shift`` and ``flip``: how training pictures are moved (pixels)
    and mirrored.  ``soft``: the share of the teacher's soft targets in the loss, at ``temperature``.
    ``linear_decay``: weight decay on linear layers alone.
    """

    name: str
    source: str
    epochs: int
    batch: int
    optimizer: Literal["adam", "sgd"]
    learning_rate: float
    schedule: Schedule
    loss: Literal["cross-entropy", "squared-hinge"] = "cross-entropy"
    step: Literal["xnor", "connect", "none"] = "none"
    weight_decay: float = 0.0
    linear_decay: bool = False
    decay_until: float = 1.0
    """Weight decay ends at this share of the epochs."""
    momentum: float = 0.9
    eps: float = 1e-8
    shift: int = 4
    flip: bool = True
    soft: float = 0.0
    temperature: float = 1.0

    def rate(self, done: float) -> float:
        """The learning rate at the share ``done`` (0..1) of training."""
        return self.learning_rate * self.schedule.factor(done, self.epochs)

    def decay(self, done: float) -> float:
        """The weight decay at the share ``done`` of training."""
        return self.weight_decay if done < self.decay_until else 0.0

    def make_optimizer(self, net: nn.Module) -> torch.optim.Optimizer:
        """A fresh optimizer of ``net``'s parameters; the first group is the one that decays."""
        linear = {
            id(p)
            for m in net.modules()
            if "Linear" in type(m).__name__
            for p in m.parameters(recurse=False)
            if p.dim() > 1
        }
        parameters = [p for p in net.parameters() if p.requires_grad]
        decayed = [p for p in parameters if not self.linear_decay or id(p) in linear]
        others = [p for p in parameters if self.linear_decay and id(p) not in linear]
        groups = [{"params": part} for part in (decayed, others) if part]
        for group, decay in zip(groups, (self.weight_decay if decayed else 0.0, 0.0), strict=False):
            group["weight_decay"] = decay  # type: ignore[assignment]
        if self.optimizer == "adam":
            return torch.optim.Adam(groups, lr=self.learning_rate, eps=self.eps)
        return torch.optim.SGD(groups, lr=self.learning_rate, momentum=self.momentum)


_BINARYNET = Recipe(
    "bnn",
    "BinaryNet's code for CIFAR-10: 500 epochs, batches of 50, Adam, 1e-3 to 3e-7 by an equal factor an "
    "epoch, squared hinge",
    epochs=500,
    batch=50,
    optimizer="adam",
    learning_rate=1e-3,
    schedule=Exponential(3e-4),
    loss="squared-hinge",
    step="connect",
    shift=0,
    flip=False,
)

_ALL = (
    _BINARYNET,
    Recipe(
        "xnor",
        "jiecaoyu/XNOR-Net-PyTorch for CIFAR-10: Adam 1e-2, a tenth at 120, 200, 240 and 280 of 320 epochs",
        epochs=320,
        batch=128,
        optimizer="adam",
        learning_rate=1e-2,
        schedule=Steps((120, 200, 240, 280), (1e-1, 1e-2, 1e-3, 1e-4)),
        step="xnor",
        weight_decay=1e-5,
    ),
    Recipe(
        "xnor-imagenet",
        "jiecaoyu/XNOR-Net-PyTorch for ImageNet: Adam 1e-3, decay 1e-5, a tenth every 30 of 100 epochs",
        epochs=100,
        batch=256,
        optimizer="adam",
        learning_rate=1e-3,
        schedule=Steps((30, 60, 90), (1e-1, 1e-2, 1e-3)),
        step="xnor",
        weight_decay=1e-5,
        shift=16,
    ),
    Recipe(
        "bwn",
        "allenai/XNOR-Net for BWN: SGD with momentum 0.9, 1e-2, 5e-3, 1e-3, 5e-4, 1e-4 in 55 epochs, decay "
        "5e-4 in the first 29; the paper's own schedule could not be reproduced by its users",
        epochs=55,
        batch=128,
        optimizer="sgd",
        learning_rate=1e-2,
        schedule=Steps((18, 29, 43, 52), (0.5, 0.1, 0.05, 0.01)),
        step="xnor",
        weight_decay=5e-4,
        decay_until=29 / 55,
    ),
    Recipe(
        "binaryconnect",
        "BinaryConnect's rule of updating and clipping; the schedule is BinaryNet's, for the paper's own is "
        "not verified",
        epochs=500,
        batch=50,
        optimizer="adam",
        learning_rate=1e-3,
        schedule=Exponential(3e-4),
        loss="squared-hinge",
        step="connect",
        shift=0,
        flip=False,
    ),
    Recipe(
        "dorefa",
        "tensorpack's DoReFa-Net for AlexNet: Adam 2e-4, 4e-5 from epoch 60, 8e-6 from 75 of 90, eps 1e-5, "
        "decay 5e-6 on linear layers",
        epochs=90,
        batch=256,
        optimizer="adam",
        learning_rate=2e-4,
        schedule=Steps((60, 75), (0.2, 0.04)),
        weight_decay=5e-6,
        linear_decay=True,
        eps=1e-5,
    ),
    Recipe(
        "abc",
        "ABC-Net's modules; the schedule (Adam, cosine) is the project's own, for none was found",
        epochs=60,
        batch=128,
        optimizer="adam",
        learning_rate=2e-3,
        schedule=Cosine(),
    ),
    Recipe(
        "distill",
        "distillation: soft targets of a teacher, 0.9 of the loss at temperature 4; these numbers and the "
        "schedule are the project's, for Wu's were not found",
        epochs=120,
        batch=128,
        optimizer="adam",
        learning_rate=1e-2,
        schedule=Cosine(),
        step="xnor",
        soft=0.9,
        temperature=4.0,
    ),
    Recipe(
        "plain",
        "the project's own: Adam 1e-2 along a cosine, cross-entropy, XNOR-Net's step; good on small sets",
        epochs=60,
        batch=64,
        optimizer="adam",
        learning_rate=1e-2,
        schedule=Cosine(),
        step="xnor",
        shift=1,
        flip=False,
    ),
)

RECIPES: dict[str, Recipe] = {recipe.name: recipe for recipe in _ALL}
"""By name; the papers' are ``bnn, xnor, bwn, binaryconnect, dorefa, abc, distill``."""
