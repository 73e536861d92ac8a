"""The engine's own sources compiled once, then one network after the other linked with them."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path

from tests.engine.library import NATIVE, Target
from xnorhw.emit.engine import static_sources

__all__ = ["EngineLibrary"]

FLAGS = ("-std=c11", "-Wall", "-Wextra", "-Werror", "-ffp-contract=off", "-O1", "-I.", "-Iengine")


class EngineLibrary:
    """Compiles networks for one processor in ``folder``, without much optimising: that takes the time."""

    def __init__(self, folder: Path, target: Target = NATIVE) -> None:
        self.target = target
        self.folder = folder
        self._archive: Path | None = None
        self._count = 0

    def program(self, files: Mapping[str, str]) -> Path:
        """The program <prefix>-engine of a network's ``files``."""
        place = self.folder / f"network{self._count}"
        self._count += 1
        for name, text in files.items():
            path = place / name.removeprefix("host/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        own = sorted(p for p in files if p.startswith("host/engine/") and p.endswith(".c"))
        static = {f"host/engine/{name}" for name in static_sources()}
        sources = [name.removeprefix("host/") for name in own if name not in static]
        if self._archive is None:
            self._archive = self._static(place)
        self._run(place, [*FLAGS, *sources, "engine_main.c", str(self._archive), "-lm", "-o", "run-engine"])
        return place / "run-engine"

    def _static(self, place: Path) -> Path:
        sources = [f"engine/{name}" for name in static_sources() if name.endswith(".c")]
        self._run(place, [*FLAGS, "-c", *sources])
        objects = [Path(name).with_suffix(".o").name for name in sources]
        archiver = self.target.compiler[0].removesuffix("gcc") + "ar"
        subprocess.run([archiver, "rcs", "engine.a", *objects], cwd=place, check=True)
        return place / "engine.a"

    def _run(self, place: Path, arguments: list[str]) -> None:
        done = subprocess.run([*self.target.compiler, *arguments], cwd=place, text=True, capture_output=True)
        assert done.returncode == 0, done.stderr
