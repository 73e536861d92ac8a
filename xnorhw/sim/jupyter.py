"""Notebooks on the simulated device: kernels in which pynq finds a build as its device.

    python -m xnorhw.sim.jupyter out

opens the build's notebook in JupyterLab.  A board's own kernel finds its device by itself;
here a start-up file of IPython puts the simulated one in its place, and the notebook is the
same, byte for byte.  Runs in the environment with pynq.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from xnorhw.emit.store import read_build
from xnorhw.ir.errors import ToolError, XnorhwError
from xnorhw.sim.device import prepare

__all__ = ["environment", "notebook"]

_STARTUP = '''\
"""Puts the simulated device in the place of the board's."""
import atexit
import pathlib
import sys

sys.path[:0] = {paths!r}
import pynq
from xnorhw.sim.pynq_device import open_device

pynq.Device.active_device = _device = open_device({build!r}, work={work!r} and pathlib.Path({work!r}))
atexit.register(_device.close)
del atexit, pathlib, sys
'''


def environment(build: Path, folder: Path, work: Path | None = None) -> dict[str, str]:
    """This process' environment variables, and those by which a kernel drives the build ``build``.

    ``folder``: where IPython's files for it are written.  ``work``: where the device's program
    is compiled, the build's work/ by default.  The kernel imports xnorhw from where this module
    lies and the overlay package from the build.
    """
    startup = folder / "profile_default" / "startup"
    startup.mkdir(parents=True, exist_ok=True)
    own = Path(__file__).resolve().parent.parent.parent
    paths = [str(own), str((build / "pynq").resolve())]
    place = None if work is None else str(work.resolve())
    text = _STARTUP.format(paths=paths, build=str(build.resolve()), work=place)
    (startup / "00-simulated-device.py").write_text(text, encoding="utf-8")
    return {**os.environ, "IPYTHONDIR": str(folder.resolve())}


def notebook(build: Path, folder: Path) -> Path:
    """A copy in ``folder`` of the notebook of ``build``, to be run and changed there."""
    found = sorted((build / "pynq").glob("*/notebooks/*.ipynb"))
    if not found:
        raise XnorhwError(
            "was built before there was a notebook",
            module=str(build),
            remedy="Build again with xnorhw build",
        )
    folder.mkdir(parents=True, exist_ok=True)
    return Path(shutil.copy(found[0], folder))


def main(arguments: Sequence[str]) -> int:
    """Open JupyterLab on a copy of the notebook in the build's pynq/work/, its device compiled."""
    parser = argparse.ArgumentParser(prog="python -m xnorhw.sim.jupyter", description=main.__doc__)
    parser.add_argument("build", type=Path, help="a build folder")
    parser.add_argument("--no-browser", action="store_true", help="start the server alone")
    options = parser.parse_args(arguments)
    try:
        for name in ("pynq", "jupyterlab"):
            if importlib.util.find_spec(name) is None:
                raise ToolError(
                    "it is not installed here",
                    module=name,
                    remedy="Use the environment that make test-pynq makes, .venv-pynq by default",
                )
        build = read_build(options.build).folder
        work = build / "pynq" / "work"
        try:
            copy = notebook(build, work / "notebooks")
            variables = environment(build, work / "ipython")
        except OSError as error:
            raise ToolError(
                f"nothing can be written there ({(error.strerror or str(error)).lower()})",
                module=str(work),
                remedy="Copy the build to a folder that you may write to",
            ) from None
        # a kernel that begins with an error shows it only where nobody looks
        prepare(build)
    except XnorhwError as error:
        print(f"xnorhw: error: {error}", file=sys.stderr)
        return 1
    command = [sys.executable, "-m", "jupyter", "lab", copy.name]
    if options.no_browser:
        command.append("--no-browser")
    with subprocess.Popen(command, cwd=copy.parent, env=variables) as server:
        while True:
            try:
                return server.wait()
            except KeyboardInterrupt:  # JupyterLab has it, too, and asks whether to end
                continue


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
