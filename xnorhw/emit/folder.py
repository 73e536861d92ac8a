"""The build folder: written beside its place and moved in whole, read back without a doubt.

``build.json`` holds the SHA-256 of every file but those that change after a build
(``OPEN_FILES`` and everything in a folder named ``work``), so that a folder edited by hand
is known before it is replaced.
"""

from __future__ import annotations

import dataclasses
import errno
import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from xnorhw.ir.errors import XnorhwError

__all__ = [
    "FORMAT",
    "OPEN_FILES",
    "BuildInfo",
    "Changes",
    "changes",
    "edited",
    "is_build",
    "read_info",
    "replace_file",
    "rewrite",
    "write",
]

FORMAT = "xnorhw-build"
VERSION = "1.0"

OPEN_FILES = frozenset({"build.json", "build.log", "report.html", "verify.json"})
"""Files that no hash covers: they hold durations, later verdicts and what synthesis found."""

# folders of what runs and tools leave behind
_OPEN_FOLDERS = frozenset({"work", "__pycache__"})


@dataclasses.dataclass(frozen=True)
class BuildInfo:
    """What was built, from what: the contents of build.json.

    ``build_hash`` is the 64-bit number that the registers show.  A build for the CPU alone has
    the board "cpu" and no clock.  ``model_sha256`` is that
    of model.pt.  ``ends``: what was asked for the full-precision layers; older folders, which do not
    say, have them on the host.  ``files`` maps each hashed file's path to its SHA-256.
    """

    board: str
    build_hash: int
    model_sha256: str
    frames: int
    target_fps: float | None
    clock_mhz: float | None
    folding: str
    versions: tuple[tuple[str, str], ...]
    files: tuple[tuple[str, str], ...] = ()
    ends: str = "auto"
    format: str = VERSION

    def to_json(self) -> dict[str, Any]:
        """The tree of build.json."""
        return {
            "format": FORMAT,
            "version": self.format,
            "board": self.board,
            "build_hash": f"{self.build_hash:016x}",
            "input": {"file": "model.pt", "sha256": self.model_sha256},
            "options": {
                "clock_mhz": self.clock_mhz,
                "ends": self.ends,
                "folding": self.folding,
                "frames": self.frames,
                "target_fps": self.target_fps,
            },
            "versions": dict(self.versions),
            "files": dict(self.files),
        }


@dataclasses.dataclass(frozen=True)
class Changes:
    """What differs from the build as it was written; paths relative to the folder."""

    edited: tuple[str, ...]
    added: tuple[str, ...]
    missing: tuple[str, ...]


def write(
    target: Path,
    files: Mapping[str, bytes],
    info: BuildInfo,
    *,
    force: bool = False,
    used: Path | None = None,
) -> None:
    """Write ``files`` (path in the folder -> contents) as the build folder ``target``.

    Replaces a build that nobody touched; one with edited or added files only with
    ``force``, a folder that is no build never.  ``used``: a file of the old build that went
    into this one (its folding.json), whose edit therefore is not lost.  Raises XnorhwError;
    whatever ends the writing, ``target`` is the old folder or the new one in whole.
    """
    check_target(target, force=force, used=used)
    hashes = {name: sha256(data) for name, data in files.items() if not is_open(name)}
    info_json = json_bytes(dataclasses.replace(info, files=tuple(sorted(hashes.items()))).to_json())
    place = target.resolve()
    token = secrets.token_hex(4)
    fresh = place.with_name(f".{place.name}.new-{token}")
    old = place.with_name(f".{place.name}.old-{token}")
    try:
        fresh.mkdir(parents=True)
        for name in sorted(files):
            path = fresh.joinpath(*name.split("/"))
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(files[name])
        (fresh / "build.json").write_bytes(info_json)
        _swap(fresh, place, old)
    except OSError as error:
        raise _unwritable(target, error) from error
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _swap(fresh: Path, place: Path, old: Path) -> None:
    """Move ``fresh`` to ``place``; on any failure what was there is there again."""
    try:
        if place.exists():
            os.rename(place, old)
        os.rename(fresh, place)
    finally:
        if place.exists():
            shutil.rmtree(old, ignore_errors=True)
        elif old.exists():
            os.rename(old, place)


def _unwritable(target: Path, error: OSError) -> XnorhwError:
    full = error.errno == errno.ENOSPC
    reason = "the disk is full" if full else (error.strerror or str(error)).lower()
    return XnorhwError(
        f"cannot be written: {reason}; nothing was changed",
        module=str(target),
        remedy="Make room, or name another folder with -o" if full else "Name another folder with -o",
    )


