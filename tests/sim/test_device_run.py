"""Frames through the simulated device: golden's integers, a driver's errors, and the way back from them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np
import pytest

from tests.sim.device_fixtures import DeviceBuild
from xnorhw.ir.errors import VerifyError
from xnorhw.sim.compiled import Stalls
from xnorhw.sim.device import SimDevice
from xnorhw.sim.device_run import DeviceSession, DmaError, DmaTimeout, run_device, status_words


@pytest.fixture
def device(device_build: DeviceBuild) -> Iterator[SimDevice]:
    with device_build.device() as found:
        yield found


@pytest.mark.parametrize("batch", [1, 5, 12, None])
@pytest.mark.parametrize(
    "stalls", [None, Stalls(9, 30, 30), Stalls(2, 5, 85)], ids=["smooth", "even", "full"]
)
def test_results_are_goldens(device_build: DeviceBuild, batch: int | None, stalls: Stalls | None) -> None:
    seen: list[tuple[int, int]] = []
    frames = device_build.frames
    run = run_device(
        device_build.stored,
        frames,
        batch=batch,
        stalls=stalls,
        work=device_build.work,
        progress=lambda done, total: seen.append((done, total)),
    )
    assert np.array_equal(run.results, device_build.results)
    assert run.counters["FRAMES_IN"] == run.counters["FRAMES_OUT"] == len(frames)
    assert run.counters["ERRORS"] == 0
    assert seen[-1] == (12, 12) and len(seen) == -(-12 // (batch or 12))


def test_what_moving_a_frame_takes(device_build: DeviceBuild) -> None:
    """Of each channel: clear, address, length, one status; and the bytes received."""
    runs = {
        batch: run_device(device_build.stored, device_build.frames, batch=batch, work=device_build.work)
        for batch in (1, 12)
    }
    for batch, run in runs.items():
        transfers = 12 // batch
        assert (run.bus_writes, run.bus_reads) == (6 * transfers, 3 * transfers)
        assert run.bytes_copied == device_build.frames.nbytes + device_build.results.nbytes
    assert runs[1].bus_operations_per_frame == 9 and runs[12].bus_operations_per_frame == 0.75
    assert runs[12].clocks < runs[1].clocks


def test_no_frames(device_build: DeviceBuild) -> None:
    run = run_device(device_build.stored, device_build.frames[:0], work=device_build.work)
    assert run.results.shape == (0, device_build.results.shape[1])
    assert run.bus_operations_per_frame == 0


def test_wrong_frames_are_refused_before_anything_moves(device_build: DeviceBuild, device: SimDevice) -> None:
    session = DeviceSession(device, 2)
    frames = device_build.frames
    for wrong in (frames[:0], frames[:3], frames[:1, :-1], frames[0], frames[:1].astype(np.int16)):
        clock = device.clock
        with pytest.raises(ValueError, match="frames"):
            session.run(wrong)
        assert device.clock == clock
    with pytest.raises(ValueError, match="at least one frame"):
        DeviceSession(device, 0)
    with pytest.raises(ValueError, match="do not fit into"):
        DeviceSession(device, len(device.memory) // device_build.frames.shape[1])
    with pytest.raises(ValueError, match="more than one transfer"):
        DeviceSession(device, (1 << 26) // device_build.frames.shape[1] + 1)


def test_a_strided_batch_is_sent_in_order(device_build: DeviceBuild, device: SimDevice) -> None:
    session = DeviceSession(device, 12)
    assert np.array_equal(session.run(device_build.frames[::-2]), device_build.results[::-2])


def test_a_hang_ends_in_a_timeout_and_the_next_frame_is_right(
    device_build: DeviceBuild, device: SimDevice
) -> None:
    session = DeviceSession(device)
    device.inject(hang=True)
    with pytest.raises(DmaTimeout, match="receiving .* did not end") as caught:
        session.run(device_build.frames[:1])
    assert "1 frames in, 0 out" in caught.value.reason and "DMA: running" in caught.value.reason
    with pytest.raises(DmaTimeout):
        session.run(device_build.frames[1:2])
    device.inject()
    for n in (2, 3):
        assert np.array_equal(session.run(device_build.frames[n : n + 1]), device_build.results[n : n + 1])
    assert session.counters()["FRAMES_IN"] == 2, "the soft reset cleared what was held"


@pytest.mark.parametrize("fault", ["slave_error", "read_error", "write_error"])
def test_an_error_of_memory_is_named_and_recovered_from(
    device_build: DeviceBuild, device: SimDevice, fault: str
) -> None:
    session = DeviceSession(device, 4)
    device.inject(**{fault: True})
    doing = "receiving" if fault == "write_error" else "sending"
    with pytest.raises(DmaError, match=f"{doing} .* bytes stopped: Halted, DMASlvErr, Err_Irq"):
        session.run(device_build.frames[:4])
    assert np.array_equal(session.run(device_build.frames[4:8]), device_build.results[4:8])


def test_without_the_soft_reset_an_old_result_comes_back(
    device_build: DeviceBuild, device: SimDevice, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The recovery is needed: a driver that resets the DMA alone reads the frame before."""
    session = DeviceSession(device)
    monkeypatch.setattr(session, "_write", lambda name, value: None)
    device.inject(hang=True)
    with pytest.raises(DmaTimeout):
        session.run(device_build.frames[:1])
    device.inject()
    assert np.array_equal(session.run(device_build.frames[1:2]), device_build.results[:1])


def test_a_receive_channel_that_starts_late_loses_nothing_but_time(
    device_build: DeviceBuild, device: SimDevice, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The IP holds its result for as long as nobody takes it."""
    session = DeviceSession(device)
    start = session._start
    waiting: list[tuple[int, int, int]] = []

    def late(channel: int, offset: int, length: int) -> None:
        if channel == 0x30:
            waiting.append((channel, offset, length))
            return
        start(channel, offset, length)
        device.run_clocks(5000, until_interrupt=False)
        start(*waiting.pop())

    monkeypatch.setattr(session, "_start", late)
    assert np.array_equal(session.run(device_build.frames[:1]), device_build.results[:1])


def test_a_short_send_is_no_silent_success(
    device_build: DeviceBuild, device: SimDevice, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = DeviceSession(device)
    start = session._start
    with monkeypatch.context() as patch:
        patch.setattr(session, "_start", lambda c, o, n: start(c, o, n - 8 if c == 0 else n))
        with pytest.raises(DmaTimeout, match="ERRORS 0x1"):
            session.run(device_build.frames[:1])
    assert np.array_equal(session.run(device_build.frames[1:2]), device_build.results[1:2])


def test_another_builds_accelerator_is_refused(device_build: DeviceBuild) -> None:
    info = dataclasses.replace(device_build.stored.info, build_hash=0x1234)
    stored = dataclasses.replace(device_build.stored, info=info)
    with pytest.raises(VerifyError, match="build hash is .* the build's is 0x1234"):
        run_device(stored, device_build.frames[:1], work=device_build.work)


def test_the_status_in_words() -> None:
    assert status_words(0) == "running"
    assert status_words(0x1002) == "Idle, IOC_Irq"
    assert status_words(0x4011) == "Halted, DMAIntErr, Err_Irq"
    assert status_words(0x4041) == "Halted, DMADecErr, Err_Irq"
