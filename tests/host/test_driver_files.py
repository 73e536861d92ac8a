"""What the emitter of the C driver writes: numbers, registers, the device tree."""

from __future__ import annotations

import dataclasses
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from xnorhw.board import load_board
from xnorhw.emit import host
from xnorhw.emit.store import read_build
from xnorhw.ir.registers import ERRORS, REGISTERS

HASH = 0x0123456789ABCDEF


@pytest.fixture(scope="session")
def texts(small_build: Path) -> dict[str, str]:
    """The driver's files of the small network on its board."""
    return host.files(read_build(small_build).plan, load_board("pynq-z2"), HASH)


def macros(text: str) -> dict[str, str]:
    """The macros of a header: name -> what stands behind it, without a comment."""
    return {m[1]: m[2].strip() for m in re.finditer(r"^#define (\w+) ([^/\n]+)", text, re.MULTILINE)}


def test_numbers_of_the_build(texts: dict[str, str], small_build: Path) -> None:
    stored = read_build(small_build)
    found = macros(texts["host/driver/accel_build.h"])
    assert found["ACCEL_BUILD_HASH"] == "UINT64_C(0x0123456789ABCDEF)"
    assert int(found["ACCEL_IN_BEATS"]) == stored.plan.input_frame.beats
    assert int(found["ACCEL_OUT_BEATS"]) == stored.plan.output_frame.beats
    assert stored.design is not None
    segments = {s.name.split("/")[0]: s for s in stored.design.segments if s.space == "ps/Data"}
    for name, macro in (("accel", "ACCEL_IP_BASE"), ("dma", "ACCEL_DMA_BASE")):
        assert int(found[macro].rstrip("u"), 0) == segments[name].offset


def test_registers_come_from_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    found = macros(host.registers_header())
    assert len(found) == len(REGISTERS) + len(ERRORS) + 1
    for register in REGISTERS:
        assert int(found[f"XD_REG_{register.name}"].rstrip("u"), 0) == register.offset
    moved = tuple(dataclasses.replace(r, offset=r.offset + 0x40) for r in REGISTERS)
    monkeypatch.setattr(host, "REGISTERS", moved)
    assert int(macros(host.registers_header())["XD_REG_ID"].rstrip("u"), 0) == 0x40


def test_the_build_holds_them(texts: dict[str, str], small_build: Path) -> None:
    number = read_build(small_build).info.build_hash
    wanted = host.files(read_build(small_build).plan, load_board("pynq-z2"), number)
    for path, text in wanted.items():
        assert (small_build / path).read_text(encoding="utf-8") == text
    assert wanted.keys() == texts.keys()


def test_another_prefix(small_build: Path) -> None:
    found = host.files(read_build(small_build).plan, load_board("pynq-z2"), HASH, prefix="eye")
    assert {"host/eye_driver.h", "host/driver/eye_build.h", "host/eye.dtso"} <= found.keys()
    for path, text in found.items():
        if not Path(path).name.startswith("xd_"):
            assert not re.search(r"\baccel_|\bACCEL_|accel-|\"accel", text), path


def tree_of(text: str, folder: Path, *, symbols: bool = True) -> str:
    """The overlay compiled and read back, as dtc prints it."""
    if shutil.which("dtc") is None:
        pytest.skip("dtc is missing: apt install device-tree-compiler")
    source, blob = folder / "accel.dtso", folder / "accel.dtbo"
    source.write_text(text)
    made = subprocess.run(
        ["dtc", *(["-@"] if symbols else []), "-I", "dts", "-O", "dtb", "-o", str(blob), str(source)],
        capture_output=True,
        text=True,
    )
    assert made.returncode == 0 and not made.stderr, made.stderr
    back = subprocess.run(
        ["dtc", "-I", "dtb", "-O", "dts", str(blob)], capture_output=True, text=True, check=True
    )
    return back.stdout


@pytest.mark.parametrize(
    ("board", "cells", "ip", "dma"),
    [
        ("pynq-z2", 1, "<0x40000000 0x10000>", "<0x40010000 0x10000>"),
        ("pynq-z1", 1, "<0x40000000 0x10000>", "<0x40010000 0x10000>"),
        ("kv260", 2, "<0x00 0xa0000000 0x00 0x10000>", "<0x00 0xa0010000 0x00 0x10000>"),
        ("ultra96-v2", 2, "<0x00 0xa0000000 0x00 0x10000>", "<0x00 0xa0010000 0x00 0x10000>"),
    ],
)
def test_device_tree(small_build: Path, tmp_path: Path, board: str, cells: int, ip: str, dma: str) -> None:
    files = host.files(read_build(small_build).plan, load_board(board), HASH)
    tree = tree_of(files["host/accel.dtso"], tmp_path)
    nodes = dict(re.findall(r"([\w@-]+) \{\n((?:\t+[^{}\n]*;\n)+)\t+\};", tree))
    base = re.search(r"accel@([0-9a-f]+)", tree)
    assert base is not None
    address = int(base[1], 16)
    for node, name, reg in (
        (f"accel@{address:x}", "accel", ip),
        (f"accel-dma@{address + 0x10000:x}", "accel-dma", dma),
    ):
        assert 'compatible = "generic-uio"' in nodes[node]
        assert f'linux,uio-name = "{name}"' in nodes[node]
        assert f"reg = {reg}" in nodes[node]
    assert 'compatible = "ikwzm,u-dma-buf"' in nodes["accel-buffer"]
    assert 'device-name = "udmabuf0"' in nodes["accel-buffer"]
    assert f"size = <0x{host.BUFFER_BYTES:x}>" in nodes["accel-buffer"]
    assert f"#address-cells = <0x0{cells}>" in tree and 'target-path = "/"' in tree


def test_device_tree_says_what_to_load(texts: dict[str, str]) -> None:
    text = texts["host/accel.dtso"]
    for line in (
        "uio_pdrv_genirq.of_id=generic-uio",
        "modprobe uio_pdrv_genirq of_id=generic-uio",
        "modprobe u-dma-buf",
        "dtc -@ -I dts -O dtb -o accel.dtbo accel.dtso",
    ):
        assert line in text
