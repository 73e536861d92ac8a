"""Training as the papers do it: recipes, checkpoints, several processes, distillation."""

from __future__ import annotations

from xnorhw.nn.train.checkpoint import Checkpoint, Setup, read_checkpoint
from xnorhw.nn.train.distill import Distillation, Teacher, soft_loss
from xnorhw.nn.train.group import Group
from xnorhw.nn.train.log import Epoch, draw_curves
from xnorhw.nn.train.loop import Result, Run, accuracy, train
from xnorhw.nn.train.recipes import RECIPES, Cosine, Exponential, Recipe, Schedule, Steps

__all__ = [
    "RECIPES",
    "Checkpoint",
    "Cosine",
    "Distillation",
    "Epoch",
    "Exponential",
    "Group",
    "Recipe",
    "Result",
    "Run",
    "Schedule",
    "Setup",
    "Steps",
    "Teacher",
    "accuracy",
    "draw_curves",
    "read_checkpoint",
    "soft_loss",
    "train",
]
