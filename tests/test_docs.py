"""The documentation's code blocks run, in their order, in a fresh folder a page.

``python`` blocks of a page share their names.  In ``console`` blocks the lines that begin
with ``$ xnorhw`` are run; what stands below one has to be part of its output, line by line
("..." stands for any lines).  ``sh`` blocks are for reading only.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGES = ["README.md", *(p.relative_to(ROOT).as_posix() for p in sorted((ROOT / "docs").rglob("*.md")))]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
RUN = ("python", "console")


def blocks(page: str) -> list[tuple[str, str, int]]:
    """(language, code, line) of the blocks that run."""
    text = (ROOT / page).read_text(encoding="utf-8")
    found = [(m[1], m[2], text[: m.start()].count("\n") + 2) for m in BLOCK.finditer(text)]
    return [block for block in found if block[0] in RUN]


def commands(code: str) -> Iterator[tuple[list[str], list[str]]]:
    """(arguments, expected lines) of a console block."""
    for part in re.split(r"^\$ ", code, flags=re.MULTILINE)[1:]:
        command, *expected = part.splitlines()
        words = shlex.split(command)
        assert words[0] == "xnorhw", f"only xnorhw runs here, not {words[0]}"
        yield words[1:], [line for line in expected if line.strip() not in ("", "...")]


@pytest.mark.parametrize("page", [p for p in PAGES if blocks(p)])
def test_page(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"__name__": "page"}
    for language, code, line in blocks(page):
        if language == "python":
            exec(compile("\n" * (line - 1) + code, str(ROOT / page), "exec"), names)
            continue
        for arguments, expected in commands(code):
            cli = "from xnorhw.cli import main; main()"
            result = subprocess.run(
                [sys.executable, "-c", cli, *arguments],
                capture_output=True,
                text=True,
                env=environment(),
                check=False,
            )
            assert result.returncode == 0, f"{page}:{line}: {arguments}\n{result.stderr}"
            printed = [" ".join(x.split()) for x in result.stdout.splitlines()]
            for text in expected:
                assert " ".join(text.split()) in printed, f"{page}:{line}: {arguments} prints no {text!r}"


def environment() -> dict[str, str]:
    """The checkout on the path, and no more threads than the tests beside this one leave."""
    return {"OMP_NUM_THREADS": "1", **os.environ, "PYTHONPATH": str(ROOT)}


def test_links() -> None:
    """Links between the pages lead somewhere."""
    for path in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]:
        for target in re.findall(r"\]\(([^)#:\s]+)\)", path.read_text(encoding="utf-8")):
            assert (path.parent / target).exists(), f"{path.relative_to(ROOT)} links to {target}"
