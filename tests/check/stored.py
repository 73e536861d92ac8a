"""The files of a design whose weights a test spoils and reads back."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from tests.plan.networks import Conv, Linear, network
from xnorhw.board import load_board
from xnorhw.check.compare import Comparison
from xnorhw.check.memories import check_memories
from xnorhw.emit import rom, rtl
from xnorhw.plan import Folding, LayerFolding, make_plan


class Stored:
    """A network on ``source`` of layers folded by hand: its RTL and its memories, which can be edited."""

    def __init__(
        self,
        folder: Path,
        source: tuple[int, int, int],
        layers: Sequence[Conv | Linear],
        folding: Sequence[LayerFolding],
    ) -> None:
        graph = network(source, list(layers), seed=3)
        self.plan = make_plan(graph, load_board("pynq-z2"), folding=Folding(tuple(folding)))
        self.folder = folder
        self.files = {**rtl.files(self.plan, 1), **rom.files(self.plan, graph)}
        for name, text in self.files.items():
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_text(text, encoding="utf-8", newline="\n")
        self.build = cast(Any, SimpleNamespace(plan=self.plan, graph=graph, folder=folder))

    def check(self) -> Comparison:
        return check_memories(self.build)

    def edit(self, name: str, pattern: str, new: str, number: int = 0) -> None:
        """Put ``new`` in the place of match ``number``; \\1 and so on are its groups."""
        path = self.folder / name
        text = path.read_text(encoding="utf-8")
        match = list(re.finditer(pattern, text, re.DOTALL))[number]
        changed = text[: match.start()] + match.expand(new) + text[match.end() :]
        assert changed != text
        path.write_text(changed, encoding="utf-8", newline="\n")
