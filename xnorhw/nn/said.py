"""What another library's error says, in a few words."""

from __future__ import annotations

__all__ = ["said"]

MOST = 120


def said(error: BaseException) -> str:
    """The first line of a foreign error, cut short; its class where it says nothing."""
    lines = str(error).strip().splitlines()
    return lines[0].strip()[:MOST].rstrip(".: ") if lines else type(error).__name__
