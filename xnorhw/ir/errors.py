"""The errors a user meets: what, where, why, and what to do."""

from __future__ import annotations

__all__ = ["BoardError", "FitError", "ModelError", "ToolError", "VerifyError", "XnorhwError"]


class XnorhwError(Exception):
    """An error with its place, its reason and its remedy.

    ``module``: the PyTorch module, file, option or board concerned (may be empty).
    ``reason``: what is wrong and why, without a final full stop.
    ``remedy``: what to do instead, a sentence without a final full stop.
    """

    def __init__(self, reason: str, *, module: str = "", remedy: str = "") -> None:
        self.module = module
        self.reason = reason
        self.remedy = remedy
        super().__init__(str(self))

    def __str__(self) -> str:
        where = f"{self.module}: " if self.module else ""
        remedy = f" {self.remedy}." if self.remedy else ""
        return f"{where}{self.reason}.{remedy}"


class ModelError(XnorhwError):
    """The model, its file or its input cannot be taken."""


class BoardError(XnorhwError):
    """The board is unknown or its description is wrong."""


class FitError(XnorhwError):
    """The design does not fit the board, or the folding cannot be built."""


class VerifyError(XnorhwError):
    """Two forms of the network differ, or a build cannot be checked."""


class ToolError(XnorhwError):
    """A tool is missing or failed."""
