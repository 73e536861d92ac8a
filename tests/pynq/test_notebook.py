"""The notebook run by Jupyter's own client on the simulated device, cell by cell."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbclient
import nbformat
import pytest

from xnorhw.sim import jupyter

WORK = Path(__file__).resolve().parent.parent.parent / "work" / "devices"
"""Where compiled devices and engines are kept from one run of the tests to the next."""

VERDICT = {
    "chain": {"golden": "NumPy", "c": "not run", "hls": "g++ with stand-ins", "rtl": "Verilator"},
    "not_run": {"c": "was not asked for"},
    "links": {
        "golden": {"tensors": 9, "values": 1234, "mismatches": 0},
        "hls": {"tensors": 3, "values": 56, "mismatches": 7},
        "rtl": {"tensors": 9, "values": 1234, "mismatches": 0},
    },
}


def execute(build: Path, work: Path, devices: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Every cell of the build's notebook, run to the end in a kernel of its own; cells by id."""
    variables = jupyter.environment(build, work / "ipython", work=devices)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("XDG_CACHE_HOME", str(devices))
    copy = jupyter.notebook(build, work)
    (source,) = (build / "pynq").glob("*/notebooks/*.ipynb")
    assert copy.read_bytes() == source.read_bytes()
    book = nbformat.read(copy, as_version=4)
    nbformat.validate(book)
    resources = {"metadata": {"path": str(work)}}
    nbclient.NotebookClient(book, timeout=300, kernel_name="python3", resources=resources).execute()
    return {cell.id: cell for cell in book.cells}


def text_of(cell: Any) -> str:
    parts = [o.get("text") or o.get("data", {}).get("text/plain", "") for o in cell.outputs]
    return "\n".join(parts)


def html_of(cell: Any) -> str:
    return "".join(o["data"].get("text/html", "") for o in cell.outputs if "data" in o)


@pytest.mark.parametrize("name", ["table", "bits"])
def test_every_cell(
    name: str, bench: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = bench(name).folder
    (folder / "verify.json").write_text(json.dumps(VERDICT))
    found = execute(folder, tmp_path, WORK, monkeypatch)
    (folder / "verify.json").unlink()

    code = [cell for cell in found.values() if cell.cell_type == "code"]
    assert len(code) >= 8 and all(cell.execution_count for cell in code)
    assert not [
        o for cell in code for o in cell.outputs if o.output_type == "error" or o.get("name") == "stderr"
    ]

    assert "self-test passed on simulated, a simulation: 16 frames" in text_of(found["self-test"])
    device = html_of(found["device"])
    assert '<b class="kind simulated">SIMULATED</b>' in device and "nothing here was measured" in device
    assert '<th>verified: c</th><td class="dim">not run: was not asked for</td>' in device
    assert '<th>verified: hls</th><td class="bad">7 of 56 values in 3 tensors differ' in device
    assert '<th>verified: rtl</th><td class="good">1,234 values in 9 tensors are equal' in device

    assert "accelerator equals golden on 16 of 16 frames" in text_of(found["accuracy"])
    shares = re.findall(r"^(\w+): ([\d.]+)% of 16 labelled frames$", text_of(found["accuracy"]), re.MULTILINE)
    assert shares == [("accelerator", "100.00"), ("golden", "100.00")]
    assert html_of(found["predictions"]).count("data:image/png;base64,") == 16
    assert "16 of 16 right: 100.00%" in html_of(found["confusion"])
    assert "equal, bit for bit" in text_of(found["engine"])
    speed = html_of(found["engine"])
    assert "simulated clocks at 100 MHz, not measured" in speed and "CPU engine" in speed
    planned = bench(name).package.description.load_description().planned
    assert f"planned: {planned.cycles_per_frame:,}</text>" in html_of(found["counters"])
    assert "16 frames: " in text_of(found["counters"])


def test_a_wrong_chip_ends_at_the_first_cell(
    bench: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A driver that packs signs by their lowest bit: the self-test says so, nothing else runs."""
    folder = tmp_path / "out"
    shutil.copytree(bench("bits").folder, folder)
    path = folder / "pynq/xnorhw_accel/layout.py"
    text = path.read_text()
    assert text.count("tables is None and self._input.bipolar") == 1
    path.write_text(text.replace("tables is None and self._input.bipolar", "False"))
    with pytest.raises(nbclient.exceptions.CellExecutionError, match="SelfTestError") as caught:
        execute(folder, tmp_path / "run", WORK, monkeypatch)
    assert "16 frames run singly differ; the first: frame 0" in str(caught.value)


def test_environment(tmp_path: Path) -> None:
    """The kernel's variables are this process' own, and one more; the start-up file is plain Python."""
    variables = jupyter.environment(tmp_path / "out", tmp_path / "ipython")
    assert {**os.environ, "IPYTHONDIR": str(tmp_path / "ipython")} == variables
    text = (tmp_path / "ipython/profile_default/startup/00-simulated-device.py").read_text()
    compile(text, "startup", "exec")
    assert str(tmp_path / "out") in text and "work=None" in text


def test_a_build_that_cannot_be_written_to(
    bench: Callable[..., Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A read-only build, as every user meets it, root included: a file in the place of the folder."""
    folder = tmp_path / "out"
    shutil.copytree(bench("bits").folder, folder, ignore=shutil.ignore_patterns("work"))
    (folder / "pynq/work").touch()
    assert jupyter.main([str(folder)]) == 1
    error = capsys.readouterr().err
    assert error.startswith(f"xnorhw: error: {folder / 'pynq/work'}: nothing can be written there (")
    assert error.endswith("Copy the build to a folder that you may write to.\n") and error.count("\n") == 1


def test_a_device_that_cannot_be_compiled(
    bench: Callable[..., Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Before JupyterLab opens, and not in a kernel's first breath."""
    folder = tmp_path / "out"
    shutil.copytree(bench("bits").folder, folder, ignore=shutil.ignore_patterns("work"))
    (folder / "work").touch()
    monkeypatch.setattr(jupyter.subprocess, "Popen", lambda *_, **__: pytest.fail("a server was started"))
    assert jupyter.main([str(folder)]) == 1
    error = capsys.readouterr().err
    assert error.startswith("xnorhw: error: ") and str(folder / "work") in error and error.count("\n") == 1


class Server:
    """A server that is told to stop, asks whether it should, and ends."""

    def __init__(self, command: list[str], **options: Any) -> None:
        self.waits = iter((KeyboardInterrupt, KeyboardInterrupt, 0))
        assert command[-1] == "--no-browser" and options["cwd"].is_dir()

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        assert next(self.waits, None) is None

    def wait(self) -> int:
        found = next(self.waits)
        if found is KeyboardInterrupt:
            raise found
        return int(found)


def test_ended_by_the_keyboard(
    bench: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both have the signal; the server decides when it ends."""
    folder = tmp_path / "out"
    shutil.copytree(bench("bits").folder, folder, ignore=shutil.ignore_patterns("work"))
    monkeypatch.setattr(jupyter, "prepare", lambda build: build)
    monkeypatch.setattr(jupyter.subprocess, "Popen", Server)
    assert jupyter.main([str(folder), "--no-browser"]) == 0


def test_no_notebook(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert jupyter.main([str(tmp_path)]) == 1
    error = capsys.readouterr().err
    assert error.startswith("xnorhw: error: ") and str(tmp_path) in error
