"""darknet's two files: the cfg as sections, the weights as one row of float32 numbers."""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from xnorhw.frontends.foreign.arrays import Array, numbers
from xnorhw.frontends.foreign.base import refuse

__all__ = ["Numbers", "Section", "find_cfg", "read_cfg"]

_LARGEST = 1 << 20
_WHOLE = re.compile(r"[+-]?\d+", re.ASCII)


@dataclass
class Section:
    """One [section] of a cfg: the ``number`` of its layer, as darknet counts, and its options."""

    where: str
    kind: str
    number: int
    options: dict[str, str] = field(default_factory=dict)

    def whole(self, name: str, default: int) -> int:
        """An option as a whole number, ``default`` where it is not there."""
        text = self.options.get(name)
        if text is None:
            return default
        found = _WHOLE.match(text)
        if found is None or found.group() != text or abs(int(text)) > _LARGEST:
            refuse(self.name, f"has {name}={text}, which is no whole number", "Correct the cfg")
        return int(text)

    @property
    def name(self) -> str:
        """For messages: the file, the layer's number and what it is."""
        return f"{self.where}: layer {self.number} [{self.kind}]"


def find_cfg(weights: Path, given: str | None) -> Path:
    """The cfg of a weights file: the one given, else the one beside it whose name fits best."""
    if given is not None:
        found = Path(given)
        if not found.is_file():
            refuse("--arch", f"{given} is no file", "Give the path of the network's cfg")
        return found
    stem = weights.stem
    try:
        beside = [p for p in weights.parent.iterdir() if p.suffix == ".cfg"]
    except OSError:
        beside = []
    # darknet calls what it saves NAME_final, NAME_10000 and NAME.backup
    fitting = [p for p in beside if stem == p.stem or stem.startswith((f"{p.stem}_", f"{p.stem}."))]
    if not fitting:
        refuse(
            str(weights),
            f"holds numbers alone, and no cfg called {stem}.cfg lies beside it, so the network is not known",
            "Give its cfg: --arch PATH",
        )
    return max(fitting, key=lambda p: len(p.stem))


def read_cfg(path: Path) -> list[Section]:
    """The sections of a cfg, [net] first.  ModelError for anything else."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        refuse(str(path), f"cannot be read: {error.strerror or error}", "Give the path of the network's cfg")
    sections: list[Section] = []
    for line in text.splitlines():
        # darknet removes every blank
        word = re.sub(r"[ \t\r]", "", line)
        if not word or word[0] in "#;":
            continue
        if word.startswith("["):
            sections.append(Section(str(path), word.strip("[]"), len(sections) - 1))
            continue
        name, equals, value = word.partition("=")
        if not sections or not equals:
            refuse(
                str(path), f"has the line {line.strip()[:40]!r}, which is no option", "Give a cfg of darknet"
            )
        # darknet takes the first of several
        sections[-1].options.setdefault(name, value)
    if len(sections) < 2 or sections[0].kind not in ("net", "network"):
        refuse(str(path), "does not begin with [net] and layers behind it", "Give a cfg of darknet")
    return sections


class Numbers:
    """The numbers of a weights file, taken in the order in which darknet wrote them."""

    def __init__(self, path: Path, cfg: str) -> None:
        self.where, self.cfg = str(path), cfg
        try:
            data = path.read_bytes()
        except OSError as error:
            refuse(self.where, f"cannot be read: {error.strerror or error}", "Give a weights file of darknet")
        if len(data) < 16:
            refuse(self.where, f"has {len(data)} bytes, fewer than darknet's header", "Copy the file again")
        major, minor, _ = struct.unpack_from("<3i", data)
        if major > 1000 or minor > 1000:
            refuse(
                self.where,
                "was written by a darknet before version 0.1, which kept matrices transposed, or is none",
                "Load it with darknet and save it again",
            )
        # the count of images seen has 8 bytes since version 0.2
        start = 20 if major * 10 + minor >= 2 else 16
        self.total, odd = divmod(len(data) - start, 4)
        if odd or self.total < 1:
            refuse(self.where, "ends within a number: it is truncated", "Copy the file again")
        self._values = np.frombuffer(data, "<f4", offset=start)
        self._next = 0

    def take(self, name: str, *shape: int) -> Array:
        """The next numbers, as an array of ``shape``; ``name`` is whose they are."""
        count = int(np.prod(shape))
        if self._next + count > self.total:
            refuse(
                self.where,
                f"ends before {name}: {self.cfg} needs {self._next + count} numbers up to there, the file "
                f"has {self.total}",
                "It is truncated, or the cfg is another network's",
            )
        values = self._values[self._next : self._next + count].reshape(shape)
        self._next += count
        return numbers(values, f"{self.where}: {name}")

    def check_end(self) -> None:
        """ModelError where numbers are left."""
        if self._next != self.total:
            refuse(
                self.where,
                f"holds {self.total} numbers, {self.cfg} has {self._next}",
                "The cfg is another network's",
            )
