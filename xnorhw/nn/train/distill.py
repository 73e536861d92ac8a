"""Distillation: a network learns from a teacher's scores as well as from the labels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from xnorhw.ir.errors import XnorhwError
from xnorhw.nn.said import said

__all__ = ["Distillation", "Teacher", "soft_loss"]

Teacher = Callable[[Tensor], Tensor]
"""Raw pixels float32 [N, C, H, W] -> scores [N, classes]."""


@dataclass(frozen=True)
class Distillation:
    """A teacher, and the name (a digest of its file) that a checkpoint remembers it by."""

    teacher: Teacher
    digest: str

    def check(self, pixels: Tensor, classes: int) -> None:
        """Raise XnorhwError where the teacher cannot read ``pixels`` or has other classes."""
        try:
            scores = self.scores(pixels)
        except (RuntimeError, ValueError, IndexError) as error:
            raise XnorhwError(
                f"it cannot read the training pictures, {list(pixels.shape[1:])} ({said(error)})",
                module="--teacher",
                remedy="Give a teacher of the same input",
            ) from None
        if scores.dim() != 2 or scores.size(1) != classes:
            raise XnorhwError(
                f"it gives scores {list(scores.shape[1:])} for data of {classes} classes",
                module="--teacher",
                remedy="Give a teacher that was trained on the same classes",
            )

    def scores(self, pixels: Tensor) -> Tensor:
        """The teacher's scores, without a gradient."""
        with torch.no_grad():
            return self.teacher(pixels).detach()


def soft_loss(scores: Tensor, taught: Tensor, temperature: float) -> Tensor:
    """T^2 KL(softmax(t / T) || softmax(s / T)) of each picture: [N, classes] twice -> [N].

    The factor T^2 keeps the gradient's size independent of the temperature (Hinton et al., 2015).
    """
    wished = F.log_softmax(taught.float() / temperature, dim=1)
    found = F.log_softmax(scores.float() / temperature, dim=1)
    return temperature**2 * F.kl_div(found, wished, reduction="none", log_target=True).sum(dim=1)
