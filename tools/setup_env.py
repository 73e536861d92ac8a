"""Makes the virtual environment that the Makefile works in.

    python tools/setup_env.py VENV EXTRA[,EXTRA...]
    python tools/setup_env.py VENV --group pynq

A new environment gets the versions of constraints.txt and, where pip's sources offer one, a
CPU build of torch; an environment that exists already keeps what it has and is given what
is missing.  The second form makes the environment of the PYNQ driver's tests from a group of
pyproject.toml and constraints-pynq.txt: xnorhw itself, whose requirements bring torch, stays
out of it.  Standard library only.
"""

from __future__ import annotations

import concurrent.futures
import json
import os
import pathlib
import platform
import shutil
import subprocess
import sys
import tempfile
import urllib.error
import urllib.parse
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent
CONSTRAINTS = ROOT / "constraints.txt"
CONSTRAINTS_PYNQ = ROOT / "constraints-pynq.txt"
MARK = "made-by-xnorhw"
OLDEST = (3, 10)
# pynq takes NumPy below 2 and one release of grpcio: neither has wheels for a Python newer than this
NEWEST_WITH_PYNQ = (3, 12)
PIP_OPTIONS = ["--disable-pip-version-check", "--no-input", "-qq"]
# Debian's package for each command that the simulator and the environment need
PACKAGES = {"g++": "g++", "make": "make", "perl": "perl"}


def main(arguments: list[str]) -> int:
    with_pynq = arguments[1:] == ["--group", "pynq"]
    if len(arguments) != 2 and not with_pynq:
        return fail("usage: python tools/setup_env.py VENV (EXTRA[,EXTRA...] | --group pynq)")
    venv = pathlib.Path(arguments[0])
    if sys.version_info < OLDEST:
        return fail(
            f"xnorhw needs Python {OLDEST[0]}.{OLDEST[1]} or newer, and {sys.executable} is "
            f"{platform.python_version()}: say `make PYTHON=/path/to/python3`"
        )
    without = why_without_pynq() if with_pynq else None
    if without:
        print(f"xnorhw setup: no environment with pynq: {without}", flush=True)
        return 0
    missing = missing_packages(venv)
    if missing:
        return fail(f"missing: {', '.join(missing)}; sudo apt-get install {' '.join(missing)}")

    python = python_of(venv)
    if not python.exists():
        print(f"making {venv} with Python {platform.python_version()}", flush=True)
        subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True)
        (venv / MARK).touch()
    ours = (venv / MARK).exists()
    try:
        return install_pynq(python) if with_pynq else install(python, arguments[1], ours)
    except subprocess.CalledProcessError as error:
        return fail(f"pip ended with {error.returncode}; its message stands above")


def fail(message: str) -> int:
    print(f"xnorhw setup: {message}", file=sys.stderr)
    return 1


def missing_packages(venv: pathlib.Path) -> list[str]:
    missing = [package for command, package in PACKAGES.items() if shutil.which(command) is None]
    if not python_of(venv).exists():
        try:
            import ensurepip  # noqa: F401
            import venv as _  # noqa: F401
        except ImportError:
            missing.append("python3-venv")
    return missing


def python_of(venv: pathlib.Path) -> pathlib.Path:
    return venv / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def why_without_pynq() -> str | None:
    """Why this system or interpreter cannot hold pynq; None where it can."""
    if sys.platform != "linux":
        return f"pynq runs on Linux alone, not on {sys.platform}"
    if sys.version_info[:2] > NEWEST_WITH_PYNQ:
        newest = ".".join(map(str, NEWEST_WITH_PYNQ))
        return (
            f"its NumPy and grpcio have no wheels for Python {platform.python_version()}: "
            f"say `make PYNQ_PYTHON=/path/to/python{newest}`"
        )
    return None


def pinned(name: str, constraints: pathlib.Path = CONSTRAINTS) -> str:
    """The requirement of the constraints for ``name``."""
    for line in constraints.read_text(encoding="utf-8").splitlines():
        if line.split("==")[0].strip() == name:
            return line.split(";")[0].strip()
    return name


def install(python: pathlib.Path, extras: str, ours: bool) -> int:
    pip = [str(python), "-m", "pip"]
    wanted = ["--editable", f"{ROOT}[{extras}]"]
    if ours:
        subprocess.run([*pip, "install", *PIP_OPTIONS, pinned("pip")], check=True)
        wanted = ["--constraint", str(CONSTRAINTS), *wanted, *cpu_torch(pip)]
    announce(pip, wanted)
    subprocess.run([*pip, "install", *PIP_OPTIONS, *wanted], check=True)
    return 0


def install_pynq(python: pathlib.Path) -> int:
    pip = [str(python), "-m", "pip"]
    # groups need a newer pip than the one that an interpreter brings
    subprocess.run([*pip, "install", *PIP_OPTIONS, pinned("pip", CONSTRAINTS_PYNQ)], check=True)
    wanted = ["--constraint", str(CONSTRAINTS_PYNQ), "--group", f"{ROOT / 'pyproject.toml'}:pynq"]
    announce(pip, wanted)
    subprocess.run([*pip, "install", *PIP_OPTIONS, *wanted], check=True)
    return 0


def cpu_torch(pip: list[str]) -> list[str]:
    """The requirement of a CPU build of torch, where pip's configured sources have one.

    Linux on x86-64 alone needs it: there the package index's own wheel brings several GB of
    CUDA libraries along.  Elsewhere it is a CPU build already.
    """
    if sys.platform != "linux" or platform.machine() != "x86_64":
        return []
    wanted = f"{pinned('torch')}+cpu"
    trial = [*pip, "install", *PIP_OPTIONS, "--dry-run", "--no-deps", "--only-binary", ":all:", wanted]
    found = subprocess.run(trial, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
    return [wanted] if found.returncode == 0 else []


def announce(pip: list[str], wanted: list[str]) -> None:
    """Say how much is about to be downloaded, before it is."""
    with tempfile.TemporaryDirectory() as folder:
        report = pathlib.Path(folder) / "report.json"
        subprocess.run(
            [*pip, "install", *PIP_OPTIONS, "--dry-run", "--report", str(report), *wanted],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        items = json.loads(report.read_text(encoding="utf-8"))["install"]
    links = [(item["metadata"]["name"], item["download_info"]["url"]) for item in items]
    packages = [(name, url) for name, url in links if not url.endswith("/") and name != "xnorhw"]
    if not packages:
        return
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        sizes = list(pool.map(lambda package: size_of(package[1]), packages))
    known = [(size, name) for size, (name, _) in zip(sizes, packages, strict=True) if size is not None]
    line = f"installing {len(packages)} packages, {megabytes(sum(size for size, _ in known))}"
    if len(known) < len(packages):
        line += f" and {len(packages) - len(known)} of unknown size"
    large = [f"{name} {megabytes(size)}" for size, name in sorted(known, reverse=True)[:3]]
    print(line + (f" (largest: {', '.join(large)})" if large else ""), flush=True)


def size_of(url: str) -> int | None:
    """Bytes behind a link; None where the server does not tell."""
    parts = urllib.parse.urlsplit(url)
    try:
        if parts.scheme == "file":
            return os.stat(urllib.request.url2pathname(parts.path)).st_size
        request = urllib.request.Request(url, method="HEAD")
        with urllib.request.urlopen(request, timeout=10) as answer:
            return int(answer.headers["Content-Length"])
    except (OSError, TypeError, ValueError, urllib.error.URLError):
        return None


def megabytes(size: int) -> str:
    return f"{size / 1e6:.0f} MB"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
