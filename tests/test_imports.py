"""Who may import whom, and what an import may load."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "xnorhw"

# docs/design.md, section "Rooms"
_CORE = {"ir"}
_EMIT = {"ir", "plan", "pack", "board", "resources"}
_SIM = _EMIT | {"golden", "emit"}
_CHECK = _SIM | {"sim", "frontends", "lower", "nn"}
_SYNTH = {"ir", "plan", "emit", "files"}
_API = _CHECK | {"check", "files", "synth"}
ALLOWED: dict[str, set[str]] = {
    "resources": set(),
    "ir": set(),
    "board": {"resources", "ir"},
    "nn": {"ir"},
    "golden": _CORE,
    "frontends": {"ir", "nn"},
    "lower": {"ir", "golden"},
    "plan": {"ir", "board"},
    "pack": {"ir", "plan"},
    "emit": _EMIT,
    "sim": _SIM,
    "check": _CHECK,
    "files": _CORE,
    "synth": _SYNTH,
    "doctor": {"synth"},
    "api": _API | {"__init__"},
    "__init__": {"api", "nn"},
    "cli": _API | {"api", "doctor", "__init__"},
    "__main__": {"cli"},
}
MAY_IMPORT_TORCH = {"nn", "frontends"}
# the lazy public names: an import that a type checker alone sees


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path: Path) -> Iterator[tuple[str, int, bool]]:
    """(module, line, for type checkers alone) of every import in a file, wherever it stands."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    quiet = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node.lineno, id(node) in quiet
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import"
            module = node.module or ""
            if module == "xnorhw":
                for alias in node.names:
                    yield f"xnorhw.{alias.name}", node.lineno, id(node) in quiet
            else:
                yield module, node.lineno, id(node) in quiet


def room_of_module(module: str) -> str:
    name = module.split(".")[1]
    known = (PACKAGE / name).is_dir() or (PACKAGE / f"{name}.py").exists()
    return name if known else "__init__"


SOURCES = sorted(PACKAGE.rglob("*.py"))


def test_every_room_is_listed() -> None:
    assert {room_of(path) for path in SOURCES} == set(ALLOWED)


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: p.relative_to(PACKAGE).as_posix())
def test_edges(path: Path) -> None:
    room = room_of(path)
    for module, line, _ in imports(path):
        if module.split(".")[0] == "xnorhw" and module != "xnorhw":
            other = room_of_module(module)
            assert other == room or other in ALLOWED[room], f"{path}:{line}: {room} imports {other}"


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: p.relative_to(PACKAGE).as_posix())
def test_torch_stays_in_its_rooms(path: Path) -> None:
    for module, line, quiet in imports(path):
        if module.split(".")[0] in ("torch", "onnx") and not quiet:
            assert room_of(path) in MAY_IMPORT_TORCH, f"{path}:{line} imports {module}"


def loaded_by(code: str) -> set[str]:
    """The top-level modules in memory after ``code`` ran in a fresh interpreter."""
    code += "\nimport sys; print(*sorted({m.split('.')[0] for m in sys.modules}), file=sys.stderr)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(result.stderr.split())


@pytest.mark.parametrize(
    "code",
    [
        "import xnorhw",
        "import xnorhw.api",
        "import xnorhw; xnorhw.boards(); xnorhw.Input((1, 8, 8)); xnorhw.ModelError",
        *(
            f"from xnorhw.cli import main\ntry: main({args})\nexcept SystemExit: pass"
            for args in (
                ["--help"],
                ["build", "--help"],
                ["train", "digits", "--help"],
                ["boards"],
                ["--version"],
            )
        ),
    ],
)
def test_no_torch_without_need(code: str) -> None:
    loaded = loaded_by(code)
    assert "xnorhw" in loaded
    assert loaded.isdisjoint({"torch", "sklearn", "scipy", "cocotb", "matplotlib"})


def test_import_is_light() -> None:
    assert loaded_by("import xnorhw").isdisjoint({"numpy", "jinja2", "click"})


def test_public_names() -> None:
    import xnorhw

    names = {
        "Board", "BoardError", "Build", "FitError", "Input", "Model", "ModelError", "ToolError",
        "VerifyError", "XnorhwError", "boards", "calibrate", "load", "nn", "save", "snap", "verify",
    }  # fmt: skip
    assert set(xnorhw.__all__) == names
    for name in names:
        assert getattr(xnorhw, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = xnorhw.nothing
