"""The command line: parses and prints; the work is done elsewhere."""

from __future__ import annotations

from xnorhw.cli.commands import cli
from xnorhw.cli.entry import main

__all__ = ["cli", "main"]
