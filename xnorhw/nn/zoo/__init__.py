"""Networks of the papers, each built as its source describes it; deviations are named."""

from __future__ import annotations

from xnorhw.nn.zoo.catalogue import ENTRIES, NAMES, NOT_VERIFIED, PLAIN, Entry, build, entry
from xnorhw.nn.zoo.figures import Figures, counted

__all__ = ["ENTRIES", "NAMES", "NOT_VERIFIED", "PLAIN", "Entry", "Figures", "build", "counted", "entry"]
