"""The device's process: one client at a time, clear ends, nothing left behind, little imported."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.sim.device_fixtures import DeviceBuild
from xnorhw.ir.errors import ToolError
from xnorhw.ir.registers import IDENTITY
from xnorhw.sim import device as device_module
from xnorhw.sim.compiled import Stalls
from xnorhw.sim.device import DeviceError, SimDevice
from xnorhw.sim.device_run import run_device
from xnorhw.sim.mailbox import CONTROL_BYTES, Mailbox

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def device(device_build: DeviceBuild) -> Iterator[SimDevice]:
    with device_build.device(memory_bytes=1 << 16, time_limit_s=20.0) as found:
        yield found


def python(code: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, env=environment, text=True, capture_output=True, timeout=120)


def lives(process: int) -> bool:
    """Whether a process runs; one that nobody has waited for yet has ended all the same."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def soon(condition: Callable[[], bool]) -> bool:
    end = time.monotonic() + 20
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


# --- one client at a time ------------------------------------------------------------------

READ = """
import sys
from pathlib import Path
from xnorhw.sim.mailbox import Mailbox
box = Mailbox(Path(sys.argv[1]))
print(box.read32(box.ip_base), box.memory[5])
box.memory[6] = 77
"""


def test_a_second_client_is_refused(device: SimDevice) -> None:
    device.read32(device.ip_base)
    with pytest.raises(DeviceError, match="in use by another client"):
        Mailbox(device.folder)
    refused = python(READ, device.folder)
    assert refused.returncode == 1 and "in use by another client" in refused.stderr
    assert device.read32(device.ip_base) == IDENTITY


def test_another_process_takes_over_and_gives_back(device: SimDevice) -> None:
    device.memory[5] = 42
    clock = device.clock
    device.release()
    done = python(READ, device.folder)
    assert done.stdout.split() == [str(IDENTITY), "42"], done.stderr
    assert device.memory[6] == 77 and device.clock > clock
    assert device.read32(device.ip_base) == IDENTITY


def test_views_of_the_memory_outlive_the_device(device: SimDevice) -> None:
    view = device.memory[:16]
    view[0] = 9
    device.close()
    assert view[0] == 9


