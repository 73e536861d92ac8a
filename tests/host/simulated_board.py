"""A board for the C driver: its /dev and /sys as a folder, the shim of each processor, the programs."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from xnorhw.sim.device import SimDevice

SHIM = Path(__file__).resolve().parent / "shim"
BUFFER_BYTES = 1 << 20


@dataclass(frozen=True)
class Target:
    """A processor: its compiler, what makes its binaries run here, what the shim is compiled with."""

    name: str
    compiler: str
    packages: str
    runner: tuple[str, ...] = ()
    shim_flags: tuple[str, ...] = ()

    def require(self) -> None:
        """Skip the test where a tool is missing."""
        for tool in (self.compiler, *self.runner[:1]):
            if shutil.which(tool) is None:
                pytest.skip(f"{tool} is missing: apt install {self.packages}")


NATIVE = Target("native", "gcc", "gcc")
ARM = Target(
    "arm",
    "arm-linux-gnueabihf-gcc",
    "gcc-arm-linux-gnueabihf qemu-user",
    ("qemu-arm", "-cpu", "cortex-a9", "-L", "/usr/arm-linux-gnueabihf"),
    ("-marm",),
)
AARCH64 = Target(
    "aarch64",
    "aarch64-linux-gnu-gcc",
    "gcc-aarch64-linux-gnu qemu-user",
    ("qemu-aarch64", "-cpu", "cortex-a53", "-L", "/usr/aarch64-linux-gnu"),
)


@dataclass(frozen=True)
class Program:
    """A driver program and the shim of its processor."""

    path: Path
    shim: Path
    target: Target
    preloaded: tuple[str, ...] = ()
    environment: tuple[tuple[str, str], ...] = ()


def compile_shim(target: Target, folder: Path) -> Path:
    """The shim of a processor, as a shared object."""
    path = folder / f"shim-{target.name}.so"
    sources = sorted(str(p) for p in SHIM.glob("*.c"))
    flags = ["-std=c11", "-O1", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", *target.shim_flags]
    subprocess.run([target.compiler, *flags, *sources, "-o", str(path), "-ldl"], check=True)
    return path


def make(host: Path, target: Target, *options: str) -> Path:
    """Run make in a copy of out/host; the folder of what it made."""
    subprocess.run(
        ["make", "-s", "-j2", f"CC={target.compiler}", *options], cwd=host, check=True, capture_output=True
    )
    triplet = subprocess.run([target.compiler, "-dumpmachine"], capture_output=True, text=True, check=True)
    return host / "work" / triplet.stdout.strip()


@dataclass
class Board:
    """``device`` behind the files of a board in ``root``; ``done`` is what the last run left."""

    device: SimDevice
    root: Path
    buffer_bytes: int = BUFFER_BYTES
    trace: list[str] = field(default_factory=list)

    memory_base: int = 0

    def __post_init__(self) -> None:
        self.memory_base = self.device.memory_base
        self.write("dev/mem", "")
        for number, (name, base) in enumerate(
            (("accel", self.device.ip_base), ("accel-dma", self.device.dma_base))
        ):
            self.write(f"dev/uio{number}", "")
            self.write(f"sys/class/uio/uio{number}/name", f"{name}\n")
            self.write(f"sys/class/uio/uio{number}/maps/map0/addr", f"0x{base:08x}\n")
            self.write(
                f"sys/class/uio/uio{number}/maps/map0/size", f"0x{self.device.addresses.ip.size:08x}\n"
            )
        self.write("dev/udmabuf0", "")
        folder = "sys/class/u-dma-buf/udmabuf0"
        self.write(f"{folder}/phys_addr", f"0x{self.memory_base:016x}\n")
        self.write(f"{folder}/size", f"{self.buffer_bytes}\n")
        self.write(f"{folder}/sync_for_cpu", "")
        self.write(f"{folder}/sync_for_device", "")

    def write(self, path: str, text: str) -> None:
        """A file of the board's /dev or /sys."""
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    @property
    def mem(self) -> tuple[str, str]:
        """The option that makes the program take /dev/mem, a part of memory that UIO does not use."""
        return "--mem", f"0x{self.memory_base + (1 << 21):x}:0x{self.buffer_bytes:x}"

    @property
    def mem_call(self) -> tuple[str, str, str]:
        """The same for the program of calls."""
        address, size = self.mem[1].split(":")
        return "mem", address, size

    def command(
        self, program: Program, *arguments: str, faults: str = "", log: Path | None = None
    ) -> tuple[list[str], dict[str, str]]:
        """The command line and the environment of a run."""
        values = {
            "LD_PRELOAD": ":".join((*program.preloaded, str(program.shim))),
            "XH_SHIM_DEVICE": str(self.device.folder),
            "XH_SHIM_TREE": str(self.root),
            "XH_SHIM_FAULTS": faults,
            **dict(program.environment),
        }
        if log is not None:
            values["XH_SHIM_LOG"] = str(log)
        if not program.target.runner:
            return [str(program.path), *arguments], {**os.environ, **values}
        # the emulator itself is not to be preloaded
        settings = [part for key, value in values.items() for part in ("-E", f"{key}={value}")]
        return [*program.target.runner, *settings, str(program.path), *arguments], dict(os.environ)

    def run(
        self,
        program: Program,
        *arguments: str,
        faults: str = "",
        traced: bool = False,
        timeout: float = 120,
    ) -> subprocess.CompletedProcess[str]:
        """Run a program on the board; ``traced`` keeps its accesses in ``trace``.

        ``faults``: "N:V+..." plants faults V in the device before the N-th transfer is sent off.
        """
        log = self.root / "trace.txt"
        log.unlink(missing_ok=True)
        self.device.inject()
        self.device.release()
        command, environment = self.command(program, *arguments, faults=faults, log=log if traced else None)
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=timeout, check=False
        )
        self.trace = log.read_text().splitlines() if traced and log.exists() else []
        return done

    def scores(
        self, program: Program, frames: npt.NDArray[np.generic], *arguments: str, traced: bool = False
    ) -> npt.NDArray[np.float32]:
        """The scores [N, classes] of raw ``frames`` [N, ...]; fails where the program does."""
        source, target = self.root / "frames.bin", self.root / "scores.bin"
        np.ascontiguousarray(frames).tofile(source)
        target.unlink(missing_ok=True)
        done = self.run(program, *arguments, "--quiet", "--scores", str(target), str(source), traced=traced)
        assert done.returncode == 0, done.stderr
        return np.fromfile(target, "<f4").reshape(len(frames), -1)
