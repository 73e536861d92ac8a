"""Instructions of the NEON path under qemu, and llvm-mca's model of a Cortex-A9."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from xnorhw.resources import path as resource

HERE = Path(__file__).parent
LAYERS = ((56, 64), (28, 128), (14, 256), (7, 512))
FLAGS = ["-O3", "-std=c11", "-mcpu=cortex-a9", "-mfpu=neon", "-mfloat-abi=hard", "-marm", "-ffp-contract=off"]
CLOCK_HZ = 650e6
TOOLS = {
    "arm-linux-gnueabihf-gcc": "gcc-arm-linux-gnueabihf",
    "qemu-arm": "qemu-user",
    "gcc": "gcc",
}


@dataclass(frozen=True)
class Count:
    """Executed instructions of one run of a layer."""

    size: int
    channels: int
    instructions: int

    @property
    def macs_an_instruction(self) -> float:
        """Multiply-accumulates, padded taps included, over instructions."""
        return self.size**2 * self.channels**2 * 9 / self.instructions


def missing() -> str | None:
    """The first tool that is not installed, with its package."""
    for tool, package in TOOLS.items():
        if shutil.which(tool) is None:
            return f"{tool} is not installed (apt-get install {package})"
    return None


def counting_plugin(work: Path) -> Path:
    """qemu's plugin that counts executed instructions, compiled into ``work``."""
    plugin = work / "count.so"
    source = str(HERE / "cpu_count.c")
    subprocess.run(["gcc", "-O2", "-shared", "-fPIC", source, "-o", str(plugin)], check=True)
    return plugin


def counted(command: list[str], environment: dict[str, str] | None = None) -> int:
    """The instructions of a command that runs qemu with the plugin."""
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return int(re.findall(r"instructions (\d+)", result.stderr)[-1])


def count(work: Path) -> list[Count]:
    """Every layer: the difference between three runs and one, divided by two."""
    folder = resource("templates/engine")
    plugin, program = counting_plugin(work), work / "layer"
    sources = [str(HERE / "cpu_arm_layer.c"), *map(str, sorted(folder.glob("*.c")))]
    command = ["arm-linux-gnueabihf-gcc", *FLAGS, "-static", f"-I{folder}", f"-I{HERE}", *sources]
    subprocess.run([*command, "-lm", "-o", str(program)], check=True)
    results = []
    for size, channels in LAYERS:
        seen = []
        for runs in (1, 3):
            ran = [str(program), *map(str, (size, channels, runs))]
            seen.append(counted(["qemu-arm", "-cpu", "cortex-a9", "-plugin", str(plugin), *ran]))
        results.append(Count(size, channels, (seen[1] - seen[0]) // 2))
    return results


def inner_loop(assembly: str) -> list[str]:
    """The instructions of the loop with the most vcnt."""
    best: list[str] = []
    lines = [line.split("@")[0].strip() for line in assembly.splitlines()]
    labels = {line[:-1]: i for i, line in enumerate(lines) if re.fullmatch(r"\.L\d+:", line)}
    for i, line in enumerate(lines):
        branch = re.fullmatch(r"b\w*\s+(\.L\d+)", line)
        if not branch or labels.get(branch.group(1), i) >= i:
            continue
        body = [
            text for text in lines[labels[branch.group(1)] + 1 : i + 1] if text and not text.startswith(".")
        ]
        inside = sum(bool(re.match(r"b\w*\s+\.L", text)) for text in body)
        if inside == 1 and sum("vcnt" in text for text in body) > sum("vcnt" in text for text in best):
            best = body
    return best


def model(work: Path) -> tuple[int, float, int] | None:
    """(instructions, clocks, multiply-accumulates) of one turn of the inner loop in llvm-mca's
    model of a Cortex-A9; None where llvm-mca is not installed."""
    if shutil.which("llvm-mca") is None:
        return None
    source = resource("templates/engine") / "xh_neon.c"
    assembly = work / "neon.s"
    subprocess.run(["arm-linux-gnueabihf-gcc", *FLAGS, "-S", str(source), "-o", str(assembly)], check=True)
    body = inner_loop(assembly.read_text())
    loop = work / "loop.s"
    loop.write_text(".syntax unified\n.fpu neon\n" + "\n".join(body[:-1]) + "\n")
    target = ["-mtriple=armv7-linux-gnueabihf", "-mcpu=cortex-a9", "-mattr=+neon", "-iterations=200"]
    result = subprocess.run(["llvm-mca", *target, str(loop)], capture_output=True, text=True, check=True)
    clocks = int(re.findall(r"Total Cycles:\s+(\d+)", result.stdout)[0]) / 200
    return len(body), clocks, 128 * sum("vcnt" in line for line in body)


def report() -> None:
    """Print both, and the milliseconds that follow from them."""
    print("ARMv7 NEON (Cortex-A9), instructions counted by a qemu plugin")
    reason = missing()
    if reason:
        print(f"not measured: {reason}")
        return
    with tempfile.TemporaryDirectory() as folder:
        counts = count(Path(folder))
        loop = model(Path(folder))
    for c in counts:
        shape = f"{c.size}x{c.size}x{c.channels}"
        line = f"{shape:>12}  {c.instructions / 1e6:6.2f} M instructions"
        line += f"  {c.macs_an_instruction:5.1f} MAC an instruction"
        if loop:
            clocks = c.instructions * loop[1] / loop[0]
            line += f"  {clocks / CLOCK_HZ * 1e3:5.1f} ms at 650 MHz (model)"
        print(line)
    if loop:
        print(
            f"inner loop: {loop[0]} instructions, {loop[1]:.1f} clocks for {loop[2]} MAC in llvm-mca's model "
            "of a Cortex-A9: a model, not a measurement; caches and DRAM are not in it"
        )
    else:
        print("llvm-mca is not installed (apt-get install llvm): no model of the clocks")