def test_what_is_no_device(tmp_path: Path) -> None:
    with pytest.raises(DeviceError, match="there is no simulated device"):
        Mailbox(tmp_path)
    (tmp_path / "control").write_bytes(bytes(CONTROL_BYTES))
    with pytest.raises(DeviceError, match="no device that is ready"):
        Mailbox(tmp_path)
    words = np.zeros(CONTROL_BYTES // 4, "<u4")
    words[12:14] = 0x58484456, 7
    (tmp_path / "control").write_bytes(words.tobytes())
    with pytest.raises(DeviceError, match="version 7 of its protocol"):
        Mailbox(tmp_path)


def test_threads_share_the_device(device: SimDevice) -> None:
    wrong: list[int] = []

    def work(offset: int, wanted: int) -> None:
        wrong.extend(v for v in (device.read32(device.ip_base + offset) for _ in range(200)) if v != wanted)

    plan = device.plan
    # nobody is the device's client yet: the first access makes one, and only one
    pairs = 2 * [(0, IDENTITY), (0x2C, plan.input_frame.beats), (0x30, plan.output_frame.beats)]
    threads = [threading.Thread(target=work, args=pair) for pair in pairs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


# --- the end -------------------------------------------------------------------------------


def test_close_leaves_nothing_behind(device_build: DeviceBuild) -> None:
    device = device_build.device(memory_bytes=1 << 16)
    folder, process = device.folder, device.client.server
    assert lives(process) and folder.is_dir()
    device.close()
    assert not lives(process) and not folder.exists()
    device.close()
    for use in (lambda: device.read32(device.ip_base), lambda: device.memory, lambda: device.folder):
        with pytest.raises(DeviceError, match="was closed"):
            use()


def test_a_device_made_in_a_thread_outlives_it(device_build: DeviceBuild) -> None:
    made: list[SimDevice] = []
    thread = threading.Thread(target=lambda: made.append(device_build.device(memory_bytes=1 << 16)))
    thread.start()
    thread.join()
    with made[0] as device:
        assert device.read32(device.ip_base) == IDENTITY


def test_a_dead_device_is_an_error_and_no_hang(device: SimDevice) -> None:
    os.kill(device.client.server, signal.SIGKILL)
    with pytest.raises(DeviceError, match="process ended"):
        device.run_clocks(10_000)
    with pytest.raises(DeviceError, match="process ended"):
        device.read32(device.ip_base)


def test_another_process_sees_the_death_too(device: SimDevice) -> None:
    server = device.client.server
    device.release()
    box = Mailbox(device.folder)
    try:
        os.kill(server, signal.SIGKILL)
        with pytest.raises(DeviceError, match="process ended"):
            box.read32(box.ip_base)
    finally:
        box.close()


def test_a_stopped_device_is_an_error_and_no_hang(device_build: DeviceBuild) -> None:
    with device_build.device(memory_bytes=1 << 16, time_limit_s=0.2) as device:
        server = device.client.server
        os.kill(server, signal.SIGSTOP)
        try:
            with pytest.raises(DeviceError, match=r"did not answer within 0\.2 s"):
                device.read32(device.ip_base)
        finally:
            os.kill(server, signal.SIGCONT)


ORPHAN = """
import os, signal, sys
from pathlib import Path
from xnorhw.sim.device import SimDevice
device = SimDevice(Path(sys.argv[1]), work=Path(sys.argv[2]), memory_bytes=1 << 16)
print(device.client.server, device.folder, flush=True)
if sys.argv[3] == "forks":
    if os.fork() == 0:
        device.close()  # not the child's to close
        os._exit(0)
    os.wait()
    print(device.read32(device.ip_base), device.folder.is_dir(), flush=True)
    sys.exit()
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("end", ["is killed", "forks"])
def test_it_ends_with_its_parent(device_build: DeviceBuild, end: str) -> None:
    done = python(ORPHAN, device_build.stored.folder, device_build.work, end)
    server, folder, *rest = done.stdout.split()
    assert done.returncode == (-signal.SIGKILL if end == "is killed" else 0), done.stderr
    assert rest == ([] if end == "is killed" else [str(IDENTITY), "True"])
    assert soon(lambda: not lives(int(server)))
    assert soon(lambda: not Path(folder).exists())


def test_a_program_that_does_not_start_says_why(
    device_build: DeviceBuild, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = set(Path(device_module.tempfile.gettempdir()).glob("xnorhw-device-*"))
    program = tmp_path / "device"
    monkeypatch.setattr(device_module, "prepare", lambda *_: program)
    with pytest.raises(ToolError, match="could not be started"):
        device_build.device()
    program.write_text("#!/bin/sh\necho no such luck >&2\nexit 3\n")
    program.chmod(0o755)
    with pytest.raises(DeviceError, match="did not start: no such luck"):
        device_build.device()
    assert set(Path(device_module.tempfile.gettempdir()).glob("xnorhw-device-*")) <= before


@pytest.mark.long
def test_a_failed_assertion_of_the_rtl_is_in_the_error(device_build: DeviceBuild, tmp_path: Path) -> None:
    """A result that changes while it waits, planted in the shell, which its own assertion sees."""
    copy = tmp_path / "copy"
    shutil.copytree(device_build.stored.folder, copy)
    shell = copy / "rtl" / "xh_shell.sv"
    sound = "assign m_axis_tdata = core_out_data_i;"
    planted = "assign m_axis_tdata = core_out_data_i ^ BEAT_BITS'(output_stalls_q);"
    text = shell.read_text()
    assert sound in text
    shell.write_text(text.replace(sound, planted))
    with (
        pytest.warns(UserWarning, match=r"edited since the build: rtl/xh_shell\.sv"),
        pytest.raises(DeviceError, match="process ended: .*a result beat changed while it waited"),
    ):
        run_device(copy, device_build.frames, stalls=Stalls(1, 0, 90))


# --- what it needs -------------------------------------------------------------------------

BARE = """
import sys
for name in ("torch", "pynq", "jinja2", "cocotb", "click"):
    sys.modules[name] = None
from pathlib import Path
import numpy as np
from xnorhw.sim.device_run import DeviceSession
from xnorhw.sim.device import SimDevice
with SimDevice(Path(sys.argv[1]), work=Path(sys.argv[2])) as device:
    frames = np.load(sys.argv[3])
    np.save(sys.argv[4], DeviceSession(device, len(frames)).run(frames))
"""


def test_it_runs_without_torch_pynq_and_jinja2(device_build: DeviceBuild, tmp_path: Path) -> None:
    np.save(tmp_path / "in.npy", device_build.frames)
    done = python(
        BARE, device_build.stored.folder, device_build.work, tmp_path / "in.npy", tmp_path / "out.npy"
    )
    assert done.returncode == 0, done.stderr
    assert np.array_equal(np.load(tmp_path / "out.npy"), device_build.results)
