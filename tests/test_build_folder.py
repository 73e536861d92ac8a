"""The build folder: whole or not there, and never in the place of somebody's work."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import Any

import pytest

from xnorhw.emit import folder
from xnorhw.emit.folder import BuildInfo, changes, read_info, write
from xnorhw.ir.errors import XnorhwError

FILES = {
    "plan.json": b"{}\n",
    "rtl/accel.v": b"module accel; endmodule\n",
    "sim/work/x": b"scratch",
    "build.log": b"1 s\n",
    "report.html": b"<html>",
    "folding.json": b"{}",
}
INFO = BuildInfo("pynq-z2", 0x0123456789ABCDEF, "00" * 32, 16, None, 100.0, "planned", (("xnorhw", "0"),))


@pytest.fixture
def out(tmp_path: Path) -> Path:
    target = tmp_path / "out"
    write(target, FILES, INFO)
    return target


def tree(path: Path) -> dict[str, bytes]:
    return {p.relative_to(path).as_posix(): p.read_bytes() for p in path.rglob("*") if p.is_file()}


def test_writes_all(out: Path) -> None:
    found = tree(out)
    assert set(found) == {*FILES, "build.json"}
    assert all(found[name] == data for name, data in FILES.items())
    info = read_info(out)
    assert info.build_hash == INFO.build_hash and info.board == "pynq-z2" and info.target_fps is None
    assert [name for name, _ in info.files] == ["folding.json", "plan.json", "rtl/accel.v"]
    assert os.listdir(out.parent) == ["out"]
    assert changes(out) == folder.Changes((), (), ())


def test_same_bytes_wherever(tmp_path: Path) -> None:
    write(tmp_path / "a", FILES, INFO)
    write(tmp_path / "deep/er/b", dict(reversed(FILES.items())), INFO)
    assert tree(tmp_path / "a") == tree(tmp_path / "deep/er/b")


def test_replaces_its_own(out: Path) -> None:
    (out / "work").mkdir()
    (out / "work/waves.fst").write_bytes(b"x")
    (out / "report.html").write_bytes(b"<html>verified")
    (out / "verify.json").write_bytes(b"{}")
    write(out, {"plan.json": b"new"}, INFO)
    assert set(tree(out)) == {"plan.json", "build.json"}
    assert os.listdir(out.parent) == ["out"]


def test_takes_an_empty_folder(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    write(tmp_path / "out", FILES, INFO)
    assert set(tree(tmp_path / "out")) == {*FILES, "build.json"}


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize("content", ["thesis.tex", "build.json"])
def test_leaves_other_folders_alone(tmp_path: Path, content: str, force: bool) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / content).write_text("{}")
    with pytest.raises(XnorhwError, match="holds something else"):
        write(tmp_path / "out", FILES, INFO, force=force)
    assert tree(tmp_path) == {f"out/{content}": b"{}"}


def test_leaves_a_file_alone(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine")
    with pytest.raises(XnorhwError, match="is a file"):
        write(tmp_path / "out", FILES, INFO, force=True)
    assert tree(tmp_path) == {"out": b"mine"}


def edit(out: Path) -> str:
    (out / "rtl/accel.v").write_text("module mine; endmodule\n")
    return r"1 edited \(rtl/accel.v\)"


def add(out: Path) -> str:
    (out / "vivado").mkdir()
    (out / "vivado/accel.bit").write_bytes(b"bits")
    return r"1 added \(vivado/accel.bit\)"


def link(out: Path) -> str:
    (out / "rtl/extra").symlink_to(out.parent)
    return r"1 added \(rtl/extra\)"


@pytest.mark.parametrize("change", [edit, add, link])
def test_stops_before_work_of_the_user(out: Path, change: Any) -> None:
    message = change(out)
    before = tree(out)
    with pytest.raises(XnorhwError, match=message) as caught:
        write(out, FILES, INFO)
    assert "--force" in caught.value.remedy
    assert tree(out) == before
    write(out, FILES, INFO, force=True)
    assert set(tree(out)) == {*FILES, "build.json"}


def test_names_the_edited_folding(out: Path) -> None:
    (out / "folding.json").write_bytes(b'{"pe": 2}')
    with pytest.raises(XnorhwError, match="--folding .*folding.json"):
        write(out, FILES, INFO)
    # built with it, its edit is not lost
    write(out, {**FILES, "folding.json": b'{"pe": 2, "simd": 1}'}, INFO, used=out / "folding.json")


@pytest.mark.parametrize("existing", [False, True])
@pytest.mark.parametrize("after", [0, 1, 3, len(FILES)])
@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
def test_nothing_half_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, existing: bool, after: int, error: BaseException
) -> None:
    out = tmp_path / "out"
    if existing:
        write(out, {"plan.json": b"old"}, INFO)
    before = tree(tmp_path)
    real, written = Path.write_bytes, []

    def failing(path: Path, data: bytes) -> int:
        if len(written) == after:
            raise error
        written.append(path)
        return real(path, data)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", failing)
        expected = XnorhwError if isinstance(error, OSError) else KeyboardInterrupt
        with pytest.raises(expected) as caught:
            write(out, FILES, INFO)
    if isinstance(error, OSError):
        assert "the disk is full" in str(caught.value)
    assert tree(tmp_path) == before
    assert os.listdir(tmp_path) == (["out"] if existing else [])


def test_old_build_comes_back(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.rename

    def failing(source: Path, target: Path) -> None:
        if ".new-" in str(source):
            raise OSError(errno.EIO, "Input/output error")
        real(source, target)

    before = tree(out)
    with monkeypatch.context() as patch:
        patch.setattr(os, "rename", failing)
        with pytest.raises(XnorhwError, match="cannot be written"):
            write(out, {"plan.json": b"new"}, INFO)
    assert tree(out) == before and os.listdir(out.parent) == ["out"]


def test_changes_are_found(out: Path) -> None:
    edit(out)
    add(out)
    (out / "plan.json").unlink()
    (out / "rtl/__pycache__").mkdir()
    (out / "rtl/__pycache__/x.pyc").write_bytes(b"x")
    assert changes(out) == folder.Changes(("rtl/accel.v",), ("vivado/accel.bit",), ("plan.json",))


def test_reads_no_other_folder(tmp_path: Path, out: Path) -> None:
    with pytest.raises(XnorhwError, match="does not exist"):
        read_info(tmp_path / "nothing")
    with pytest.raises(XnorhwError, match="is no build"):
        read_info(tmp_path)
    tree = json.loads((out / "build.json").read_text())
    (out / "build.json").write_text(json.dumps({**tree, "version": "2.0"}))
    with pytest.raises(XnorhwError, match="newer xnorhw"):
        read_info(out)
    (out / "build.json").write_text(json.dumps({**tree, "version": "1.7", "news": 1}))
    assert read_info(out).board == "pynq-z2"
    del tree["options"]
    (out / "build.json").write_text(json.dumps(tree))
    with pytest.raises(XnorhwError, match="damaged"):
        read_info(out)


def test_replace_file(tmp_path: Path) -> None:
    folder.replace_file(tmp_path / "x", b"one")
    folder.replace_file(tmp_path / "x", b"two")
    assert tree(tmp_path) == {"x": b"two"}
    with pytest.raises(XnorhwError, match="cannot be written"):
        folder.replace_file(tmp_path / "no/x", b"three")


def test_a_build_json_nested_absurdly_deep(tmp_path: Path) -> None:
    (tmp_path / "build.json").write_text("[" * 100_000)
    assert not folder.is_build(tmp_path)
