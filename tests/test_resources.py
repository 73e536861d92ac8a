"""Templates and boards are found from a checkout, an editable install, a wheel and an sdist."""

from __future__ import annotations

import json
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import build
import pytest

from xnorhw import resources

ROOT = Path(__file__).resolve().parent.parent

PROBE = """
import sys
from xnorhw import resources
import xnorhw
print(xnorhw.__file__)
print(resources.path("boards/pynq-z2.toml"))
print(*resources.list_names("boards", ".toml"))
print(len(resources.read_text("templates/report/report.html.j2")))
"""


def probe(*python_path: Path, code: str = PROBE, executable: str = sys.executable) -> list[str]:
    """Run ``code`` where nothing of the checkout is on the path but what is given."""
    lines = [f"sys.path.insert(0, {str(p)!r})" for p in python_path]
    # a virtual environment may lie in the checkout, so the checkout itself goes, not what is in it
    source = "import os, sys\nsys.path[:] = [p for p in sys.path if os.path.realpath(p) != ROOT]\n"
    source = f"ROOT = {str(ROOT)!r}\n{source}" + "\n".join(lines) + code
    # -I: neither the working directory nor PYTHONPATH nor the user's packages
    result = subprocess.run([executable, "-I", "-c", source], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout.splitlines()


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sdist and the wheel that is built from it, without the network."""
    out = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(out), str(ROOT)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    return out


def only(folder: Path, pattern: str) -> Path:
    (found,) = folder.glob(pattern)
    return found


def check_probe(lines: list[str], package: Path, data: Path) -> None:
    assert Path(lines[0]) == package / "xnorhw/__init__.py"
    assert Path(lines[1]) == data / "boards/pynq-z2.toml"
    assert lines[2].split() == resources.list_names("boards", ".toml")
    assert int(lines[3]) == len(resources.read_text("templates/report/report.html.j2"))


def test_checkout() -> None:
    check_probe(probe(ROOT), ROOT, ROOT)


def test_wheel(archives: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(only(archives, "*.whl")) as wheel:
        wheel.extractall(tmp_path)
        names = set(wheel.namelist())
    check_probe(probe(tmp_path), tmp_path, tmp_path / "xnorhw/_data")
    tops = {name.split("/")[0] for name in names}
    assert tops == {"xnorhw", next(t for t in tops if t.endswith(".dist-info"))}
    for folder in ("templates", "boards"):
        expected = {p.relative_to(ROOT).as_posix() for p in (ROOT / folder).rglob("*") if kept(p)}
        assert {f"xnorhw/_data/{name}" for name in expected} <= names


def test_wheel_builds_the_same_bytes(
    archives: Path, small_model: Path, small_build: Path, tmp_path: Path
) -> None:
    """Outside of the checkout the wheel alone builds and verifies, and writes what the checkout does."""
    with zipfile.ZipFile(only(archives, "*.whl")) as wheel:
        wheel.extractall(tmp_path / "site")
    out = tmp_path / "out"
    code = f"\nfrom xnorhw.cli import main\nmain(['build', {str(small_model)!r}, '--board', 'pynq-z2', "
    code += f"'-o', {str(out)!r}, '--json'])"
    assert json.loads("\n".join(probe(tmp_path / "site", code=code)))["verdict"]["passed"]
    for path in small_build.rglob("*"):
        name = path.relative_to(small_build)
        if path.is_file() and name.name != "build.log" and "work" not in name.parts:
            assert (out / name).read_bytes() == path.read_bytes(), f"{name} differs"


def kept(path: Path) -> bool:
    return path.is_file() and "__pycache__" not in path.parts


def test_sdist(archives: Path, tmp_path: Path) -> None:
    with tarfile.open(only(archives, "*.tar.gz")) as sdist:
        names = sdist.getnames()
        root = tmp_path / names[0].split("/")[0]
        if sys.version_info >= (3, 12):
            sdist.extractall(tmp_path, filter="data")
        else:
            sdist.extractall(tmp_path)
    # a copy of the tree: its folders lie at its top
    check_probe(probe(root), root, root)
    for name in ("LICENSE", "README.md", "Makefile", "tests/test_resources.py"):
        assert (root / name).is_file()


def test_sdist_install(archives: Path, tmp_path: Path) -> None:
    target = tmp_path / "site"
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation"]
    command += ["--no-index", "--target", str(target), str(only(archives, "*.tar.gz"))]
    subprocess.run(command, check=True, capture_output=True)
    check_probe(probe(target), target, target / "xnorhw/_data")


def test_editable_install(tmp_path: Path) -> None:
    # what pip does for `pip install -e`: the backend's wheel, unpacked into a site folder
    wheel = build.ProjectBuilder(ROOT).build("editable", tmp_path / "dist")
    site = tmp_path / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    # a .pth file counts in a site folder, not in any folder on sys.path
    check_probe(probe(code=f"\nimport site; site.addsitedir({str(site)!r})\n" + PROBE), ROOT, ROOT)


@pytest.mark.parametrize(
    "name", ["", "boards/nothing.toml", "boards/../pyproject.toml", "xnorhw/api/build.py", "/etc"]
)
def test_refuses(name: str) -> None:
    with pytest.raises(FileNotFoundError):
        resources.path(name)
