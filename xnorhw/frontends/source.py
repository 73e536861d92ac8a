"""Where in the user's code something was called."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from types import CodeType, FrameType

import torch

__all__ = ["line_here", "line_of"]

_SKIPPED = (os.path.dirname(torch.__file__), os.path.dirname(__file__))

Place = tuple[CodeType, int]


def line_here(outermost: CodeType) -> str:
    """The innermost line that is neither torch's nor ours, as file.py:12; empty above ``outermost``."""
    return _first(_stack(sys._getframe(1)), outermost)


def line_of(error: BaseException, outermost: CodeType) -> str:
    """The same for the place where ``error`` was raised."""
    places: list[Place] = []
    entry = error.__traceback__
    while entry is not None:
        places.append((entry.tb_frame.f_code, entry.tb_lineno))
        entry = entry.tb_next
    return _first(reversed(places), outermost)


def _stack(frame: FrameType | None) -> Iterator[Place]:
    while frame is not None:
        yield frame.f_code, frame.f_lineno
        frame = frame.f_back


def _first(places: Iterator[Place], outermost: CodeType) -> str:
    for code, line in places:
        if code is outermost:
            break
        if not code.co_filename.startswith(_SKIPPED):
            return f"{os.path.basename(code.co_filename)}:{line}"
    return ""
