"""Makes the wheel: the package, with the bitstream and what describes it, and nothing from the network.

    python3 wheel_backend.py [FOLDER]     into FOLDER, work/ by default; prints the wheel's path

It is the build backend of pyproject.toml, too: `pip wheel .` and `pip install .` come here.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import sys
import zipfile
from pathlib import Path

try:
    import tomllib
except ImportError:  # Python 3.10
    from pip._vendor import tomli as tomllib

HERE = Path(__file__).resolve().parent
EPOCH = (1980, 1, 1, 0, 0, 0)


class MissingBitstream(Exception):
    """There is no bitstream to put into the wheel."""


def get_requires_for_build_wheel(config_settings=None):
    """Nothing."""
    return []


def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    """Write the wheel into ``wheel_directory`` and return its name.  Same files, same bytes."""
    project = tomllib.loads((HERE / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    package = project["name"].replace("-", "_")
    contents = {path.relative_to(HERE).as_posix(): path.read_bytes() for path in _sources(HERE / package)}
    contents.update(_bitstream(package, next(iter(project["entry-points"]["pynq.overlays"]))))
    verdict = HERE.parent / "verify.json"
    if verdict.is_file():
        contents[f"{package}/verify.json"] = verdict.read_bytes()
    version = project["version"]
    info = f"{package}-{version}.dist-info"
    contents[f"{info}/METADATA"] = _metadata(project).encode()
    contents[f"{info}/WHEEL"] = (
        b"Wheel-Version: 1.0\nGenerator: xnorhw\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    )
    contents[f"{info}/entry_points.txt"] = _entry_points(project).encode()
    name = f"{package}-{version}-py3-none-any.whl"
    Path(wheel_directory).mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(Path(wheel_directory) / name, "w", zipfile.ZIP_DEFLATED) as wheel:
        for path in sorted(contents):
            _add(wheel, path, contents[path])
        _add(wheel, f"{info}/RECORD", _record(contents, f"{info}/RECORD"))
    return name


def _sources(folder):
    for path in sorted(folder.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts and ".ipynb_checkpoints" not in path.parts:
            yield path


def _bitstream(package, name):
    found = {}
    for suffix in (".bit", ".hwh"):
        path = HERE / f"{name}{suffix}"
        if not path.is_file():
            raise MissingBitstream(
                f"{path.name}: there is none in {HERE}, and a wheel without it is of no use on a board. "
                "Make it on a machine with Vivado: make -C ../vivado bitstream."
            )
        found[f"{package}/bitstream/{path.name}"] = path.read_bytes()
    return found


def _metadata(project):
    lines = ["Metadata-Version: 2.1", f"Name: {project['name']}", f"Version: {project['version']}"]
    lines += [f"Summary: {project['description']}", f"Requires-Python: {project['requires-python']}"]
    lines += [f"Requires-Dist: {requirement}" for requirement in project["dependencies"]]
    return "\n".join(lines) + "\n"


def _entry_points(project):
    lines = []
    for group in sorted(project["entry-points"]):
        lines.append(f"[{group}]")
        lines += [f"{name} = {value}" for name, value in sorted(project["entry-points"][group].items())]
    return "\n".join(lines) + "\n"


def _record(contents, own):
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    for path in sorted(contents):
        digest = base64.urlsafe_b64encode(hashlib.sha256(contents[path]).digest()).rstrip(b"=").decode()
        writer.writerow((path, f"sha256={digest}", len(contents[path])))
    writer.writerow((own, "", ""))
    return text.getvalue().encode()


def _add(wheel, path, data):
    entry = zipfile.ZipInfo(path, EPOCH)
    entry.external_attr = 0o644 << 16
    entry.compress_type = zipfile.ZIP_DEFLATED
    wheel.writestr(entry, data)


def main(arguments):
    folder = Path(arguments[0]) if arguments else HERE / "work"
    try:
        name = build_wheel(folder)
    except MissingBitstream as error:
        print(f"xnorhw: error: {error}", file=sys.stderr)
        return 1
    print(folder / name)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