def check_target(target: Path, *, force: bool = False, used: Path | None = None) -> None:
    """Raise XnorhwError where a build may not take the place of what ``target`` holds."""
    if not target.exists() and not target.is_symlink():
        return
    if not target.is_dir():
        raise XnorhwError("is a file", module=str(target), remedy="Name another folder with -o")
    if not any(target.iterdir()):
        return
    if not is_build(target):
        raise XnorhwError(
            "holds something else than a build of xnorhw, which is left alone",
            module=str(target),
            remedy="Name another folder with -o",
        )
    if force:
        return
    found = changes(target)
    edited = [name for name in found.edited if used is None or not _same_file(target / name, used)]
    if edited or found.added:
        parts = [
            f"{len(names)} {what} ({', '.join(names[:5])}{', ...' if len(names) > 5 else ''})"
            for what, names in (("edited", edited), ("added", list(found.added)))
            if names
        ]
        remedy = "Say --force to lose that, or name another folder with -o"
        if "folding.json" in edited:
            remedy = f"To build with the edited folding say --folding {target / 'folding.json'}; {remedy}"
        raise XnorhwError(
            f"files were changed by hand since the build: {' and '.join(parts)}",
            module=str(target),
            remedy=remedy,
        )


def _same_file(a: Path, b: Path) -> bool:
    try:
        return a.samefile(b)
    except OSError:
        return False


def is_build(folder: Path) -> bool:
    """True where ``folder`` holds a build that xnorhw made."""
    try:
        tree = json.loads((folder / "build.json").read_bytes())
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(tree, dict) and tree.get("format") == FORMAT


def read_info(folder: Path) -> BuildInfo:
    """What ``folder``'s build.json says.  Raises XnorhwError where it is no build."""
    if not is_build(folder):
        what = "is no build of xnorhw" if folder.is_dir() else "does not exist"
        raise XnorhwError(what, module=str(folder), remedy="Make one with xnorhw build")
    tree = json.loads((folder / "build.json").read_bytes())
    try:
        if int(str(tree["version"]).split(".")[0]) > int(VERSION.split(".")[0]):
            raise XnorhwError(
                f"was made by a newer xnorhw (folder format {tree['version']}, this one reads {VERSION})",
                module=str(folder),
                remedy="Update xnorhw, or build again",
            )
        return BuildInfo(
            board=str(tree["board"]),
            build_hash=int(tree["build_hash"], 16),
            model_sha256=str(tree["input"]["sha256"]),
            frames=int(tree["options"]["frames"]),
            target_fps=tree["options"]["target_fps"],
            clock_mhz=None if tree["options"]["clock_mhz"] is None else float(tree["options"]["clock_mhz"]),
            folding=str(tree["options"]["folding"]),
            ends=str(tree["options"].get("ends", "host")),
            versions=tuple(sorted(tree["versions"].items())),
            files=tuple(sorted(tree["files"].items())),
            format=str(tree["version"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise XnorhwError(
            f"its build.json is damaged ({error!r})", module=str(folder), remedy="Build again"
        ) from None


def changes(folder: Path) -> Changes:
    """Compare ``folder`` with the hashes of its build.json."""
    recorded = dict(read_info(folder).files)
    edited, added = [], []
    present = set()
    for name in _names(folder):
        present.add(name)
        path = folder / name
        if name not in recorded:
            added.append(name)
        elif path.is_symlink() or not path.is_file() or sha256(path.read_bytes()) != recorded[name]:
            edited.append(name)
    return Changes(tuple(edited), tuple(added), tuple(sorted(set(recorded) - present)))


def edited(folder: Path) -> tuple[str, ...]:
    """The files of ``folder`` that are no longer what the build wrote, sorted."""
    found = changes(folder)
    return tuple(sorted((*found.edited, *found.missing)))


def _names(folder: Path) -> Iterator[str]:
    """Sorted paths of what the hashes cover or should cover."""
    found = []
    for root, folders, names in os.walk(folder):
        linked = [f for f in folders if os.path.islink(os.path.join(root, f))]
        folders[:] = [f for f in folders if f not in linked and f not in _OPEN_FOLDERS]
        for name in [*names, *linked]:
            relative = os.path.relpath(os.path.join(root, name), folder).replace(os.sep, "/")
            if not is_open(relative):
                found.append(relative)
    yield from sorted(found)


def is_open(name: str) -> bool:
    """True for a path in a build that no hash covers."""
    return name in OPEN_FILES or not _OPEN_FOLDERS.isdisjoint(name.split("/"))


def replace_file(path: Path, data: bytes) -> None:
    """Write ``path`` so that a reader sees the old contents or the new, never a part."""
    fresh = path.with_name(f".{path.name}.new-{secrets.token_hex(4)}")
    try:
        fresh.write_bytes(data)
        os.replace(fresh, path)
    except OSError as error:
        raise _unwritable(path, error) from error
    finally:
        fresh.unlink(missing_ok=True)


def rewrite(folder: Path, name: str, data: bytes) -> None:
    """Write a hashed file of a build anew, and its hash into build.json."""
    info = read_info(folder)
    replace_file(folder / name, data)
    files = tuple(sorted({**dict(info.files), name: sha256(data)}.items()))
    replace_file(folder / "build.json", json_bytes(dataclasses.replace(info, files=files).to_json()))


def sha256(data: bytes) -> str:
    """SHA-256 in hex."""
    return hashlib.sha256(data).hexdigest()


def json_bytes(tree: object) -> bytes:
    """Deterministic, readable JSON that ends in a line feed."""
    text = json.dumps(tree, sort_keys=True, indent=1, allow_nan=False, ensure_ascii=False)
    return text.encode("utf-8") + b"\n"
