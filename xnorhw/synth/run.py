"""Runs a tool, or a make target that starts one, for minutes or hours: watched, logged, ended with us."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from xnorhw.ir.errors import ToolError

__all__ = ["Progress", "run_make", "run_tool"]

Progress = Callable[[str], None]

_PAUSE = 1.0
"""Seconds between two lines that are shown."""
_GRACE = 5.0
_SHOWN = 100
_ERROR = re.compile(r"(ERROR|xnorhw: error):\s*")
_KILLED = re.compile(r"\b(Killed|Terminated|Segmentation fault)\b|\bError (137|143|139)\b")


def run_make(
    folder: Path, target: Sequence[str], log: Path, title: str, progress: Progress | None = None
) -> None:
    """Run ``make -C folder target`` to its end, as ``run_tool`` does.

    Raises ToolError where make is missing.
    """
    make = shutil.which("make")
    if make is None:
        raise ToolError("make is missing", module=title, remedy="On Debian and Ubuntu run: apt install make")
    run_tool([make, "--no-print-directory", "-C", os.fspath(folder), *target], log, title, progress)


def run_tool(
    command: Sequence[str],
    log: Path,
    title: str,
    progress: Progress | None = None,
    *,
    folder: Path | None = None,
    headline: Callable[[str], str] = str.strip,
) -> None:
    """Run ``command`` in ``folder`` to its end, whatever time it takes.

    All it prints goes to ``log``; a line a second is given to ``progress``, as ``headline`` makes
    it, "" for a line that tells nothing.  Raises ToolError, with the tool's own errors, where it
    fails or is killed.  Whatever ends us ends the tool and all that it started.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    lines: list[str] = []
    with log.open("w", encoding="utf-8") as file:
        process = subprocess.Popen(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            env=_environment(),
            start_new_session=True,
        )
        try:
            assert process.stdout is not None
            shown = 0.0
            for line in process.stdout:
                file.write(line)
                file.flush()
                lines.append(line.rstrip())
                if progress is None or not _tells(line) or time.monotonic() <= shown + _PAUSE:
                    continue
                said = headline(line)
                if said:
                    progress(f"{title}: {said[:_SHOWN]}")
                    shown = time.monotonic()
            process.wait()
        finally:
            if process.poll() is None:
                _end(process)
            if process.stdout is not None:
                process.stdout.close()
    if process.returncode:
        raise _failed(lines, process.returncode, log, title)


def _tells(line: str) -> bool:
    """False for empty lines, and for errors, which come as one at the end."""
    return bool(line.strip()) and not _ERROR.match(line)


def _environment() -> dict[str, str]:
    """Without what a make around us left."""
    return {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")}


def _end(process: subprocess.Popen[str]) -> None:
    for number, patience in ((signal.SIGTERM, _GRACE), (signal.SIGKILL, None)):
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            break
        try:
            process.wait(patience)
            # what it started may outlive it
            os.killpg(process.pid, signal.SIGKILL)
        except subprocess.TimeoutExpired:
            continue
        except ProcessLookupError:
            pass
        break
    process.wait()


def _failed(lines: list[str], code: int, log: Path, title: str) -> ToolError:
    if code < 0 or any(_KILLED.search(line) for line in lines[-5:]):
        return ToolError(
            "the tool was killed before it came to an end",
            module=title,
            remedy=f"Give the machine more memory, or look into {log}",
        )
    said = [line.strip() for line in lines if _ERROR.match(line)]
    said = said or [line.strip() for line in lines if line.strip() and not line.startswith("make")][-3:]
    # the last error is the one that ended it; what stands before explains it
    unique = list(dict.fromkeys(_ERROR.sub("", line).rstrip(".") for line in said))[-3:]
    reason = " / ".join(
        line for line in unique if not any(line in other for other in unique if other != line)
    )
    return ToolError(
        f"the tool failed: {reason or f'exit code {code}'}", module=title, remedy=f"Look into {log}"
    )
